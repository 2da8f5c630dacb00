"""A PMO in SQL Server, as far as Microsoft's own ODBC driver goes: the server is a responder of ours."""

import datetime as dt
import locale
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyodbc
import pytest
from tests.support.pmo import AS_OF, SmallPmo, post, posts, source_settings
from tests.support.tds.answers import ServerError
from tests.support.tds.certificates import self_signed
from tests.support.tds.pmo import TdsPmo, connection_string, driver, sqlserver_pmo
from tests.support.tds.server import PASSWORD
from tests.support.tds.types import (
    BIGINT,
    BIT,
    DATE,
    DATETIME,
    DATETIMEOFFSET,
    FLOAT,
    INT,
    NVARCHAR_MAX,
    SMALLINT,
    TINYINT,
    Type,
    char,
    datetime2,
    decimal,
    nchar,
    nvarchar,
    varchar,
)
from upath import UPath

from waitlist import paths
from waitlist.columns import dates
from waitlist.exceptions import SchemaDriftError, SourceError, SourceRefusedError
from waitlist.schema import POSTS
from waitlist.settings import ConnectionSettings
from waitlist.source.pmo import PmoSource, Selection, connection
from waitlist.source.pmo.connection import SQL_SERVER, OdbcSource
from waitlist.source.pmo.query import SourceQuery
from waitlist.source.snapshot import read_part

LIMITS = ConnectionSettings(connect_seconds=3, lock_seconds=7, answer_seconds=3)
READ = "SELECT q.post_id AS post_id"
"""In the statement that reads the posts, and in no other."""

Force = Callable[[], None]


