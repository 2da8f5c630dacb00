"""What concerns a PMO in PostgreSQL alone, and faults that only a server has: refuse, stop, close a connection."""

import datetime as dt
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import arrow_odbc
import psycopg
import pyarrow as pa
import pytest
from tests.support.pmo import (
    AS_OF,
    POSTGRES_TYPES,
    SmallPmo,
    post,
    postgres_pmo,
    posts,
    read_by_row,
    shipped_query,
    source_settings,
)
from tests.support.postgres import PostgresServer, free_port, running_postgres
from upath import UPath

from waitlist.exceptions import SchemaDriftError, SourceError
from waitlist.source.pmo import PmoSource, Selection, connection
from waitlist.source.snapshot import Partition, read_part, write_part

EVERYTHING = Selection(AS_OF)
WHOLE = Partition(0, None, None, 0)

# 64 bytes are too few for the texts of any chunk here: each is then read row by row.
BOTH_WAYS = pytest.mark.parametrize("max_text_bytes", [64, 4_096])
LONG = "x" * 200


def read(pmo: SmallPmo, posts: int, **values: int) -> pa.Table:
    source = PmoSource(pmo.odbc, source_settings(Path(), **values))
    return pa.concat_tables(source.read(EVERYTHING, replace(WHOLE, posts=posts)))


def extract(pmo: SmallPmo, units: tuple[str, ...] | None = None) -> pa.Table:
    """Extract every partition of the plan, and read it back."""
    source, selection = PmoSource(pmo.odbc, source_settings(Path())), Selection(AS_OF, units)
    with TemporaryDirectory() as folder:
        parts = [source.extract(selection, partition, UPath(folder)) for partition in source.plan(selection)]
        return pa.concat_tables([table for part in parts for table in read_part(UPath(folder), part)])


# Types


@BOTH_WAYS
def test_a_date_is_its_iso_text_and_another_text_does_not_become_one(
    postgres: PostgresServer, max_text_bytes: int
) -> None:
    dates = ["2025-03-01", None, "infinity", "0044-03-15 BC", "12025-03-01"]
    pmo = postgres_pmo(
        postgres, [post(n, boka_from=date, boka_fore=date, orsak=LONG) for n, date in enumerate(dates)], booking="date"
    )

    table = read(pmo, len(dates), max_text_bytes=max_text_bytes)

    assert table["boka_from"].to_pylist() == table["boka_fore"].to_pylist() == dates


@BOTH_WAYS
def test_of_a_timestamp_the_date_counts(postgres: PostgresServer, max_text_bytes: int) -> None:
    written = {
        "2025-03-01 00:00:00": "2025-03-01",
        "2025-03-01 23:59:59.999999": "2025-03-01",
        "-infinity": "-infinity",
        "0044-03-15 10:00:00 BC": "0044-03-15 10:00:00 BC",
        "12025-03-01 00:00:00": "12025-03-01 00:00:00",
    }
    pmo = postgres_pmo(
        postgres,
        [post(n, boka_from=moment, boka_fore=moment, orsak=LONG) for n, moment in enumerate(written)],
        booking="timestamp",
    )

    table = read(pmo, len(written), max_text_bytes=max_text_bytes)

    assert table["boka_from"].to_pylist() == list(written.values())


def test_text_is_left_as_it_was_written(postgres: PostgresServer) -> None:
    written = ["2025-03-01 07:30:00", "2025-03-01T07:30", " 2025-03-01 ", "snarast", "20250301", "2025-03-01T07:30Z"]
    pmo = postgres_pmo(postgres, [post(n, boka_from=text) for n, text in enumerate(written)])

    assert read(pmo, len(written))["boka_from"].to_pylist() == written


@BOTH_WAYS
@pytest.mark.parametrize(
    "flag", ["boolean", "bit(1)", "smallint", "integer", "bigint", "numeric", "numeric(3, 2)"], ids=lambda flag: flag
)
def test_a_flag_may_be_a_bit_a_boolean_or_any_number(postgres: PostgresServer, flag: str, max_text_bytes: int) -> None:
    yes, no = {"boolean": (True, False), "bit(1)": ("1", "0")}.get(flag, (1, 0))
    usual = {"sekretess": no, "vantar_pa_besok": yes, "nybesok": no, "orsak": LONG}
    pmo = postgres_pmo(postgres, [post(1, **usual), post(2, **{**usual, "sekretess": yes})], flag=flag)

    table = read(pmo, 2, max_text_bytes=max_text_bytes)

    assert table["sekretess"].to_pylist() == [False, True]
    assert table["vantar_pa_besok"].to_pylist() == [True, True]


