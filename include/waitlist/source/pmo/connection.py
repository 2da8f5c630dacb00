"""ODBC connections to PMO: the options that each driver needs, and error messages that say what to do.

Two libraries read through the same driver: arrow-odbc fetches whole columns, pyodbc fetches rows with texts of any
length. A driver's own message may quote patients' data or the login, so it is never passed on: an error has the
SQLSTATE, the driver's name and a message of this module.
"""

import logging
import re
import struct
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import arrow_odbc
import pyodbc  # type: ignore[import-not-found]  # mypy does not find its stub
from arrow_odbc import TextEncoding

from waitlist.exceptions import SourceError, SourceRefusedError
from waitlist.settings import CONNECTION_DEFAULTS, ConnectionSettings, Peer
from waitlist.source.pmo.query import SourceQuery
from waitlist.tls import SQL_SERVER_CHECKED, SQL_SERVER_ENCRYPTED, WITHOUT_TLS, authorities, is_local
from waitlist.waiting import LockedError, SilentError, Watch, Watched

log: Final = logging.getLogger(__name__)

# unixODBC pools connections from 2.3.12 on. A closed connection would stay open in PMO, and a connection from the pool
# opens no new socket, so ``Watch`` could not find its socket.
pyodbc.pooling = False


@dataclass(frozen=True)
class Dialect:
    """How a database must be read; ``{}`` in SQL is the column.

    Attributes:
        as_text: SQL that converts a column of another type to text.
        unit: SQL that compares HSA-ids by their exact characters; as ``hex`` if the dialect has it.
        encoding: the text encoding that arrow-odbc requests.
        page: SQL that ends a query after ``{}`` rows, if the driver would otherwise load the whole result into memory;
            None if the driver streams.
        prepare: statements that set a connection's time limits, ``{}`` in place of milliseconds.
        begin: statements that begin a transaction which sees one state of the database; empty if it has no such.
        begins_if: SQL that returns 1 if the database allows that; None: it always does.
        octets: SQL of a text's length in bytes, if the driver may return a shorter text; None if it never does.
        hex: SQL of a text's bytes in UTF-8, as hexadecimal digits, if the driver may change characters in row reads.
        types_in_values: whether only the values have types, not the columns.
        type_of: SQL of a column's type, if the driver describes a flag as text.
        by_row: the reason why only rows can be fetched; None if whole columns can be.
        half_letters: whether a text may have a lone UTF-16 surrogate, which arrow-odbc reads as U+FFFD, and pyodbc
            cannot read.
    """

    as_text: str
    unit: str
    encoding: TextEncoding
    page: str | None = None
    prepare: tuple[str, ...] = ()
    begin: tuple[str, ...] = ()
    begins_if: str | None = None
    octets: str | None = None
    hex: str | None = None
    types_in_values: bool = False
    type_of: str | None = None
    by_row: str = ""
    half_letters: bool = False


# As numbers, SQLite's driver cuts keys to 32 bits and 1.5 to 1. It ends a text at a NUL. In row reads it changes
# characters of plane 16 and bytes that are not UTF-8.
_SQLITE_HEX: Final = "CASE WHEN {} IS NOT NULL THEN HEX(CAST({} AS TEXT)) END"
SQLITE: Final = Dialect(
    "CAST({} AS TEXT)",
    _SQLITE_HEX,
    TextEncoding.UTF8,
    page="LIMIT {}",
    begin=("BEGIN",),
    octets="LENGTH(CAST({} AS BLOB))",
    hex=_SQLITE_HEX,
    types_in_values=True,
)
# psqlODBC returns the date 'infinity' as today, and the year 12345 as 1234. Its UTF-16 needs a UTF-8 locale, its
# UTF-8 does not. 64 characters are enough for any date, timestamp, flag or number of minutes.
POSTGRES: Final = Dialect(
    "CAST({} AS VARCHAR(64))",
    'CAST({} AS TEXT) COLLATE "C"',
    TextEncoding.UTF8,
    begin=("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",),
    type_of="CAST(pg_typeof({}) AS VARCHAR(64))",
)
# Under SQL_ASCII the server has no character set: it returns bytes that are valid UTF-8 and refuses all others.
_ASCII_HEX: Final = "encode(convert_to(CAST({} AS TEXT), 'SQL_ASCII'), 'hex')"
POSTGRES_ASCII: Final = replace(POSTGRES, unit=_ASCII_HEX, hex=_ASCII_HEX)
# The narrow texts of any other driver depend on the locale of the process; UTF-16 does not.
OTHER: Final = Dialect("{}", "{}", TextEncoding.UTF16)
SQL_SERVER: Final = replace(
    OTHER,
    unit="{} COLLATE Latin1_General_100_BIN2",
    # By default a statement waits for a lock without a limit.
    prepare=("SET LOCK_TIMEOUT {}",),
    begin=("SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRANSACTION"),
    begins_if="SELECT snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID()",
    half_letters=True,
)

