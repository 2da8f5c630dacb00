"""The sources of work lists: a batch's snapshot, and the rows of its posts in staging."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from upath import UPath

from waitlist.exceptions import SnapshotError
from waitlist.release.ledger import Owed, read_every_owed, read_owed
from waitlist.release.receipts.account import reasons
from waitlist.release.receipts.holding import still_released
from waitlist.reports.worklist.advice import reason_line
from waitlist.reports.worklist.rows import POSTS
from waitlist.source.batch_files import BatchFiles
from waitlist.source.earlier_files import files_of
from waitlist.source.snapshot import SnapshotPart, read_part
from waitlist.staging import Batch, StagingStore, schema
from waitlist.staging.database import Read, refusals_named
from waitlist.staging.dry_runs import latest_for_everybody, read_dry_runs
from waitlist.staging.held import read_held_numbers, row_of
from waitlist.staging.migrate import Standing, standing

_DISPOSITIONS: Final = pa.schema(
    {
        "post_id": pa.int64(),
        "enhet_hsa_id": pa.string(),
        "disposition": pa.string(),
        "recommended_list": pa.string(),
        "driftstart": pa.date32(),
    }
)
_FINDINGS: Final = pa.schema(
    {"post_id": pa.int64(), "rule": pa.string(), "severity": pa.string(), "detail": pa.string()}
)
_CHANGES: Final = pa.schema({"post_id": pa.int64(), "columns": pa.string()})
_REASONS: Final = pa.schema({"post_id": pa.int64(), "reason": pa.string()})
_GONE: Final = pa.schema(
    {
        "post_id": pa.int64(),
        "columns": pa.string(),
        "personnummer": pa.string(),
        "patient": pa.string(),
        "sekretess": pa.bool_(),
        "kategori": pa.string(),
        "boka_from": pa.date32(),
        "boka_fore": pa.date32(),
        "enhet": pa.string(),
        "enhet_hsa_id": pa.string(),
    }
)


@dataclass(frozen=True)
class Snapshot:
    """The files of a batch's snapshot."""

    folder: UPath
    parts: tuple[SnapshotPart, ...]
    """In the order of their keys."""
    files: BatchFiles

    def chunks(self) -> Iterator[pa.Table]:
        """Yield the columns ``rows.POSTS`` of all posts, some at a time, in the order of ``post_id``.

        Raises:
            SnapshotError: a file is missing or damaged.
        """
        for part in self.parts:
            yield from read_part(self.folder, part, POSTS)


def find_snapshot(store: StagingStore, batch: Batch, snapshots: UPath) -> Snapshot:
    """Find the files of a batch's snapshot from which its partitions were staged.

    Args:
        store: the staging database.
        batch: the batch.
        snapshots: the folder in which each batch has its snapshot.

    Raises:
        SnapshotError: the snapshot is missing, or is not the one that was staged.
        StagingError: the database refused.
    """
    staged = store.staged_ranges(batch.batch_id)
    if not staged:
        raise SnapshotError(f"batch {batch.batch_id} no longer has posts: retention has removed them")
    files = files_of(store, snapshots, batch.batch_id)
    parts = files.staged_parts(staged)
    if len(parts) < len(staged):
        raise SnapshotError(
            f"the snapshot in {files.folder} lacks {len(staged) - len(parts)} of {len(staged)} partitions of batch "
            f"{batch.batch_id}: the batch is being run again"
        )
    return Snapshot(files.folder, tuple(parts), files)


