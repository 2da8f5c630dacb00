"""What the responder answers from: tables in memory, asked through SQLite, described with SQL Server's types.

The statements that the project sends are those that SQLite and SQL Server share, so SQLite runs them as they come.
That shows what a driver does with the answers, and nothing of how SQL Server understands a statement.
"""

import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from tests.support.tds.tokens import Column
from tests.support.tds.types import BIGINT, INT, SMALLINT, TINYINT, Type, nvarchar

_DATATYPES: Final = {12: ("varchar", 8_000), -9: ("nvarchar", 4_000), -3: ("varbinary", 8_000), 93: ("datetime2", 27)}


class ServerError(Exception):
    """An error that the server tells: its number, and a severity from 11 on."""

    def __init__(self, number: int, text: str, severity: int = 16) -> None:
        super().__init__(text)
        self.number, self.text, self.severity = number, text, severity


class Database:
    """Tables whose columns have SQL Server's types.

    Args:
        types: of the columns, by name, whatever query they come from.
        snapshots: whether ALLOW_SNAPSHOT_ISOLATION is on.
    """

    def __init__(self, types: Mapping[str, Type], *, snapshots: bool = True) -> None:
        self._types = types
        self._snapshots = snapshots
        self._failures: list[tuple[str, int, ServerError]] = []
        self._lock = threading.Lock()
        self._inner = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        # SQL Server pads the shorter text with spaces in every collation.
        self._inner.create_collation("Latin1_General_100_BIN2", lambda a, b: _order(a.rstrip(" "), b.rstrip(" ")))

    def close(self) -> None:
        """Forget the tables."""
        self._inner.close()

    def run(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Change the tables."""
        with self._lock:
            if sql.startswith("CREATE"):
                self._inner.execute(sql)
            else:
                self._inner.executemany(sql, rows)

    def fail(self, word: str, error: ServerError, *, after: int = 0) -> None:
        """Answer a statement in which a word occurs with an error, after some rows."""
        self._failures.append((word, after, error))

    def ask(self, sql: str, parameters: Mapping[str, object]) -> tuple[list[Column], Iterator[Sequence[object]]]:
        """Run a statement.

        Raises:
            ServerError: as SQL Server would say it; the rows may raise it too.
        """
        failure = next(((after, error) for word, after, error in self._failures if word in sql), None)
        if failure is not None and failure[0] == 0:
            raise failure[1]
        if re.match(r"\s*SET\b", sql, re.IGNORECASE):
            return [], iter(())
        if "snapshot_isolation_state" in sql:
            return [("snapshot_isolation_state", TINYINT)], iter([(int(self._snapshots),)])
        named = {name.lstrip("@"): value for name, value in parameters.items()}
        try:
            with self._lock, closing(self._inner.cursor()) as cursor:
                cursor.execute(sql, named)
                columns = [self._column(one[0]) for one in cursor.description or ()]
                rows = cursor.fetchall()
        except sqlite3.Error as error:
            raise _as_sql_server(str(error)) from None
        return columns, iter(rows) if failure is None else _failing(rows, *failure)

    def _column(self, name: str) -> Column:
        if re.fullmatch(r"\w+", name):
            return name, self._types.get(name, INT)
        if name.startswith("@"):
            return "", nvarchar(4_000)
        return "", BIGINT if name.startswith("MIN(") else INT


def datatype_info(kind: int) -> tuple[list[Column], list[tuple[object, ...]]]:
    """Answer ``sp_datatype_info_100``, which pyodbc asks as it connects: the first columns of it."""
    described = [("TYPE_NAME", nvarchar(128)), ("DATA_TYPE", SMALLINT), ("PRECISION", INT)]
    found = _DATATYPES.get(kind)
    return described, [(found[0], kind, found[1])] if found else []


def _failing(rows: Sequence[Sequence[object]], after: int, error: ServerError) -> Iterator[Sequence[object]]:
    yield from rows[:after]
    raise error


def _order(one: str, other: str) -> int:
    return (one > other) - (one < other)


def _as_sql_server(told: str) -> ServerError:
    if found := re.search(r"no such table: (\w+)", told):
        return ServerError(208, f"Invalid object name '{found[1]}'.")
    if found := re.search(r"no such column: ([\w.]+)", told):
        return ServerError(207, f"Invalid column name '{found[1].rpartition('.')[2]}'.")
    if found := re.search(r'near "(.+?)": syntax error', told):
        return ServerError(102, f"Incorrect syntax near '{found[1]}'.", 15)
    return ServerError(50_000, told)
