"""ODBC connections to PMO: what each driver needs, and its faults in words that tell what to do.

Two libraries read through the same driver: arrow-odbc fetches whole columns, pyodbc single rows of any
length. A driver's own message may quote patients' data or the login, so none is ever passed on: an error
carries the SQLSTATE, the driver's name and our words.
"""

import logging
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import arrow_odbc
import pyodbc  # type: ignore[import-not-found]  # its stub lies where mypy does not look
from arrow_odbc import TextEncoding

from waitlist.exceptions import SourceError, SourceRefusedError
from waitlist.settings import CONNECTION_DEFAULTS, ConnectionSettings
from waitlist.source.pmo.query import SourceQuery
from waitlist.waiting import LockedError, SilentError, Watch, Watched

log: Final = logging.getLogger(__name__)

# unixODBC keeps connections for later from 2.3.12 on: one that is closed would stay open in PMO, and one that is
# taken again opens no socket by which it could be watched.
pyodbc.pooling = False


@dataclass(frozen=True)
class Dialect:
    """What must be known of a database to read it; ``{}`` in SQL is the column.

    Attributes:
        as_text: SQL that turns a column which is no text into one.
        unit: SQL of an HSA-id by which equal means the same letters; as ``hex`` where there is that.
        encoding: how arrow-odbc asks for texts.
        page: SQL that ends a query after ``{}`` rows, where the driver would otherwise hold the whole
            result in memory; None where it streams.
        begin: statements after which one transaction sees one state of the database; none where there is no such.
        begins_if: SQL that gives 1 where the database allows that; None: it always does.
        octets: SQL of a text's length in bytes, where the driver may hand over less of it; None where it never does.
        hex: SQL of a text's bytes in UTF-8, as hexadecimal digits, where the driver may alter letters row by row.
        types_in_values: the columns have no types of their own, their values have.
        type_of: SQL of a column's type, where the driver describes a flag as text.
        by_row: why whole columns may not be fetched, where they may not.
    """

    as_text: str
    unit: str
    encoding: TextEncoding
    page: str | None = None
    begin: tuple[str, ...] = ()
    begins_if: str | None = None
    octets: str | None = None
    hex: str | None = None
    types_in_values: bool = False
    type_of: str | None = None
    by_row: str = ""


# Read as numbers, SQLite's driver cuts keys to 32 bits and 1.5 to 1. It ends a text at a NUL; row by row it
# makes other letters of plane 16 and of bytes that are no UTF-8.
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
# Read as dates, psqlODBC gives today for 'infinity' and the year 1234 for 12345. Its UTF-16 needs a UTF-8
# locale, its UTF-8 none. 64 characters hold any date, moment, flag or number of minutes.
POSTGRES: Final = Dialect(
    "CAST({} AS VARCHAR(64))",
    'CAST({} AS TEXT) COLLATE "C"',
    TextEncoding.UTF8,
    begin=("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",),
    type_of="CAST(pg_typeof({}) AS VARCHAR(64))",
)
# Under SQL_ASCII the server knows no letters: it hands over whatever bytes are UTF-8 and refuses the rest.
_ASCII_HEX: Final = "encode(convert_to(CAST({} AS TEXT), 'SQL_ASCII'), 'hex')"
POSTGRES_ASCII: Final = replace(POSTGRES, unit=_ASCII_HEX, hex=_ASCII_HEX)
# Any other driver's narrow texts are in whatever encoding the process's locale names; UTF-16 is UTF-16.
OTHER: Final = Dialect("{}", "{}", TextEncoding.UTF16)
SQL_SERVER: Final = replace(
    OTHER,
    unit="{} COLLATE Latin1_General_100_BIN2",
    begin=("SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRANSACTION"),
    begins_if="SELECT snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID()",
)

_DIALECTS: Final = {"sqlite": SQLITE, "postgresql": POSTGRES, "microsoft sql server": SQL_SERVER}

# These versions of psqlODBC refuse to free a statement whose connection is lost, and arrow-odbc aborts then.
_ABORTS: Final = re.compile(r"1[67]\.")

_SQLITE_DRIVER: Final = re.compile("sqlite", re.IGNORECASE)
_POSTGRES_DRIVER: Final = re.compile("postgres|psqlodbc", re.IGNORECASE)
_POSTGRES_PORT: Final = 5432
# A host that is gone is given up after a minute.
_LIBPQ: Final = "keepalives_idle=30 keepalives_interval=10 keepalives_count=3"


