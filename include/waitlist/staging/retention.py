"""Retention: removing personal data (snapshots, work lists and rows of posts) of old batches.

A dry run keeps its rows for some weeks, and a migration that was not released, or that no receiver had loaded when it
was withdrawn, for a longer time. A migration that a receiver may have keeps its rows until its receipts are complete,
however long that takes, and for a period after its release in any case. Counts remain: the batch, its units, its
expectations, its gates and its audit trail. So do ``released_post``, which prevents that a post is released twice, the
receiver's words, and what follow-up needs (``followed_post``). The latest verified dry run of PMO keeps everything,
however old it is, and so does the latest one over every unit, which pages and messages show. A batch that awaits
approval is kept until it is decided.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import sqlalchemy as sa
from upath import UPath

from waitlist.exceptions import SnapshotError, reason_of
from waitlist.staging import FOLLOWED, Batch, BatchKind, BatchState, EventName, StagingStore, schema
from waitlist.staging.checkpoints import announce_removals
from waitlist.staging.database import refusals_named
from waitlist.staging.dry_runs import latest_for_everybody, verified_dry_runs
from waitlist.staging.events import entry
from waitlist.staging.loading import remove_rows
from waitlist.staging.store import read_every_batch

ACTOR: Final = "waitlist_retention"

_OTHERS: Final = (schema.released_change, schema.receipt_reason)
_ROWS: Final = (schema.bokningsbegaran, schema.disposition, schema.finding, *_OTHERS)
# The recorded counts of partitions, and the list of files: a rerun creates both again with the rows and the files.
_ACCOUNTS: Final = (schema.batch_partition, schema.batch_file)


@dataclass(frozen=True, slots=True)
class Periods:
    """For how many days a batch keeps its rows and files after the last event."""

    dry_run: int
    migration: int
    """Of a migration that no receiver has; used only if it is longer than ``dry_run``."""
    released: int
    """Of a migration that a receiver may have; its receipts must be complete besides."""

    def of(self, batch: Batch) -> int:
        """Return the days of a batch."""
        if batch.kind is BatchKind.DRY_RUN:
            return self.dry_run
        return self.released if batch.state in FOLLOWED else self.of_a_migration

    @property
    def of_a_migration(self) -> int:
        """The days of a migration that no receiver has."""
        return max(self.dry_run, self.migration)


@dataclass(frozen=True, slots=True)
class Places:
    """Folders in which a batch may have its own folder, named by its id."""

    snapshots: UPath
    work_lists: UPath | None
    hand_offs: UPath | None = None

    def by_kind(self) -> dict[str, UPath]:
        """Return the folders that there are, by the kind of their files."""
        folders = {
            "snapshot_files": self.snapshots,
            "work_list_files": self.work_lists,
            "hand_off_files": self.hand_offs,
        }
        return {kind: folder for kind, folder in folders.items() if folder is not None}


@dataclass(frozen=True, slots=True)
class Holdings:
    """The personal data that a batch still has."""

    rows: Mapping[str, int]
    """Rows by table."""
    files: Mapping[str, int]
    """Files by kind: ``snapshot_files``, ``work_list_files``, ``hand_off_files``."""

    def __bool__(self) -> bool:
        """Return whether there is any row or file."""
        return any(self.rows.values()) or any(self.files.values())


def expired(
    batches: Sequence[Batch], on: dt.date, periods: Periods, is_complete: Callable[[Batch], bool]
) -> list[Batch]:
    """Return the batches whose rows may go, the oldest first.

    Args:
        batches: all batches.
        on: the day on which ages are counted.
        periods: how long each kind is kept. The age of a batch that a receiver may have is counted from its release,
            the age of any other batch from its last event.
        is_complete: tells whether the receipts of a batch that a receiver may have are complete; asked only about one
            whose period has ended.
    """
    runs = verified_dry_runs(batches)
    latest = [*runs[-1:], latest_for_everybody(runs)]
    kept = {batch.batch_id for batch in latest if batch is not None}
    aged = [
        batch
        for batch in batches
        if batch.batch_id not in kept
        and batch.state is not BatchState.AWAITING_APPROVAL
        and (on - _touched(batch)).days > periods.of(batch)
        and (batch.state not in FOLLOWED or is_complete(batch))
    ]
    return sorted(aged, key=lambda batch: (_touched(batch), batch.batch_id))


def read_batches(store: StagingStore) -> list[Batch]:
    """Return every batch.

    Raises:
        StagingError: the database refused.
    """
    with refusals_named("reading batches"), store.database.connected() as connection:
        return read_every_batch(connection)


def holding_data(store: StagingStore, batches: Sequence[Batch], places: Places) -> list[Batch]:
    """Return those of the batches that have personal data, in the order given.

    The database is asked once and each place is listed once, however many batches lost their data long ago.

    Raises:
        StagingError: the database refused.
        SnapshotError: a place cannot be read.
    """
    batch = schema.batch
    # As values: a database may turn a condition that some row exists into a scan of all rows.
    rows = [
        sa.select(sa.literal_column("1")).where(_belongs(table)).correlate(batch).limit(1).scalar_subquery()
        for table in _ROWS
    ]
    query = sa.select(batch.c.batch_id).where(sa.or_(*(row.is_not(None) for row in rows)))
    with refusals_named("looking for rows of old batches"), store.database.connected() as connection:
        holding = set(connection.scalars(query))
    for folder in places.by_kind().values():
        holding |= _names(folder)
    return [one for one in batches if one.batch_id in holding]


def survey(store: StagingStore, batch: Batch, places: Places) -> Holdings:
    """Count the personal data of a batch.

    Raises:
        StagingError: the database refused.
        SnapshotError: a folder cannot be read.
    """
    with refusals_named(f"counting the rows of batch {batch.batch_id}"), store.database.connected() as connection:
        return _survey(connection, batch, places)


def remove(store: StagingStore, batch: Batch, places: Places, *, reason: str, now: dt.datetime) -> Holdings | None:
    """Remove the personal data of a batch, and add an entry to its audit trail.

    The entry is added and the rows are removed in one transaction, and the files are removed after it. So a process
    that is killed has removed nothing without an entry, and the next one finishes.

    Args:
        store: the staging database.
        batch: the batch as it was when its age was counted.
        places: the folders of its files.
        reason: the reason, for the audit trail.
        now: the current time, aware.

    Returns:
        The number of rows and files removed; None if the batch was started again meanwhile.

    Raises:
        StagingError: the database refused.
        SettingsError: the checkpoint that names what goes could not be signed; nothing is removed then.
        SnapshotError: a folder cannot be read or removed.
    """
    with store.holding("removing the rows of batch", batch.batch_id) as (connection, _):
        if store.batch(batch.batch_id) != batch:
            return None
        held = _survey(connection, batch, places)
        if held:
            counts = {**held.rows, **held.files}
            told = entry(batch.batch_id, EventName.PURGED, at=now, actor=ACTOR, reason=reason, details=counts)
            # First, because the guards allow the rows of a decided batch to be removed only after this entry.
            connection.execute(told)
            remove_rows(store.database, connection, batch.batch_id)
            for table in (*_OTHERS, *_ACCOUNTS):
                connection.execute(table.delete().where(table.c.batch_id == batch.batch_id))
            announce_removals(store.database, connection, at=now)
    # Also where nothing was counted: a process that was killed may have left an empty folder.
    for folder in _folders(batch, places).values():
        _clear(folder)
    return held


def _touched(batch: Batch) -> dt.date:
    """Return the day, in UTC, that a batch's age is counted from."""
    if batch.state in FOLLOWED and batch.released_at is not None:
        return batch.released_at.date()
    moments = (batch.started_at, batch.finished_at, batch.approved_at, batch.released_at)
    return max(moment for moment in moments if moment is not None).date()


