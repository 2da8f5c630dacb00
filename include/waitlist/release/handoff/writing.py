"""Writes a hand-off, and removes one.

Every file is written aside, under a name of its own, and gets its name when all rows have been written and proved to
be those that were approved, and when the access log has an entry for each of them. ``manifest.json`` is removed before
the first file that would not fit it, and written last. So a process that is killed leaves a whole hand-off or one
without a manifest, which no receiver reads.
"""

import datetime as dt
import errno
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]
from upath import UPath

from waitlist.exceptions import HandOffError, ReconciliationError, RefusedError, reason_of
from waitlist.facts.mappings import PLACE, VISIT_TYPE
from waitlist.files import Sink, make_folder, open_checked, remove_file, writing_aside
from waitlist.judge.booking_request import row_hashes
from waitlist.judge.request_columns import COLUMNS, hashed
from waitlist.judge.rules import Code
from waitlist.release.handoff import PROFILES
from waitlist.release.handoff.content import PROTECTED_BY, UNIT, Content, Handed
from waitlist.release.proof import SOFTWARE, Rows, approved, last_event, named, plain, verify_released
from waitlist.staging import BatchState, EventName, StagingStore, schema
from waitlist.staging.access_log import record_hand_off
from waitlist.staging.checkpoints import Checkpoint, for_hand_off
from waitlist.staging.database import refusals_named
from waitlist.staging.handoffs import HandOff, record

MANIFEST: Final = "manifest.json"
AUDIT: Final = "audit"
"""The manifest's key of the checkpoint of the append-only tables; an earlier release's manifest has none."""
FORMAT: Final = 1
"""The version of what the files look like."""

_PROTECTED: Final = Code.PROTECTED_IDENTITY.value
_BATCH_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_ROWS: Final = pa.schema(
    [
        ("post_id", pa.int64()),
        (UNIT, pa.string()),
        *((column.name, column.type) for column in COLUMNS),
        ("row_hash", pa.string()),
        (PROTECTED_BY, pa.string()),
    ]
)


def hand_off(store: StagingStore, folder: UPath, batch_id: str, content: Content, now: dt.datetime) -> HandOff:
    """Write the hand-off of a released batch; written again, it has the same bytes.

    Args:
        store: the staging database.
        folder: the folder in which each batch has a folder of its own.
        batch_id: the batch.
        content: what the files have besides the rows.
        now: the moment, for the record.

    Returns:
        what was written, as the database keeps it.

    Raises:
        ReconciliationError: what would be handed off is not what was approved. Nothing has changed then.
        RefusedError: the batch is not released, retention has removed its rows, or a post of it is free.
        HandOffError: the folder cannot be written to.
        SettingsError: the checkpoint in the manifest could not be signed.
    """
    if verify_released(store, batch_id) != _approved_posts(store, batch_id):
        raise RefusedError(
            f"batch {batch_id}: some of its posts are free since its release, and a later wave may release them; its "
            "hand-off stays as it was written"
        )
    own = _own(folder, batch_id)
    profiles = [made(content) for made in PROFILES]
    written = [profile for profile in profiles if profile.lines is not None]
    try:
        make_folder(own)
        _refuse_link(own)
        with ExitStack() as held:
            with ExitStack() as files:
                sinks = [files.enter_context(writing_aside(own / profile.file)) for profile in written]
                rows = _stream(store, batch_id, written, sinks)
                told = {
                    profile.file: {"sha256": sink.sha256, "bytes": sink.size, "posts": rows.posts}
                    for profile, sink in zip(written, sinks, strict=True)
                }
                checkpoint = for_hand_off(store.database, batch_id, at=now)
                manifest = _manifest(store, batch_id, content, told, rows=rows, checkpoint=checkpoint)
                # Before a file gets its name, in a transaction of its own.
                logged = record_hand_off(
                    store,
                    batch_id,
                    written=hashlib.sha256(manifest).hexdigest(),
                    at=now,
                    approved_by=store.batch(batch_id).approved_by,
                )
                # No withdrawal comes between the last look at the state and the manifest.
                holding = store.holding("handing off batch", batch_id)
                connection, state = held.enter_context(holding)
                if state is not BatchState.RELEASED:
                    raise RefusedError(f"batch {batch_id} is {plain(state)}: only a released one is handed off")
                if logged not in {None, rows.posts}:
                    raise ReconciliationError(
                        f"batch {batch_id} was not handed off: {rows.posts} posts were written and "
                        f"{logged} entries about them are in the access log"
                    )
                if _present(own / MANIFEST) != manifest:
                    remove_file(own / MANIFEST)
                for profile in profiles:
                    if profile.lines is None:
                        remove_file(own / profile.file)
            with writing_aside(own / MANIFEST) as sink:
                sink.write(manifest)
            handed = HandOff(batch_id, sink.sha256, now, rows.posts, told, len(content.missing))
            record(connection, handed)
    except OSError as error:
        raise HandOffError(f"the hand-off of batch {batch_id} could not be written: {reason_of(error)}") from None
    return handed


def _approved_posts(store: StagingStore, batch_id: str) -> int:
    with refusals_named(f"handing off batch {batch_id}"), store.database.connected() as connection:
        return approved(connection, batch_id).rows.posts


def remove(folder: UPath, batch_id: str) -> None:
    """Remove the hand-off of a batch, its manifest first; one that is not there is removed already.

    Raises:
        HandOffError: it cannot be removed.
    """
    own = _own(folder, batch_id)
    try:
        _refuse_link(own)
        remove_file(own / MANIFEST)
        with suppress(FileNotFoundError):
            own.fs.rm(own.path, recursive=True)
    except OSError as error:
        raise HandOffError(f"the hand-off of batch {batch_id} could not be removed: {reason_of(error)}") from None