def _options(driver: str, limits: ConnectionSettings) -> dict[str, str]:
    """Return what a driver's connection string gets where it does not say otherwise."""
    if _SQLITE_DRIVER.search(driver):
        return {"StepAPI": "1", "NoCreat": "1", "Timeout": str(1000 * limits.lock_seconds)}
    if not _POSTGRES_DRIVER.search(driver):
        return {}
    server = {
        # Whatever the account may do, nothing is written; each statement sees what was committed and waits for nobody.
        "default_transaction_read_only": "on",
        "default_transaction_isolation": r"read\\ committed",
        "statement_timeout": f"{limits.answer_seconds}s",
        "lock_timeout": f"{limits.lock_seconds}s",
    }
    told = " ".join(f"-c {name}={value}" for name, value in server.items())
    return {
        "UseDeclareFetch": "1",
        "Fetch": "10000",
        "BoolsAsChar": "0",
        # An unbounded text says it holds 255 or 8,190 characters, and each longer one would go the slow way.
        "MaxVarcharSize": "1048576",
        "MaxLongVarcharSize": "1048576",
        # Debian's driver writes each statement to a file in /tmp unless it is told not to.
        "Debug": "0",
        "CommLog": "0",
        "pqopt": f"{{{_LIBPQ} tcp_user_timeout={1000 * limits.answer_seconds} options='{told}'}}",
    }


_PAIR: Final = re.compile(r"\s*(?P<key>[^=;]+?)\s*=\s*(?P<value>\{(?:[^}]|\}\})*\}|[^;]*?)\s*(?:;|$)")
_STATE: Final = re.compile(r"State: (\w{5})")
_QUOTED: Final = re.compile(r"""["'](\w[\w.]*)["']|: (\w[\w.]*)""")

_NO_DRIVER: Final = re.compile(r"^IM00\d$")
_LOGIN: Final = re.compile(r"^28")
_LOST: Final = re.compile(r"^(08|57P)")
_STOPPED: Final = re.compile(r"^(57014|HYT)")
# SQL Server, SQLite.
_LOCKED: Final = re.compile(r"\(1222\)|database is locked")
_QUERY: Final = re.compile(r"^(42|3F|3D)")
_CONVERSION: Final = re.compile(r"^(01|07|22|HY)")


# SQL Server's own type, which pyodbc does not know: SQL_SS_TIMESTAMPOFFSET_STRUCT.
_DATETIMEOFFSET: Final = -155
_OFFSET_STRUCT: Final = struct.Struct("<hHHHHHIhh")


def offset_text(value: bytes) -> str:
    """Write a ``datetimeoffset`` as SQL Server writes it as text."""
    year, month, day, hour, minute, second, nanoseconds, hours, minutes = _OFFSET_STRUCT.unpack(value)
    sign = "-" if hours < 0 or minutes < 0 else "+"
    time = f"{hour:02}:{minute:02}:{second:02}.{nanoseconds // 100:07}"
    return f"{year:04}-{month:02}-{day:02} {time} {sign}{abs(hours):02}:{abs(minutes):02}"


class BulkReadError(Exception):
    """arrow-odbc cannot fetch these rows as columns; row by row may do. The text is safe to log."""


class TextTooLongError(BulkReadError):
    """There was no room for a text; with more room there may be."""


def with_options(connection_string: str, limits: ConnectionSettings = CONNECTION_DEFAULTS) -> str:
    """Add what the driver needs and the time limits, where the connection string does not say otherwise."""
    pairs = _pairs(connection_string)
    options = _options(pairs.get("driver", ""), limits)
    added = "".join(f";{key}={value}" for key, value in options.items() if key.lower() not in pairs)
    return connection_string.rstrip("; ") + added


def _pairs(connection_string: str) -> dict[str, str]:
    return {pair["key"].lower(): pair["value"] for pair in _PAIR.finditer(connection_string)}


def _port(pairs: Mapping[str, str]) -> int | None:
    """Return the port that a connection string names, or its driver is known to take."""
    named = pairs.get("port") or pairs.get("server", "").strip("{}").rpartition(",")[2]
    if named.isdecimal():
        return int(named)
    return _POSTGRES_PORT if _POSTGRES_DRIVER.search(pairs.get("driver", "")) else None


