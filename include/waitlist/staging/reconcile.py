"""The reconciliation: the pipeline's main invariant, checked in the databases after every load.

Every extracted post has exactly one disposition, and the posts with ``migrate`` are exactly the staged booking
requests. So the source, the snapshot, the dispositions and the recorded counts of the partitions must have the same
number of posts; the keys must be the same; booking requests and ``migrate`` must have the same posts; and the
``row_hash`` of each request must show that no column has changed since the assessment. Keys that are null or duplicated
are searched for first, since a comparison by key does not detect them; there are no such keys where the tables have
their primary keys.

If rows can be read faster than the database compares them, each partition is read back once, with one query per table.
The digest of its booking requests, over every column of every row, must then be that of the assessment, and all other
comparisons are of sorted keys. If something differs, the database is queried for the posts that the error names.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from waitlist.exceptions import ReconciliationError, StagingError
from waitlist.judge.booking_request import row_hashes
from waitlist.judge.request_columns import hashed
from waitlist.judge.rules import Disposition
from waitlist.schema import PostIds
from waitlist.staging import BatchState, StagingStore, row_hash, schema
from waitlist.staging.database import Database, Read, refusals_named
from waitlist.staging.digest import ContentDigest
from waitlist.staging.events import entry
from waitlist.staging.loading import KeyRange
from waitlist.staging.queries import read_sql
from waitlist.staging.read_back import GO_LIVE, with_go_live
from waitlist.staging.states import NOT_RECONCILED

_NAMED: Final = 20
_AT_A_TIME: Final = 2
"""Partitions that are read back at the same time."""
_KEY: Final = pa.schema({"post_id": pa.int64()})
_POST: Final = pa.schema([pa.field("post_id", pa.int64()), pa.field("migrates", pa.bool_()), GO_LIVE])
_HASHED_KEY: Final = pa.schema({"post_id": pa.int64(), "row_hash": pa.string()})
_FAULTY_KEY: Final = pa.schema({"place": pa.string(), "post_id": pa.int64(), "copies": pa.int64()})
_LINE: Final = pa.schema(
    {
        name: pa.int64()
        for name in (
            "lower_key", "upper_key", "posts", "staged", "findings", "posts_found", "staged_found", "findings_found",
        )
    }
)  # fmt: skip

Look = Callable[[pa.Table], None]
"""Is called with rows."""


@dataclass(frozen=True)
class PartitionEvidence:
    """The results of the steps before the load for one partition, with keys ``[lower, upper)``.

    Args:
        lower: first key, or None for an open end.
        upper: key after the last, or None for an open end.
        posts: posts in the snapshot part.
        post_ids: reads the snapshot part's keys, in chunks; None if they are not compared.
        row_hashes: reads ``post_id`` and ``row_hash`` of the booking requests that the assessment produced, in
            chunks; None if they are not compared.
        requests_digest: reads the digest of all booking requests that the assessment produced; None, or a function
            that returns None, if there is no digest.
    """

    lower: int | None
    upper: int | None
    posts: int
    post_ids: Callable[[], Iterable[PostIds]] | None = None
    row_hashes: Callable[[], Iterable[pa.Table]] | None = None
    requests_digest: Callable[[], str | None] | None = None


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What was compared and agrees."""

    batch_id: str
    posts: int
    """Posts at the source, in the snapshot, and with exactly one disposition."""
    staged: int
    """Posts that migrate, and booking requests."""
    findings: int
    partitions: int
    keys_compared: int
    """Posts whose key was compared with the snapshot."""
    hashes_compared: int
    """Booking requests whose hash was compared with the assessment's."""


