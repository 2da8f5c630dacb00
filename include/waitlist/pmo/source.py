"""PMO's waiting list: counted, cut into partitions, read, and written as a snapshot.

A partition is read in the order of its keys, a chunk at a time. arrow-odbc fetches whole columns into
buffers of fixed width and refuses a text that does not fit; such a chunk is read once more, row by row, by
pyodbc, which takes any length. Both ways ask for the same texts and share ``contract.to_posts``, so what
comes out does not tell which way it came. Memory holds one chunk: databases that stream a result are asked
once a partition, the others once a chunk.
"""

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any, Final

import arrow_odbc
import pyarrow as pa
import pyodbc  # type: ignore[import-not-found]  # its stub lies where mypy does not look
from upath import UPath

from waitlist.exceptions import SourceError
from waitlist.pmo.connection import BulkReadError, Dialect, OdbcSource
from waitlist.pmo.contract import BOOKING_DATES, NAMED_IDS, ValueFaults, check_columns, to_posts
from waitlist.pmo.pace import Pace
from waitlist.pmo.query import FILE_NAME, KEY_MAX, Selection, SourceQuery, Statement
from waitlist.schema import POSTS
from waitlist.settings import Settings
from waitlist.snapshot import Partition, SnapshotPart, write_part

log: Final = logging.getLogger(__name__)

_TRANSIT_BYTES: Final = 8 * 2**20
"""arrow-odbc's buffer. Small ones stay in the processor's cache; a row must fit."""
_ROW_BUFFERS: Final = 2 * len(POSTS)
_BULK_TRIES: Final = 3
"""Long texts in a partition after which its rest is read row by row: each costs a streaming query anew."""
_PROBED_POSTS: Final = 1_000
_BUCKETS: Final = 100
"""Parts of a partition that are counted; partitions differ by at most one of them."""


@dataclass(frozen=True)
class _Shape:
    """How this source's columns are asked for."""

    dialect: Dialect
    select: str
    typed_dates: tuple[str, ...]


