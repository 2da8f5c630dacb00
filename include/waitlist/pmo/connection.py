"""ODBC connections to PMO: what each driver needs, and its faults in words that tell what to do.

Two libraries read through the same driver: arrow-odbc fetches whole columns, pyodbc single rows of any
length. A driver's own message may quote patients' data or the login, so none is ever passed on: an error
carries the SQLSTATE, the driver's name and our words.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import arrow_odbc
import pyodbc  # type: ignore[import-not-found]  # its stub lies where mypy does not look
from arrow_odbc import TextEncoding

from waitlist.exceptions import SourceError
from waitlist.pmo.query import SourceQuery

LOGIN_SECONDS: Final = 30


@dataclass(frozen=True)
class Dialect:
    """What must be known of a database to read it.

    Attributes:
        as_text: SQL that turns a column which is no text into one; ``{}`` is the column.
        page: SQL that ends a query after ``{}`` rows, where the driver would otherwise hold the whole
            result in memory; None where it streams.
        types_in_values: the columns have no types of their own, their values have.
        encoding: how arrow-odbc asks for texts.
    """

    as_text: str
    page: str | None
    types_in_values: bool
    encoding: TextEncoding


# Read as numbers, SQLite's driver cuts keys to 32 bits and 1.5 to 1.
SQLITE: Final = Dialect("CAST({} AS TEXT)", "LIMIT {}", types_in_values=True, encoding=TextEncoding.UTF8)
# Read as dates, psqlODBC gives today for 'infinity' and the year 1234 for 12345. Its UTF-16 needs a UTF-8
# locale, its UTF-8 none. 64 characters hold any date, moment, flag or number of minutes.
POSTGRES: Final = Dialect("CAST({} AS VARCHAR(64))", None, types_in_values=False, encoding=TextEncoding.UTF8)
# Any other driver's narrow texts are in whatever encoding the process's locale names; UTF-16 is UTF-16.
OTHER: Final = Dialect("{}", None, types_in_values=False, encoding=TextEncoding.UTF16)

_DIALECTS: Final = {"sqlite": SQLITE, "postgresql": POSTGRES}

_OPTIONS: Final = {
    re.compile("sqlite", re.IGNORECASE): {"StepAPI": "1", "NoCreat": "1"},
    re.compile("postgres|psqlodbc", re.IGNORECASE): {
        "UseDeclareFetch": "1",
        "Fetch": "10000",
        "BoolsAsChar": "0",
        # An unbounded varchar says it holds 255 characters, and each longer text would go the slow way.
        "MaxVarcharSize": "8190",
        # Whatever the account may do, nothing is written; each statement sees what was committed and waits for nobody.
        "pqopt": "{options='-c default_transaction_read_only=on -c default_transaction_isolation=read\\\\ committed'}",
    },
}
"""What a driver's connection string gets where it does not say otherwise."""

_PAIR: Final = re.compile(r"\s*(?P<key>[^=;]+?)\s*=\s*(?P<value>\{(?:[^}]|\}\})*\}|[^;]*?)\s*(?:;|$)")
_STATE: Final = re.compile(r"State: (\w{5})")
_QUOTED: Final = re.compile(r"""["'](\w[\w.]*)["']|: (\w[\w.]*)""")

_NO_DRIVER: Final = re.compile(r"^IM00\d$")
_LOGIN: Final = re.compile(r"^28")
_LOST: Final = re.compile(r"^(08|57P|HYT)")
_QUERY: Final = re.compile(r"^(42|3F|3D)")
_CONVERSION: Final = re.compile(r"^(01|07|22|HY)")


class BulkReadError(Exception):
    """arrow-odbc cannot fetch these rows as columns; row by row may do. The text is safe to log."""


def with_options(connection_string: str) -> str:
    """Add what the driver needs, where the connection string does not say otherwise."""
    pairs = {pair["key"].lower(): pair["value"] for pair in _PAIR.finditer(connection_string)}
    added = ""
    for name, options in _OPTIONS.items():
        if name.search(pairs.get("driver", "")):
            added = "".join(f";{key}={value}" for key, value in options.items() if key.lower() not in pairs)
    return connection_string.rstrip("; ") + added


