"""Connection strings get what their driver needs; errors get our words instead of the driver's."""

import pyodbc
import pytest
from tests.support.pmo import official_number

from waitlist import paths
from waitlist.pmo.connection import OdbcSource, with_options
from waitlist.pmo.query import SourceQuery

SECRET = f"{official_number()} Tolvan"


@pytest.fixture
def source() -> OdbcSource:
    return OdbcSource("Driver={Some Driver};Pwd=hemligt", SourceQuery.load(paths.SQL))


READ_ONLY = r"pqopt={options='-c default_transaction_read_only=on -c default_transaction_isolation=read\\ committed'}"


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("Driver={SQLite3};Database=a.db", "Driver={SQLite3};Database=a.db;StepAPI=1;NoCreat=1"),
        ("DRIVER=SQLite3;stepapi=0;NOCREAT=0;", "DRIVER=SQLite3;stepapi=0;NOCREAT=0"),
        (
            "Driver={PostgreSQL Unicode};Pwd={a;UseDeclareFetch=0}}};",
            "Driver={PostgreSQL Unicode};Pwd={a;UseDeclareFetch=0}}};"
            "UseDeclareFetch=1;Fetch=10000;BoolsAsChar=0;MaxVarcharSize=8190;" + READ_ONLY,
        ),
        (
            "driver = /usr/lib/odbc/psqlodbcw.so ; fetch = 500; UseDeclareFetch=0",
            "driver = /usr/lib/odbc/psqlodbcw.so ; fetch = 500; UseDeclareFetch=0;BoolsAsChar=0;MaxVarcharSize=8190;"
            + READ_ONLY,
        ),
        ("Driver={ODBC Driver 18 for SQL Server};Server=pmo", "Driver={ODBC Driver 18 for SQL Server};Server=pmo"),
        ("DSN=pmo;Uid=sqlite", "DSN=pmo;Uid=sqlite"),
    ],
)
def test_a_known_driver_gets_its_options_where_they_are_not_given(written: str, used: str) -> None:
    assert with_options(written) == used


@pytest.mark.parametrize(
    ("state", "message", "ours"),
    [
        ("28000", "Login failed for user", "PMO refused the user name or the password"),
        ("08S01", "TCP Provider: Error code 0x68", "the connection to PMO was lost while reading"),
        ("HYT00", "Query timeout expired", "the connection to PMO was lost while reading"),
        ("42S02", "Invalid object name 'vantelistepost'.", "select_waitlist.sql (at vantelistepost): correct"),
        ("42S22", f"Invalid column name '{SECRET}'.", "select_waitlist.sql: correct the query"),
        ("22018", f"Conversion failed when converting '{SECRET}' to int", "see PMO's own log"),
    ],
)
def test_an_error_of_sql_server_gets_our_words(source: OdbcSource, state: str, message: str, ours: str) -> None:
    error = source.failure(pyodbc.Error(state, f"[{state}] [Microsoft]{message}"))

    assert ours in str(error)
    assert str(error).endswith(f"(SQLSTATE {state})")
    assert SECRET not in str(error)
    assert "Microsoft" not in str(error)


def test_an_error_without_a_state_has_none(source: OdbcSource) -> None:
    assert str(source.failure(UnicodeError(SECRET))).endswith("(SQLSTATE none)")
