"""``StagingStore``: the staging database for the pipeline's steps."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa

from waitlist.exceptions import RefusedError
from waitlist.judge.request_columns import HASH_VERSION
from waitlist.settings import CONNECTION_DEFAULTS, ConnectionSettings
from waitlist.staging import schema
from waitlist.staging.chain import runner
from waitlist.staging.database import Database, refusals_named
from waitlist.staging.events import WITHOUT_TLS, Event, entry, read_events
from waitlist.staging.loading import (
    AssessedChunk,
    KeyRange,
    StagedPartition,
    load_partition,
    refuse_immutable,
    state_of,
)
from waitlist.staging.migrate import migrate
from waitlist.staging.queries import read_sql
from waitlist.staging.signing import Signer
from waitlist.staging.states import NOT_RECONCILED, Batch, BatchFile, BatchKind, BatchState, StagedRange

if TYPE_CHECKING:
    from waitlist.results import QualityResult

_POST_IDS: Final = pa.schema({"post_id": pa.int64()})
_BATCHES: Final = sa.select(*(column for column in schema.batch.columns if column is not schema.batch.c.batch_no))
_STATISTICS_LOCK: Final = 0x77616974
# What decides a batch's rows besides the extract. A batch that is opened again with the same values does not change.
_DECIDING: Final = ("kind", "wave", "as_of", "units", "reuse_snapshot", "rules_version", "row_hash_version")


class StagingStore:
    """Batches in a staging database (contract 2).

    Every method raises ``StagingError``, never a driver's error, and no message has a value of a row. Times are
    parameters, and aware; nothing here reads the clock.
    """

    def __init__(
        self,
        url: str,
        *,
        pooled: bool = False,
        connections: ConnectionSettings = CONNECTION_DEFAULTS,
        signer: Signer | None = None,
    ) -> None:
        """Take a SQLAlchemy URL: ``postgresql://...``, ``sqlite:///file``, ``mssql+pyodbc://...``.

        ``pooled`` keeps connections open between uses, for a process that does not fork meanwhile;
        ``connections`` has the time limits for the database's answers, and ``signer`` signs checkpoints
        (``staging.checkpoints``).
        """
        self.database: Final = Database(url, pooled=pooled, connections=connections, signer=signer)

    @property
    def engine(self) -> sa.Engine:
        """The engine; the tables of ``staging.schema`` work with it, in databases with and without schemas."""
        return self.database.engine

    def migrate(self) -> None:
        """Bring the schema to the revision of this release; does nothing if it is already there.

        Several processes may call this at the same time.

        Raises:
            RefusedError: the database is at a revision that this release does not have.
        """
        with refusals_named("migrating the staging schema"):
            migrate(self.database)

    def open_batch(
        self,
        batch_id: str,
        *,
        dag_id: str,
        run_id: str,
        kind: str,
        wave: str | None,
        as_of: date,
        rules_version: str,
        started_at: datetime,
        facts: Mapping[str, str] | None = None,
        units: Collection[str] | None = None,
        reuse_snapshot: str | None = None,
        without_tls: Sequence[str] = (),
    ) -> BatchState:
        """Open a batch, or open it again; returns its state.

        A verified batch that is opened again with the same values (kind, wave, as-of date, units, snapshot, rules)
        stays verified and visible to readers, until a partition with other rows is loaded. If it is opened with other
        values, its counts and quality results are deleted.

        Args:
            batch_id: the id of the batch, the same for every rerun of a run.
            dag_id: the DAG.
            run_id: the run of the DAG.
            kind: a ``BatchKind``, or its value.
            wave: the wave of a migration; None for every unit.
            as_of: the date that every rule compares with.
            rules_version: SHA-256 of mappings, suites and settings.
            started_at: the current time.
            units: HSA-ids of the units that are read; None for every unit.
            reuse_snapshot: the batch whose snapshot is replayed; None if PMO is read.
            facts: the inputs of ``rules_version``, by file and setting.
            without_tls: what the settings let be reached without TLS, for the audit trail.

        Raises:
            StagingError: the batch is immutable.
        """
        deciding: dict[str, Any] = {
            "kind": BatchKind(kind).value,
            "wave": wave,
            "as_of": as_of,
            "units": None if units is None else tuple(sorted(set(units))),
            "reuse_snapshot": reuse_snapshot,
            "rules_version": rules_version,
        }
        told = {**deciding, "as_of": as_of.isoformat(), **({WITHOUT_TLS: list(without_tls)} if without_tls else {})}
        begun = entry(batch_id, BatchState.OPEN, at=started_at, details=told)
        deciding["row_hash_version"] = HASH_VERSION
        values = {"dag_id": dag_id, "run_id": run_id, "started_at": started_at, "facts": facts, **deciding}
        with refusals_named(f"opening batch {batch_id}"), self.database.writing() as connection:
            query = sa.select(schema.batch).where(schema.batch.c.batch_id == batch_id).with_for_update(key_share=True)
            known = connection.execute(query.with_hint(schema.batch, "WITH (UPDLOCK)", "mssql")).one_or_none()
            if known is None:
                opened = {"batch_id": batch_id, "state": BatchState.OPEN.value, **values}
                connection.execute(schema.batch.insert().values(opened))
                connection.execute(begun)
                return BatchState.OPEN
            before = state = BatchState(known.state)
            refuse_immutable(batch_id, state)
            same = all(getattr(known, name) == deciding[name] for name in _DECIDING)
            if state is not BatchState.VERIFIED or not same:
                state = BatchState.OPEN
                values |= {"finished_at": None, **NOT_RECONCILED}
            if not same:
                for table in (schema.batch_partition, schema.unit_summary, schema.quality_result):
                    connection.execute(table.delete().where(table.c.batch_id == batch_id))
            connection.execute(_update(batch_id).values(state=state.value, **values))
            if state is not before or not same:
                connection.execute(begun)
            return state

    def stage_partition(
        self,
        batch_id: str,
        lower: int | None,
        upper: int | None,
        chunks: Iterable[AssessedChunk],
        *,
        part_sha256: str | None = None,
        now: datetime | None = None,
    ) -> StagedPartition:
        """Replace the batch's rows with ``lower <= post_id < upper`` by the chunks', in one transaction.

        None is an open end. The partitions of a batch cover all keys, so no row of an earlier plan remains. If the
        same rows from the same part of the snapshot were there before, the state does not change. Otherwise the same
        transaction opens the batch again; the entry in the audit trail has the time ``now``, or if that is None the
        time at which the batch was started.

        Raises:
            StagingError: the batch is unknown or immutable, a post is outside the range, or the database refused.
                Nothing has changed then. Errors of the chunks are passed on.
        """
        keys = KeyRange(lower, upper)
        with refusals_named(f"staging batch {batch_id}, partition {keys}"):
            return load_partition(self.database, batch_id, keys, chunks, part_sha256=part_sha256, now=now)

    def require_changeable(self, batch_id: str) -> None:
        """Raise an error if the batch may no longer be changed.

        Raises:
            StagingError: the batch is unknown or immutable.
        """
        refuse_immutable(batch_id, self.batch(batch_id).state)

    def keep_file(self, batch_id: str, file: BatchFile) -> None:
        """Add a file of the batch's folder to the batch's list; it replaces an earlier file of the same name.

        Raises:
            StagingError: the batch is unknown or immutable.
        """
        with self.changing(f"listing {file.name} of batch", batch_id) as (connection, _):
            _list(connection, batch_id, file)

    def files(self, batch_id: str) -> dict[str, BatchFile]:
        """Return the files on the batch's list, by name; empty for a batch of an earlier release."""
        table = schema.batch_file
        query = sa.select(*(table.c[column.name] for column in fields(BatchFile))).where(table.c.batch_id == batch_id)
        with refusals_named(f"files of batch {batch_id}"), self.database.connected() as connection:
            return {row["name"]: BatchFile(**row) for row in connection.execute(query).mappings()}

    def staged_ranges(self, batch_id: str) -> list[StagedRange]:
        """Return the ranges that were staged as partitions, in the order of their keys."""
        line = schema.batch_partition.c
        query = sa.select(line.lower_key, line.upper_key, line.posts, line.digest, line.part_sha256)
        query = query.where(line.batch_id == batch_id).order_by(line.lower_key)
        with refusals_named(f"partitions of batch {batch_id}"), self.database.connected() as connection:
            rows = connection.execute(query).all()
        return [StagedRange(None if row[0] == schema.OPEN_LOWER else row[0], *row[1:]) for row in rows]

    def replace_quality(
        self, batch_id: str, suite: str, results: Iterable["QualityResult"], *, file: BatchFile | None = None
    ) -> None:
        """Replace the results of one suite, and add the file of these results to the batch's list.

        Raises:
            StagingError: the batch is unknown or immutable, a result is of another suite, or two are
                of the same expectation and column.
        """
        table = schema.quality_result
        rows: list[dict[str, Any]] = [
            {
                "batch_id": batch_id,
                "suite": result.suite,
                "expectation": result.expectation,
                "column": result.column or "",
                "severity": str(result.severity),
                "evaluated": result.evaluated,
                "unexpected": result.unexpected,
                "threshold": result.threshold,
                "outcome": str(result.outcome),
            }
            for result in results
        ]
        others = sorted({row["suite"] for row in rows} - {suite})
        if others:
            raise RefusedError(f"results of suite {suite} hold some of {', '.join(others)}")
        with self.changing("storing quality results of batch", batch_id) as (connection, _):
            connection.execute(table.delete().where(table.c.batch_id == batch_id, table.c.suite == suite))
            if rows:
                connection.execute(table.insert(), rows)
            if file is not None:
                _list(connection, batch_id, file)

    def quality_results(self, batch_id: str) -> list["QualityResult"]:
        """Return the results of every suite that was run on a batch."""
        with refusals_named(f"quality results of batch {batch_id}"), self.database.connected() as connection:
            return read_quality_results(connection, batch_id)

    def mark_staged(self, batch_id: str, now: datetime | None = None) -> BatchState:
        """Record that every partition is loaded; returns the batch's state.

        A verified batch stays verified, and a failed one stays failed until it is verified. The entry in the audit
        trail has the time ``now``, or if that is None the time at which the batch was started.

        Raises:
            StagingError: the batch is unknown or immutable.
        """
        with self.changing("marking as staged batch", batch_id) as (connection, state):
            if state is not BatchState.OPEN:
                return state
            values = {"state": BatchState.STAGED.value, "finished_at": None, **NOT_RECONCILED}
            connection.execute(_update(batch_id).values(values))
            connection.execute(entry(batch_id, BatchState.STAGED, at=now, details=_loaded(connection, batch_id)))
            return BatchState.STAGED

    def mark_verified(self, batch_id: str, now: datetime) -> None:
        """Make the batch visible to readers.

        A batch that failed after it was reconciled may be verified too: it still has the same rows.

        Raises:
            StagingError: the batch is unknown, immutable, or has not been reconciled since it was staged.
        """
        with self.changing("marking as verified batch", batch_id) as (connection, state):
            batch = _fetch(connection, batch_id)
            if batch.posts_extracted is None:
                raise RefusedError(f"batch {batch_id} is {state} and has not been reconciled: it cannot be verified")
            connection.execute(_update(batch_id).values(state=BatchState.VERIFIED.value, finished_at=now))
            if state is not BatchState.VERIFIED:
                counts = {"posts": batch.posts_extracted, "staged": batch.posts_staged}
                connection.execute(entry(batch_id, BatchState.VERIFIED, at=now, details=counts))

    def mark_failed(self, batch_id: str, now: datetime, *, reason: str | None = None) -> None:
        """Record that the batch has failed, with the reason; readers no longer see it.

        Raises:
            StagingError: the batch is unknown or immutable.
        """
        with self.changing("marking as failed batch", batch_id) as (connection, state):
            connection.execute(_update(batch_id).values(state=BatchState.FAILED.value, finished_at=now))
            if state is not BatchState.FAILED:
                connection.execute(entry(batch_id, BatchState.FAILED, at=now, reason=reason))

    def refresh_statistics(self) -> None:
        """Update PostgreSQL's statistics of tables into which rows were loaded since the last ANALYZE.

        Without this the planner expects a new batch to have few rows, and chooses nested loops: minutes instead of
        seconds.
        """
        if self.database.dialect != "postgresql":
            return
        with refusals_named("counting the staged rows"), self.database.writing() as connection:
            # Two steps may do this at the same time: the second waits, and finds nothing to do.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_STATISTICS_LOCK)))
            stale = connection.execute(sa.text(read_sql("find_stale_statistics.postgresql", schema.SCHEMA))).scalars()
            for name in stale.all():
                connection.execute(sa.select(sa.func.millennium_staging.analyze_rows(name)))

    def knows(self, batch_id: str) -> bool:
        """Return whether the batch was ever opened in this database; False if there are no tables yet."""
        table = schema.batch
        with refusals_named(f"batch {batch_id}"), self.database.connected() as connection:
            if not sa.inspect(connection).has_table(table.name, schema=self.database.schema):
                return False
            query = sa.select(table.c.batch_id).where(table.c.batch_id == batch_id)
            return connection.scalar(query) is not None

    def batch(self, batch_id: str) -> Batch:
        """Return one batch.

        Raises:
            StagingError: there is no such batch.
        """
        with refusals_named(f"batch {batch_id}"), self.database.connected() as connection:
            return _fetch(connection, batch_id)

    def events(self, batch_id: str) -> list[Event]:
        """Return a batch's audit trail, the oldest entry first; empty for a batch that was never opened."""
        with refusals_named(f"audit trail of batch {batch_id}"), self.database.connected() as connection:
            return read_events(connection, batch_id)

    def released_post_ids(
        self, lower: int | None, upper: int | None, *, up_to: date | None = None
    ) -> npt.NDArray[np.int64]:
        """Return the posts with ``lower <= post_id < upper`` that were released in some batch, sorted.

        Args:
            lower: first key, None for no bound.
            upper: first key after the range, None for no bound.
            up_to: batches as of a later day are left out; None for all batches.
        """
        released, batch = schema.released_post.c, schema.batch.c
        column = released.post_id
        query = sa.select(column).where(KeyRange(lower, upper).holds(column)).order_by(column)
        if up_to is not None:
            earlier = sa.select(batch.batch_id).where(batch.as_of <= up_to)
            query = query.where(released.batch_id.in_(earlier))
        with refusals_named("reading released posts"), self.database.reading() as read:
            found = [table["post_id"].to_numpy() for table in read(query, _POST_IDS)]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    @contextmanager
    def changing(self, doing: str, batch_id: str) -> Iterator[tuple[sa.Connection, BatchState]]:
        """Yield a transaction that has locked the batch, and the batch's state; commits at the end.

        Raises:
            StagingError: the batch is unknown or immutable, or the database refused.
        """
        with self.holding(doing, batch_id) as (connection, state):
            refuse_immutable(batch_id, state)
            yield connection, state

    @contextmanager
    def holding(self, doing: str, batch_id: str) -> Iterator[tuple[sa.Connection, BatchState]]:
        """Yield a transaction that has locked the batch, immutable or not, and its state; commits at the end.

        For decisions about a batch; use ``changing`` to change its rows.

        Raises:
            StagingError: the batch is unknown, or the database refused.
        """
        with refusals_named(f"{doing} {batch_id}"), self.database.writing() as connection:
            yield connection, state_of(runner(connection), batch_id, lock=True)