def test_a_flag_that_is_a_floating_point_number_or_text_is_another_type(postgres: PostgresServer) -> None:
    for flag, found in (("double precision", "a floating-point number"), ("text", "text")):
        pmo = postgres_pmo(postgres, [post(1)], flag=flag)
        with pytest.raises(SchemaDriftError, match=f"nybesok must be 0/1, is {found}"):
            PmoSource(pmo.odbc, source_settings(Path())).plan(EVERYTHING)


def test_a_flag_of_several_bits_is_neither_0_nor_1(postgres: PostgresServer, tmp_path: Path) -> None:
    pmo = postgres_pmo(postgres, [post(1, sekretess="101", vantar_pa_besok="001", nybesok="000")], flag="bit(3)")

    with pytest.raises(SchemaDriftError, match="vantar_pa_besok is neither 0 nor 1 in 1 post: post_id 1"):
        read(pmo, 1)


@BOTH_WAYS
def test_of_a_booking_date_with_a_time_zone_the_date_in_stockholm_counts(
    postgres: PostgresServer, max_text_bytes: int
) -> None:
    written = {
        "2024-11-05 23:30:00+00": "2024-11-06",
        "2024-11-06 00:30:00+01": "2024-11-06",
        "2024-07-05 21:59:59.999999+00": "2024-07-05",
        "2024-11-05 18:29:59-05": "2024-11-06",
        "infinity": "infinity",
    }
    rows = [post(n, boka_from=moment, boka_fore=moment, orsak=LONG) for n, moment in enumerate(written)]
    pmo = postgres_pmo(postgres, rows, booking="timestamptz")

    for zone in ("UTC", "Europe/Stockholm", "Asia/Kolkata"):
        pmo.run(f"ALTER DATABASE {pmo.native.rpartition('/')[2]} SET timezone TO '{zone}'")
        assert read(pmo, len(written), max_text_bytes=max_text_bytes)["boka_fore"].to_pylist() == list(written.values())


def test_letters_arrive_whatever_the_encoding_of_the_database(postgres: PostgresServer) -> None:
    name = postgres.create_database("LATIN1")
    pmo = SmallPmo(postgres.odbc(name), postgres.libpq(name))
    pmo.build(POSTGRES_TYPES, [post(1, orsak="Återbesök é", kategori="Ö" * 5_000)])

    table = extract(pmo)

    assert table.select(["orsak", "kategori"]).to_pylist() == [{"orsak": "Återbesök é", "kategori": "Ö" * 5_000}]


def test_bytes_that_are_not_utf_8_are_named_with_their_post(postgres: PostgresServer) -> None:
    name = postgres.create_database("SQL_ASCII")
    pmo = SmallPmo(postgres.odbc(name), postgres.libpq(name) + "?client_encoding=utf8")
    pmo.build(POSTGRES_TYPES, posts(range(1, 6), orsak="Återbesök 😀"))
    pmo.run("INSERT INTO enhet VALUES (3, E'SE0000000000-TEST1\\345', 'x'), (4, 'SE0000000000-TEST1 ', 'y')")

    assert extract(pmo)["orsak"].to_pylist() == ["Återbesök 😀"] * 5
    pmo.run("UPDATE vantelistepost SET enhet_id = 4 WHERE post_id = 2")
    assert extract(pmo, units=("SE0000000000-TEST1",))["post_id"].to_pylist() == [1, 2, 3, 4, 5]
    pmo.run("UPDATE vantelistepost SET enhet_id = 3 WHERE post_id = 4")
    assert extract(pmo, units=("SE0000000000-TEST1",))["post_id"].to_pylist() == [1, 2, 3, 5]
    pmo.run("UPDATE vantelistepost SET orsak = E'Bed\\366mning' WHERE post_id = 3")
    with pytest.raises(SchemaDriftError) as raised:
        extract(pmo)
    assert str(raised.value).splitlines()[1:] == [
        "  enhet_hsa_id is no UTF-8 text in 1 post: post_id 4",
        "  orsak is no UTF-8 text in 1 post: post_id 3",
    ]


def test_a_key_may_be_a_32_bit_or_a_decimal_number(postgres: PostgresServer) -> None:
    for key in ("integer PRIMARY KEY", "numeric(18, 0) PRIMARY KEY", "numeric(18, 2) PRIMARY KEY"):
        pmo = postgres_pmo(postgres, posts([-3, 5, 8]), key=key, integer=key.removesuffix(" PRIMARY KEY"))
        source = PmoSource(pmo.odbc, source_settings(Path(), partition_posts=2))
        tables = [table for part in source.plan(EVERYTHING) for table in source.read(EVERYTHING, part)]
        assert pa.concat_tables(tables)["post_id"].to_pylist() == [-3, 5, 8]


