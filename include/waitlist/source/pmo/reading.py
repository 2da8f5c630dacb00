"""One connection to PMO in one transaction, which sees one state of the database if the database supports that.

A partition is counted and read in the same transaction, so a post that is registered, closed or deleted meanwhile
changes neither the count nor the posts. There are two kinds: one fetches whole columns by arrow-odbc, into buffers of
fixed width; the other fetches rows by pyodbc, with texts of any length. Both return the same texts.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from decimal import Decimal
from typing import Any, Final, Protocol, TypeAlias

import arrow_odbc
import pyarrow as pa
import pyarrow.compute as pc
import pyodbc  # type: ignore[import-not-found]  # mypy does not find its stub

from waitlist.schema import POSTS
from waitlist.source.pmo.connection import BulkReadError, Dialect, OdbcSource
from waitlist.source.pmo.query import Statement

OCTETS: Final = "octets"
"""The column in which the database returns the total length of a post's texts in bytes."""

_TRANSIT_BYTES: Final = 8 * 2**20
"""Size of arrow-odbc's buffer. A small buffer fits into the processor's cache; a row must fit into the buffer."""
_ROW_BUFFERS: Final = 2 * len(POSTS)
_SHORT_TEXT: Final = 1_024

Row: TypeAlias = tuple[str | None, ...]


class Reading(Protocol):
    """A connection in its transaction; its errors are raised as described in ``OdbcSource``."""

    def ask(self, statement: Statement) -> list[Row]:
        """Run a statement, and return its small result of short texts."""

    def chunks(self, statement: Statement, text_bytes: int) -> Generator[pa.Table, None, None]:
        """Yield the contract's columns, ``chunk_posts`` rows at a time; the last table has the remaining rows.

        Args:
            statement: selects the contract's columns.
            text_bytes: the longest text expected; needed for buffers of fixed width.

        Yields:
            Texts; a column with bytes that are not UTF-8 as bytes.
        """


Way: TypeAlias = Callable[[OdbcSource, Dialect, int], AbstractContextManager[Reading]]
"""Opens a ``Reading`` of a source, given its dialect and the number of posts in a chunk."""


@contextmanager
def by_column(odbc: OdbcSource, dialect: Dialect, chunk_posts: int) -> Iterator[Reading]:
    """Read whole columns with arrow-odbc."""
    connection = odbc.columns(dialect)
    reading = _ColumnReading(connection, odbc, dialect, chunk_posts)
    try:
        with odbc.bulk_errors(dialect):
            for statement in dialect.begin:
                connection.execute(statement)
        yield reading
    finally:
        # The traceback of an error may keep the connection open for long, and a lock with it.
        if dialect.begin:
            with suppress(arrow_odbc.Error):
                connection.execute("ROLLBACK")


@contextmanager
def by_row(odbc: OdbcSource, dialect: Dialect, chunk_posts: int) -> Iterator[Reading]:
    """Read row by row with pyodbc."""
    with odbc.rows(dialect) as connection:
        for statement in dialect.begin:
            connection.execute(statement)
        yield _RowReading(connection, dialect, chunk_posts)


def bulk_options(dialect: Dialect, chunk_posts: int, text_bytes: int) -> dict[str, Any]:
    """Return the options for ``read_arrow_batches``."""
    return {
        "batch_size": chunk_posts,
        "max_bytes_per_batch": max(_TRANSIT_BYTES, _ROW_BUFFERS * text_bytes),
        "max_text_size": text_bytes,
        "map_schema": _as_texts,
        "fetch_concurrently": False,
        "payload_text_encoding": dialect.encoding,
    }


class _ColumnReading:
    def __init__(self, connection: arrow_odbc.Connection, odbc: OdbcSource, dialect: Dialect, chunk_posts: int) -> None:
        self._connection = connection
        self._odbc = odbc
        self._dialect = dialect
        self._chunk_posts = chunk_posts

    def ask(self, statement: Statement) -> list[Row]:
        with closing(self.chunks(statement, _SHORT_TEXT)) as tables:
            return [tuple(row.values()) for table in tables for row in table.to_pylist()]

    def chunks(self, statement: Statement, text_bytes: int) -> Generator[pa.Table, None, None]:
        size = self._chunk_posts
        waiting: list[pa.RecordBatch] = []
        rows = 0
        with self._odbc.bulk_errors(self._dialect):
            reader = self._connection.read_arrow_batches(
                statement.sql, parameters=statement.parameters, **bulk_options(self._dialect, size, text_bytes)
            )
            try:
                for batch in reader:
                    waiting.append(batch)
                    rows += batch.num_rows
                    while rows >= size:
                        table = pa.Table.from_batches(waiting)
                        yield _uncut(table.slice(0, size).combine_chunks())
                        waiting = table.slice(size).to_batches()
                        rows -= size
            finally:
                # This frees its statement, even if an error that ends the loop is kept.
                del reader
        if rows:
            yield _uncut(pa.Table.from_batches(waiting).combine_chunks())


class _RowReading:
    def __init__(self, connection: pyodbc.Connection, dialect: Dialect, chunk_posts: int) -> None:
        self._connection = connection
        self._dialect = dialect
        self._chunk_posts = chunk_posts

    def ask(self, statement: Statement) -> list[Row]:
        with closing(self._connection.cursor()) as cursor:
            rows = cursor.execute(statement.sql, *statement.parameters).fetchall()
        return [tuple(_text(value) for value in row) for row in rows]

    def chunks(self, statement: Statement, text_bytes: int) -> Generator[pa.Table, None, None]:
        del text_bytes  # pyodbc's buffer grows with each text
        # pyodbc's own context manager commits, and keeps the result in memory.
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(statement.sql, *statement.parameters)
            names = [column[0] for column in cursor.description]
            while rows := cursor.fetchmany(self._chunk_posts):
                columns = zip(*rows, strict=True)
                as_read = _from_hex if self._dialect.hex else _texts
                yield pa.table({name: as_read(column) for name, column in zip(names, columns, strict=True)})


def _uncut(chunk: pa.Table) -> pa.Table:
    """Check the total length of the texts against the column ``OCTETS``, if there is one, and remove that column.

    Raises:
        BulkReadError: the driver returned shorter texts.
    """
    if OCTETS not in chunk.column_names:
        return chunk
    octets = chunk[OCTETS].cast(pa.int64())
    chunk = chunk.drop_columns(OCTETS)
    for column in chunk.columns:
        octets = pc.subtract(octets, pc.fill_null(pc.binary_length(column), 0))
    if pc.any(pc.not_equal(octets, 0)).as_py():
        raise BulkReadError("the driver cut a text at a NUL character")
    return chunk


def _as_texts(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(name, pa.string()) for name in schema.names])


def _from_hex(column: Sequence[str | None]) -> "pa.Array[Any]":
    found = pa.array([None if digits is None else bytes.fromhex(digits) for digits in column], pa.binary())
    try:
        return found.cast(pa.string())
    except pa.ArrowInvalid:
        return found


def _texts(column: Sequence[object]) -> "pa.Array[Any]":
    try:
        return pa.array(column, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([_text(value) for value in column], pa.string())


def _text(value: object) -> str | None:
    """Return a value as the text that a driver returns for it when text is requested."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)
