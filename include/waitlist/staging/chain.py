"""The chains of the append-only tables: one link for each transaction and table, so that a changed row is found.

A link has a line for each row that its transaction added: the row's key and the SHA-256 of its content. The link's own
SHA-256 covers these lines and the SHA-256 of the link before. So no row can be changed, removed, swapped or added
later without a link that does not fit (``staging.chain_check``). Where rows are removed because their time is over, a
link has their lines too: the digests stay when the rows are gone.

Nobody calls this module to be chained. ``watch`` listens to an engine: it notes what a statement has added to a table
of ``schema.CHAINED`` or removed from it, and adds the links as the last act of the transaction. The chain is
locked only then, until the commit. A statement that is written as text is not seen, and its rows are in no link.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event

from waitlist.exceptions import RefusedError
from waitlist.staging import schema

BEFORE: Final = "before"
"""A link of rows from before there were chains."""
ADDED: Final = "added"
REMOVED: Final = "removed"
"""A link of rows that retention has removed."""

NO_LINK: Final = "0" * 64
"""What the first link of a chain has as the one before."""
STREAMING: Final = {"stream_results": True}
_PENDING: Final = "waitlist_pending_links"

Run = Callable[[sa.Executable], list[tuple[Any, ...]]]
"""Runs one statement inside the transaction and returns its rows."""


def runner(connection: sa.Connection) -> Run:
    """Return a function that runs statements on a SQLAlchemy connection."""

    def run(statement: sa.Executable) -> list[tuple[Any, ...]]:
        result = connection.execute(statement)
        return [tuple(row) for row in result] if result.returns_rows else []

    return run


class Line(NamedTuple):
    """A row as its link has it."""

    key: str
    sha256: str


class Head(NamedTuple):
    """The end of a chain."""

    link_no: int
    """0 where there is no link."""
    sha256: str


@dataclass
class Pending:
    """The rows of an open transaction that are not in a link yet."""

    rows: list[tuple[str, str, Line]] = field(default_factory=list)
    """Chain, act and line of each, in the order of the statements."""
    announced: dict[str, tuple[int, str]] = field(default_factory=dict)
    """The removals by chain that a checkpoint of this transaction has announced: how many rows, and their digest."""
    savepoints: list[int] = field(default_factory=list)
    """How many rows there were at each open savepoint."""

    def removed(self) -> dict[str, tuple[int, str]]:
        """Return the number and digest of the rows that are removed, by chain."""
        found: dict[str, list[Line]] = {}
        for chain, act, line in self.rows:
            if act == REMOVED:
                found.setdefault(chain, []).append(line)
        return {chain: (len(lines), digest_of(_text(lines))) for chain, lines in found.items()}


def pending_of(connection: sa.Connection) -> Pending:
    """Return the rows of a connection's transaction that are not in a link yet."""
    pending: Pending = connection.info.setdefault(_PENDING, Pending())
    return pending


def watch(engine: sa.Engine) -> None:
    """Chain what the transactions of an engine add to the tables of ``schema.CHAINED`` and remove from them."""
    event.listen(engine, "before_execute", _read_back, retval=True)
    event.listen(engine, "after_execute", _note)
    event.listen(engine, "savepoint", _mark)
    event.listen(engine, "rollback_savepoint", _forget_since)
    event.listen(engine, "release_savepoint", _keep_since)
    event.listen(engine, "commit", _link)
    event.listen(engine, "rollback", _forget)


def returning(statement: sa.Executable) -> sa.Executable:
    """Return a statement that also returns the rows that it adds to a chained table, or removes from it."""
    if isinstance(statement, sa.Insert | sa.Delete) and statement.table in schema.CHAINED:
        return statement.returning(*statement.table.c)
    return statement


