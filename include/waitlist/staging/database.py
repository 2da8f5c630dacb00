"""The staging database: connections, transactions, bulk reading, and errors without values.

PostgreSQL is reached with psycopg for small statements and with ADBC for bulk; SQLite and other databases are reached
with SQLAlchemy. SQL Server is prepared for (Unicode types, ``fast_executemany``, lock hints), but has not been tested
with a server.
"""

import hashlib
import os
import re
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
from waitlist.settings import CONNECTION_DEFAULTS, ConnectionSettings, Peer
from waitlist.staging import chain
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
from waitlist.staging.signing import Signer
from waitlist.tls import WITHOUT_TLS
from waitlist.waiting import LockedError, SilentError, WaitedError, Watch, Watched

Read = Callable[[sa.Executable, pa.Schema], Iterator[pa.Table]]
"""Yields a query's rows in chunks, as tables of a schema; columns are matched by position. One query at a time."""

R = TypeVar("R")

_WHO: Final = "the staging database"
_READ_ROWS: Final = 20_000
# By default the driver reads 16 MB at a time, and uses several times that to convert it to columns.
_IN_BATCHES: Final = {StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(2 * 2**20)}
# TCP keepalive in both directions: a connection to a host that does not answer ends after a minute.
_KEEPALIVES: Final = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
# The time after which the server ends a transaction whose client is idle, and so releases its locks.
_IDLE_SECONDS: Final = 1800
_OF_TLS: Final = re.compile(r"certificate|does not support SSL|SSL error: (?!.*(EOF|closed))")
_SQLITE_RETRY_SECONDS: Final = 0.02
# ADBC wants $1, $2, ...: SQLAlchemy's base dialect for PostgreSQL writes them.
_NUMBERED: Final[Dialect] = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


class Database:
    """A staging database, given its SQLAlchemy URL; unless pooled, a connection is open only while it is used."""

    def __init__(
        self,
        url: str,
        *,
        pooled: bool = False,
        connections: ConnectionSettings = CONNECTION_DEFAULTS,
        signer: Signer | None = None,
    ) -> None:
        """Prepare the engine; nothing is connected yet.

        Args:
            url: an SQLAlchemy URL; time limits in it are kept.
            pooled: keep connections open between uses, for a process that does not fork meanwhile.
            connections: time limits for the database's answers.
            signer: signs checkpoints; None: they are unsigned.

        Raises:
            StagingError: the text is not a URL, or its driver is not installed.
        """
        try:
            self._limits: Final = connections
            self.engine: Final = _engine(url, pooled=pooled, limits=connections)
        except (SQLAlchemyError, ImportError, TypeError) as error:
            raise StagingError(f"staging database: its URL or driver is not usable ({type(error).__name__})") from None
        chain.watch(self.engine)
        self.signer: Final = signer
        self.dialect: Final = self.engine.dialect.name
        self.schema: Final = schema_of(self.engine)
        self.hashes_rows = self.dialect in {"postgresql", "sqlite"}
        """Whether a statement here can compute a request's ``row_hash``."""
        self.reads_in_bulk = self.dialect == "postgresql"
        """Whether rows are read faster than a statement compares them here."""

    @contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """Yield a connection.

        Raises:
            StagingError: the database cannot be reached, with the driver's reason.
            WaitedError: the time limit for an answer or a lock was exceeded.
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
        """Yield a connection in a transaction that commits at the end; one writer at a time on SQLite.

        Raises:
            StagingError, WaitedError: as ``connected``.
        """
        with self.connected() as connection:
            connection.execution_options(sqlite_begin="BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    @contextmanager
    def adbc(self, *, streams: bool = False) -> Iterator[Any]:
        """Yield an ADBC connection in a transaction that the caller commits (PostgreSQL only).

        Args:
            streams: for large results: a statement may run for as long as its rows are processed.

        Raises:
            StagingError, WaitedError: as ``connected``.
        """
        # Imported here: it imports pandas, which would cost a second where only SQLite is used.
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415

        arguments = self._libpq_arguments(streams=streams)
        port = str(arguments.get("port", ""))
        watch = Watch(self._limits.answer_seconds, self._silent, int(port) if port.isdecimal() else None)
        try:
            connection = watch.connect(dbapi.connect, make_conninfo(**arguments))
        except adbc_driver_manager.Error as error:
            raise self._unreachable(error) from None
        with Watched(connection, watch, (dbapi.Cursor, pa.RecordBatchReader)) as watched, self.waits_named():
            yield watched

    @contextmanager
    def reading(self) -> Iterator[Read]:
        """Yield a function that reads queries as Arrow tables, on one connection and in one transaction.

        Raises:
            StagingError, WaitedError: as ``connected``.
        """
        if self.dialect == "postgresql":
            with self.adbc(streams=True) as adbc, adbc.cursor(adbc_stmt_kwargs=_IN_BATCHES) as cursor:

                def read_by_adbc(statement: sa.Executable, schema: pa.Schema) -> Iterator[pa.Table]:
                    cursor.execute(_inlined(statement))
                    for batch in _as_driver_errors(cursor.fetch_record_batch()):
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

    def _libpq_arguments(self, *, streams: bool) -> dict[str, Any]:
        _, options = self.engine.dialect.create_connect_args(self.engine.url)
        arguments = {name: value for name, value in options.items() if name != "context"}
        if streams:
            # statement_timeout also counts the time in which the client processes rows.
            arguments["options"] += " -c statement_timeout=0"
        return arguments

    @contextmanager
    def waits_named(self) -> Iterator[None]:
        """Translate a driver's error about an exceeded time limit into a ``WaitedError``."""
        try:
            yield
        except DRIVER_ERRORS as error:
            waited = self._waited(of_driver(error))
            if waited is None:
                raise
            raise waited from None

    def _waited(self, driver: BaseException) -> WaitedError | None:
        """Return the error for a time limit that a driver reports as exceeded; None for any other driver error."""
        if isinstance(driver, WaitedError):
            return driver
        if waited_for_lock(driver):
            return LockedError(_WHO, self._limits.lock_seconds)
        return self._silent() if was_stopped(driver) else None

    def _silent(self) -> SilentError:
        return SilentError(_WHO, self._limits.answer_seconds)

    def _unreachable(self, driver: BaseException) -> StagingError:
        # Before a connection is established no row has been sent, so the driver's own message has no values.
        reason = " ".join(str(driver).split())
        if _OF_TLS.search(reason):
            reason += f" (TLS with a certificate that is checked; {WITHOUT_TLS} takes that back)"
        if "timeout expired" in reason:
            reason = f"no answer for {self._limits.connect_seconds} s (WAITLIST_CONNECT_SECONDS)"
        place = self.engine.url.set(query={}).render_as_string()
        refused = RefusedError if refuses_connections(driver) else StagingError
        return refused(f"staging database {place} cannot be reached: {reason}")