@pytest.fixture(params=["by column", "by row"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Partitions are read by arrow-odbc, or by pyodbc throughout."""
    if request.param == "by row":
        forced = replace(SQL_SERVER, by_row="the test asks for it")
        monkeypatch.setattr(connection, "_DIALECTS", {"microsoft sql server": forced})
    return str(request.param)


def source_of(odbc: str, **values: int) -> PmoSource:
    return PmoSource(odbc, source_settings(Path(), connections=LIMITS, **values))


def extract(pmo: SmallPmo, units: tuple[str, ...] | None = None, **values: int) -> pa.Table:
    """Extract every partition of the plan, and read the snapshot back."""
    source, selection = source_of(pmo.odbc, **values), Selection(AS_OF, units)
    with tempfile.TemporaryDirectory() as folder:
        parts = [source.extract(selection, partition, UPath(folder)) for partition in source.plan(selection)]
        return pa.concat_tables([table for part in parts for table in read_part(UPath(folder), part)])


def refused(odbc: str, error: type[SourceError] = SourceError) -> str:
    with pytest.raises(SourceError) as raised:
        source_of(odbc).plan(Selection(AS_OF))
    assert type(raised.value) is error
    return str(raised.value)


# From connection string to snapshot


@pytest.mark.usefixtures("both_ways")
def test_every_column_arrives_as_it_was_written() -> None:
    rows = [
        post(-(2**63), sekretess=1, orsak="Ring 😀 om värk", andrad="2024-09-02 07:00:00.000001", bilagor=2),
        post(7, personnummer=None, namn="Åke Ö'Örn", boka_from=None, boka_fore="", orsak=None, tidsatgang_min=None),
        post(2**63 - 1, kontaktform="telefon", nybesok=1, filial="Ön", avslutad="2024-10-02 00:00:00"),
    ]
    usual = {
        "personnummer": "19850417-2381", "patient": "Tolvan Tolvansson", "sekretess": False,
        "enhet_hsa_id": "SE0000000000-TEST1", "enhet": "Vårdcentralen Ådalen",
        "kategori": "SDV Pv Ssk Återbesök (diabetes)", "kontaktform": "besok", "vantar_pa_besok": True,
        "nybesok": False, "har_bilaga": False, "boka_from": "2025-03-01", "boka_fore": "2025-03-31",
        "orsak": "Uppföljning", "planerade_atgarder": None, "anvandare": "Ssk Åsa", "tidsatgang_min": 30,
        "filial": None, "registrerad": dt.datetime.fromisoformat("2024-09-01 08:30"), "andrad": None, "avslutad": None,
    }  # fmt: skip

    with sqlserver_pmo(rows) as pmo:
        table = extract(pmo)

    assert table.schema == POSTS
    assert table.to_pylist() == [
        {
            "post_id": -(2**63), **usual, "sekretess": True, "orsak": "Ring 😀 om värk", "har_bilaga": True,
            "andrad": dt.datetime.fromisoformat("2024-09-02 07:00:00.000001"),
        },
        {
            "post_id": 7, **usual, "personnummer": None, "patient": "Åke Ö'Örn", "boka_from": None, "boka_fore": None,
            "orsak": None, "tidsatgang_min": None,
        },
        {
            "post_id": 2**63 - 1, **usual, "kontaktform": "telefon", "nybesok": True, "filial": "Ön",
            "avslutad": dt.datetime.fromisoformat("2024-10-02"),
        },
    ]  # fmt: skip


def test_a_partition_is_read_in_one_snapshot_that_is_given_back(both_ways: str) -> None:
    with sqlserver_pmo(posts(range(20))) as pmo:
        extract(pmo)
        heard = [sql.split("\n")[0] for sql in pmo.server.heard]
    begun = heard.index("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")

    assert heard[begun + 1] == "BEGIN TRANSACTION"
    assert heard[begun + 2].startswith("SELECT COUNT(*) AS posts")
    assert heard[begun + 3].startswith("SELECT q.post_id")
    # pyodbc's connection is closed, which rolls back as well.
    assert heard[begun + 4 :] == (["ROLLBACK"] if both_ways == "by column" else [])


@pytest.mark.usefixtures("both_ways")
def test_where_snapshots_are_off_posts_are_counted_before_and_after() -> None:
    with sqlserver_pmo(posts(range(20)), snapshots=False) as pmo:
        assert extract(pmo).num_rows == 20
        heard = [sql.split("\n")[0] for sql in pmo.server.heard]

    assert not any(sql.startswith(("BEGIN", "SET TRANSACTION")) for sql in heard)
    assert [sql.split(" FROM")[0].split(",")[0] for sql in heard[-3:]] == [
        "SELECT COUNT(*) AS posts",
        "SELECT q.post_id AS post_id",
        "SELECT COUNT(*) AS posts",
    ]


@pytest.mark.usefixtures("both_ways")
def test_every_connection_that_asks_has_a_limit_for_locks() -> None:
    with sqlserver_pmo(posts(range(20))) as pmo:
        source = source_of(pmo.odbc)
        source.count(Selection(AS_OF))
        extract(pmo)
        told = [sql for sql in pmo.server.heard if "LOCK_TIMEOUT" in sql]

        assert told == ["SET LOCK_TIMEOUT 7000"] * len(pmo.server.logins)


@pytest.mark.usefixtures("both_ways")
def test_partitions_and_chunks_hold_every_post_once() -> None:
    with sqlserver_pmo(posts(range(0, 9_000, 3))) as pmo:
        table = extract(pmo, partition_posts=1_000, chunk_posts=300)

    assert table["post_id"].to_pylist() == list(range(0, 9_000, 3))


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "written", ["SE0000000000-TEST1", "se0000000000-test1  ", "SE0000000000-TEST1\N{NO-BREAK SPACE}"]
)
def test_a_unit_is_found_however_its_id_is_written(written: str) -> None:
    with sqlserver_pmo([*posts(range(5)), post(5, enhet_id=2)]) as pmo:
        pmo.run(("UPDATE enhet SET hsa_id = ? WHERE enhet_id = 1", [(written,)]))

        assert extract(pmo, units=("SE0000000000-TEST1",))["post_id"].to_pylist() == [0, 1, 2, 3, 4]


# Types


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("type_", "written", "kept"),
    [
        (DATETIME, "2024-09-01 08:30:00.003", "2024-09-01 08:30:00.003"),
        (datetime2(0), "2024-09-01 23:59:59", "2024-09-01 23:59:59"),
        (datetime2(3), "2024-09-01 23:59:59.120", "2024-09-01 23:59:59.120"),
        (datetime2(7), "2024-09-01 08:30:00.1234567", "2024-09-01 08:30:00.123456"),
        (datetime2(7), "0001-01-01 00:00:00.0000000", "0001-01-01 00:00:00"),
        (datetime2(7), "9999-12-31 23:59:59.9999999", "9999-12-31 23:59:59.999999"),
        (DATE, "2024-09-01", "2024-09-01 00:00:00"),
    ],
    ids=["datetime", "0", "3", "7", "lowest", "highest", "date"],
)
def test_a_moment_keeps_its_microseconds(type_: Type, written: str, kept: str) -> None:
    with sqlserver_pmo([post(1, andrad=written), post(2)], andrad=type_) as pmo:
        if type_ is DATE:
            with pytest.raises(SchemaDriftError, match="andrad must be a timestamp, is a date"):
                extract(pmo)
        else:
            assert extract(pmo)["andrad"].to_pylist() == [dt.datetime.fromisoformat(kept), None]


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("type_", "written"),
    [(DATE, "2025-03-01"), (DATETIME, "2025-03-01 23:59:59.997"), (datetime2(7), "2025-03-01 23:59:59.9999999")],
    ids=["date", "datetime", "datetime2"],
)
def test_of_a_booking_date_with_a_time_the_date_counts(type_: Type, written: str) -> None:
    with sqlserver_pmo([post(1, boka_from=written), post(2, boka_from=None)], boka_from=type_) as pmo:
        assert extract(pmo)["boka_from"].to_pylist() == ["2025-03-01", None]


@pytest.mark.usefixtures("both_ways")
def test_a_booking_date_with_a_time_zone_is_an_instant() -> None:
    written = ["2024-11-05 23:30:00.0000000 +00:00", "2024-11-05 23:30:01.1234567 -03:30", None]
    with sqlserver_pmo([post(n, boka_from=text) for n, text in enumerate(written)], boka_from=DATETIMEOFFSET) as pmo:
        kept = extract(pmo)["boka_from"]

    assert kept.to_pylist() == written
    assert [str(day) for day in dates.parse(kept.combine_chunks())] == ["2024-11-06", "2024-11-06", "NaT"]


def test_a_moment_with_a_time_zone_is_a_fault() -> None:
    rows = [post(1, registrerad="2024-09-05 23:30:00.0000000 +00:00")]
    with (
        sqlserver_pmo(rows, registrerad=DATETIMEOFFSET) as pmo,
        pytest.raises(SchemaDriftError, match="registrerad must be a timestamp, is text"),
    ):
        extract(pmo)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "type_",
    [BIT, TINYINT, SMALLINT, INT, BIGINT, decimal(9, 0), decimal(3, 2)],
    ids=["bit", "tinyint", "smallint", "int", "bigint", "decimal(9, 0)", "decimal(3, 2)"],
)
def test_a_flag_may_be_a_bit_or_any_number(type_: Type) -> None:
    flags = dict.fromkeys(("sekretess", "vantar_pa_besok", "nybesok"), type_)
    with sqlserver_pmo([post(1, sekretess=0), post(2, sekretess=1)], **flags) as pmo:
        table = extract(pmo)

    assert table["sekretess"].to_pylist() == [False, True]
    assert table["vantar_pa_besok"].to_pylist() == [True, True]
    assert table["nybesok"].to_pylist() == [False, False]


@pytest.mark.usefixtures("both_ways")
def test_a_key_and_a_number_may_be_decimals() -> None:
    """Microsoft's driver writes such a 0 as ``.00``."""
    rows = [post(key, tidsatgang_min=key) for key in (-3, 0, 8)]
    with sqlserver_pmo(rows, post_id=decimal(9, 2), tidsatgang_min=decimal(6, 2)) as pmo:
        table = extract(pmo)

    assert table["post_id"].to_pylist() == table["tidsatgang_min"].to_pylist() == [-3, 0, 8]


@pytest.mark.parametrize(
    ("type_", "said"), [(FLOAT, "a floating-point number"), (nvarchar(5), "text"), (char(1), "text")]
)
def test_a_flag_of_another_type_is_a_fault(type_: Type, said: str) -> None:
    with sqlserver_pmo([post(1)], nybesok=type_) as pmo, pytest.raises(SchemaDriftError, match=f"nybesok .* is {said}"):
        extract(pmo)


LETTERS = ["Återbesök é €", "A" * 200, "", None]


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("type_", "written", "kept"),
    [
        (nvarchar(200), [*LETTERS, "😀 e\u0301 \U0010fffd", "nul \0 i mitten"], None),
        (NVARCHAR_MAX, [*LETTERS, "😀" * 30_000, "ö" * 400_000, "nul \0 i mitten"], None),
        (varchar(400), LETTERS, None),
        (varchar(400, utf8=True), [*LETTERS, "😀"], None),
        (char(15), ["Återbesök é €", ""], ["Återbesök é €  ", " " * 15]),
        (nchar(15), ["Återbesök 😀"], ["Återbesök 😀   "]),
    ],
    ids=["nvarchar", "nvarchar(max)", "varchar", "varchar in UTF-8", "char", "nchar"],
)
def test_letters_arrive_whatever_the_type(type_: Type, written: list[str | None], kept: list[str] | None) -> None:
    with sqlserver_pmo([post(n, orsak=text) for n, text in enumerate(written)], orsak=type_) as pmo:
        found = extract(pmo)["orsak"].to_pylist()

    assert found == (kept or [text or None for text in written])


@pytest.mark.usefixtures("both_ways")
def test_half_a_letter_is_u_fffd_either_way() -> None:
    """A column of UCS-2 may cut an emoji in two; the responder sends U+F8FF as half of one."""
    with sqlserver_pmo([post(1, kategori="Ring \uf8ff!", orsak="\uf8ff"), post(2)]) as pmo:
        table = extract(pmo)

    assert table["kategori"].to_pylist()[0] == "Ring \ufffd!"
    assert table["orsak"].to_pylist()[0] == "\ufffd"


def test_a_long_text_gets_more_room_and_the_result_is_called_off(caplog: pytest.LogCaptureFixture) -> None:
    rows = [post(n, orsak="å" * 5_000 if n in {5, 900} else "kort") for n in range(1_000)]
    with caplog.at_level(logging.INFO), sqlserver_pmo(rows) as pmo:
        table = extract(pmo, chunk_posts=100)
        called_off = pmo.server.attentions

    assert table["orsak"].to_pylist() == [row["orsak"] for row in rows]
    assert [record.args[1] for record in caplog.records if "more room" in record.msg] == [None, 900]
    assert called_off


def test_a_text_of_more_than_a_megabyte_is_read_row_by_row(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), sqlserver_pmo([post(1), post(2, orsak="å" * 1_200_000)]) as pmo:
        assert extract(pmo)["orsak"].to_pylist() == ["Uppföljning", "å" * 1_200_000]
    assert "read again row by row" in caplog.text


# The driver as an installation has it


_READ = """
import sys
from pathlib import Path
from tests.integration.source.test_pmo_sqlserver import extract
from tests.support.pmo import SmallPmo
for way in ({}, {"max_text_bytes": 64}):
    (found,) = extract(SmallPmo(sys.argv[1], ""), **way).select(["kategori", "orsak"]).to_pylist()
    sys.stdout.buffer.write(f"{found['kategori']} {found['orsak']}\\n".encode())
"""


@pytest.mark.parametrize("language", ["C.UTF-8", "C"])
def test_a_registered_driver_carries_all_letters_in_every_locale(tmp_path: Path, language: str) -> None:
    (tmp_path / "odbcinst.ini").write_text(f"[ODBC Driver 18 for SQL Server]\nDriver={driver()}\n", encoding="utf-8")
    environment = {**os.environ, "ODBCSYSINI": str(tmp_path), "LC_ALL": language}
    with sqlserver_pmo([post(1, kategori="Åäö €", orsak="😀")], kategori=varchar(40)) as pmo:
        # Outside UTF-8 a password of other letters is another one; see docs/data-contract.md.
        pmo.server.password = "Bara-ASCII"
        odbc = connection_string(
            pmo.server.port, password=pmo.server.password, Driver="{ODBC Driver 18 for SQL Server}"
        )
        done = subprocess.run(
            [sys.executable, "-c", _READ, odbc], cwd=paths.PROJECT, env=environment, capture_output=True, check=False
        )

    assert done.stdout.decode() == "Åäö € 😀\n" * 2, done.stderr.decode()


# Faults of a server


def test_a_wrong_password_is_told_and_not_repeated() -> None:
    with sqlserver_pmo(posts(range(3))) as pmo:
        message = refused(connection_string(pmo.server.port, password="fel-lösenord"), SourceRefusedError)
        assert pmo.server.logins[-1].password == "fel-lösenord"

    assert message == (
        "PMO refused the user name or the password: correct the login of the connection `pmo` (SQLSTATE 28000)"
    )


def test_a_password_may_hold_every_sign() -> None:
    assert locale.getlocale()[1] == "UTF-8"
    assert {";", "{", "}", "ä"} < set(PASSWORD)
    with sqlserver_pmo(posts(range(3))) as pmo:
        extract(pmo)
        assert {login.password for login in pmo.server.logins} == {PASSWORD}


def test_a_database_that_is_not_there_is_told() -> None:
    with sqlserver_pmo(posts(range(3))) as pmo:
        message = refused(connection_string(pmo.server.port, Database="no_such_database"))

    assert "PMO cannot be reached" in message
    assert "database (or file) of the connection `pmo`" in message


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("after", [0, 700], ids=["at once", "in the middle of the rows"])
def test_the_victim_of_a_deadlock_is_told_to_rerun(after: int) -> None:
    said = "Transaction (Process ID 52) was deadlocked on lock resources with another process. Rerun the transaction."
    with sqlserver_pmo(posts(range(1_500), orsak="Hemligt ärende " * 20)) as pmo:
        pmo.server.database.fail(READ, ServerError(1205, said, 13), after=after)
        with pytest.raises(SourceError, match=r"in favour of another session.*: rerun .*40001") as raised:
            extract(pmo, chunk_posts=100)

    assert type(raised.value) is SourceError


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("number", "text", "error", "said"),
    [
        (1222, "Lock request time out period exceeded.", SourceError, "did not release a lock for 7 s"),
        (229, "The SELECT permission was denied on the object 'patient', database 'pmo', schema 'dbo'.",
         SourceRefusedError, r"selects \(at patient\): grant it that"),
        (208, "Invalid object name 'bilaga'.", SourceRefusedError, r"does not understand the query .* \(at bilaga\)"),
        (3952, "Snapshot isolation transaction failed accessing database 'pmo'.", SourceError, "see PMO's own log"),
        (8114, "Error converting data type nvarchar to bigint.", SourceError, "see PMO's own log"),
        (241, "Conversion failed when converting date from character string 'Hemligt'.", SourceError, "PMO's own log"),
    ],
)  # fmt: skip
def test_an_error_of_the_server_is_told_for_what_it_is(
    number: int, text: str, error: type[SourceError], said: str
) -> None:
    with sqlserver_pmo(posts(range(50))) as pmo:
        pmo.server.database.fail(READ, ServerError(number, text))
        with pytest.raises(SourceError, match=said) as raised:
            extract(pmo)

    assert type(raised.value) is error
    assert "Hemligt" not in str(raised.value)


