"""Replacing one partition of a batch in one transaction, however large the partition is.

Rows are received and written chunk by chunk, so memory does not grow with the partition. Old rows go in the same
transaction, so a reader sees the old partition or the new one, and a process that is killed leaves the old one.
How the rows are loaded depends on the database:

PostgreSQL takes them by ADBC (binary COPY) into tables that this transaction has created, without a key and without
guards. At the end the key is built, and the tables take the place of the old ones as partitions of the row tables, with
the bookkeeping. Partitions of one batch load side by side, and the batch's row is locked only for that end. A process
that is killed leaves nothing: the tables were created in the same transaction. SQLite has one writer at a time, so
rows are spooled to a temporary table first and the database is locked only while they are copied
over. Any other database takes them by ``executemany``, one partition of a batch after the other.
"""

import binascii
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from waitlist.exceptions import RefusedError, StagingError
from waitlist.staging import chain, schema
from waitlist.staging.chain import Run, runner
from waitlist.staging.database import Database, numbered
from waitlist.staging.digest import ContentDigest, text_bytes
from waitlist.staging.events import entry
from waitlist.staging.states import IMMUTABLE, NOT_RECONCILED, BatchState

_ROWS: Final[Sequence[tuple[sa.Table, pa.Schema]]] = tuple(
    (table, schema.arrow_rows(table)) for table in schema.ROWS_OF
)
"""The views, whose names are in the digests, and the columns of what is loaded into the row table of each."""
_HASH: Final = schema.bokningsbegaran_row.c.row_hash.name