_DIALECTS: Final = {"sqlite": SQLITE, "postgresql": POSTGRES, "microsoft sql server": SQL_SERVER}

# These versions of psqlODBC refuse to free a statement whose connection is lost, and then arrow-odbc aborts.
_ABORTS: Final = re.compile(r"1[67]\.")

_SQLITE_DRIVER: Final = re.compile("sqlite", re.IGNORECASE)
_POSTGRES_DRIVER: Final = re.compile("postgres|psqlodbc", re.IGNORECASE)
_SQL_SERVER_DRIVER: Final = re.compile(r"odbc driver \d+ for sql server|msodbcsql", re.IGNORECASE)
_POSTGRES_PORT: Final = 5432
# A connection to a host that does not answer ends after a minute.
_LIBPQ: Final = "keepalives_idle=30 keepalives_interval=10 keepalives_count=3"


def _options(driver: str, limits: ConnectionSettings, *, trusted: Path | None = None) -> dict[str, str]:
    """Return the default options for a driver's connection string; ``trusted`` is a file of certificate authorities."""
    if _SQLITE_DRIVER.search(driver):
        return {"StepAPI": "1", "NoCreat": "1", "Timeout": str(1000 * limits.lock_seconds)}
    if _SQL_SERVER_DRIVER.search(driver):
        # A connection that the driver opens again by itself is not watched, and ``prepare`` is not run on it.
        return {"ConnectRetryCount": "0"}
    if not _POSTGRES_DRIVER.search(driver):
        return {}
    server = {
        # Read-only, even if the account may write. Each statement sees committed data and never waits for a lock.
        "default_transaction_read_only": "on",
        "default_transaction_isolation": r"read\\ committed",
        "statement_timeout": f"{limits.answer_seconds}s",
        "lock_timeout": f"{limits.lock_seconds}s",
    }
    settings = " ".join(f"-c {name}={value}" for name, value in server.items())
    libpq = _LIBPQ if trusted is None else f"{_LIBPQ} sslrootcert={trusted}"
    return {
        "UseDeclareFetch": "1",
        "Fetch": "10000",
        "BoolsAsChar": "0",
        # By default the driver reports an unbounded text column as 255 or 8,190 characters wide, and each longer text
        # would need the slow row reads.
        "MaxVarcharSize": "1048576",
        "MaxLongVarcharSize": "1048576",
        # Debian's driver writes each statement to a file in /tmp unless this option turns it off.
        "Debug": "0",
        "CommLog": "0",
        "pqopt": f"{{{libpq} tcp_user_timeout={1000 * limits.answer_seconds} options='{settings}'}}",
    }


# What an option may be without ``WAITLIST_WITHOUT_TLS``; where it is missing, it becomes the first of them.
_TlsOptions = Mapping[str, tuple[str, ...]]
_TLS_OF_POSTGRES: Final[_TlsOptions] = {"sslmode": ("verify-full",)}
_TLS_OF_SQL_SERVER: Final[_TlsOptions] = {
    "encrypt": SQL_SERVER_ENCRYPTED,
    "trustservercertificate": SQL_SERVER_CHECKED,
}
_OPTION_NAMES: Final = {"sslmode": "SSLmode", "encrypt": "Encrypt", "trustservercertificate": "TrustServerCertificate"}
_SERVERS: Final = ("server", "servername", "addr", "address", "host")