@pytest.mark.usefixtures("both_ways")
def test_a_connection_that_drops_in_the_middle_of_the_rows_leaves_no_snapshot(tmp_path: Path) -> None:
    with sqlserver_pmo(posts(range(3_000), orsak="Åtgärd " * 100)) as pmo:
        pmo.server.hang_up_after = (READ, 1_000)
        source = source_of(pmo.odbc, chunk_posts=100)
        (partition,) = source.plan(Selection(AS_OF))
        with pytest.raises(SourceError, match="the connection to PMO was lost while reading: rerun when PMO is up"):
            source.extract(Selection(AS_OF), partition, UPath(tmp_path / "snapshot"))

    assert not list((tmp_path / "snapshot").glob("*"))


def test_a_lost_connection_is_not_made_again_behind_our_back() -> None:
    """The driver would do so by itself, and lose the limits and the socket that is watched."""
    with sqlserver_pmo(posts(range(3))) as pmo:
        with OdbcSource(pmo.odbc, SourceQuery.load(paths.SQL), LIMITS).rows() as opened:
            opened.execute("SELECT COUNT(*) AS posts FROM patient").fetchall()
            pmo.server.hang_up()
            with pytest.raises(pyodbc.Error, match="08S01"):
                opened.execute("SELECT COUNT(*) AS posts FROM patient")
        assert len(pmo.server.logins) == 1


