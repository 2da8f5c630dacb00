"""The staging database itself: connections, transactions, bulk reading, and errors without values.

PostgreSQL is reached through psycopg for small statements and through ADBC for bulk; SQLite and
the rest through SQLAlchemy. SQL Server is prepared for (Unicode types, ``fast_executemany``, row
locks by hint) and has not been run against a server.
"""

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, TypeVar

import adbc_driver_manager
import psycopg
import pyarrow as pa
import sqlalchemy as sa
from adbc_driver_postgresql import StatementOptions
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from sqlalchemy import event
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from waitlist.exceptions import RefusedError, StagingError
from waitlist.settings import CONNECTION_DEFAULTS, ConnectionSettings
from waitlist.staging.driver_errors import (
    DRIVER_ERRORS,
    of_driver,
    refusal,
    refuses_connections,
    waited_for_lock,
    was_stopped,
)
from waitlist.staging.encryption import warn_of_plain, with_tls
from waitlist.staging.schema import SCHEMA, schema_of
from waitlist.waiting import LockedError, SilentError, WaitedError, Watch, Watched

Read = Callable[[sa.Executable, pa.Schema], Iterator[pa.Table]]
"""Yields a query's rows, some at a time, as tables of a schema; columns go by position. One query at a time."""

R = TypeVar("R")

_WHO: Final = "the staging database"
_READ_ROWS: Final = 20_000
# Of its own accord the driver takes 16 MB at a time, several times over on its way into columns.
_IN_BATCHES: Final = {StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(2 * 2**20)}
# Each side asks the other's host, when it is silent, whether it is still there, and gives it up after a minute.
_KEEPALIVES: Final = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
# After which the server ends a transaction whose client neither works nor goes, and lets its locks go.
_IDLE_SECONDS: Final = 1800
_SQLITE_RETRY_SECONDS: Final = 0.02
# ADBC wants $1, $2, ...: SQLAlchemy's base dialect for PostgreSQL writes them.
_NUMBERED: Final[Dialect] = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