def _asked_for_tls(driver: str, pairs: Mapping[str, str], limits: ConnectionSettings) -> dict[str, str]:
    """Return the options that ask for TLS; none for a file, for this machine, and where the setting takes that back."""
    named = (pairs.get(name, "").strip("{}") for name in _SERVERS)
    server = next(filter(None, named), "").lower().removeprefix("tcp:").partition(",")[0].partition("\\")[0]
    if _SQLITE_DRIVER.search(driver) or Peer.PMO in limits.plain_peers or ("dsn" not in pairs and is_local(server)):
        return {}
    if _POSTGRES_DRIVER.search(driver):
        wanted = _TLS_OF_POSTGRES
    elif _SQL_SERVER_DRIVER.search(driver):
        wanted = _TLS_OF_SQL_SERVER
    else:
        raise SourceRefusedError(
            f"whether the ODBC driver {driver.strip('{}') or 'of a data source'} encrypts is not known here: name a "
            f"driver of PostgreSQL or SQL Server in the connection `pmo`, or set {WITHOUT_TLS}=pmo"
        )
    weak = [name for name, strong in wanted.items() if pairs.get(name, strong[0]).strip("{}").lower() not in strong]
    if weak:
        raise SourceRefusedError(
            f"the connection `pmo` would be without TLS, or with a certificate that is not checked: take "
            f"{', '.join(f'`{_OPTION_NAMES[name]}`' for name in weak)} out of it, or set {WITHOUT_TLS}=pmo"
        )
    return {_OPTION_NAMES[name]: strong[0] for name, strong in wanted.items()}


_PAIR: Final = re.compile(r"\s*(?P<key>[^=;]+?)\s*=\s*(?P<value>\{(?:[^}]|\}\})*\}|[^;]*?)\s*(?:;|$)")
_STATE: Final = re.compile(r"State: (\w{5})")
_QUOTED: Final = re.compile(r"""["'](\w[\w.]*)["']|: (\w[\w.]*)""")

_NO_DRIVER: Final = re.compile(r"^IM00\d$")
_LOGIN: Final = re.compile(r"^28")
_LOST: Final = re.compile(r"^(08|57P)")
_STOPPED: Final = re.compile(r"^(57014|HYT)")
_VICTIM: Final = re.compile(r"^40(001|P01)$")
_QUERY: Final = re.compile(r"^(42|3F|3D)")
# Microsoft's driver, psqlODBC.
_TLS: Final = re.compile(r"SSL Provider|Encryption not supported|SSL error|SSL was required|certificate")
# SQL Server uses 42000 for most errors; only its own number distinguishes them, as arrow-odbc or pyodbc writes it.
_NUMBER: Final = re.compile(r"Native error: (\d+)|\((\d+)\) \(SQL\w+\)|\((\d+)\)$")
_NUMBER_LOCKED: Final = 1222
_NUMBERS_FORBIDDEN: Final = frozenset({229, 230, 262, 300, 916})
# A failed conversion of a value; no memory; a failure of snapshot isolation.
_NUMBERS_NO_QUERY: Final = frozenset({701, 8114, 8645, *range(3950, 3970)})
_CONVERSION: Final = re.compile(r"^(01|07|22|HY)")


_WIDE_TYPES: Final = (pyodbc.SQL_WCHAR, pyodbc.SQL_WVARCHAR, pyodbc.SQL_WLONGVARCHAR)


def _whole_letters(value: bytes) -> str:
    """Decode UTF-16 as arrow-odbc does: a lone surrogate becomes U+FFFD."""
    return value.decode("utf-16-le", "replace")


# SQL Server's own type, which pyodbc does not support: SQL_SS_TIMESTAMPOFFSET_STRUCT.
_DATETIMEOFFSET: Final = -155
_OFFSET_STRUCT: Final = struct.Struct("<hHHHHHIhh")


def offset_text(value: bytes) -> str:
    """Return a ``datetimeoffset`` as SQL Server writes it as text."""
    year, month, day, hour, minute, second, nanoseconds, hours, minutes = _OFFSET_STRUCT.unpack(value)
    sign = "-" if hours < 0 or minutes < 0 else "+"
    time = f"{hour:02}:{minute:02}:{second:02}.{nanoseconds // 100:07}"
    return f"{year:04}-{month:02}-{day:02} {time} {sign}{abs(hours):02}:{abs(minutes):02}"