@BOTH_WAYS
def test_a_moment_without_a_local_time_stops_the_extract(postgres: PostgresServer, max_text_bytes: int) -> None:
    pmo = postgres_pmo(
        postgres,
        [post(1, orsak=LONG), post(2, andrad="0044-03-15 10:00:00 BC"), post(3, avslutad="infinity")],
    )

    with pytest.raises(SchemaDriftError) as raised:
        read(pmo, 3, max_text_bytes=max_text_bytes)

    assert str(raised.value).splitlines()[1:] == [
        "  andrad is no local timestamp in 1 post: post_id 2",
        "  avslutad is no local timestamp in 1 post: post_id 3",
    ]


def test_moments_with_a_time_zone_are_not_taken_for_local_ones(postgres: PostgresServer) -> None:
    pmo = postgres_pmo(postgres, [post(1)], moment="timestamptz")

    with pytest.raises(SchemaDriftError, match="registrerad is no local timestamp in 1 post: post_id 1"):
        read(pmo, 1)


def test_moments_keep_their_microseconds(postgres: PostgresServer) -> None:
    pmo = postgres_pmo(postgres, [post(1, registrerad="2024-09-01 08:30:00.123456")])

    assert read(pmo, 1)["registrerad"].to_pylist() == [dt.datetime.fromisoformat("2024-09-01 08:30:00.123456")]