class PmoSource:
    """PMO behind one ODBC connection string.

    Args:
        connection_string: as ODBC takes it, login included; options that a known driver needs are added.
        settings: where the query file lies and how much is done at a time.
        pace: how fast and at what hours PMO may be read; as the settings say when it is left out.

    Raises:
        SourceError: the query file is missing or at fault.
    """

    def __init__(self, connection_string: str, settings: Settings, *, pace: Pace | None = None) -> None:
        self._settings = settings
        self._pace = pace or Pace(settings.pmo_read_window, settings.pmo_posts_per_second)
        self._query = SourceQuery.load(settings.sql_dir)
        self._odbc = OdbcSource(connection_string, self._query, settings.connections)

    def count(self, selection: Selection) -> int:
        """Count the posts of a selection in PMO.

        Raises:
            SourceError: PMO cannot be read.
        """
        with self._odbc.rows() as connection:
            return self._count(connection, selection)

    def plan(self, selection: Selection) -> list[Partition]:
        """Cut the whole line of keys into partitions of about ``partition_posts`` posts, all as full.

        Returns:
            At least one partition; the first begins at the lowest key, the last ends at the highest.

        Raises:
            SchemaDriftError: the query does not return the contract's columns.
            SourceError: PMO cannot be read, is empty, or has posts whose key is empty or not their own.
            WindowClosedError: not at this hour.
        """
        self._pace.begin()
        with self._odbc.rows() as connection:
            shape = self._check(connection, selection)
            return self._cut(connection, selection, shape.dialect)

    def read(self, selection: Selection, partition: Partition) -> Iterator[pa.Table]:
        """Read a partition chunk by chunk.

        Yields:
            Tables of schema ``POSTS`` with ``chunk_posts`` rows, the last with what is left, in the order of
            ``post_id``. Once a value breaks the contract no more come, while the rest is read for faults.

        Raises:
            SchemaDriftError: columns or values break the contract.
            SourceError: PMO cannot be read, or other posts were read than the plan counted.
            WindowClosedError: not at this hour, or no longer.
        """
        self._pace.begin()
        with self._odbc.rows() as connection:
            shape = self._check(connection, selection)
        faults = ValueFaults(FILE_NAME)
        posts = 0
        for chunk in self._chunks(selection, partition, shape):
            posts += chunk.num_rows
            table = to_posts(chunk, shape.typed_dates, faults)
            if table is not None:
                yield table
            if posts < partition.posts:
                self._pace.took(chunk.num_rows)
        faults.stop()
        if posts != partition.posts:
            raise SourceError(
                f"partition {partition.number} (post_id {_range(partition)}): {partition.posts} posts were "
                f"counted, {posts} were read: PMO changed while it was read or the driver dropped rows: "
                "rerun, beginning with the plan"
            )

    def extract(self, selection: Selection, partition: Partition, folder: UPath) -> SnapshotPart:
        """Read a partition into a snapshot file; nothing is left of it when reading fails.

        Raises:
            SchemaDriftError, SourceError: as ``read``.
            SnapshotError: the folder cannot be written to.
        """
        return write_part(folder, partition, self.read(selection, partition))

    def bulk_read(
        self, selection: Selection, partitions: Sequence[Partition]
    ) -> tuple[str, list[Statement], dict[str, Any]]:
        """Return how arrow-odbc would read partitions by itself, as whoever measures or explains the reading asks.

        Returns:
            The connection string; a statement a partition; the options of ``read_arrow_batches``.

        Raises:
            SchemaDriftError, SourceError: as ``plan``.
        """
        with self._odbc.rows() as connection:
            shape = self._check(connection, selection)
        statements = [self._query.select(selection, shape.select, each.lower, each.upper) for each in partitions]
        return self._odbc.connection_string, statements, self._bulk_options(shape.dialect)

    def _count(self, connection: pyodbc.Connection, selection: Selection) -> int:
        rows = _fetch(connection, self._query.count(selection))
        return int(rows[0][0])

    def _nothing(self, connection: pyodbc.Connection, selection: Selection) -> SourceError:
        every = self._count(connection, Selection(selection.as_of)) if selection.units else 0
        if every:
            return SourceError(
                f"PMO has {every} posts as of {selection.as_of}, but none in the units selected "
                f"({', '.join(selection.units or ())}): check the HSA-ids against PMO's"
            )
        return SourceError(
            f"PMO has no posts as of {selection.as_of}: check the as-of date, the database that the connection "
            f"`pmo` names, what its login may see, and the query {self._query.path}"
        )

    def _cut(self, connection: pyodbc.Connection, selection: Selection, dialect: Dialect) -> list[Partition]:
        most = self._settings.partition_posts
        size = -(-most // _BUCKETS)
        buckets = [
            (int(posts), _key(first), int(empty or 0), int(repeated or 0))
            for posts, first, empty, repeated in _fetch(connection, self._query.cut(selection, size, dialect.as_text))
        ]
        if not buckets:
            raise self._nothing(connection, selection)
        faults = []
        if empty := sum(bucket[2] for bucket in buckets):
            faults.append(f"{empty} posts have no post_id")
        elif any(bucket[1] is None for bucket in buckets):
            faults.append("a post_id is no whole number")
        if repeated := sum(bucket[3] for bucket in buckets):
            faults.append(f"{repeated} posts have another's post_id: {self._repeated(connection, selection)}")
        if faults:
            raise SourceError(
                f"PMO's query {self._query.path} does not give each post a key of its own: "
                f"{'; '.join(faults)}: correct the query (a join that finds several rows?)"
            )
        partitions = -(-sum(bucket[0] for bucket in buckets) // most)
        together = -(-len(buckets) // partitions)
        groups = [buckets[start : start + together] for start in range(0, len(buckets), together)]
        bounds = [None, *(group[0][1] for group in groups[1:]), None]
        return [
            Partition(number, bounds[number], bounds[number + 1], sum(bucket[0] for bucket in group))
            for number, group in enumerate(groups)
        ]

    def _repeated(self, connection: pyodbc.Connection, selection: Selection) -> str:
        repeated = self._query.repeated(selection, self._odbc.dialect(connection).as_text)
        with closing(connection.cursor()) as cursor:
            rows = cursor.execute(repeated.sql, *repeated.parameters).fetchmany(NAMED_IDS + 1)
        return ", ".join([str(row[0]) for row in rows[:NAMED_IDS]] + ["..."] * (len(rows) > NAMED_IDS))

    def _check(self, connection: pyodbc.Connection, selection: Selection) -> _Shape:
        """Hold the query's columns against the contract, and decide how each is asked for."""
        dialect = self._odbc.dialect(connection)
        nothing = self._query.describe(selection)
        with closing(connection.cursor()) as cursor:
            cursor.execute(nothing.sql, *nothing.parameters)
            types = {column[0]: {column[1]} for column in cursor.description}
            names = [column[0] for column in cursor.description]
        found: dict[str, set[Any]] = types
        if dialect.types_in_values:
            known = [name for name in POSTS.names if name in types]
            probe = self._query.probe(selection, known, _PROBED_POSTS)
            columns = zip(*_fetch(connection, probe), strict=True)
            found = {name: set(values) - {"null"} for name, values in zip(known, columns, strict=False)}
        check_columns(names, found, types_in_values=dialect.types_in_values, query=FILE_NAME)
        return _Shape(
            dialect,
            select=", ".join(
                f"q.{name}" if types[name] == {str} else f"{dialect.as_text.replace('{}', f'q.{name}')} AS {name}"
                for name in POSTS.names
            ),
            typed_dates=()
            if dialect.types_in_values
            else tuple(name for name in BOOKING_DATES if types[name] != {str}),
        )

    def _chunks(self, selection: Selection, partition: Partition, shape: _Shape) -> Iterator[pa.Table]:
        """Yield the partition as texts, ``chunk_posts`` rows at a time however they are read."""
        lower = partition.lower
        long_texts = 0
        while lower is None or lower <= KEY_MAX:
            rows = 0
            reason = shape.dialect.by_row
            rest = bool(reason)
            if not reason:
                try:
                    statement = self._statement(selection, lower, partition.upper, shape)
                    for chunk in self._by_column(statement, shape.dialect):
                        yield chunk
                        rows, lower = chunk.num_rows, _next_key(chunk)
                except BulkReadError as error:
                    reason = str(error)
                    long_texts += 1
                    rest = shape.dialect.page is None and long_texts >= _BULK_TRIES
            if reason:
                log.info("partition %s, from post_id %s: read row by row, %s", partition.number, lower, reason)
                with closing(self._by_row(self._statement(selection, lower, partition.upper, shape))) as chunks:
                    for chunk in islice(chunks, None if rest else 1):
                        yield chunk
                        rows, lower = chunk.num_rows, _next_key(chunk)
            if rows < self._settings.chunk_posts:
                return

    def _statement(self, selection: Selection, lower: int | None, upper: int | None, shape: _Shape) -> Statement:
        page = (shape.dialect.page or "").replace("{}", str(self._settings.chunk_posts))
        return self._query.select(selection, shape.select, lower, upper, page)

    def _bulk_options(self, dialect: Dialect) -> dict[str, Any]:
        return {
            "batch_size": self._settings.chunk_posts,
            "max_bytes_per_batch": max(_TRANSIT_BYTES, _ROW_BUFFERS * self._settings.max_text_bytes),
            "max_text_size": self._settings.max_text_bytes,
            "map_schema": _as_texts,
            "fetch_concurrently": False,
            "payload_text_encoding": dialect.encoding,
        }

    def _by_column(self, statement: Statement, dialect: Dialect) -> Iterator[pa.Table]:
        connection = self._odbc.columns()
        size = self._settings.chunk_posts
        waiting: list[pa.RecordBatch] = []
        rows = 0
        try:
            reader = connection.read_arrow_batches(
                statement.sql, parameters=statement.parameters, **self._bulk_options(dialect)
            )
            for batch in reader:
                waiting.append(batch)
                rows += batch.num_rows
                while rows >= size:
                    table = pa.Table.from_batches(waiting)
                    yield table.slice(0, size).combine_chunks()
                    waiting = table.slice(size).to_batches()
                    rows -= size
        except arrow_odbc.Error as error:
            raise self._odbc.bulk_failure(error) from None
        if rows:
            yield pa.Table.from_batches(waiting).combine_chunks()

    def _by_row(self, statement: Statement) -> Generator[pa.Table, None, None]:
        # pyodbc's own context manager commits and leaves the result in memory.
        with self._odbc.rows() as connection, closing(connection.cursor()) as cursor:
            cursor.execute(statement.sql, *statement.parameters)
            while rows := cursor.fetchmany(self._settings.chunk_posts):
                columns = zip(*rows, strict=True)
                yield pa.table({name: _texts(column) for name, column in zip(POSTS.names, columns, strict=True)})


def _fetch(connection: pyodbc.Connection, statement: Statement) -> list[pyodbc.Row]:
    with closing(connection.cursor()) as cursor:
        rows: list[pyodbc.Row] = cursor.execute(statement.sql, *statement.parameters).fetchall()
    return rows


def _as_texts(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(name, pa.string()) for name in schema.names])


def _texts(column: Sequence[object]) -> "pa.Array[Any]":
    try:
        return pa.array(column, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([_text(value) for value in column], pa.string())


def _text(value: object) -> str | None:
    """Write a value as a driver that is asked for text does."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)


def _key(value: object) -> int | None:
    try:
        return int(Decimal(str(value)))
    except ArithmeticError:
        return None


def _next_key(chunk: pa.Table) -> int:
    """Return the key to go on from: beyond the last one where that is no number, which is noticed elsewhere."""
    last = _key(chunk.column("post_id")[-1].as_py())
    return KEY_MAX + 1 if last is None else last + 1


def _range(partition: Partition) -> str:
    lowest = "the lowest" if partition.lower is None else partition.lower
    highest = "the highest" if partition.upper is None else partition.upper - 1
    return f"{lowest} to {highest}"