class BulkReadError(Exception):
    """arrow-odbc cannot fetch these rows as columns; fetching row by row may work. The message is safe to log."""


class TextTooLongError(BulkReadError):
    """A text did not fit into the buffer; it may fit into a larger one."""


def with_options(connection_string: str, limits: ConnectionSettings = CONNECTION_DEFAULTS) -> str:
    """Add the driver's options and the time limits, unless the connection string sets them; and TLS in any case.

    Raises:
        SourceRefusedError: the connection string asks for less than TLS with a certificate that is checked, to a server
            beyond this machine, and ``WAITLIST_WITHOUT_TLS`` does not name ``pmo``.
    """
    pairs = _pairs(connection_string)
    driver = pairs.get("driver", "")
    encrypted = _asked_for_tls(driver, pairs, limits)
    options = {**_options(driver, limits, trusted=authorities() if encrypted else None), **encrypted}
    added = "".join(f";{key}={value}" for key, value in options.items() if key.lower() not in pairs)
    return connection_string.rstrip("; ") + added


def _pairs(connection_string: str) -> dict[str, str]:
    return {pair["key"].lower(): pair["value"] for pair in _PAIR.finditer(connection_string)}


def _port(pairs: Mapping[str, str]) -> int | None:
    """Return the port in a connection string, or the default port of its driver if that is known."""
    if pairs.get("applicationintent", "").lower() == "readonly":
        # SQL Server may redirect the connection to a replica with another port.
        return None
    named = pairs.get("port") or pairs.get("server", "").strip("{}").rpartition(",")[2]
    if named.isdecimal():
        return int(named)
    return _POSTGRES_PORT if _POSTGRES_DRIVER.search(pairs.get("driver", "")) else None