def rows_of(statement: sa.Executable, rows: Iterable[Sequence[Any]]) -> list[tuple[str, str, Line]]:
    """Return chain, act and line of what a statement has returned; none for a statement about any other table."""
    if not isinstance(statement, sa.Insert | sa.Delete) or not isinstance(statement.table, sa.Table):
        return []
    table, act = statement.table, ADDED if isinstance(statement, sa.Insert) else REMOVED
    return [(table.name, act, line_of(table, row)) for row in rows] if table in schema.CHAINED else []


def line_of(table: sa.Table, row: Sequence[Any]) -> Line:
    """Return the line of a row.

    Args:
        table: a table of ``schema.CHAINED``.
        row: its values in the order of the table's columns. Empty ones are left out, so that a nullable column that
            the table gets later does not change the digest.
    """
    named = {
        column.name: _as_json(value) for column, value in zip(table.columns, row, strict=True) if value is not None
    }
    content = json.dumps([table.name, named], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    key = "/".join(quote(str(named[column.name]), safe="") for column in table.primary_key.columns)
    return Line(key, digest_of(content))


def lines_in(digests: str) -> list[Line]:
    """Return the lines of a link.

    Raises:
        ValueError: it is not what a link has.
    """
    return [Line(*line.split(" ")) for line in digests.splitlines()]


def link_sha256(chain: str, link_no: int, act: str, previous: str, digests: str) -> str:
    """Return the SHA-256 of a link, by its lines and the link before."""
    return digest_of("\x1f".join((chain, str(link_no), act, previous, digest_of(digests))))


def head_of(run: Run, chain: str) -> Head:
    """Return the end of a chain."""
    link = schema.audit_link.c
    query = sa.select(link.link_no, link.link_sha256).where(link.chain == _as_text(chain))
    found = run(query.order_by(link.link_no.desc()).limit(1))
    return Head(int(found[0][0]), found[0][1]) if found else Head(0, NO_LINK)


def add_links(run: Run, dialect: str, rows: Iterable[tuple[str, str, Line]]) -> None:
    """Add the links of a transaction, as its last act.

    Args:
        run: runs a statement in the transaction.
        dialect: the kind of database.
        rows: chain, act and line of each row, in the order of the statements.
    """
    by_chain: dict[str, list[tuple[str, Line]]] = {}
    for chain, act, line in rows:
        by_chain.setdefault(chain, []).append((act, line))
    # Every transaction takes the chains in this order, so that two never wait for each other.
    for chain, lines in sorted(by_chain.items()):
        take_turns(run, dialect, chain)
        # What a transaction adds and removes again is added first.
        for act, some in groupby(sorted(lines), lambda row: row[0]):
            _add(run, chain, act, [line for _, line in some])


def add_from_before(connection: sa.Connection, names: Iterable[str]) -> None:
    """Add a link of all the rows that some tables have, for a migration by which they join the chained ones.

    Args:
        connection: of the migration.
        names: the tables' names.
    """
    inspector = sa.inspect(connection)
    for name in names:
        table = schema.METADATA.tables[f"{schema.SCHEMA}.{name}"]
        there = {column["name"] for column in inspector.get_columns(name, schema=_schema_of(connection))}
        # Columns of later migrations are empty in these rows.
        columns = [column if column.name in there else sa.null() for column in table.columns]
        query = sa.select(*columns).select_from(table).order_by(*table.primary_key.columns)
        rows = connection.execute(query, execution_options=STREAMING)
        lines = [line_of(table, tuple(row)) for row in rows]
        if lines:
            _add(runner(connection), name, BEFORE, lines)


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text, in lower-case hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def take_turns(run: Run, dialect: str, name: str) -> None:
    """Wait for other transactions that add to a chain, until the end of this one."""
    if dialect == "postgresql":
        number = int.from_bytes(hashlib.sha256(f"waitlist chain {name}".encode()).digest()[:8], "big", signed=True)
        run(sa.select(sa.literal(1)).select_from(sa.func.pg_advisory_xact_lock(number)))
    elif dialect == "mssql":
        # By default it waits for LOCK_TIMEOUT, and a timeout is reported only by its return value.
        run(
            sa.text(
                "DECLARE @got int; EXEC @got = sp_getapplock @Resource = :name, @LockMode = 'Exclusive',"
                " @LockOwner = 'Transaction'; IF @got < 0 THROW 50000, 'another process adds a link', 1"
            ).bindparams(name=f"waitlist chain {name}")
        )


def _add(run: Run, chain: str, act: str, lines: Sequence[Line]) -> None:
    head = head_of(run, chain)
    number, digests = head.link_no + 1, _text(lines)
    sha256 = link_sha256(chain, number, act, head.sha256, digests)
    values = {"chain": chain, "link_no": number, "act": act, "rows": len(lines)}
    run(schema.audit_link.insert().values(**values, link_sha256=sha256, digests=digests))


def _text(lines: Iterable[Line]) -> str:
    return "".join(f"{line.key} {line.sha256}\n" for line in sorted(lines))


def _as_json(value: object) -> object:
    """Return a value as JSON takes it, the same for every database and driver."""
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo is None else value.astimezone(dt.UTC).replace(tzinfo=None)
        return moment.isoformat(timespec="microseconds")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Mapping):
        # As the column has it.
        return json.dumps(dict(value), ensure_ascii=False, sort_keys=True)
    return value