class Database:
    """A staging database by its SQLAlchemy URL; unless pooled, connections stand only while they are used."""

    def __init__(
        self, url: str, *, pooled: bool = False, connections: ConnectionSettings = CONNECTION_DEFAULTS
    ) -> None:
        """Prepare the engine; nothing is connected yet.

        Args:
            url: an SQLAlchemy URL; what it says of time limits itself stays.
            pooled: keep connections open between uses, for a process that serves many and never forks.
            connections: how long the database is waited for.

        Raises:
            StagingError: the URL is none, or its driver is not installed.
        """
        try:
            self._limits: Final = connections
            self.engine: Final = _engine(url, pooled=pooled, limits=connections)
        except (SQLAlchemyError, ImportError, TypeError) as error:
            raise StagingError(f"staging database: its URL or driver is not usable ({type(error).__name__})") from None
        self.dialect: Final = self.engine.dialect.name
        self.schema: Final = schema_of(self.engine)
        self.hashes_rows = self.dialect in {"postgresql", "sqlite"}
        """Whether a statement here can compute a request's ``row_hash``."""
        self.reads_in_bulk = self.dialect == "postgresql"
        """Whether rows are read faster than a statement compares them here."""

    @contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """Give a connection.

        Raises:
            StagingError: the database cannot be reached, with the driver's reason.
            WaitedError: no answer or a lock was waited for until the limit.
        """
        try:
            connection = self.engine.connect()
        except (DBAPIError, sqlite3.Error) as error:
            driver = of_driver(error)
            raise self._waited(driver) or self._unreachable(driver) from None
        with connection, self.waits_named():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that commits at the end; one writer at a time on SQLite.

        Raises:
            StagingError, WaitedError: as ``connected``.
        """
        with self.connected() as connection:
            connection.execution_options(sqlite_begin="BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    @contextmanager
    def adbc(self, *, streams: bool = False) -> Iterator[Any]:
        """Give an ADBC connection in a transaction that the caller commits (PostgreSQL only).

        Args:
            streams: read large results, one statement for as long as its rows are worked on.

        Raises:
            StagingError, WaitedError: as ``connected``.
        """
        # Imported late: it brings pandas along, a second that SQLite need not wait.
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415

        told = self._told(streams=streams)
        port = str(told.get("port", ""))
        watch = Watch(self._limits.answer_seconds, self._silent, int(port) if port.isdecimal() else None)
        try:
            connection = watch.connect(dbapi.connect, make_conninfo(**told))
        except adbc_driver_manager.Error as error:
            raise self._unreachable(error) from None
        with Watched(connection, watch, (dbapi.Cursor, pa.RecordBatchReader)) as watched, self.waits_named():
            yield watched

    @contextmanager
    def reading(self) -> Iterator[Read]:
        """Give what reads queries as Arrow tables, on one connection and in one transaction.

        Raises:
            StagingError, WaitedError: as ``connected``.
        """
        if self.dialect == "postgresql":
            with self.adbc(streams=True) as adbc, adbc.cursor(adbc_stmt_kwargs=_IN_BATCHES) as cursor:

                def read_by_adbc(statement: sa.Executable, schema: pa.Schema) -> Iterator[pa.Table]:
                    cursor.execute(_inlined(statement))
                    for batch in _told_by_driver(cursor.fetch_record_batch()):
                        yield pa.Table.from_batches([batch]).rename_columns(schema.names).cast(schema)

                yield read_by_adbc
            return
        with self.connected() as connection:
            streaming = connection.execution_options(stream_results=True)

            def read_by_rows(statement: sa.Executable, schema: pa.Schema) -> Iterator[pa.Table]:
                for rows in streaming.execute(statement).partitions(_READ_ROWS):
                    columns = ([row[place] for row in rows] for place in range(len(schema)))
                    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
                    yield pa.table(arrays, schema=schema)

            yield read_by_rows

    def _told(self, *, streams: bool) -> dict[str, Any]:
        """Return what libpq is told."""
        _, arguments = self.engine.dialect.create_connect_args(self.engine.url)
        told = {name: value for name, value in arguments.items() if name != "context"}
        if streams:
            # The server counts the time that the rows are worked on as well.
            told["options"] += " -c statement_timeout=0"
        return told

    @contextmanager
    def waits_named(self) -> Iterator[None]:
        """Turn a driver's error that says that a wait is over into a ``WaitedError``."""
        try:
            yield
        except DRIVER_ERRORS as error:
            waited = self._waited(of_driver(error))
            if waited is None:
                raise
            raise waited from None

    def _waited(self, driver: BaseException) -> WaitedError | None:
        """Return what a driver's error says of a wait that is over; None where it says something else."""
        if isinstance(driver, WaitedError):
            return driver
        if waited_for_lock(driver):
            return LockedError(_WHO, self._limits.lock_seconds)
        return self._silent() if was_stopped(driver) else None

    def _silent(self) -> SilentError:
        return SilentError(_WHO, self._limits.answer_seconds)

    def _unreachable(self, driver: BaseException) -> StagingError:
        # No row has been sent before a connection stands, so the driver's own words carry no values.
        reason = " ".join(str(driver).split())
        if "timeout expired" in reason:
            reason = f"no answer for {self._limits.connect_seconds} s (WAITLIST_CONNECT_SECONDS)"
        place = self.engine.url.set(query={}).render_as_string()
        refused = RefusedError if refuses_connections(driver) else StagingError
        return refused(f"staging database {place} cannot be reached: {reason}")


class _Connection(psycopg.Connection[Any]):
    """A connection that is ended when an answer does not come."""

    watch: Watch

    def wait(self, gen: PQGen[R], *args: Any, **options: Any) -> R:  # noqa: ANN401 - as its base
        """Wait for one answer."""
        answer: R = self.watch.call(super().wait, gen, *args, **options)
        return answer


class _SilentConnectionError(WaitedError, psycopg.OperationalError):
    """As SQLAlchemy takes it: an error of the driver, after which the connection is no more."""