class OdbcSource:
    """A data source; opens a new connection for each ``with`` block.

    Args:
        connection_string: ODBC connection string with the login.
        query: the query that is sent; named in errors.
        limits: time limits for PMO's answers.
    """

    def __init__(
        self, connection_string: str, query: SourceQuery, limits: ConnectionSettings = CONNECTION_DEFAULTS
    ) -> None:
        self.connection_string = with_options(connection_string, limits)
        self._query = query
        self._limits = limits
        pairs = _pairs(connection_string)
        self._port = _port(pairs)
        self._keeps_log = "commlog" in pairs
        self.driver = (pairs.get("driver") or f"of the data source {pairs.get('dsn', '(unnamed)')}").strip("{}")

    @contextmanager
    def rows(self, dialect: Dialect | None = None) -> Iterator[pyodbc.Connection]:
        """Open a connection for reading row by row; inside the block pyodbc's errors are translated.

        Args:
            dialect: the dialect, if it is already known; its ``prepare`` is run.

        Raises:
            SourceError: see ``failure``.
        """
        watch = self._watch()
        try:
            # Without autocommit, SQLite's driver loads the whole result into memory.
            inner = watch.connect(
                pyodbc.connect, self.connection_string, autocommit=True, timeout=self._limits.connect_seconds
            )
        except pyodbc.Error as error:
            raise self.failure(error, connecting=True) from None
        connection = Watched(inner, watch, (pyodbc.Cursor,))
        connection.add_output_converter(_DATETIMEOFFSET, offset_text)
        try:
            if dialect is not None:
                self._prepare(connection, dialect)
            yield connection
        except (pyodbc.Error, UnicodeError) as error:
            raise self.failure(error) from None
        finally:
            # The result has been read; a server that stops answering now does not matter.
            with suppress(pyodbc.Error, SourceError):
                connection.close()
            self._remove_log()

    def _prepare(self, connection: pyodbc.Connection, dialect: Dialect) -> None:
        if dialect.half_letters:
            for type_ in _WIDE_TYPES:
                connection.add_output_converter(type_, _whole_letters)
        for statement in self._limited(dialect):
            connection.execute(statement)

    def _limited(self, dialect: Dialect) -> list[str]:
        return [statement.replace("{}", str(1000 * self._limits.lock_seconds)) for statement in dialect.prepare]

    def columns(self, dialect: Dialect) -> arrow_odbc.Connection:
        """Open a connection for fetching whole columns, and run the dialect's ``prepare``.

        Raises:
            SourceError: see ``failure``.
        """
        watch = self._watch()
        try:
            connection = watch.connect(
                arrow_odbc.connect, self.connection_string, login_timeout_sec=self._limits.connect_seconds
            )
        except arrow_odbc.Error as error:
            raise self.failure(error, connecting=True) from None
        connection = Watched(connection, watch, (arrow_odbc.BatchReader,))
        with self.bulk_errors(dialect):
            for statement in self._limited(dialect):
                connection.execute(statement)
        return connection

    def _remove_log(self) -> None:
        """Remove the log file that psqlODBC always creates in /tmp and writes to until the process ends."""
        if self._keeps_log:
            return
        for descriptor in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                file = descriptor.readlink()
                if file.match("/tmp/psqlodbc_*.log"):  # noqa: S108 - where the driver puts it
                    file.unlink()

    def _watch(self) -> Watch:
        def silent() -> SourceError:
            return SourceError(f"{SilentError('PMO', self._limits.answer_seconds)}: rerun when PMO is up")

        return Watch(self._limits.answer_seconds, silent, self._port)

    def dialect(self, connection: pyodbc.Connection) -> Dialect:
        """Return the dialect of the database that a connection leads to, and run its ``prepare``.

        Raises:
            SourceError: the driver would change texts.
        """
        driver = str(connection.getinfo(pyodbc.SQL_DRIVER_NAME))
        if driver.startswith("psqlodbca"):
            raise SourceRefusedError(
                f"the ODBC driver {self.driver} does not support all characters: use psqlODBC's Unicode driver "
                "(`PostgreSQL Unicode`) in the connection `pmo`"
            )
        found = _DIALECTS.get(str(connection.getinfo(pyodbc.SQL_DBMS_NAME)).lower(), OTHER)
        self._prepare(connection, found)
        if found is SQLITE and connection.execute("PRAGMA encoding").fetchval() != "UTF-8":
            raise SourceRefusedError(
                "the SQLite file of the connection `pmo` stores its texts in UTF-16, which the ODBC driver may "
                "change without an error: convert it to UTF-8"
            )
        if found is POSTGRES and connection.execute("SHOW server_encoding").fetchval() == "SQL_ASCII":
            found = POSTGRES_ASCII
        if found.begins_if and connection.execute(found.begins_if).fetchval() != 1:
            log.info("PMO's database does not allow snapshot isolation: posts are counted before and after")
            found = replace(found, begin=())
        version = str(connection.getinfo(pyodbc.SQL_DRIVER_VER))
        if driver.startswith("psqlodbc") and _ABORTS.match(version):
            found = replace(found, by_row=f"psqlODBC {version} would end this process when the connection is lost")
        return found

    @contextmanager
    def bulk_errors(self, dialect: Dialect) -> Iterator[None]:
        """Translate arrow-odbc's errors inside the block.

        Raises:
            TextTooLongError: a text did not fit into the buffer.
            BulkReadError: reading row by row may work.
            SourceError: see ``failure``.
        """
        try:
            yield
        except arrow_odbc.Error as error:
            # The frames of an error that is kept would keep its statement open, and SQL Server runs one at a time.
            traceback.clear_frames(error.__traceback__)
            raise self._bulk_failure(error, dialect) from None

    def _bulk_failure(self, error: arrow_odbc.Error, dialect: Dialect) -> Exception:
        text = str(error)
        state = _state(error)
        if state is None and "UTF-8" in text and not dialect.hex:
            return SourceRefusedError(
                f"PMO returned text that is not UTF-8 through the ODBC driver {self.driver}: "
                "correct the driver's character set, or the text in PMO"
            )
        if state is not None and (_is_locked(error, state) or _is_stopped(state) or not _CONVERSION.match(state)):
            return self.failure(error)
        if "too large" in text:
            return TextTooLongError("a text is longer than WAITLIST_MAX_TEXT_BYTES or than its column says")
        return BulkReadError(f"the driver could not convert a column (SQLSTATE {state or 'none'})")

    def failure(self, error: Exception, *, connecting: bool = False) -> SourceError:
        """Return an error that says what a driver's error means and what to do about it."""
        state = _state(error)
        return self._refusal(error, state, connecting=connecting) or self._trouble(error, state, connecting=connecting)

    def _refusal(self, error: Exception, state: str | None, *, connecting: bool) -> SourceRefusedError | None:
        text = str(error)
        if "Can't open lib" in text or (state and _NO_DRIVER.match(state)):
            reason = (
                f"the ODBC driver {self.driver} is not installed here: install it, or correct the connection "
                "`pmo` (`odbcinst -q -d` lists the drivers)"
            )
        elif (state and _LOGIN.match(state)) or "password authentication failed" in text:
            reason = "PMO refused the user name or the password: correct the login of the connection `pmo`"
        elif "file is not a database" in text:
            reason = "the file of the connection `pmo` is no SQLite database: correct its path"
        elif connecting and _TLS.search(text):
            reason = (
                "PMO's server and the ODBC driver did not agree on encryption (TLS): correct `Encrypt` in the "
                "connection `pmo`, or give the server a certificate that this machine trusts"
            )
        elif _is_forbidden(error, state):
            reason = (
                f"PMO does not let the login of the connection `pmo` read what the query {self._query.path} selects"
                f"{self._names_in(text)}: grant it that (GRANT SELECT), or correct the query"
            )
        elif (not connecting and _is_query(error, state)) or re.search(r"no such|syntax error", text):
            reason = f"PMO does not understand the query {self._query.path}{self._names_in(text)}: correct the query"
        else:
            return None
        return SourceRefusedError(_with_state(reason, state))

    def _trouble(self, error: Exception, state: str | None, *, connecting: bool) -> SourceError:
        if _is_locked(error, state):
            reason = f"{LockedError('PMO', self._limits.lock_seconds)}: rerun when it is released"
        elif connecting and (_is_stopped(state) or "timeout expired" in str(error)):
            reason = (
                f"PMO did not answer for {self._limits.connect_seconds} s (WAITLIST_CONNECT_SECONDS): check host and "
                "port of the connection `pmo`, and that this machine may reach them"
            )
        elif connecting:
            reason = (
                f"PMO cannot be reached through the ODBC driver {self.driver}: check host, port and database "
                "(or file) of the connection `pmo`, and that this machine may reach them"
            )
        elif _is_stopped(state):
            reason = f"{SilentError('PMO', self._limits.answer_seconds)}: rerun when PMO is up"
        elif state and _VICTIM.match(state):
            reason = "PMO ended the read in favour of another session (for example in a deadlock): rerun"
        elif state and _LOST.match(state):
            reason = "the connection to PMO was lost while reading: rerun when PMO is up"
        else:
            reason = f"PMO could not be read through the ODBC driver {self.driver}: see PMO's own log, then rerun"
        return SourceError(_with_state(reason, state))

    def _names_in(self, text: str) -> str:
        """Return the names that an error message quotes, but only those that are in the query itself."""
        found = (quoted or bare for quoted, bare in _QUOTED.findall(text))
        names = sorted({name for name in found if set(name.lower().split(".")) <= self._query.words})
        return f" (at {', '.join(names)})" if names else ""