class StagedPosts:
    """The rows of a batch's posts in staging, read one range of keys at a time."""

    def __init__(self, read: Read, batch_id: str, *, knows_changes: bool, knows_receipts: bool = False) -> None:
        """Read with ``read``; the others are whether the database has the changes after release, and receipts."""
        self._read = read
        self._batch_id = batch_id
        self._knows_changes = knows_changes
        self._knows_receipts = knows_receipts

    def dispositions(self, first: int, last: int) -> pa.Table:
        """Return the dispositions of the posts ``first <= post_id <= last``, in that order."""
        return self._between(schema.disposition, _DISPOSITIONS, first, last)

    def findings(self, first: int, last: int) -> pa.Table:
        """Return the findings of these posts, in the order of ``post_id``."""
        return self._between(schema.finding, _FINDINGS, first, last)

    def changes(self, first: int, last: int) -> dict[int, str]:
        """Return the names of the columns that PMO changed, for these posts that are in Millennium."""
        if not self._knows_changes:
            return {}
        change, post = schema.released_change, still_released()
        query = (
            sa.select(change.c.post_id, change.c.columns)
            # A post that was withdrawn meanwhile is not in Millennium.
            .join(post, post.c.post_id == change.c.post_id)
            .where(change.c.batch_id == self._batch_id, change.c.change == "changed")
            .where(change.c.post_id.between(first, last))
        )
        found = self._whole(query, _CHANGES)
        return dict(zip(found["post_id"].to_pylist(), found["columns"].to_pylist(), strict=True))

    def rejected(self, first: int, last: int) -> dict[int, str]:
        """Return the receiver's reason for each of these posts that it rejected last; personal data."""
        if not self._knows_receipts:
            return {}
        told = reasons().subquery()
        found = self._whole(sa.select(told).where(told.c.post_id.between(first, last)), _REASONS)
        return dict(zip(found["post_id"].to_pylist(), map(reason_line, found["reason"].to_pylist()), strict=True))

    def gone(self) -> Iterator[pa.Table]:
        """Yield the posts in Millennium that PMO no longer has, with the columns ``rows.POSTS`` as released."""
        if not self._knows_changes:
            return
        change, post = schema.released_change, still_released()
        request, unit = schema.bokningsbegaran_row, schema.disposition_row
        numbers = read_held_numbers(self._read)
        query = (
            sa.select(
                change.c.post_id,
                change.c.columns,
                request.c.person_id,
                request.c.patientnamn,
                request.c.sekretess,
                request.c.besokstyp,
                request.c.begart_startdatum,
                request.c.begart_slutdatum,
                request.c.vardinrattning,
                unit.c.enhet_hsa_id,
            )
            .join(post, post.c.post_id == change.c.post_id)
            # Retention may have removed the rows of the batch that released it: then only the id is left.
            .join(request, row_of(request, post.c.post_id, post.c.batch_no, numbers), isouter=True)
            .join(unit, row_of(unit, post.c.post_id, post.c.batch_no, numbers), isouter=True)
            .where(change.c.batch_id == self._batch_id, change.c.change == "gone")
            .order_by(change.c.post_id)
        )
        for found in self._read(query, _GONE):
            at = found.schema.get_field_index("sekretess")
            posts = found.set_column(at, "sekretess", pc.fill_null(found["sekretess"], False))
            for name in ("boka_from", "boka_fore"):
                posts = posts.set_column(posts.schema.get_field_index(name), name, posts[name].cast(pa.string()))
            for name in ("kontaktform", "anvandare", "filial"):
                posts = posts.append_column(name, pa.nulls(posts.num_rows, pa.string()))
            yield posts

    def _between(self, table: sa.Table, columns: pa.Schema, first: int, last: int) -> pa.Table:
        query = (
            sa.select(*(table.c[name] for name in columns.names))
            .where(table.c.batch_id == self._batch_id, table.c.post_id.between(first, last))
            .order_by(*table.primary_key.columns)
        )
        return self._whole(query, columns)

    def _whole(self, query: sa.Executable, columns: pa.Schema) -> pa.Table:
        return pa.concat_tables([columns.empty_table(), *self._read(query, columns)])


def find_owed(store: StagingStore, batch: Batch, units: Collection[str] | None) -> dict[str, dict[int, Owed]]:
    """Return the posts for whose outcome the closing ledger waits, by unit and post.

    The ledger is as it is now: only the list of the latest dry run has its posts.

    Args:
        store: the staging database.
        batch: the batch of the list.
        units: HSA-ids of the units that are wanted; None for all.
    """
    if not knows_receipts(store) or standing(store.database) is not Standing.CURRENT:
        # A database of an earlier release has no ledger, or another one, until its next run.
        return {}
    with refusals_named("reading the closing ledger"), store.database.connected() as connection:
        latest = latest_for_everybody(read_dry_runs(connection))
        if latest is None or latest.batch_id != batch.batch_id:
            return {}
        if units is None:
            return read_every_owed(connection)
        found = {unit: read_owed(connection, unit) for unit in sorted(units)}
    return {unit: posts for unit, posts in found.items() if posts}


def absent_posts(unit: str, posts: Sequence[Owed]) -> pa.Table:
    """Return posts that their unit no longer has in PMO, with the columns ``rows.POSTS``: nobody is named."""
    none = pa.nulls(len(posts), pa.string())
    known: dict[str, pa.Array] = {
        "post_id": pa.array([post.post_id for post in posts], pa.int64()),
        "sekretess": pa.array([False] * len(posts), pa.bool_()),
        "enhet_hsa_id": pa.array([unit] * len(posts), pa.string()),
        "boka_fore": pa.array([post.boka_fore.isoformat() if post.boka_fore else None for post in posts], pa.string()),
    }
    return pa.table({name: known.get(name, none) for name in POSTS})


def knows_changes(store: StagingStore) -> bool:
    """Tell whether the database has the report of changes; one of an earlier release lacks it until its next run."""
    return _has_table(store, schema.released_change)


def knows_receipts(store: StagingStore) -> bool:
    """Tell whether the database has receipts; one of an earlier release lacks them until its next run."""
    return _has_table(store, schema.post_answer)


def _has_table(store: StagingStore, table: sa.Table) -> bool:
    with store.database.connected() as connection:
        return sa.inspect(connection).has_table(table.name, schema=store.database.schema)
