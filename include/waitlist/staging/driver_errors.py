"""The meaning of a database driver's error, without values from the database.

Drivers quote the row at fault ("Key (person_id)=(...)"), so a message has only the error's code, table and constraint.
"""

import re
import sqlite3
from typing import Final

import adbc_driver_manager
import psycopg
from adbc_driver_manager import AdbcStatusCode
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from waitlist.exceptions import RefusedError, StagingError
from waitlist.waiting import WaitedError

DRIVER_ERRORS: Final = (SQLAlchemyError, sqlite3.Error, psycopg.Error, adbc_driver_manager.Error, WaitedError)

_SQLITE_CONSTRAINT: Final = re.compile(r"[A-Z ]+ constraint failed: [\w., ]+")
# The error code of the guards in PostgreSQL (migration 0006).
_GUARD: Final = "P0W01"
# PostgreSQL's lock_timeout, SQLite's busy timeout.
_LOCKED: Final = {"55P03", "SQLITE_BUSY", "SQLITE_LOCKED"}
# PostgreSQL's statement_timeout, ODBC's query timeout.
_STOPPED: Final = {"57014", "HYT00"}
# A server that shuts down sends one of the last three.
_LOST: Final = re.compile(r"08...|57P0[123]")
# Classes of SQLSTATE: not supported, data, login, database, schema, syntax and privileges, limits, a trigger's refusal.
# A duplicate key is not among them: another process may have written it a moment before.
_NEVER_CURED: Final = re.compile(
    r"(0A|22|28|3D|3F|42|54|P0)...|SQLITE_(ERROR|READONLY|NOTADB|CORRUPT|PERM|AUTH|CANTOPEN|MISMATCH|TOOBIG)"
)
# libpq has no code for an error before the connection is established.
_NO_LOGIN: Final = re.compile(
    r"password authentication failed|does not exist|pg_hba\.conf|does not support SSL|certificate"
)


def refusal(doing: str, error: BaseException) -> StagingError:
    """Return an error that says what went wrong in an action; a ``RefusedError`` if trying again would not help."""
    driver = of_driver(error)
    if isinstance(driver, WaitedError):
        return StagingError(f"{doing}: {driver}")
    if _is_lost(driver):
        return StagingError(f"{doing}: the connection to the staging database was lost")
    if (why := _guard(driver)) is not None:
        return RefusedError(f"{doing}: the database's guard refused: {why}")
    refused = RefusedError if _NEVER_CURED.fullmatch(_code(driver)) else StagingError
    return refused(f"{doing}: the database refused ({_explain(driver)})")


def of_driver(error: BaseException) -> BaseException:
    """Return the driver's own error if SQLAlchemy has wrapped it."""
    return error.orig if isinstance(error, DBAPIError) and error.orig else error


def waited_for_lock(driver: BaseException) -> bool:
    """Return whether a driver stopped waiting for a lock of another session."""
    return _code(driver) in _LOCKED


def was_stopped(driver: BaseException) -> bool:
    """Return whether the server ended a statement that took too long."""
    return _code(driver) in _STOPPED


def refuses_connections(driver: BaseException) -> bool:
    """Return whether the next attempt to connect would fail for the same reason."""
    return bool(_NEVER_CURED.fullmatch(_code(driver)) or _NO_LOGIN.search(str(driver)))


def _code(driver: BaseException) -> str:
    """Return the SQLSTATE, or the name of SQLite's primary error code; empty if the error has neither."""
    if isinstance(driver, psycopg.Error | adbc_driver_manager.Error):
        return driver.sqlstate or ""
    if isinstance(driver, sqlite3.Error):
        return "_".join(getattr(driver, "sqlite_errorname", "").split("_")[:2])
    state = str(driver.args[0]) if driver.args else ""
    return state if re.fullmatch(r"\w{5}", state) else ""


def _is_lost(driver: BaseException) -> bool:
    code = _code(driver)
    if isinstance(driver, adbc_driver_manager.Error):
        return not code and driver.status_code is AdbcStatusCode.IO
    return bool(_LOST.fullmatch(code)) or (isinstance(driver, psycopg.OperationalError) and not code)


def _guard(driver: BaseException) -> str | None:
    """Return the message of a guard, which this project wrote and which has no values; None for any other error."""
    if isinstance(driver, sqlite3.Error):
        return str(driver) if getattr(driver, "sqlite_errorname", "") == "SQLITE_CONSTRAINT_TRIGGER" else None
    if _code(driver) != _GUARD:
        return None
    if isinstance(driver, adbc_driver_manager.Error):
        return _details(driver)["PG_DIAG_MESSAGE_PRIMARY"]
    return driver.diag.message_primary if isinstance(driver, psycopg.Error) else None


def _details(driver: adbc_driver_manager.Error) -> dict[str, str]:
    words = [[part.decode() if isinstance(part, bytes) else part for part in pair] for pair in driver.details]
    return {str(name): str(value) for name, value in words}


def _explain(driver: BaseException) -> str:
    known: list[str] = [type(driver).__name__]
    table = constraint = None
    if isinstance(driver, adbc_driver_manager.Error):
        table, constraint = (_details(driver).get(f"PG_DIAG_{name}") for name in ("TABLE_NAME", "CONSTRAINT_NAME"))
    elif isinstance(driver, psycopg.Error):
        table, constraint = driver.diag.table_name, driver.diag.constraint_name
    if isinstance(driver, sqlite3.Error):
        known.append(getattr(driver, "sqlite_errorname", ""))
        if _SQLITE_CONSTRAINT.fullmatch(str(driver)):
            known.append(str(driver))
    else:
        parts = {"SQLSTATE": _code(driver), "table": table, "constraint": constraint}
        known += [f"{name} {value}" for name, value in parts.items() if value]
    return ", ".join(filter(None, known))