class OdbcSource:
    """A data source; connects anew for each ``with``.

    Args:
        connection_string: as ODBC takes it, login included.
        query: what is asked; named in errors.
        limits: how long PMO is waited for.
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
    def rows(self) -> Iterator[pyodbc.Connection]:
        """Open a connection for reading row by row; pyodbc's errors become ours inside the block.

        Raises:
            SourceError: see ``failure``.
        """
        watch = self._watch()
        try:
            # Without autocommit, SQLite's driver holds a whole result in memory.
            inner = watch.connect(
                pyodbc.connect, self.connection_string, autocommit=True, timeout=self._limits.connect_seconds
            )
        except pyodbc.Error as error:
            raise self.failure(error, connecting=True) from None
        connection = Watched(inner, watch, (pyodbc.Cursor,))
        connection.add_output_converter(_DATETIMEOFFSET, offset_text)
        try:
            yield connection
        except (pyodbc.Error, UnicodeError) as error:
            raise self.failure(error) from None
        finally:
            # What was read is here; a server that is silent now changes nothing.
            with suppress(pyodbc.Error, SourceError):
                connection.close()
            self._remove_log()

    def columns(self) -> arrow_odbc.Connection:
        """Open a connection for fetching whole columns.

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
        return Watched(connection, watch, (arrow_odbc.BatchReader,))

    def _remove_log(self) -> None:
        """Remove the file that psqlODBC begins in /tmp whatever it is told, and writes to until the process ends."""
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
        """Say what database a connection leads to.

        Raises:
            SourceError: the driver is one that would spoil texts.
        """
        driver = str(connection.getinfo(pyodbc.SQL_DRIVER_NAME))
        if driver.startswith("psqlodbca"):
            raise SourceRefusedError(
                f"the ODBC driver {self.driver} cannot carry all letters: use psqlODBC's Unicode driver "
                "(`PostgreSQL Unicode`) in the connection `pmo`"
            )
        found = _DIALECTS.get(str(connection.getinfo(pyodbc.SQL_DBMS_NAME)).lower(), OTHER)
        if found is SQLITE and connection.execute("PRAGMA encoding").fetchval() != "UTF-8":
            raise SourceRefusedError(
                "the SQLite file of the connection `pmo` holds its texts in UTF-16, where the ODBC driver may "
                "alter them unnoticed: convert it to UTF-8"
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
        """Turn arrow-odbc's errors into ours inside the block.

        Raises:
            TextTooLongError: there was no room for a text.
            BulkReadError: reading row by row may overcome it.
            SourceError: see ``failure``.
        """
        try:
            yield
        except arrow_odbc.Error as error:
            raise self._bulk_failure(error, dialect) from None

    def _bulk_failure(self, error: arrow_odbc.Error, dialect: Dialect) -> Exception:
        text = str(error)
        state = _state(error)
        if state is None and "UTF-8" in text and not dialect.hex:
            return SourceRefusedError(
                f"PMO returned text that is not UTF-8 through the ODBC driver {self.driver}: "
                "correct the driver's character set, or the text in PMO"
            )
        if state is not None and (_is_locked(state, text) or _is_stopped(state) or not _CONVERSION.match(state)):
            return self.failure(error)
        if "too large" in text:
            return TextTooLongError("a text is longer than WAITLIST_MAX_TEXT_BYTES or than its column says")
        return BulkReadError(f"the driver could not convert a column (SQLSTATE {state or 'none'})")

    def failure(self, error: Exception, *, connecting: bool = False) -> SourceError:
        """Say in our words what a driver's error means and what to do about it."""
        text = str(error)
        state = _state(error)
        return self._refusal(text, state) or self._trouble(text, state, connecting=connecting)

    def _refusal(self, text: str, state: str | None) -> SourceRefusedError | None:
        if "Can't open lib" in text or (state and _NO_DRIVER.match(state)):
            reason = (
                f"the ODBC driver {self.driver} is not installed here: install it, or correct the connection "
                "`pmo` (`odbcinst -q -d` lists the drivers)"
            )
        elif (state and _LOGIN.match(state)) or "password authentication failed" in text:
            reason = "PMO refused the user name or the password: correct the login of the connection `pmo`"
        elif "file is not a database" in text:
            reason = "the file of the connection `pmo` is no SQLite database: correct its path"
        elif (state and _QUERY.match(state) and not _LOCKED.search(text)) or re.search(r"no such|syntax error", text):
            reason = f"PMO does not understand the query {self._query.path}{self._named(text)}: correct the query"
        else:
            return None
        return SourceRefusedError(_with_state(reason, state))

    def _trouble(self, text: str, state: str | None, *, connecting: bool) -> SourceError:
        if _is_locked(state, text):
            reason = f"{LockedError('PMO', self._limits.lock_seconds)}: rerun when it is released"
        elif connecting and (_is_stopped(state) or "timeout expired" in text):
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
        elif state and _LOST.match(state):
            reason = "the connection to PMO was lost while reading: rerun when PMO is up"
        else:
            reason = f"PMO could not be read through the ODBC driver {self.driver}: see PMO's own log, then rerun"
        return SourceError(_with_state(reason, state))

    def _named(self, text: str) -> str:
        """Repeat the names that an error complains about, as far as the query itself has them."""
        found = (quoted or bare for quoted, bare in _QUOTED.findall(text))
        names = sorted({name for name in found if set(name.lower().split(".")) <= self._query.words})
        return f" (at {', '.join(names)})" if names else ""


def _is_locked(state: str | None, text: str) -> bool:
    return state == "55P03" or bool(_LOCKED.search(text))


def _is_stopped(state: str | None) -> bool:
    return bool(state and _STOPPED.match(state))


def _with_state(reason: str, state: str | None) -> str:
    return f"{reason} (SQLSTATE {state or 'none'})"


def _state(error: Exception) -> str | None:
    if isinstance(error, pyodbc.Error):
        state = str(error.args[0]) if error.args else ""
        return state if re.fullmatch(r"\w{5}", state) else None
    found = _STATE.search(str(error))
    return found[1] if found else None