def _told_by_driver(reader: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    # A result's own reader knows no errors of the driver, and a broken connection is an OSError to it.
    try:
        yield from reader
    except (OSError, pa.ArrowException) as error:
        raise adbc_driver_manager.OperationalError(
            type(error).__name__, status_code=adbc_driver_manager.AdbcStatusCode.IO
        ) from None


@contextmanager
def refusals_named(doing: str) -> Iterator[None]:
    """Turn a driver's error into a ``StagingError`` that names no value; see ``driver_errors.refusal``."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise refusal(doing, error) from None


def _inlined(statement: sa.Executable) -> str:
    """Return a statement with its values as literals: only without bound ones does ADBC stream a result."""
    compiled: Any = statement.compile(dialect=_NUMBERED, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
    return str(compiled)


def numbered(statement: sa.Executable) -> tuple[str, tuple[Any, ...]]:
    """Return a statement as ADBC takes it: its text with ``$1``, ``$2``, ... and their values in order."""
    compiled: Any = statement.compile(dialect=_NUMBERED)  # type: ignore[attr-defined]
    return str(compiled), tuple(compiled.params[name] for name in compiled.positiontup)


def _engine(address: str, *, pooled: bool, limits: ConnectionSettings) -> sa.Engine:
    # Values stay out of SQLAlchemy's messages; a process forked while a connection idles shares none.
    common: dict[str, Any] = {"hide_parameters": True}
    common |= {"pool_pre_ping": True} if pooled else {"poolclass": NullPool}
    url = sa.make_url(address)
    name = url.get_backend_name()
    if name in {"postgresql", "mssql"}:
        url = with_tls(url, limits.staging_tls)
    if name == "postgresql":
        engine = sa.create_engine(_within_limits(url, limits), **common)
        event.listen(engine, "do_connect", partial(_connect_watched, limits.answer_seconds))
        return engine
    if name == "mssql":
        engine = sa.create_engine(
            url, fast_executemany=True, connect_args={"timeout": limits.connect_seconds}, **common
        )
        event.listen(engine, "connect", partial(_prepare_sql_server, limits))
        return engine
    if name != "sqlite":
        return sa.create_engine(url, **common)
    engine = sa.create_engine(
        url,
        connect_args={"timeout": limits.lock_seconds},
        execution_options={"schema_translate_map": {SCHEMA: None}},
        **common,
    )
    event.listen(engine, "do_connect", _close_to_others)
    event.listen(engine, "connect", partial(_prepare_sqlite, limits.lock_seconds))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _within_limits(url: sa.URL, limits: ConnectionSettings) -> sa.URL:
    """Return a PostgreSQL URL with time limits, for libpq and for the server, where it has none of its own."""
    server = {
        "statement_timeout": limits.answer_seconds,
        "lock_timeout": limits.lock_seconds,
        "idle_in_transaction_session_timeout": _IDLE_SECONDS,
    }
    ours = [f"-c {name}={seconds}s" for name, seconds in server.items()]
    ours += [f"-c tcp_{name}={value}" for name, value in _KEEPALIVES.items()]
    options = " ".join([*ours, *url.normalized_query.get("options", ())])
    libpq = {
        "connect_timeout": str(limits.connect_seconds),
        "tcp_user_timeout": str(1000 * limits.answer_seconds),
        **_KEEPALIVES,
    }
    return url.update_query_dict({**libpq, **url.query, "options": options})


def _connect_watched(
    answer_seconds: int, _dialect: object, _record: object, arguments: Sequence[Any], options: Mapping[str, Any]
) -> psycopg.Connection[Any]:
    connection = _Connection.connect(*arguments, **options)
    warn_of_plain(connection)
    said = str(SilentError(_WHO, answer_seconds))
    connection.watch = Watch.over(connection.pgconn.socket, answer_seconds, lambda: _SilentConnectionError(said))
    return connection


def _close_to_others(_dialect: object, _record: object, arguments: Sequence[Any], _options: object) -> None:
    # SQLite would make the file by the umask; what it puts beside it gets the file's own mode.
    file = str(arguments[0])
    if file != ":memory:" and not file.startswith("file:"):
        with suppress(OSError):
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _prepare_sql_server(limits: ConnectionSettings, connection: Any, _record: object) -> None:  # noqa: ANN401 - pyodbc's
    connection.timeout = limits.answer_seconds
    connection.execute(f"SET LOCK_TIMEOUT {1000 * limits.lock_seconds}")


def _prepare_sqlite(lock_seconds: int, connection: sqlite3.Connection, _record: object) -> None:
    # The driver would begin transactions late and commit them early: SQLAlchemy's "begin" event does it.
    connection.isolation_level = None
    _keep_log_ahead(connection, lock_seconds)
    for pragma in ("synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("sha256_hex", 1, _sha256_hex, deterministic=True)


def _keep_log_ahead(connection: sqlite3.Connection, lock_seconds: int) -> None:
    # Who changes the mode of a new file wants it alone, and for that SQLite does not wait by itself.
    until = time.monotonic() + lock_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_SQLITE_RETRY_SECONDS)
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def _sha256_hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