def test_texts_of_unbounded_columns_are_read_the_fast_way(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    pmo = postgres_pmo(postgres, [post(1, orsak="å" * 2_000)], text="varchar")

    with caplog.at_level(logging.INFO):
        assert read(pmo, 1)["orsak"].to_pylist() == ["å" * 2_000]
    assert read_by_row(pmo) in caplog.text
    assert "row by row, a text" not in caplog.text


def test_chunks_are_full_however_many_posts_the_reader_s_buffer_takes(postgres: PostgresServer) -> None:
    pmo = postgres_pmo(postgres, posts(range(1_300)))
    source = PmoSource(pmo.odbc, source_settings(Path(), chunk_posts=500))

    tables = list(source.read(EVERYTHING, replace(WHOLE, posts=1_300)))

    assert [table.num_rows for table in tables] == [500, 500, 300]
    assert pa.concat_tables(tables)["post_id"].to_pylist() == list(range(1_300))


def test_after_three_long_texts_the_rest_of_a_partition_has_more_room(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    long_ones = [5, 25, 45, 65, 85]
    pmo = postgres_pmo(postgres, [post(n, orsak="x" * (5_000 if n in long_ones else 5)) for n in range(100)])
    if reason := read_by_row(pmo):
        pytest.skip(reason)

    with caplog.at_level(logging.INFO):
        table = read(pmo, 100, chunk_posts=10)

    assert table["post_id"].to_pylist() == list(range(100))
    assert [pa.compute.utf8_length(table["orsak"])[n].as_py() for n in long_ones] == [5_000] * 5
    assert [record.args[1] for record in caplog.records if "more room" in record.msg] == [None, 20, 40]


@BOTH_WAYS
def test_an_unknown_driver_gives_the_same_rows(
    postgres: PostgresServer, max_text_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How SQL Server's driver is read: no casts, UTF-16, Python's own dates and numbers."""
    pmo = postgres_pmo(
        postgres,
        [
            post(1, sekretess=True, vantar_pa_besok=True, nybesok=False, orsak="Ring 😀 " + LONG),
            post(2, sekretess=False, vantar_pa_besok=True, nybesok=True, boka_from="2025-03-01 07:30:00.5"),
        ],
        flag="boolean",
        booking="timestamp",
        number="numeric(6, 2)",
    )
    known = read(pmo, 2)
    monkeypatch.setattr(connection, "_DIALECTS", {})

    assert read(pmo, 2, max_text_bytes=max_text_bytes).equals(known)


def test_a_driver_that_would_end_the_process_is_read_row_by_row_with_the_same_outcome(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pmo = postgres_pmo(postgres, posts(range(1_300), orsak="Ring 😀 " + LONG))
    known = read(pmo, 1_300)
    # The driver of this machine may be such a one.
    caplog.clear()
    monkeypatch.setattr(connection, "_ABORTS", re.compile(""))
    monkeypatch.delattr(arrow_odbc, "connect")

    with caplog.at_level(logging.INFO):
        assert read(pmo, 1_300, chunk_posts=500).equals(known)
    assert [record.args[0] for record in caplog.records if "row by row" in record.msg] == [0]
    assert "would end this process when the connection is lost" in caplog.text


def test_no_connection_stays_open_once_it_is_used(postgres: PostgresServer) -> None:
    pmo = postgres_pmo(postgres, posts(range(20)))
    for max_text_bytes in (64, 4_096):
        read(pmo, 20, max_text_bytes=max_text_bytes)

    with psycopg.connect(pmo.native, autocommit=True) as other:
        # A session that was closed needs a moment to end.
        for _ in range(50):
            (left,) = other.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
            if not left:
                break
            time.sleep(0.1)
    assert left == 0


# Faults of a server


def refused(odbc: str) -> str:
    with pytest.raises(SourceError) as raised:
        PmoSource(odbc, source_settings(Path())).plan(EVERYTHING)
    return str(raised.value)


def test_a_wrong_password_is_reported_and_not_repeated(postgres: PostgresServer) -> None:
    message = refused(postgres.odbc("postgres", password="fel-lösenord"))

    assert "PMO refused the user name or the password: correct the login of the connection `pmo`" in message
    assert "lösenord" not in message


def test_a_server_that_does_not_answer_is_reported(postgres: PostgresServer) -> None:
    message = refused(postgres.odbc("postgres", port=free_port()))

    assert "PMO cannot be reached through the ODBC driver PostgreSQL Unicode: check host, port" in message
    assert postgres.password not in message


def test_a_missing_database_is_reported(postgres: PostgresServer) -> None:
    assert "PMO cannot be reached" in refused(postgres.odbc("no_such_database"))


def test_the_driver_that_does_not_carry_all_letters_is_refused(postgres: PostgresServer) -> None:
    pmo = postgres_pmo(postgres, [post(1)])

    assert "use psqlODBC's Unicode driver" in refused(pmo.odbc.replace("PostgreSQL Unicode", "PostgreSQL ANSI"))


@pytest.mark.parametrize("max_text_bytes", [64, 4_096], ids=["by row", "by column"])
def test_a_connection_lost_while_reading_is_reported_and_leaves_no_snapshot(
    postgres: PostgresServer, tmp_path: Path, max_text_bytes: int
) -> None:
    pmo = postgres_pmo(postgres, posts(range(2_000), orsak=LONG))
    few_at_a_time = pmo.odbc.replace("Fetch=10000", "Fetch=100")
    source = PmoSource(few_at_a_time, source_settings(Path(), chunk_posts=100, max_text_bytes=max_text_bytes))

    def hanging_up() -> Iterator[pa.Table]:
        for number, table in enumerate(source.read(EVERYTHING, replace(WHOLE, posts=2_000))):
            if number == 5:
                with psycopg.connect(pmo.native, autocommit=True) as other:
                    other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
            yield table

    with pytest.raises(SourceError, match="the connection to PMO was lost while reading: rerun when PMO is up"):
        write_part(UPath(tmp_path / "snapshot"), WHOLE, hanging_up())
    assert not list((tmp_path / "snapshot").glob("*"))


def test_a_server_that_goes_down_while_reading_is_reported_and_leaves_no_snapshot(tmp_path: Path) -> None:
    with running_postgres() as server:
        pmo = postgres_pmo(server, posts(range(2_000)))
        few_at_a_time = pmo.odbc.replace("Fetch=10000", "Fetch=100")
        source = PmoSource(few_at_a_time, source_settings(Path(), chunk_posts=100))
        tables = source.read(EVERYTHING, replace(WHOLE, posts=2_000))
        read = [next(tables)]

    def rest() -> Iterator[pa.Table]:
        yield from read
        yield from tables

    with pytest.raises(SourceError, match="the connection to PMO was lost while reading"):
        write_part(UPath(tmp_path / "snapshot"), WHOLE, rest())
    assert not list((tmp_path / "snapshot").glob("*"))


def test_a_query_that_fails_on_a_value_does_not_quote_it(postgres: PostgresServer, tmp_path: Path) -> None:
    pmo = postgres_pmo(postgres, [post(1, orsak="Hemligt ärende")])
    query = shipped_query().replace("v.tidsatgang_min,", "CAST(v.orsak AS integer) AS tidsatgang_min,")
    source = PmoSource(pmo.odbc, source_settings(tmp_path, query))

    with pytest.raises(SourceError, match=r"could not be read .* \(SQLSTATE 22P02\)") as raised:
        source.extract(EVERYTHING, WHOLE, UPath(tmp_path / "snapshot"))

    assert "Hemligt" not in str(raised.value)
    assert raised.value.__cause__ is None