def reconcile(
    store: StagingStore,
    batch_id: str,
    *,
    source_posts: int,
    evidence: Sequence[PartitionEvidence],
    now: datetime,
    look: Look | None = None,
) -> Reconciliation:
    """Compare source, snapshot and staging, and summarise the batch per unit if all agree.

    If all agree, fills ``unit_summary`` and the batch's ``posts_extracted`` and ``posts_staged``. If something
    differs, empties them and marks the batch as failed. The size of the largest partition alone decides the memory.

    Args:
        store: the staging database.
        batch_id: a batch that is staged, already verified, or failed after it was staged.
        source_posts: posts counted at the source.
        evidence: one for each partition of the snapshot.
        now: the current time, aware.
        look: is called with the booking requests that are read back, ``read_back.REQUESTS``, from several threads:
            with each of the batch once where all are read back and agree, otherwise with some or none.

    Raises:
        ReconciliationError: something differs; the message has every check that failed, with counts
            and post ids.
        StagingError: the batch is not staged, or was staged again during the reconciliation.
    """
    doing = "reconciling batch"
    with refusals_named(f"{doing} {batch_id}"):
        opened = store.batch(batch_id)
        state = opened.state
        if state not in {BatchState.STAGED, BatchState.VERIFIED, BatchState.FAILED}:
            raise StagingError(f"batch {batch_id} is {state}: only a staged one can be reconciled")
        store.refresh_statistics()
        with store.database.connected() as connection:
            digests = _digests(connection, batch_id)
        with store.database.reading() as read:
            checks = _Checks(store.database, read, batch_id, opened.row_hash_version, look)
            result = checks.run(source_posts, evidence)
    with store.changing(doing, batch_id) as (connection, state):
        if _digests(connection, batch_id) != digests or state is BatchState.OPEN:
            raise StagingError(f"batch {batch_id} was staged again while it was reconciled: run both steps again")
        batch = schema.batch.update().where(schema.batch.c.batch_id == batch_id)
        if checks.faults:
            connection.execute(batch.values(state=BatchState.FAILED.value, finished_at=now, **NOT_RECONCILED))
            if state is not BatchState.FAILED:
                counts = {"checks_failed": len(checks.faults)}
                why = "source, snapshot and staging do not add up"
                connection.execute(entry(batch_id, BatchState.FAILED, at=now, reason=why, details=counts))
        else:
            summary = schema.unit_summary
            connection.execute(summary.delete().where(summary.c.batch_id == batch_id))
            connection.execute(_statement(store.database, "summarise_units", batch_id))
            connection.execute(batch.values(posts_extracted=result.posts, posts_staged=result.staged))
    if checks.faults:
        raise ReconciliationError("\n  ".join([f"batch {batch_id} does not add up:", *checks.faults]))
    return result


def find_changed_requests(database: Database, read: Read, batch_id: str, version: int) -> Iterator[PostIds]:
    """Yield the posts whose stored booking request no longer matches its ``row_hash``.

    Args:
        database: the staging database.
        read: reads a query of that database.
        batch_id: the batch.
        version: the batch's version of the hash.
    """
    if database.hashes_rows:
        statement = sa.text(row_hash.find_changed_requests(database.dialect, database.schema, version))
        for found in read(statement.bindparams(batch_id=batch_id), _KEY):
            yield found["post_id"].to_numpy()
        return
    table = schema.bokningsbegaran
    form = schema.arrow_rows(table)
    query = sa.select(*(table.c[name] for name in form.names)).where(table.c.batch_id == batch_id)
    for rows in read(query.order_by(table.c.post_id), form):
        differs = pc.not_equal(rows["row_hash"], row_hashes(rows, hashed(version)))
        yield rows["post_id"].to_numpy()[differs.to_numpy(zero_copy_only=False)]


def _statement(database: Database, name: str, batch_id: str) -> sa.TextClause:
    return sa.text(read_sql(name, database.schema)).bindparams(batch_id=batch_id)


def _digests(connection: sa.Connection, batch_id: str) -> list[tuple[Any, ...]]:
    line = schema.batch_partition.c
    query = sa.select(line.lower_key, line.upper_key, line.digest).where(line.batch_id == batch_id)
    return [tuple(row) for row in connection.execute(query.order_by(line.lower_key))]


class _Compared(NamedTuple):
    """What was compared in a partition in which nothing differs."""

    keys: int
    hashes: int


