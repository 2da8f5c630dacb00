"""Writes the synthetic PMO to a PostgreSQL database in one transaction."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from waitlist.simulator.orders import TABLES, SimulatorError

_TYPES: Final = {
    pa.int64(): "bigint",
    pa.int32(): "integer",
    pa.int16(): "smallint",
    pa.string(): "text",
    pa.timestamp("us"): "timestamp",
}


class PostgresWriter:
    """Adds rows inside the transaction."""

    def __init__(self, cursor: dbapi.Cursor) -> None:
        self._cursor = cursor
        for table, schema in TABLES.items():
            columns = [f"{field.name} {_TYPES[field.type]}{'' if field.nullable else ' NOT NULL'}" for field in schema]
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
            cursor.execute(f"CREATE TABLE {table} ({', '.join(columns)})")

    def add(self, table: str, rows: pa.Table) -> None:
        """Append rows to a table of ``TABLES``."""
        self._cursor.adbc_ingest(table, rows, mode="append")

    def finish(self) -> None:
        """Build the keys, indices and statistics for fast reading."""
        for table, schema in TABLES.items():
            self._cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({schema.names[0]})")
        self._cursor.execute("CREATE INDEX bilaga_post_id ON bilaga (post_id)")
        for table in TABLES:
            self._cursor.execute(f"ANALYZE {table}")


def check_postgres(url: str, *, replace: bool) -> None:
    """Refuse a database whose tables would be lost.

    Raises:
        SimulatorError: it cannot be reached, or it has rows and ``replace`` is not set.
    """
    with _connected(url) as connection, closing(connection.cursor()) as cursor:
        held = []
        for table in sorted(TABLES):
            cursor.execute(f"SELECT to_regclass('{table}') IS NOT NULL")
            (exists,) = cursor.fetchone()
            if exists:
                cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608
                held += [table] if cursor.fetchone() else []
    if held and not replace:
        raise SimulatorError(f"the PostgreSQL database has rows in {', '.join(held)}: pass --replace to replace them")


@contextmanager
def writing_postgres(url: str) -> Iterator[PostgresWriter]:
    """Write the tables in one transaction, committed when the block ends without an error."""
    with _connected(url) as connection, closing(connection.cursor()) as cursor:
        writer = PostgresWriter(cursor)
        yield writer
        writer.finish()
        connection.commit()


@contextmanager
def _connected(url: str) -> Iterator[dbapi.Connection]:
    """Open a connection; closing it rolls back uncommitted changes."""
    try:
        with closing(dbapi.connect(url)) as connection:
            yield connection
    except adbc_driver_manager.Error as error:
        # The driver's own text may contain values or the password.
        raise SimulatorError(f"PostgreSQL refused ({error.sqlstate or error.status_code.name})") from None