class AssessedChunk(Protocol):
    """The assessment of some posts: one disposition per post, the findings, and the booking requests."""

    @property
    def dispositions(self) -> pa.Table:
        """Columns of the view ``disposition`` but for the batch's."""

    @property
    def findings(self) -> pa.Table:
        """Columns of the view ``finding`` but for the batch's."""

    @property
    def bokningsbegaran(self) -> pa.Table:
        """Columns of the view ``bokningsbegaran`` but for the batch's."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys ``[lower, upper)`` of ``post_id``; None is an open end."""

    lower: int | None
    upper: int | None

    def __str__(self) -> str:
        return f"[{'' if self.lower is None else self.lower}, {'' if self.upper is None else self.upper})"

    def holds(self, column: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
        """Return the condition that a key is in the range."""
        bounds: list[sa.ColumnElement[bool]] = [sa.true()]
        if self.lower is not None:
            bounds.append(column >= self.lower)
        if self.upper is not None:
            bounds.append(column < self.upper)
        return sa.and_(*bounds)


@dataclass(frozen=True, slots=True)
class StagedPartition:
    """The content of a partition after it was loaded."""

    lower: int | None
    upper: int | None
    posts: int
    """Posts, each with one disposition."""
    staged: int
    """Booking requests."""
    findings: int
    digest: str
    """SHA-256 over all rows of the partition."""
    requests_digest: str
    """SHA-256 over the booking requests alone."""
    unchanged: bool
    """Whether the same rows were there before, so that the batch's state did not change."""


class _Line(NamedTuple):
    """A row of ``batch_partition`` but for its ``batch_id``."""

    lower_key: int
    upper_key: int | None
    posts: int
    staged: int
    findings: int
    digest: str
    part_sha256: str | None


@dataclass(frozen=True, slots=True)
class _Load:
    append: Callable[[sa.Table, pa.Table], None]
    settle: Callable[[Callable[[Run], bool]], bool]


def load_partition(
    database: Database,
    batch_id: str,
    keys: KeyRange,
    chunks: Iterable[AssessedChunk],
    *,
    part_sha256: str | None,
    now: datetime | None,
) -> StagedPartition:
    """Replace the batch's rows in a key range by the chunks' rows, in one transaction.

    The row of ``batch_partition`` gets the checksum of the part that they come from. If this opens the batch again, the
    entry in the audit trail has the time ``now``, or if that is None the time at which the batch was started.

    Raises:
        StagingError: the batch is unknown or immutable, or a post is outside the range.
    """
    load: AbstractContextManager[_Load] = _LOADS.get(database.dialect, _load_by_rows)(database, batch_id, keys)
    digest = ContentDigest()
    counts = dict.fromkeys((table.name for table, _ in _ROWS), 0)
    with load as into:
        for chunk in chunks:
            for table, rows in _canonical(chunk, keys):
                digest.update(table.name, rows)
                counts[table.name] += rows.num_rows
                if rows.num_rows:
                    into.append(table, _as_stored(rows))
        line = _Line(
            lower_key=schema.OPEN_LOWER if keys.lower is None else keys.lower,
            upper_key=keys.upper,
            posts=counts["disposition"],
            staged=counts["bokningsbegaran"],
            findings=counts["finding"],
            digest=digest.hexdigest(),
            part_sha256=part_sha256,
        )
        unchanged = into.settle(lambda run: _account(run, batch_id, keys, line, now))
    return StagedPartition(
        keys.lower,
        keys.upper,
        line.posts,
        line.staged,
        line.findings,
        line.digest,
        digest.hexdigest(schema.bokningsbegaran.name),
        unchanged,
    )


def state_of(run: Run, batch_id: str, *, lock: bool) -> BatchState:
    """Return a batch's state; with ``lock`` no other session can change it until the transaction ends.

    Raises:
        RefusedError: there is no such batch.
    """
    query = sa.select(schema.batch.c.state).where(schema.batch.c.batch_id == batch_id)
    if lock:
        query = query.with_for_update(key_share=True).with_hint(schema.batch, "WITH (UPDLOCK)", "mssql")
    found = run(query)
    if not found:
        raise RefusedError(f"batch {batch_id} is unknown: open it first")
    return BatchState(found[0][0])


def refuse_immutable(batch_id: str, state: BatchState) -> None:
    """Raise an error if the batch may no longer be changed.

    Raises:
        RefusedError: the batch awaits approval, or was released, withdrawn or rejected.
    """
    if state in IMMUTABLE:
        name = state.value.replace("_", " ")
        raise RefusedError(f"batch {batch_id} is {name} and immutable: nothing was changed; start a new run")


def remove_rows(database: Database, connection: sa.Connection, batch_id: str) -> None:
    """Remove the rows of a batch's posts; on PostgreSQL their partitions are dropped, however many rows they have.

    Args:
        database: the staging database.
        connection: in a transaction that has locked the batch.
        batch_id: the batch. One that is decided must have the entry ``purged`` in its audit trail already.
    """
    if database.dialect == "postgresql":
        connection.execute(sa.select(sa.func.millennium_staging.drop_parts(batch_id)))
        return
    _clear(runner(connection), _number(runner(connection), batch_id), KeyRange(None, None))


def _canonical(chunk: AssessedChunk, keys: KeyRange) -> Iterator[tuple[sa.Table, pa.Table]]:
    tables = (chunk.dispositions, chunk.findings, chunk.bokningsbegaran)
    for (table, form), given in zip(_ROWS, tables, strict=True):
        rows = given.select(form.names).cast(form)
        posts = rows["post_id"].to_numpy()
        if len(posts):
            low, high = int(posts.min()), int(posts.max())
            if (keys.lower is not None and low < keys.lower) or (keys.upper is not None and high >= keys.upper):
                raise StagingError(f"{table.name}: post_id {low} to {high} reach outside partition {keys}")
            if np.any(posts[1:] < posts[:-1]):
                # Findings may be ordered by rule. Order by key fills indexes fastest, and gives a reproducible digest.
                rows = rows.take(np.argsort(posts, kind="stable"))
        yield table, rows


def _as_stored(rows: pa.Table) -> pa.Table:
    """Return rows with each ``row_hash`` as the bytes that its hex digits say."""
    place = rows.schema.get_field_index(_HASH)
    if place < 0:
        return rows
    digits = rows[_HASH].combine_chunks()
    # As bytes: a memoryview is compared value by value.
    text = bytes(text_bytes(digits))
    with suppress(ValueError):
        values = binascii.unhexlify(text)
        # Upper-case digits would come back as lower-case ones.
        whole = pc.all(pc.equal(pc.binary_length(digits), 64), skip_nulls=False).as_py()
        if whole and binascii.hexlify(values) == text:
            stored = pa.Array.from_buffers(pa.binary(32), len(digits), [None, pa.py_buffer(values)])
            return rows.set_column(place, _HASH, stored)
    raise StagingError(f"{schema.bokningsbegaran.name}: a {_HASH} is not 64 lower-case hex digits")


def _account(run: Run, batch_id: str, keys: KeyRange, line: _Line, now: datetime | None) -> bool:
    """Write the partition's row, and reopen the batch if something changed; return whether nothing changed."""
    state = state_of(run, batch_id, lock=True)
    refuse_immutable(batch_id, state)
    table = schema.batch_partition
    meets = [table.c.batch_id == batch_id]
    if keys.upper is not None:
        meets.append(table.c.lower_key < keys.upper)
    if keys.lower is not None:
        meets.append(sa.or_(table.c.upper_key.is_(None), table.c.upper_key > keys.lower))
    stored = run(sa.select(*(table.c[name] for name in line._fields)).where(*meets))
    unchanged = stored == [tuple(line)]
    if not unchanged:
        run(table.delete().where(*meets))
        run(table.insert().values(batch_id=batch_id, **line._asdict()))
    if not unchanged or state is BatchState.FAILED:
        run(
            schema.batch.update()
            .where(schema.batch.c.batch_id == batch_id)
            # A bound value would have no type in ADBC.
            .values(state=BatchState.OPEN.value, **dict.fromkeys((*NOT_RECONCILED, "finished_at"), sa.null()))
        )
        if state is not BatchState.OPEN:
            counts = {"posts": line.posts, "staged": line.staged, "findings": line.findings}
            run(entry(batch_id, BatchState.OPEN, at=now, details={"partition": str(keys), **counts}))
    return unchanged


def _clear(run: Run, batch_no: int, keys: KeyRange) -> None:
    for rows in schema.ROWS_OF.values():
        run(rows.delete().where(rows.c.batch_no == batch_no, keys.holds(rows.c.post_id)))


def _number(run: Run, batch_id: str) -> int:
    return int(run(sa.select(schema.batch.c.batch_no).where(schema.batch.c.batch_id == batch_id))[0][0])


@contextmanager
def _load_by_adbc(database: Database, batch_id: str, keys: KeyRange) -> Iterator[_Load]:
    functions = sa.func.millennium_staging
    bounds = [sa.cast(sa.null() if bound is None else bound, sa.BigInteger) for bound in (keys.lower, keys.upper)]
    with database.adbc() as connection, connection.cursor() as cursor:
        chained: list[tuple[str, str, chain.Line]] = []

        def run(statement: sa.Executable) -> list[tuple[Any, ...]]:
            asked = chain.returning(statement)
            cursor.execute(*numbered(asked))
            rows = cursor.fetchall() if isinstance(statement, sa.Select) or asked is not statement else []
            chained.extend(chain.rows_of(statement, rows))
            return rows

        def append(table: sa.Table, rows: pa.Table) -> None:
            cursor.adbc_ingest(loaded[table.name], rows, mode="append", db_schema_name=schema.SCHEMA)

        def settle(account: Callable[[Run], bool]) -> bool:
            # Before the batch is locked: it takes a good part of the time.
            run(sa.select(functions.key_part(batch_id, part)))
            unchanged = account(run)
            run(sa.select(functions.attach_part(batch_id, part, *bounds)))
            chain.add_links(run, database.dialect, chained)
            connection.commit()
            return unchanged

        refuse_immutable(batch_id, state_of(run, batch_id, lock=False))
        # Two processes that load the same partition: the second waits here.
        run(sa.select(sa.literal(1)).select_from(sa.func.pg_advisory_xact_lock(_lock_number(batch_id, keys))))
        part = run(sa.select(functions.create_part(batch_id, *bounds)))[0][0]
        number = _number(run, batch_id)
        loaded = {view.name: f"{rows.name}_{number}_{part}" for view, rows in schema.ROWS_OF.items()}
        yield _Load(append, settle)


def _lock_number(batch_id: str, keys: KeyRange) -> int:
    name = f"waitlist partition {batch_id} {keys}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


@contextmanager
def _load_by_spool(database: Database, batch_id: str, keys: KeyRange) -> Iterator[_Load]:
    with database.connected() as connection:
        with connection.begin():
            refuse_immutable(batch_id, state_of(runner(connection), batch_id, lock=False))
        spools = {table.name: _spool(table) for table, _ in _ROWS}
        inserts = {name: str(spool.insert().compile(dialect=database.engine.dialect)) for name, spool in spools.items()}
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - tells the type checker
        # This transaction writes only to temporary tables, which blocks no other session.
        spooling = connection.begin()
        for spool in spools.values():
            spool.create(connection)

        def append(table: sa.Table, rows: pa.Table) -> None:
            columns = (_sqlite_values(column) for column in rows.columns)
            driver.executemany(inserts[table.name], zip(*columns, strict=True))

        def settle(account: Callable[[Run], bool]) -> bool:
            spooling.commit()
            connection.execution_options(sqlite_begin="BEGIN IMMEDIATE")
            with connection.begin():
                run = runner(connection)
                unchanged = account(run)
                number = _number(run, batch_id)
                _clear(run, number, keys)
                for view, table in schema.ROWS_OF.items():
                    spool = spools[view.name]
                    rows = sa.select(sa.literal(number), *spool.c).order_by(sa.literal_column("rowid"))
                    run(table.insert().from_select(["batch_no", *spool.c.keys()], rows))
                for spool in spools.values():
                    # The connection may be kept.
                    spool.drop(connection)
            return unchanged

        yield _Load(append, settle)


def _spool(table: sa.Table) -> sa.Table:
    # In the order of what is loaded.
    rows = schema.ROWS_OF[table].columns
    columns = [sa.Column(name, rows[name].type) for name in schema.arrow_rows(table).names]
    return sa.Table(f"spool_{table.name}", sa.MetaData(), *columns, prefixes=["TEMPORARY"])


def _sqlite_values(column: pa.ChunkedArray) -> list[Any]:
    # As SQLAlchemy stores them: dates as ISO text, booleans as numbers.
    if pa.types.is_date(column.type):
        column = column.cast(pa.string())
    elif pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    values: list[Any] = column.to_pylist()
    return values


@contextmanager
def _load_by_rows(database: Database, batch_id: str, keys: KeyRange) -> Iterator[_Load]:
    with database.writing() as connection:
        run = runner(connection)

        def append(table: sa.Table, rows: pa.Table) -> None:
            names = ["batch_no", *rows.column_names]
            columns = (column.to_pylist() for column in rows.columns)
            values = [dict(zip(names, row, strict=True)) for row in zip(repeat(number), *columns, strict=False)]
            connection.execute(schema.ROWS_OF[table].insert(), values)

        def settle(account: Callable[[Run], bool]) -> bool:
            return account(run)

        # The lock is taken at the start, so that partitions of one batch are loaded one after the other.
        refuse_immutable(batch_id, state_of(run, batch_id, lock=True))
        number = _number(run, batch_id)
        _clear(run, number, keys)
        yield _Load(append, settle)


_LOADS: Final[Mapping[str, Callable[[Database, str, KeyRange], AbstractContextManager[_Load]]]] = {
    "postgresql": _load_by_adbc,
    "sqlite": _load_by_spool,
}