def _is_locked(error: Exception, state: str | None) -> bool:
    return state == "55P03" or _number(error) == _NUMBER_LOCKED or "database is locked" in str(error)


def _is_forbidden(error: Exception, state: str | None) -> bool:
    return state == "42501" or (state == "42000" and _number(error) in _NUMBERS_FORBIDDEN)


def _is_query(error: Exception, state: str | None) -> bool:
    if state is None or not _QUERY.match(state) or _is_locked(error, state):
        return False
    return state != "42000" or _number(error) not in _NUMBERS_NO_QUERY


def _is_stopped(state: str | None) -> bool:
    return bool(state and _STOPPED.match(state))


def _with_state(reason: str, state: str | None) -> str:
    return f"{reason} (SQLSTATE {state or 'none'})"


def _number(error: Exception) -> int | None:
    """Return the number that the database gives an error."""
    found = _NUMBER.search(str(error.args[-1]) if isinstance(error, pyodbc.Error) and error.args else str(error))
    return int(next(filter(None, found.groups()))) if found else None


def _state(error: Exception) -> str | None:
    if isinstance(error, pyodbc.Error):
        state = str(error.args[0]) if error.args else ""
        return state if re.fullmatch(r"\w{5}", state) else None
    found = _STATE.search(str(error))
    return found[1] if found else None