@dataclass
class _Checks:
    """The checks of one batch; ``faults`` has a line for each check that failed."""

    database: Database
    read: Read
    batch_id: str
    hash_version: int
    look: Look | None
    faults: list[str] = field(default_factory=list)
    hashes_compared: int = 0
    keys_compared: int = 0

    def run(self, source_posts: int, evidence: Sequence[PartitionEvidence]) -> Reconciliation:
        self._keys_are_sound()
        lines = [line for table in self._query("count_partitions", _LINE) for line in table.to_pylist()]
        self._partitions_fit(lines, evidence)
        snapshot_posts = sum(part.posts for part in evidence)
        posts = sum(line["posts_found"] for line in lines)
        self._same("posts in the snapshot, by the source's count", source_posts, snapshot_posts)
        self._same("posts with a disposition, by the snapshot's count", snapshot_posts, posts)
        # The partitions cover every key, so a check that passes in each of them passes for the batch.
        adds_up = self.database.reads_in_bulk and not self.faults and len(evidence) == len(lines)
        for part, compared in zip(evidence, self._read_back(evidence) if adds_up else repeat(None), strict=False):
            if compared is not None:
                self.keys_compared += compared.keys
                self.hashes_compared += compared.hashes
                continue
            adds_up = False
            keys = KeyRange(part.lower, part.upper)
            if part.post_ids is not None:
                self._same_keys(keys, part.post_ids())
            if part.row_hashes is not None:
                self._same_hashes(keys, part.row_hashes())
        if not adds_up:
            self._rows_fit()
        return Reconciliation(
            batch_id=self.batch_id,
            posts=posts,
            staged=sum(line["staged_found"] for line in lines),
            findings=sum(line["findings_found"] for line in lines),
            partitions=len(lines),
            keys_compared=self.keys_compared,
            hashes_compared=self.hashes_compared,
        )

    def _rows_fit(self) -> None:
        self._none("posts that migrate without a booking request", self._posts("find_migrate_without_request"))
        self._none("booking requests of posts that do not migrate", self._posts("find_request_without_migrate"))
        changed = find_changed_requests(self.database, self.read, self.batch_id, self.hash_version)
        self._none("booking requests that their row_hash does not fit", changed)
        self._none("findings of posts without a disposition", self._posts("find_finding_without_post"))

    def _read_back(self, evidence: Sequence[PartitionEvidence]) -> "list[_Compared | None]":
        """Read partitions back, several at a time: while one is compared, the database sends another."""

        def compare(part: PartitionEvidence) -> _Compared | None:
            with self.database.reading() as read:
                return self._adds_up(read, part)

        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            return list(pool.map(compare, evidence))

    def _adds_up(self, read: Read, part: PartitionEvidence) -> "_Compared | None":
        """Compare a partition that is read back with the extract and the assessment, and its tables with each other."""
        digest = part.requests_digest and part.requests_digest()
        if part.post_ids is None or digest is None:
            return None
        keys = KeyRange(part.lower, part.upper)
        kept, made = schema.disposition.c, schema.bokningsbegaran
        migrates = (kept.disposition == Disposition.MIGRATE.value).label("migrates")
        query = sa.select(kept.post_id, migrates, kept.driftstart)
        query = query.where(kept.batch_id == self.batch_id, keys.holds(kept.post_id))
        posts = pa.concat_tables([_POST.empty_table(), *read(query, _POST)]).sort_by("post_id")
        post_ids, migrating = posts["post_id"].to_numpy(), posts["migrates"].to_numpy()
        extracted = np.concatenate([np.empty(0, np.int64), *part.post_ids()])
        if not (np.array_equal(np.sort(extracted), post_ids) and np.all(post_ids[1:] > post_ids[:-1])):
            return None
        content, requests = ContentDigest(), [np.empty(0, np.int64)]
        form = schema.arrow_rows(made)
        columns = [made.c[name] for name in form.names]
        query = sa.select(*columns).where(made.c.batch_id == self.batch_id, keys.holds(made.c.post_id))
        for rows in read(query.order_by(made.c.post_id), form):
            content.update(made.name, rows)
            # A view of the keys would keep every column of the batch in memory.
            requests.append(rows["post_id"].to_numpy().copy())
            if self.look is not None:
                self.look(with_go_live(rows, posts))
        request_ids = np.concatenate(requests)
        if len(request_ids) and content.hexdigest() != digest:
            return None
        found = schema.finding.c
        query = sa.select(found.post_id).where(found.batch_id == self.batch_id, keys.holds(found.post_id))
        of_posts = all(np.isin(rows["post_id"].to_numpy(), post_ids).all() for rows in read(query, _KEY))
        if not (of_posts and np.array_equal(post_ids[migrating], request_ids)):
            return None
        return _Compared(len(post_ids), len(request_ids))

    def _keys_are_sound(self) -> None:
        if self._primary_keys_hold():
            return
        faulty = pa.concat_tables([_FAULTY_KEY.empty_table(), *self._query("find_faulty_keys", _FAULTY_KEY)])
        for place in ("disposition", "bokningsbegaran"):
            here = faulty.filter(pc.equal(faulty["place"], place))
            null = here.filter(pc.is_null(here["post_id"]))
            self._same(f"rows of {place} without a post_id", 0, pc.sum(null["copies"]).as_py() or 0)
            self._none(f"posts that occur more than once in {place}", [here["post_id"].drop_null().to_numpy()])

    def _primary_keys_hold(self) -> bool:
        with self.database.connected() as connection:
            inspector = sa.inspect(connection)
            return all(
                inspector.get_pk_constraint(table.name, schema=self.database.schema)["constrained_columns"]
                == table.primary_key.columns.keys()
                for table in (schema.disposition_row, schema.bokningsbegaran_row)
            )

    def _partitions_fit(self, lines: Sequence[dict[str, Any]], evidence: Sequence[PartitionEvidence]) -> None:
        staged = {(line["lower_key"], line["upper_key"]): line["posts_found"] for line in lines}
        for part in evidence:
            keys = KeyRange(part.lower, part.upper)
            bounds = (schema.OPEN_LOWER if part.lower is None else part.lower, part.upper)
            if bounds in staged:
                self._same(f"posts in partition {keys}, by the snapshot's count", part.posts, staged[bounds])
            else:
                self.faults.append(f"partition {keys} of the snapshot: not staged")
        ends = [schema.OPEN_LOWER, *(upper for _, upper in staged)]
        starts = [*(lower for lower, _ in staged), None]
        for end, start in zip(ends, starts, strict=True):
            if end != start:
                gap = f"one ends at {_key_text(end)}, the next begins at {_key_text(start)}"
                self.faults.append(f"staged partitions do not cover every key once: {gap}")
        for line in lines:
            for count, table in (("posts", "disposition"), ("staged", "bokningsbegaran"), ("findings", "finding")):
                where = f"rows of {table} in partition [{_key_text(line['lower_key'])}, {_key_text(line['upper_key'])})"
                self._same(f"{where}, by what was loaded", line[count], line[f"{count}_found"])

    def _same_keys(self, keys: KeyRange, extracted: Iterable[PostIds]) -> None:
        expected = np.sort(np.concatenate([np.empty(0, np.int64), *extracted]))
        table = schema.disposition.c
        query = sa.select(table.post_id).where(table.batch_id == self.batch_id, keys.holds(table.post_id))
        found = np.sort(
            np.concatenate([np.empty(0, np.int64), *(part["post_id"].to_numpy() for part in self.read(query, _KEY))])
        )
        self.keys_compared += len(expected)
        if np.array_equal(expected, found) and np.all(expected[1:] > expected[:-1]):
            return
        distinct, copies = np.unique(expected, return_counts=True)
        where = f"in partition {keys}"
        self._none(f"posts that occur more than once in the snapshot, {where}", [distinct[copies > 1]])
        self._none(f"posts of the snapshot without a disposition, {where}", [np.setdiff1d(distinct, found)])
        self._none(f"posts with a disposition that the snapshot lacks, {where}", [np.setdiff1d(found, distinct)])

    def _same_hashes(self, keys: KeyRange, assessed: Iterable[pa.Table]) -> None:
        table = schema.bokningsbegaran.c
        query = sa.select(table.post_id, table.row_hash).where(
            table.batch_id == self.batch_id, keys.holds(table.post_id)
        )
        expected_ids, expected_hashes = _by_key(part.select(_HASHED_KEY.names) for part in assessed)
        found_ids, found_hashes = _by_key(self.read(query, _HASHED_KEY))
        self.hashes_compared += len(expected_ids)
        if np.array_equal(expected_ids, found_ids) and expected_hashes.equals(found_hashes):
            return
        where = f"in partition {keys}"
        lost, added = np.setdiff1d(expected_ids, found_ids), np.setdiff1d(found_ids, expected_ids)
        self._none(f"booking requests that were made but not stored, {where}", [lost])
        self._none(f"booking requests that were stored but never made, {where}", [added])
        common, left, right = np.intersect1d(expected_ids, found_ids, return_indices=True)
        differs = pc.not_equal(expected_hashes.take(left), found_hashes.take(right))
        changed = common[differs.fill_null(True).to_numpy(zero_copy_only=False)]
        self._none(f"booking requests with another row_hash than they were made with, {where}", [changed])

    def _query(self, name: str, form: pa.Schema) -> Iterator[pa.Table]:
        return self.read(_statement(self.database, name, self.batch_id), form)

    def _posts(self, name: str) -> Iterator[PostIds]:
        return (table["post_id"].to_numpy() for table in self._query(name, _KEY))

    def _same(self, check: str, expected: int, found: int) -> None:
        if expected != found:
            self.faults.append(f"{check}: expected {expected}, found {found}")

    def _none(self, check: str, found: Iterable[PostIds]) -> None:
        total, first = 0, list[int]()
        for post_ids in found:
            total += len(post_ids)
            first += post_ids[: _NAMED - len(first)].tolist()
        if total:
            more = f" and {total - len(first)} more" if total > len(first) else ""
            self.faults.append(f"{check}: expected 0, found {total}: post_id {', '.join(map(str, first))}{more}")


def _by_key(tables: Iterable[pa.Table]) -> tuple[PostIds, pa.ChunkedArray]:
    rows = pa.concat_tables([_HASHED_KEY.empty_table(), *tables], promote_options="permissive")
    post_ids = rows["post_id"].to_numpy()
    if np.any(post_ids[1:] < post_ids[:-1]):
        rows = rows.take(np.argsort(post_ids))
    return rows["post_id"].to_numpy(), rows["row_hash"]


def _key_text(key: int | None) -> str:
    return "an open end" if key in {None, schema.OPEN_LOWER} else str(key)