def _as_text(value: str) -> sa.BindParameter[str]:
    # Bound as a plain type: bulk drivers do not convert values.
    return sa.literal(value, sa.Unicode)


def _schema_of(connection: sa.Connection) -> str | None:
    return schema.schema_of(connection.engine)


def _read_back(
    connection: sa.Connection,
    statement: sa.Executable,
    many: Any,  # noqa: ANN401
    one: object,
    _options: object,
) -> tuple[sa.Executable, object, object]:
    if _is_told(connection, statement, many):
        return statement, many, one
    return returning(statement), many, one


def _note(
    connection: sa.Connection,
    statement: sa.Executable,
    many: Any,  # noqa: ANN401
    _one: object,
    _options: object,
    result: sa.CursorResult[Any],
) -> None:
    if not isinstance(statement, sa.Insert | sa.Delete) or statement.table not in schema.CHAINED:
        return
    if _is_told(connection, statement, many):
        names = [column.name for column in statement.table.columns]
        rows: Iterable[Sequence[Any]] = ([row[name] for name in names] for row in many)
    else:
        rows = result.all()
    pending_of(connection).rows += rows_of(statement, rows)


def _is_told(connection: sa.Connection, statement: sa.Executable, many: Sequence[Mapping[str, object]]) -> bool:
    """Tell whether many rows are added whose values are all given: to read them back takes three times as long.

    SQL Server rounds moments, so there the rows are read back.
    """
    if not many or not isinstance(statement, sa.Insert) or connection.dialect.name == "mssql":
        return False
    return statement.table in schema.CHAINED and set(many[0]) == set(statement.table.columns.keys())


def _link(connection: sa.Connection) -> None:
    pending: Pending | None = connection.info.pop(_PENDING, None)
    if pending is None or not pending.rows:
        return
    if pending.removed() != pending.announced:
        raise RefusedError("rows of an append-only table would be removed without a checkpoint: nothing was removed")
    add_links(runner(connection), connection.dialect.name, pending.rows)


def _forget(connection: sa.Connection) -> None:
    # What a broken connection had pending went with it, and asking for it would replace the driver's error.
    if not connection.invalidated:
        connection.info.pop(_PENDING, None)


def _mark(connection: sa.Connection, _name: str) -> None:
    pending = pending_of(connection)
    pending.savepoints.append(len(pending.rows))


def _forget_since(connection: sa.Connection, _name: str, _context: object) -> None:
    if not connection.invalidated:
        pending = pending_of(connection)
        del pending.rows[pending.savepoints.pop() :]


def _keep_since(connection: sa.Connection, _name: str, _context: object) -> None:
    pending_of(connection).savepoints.pop()