class _Connection(psycopg.Connection[Any]):
    """A connection that is closed if an answer does not come in time."""

    watch: Watch

    def wait(self, gen: PQGen[R], *args: Any, **options: Any) -> R:  # noqa: ANN401 - as its base
        """Wait for one answer."""
        answer: R = self.watch.call(super().wait, gen, *args, **options)
        return answer


class _SilentConnectionError(WaitedError, psycopg.OperationalError):
    """An error that SQLAlchemy treats as a driver error after which the connection is closed."""


def _as_driver_errors(reader: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    # The reader of a result raises no driver errors: it raises an OSError for a broken connection.
    try:
        yield from reader
    except (OSError, pa.ArrowException) as error:
        raise adbc_driver_manager.OperationalError(
            type(error).__name__, status_code=adbc_driver_manager.AdbcStatusCode.IO
        ) from None


@contextmanager
def refusals_named(doing: str) -> Iterator[None]:
    """Translate a driver's error into a ``StagingError`` without values; see ``driver_errors.refusal``."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise refusal(doing, error) from None


def _inlined(statement: sa.Executable) -> str:
    """Return a statement with its values as literals: ADBC streams a result only if no value is bound."""
    compiled: Any = statement.compile(dialect=_NUMBERED, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
    return str(compiled)


def numbered(statement: sa.Executable) -> tuple[str, tuple[Any, ...]]:
    """Return a statement for ADBC: its text with ``$1``, ``$2``, ... and the values in that order."""
    compiled: Any = statement.compile(dialect=_NUMBERED)  # type: ignore[attr-defined]
    return str(compiled), tuple(compiled.params[name] for name in compiled.positiontup)


def _engine(address: str, *, pooled: bool, limits: ConnectionSettings) -> sa.Engine:
    # SQLAlchemy's messages get no values. Without a pool, a forked process never shares an idle connection.
    common: dict[str, Any] = {"hide_parameters": True}
    common |= {"pool_pre_ping": True} if pooled else {"poolclass": NullPool}
    url = sa.make_url(address)
    name = url.get_backend_name()
    if name in {"postgresql", "mssql"}:
        url = with_tls(url, may_be_plain=Peer.STAGING in limits.plain_peers)
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
    """Return a PostgreSQL URL with time limits for libpq and for the server, unless it sets them itself."""
    server = {
        "statement_timeout": limits.answer_seconds,
        "lock_timeout": limits.lock_seconds,
        "idle_in_transaction_session_timeout": _IDLE_SECONDS,
    }
    # Compiling a statement takes longer than most statements here, and PostgreSQL guesses too many rows in partitions.
    ours = ["-c jit=off", *(f"-c {name}={seconds}s" for name, seconds in server.items())]
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
    message = str(SilentError(_WHO, answer_seconds))
    connection.watch = Watch.over(connection.pgconn.socket, answer_seconds, lambda: _SilentConnectionError(message))
    return connection


def _close_to_others(_dialect: object, _record: object, arguments: Sequence[Any], _options: object) -> None:
    # SQLite would create the file with the umask's mode. The files that it creates beside it get the file's mode.
    file = str(arguments[0])
    if file != ":memory:" and not file.startswith("file:"):
        with suppress(OSError):
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _prepare_sql_server(limits: ConnectionSettings, connection: Any, _record: object) -> None:  # noqa: ANN401 - pyodbc's
    connection.timeout = limits.answer_seconds
    connection.execute(f"SET LOCK_TIMEOUT {1000 * limits.lock_seconds}")


def _prepare_sqlite(lock_seconds: int, connection: sqlite3.Connection, _record: object) -> None:
    # By default the driver begins transactions late and commits them early: SQLAlchemy's "begin" event begins them.
    connection.isolation_level = None
    _keep_log_ahead(connection, lock_seconds)
    for pragma in ("synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("sha256", 1, _sha256, deterministic=True)


def _keep_log_ahead(connection: sqlite3.Connection, lock_seconds: int) -> None:
    # A change of the journal mode needs an exclusive lock, and SQLite's busy timeout does not apply to it.
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


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
