"""Writes the synthetic PMO to a temporary SQLite file, which is then renamed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from waitlist.simulator.orders import TABLES, SimulatorError

_TYPES: Final = {pa.int64(): "INTEGER", pa.int32(): "INTEGER", pa.int16(): "INTEGER"}
_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
_SIDE_FILES: Final = ("-wal", "-shm", "-journal")


class SqliteWriter:
    """Adds rows to the temporary file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        for table, schema in TABLES.items():
            columns = [f"{field.name} {_TYPES.get(field.type, 'TEXT')}{_not_null(field)}" for field in schema]
            columns[0] = f"{schema.names[0]} INTEGER PRIMARY KEY"
            connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")

    def add(self, table: str, rows: pa.Table) -> None:
        """Append rows to a table of ``TABLES``."""
        columns = [_sqlite_values(column).to_pylist() for column in rows.columns]
        places = ", ".join("?" * len(columns))
        self._connection.executemany(f"INSERT INTO {table} VALUES ({places})", zip(*columns, strict=True))  # noqa: S608

    def finish(self) -> None:
        """Build the index for fast reading."""
        self._connection.execute("CREATE INDEX bilaga_post_id ON bilaga (post_id)")
        self._connection.execute("ANALYZE")


def check_sqlite(path: Path, *, replace: bool) -> None:
    """Refuse a file whose content would be lost.

    Raises:
        SimulatorError: it has posts and ``replace`` is not set, or it is not a synthetic PMO.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            found = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            held = [
                table
                for table in sorted(found & set(TABLES))
                if connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608
            ]
    except sqlite3.Error:
        raise SimulatorError(f"{path} is not a SQLite database: it is left unchanged") from None
    others = sorted(name for name in found - set(TABLES) if not name.startswith("sqlite_"))
    if others:
        raise SimulatorError(f"{path} has other tables ({', '.join(others)}): it is left unchanged")
    if held and not replace:
        raise SimulatorError(f"{path} has rows in {', '.join(held)}: pass --replace to replace them")


@contextmanager
def writing_sqlite(path: Path) -> Iterator[SqliteWriter]:
    """Write a new file; it gets its name when the block ends without an error, and is deleted otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(aside, isolation_level=None)) as connection:
            # A file that is deleted after any failure needs no journal.
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            writer = SqliteWriter(connection)
            yield writer
            writer.finish()
            connection.execute("COMMIT")
        for suffix in _SIDE_FILES:
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _sqlite_values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column.cast(pa.timestamp("s")), format=_FORMAT)
    return column


def _not_null(field: pa.Field) -> str:
    return "" if field.nullable else " NOT NULL"