class OdbcSource:
    """A data source; connects anew for each ``with``.

    Args:
        connection_string: as ODBC takes it, login included.
        query: what is asked; named in errors.
    """

    def __init__(self, connection_string: str, query: SourceQuery) -> None:
        self.connection_string = with_options(connection_string)
        self._query = query
        pairs = {pair["key"].lower(): pair["value"] for pair in _PAIR.finditer(connection_string)}
        self.driver = (pairs.get("driver") or f"of the data source {pairs.get('dsn', '(unnamed)')}").strip("{}")

    @contextmanager
    def rows(self) -> Iterator[pyodbc.Connection]:
        """Open a connection for reading row by row; pyodbc's errors become ours inside the block.

        Raises:
            SourceError: see ``failure``.
        """
        try:
            # Without autocommit, SQLite's driver holds a whole result in memory.
            connection = pyodbc.connect(self.connection_string, autocommit=True, timeout=LOGIN_SECONDS)
        except pyodbc.Error as error:
            raise self.failure(error, connecting=True) from None
        try:
            yield connection
        except (pyodbc.Error, UnicodeError) as error:
            raise self.failure(error) from None
        finally:
            connection.close()

    def columns(self) -> arrow_odbc.Connection:
        """Open a connection for fetching whole columns.

        Raises:
            SourceError: see ``failure``.
        """
        try:
            return arrow_odbc.connect(self.connection_string, login_timeout_sec=LOGIN_SECONDS)
        except arrow_odbc.Error as error:
            raise self.failure(error, connecting=True) from None

    def dialect(self, connection: pyodbc.Connection) -> Dialect:
        """Say what database a connection leads to.

        Raises:
            SourceError: the driver is one that would spoil texts.
        """
        if str(connection.getinfo(pyodbc.SQL_DRIVER_NAME)).startswith("psqlodbca"):
            raise SourceError(
                f"the ODBC driver {self.driver} cannot carry all letters: use psqlODBC's Unicode driver "
                "(`PostgreSQL Unicode`) in the connection `pmo`"
            )
        return _DIALECTS.get(str(connection.getinfo(pyodbc.SQL_DBMS_NAME)).lower(), OTHER)

    def bulk_failure(self, error: arrow_odbc.Error) -> Exception:
        """Tell what row-by-row reading may overcome, as ``BulkReadError``, from what it may not."""
        text = str(error)
        state = _state(error)
        if state is None and "UTF-8" in text:
            return SourceError(
                f"PMO returned text that is not UTF-8 through the ODBC driver {self.driver}: "
                "correct the driver's character set, or the text in PMO"
            )
        if state is not None and not _CONVERSION.match(state):
            return self.failure(error)
        if "too large" in text:
            return BulkReadError("a text is longer than WAITLIST_MAX_TEXT_BYTES or than its column says")
        return BulkReadError(f"the driver could not convert a column (SQLSTATE {state or 'none'})")

    def failure(self, error: Exception, *, connecting: bool = False) -> SourceError:
        """Say in our words what a driver's error means and what to do about it."""
        text = str(error)
        state = _state(error)
        if "Can't open lib" in text or (state and _NO_DRIVER.match(state)):
            reason = (
                f"the ODBC driver {self.driver} is not installed here: install it, or correct the connection "
                "`pmo` (`odbcinst -q -d` lists the drivers)"
            )
        elif (state and _LOGIN.match(state)) or "password authentication failed" in text:
            reason = "PMO refused the user name or the password: correct the login of the connection `pmo`"
        elif connecting:
            reason = (
                f"PMO cannot be reached through the ODBC driver {self.driver}: check host, port and database "
                "(or file) of the connection `pmo`, and that this machine may reach them"
            )
        elif state and _LOST.match(state):
            reason = "the connection to PMO was lost while reading: rerun when PMO is up"
        elif (state and _QUERY.match(state)) or re.search(r"no such|syntax error", text):
            reason = f"PMO does not understand the query {self._query.path}{self._named(text)}: correct the query"
        elif "file is not a database" in text:
            reason = "the file of the connection `pmo` is no SQLite database: correct its path"
        else:
            reason = f"PMO could not be read through the ODBC driver {self.driver}: see PMO's own log, then rerun"
        return SourceError(f"{reason} (SQLSTATE {state or 'none'})")

    def _named(self, text: str) -> str:
        """Repeat the names that an error complains about, as far as the query itself has them."""
        found = (quoted or bare for quoted, bare in _QUOTED.findall(text))
        names = sorted({name for name in found if set(name.lower().split(".")) <= self._query.words})
        return f" (at {', '.join(names)})" if names else ""


def _state(error: Exception) -> str | None:
    if isinstance(error, pyodbc.Error):
        state = str(error.args[0]) if error.args else ""
        return state if re.fullmatch(r"\w{5}", state) else None
    found = _STATE.search(str(error))
    return found[1] if found else None
