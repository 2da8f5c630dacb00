"""Extraction over ODBC: the same texts of PMO's waiting list, whichever database has it.

Everything here runs against a SQLite file behind the SQLite driver and against a PostgreSQL server behind
psqlODBC. What concerns one of them alone is in ``test_pmo_sqlite`` and ``test_pmo_postgres``.
"""

import datetime as dt
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from tests.support.pmo import (
    AS_OF,
    SmallPmo,
    official_number,
    post,
    postgres_pmo,
    posts,
    read_by_row,
    shipped_query,
    source_settings,
    sqlite_pmo,
)
from upath import UPath

from waitlist import paths
from waitlist.exceptions import SchemaDriftError, SettingsError, SourceError
from waitlist.schema import POSTS
from waitlist.source.pmo import PmoSource, Selection
from waitlist.source.pmo.query import Scope, SourceQuery
from waitlist.source.snapshot import Partition, read_part

EVERYTHING = Selection(AS_OF)
WHOLE = Partition(0, None, None, 0)
SECRET = "Hemligt ärende"

Build = Callable[..., SmallPmo]


@pytest.fixture(params=["sqlite", "postgres"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    """Build a PMO of the given posts."""
    if request.param == "sqlite":
        return lambda rows, **types: sqlite_pmo(tmp_path, rows, **types)
    server = request.getfixturevalue("postgres")
    return lambda rows, **types: postgres_pmo(server, rows, **types)


def read(pmo: SmallPmo, settings: Any = None, selection: Selection = EVERYTHING) -> pa.Table:
    """Extract every partition of the plan, and read it back."""
    source = PmoSource(pmo.odbc, settings or source_settings(Path()))
    with TemporaryDirectory() as folder:
        parts = [source.extract(selection, partition, UPath(folder)) for partition in source.plan(selection)]
        assert [part.posts for part in parts] == [part.counted for part in parts]
        return pa.concat_tables([table for part in parts for table in read_part(UPath(folder), part)])


def refusal(pmo: SmallPmo, settings: Any, folder: Path, error: type[Exception] = SourceError) -> str:
    """Return the message of an extract that must fail; it leaves no file, has no secret and quotes no driver."""
    source = PmoSource(pmo.odbc, settings)
    with pytest.raises(error) as raised:
        source.extract(EVERYTHING, WHOLE, UPath(folder / "snapshot"))
    assert not list((folder / "snapshot").glob("*"))
    message = str(raised.value)
    assert raised.value.__cause__ is None
    assert SECRET not in message
    assert not re.search(r"\[unixODBC|Driver Manager|ERROR:", message)
    return message


# The rows that are read


def test_every_column_has_its_type_and_its_value(build: Build) -> None:
    pmo = build(
        [
            post(7, sekretess=1, tidsatgang_min=None, bilagor=2, avslutad="2024-10-05 10:00:00"),
            post(9, filial="Ön", nybesok=1, andrad="2024-09-30 12:30:01.5", boka_from=None, boka_fore="snarast"),
        ]
    )

    table = read(pmo)

    assert table.schema == POSTS
    assert table.to_pylist() == [
        {
            "post_id": 7,
            "personnummer": official_number(),
            "patient": "Tolvan Tolvansson",
            "sekretess": True,
            "enhet_hsa_id": "SE0000000000-TEST1",
            "enhet": "Vårdcentralen Ådalen",
            "kategori": "SDV Pv Ssk Återbesök (diabetes)",
            "kontaktform": "besok",
            "vantar_pa_besok": True,
            "nybesok": False,
            "har_bilaga": True,
            "boka_from": "2025-03-01",
            "boka_fore": "2025-03-31",
            "orsak": "Uppföljning",
            "planerade_atgarder": None,
            "anvandare": "Ssk Åsa",
            "tidsatgang_min": None,
            "filial": None,
            "registrerad": dt.datetime.fromisoformat("2024-09-01 08:30:00"),
            "andrad": None,
            "avslutad": dt.datetime.fromisoformat("2024-10-05 10:00:00"),
        },
        {
            "post_id": 9,
            "personnummer": official_number(),
            "patient": "Tolvan Tolvansson",
            "sekretess": False,
            "enhet_hsa_id": "SE0000000000-TEST1",
            "enhet": "Vårdcentralen Ådalen",
            "kategori": "SDV Pv Ssk Återbesök (diabetes)",
            "kontaktform": "besok",
            "vantar_pa_besok": True,
            "nybesok": True,
            "har_bilaga": False,
            "boka_from": None,
            "boka_fore": "snarast",
            "orsak": "Uppföljning",
            "planerade_atgarder": None,
            "anvandare": "Ssk Åsa",
            "tidsatgang_min": 30,
            "filial": "Ön",
            "registrerad": dt.datetime.fromisoformat("2024-09-01 08:30:00"),
            "andrad": dt.datetime.fromisoformat("2024-09-30 12:30:01.500000"),
            "avslutad": None,
        },
    ]


@pytest.mark.parametrize(
    ("registrerad", "avslutad", "listed"),
    [
        ("2024-10-01 23:59:59", None, True),
        ("2024-10-01 23:59:59.999999", None, True),
        ("2024-10-02 00:00:00", None, False),
        ("2024-10-02 00:00:00.000001", None, False),
        ("2024-09-01 08:30:00", "2024-10-01 23:59:59.999999", False),
        ("2024-09-01 08:30:00", "2024-10-02 00:00:00", True),
        ("2024-09-01 08:30:00", "2024-10-02 00:00:00.5", True),
    ],
)
def test_the_list_is_the_one_at_the_end_of_the_as_of_date(
    build: Build, registrerad: str, avslutad: str | None, listed: bool
) -> None:
    pmo = build([post(1), post(2, registrerad=registrerad, avslutad=avslutad)])

    assert read(pmo)["post_id"].to_pylist() == ([1, 2] if listed else [1])


def test_units_are_chosen_by_hsa_id(build: Build) -> None:
    pmo = build([post(1), post(2, enhet_id=2), post(3)])
    selection = Selection(AS_OF, units=("SE0000000000-TEST2", "SE0000000000-GONE"))

    assert PmoSource(pmo.odbc, source_settings(Path())).count(selection) == 1
    assert read(pmo, selection=selection)["post_id"].to_pylist() == [2]


def test_a_selection_of_no_unit_is_not_a_selection_of_all() -> None:
    with pytest.raises(SettingsError, match="no unit is selected"):
        Selection(AS_OF, units=())


def test_a_post_whose_patient_or_unit_is_gone_is_still_read(build: Build) -> None:
    pmo = build([post(1, enhet_id=99), post(2)])
    pmo.run("DELETE FROM patient WHERE patient_id = 2")

    asked = ["post_id", "personnummer", "patient", "sekretess", "enhet_hsa_id", "enhet"]
    assert [list(row.values()) for row in read(pmo).select(asked).to_pylist()] == [
        [1, official_number(), "Tolvan Tolvansson", False, None, None],
        [2, None, None, None, "SE0000000000-TEST1", "Vårdcentralen Ådalen"],
    ]


# Texts of any length, in any letters, by each way of reading

LONG_TEXT = "a text is longer than WAITLIST_MAX_TEXT_BYTES or than its column says"
TEXTS = [
    "åäö ÅÄÖ éü ß",
    "Ring 😀 före 🧑‍⚕️",
    "A\u030a o\u0308",
    "",
    None,
    "  blanksteg före och efter  ",
    "rad ett\nrad två\r\ntabb\tslut\n",
    "\u0001\u0007\u001b\u007f\u0085\u00a0\u200b",
    "'enkla' \"dubbla\" \\ % ? :as_of -- ; /* */",
    "\ufeff\ufffd\uffff",
    "å" * 2_048,  # 4,096 bytes: the longest that fits
    "å" * 2_048 + "x",
    "x" * 8_190,
    "x" * 8_191,
    "Återbesök 😀 " * 750,
    "€" * 30_000,
    "\U00010000\U000fffff\U00100000\U0010fffd",
    "\U0010fffd" * 5_000,
]
AS_READ = [text or None for text in TEXTS]
"""An empty text becomes null; every other text stays as it is."""


@pytest.fixture
def texts(build: Build) -> SmallPmo:
    """Return a PMO with every text in every free text, and ordinary posts around."""
    rows = [post(10 + n, orsak=text, planerade_atgarder=text, namn=text) for n, text in enumerate(TEXTS)]
    return build([post(1), *rows, post(99)])


def test_no_text_is_cut_or_changed(texts: SmallPmo, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        table = read(texts)

    for column in ("orsak", "planerade_atgarder", "patient"):
        assert table[column].to_pylist()[1:-1] == AS_READ
    assert (read_by_row(texts) or f"more room, {LONG_TEXT}") in caplog.text


def test_rows_are_the_same_whichever_way_they_are_read(texts: SmallPmo, monkeypatch: pytest.MonkeyPatch) -> None:
    by_column = read(texts, source_settings(Path(), max_text_bytes=100_000, chunk_posts=1))
    ways = [
        read(texts, source_settings(Path(), chunk_posts=chunk, max_text_bytes=longest))
        for chunk in (1, 4, 1_000)
        for longest in (64, 4_096)
    ]
    monkeypatch.setattr("waitlist.source.pmo.source._WIDEST_BYTES", 0)
    by_row = [read(texts, source_settings(Path(), chunk_posts=chunk, max_text_bytes=64)) for chunk in (1, 4, 1_000)]

    assert by_column.num_rows == len(TEXTS) + 2
    for table in ways + by_row:
        assert table.equals(by_column)


def test_only_the_chunk_of_a_long_text_is_read_again(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    pmo = build([*posts(range(1, 15)), post(15, orsak="x" * 9_001), *posts(range(16, 41))])
    if reason := read_by_row(pmo):
        pytest.skip(reason)
    source = PmoSource(pmo.odbc, source_settings(Path(), chunk_posts=10))

    with caplog.at_level(logging.INFO):
        tables = list(source.read(EVERYTHING, replace(WHOLE, posts=40)))

    assert [table["post_id"].to_pylist() for table in tables] == [
        list(range(first, first + 10)) for first in (1, 11, 21, 31)
    ]
    assert [record.getMessage() for record in caplog.records if "more room" in record.getMessage()] == [
        f"partition 0, from post_id 11: more room, {LONG_TEXT}"
    ]


def test_a_text_that_no_buffer_holds_makes_its_partition_begin_again_row_by_row(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    longest = "å" * 2_000_000
    pmo = build([*posts(range(1, 15)), post(15, orsak=longest), *posts(range(16, 41))])

    if reason := read_by_row(pmo):
        pytest.skip(reason)

    with caplog.at_level(logging.INFO):
        table = read(pmo, source_settings(Path(), chunk_posts=10, partition_posts=20))

    assert table["post_id"].to_pylist() == list(range(1, 41))
    assert table["orsak"].to_pylist()[14] == longest
    assert [record.getMessage() for record in caplog.records if "row by row" in record.getMessage()] == [
        f"partition 0: read again row by row, {LONG_TEXT}"
    ]


def test_chunks_and_so_the_snapshot_do_not_depend_on_the_way_of_reading(texts: SmallPmo, tmp_path: Path) -> None:
    whole = replace(WHOLE, posts=len(TEXTS) + 2)
    settings = [source_settings(Path(), chunk_posts=5, max_text_bytes=size) for size in (64, 4_096, 100_000)]

    parts = {
        PmoSource(texts.odbc, setting).extract(EVERYTHING, whole, UPath(tmp_path / "snapshot")) for setting in settings
    }

    assert len(parts) == 1


def test_a_process_without_a_locale_reads_the_same(texts: SmallPmo, tmp_path: Path) -> None:
    settings = source_settings(Path(), chunk_posts=1)
    whole = replace(WHOLE, posts=len(TEXTS) + 2)
    here = PmoSource(texts.odbc, settings).extract(EVERYTHING, whole, UPath(tmp_path / "here"))
    script = f"""
import datetime, logging, sys
from upath import UPath
from waitlist.source.pmo import PmoSource, Selection
from waitlist.settings import Settings
from waitlist.source.snapshot import Partition
logging.basicConfig(level=logging.INFO)
source = PmoSource(sys.stdin.read(), Settings(chunk_posts=1))
part = Partition(0, None, None, {whole.posts})
print(source.extract(Selection(datetime.date.fromisoformat("{AS_OF}")), part, UPath(sys.argv[1])).sha256)
"""
    there = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "there"],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONPATH": str(paths.PROJECT / "include")},
        input=texts.odbc,
        capture_output=True,
        text=True,
        check=True,
    )

    assert there.stdout.strip() == here.sha256
    assert (read_by_row(texts) or f"more room, {LONG_TEXT}") in there.stderr
    assert "row by row, the driver could not convert" not in there.stderr


# Partitions


def test_partitions_cover_all_keys_about_equally(build: Build) -> None:
    pmo = build(posts(range(1, 26)))
    source = PmoSource(pmo.odbc, source_settings(Path(), partition_posts=10))

    assert source.plan(EVERYTHING) == [
        Partition(0, None, 10, 9),
        Partition(1, 10, 19, 9),
        Partition(2, 19, None, 7),
    ]


def test_sparse_skewed_negative_and_64_bit_keys_are_read_once_each(build: Build) -> None:
    ids = [-(2**63), -(2**40), -5, 0, *range(1_000, 1_020), 2**31, 2**32 + 1, 2**62, 2**63 - 2, 2**63 - 1]
    pmo = build(posts(ids))
    settings = source_settings(Path(), partition_posts=6, chunk_posts=4)

    plan = PmoSource(pmo.odbc, settings).plan(EVERYTHING)

    assert [part.posts for part in plan] == [6, 6, 6, 6, 5]
    assert read(pmo, settings)["post_id"].to_pylist() == ids


def test_keys_inserted_at_either_end_belong_to_a_partition(build: Build) -> None:
    pmo = build(posts(range(10, 20)))
    source = PmoSource(pmo.odbc, source_settings(Path(), partition_posts=5))
    plan = source.plan(EVERYTHING)
    pmo.add([post(-1), post(1_000)])

    read = [
        post_id
        for part in plan
        for table in source.read(EVERYTHING, replace(part, posts=6))
        for post_id in table["post_id"].to_pylist()
    ]

    assert read == [-1, *range(10, 20), 1_000]


def test_a_key_range_uses_the_index(build: Build) -> None:
    pmo = build(posts(range(2_000)))
    pmo.run("ANALYZE")
    statement = SourceQuery.load(paths.SQL).select(Scope(AS_OF, 10, 40), "q.post_id, q.personnummer")
    postgres = pmo.native.startswith("postgresql:")
    explain = ("EXPLAIN " if postgres else "EXPLAIN QUERY PLAN ") + statement.sql
    database = pmo.connect()
    if postgres:
        for value in statement.parameters:
            explain = explain.replace("?", f"'{value}'", 1)
        plan = str(database.execute(explain).fetchall())
        assert "Index Cond: ((post_id >=" in plan
        assert "Seq Scan on vantelistepost" not in plan
    else:
        plan = str(database.execute(explain, statement.parameters).fetchall())
        assert "SEARCH v USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in plan
    database.close()


def test_a_query_may_name_the_range_itself(build: Build, tmp_path: Path) -> None:
    pmo = build(posts(range(1, 26)))
    query = shipped_query() + "\nAND v.post_id >= CAST(:from_post_id AS BIGINT)"
    query += "\nAND v.post_id <= CAST(:to_post_id AS BIGINT)\n;\n"
    settings = source_settings(tmp_path, query, partition_posts=10)

    assert read(pmo, settings)["post_id"].to_pylist() == list(range(1, 26))


# What stops an extract


def test_an_empty_source_says_what_to_check(build: Build) -> None:
    source = PmoSource(build([]).odbc, source_settings(Path()))

    with pytest.raises(SourceError, match="PMO has no posts as of 2024-10-01: check the as-of date, the database"):
        source.plan(EVERYTHING)


def test_units_without_a_post_are_distinguished_from_an_empty_source(build: Build) -> None:
    source = PmoSource(build(posts([1, 2])).odbc, source_settings(Path()))

    with pytest.raises(SourceError, match=r"PMO has 2 posts .* but none in the units selected \(SE0-GONE\)"):
        source.plan(Selection(AS_OF, units=("SE0-GONE",)))


def test_missing_extra_and_retyped_columns_are_named_at_once(build: Build, tmp_path: Path) -> None:
    pmo = build([post(1, orsak=SECRET)])
    query = (
        shipped_query()
        .replace("v.post_id,", "'A' || v.post_id AS post_id,")
        .replace("v.nybesok,", "CASE v.nybesok WHEN 1 THEN 'J' ELSE 'N' END AS nybesok,")
        .replace("p.personnummer,", "19850417 AS personnummer,")
        .replace("v.filial,", "v.orsak AS zon, v.orsak AS anteckning,")
        .replace("v.kontaktform,", "")
    )
    source = PmoSource(pmo.odbc, source_settings(tmp_path, query))

    for attempt in (lambda: source.plan(EVERYTHING), lambda: list(source.read(EVERYTHING, WHOLE))):
        with pytest.raises(SchemaDriftError) as raised:
            attempt()
        assert str(raised.value).splitlines()[1:] == [
            "  missing columns: filial, kontaktform",
            "  extra columns: anteckning, zon",
            "  post_id must be a whole number, is text",
            "  personnummer must be text, is a whole number",
            "  nybesok must be 0/1, is text",
        ]
        assert SECRET not in str(raised.value)


def test_values_that_break_the_contract_are_counted_and_their_posts_named(build: Build, tmp_path: Path) -> None:
    pmo = build(
        [
            *posts(range(1, 31)),
            *posts(range(31, 44), sekretess=None),
            post(50, vantar_pa_besok=2, orsak=SECRET),
            post(51, vantar_pa_besok=None),
            post(52, registrerad=None),
            post(53, vantar_pa_besok=-1),
        ]
    )
    settings = source_settings(Path(), chunk_posts=10)

    message = refusal(pmo, settings, tmp_path, SchemaDriftError)

    assert message.splitlines()[1:] == [
        "  sekretess is empty although number or name say who waits in 13 posts: "
        "post_id 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, ...",
        "  vantar_pa_besok is empty in 1 post: post_id 51",
        "  vantar_pa_besok is neither 0 nor 1 in 2 posts: post_id 50, 53",
        "  registrerad is empty in 1 post: post_id 52",
    ]


def test_minutes_that_are_no_whole_number_are_a_fault(build: Build, tmp_path: Path) -> None:
    pmo = build([post(1, tidsatgang_min=30), post(2, tidsatgang_min=30.5), post(3)], number="numeric(6, 2)")

    message = refusal(pmo, source_settings(Path()), tmp_path, SchemaDriftError)

    assert message.splitlines()[1:] == ["  tidsatgang_min is no whole number of 32 bits in 1 post: post_id 2"]


def test_flags_and_minutes_may_be_numbers_of_any_type(build: Build) -> None:
    pmo = build([post(1, sekretess=1), post(2, nybesok=1)], flag="numeric(3, 1)", number="numeric(6, 2)")

    table = read(pmo)

    assert table["sekretess"].to_pylist() == [True, False]
    assert table["nybesok"].to_pylist() == [False, True]
    assert table["tidsatgang_min"].to_pylist() == [30, 30]


def test_a_post_without_a_key_and_a_key_with_two_posts_are_named(build: Build, tmp_path: Path) -> None:
    pmo = build(posts(range(1, 31)))
    query = shipped_query().replace(
        "v.post_id,",
        "CASE WHEN v.post_id > 27 THEN NULL WHEN v.post_id IN (6, 7) THEN 5 ELSE v.post_id END AS post_id,",
    )
    source = PmoSource(pmo.odbc, source_settings(tmp_path, query, partition_posts=10))

    with pytest.raises(SourceError, match="3 posts have no post_id; 2 posts have another's post_id: 5: correct"):
        source.plan(EVERYTHING)


def test_posts_that_come_and_go_after_the_plan_are_counted_as_they_are_read(build: Build, tmp_path: Path) -> None:
    pmo = build(posts(range(1, 26)))
    source = PmoSource(pmo.odbc, source_settings(Path(), partition_posts=10))
    plan = source.plan(EVERYTHING)
    pmo.run("UPDATE vantelistepost SET avslutad = '2024-09-30 10:00:00' WHERE post_id = 12")
    pmo.run("DELETE FROM vantelistepost WHERE post_id < 5")
    pmo.add(posts(range(26, 30)))

    parts = [source.extract(EVERYTHING, partition, UPath(tmp_path)) for partition in plan]

    assert [partition.posts for partition in plan] == [9, 9, 7]
    assert [part.posts for part in parts] == [part.counted for part in parts] == [5, 8, 11]


def test_a_missing_table_is_named(build: Build) -> None:
    pmo = build([post(1)])
    pmo.run("DROP TABLE bilaga")
    source = PmoSource(pmo.odbc, source_settings(Path()))

    with pytest.raises(SourceError, match=r"does not understand the query .*select_waitlist.sql \(at bilaga\)"):
        source.plan(EVERYTHING)


def test_a_wrong_query_is_reported_without_its_driver_s_text(build: Build, tmp_path: Path) -> None:
    pmo = build([post(1)])
    source = PmoSource(pmo.odbc, source_settings(tmp_path, f"SELEC '{SECRET}' WHERE :as_of"))

    with pytest.raises(SourceError, match="does not understand the query") as raised:
        source.plan(EVERYTHING)
    assert SECRET not in str(raised.value)


def test_a_driver_that_is_not_installed_is_named(build: Build) -> None:
    odbc = re.sub(r"Driver=\{[^}]*\}", "Driver={No Such Driver}", build([]).odbc)

    with pytest.raises(SourceError, match=r"ODBC driver No Such Driver is not installed here.*odbcinst") as raised:
        PmoSource(odbc, source_settings(Path())).plan(EVERYTHING)
    assert odbc not in str(raised.value)


def test_what_is_read_can_be_written_and_read_back(build: Build, tmp_path: Path) -> None:
    source = PmoSource(build(posts(range(1, 26))).odbc, source_settings(Path(), chunk_posts=10))
    folder = UPath(tmp_path / "snapshot")

    (part,) = [source.extract(EVERYTHING, part, folder) for part in source.plan(EVERYTHING)]
    tables = list(read_part(folder, part))

    assert part.posts == 25
    assert [table.num_rows for table in tables] == [10, 10, 5]
