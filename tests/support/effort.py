"""The work of a database for each statement, as a count that is the same on every machine.

SQLite counts the instructions of its virtual machine. PostgreSQL counts the rows that the nodes of a plan visit, as
``EXPLAIN ANALYZE`` reports: those that they return, and those that they read and drop.
"""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

import psycopg
import sqlalchemy as sa

from waitlist.staging import StagingStore, database

_EVERY: Final = 10
"""Instructions of SQLite between two counts."""
_PLANNED: Final = re.compile(r"(SELECT|WITH|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)
_PARTITION: Final = re.compile(r"_row_\d+_\d+$")
_EXPLAIN: Final = "EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF, FORMAT JSON) "
_VISITED: Final = (
    "Actual Rows",
    "Rows Removed by Filter",
    "Rows Removed by Join Filter",
    "Rows Removed by Index Recheck",
)


class Effort:
    """The work of each statement since counting began."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()
        """Work by statement, in the form that ``form`` gives it."""
        self.parts = 0
        """Partitions that PostgreSQL planned for, in all statements together; also those that it then did not read."""


@contextmanager
def counted(store: StagingStore) -> Iterator[Effort]:
    """Count the work of a store's database for each statement, as long as the block lasts."""
    effort = Effort()
    count = _count_sqlite if store.database.dialect == "sqlite" else _count_postgres
    with count(store, effort):
        yield effort


@contextmanager
def statements(on: sa.Engine | type[sa.Engine], naming: str = "") -> Iterator[list[str]]:
    """Yield the list to which a statement is added when it is sent, if it contains the text ``naming``.

    Args:
        on: an engine; the class itself for every engine.
        naming: such as a table; empty for all statements.
    """
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if naming in statement:
            sent.append(statement)

    sa.event.listen(on, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(on, "before_cursor_execute", note)


@contextmanager
def _count_sqlite(store: StagingStore, effort: Effort) -> Iterator[None]:
    asked = [""]

    def count() -> int:
        effort.of[asked[0]] += _EVERY
        return 0

    def attend(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_progress_handler(count, _EVERY)

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked[0] = form(statement)
        effort.of[asked[0]] += 1

    sa.event.listen(store.engine, "connect", attend)
    sa.event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        sa.event.remove(store.engine, "connect", attend)
        sa.event.remove(store.engine, "before_cursor_execute", note)


@contextmanager
def _count_postgres(store: StagingStore, effort: Effort) -> Iterator[None]:
    def explain(connection: psycopg.Connection, statement: str, values: Any) -> None:
        # Inside a savepoint: the changes of the statement are rolled back.
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT effort")
            cursor.execute(_EXPLAIN + statement, values)  # type: ignore[arg-type]
            ((plans,),) = cursor.fetchall()
            cursor.execute("ROLLBACK TO SAVEPOINT effort")
        effort.of[form(statement)] += sum(_visited(plan["Plan"]) for plan in plans)
        effort.parts += sum(_planned(plan["Plan"]) for plan in plans)

    def note(
        _connection: object, cursor: psycopg.Cursor, statement: str, values: Any, _context: Any, many: bool
    ) -> None:
        if _PLANNED.match(statement) and not many:
            explain(cursor.connection, statement, values)

    inlined = database._inlined

    def note_bulk(statement: sa.Executable) -> str:
        text = inlined(statement)
        with store.engine.connect() as connection:
            explain(connection.connection.driver_connection, text, None)
        return text

    sa.event.listen(store.engine, "before_cursor_execute", note)
    try:
        with mock.patch.object(database, "_inlined", note_bulk):
            yield
    finally:
        sa.event.remove(store.engine, "before_cursor_execute", note)


def _visited(plan: dict[str, Any]) -> int:
    here = sum(int(plan.get(name, 0)) for name in _VISITED) * int(plan["Actual Loops"])
    return here + sum(_visited(below) for below in plan.get("Plans", ()))


def _planned(plan: dict[str, Any]) -> int:
    here = int(_PARTITION.search(plan.get("Relation Name", "")) is not None) + int(plan.get("Subplans Removed", 0))
    return here + sum(_planned(below) for below in plan.get("Plans", ()))


def form(statement: str) -> str:
    """Return a statement without the parts that differ between two uses: values, their types and spaces."""
    # A driver doubles each per cent sign.
    value = re.sub(r"%\(\w+\)s|(?<!:):\w+|\?|'[^']*'|\b\d+\b", "?", statement.replace("%%", "%"))
    one = re.sub(r"\?::\w+(\(\?\))?", "?", value)
    return re.sub(r"\s+", " ", re.sub(r"\(\?(, \?)*\)", "?", one)).strip()