def read_audit(folder: UPath, batch_id: str) -> Mapping[str, Any] | None:
    """Return what the manifest of a batch has of the append-only tables; None without one.

    A manifest that cannot be read as one has an empty object.

    Raises:
        HandOffError: the folder cannot be read.
    """
    try:
        content = _present(_own(folder, batch_id) / MANIFEST)
    except OSError as error:
        raise HandOffError(f"the manifest of batch {batch_id} could not be read: {reason_of(error)}") from None
    if content is None:
        return None
    try:
        told = json.loads(content)
    except ValueError:
        return {}
    if not isinstance(told, dict) or not isinstance(told.get(AUDIT, {}), dict):
        return {}
    # An earlier release's manifest has no such part.
    return told.get(AUDIT)


def _own(folder: UPath, batch_id: str) -> UPath:
    if not _BATCH_ID.fullmatch(batch_id):
        raise HandOffError("the given text is no batch id: copy the id from the table batch")
    return folder / batch_id


def _refuse_link(folder: UPath) -> None:
    if isinstance(folder.fs, LocalFileSystem) and os.path.islink(folder.path):  # noqa: PTH114 - a path of fsspec
        raise OSError(errno.EINVAL, "it is a symbolic link, no folder")


def _present(path: UPath) -> bytes | None:
    try:
        with open_checked(path, size=None, sha256=None) as file:
            return file.read()
    except FileNotFoundError:
        return None


def _stream(store: StagingStore, batch_id: str, profiles: Sequence[Handed], sinks: Sequence[Sink]) -> Rows:
    """Write the rows that the view shows, and return what an approval of them would have bound.

    Raises:
        ReconciliationError: they are not what was approved.
    """
    shown, place, mark = schema.bokningsbegaran_released.c, schema.disposition.c, schema.finding.c
    others = {UNIT: place[UNIT], PROTECTED_BY: mark.detail}
    columns = [others[name] if name in others else shown[name] for name in _ROWS.names]
    of_post = sa.and_(place.batch_id == shown.batch_id, place.post_id == shown.post_id)
    protects = sa.and_(mark.batch_id == shown.batch_id, mark.post_id == shown.post_id, mark.rule == _PROTECTED)
    query = sa.select(*columns).outerjoin_from(schema.bokningsbegaran_released, schema.disposition, of_post)
    query = query.outerjoin(schema.finding, protects)
    query = query.where(shown.batch_id == batch_id).order_by(shown.post_id)
    hashed_by = hashed(store.batch(batch_id).row_hash_version)
    digest, posts, changed, nowhere = hashlib.sha256(), 0, list[int](), list[int]()
    for profile, sink in zip(profiles, sinks, strict=True):
        sink.write(profile.head)
    with refusals_named(f"handing off batch {batch_id}"), store.database.connected() as connection:
        wanted = approved(connection, batch_id).rows
        with store.database.reading() as read:
            for table in read(query, _ROWS):
                made = row_hashes(table, hashed_by).to_pylist()
                rows = table.to_pylist()
                digest.update("".join(f"{row['post_id']}\x1f{row['row_hash']}\n" for row in rows).encode())
                posts += len(rows)
                changed += [row["post_id"] for row, now in zip(rows, made, strict=True) if row["row_hash"] != now]
                nowhere += [row["post_id"] for row in rows if not row[UNIT]]
                for profile, sink in zip(profiles, sinks, strict=True):
                    if profile.lines is not None and not nowhere:
                        sink.write(profile.lines(rows))
    found = Rows(posts, digest.hexdigest())
    faults = {"booking requests that do not match their row_hash": changed, "posts without a unit": nowhere}
    told = [f"{what}: {len(which)}: {named(which)}" for what, which in faults.items() if which]
    if found != wanted:
        told.append(f"approved were {wanted.posts} posts, read were {found.posts}, and their hashes differ")
    if told:
        raise ReconciliationError("\n  ".join([f"batch {batch_id} was not handed off:", *told]))
    return found


def _manifest(
    store: StagingStore,
    batch_id: str,
    content: Content,
    files: Mapping[str, Mapping[str, Any]],
    *,
    rows: Rows,
    checkpoint: Checkpoint | None,
) -> bytes:
    """Return the manifest; every value of it is kept with the batch."""
    batch = store.batch(batch_id)
    released = last_event(store.events(batch_id), EventName.RELEASED)
    if released is None or batch.released_at is None:
        raise RefusedError(f"batch {batch_id}: its audit trail has no entry that it was released")
    told = {
        "format": FORMAT,
        "batch_id": batch_id,
        "wave": batch.wave,
        "as_of": batch.as_of.isoformat(),
        "posts": rows.posts,
        "rows_sha256": rows.rows_hash,
        "approved_by": batch.approved_by,
        "released_at": batch.released_at.isoformat(),
        # None where a release from before this file existed released it.
        "software": released.details.get(SOFTWARE),
        "post_system": content.post_system,
        "files": files,
        "references_missing": {kind: sum(name[0] == kind for name in content.missing) for kind in (PLACE, VISIT_TYPE)},
    }
    if checkpoint is not None:
        told[AUDIT] = checkpoint.told()
    return json.dumps(told, ensure_ascii=False, indent=2).encode() + b"\n"
