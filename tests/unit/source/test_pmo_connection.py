"""Connection strings get what their driver needs; errors have our text instead of the driver's."""

import struct
from dataclasses import dataclass

import pyarrow as pa
import pyodbc
import pytest
from tests.support.pmo import official_number

from waitlist import paths
from waitlist.columns import dates
from waitlist.settings import ConnectionSettings
from waitlist.source.pmo.connection import OdbcSource, offset_text, with_options
from waitlist.source.pmo.query import SourceQuery

SECRET = f"{official_number()} Tolvan"


@pytest.fixture
def source() -> OdbcSource:
    return OdbcSource("Driver={Some Driver};Pwd=hemligt", SourceQuery.load(paths.SQL))


POSTGRES = (
    "MaxVarcharSize=1048576;MaxLongVarcharSize=1048576;Debug=0;CommLog=0;"
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
            "UseDeclareFetch=1;Fetch=10000;BoolsAsChar=0;" + POSTGRES,
        ),
        (
            "driver = /usr/lib/odbc/psqlodbcw.so ; fetch = 500; UseDeclareFetch=0",
            "driver = /usr/lib/odbc/psqlodbcw.so ; fetch = 500; UseDeclareFetch=0;BoolsAsChar=0;" + POSTGRES,
        ),
        (
            "Driver={ODBC Driver 18 for SQL Server};Server=pmo",
            "Driver={ODBC Driver 18 for SQL Server};Server=pmo;"
            "ConnectRetryCount=0;Encrypt=yes;TrustServerCertificate=no",
        ),
        ("Driver=FreeTDS;Server=localhost", "Driver=FreeTDS;Server=localhost"),
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
        (
            "42000",
            "The SELECT permission was denied on the object 'patient'. (229) (SQLExecDirectW)",
            "(at patient): grant it that",
        ),
        (
            "42000",
            f"Incorrect syntax near '{SECRET}'. (102) (SQLExecDirectW)",
            "select_waitlist.sql: correct the query",
        ),
        ("42000", f"Error converting data type '(102)'{SECRET}. (8114) (SQLFetch)", "see PMO's own log"),
        ("40001", "was deadlocked on lock resources. (1205) (SQLFetch)", "in favour of another session"),
        ("22018", f"Conversion failed when converting '{SECRET}' to int", "see PMO's own log"),
    ],
)
def test_an_error_of_sql_server_gets_our_text(source: OdbcSource, state: str, message: str, ours: str) -> None:
    error = source.failure(pyodbc.Error(state, f"[{state}] [Microsoft]{message}"))

    assert ours in str(error)
    assert str(error).endswith(f"(SQLSTATE {state})")
    assert SECRET not in str(error)
    assert "Microsoft" not in str(error)


@pytest.mark.parametrize(
    ("hours", "minutes", "offset", "day"),
    [(0, 0, "+00:00", "2024-11-06"), (5, 30, "+05:30", "2024-11-05"), (-3, -30, "-03:30", "2024-11-06")],
)
def test_a_datetimeoffset_is_written_as_sql_server_does_and_read_as_an_instant(
    hours: int, minutes: int, offset: str, day: str
) -> None:
    """By Microsoft's description of the structure."""
    written = struct.pack("<hHHHHHIhh", 2024, 11, 5, 23, 30, 1, 123_456_700, hours, minutes)

    assert offset_text(written) == f"2024-11-05 23:30:01.1234567 {offset}"
    assert str(dates.parse(pa.array([offset_text(written)]))[0]) == day


@dataclass
class Driver:
    """A driver's information about itself, and its database's answers before anything is read."""

    name: str
    version: str
    database: str = "PostgreSQL"
    answer: object = None

    def getinfo(self, asked: int) -> str:
        return {pyodbc.SQL_DRIVER_NAME: self.name, pyodbc.SQL_DRIVER_VER: self.version}.get(asked, self.database)

    def add_output_converter(self, type_: int, converter: object) -> None:
        """Take what pyodbc takes."""

    def execute(self, _: str) -> "Driver":
        return self

    def fetchval(self) -> object:
        return self.answer


def test_sql_server_reads_one_state_where_its_database_allows_it(source: OdbcSource) -> None:
    on, off = (Driver("libmsodbcsql-18.so", "18.04.0001", "Microsoft SQL Server", state) for state in (1, 0))

    assert source.dialect(on).begin == ("SET TRANSACTION ISOLATION LEVEL SNAPSHOT", "BEGIN TRANSACTION")
    assert source.dialect(off).begin == ()
    assert source.dialect(Driver("sqora.so", "23.01", "Oracle")).begin == ()


def test_an_error_without_a_state_has_none(source: OdbcSource) -> None:
    assert str(source.failure(UnicodeError(SECRET))).endswith("(SQLSTATE none)")


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