# TLS


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TdsPmo]:
    """A PMO with a certificate for localhost that this machine trusts."""
    tls, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with sqlserver_pmo(posts(range(300), orsak="Åtgärd " * 100), tls=tls) as pmo:
        yield pmo


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("encrypt", [{}, {"Encrypt": "strict"}, {"Encrypt": "no"}], ids=["default", "strict", "no"])
def test_a_server_that_is_trusted_is_read_over_tls(trusted: TdsPmo, tmp_path: Path, encrypt: dict[str, str]) -> None:
    """The driver uses TLS by default; with ``no`` the login is still encrypted."""
    if "strict" in encrypt.values():
        encrypt = {**encrypt, "ServerCertificate": str(tmp_path / "server.pem")}
    odbc = connection_string(trusted.server.port, **{"Server": f"localhost,{trusted.server.port}", **encrypt})
    odbc = odbc if encrypt else odbc.replace(";Encrypt=no", "")

    assert extract(SmallPmo(odbc, "")).num_rows == 300


TLS_REFUSED = "PMO's server and the ODBC driver did not agree on encryption (TLS): correct `Encrypt`"


def test_a_server_whose_certificate_names_another_host_is_refused(trusted: TdsPmo) -> None:
    """The driver compares names alone: an address in the certificate does not help."""
    assert TLS_REFUSED in refused(connection_string(trusted.server.port, Encrypt="yes"), SourceRefusedError)
    assert trusted.server.logins == []


def test_a_server_that_is_not_trusted_is_refused(tmp_path: Path) -> None:
    tls, _ = self_signed(tmp_path)
    with sqlserver_pmo(posts(range(3)), tls=tls) as pmo:
        odbc = connection_string(pmo.server.port, Server=f"localhost,{pmo.server.port}", Encrypt="yes")
        assert TLS_REFUSED in refused(odbc, SourceRefusedError)
        assert pmo.server.logins == []


def test_a_server_without_tls_is_refused_unless_that_is_asked_for() -> None:
    with sqlserver_pmo(posts(range(3))) as pmo:
        message = refused(connection_string(pmo.server.port).replace(";Encrypt=no", ""), SourceRefusedError)
        assert pmo.server.logins == []

    assert TLS_REFUSED in message