def _update(batch_id: str) -> sa.Update:
    return schema.batch.update().where(schema.batch.c.batch_id == batch_id)


def _list(connection: sa.Connection, batch_id: str, file: BatchFile) -> None:
    table = schema.batch_file
    connection.execute(table.delete().where(table.c.batch_id == batch_id, table.c.name == file.name))
    connection.execute(table.insert().values(batch_id=batch_id, **asdict(file)))


def _loaded(connection: sa.Connection, batch_id: str) -> dict[str, int]:
    line = schema.batch_partition.c
    sums = {name: sa.func.coalesce(sa.func.sum(line[name]), 0) for name in ("posts", "staged", "findings")}
    found = connection.execute(sa.select(*sums.values()).where(line.batch_id == batch_id)).one()
    return dict(zip(sums, map(int, found), strict=True))


def read_quality_results(connection: sa.Connection, batch_id: str) -> list["QualityResult"]:
    """Return the results of every suite that was run on a batch, by suite, expectation and column."""
    from waitlist.results import QualityResult  # noqa: PLC0415 - quality imports staging's tables

    table = schema.quality_result
    columns = [column for column in table.columns if column is not table.c.batch_id]
    query = sa.select(*columns).where(table.c.batch_id == batch_id)
    rows = connection.execute(query.order_by(table.c.suite, table.c.expectation, table.c.column))
    return [QualityResult.from_dict(dict(row)) for row in rows.mappings()]


def find_batch(connection: sa.Connection, batch_id: str) -> Batch | None:
    """Return a batch; None if there is no batch with that id."""
    found = connection.execute(_BATCHES.where(schema.batch.c.batch_id == batch_id)).mappings().one_or_none()
    return None if found is None else _batch(found)


def read_every_batch(connection: sa.Connection) -> list[Batch]:
    """Return every batch, by id."""
    return [_batch(row) for row in connection.execute(_BATCHES.order_by(schema.batch.c.batch_id)).mappings()]


def _batch(row: sa.RowMapping) -> Batch:
    return Batch(**{**row, "kind": BatchKind(row["kind"]), "state": BatchState(row["state"])})


def _fetch(connection: sa.Connection, batch_id: str) -> Batch:
    found = find_batch(connection, batch_id)
    if found is None:
        raise RefusedError(f"batch {batch_id} is unknown: open it first")
    return found
