"""Connection strings get what their driver needs; errors get our words instead of the driver's."""

from dataclasses import dataclass

import pyodbc
import pytest
from tests.support.pmo import official_number

from waitlist import paths
from waitlist.pmo.connection import OdbcSource, with_options
from waitlist.pmo.query import SourceQuery
from waitlist.settings import ConnectionSettings

SECRET = f"{official_number()} Tolvan"


@pytest.fixture
def source() -> OdbcSource:
    return OdbcSource("Driver={Some Driver};Pwd=hemligt", SourceQuery.load(paths.SQL))


POSTGRES = (
    "Debug=0;CommLog=0;"
    "pqopt={keepalives_idle=30 keepalives_interval=10 keepalives_count=3 tcp_user_timeout=60000 "
    r"options='-c default_transaction_read_only=on -c default_transaction_isolation=read\\ committed "
    "-c statement_timeout=60s -c lock_timeout=20s'}"
)
LIMITS = ConnectionSettings(connect_seconds=5, lock_seconds=20, answer_seconds=60)


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("Driver={SQLite3};Database=a.db", "Driver={SQLite3};Database=a.db;StepAPI=1;NoCreat=1;Timeout=20000"),
        ("DRIVER=SQLite3;stepapi=0;NOCREAT=0;timeout=5;", "DRIVER=SQLite3;stepapi=0;NOCREAT=0;timeout=5"),
        (
            "Driver={PostgreSQL Unicode};Pwd={a;UseDeclareFetch=0}}};",
            "Driver={PostgreSQL Unicode};Pwd={a;UseDeclareFetch=0}}};"
            "UseDeclareFetch=1;Fetch=10000;BoolsAsChar=0;MaxVarcharSize=8190;" + POSTGRES,
        ),
        (
            "driver = /usr/lib/odbc/psqlodbcw.so ; fetch = 500; UseDeclareFetch=0",
            "driver = /usr/lib/odbc/psqlodbcw.so ; fetch = 500; UseDeclareFetch=0;BoolsAsChar=0;MaxVarcharSize=8190;"
            + POSTGRES,
        ),
        ("Driver={ODBC Driver 18 for SQL Server};Server=pmo", "Driver={ODBC Driver 18 for SQL Server};Server=pmo"),
        ("DSN=pmo;Uid=sqlite", "DSN=pmo;Uid=sqlite"),
    ],
)
def test_a_known_driver_gets_its_options_where_they_are_not_given(written: str, used: str) -> None:
    assert with_options(written, LIMITS) == used


@pytest.mark.parametrize(
    ("state", "message", "ours"),
    [
        ("28000", "Login failed for user", "PMO refused the user name or the password"),
        ("08S01", "TCP Provider: Error code 0x68", "the connection to PMO was lost while reading"),
        ("HYT00", "Query timeout expired", "PMO did not answer for 600 s (WAITLIST_ANSWER_SECONDS)"),
        ("42000", "Lock request time out period exceeded. (1222)", "another session of PMO did not release a lock"),
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


@dataclass(frozen=True)
class Driver:
    """What a driver says of itself."""

    name: str
    version: str

    def getinfo(self, asked: int) -> str:
        return {pyodbc.SQL_DRIVER_NAME: self.name, pyodbc.SQL_DRIVER_VER: self.version}.get(asked, "PostgreSQL")


@pytest.mark.parametrize(
    ("driver", "aborts"),
    [
        (Driver("psqlodbcw.so", "13.02.0000"), False),
        (Driver("psqlodbcw.so", "16.00.0005"), True),
        (Driver("psqlodbcw.so", "17.00.0004"), True),
        (Driver("psqlodbcw.so", "18.00.0005"), False),
        (Driver("libmsodbcsql-18.so", "17.10.0001"), False),
    ],
)
def test_only_a_psqlodbc_that_would_end_the_process_is_read_row_by_row(source, driver, aborts):
    assert bool(source.dialect(driver).by_row) is aborts