def _survey(connection: sa.Connection, batch: Batch, places: Places) -> Holdings:
    rows = {
        table.name: connection.scalar(
            sa.select(sa.func.count()).select_from(table).where(table.c.batch_id == batch.batch_id)
        )
        or 0
        for table in _ROWS
    }
    return Holdings(rows, {name: _files(folder) for name, folder in _folders(batch, places).items()})


def _folders(batch: Batch, places: Places) -> dict[str, UPath]:
    return {kind: folder / batch.batch_id for kind, folder in places.by_kind().items()}


def _belongs(rows: sa.Table) -> sa.ColumnElement[bool]:
    """Return the condition that a row is of the batch in ``batch``."""
    key = "batch_no" if rows in schema.ROWS_OF else "batch_id"
    return rows.c[key] == schema.batch.c[key]


def _names(folder: UPath) -> set[str]:
    return {PurePosixPath(path).name for path in _paths(folder, deep=False)}


def _files(folder: UPath) -> int:
    return len(_paths(folder, deep=True))


def _paths(folder: UPath, *, deep: bool) -> list[str]:
    """Return the paths of all files in a folder and below it, or of what is in the folder itself."""
    try:
        found: list[str] = folder.fs.find(folder.path) if deep else folder.fs.ls(folder.path, detail=False)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SnapshotError(f"{folder} could not be read: {reason_of(error)}") from None
    return found


def _clear(folder: UPath) -> None:
    try:
        with suppress(FileNotFoundError):
            folder.fs.rm(folder.path, recursive=True)
    except OSError as error:
        raise SnapshotError(f"{folder} could not be removed: {reason_of(error)}") from None
