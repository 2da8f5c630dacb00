"""What concerns a PMO in SQLite alone: its columns have no types, only its values have."""

import logging
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from tests.support.pmo import AS_OF, SmallPmo, post, posts, source_settings, sqlite_pmo
from upath import UPath

from waitlist.exceptions import SchemaDriftError, SourceError
from waitlist.source.pmo import PmoSource, Selection
from waitlist.source.snapshot import Partition, read_part

EVERYTHING = Selection(AS_OF)
WHOLE = Partition(0, None, None, 0)


def source(odbc: str, **values: int) -> PmoSource:
    return PmoSource(odbc, source_settings(Path(), **values))


def read(pmo: SmallPmo, *, units: tuple[str, ...] | None = None, **values: int) -> pa.Table:
    """Extract every partition of the plan, and read it back."""
    selection = Selection(AS_OF, units)
    with TemporaryDirectory() as folder:
        of_pmo = source(pmo.odbc, **values)
        parts = [of_pmo.extract(selection, partition, UPath(folder)) for partition in of_pmo.plan(selection)]
        return pa.concat_tables([table for part in parts for table in read_part(UPath(folder), part)])


def test_a_file_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "no" / "pmo.db"
    file.parent.mkdir()

    with pytest.raises(SourceError, match=r"cannot be reached through the ODBC driver SQLite3: .*\(or file\)"):
        source(f"Driver={{SQLite3}};Database={file}").plan(EVERYTHING)
    assert not file.exists()


def test_a_file_of_another_kind_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "pmo.db"
    file.write_text("post_id;personnummer\n" * 100)

    with pytest.raises(SourceError, match="is no SQLite database: correct its path"):
        source(f"Driver={{SQLite3}};Database={file}").plan(EVERYTHING)


@pytest.mark.parametrize("max_text_bytes", [64, 4_096])
def test_a_date_column_keeps_a_text_that_is_not_a_date(tmp_path: Path, max_text_bytes: int) -> None:
    dates = ["2025-03-01", "snarast", "2025-02-31", "2025-03-01 07:30:00", "2025-03-01T07:30", "250301", None]
    pmo = sqlite_pmo(
        tmp_path,
        [post(n, boka_from=date, boka_fore=date, orsak="x" * 200) for n, date in enumerate(dates)],
        booking="DATE",
    )

    (table,) = source(pmo.odbc, max_text_bytes=max_text_bytes).read(EVERYTHING, replace(WHOLE, posts=len(dates)))

    assert table["boka_from"].to_pylist() == table["boka_fore"].to_pylist() == dates


@pytest.mark.parametrize("max_text_bytes", [64, 4_096])
def test_a_value_of_another_type_beyond_the_probe_is_a_fault(tmp_path: Path, max_text_bytes: int) -> None:
    pmo = sqlite_pmo(
        tmp_path,
        [
            *posts(range(1_500)),
            post(2_001, nybesok="J"),
            post(2_002, nybesok=0.5),
            post(2_003, tidsatgang_min="en timme"),
            post(2_004, tidsatgang_min=2**31),
            post(2_005, andrad="igår"),
            post(2_006, andrad="2024-02-31 08:00:00", orsak="x" * 200),
        ],
    )

    with pytest.raises(SchemaDriftError) as raised:
        list(source(pmo.odbc, max_text_bytes=max_text_bytes).read(EVERYTHING, replace(WHOLE, posts=1_506)))

    assert str(raised.value).splitlines()[1:] == [
        "  nybesok is neither 0 nor 1 in 2 posts: post_id 2001, 2002",
        "  tidsatgang_min is no whole number of 32 bits in 2 posts: post_id 2003, 2004",
        "  andrad is no local timestamp in 2 posts: post_id 2005, 2006",
    ]


def test_a_key_that_is_no_number_beyond_the_probe_is_a_fault(tmp_path: Path) -> None:
    pmo = sqlite_pmo(tmp_path, [*posts(range(1_200)), post("A17")], key="")

    with pytest.raises(SchemaDriftError, match="post_id is no whole number of 64 bits in 1 post: post_id no number"):
        list(source(pmo.odbc, chunk_posts=100).read(EVERYTHING, replace(WHOLE, posts=1_201)))
    with pytest.raises(SourceError, match="a post_id is no whole number: correct the query"):
        source(pmo.odbc, partition_posts=1).plan(EVERYTHING)


def test_flags_that_say_ja_and_nej_are_another_type(tmp_path: Path) -> None:
    pmo = sqlite_pmo(tmp_path, [post(1, sekretess="N", vantar_pa_besok="J", nybesok="N")], flag="TEXT")

    with pytest.raises(SchemaDriftError) as raised:
        source(pmo.odbc).plan(EVERYTHING)

    assert str(raised.value).splitlines()[1:] == [
        "  sekretess must be 0/1, is text",
        "  vantar_pa_besok must be 0/1, is text",
        "  nybesok must be 0/1, is text",
    ]


def test_moments_as_numbers_are_another_type(tmp_path: Path) -> None:
    pmo = sqlite_pmo(tmp_path, [post(1, andrad=2460585.5)], moment="REAL")

    with pytest.raises(SchemaDriftError, match="andrad must be a timestamp, is a floating-point number"):
        source(pmo.odbc).plan(EVERYTHING)


# Moments that the query cannot read

UNPLACEABLE = [
    "igår", "okänt", "2024/09/01", "20240901", "01.09.2024", "1/9/2024", "2024-9-1", "2024", "????-??-??", "ÅÅÅÅ-MM-DD",
    "20XX-09-01", "----------", "2024-00-00", "0000-00-00", "2024-31-01", "2025-13-01", " 2024-09-01", "\t", "   ",
    "infinity", "-infinity", "12025-01-01", "Z",
]  # fmt: skip


@pytest.mark.parametrize("column", ["registrerad", "avslutad"])
def test_a_moment_that_the_query_cannot_read_hides_no_post_and_stops_the_extract(tmp_path: Path, column: str) -> None:
    rows = [post(n, **{column: text}) for n, text in enumerate(UNPLACEABLE, start=10)]
    pmo = sqlite_pmo(tmp_path, [post(1), *rows])

    assert source(pmo.odbc).count(EVERYTHING) == 1 + len(UNPLACEABLE)
    with pytest.raises(SchemaDriftError) as raised:
        source(pmo.odbc).extract(EVERYTHING, WHOLE, UPath(tmp_path / "snapshot"))
    assert f"  {column} is no local timestamp in {len(UNPLACEABLE)} posts: post_id 10, 11, 12," in str(raised.value)


def test_an_empty_avslutad_is_an_open_post_and_an_empty_registrerad_stops(tmp_path: Path) -> None:
    pmo = sqlite_pmo(tmp_path, [post(1), post(2, avslutad=""), post(3, avslutad="2024-09-30 10:00:00")])

    assert read(pmo).select(["post_id", "avslutad"]).to_pylist() == [
        {"post_id": 1, "avslutad": None},
        {"post_id": 2, "avslutad": None},
    ]
    pmo.add([post(4, registrerad="")])
    with pytest.raises(SchemaDriftError, match="registrerad is no local timestamp in 1 post: post_id 4"):
        read(pmo)


# Texts that the driver changes

ODD = ["a\0b", "\0", "åäö\0" + "x" * 5_000, "\U00100000\0\U0010fffd"]


@pytest.mark.parametrize("column", ["orsak", "kategori", "namn", "personnummer", "kontaktform", "filial", "boka_from"])
def test_a_nul_neither_cuts_a_text_nor_stops_the_extract(tmp_path: Path, column: str) -> None:
    pmo = sqlite_pmo(tmp_path, [post(1), *(post(n, **{column: text}) for n, text in enumerate(ODD, start=2)), post(9)])
    name = "patient" if column == "namn" else column

    assert read(pmo)[name].to_pylist()[1:-1] == ODD


def test_only_the_partition_with_a_nul_is_read_the_slow_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pmo = sqlite_pmo(tmp_path, [*posts(range(1, 30)), post(30, orsak="a\0b")])

    with caplog.at_level(logging.INFO):
        table = read(pmo, partition_posts=10, chunk_posts=3)

    assert table["post_id"].to_pylist() == list(range(1, 31))
    assert [record.getMessage() for record in caplog.records if "row by row" in record.getMessage()] == [
        "partition 2: read again row by row, the driver cut a text at a NUL character"
    ]


@pytest.mark.parametrize("latin_1", [b"Bed\xf6mning", b"\xe5", b"x" * 5_000 + b"\xe4", b"\xc3", b"\xed\xa0\x80"])
@pytest.mark.parametrize("column", ["orsak", "kategori", "kontaktform", "boka_fore"])
def test_bytes_that_are_not_utf_8_stop_the_extract_and_name_the_post(
    tmp_path: Path, column: str, latin_1: bytes
) -> None:
    pmo = sqlite_pmo(tmp_path, posts(range(1, 10)))
    pmo.run((f"UPDATE vantelistepost SET {column} = CAST(? AS TEXT) WHERE post_id = 7", [(latin_1,)]))

    with pytest.raises(SchemaDriftError) as raised:
        read(pmo)

    assert str(raised.value).splitlines()[1:] == [f"  {column} is no UTF-8 text in 1 post: post_id 7"]


def test_a_blob_among_the_texts_is_read_as_its_text(tmp_path: Path) -> None:
    pmo = sqlite_pmo(tmp_path, posts(range(1, 1_200)))
    pmo.run(("UPDATE vantelistepost SET orsak = ? WHERE post_id = 1100", [("Återbesök".encode(),)]))

    assert read(pmo)["orsak"].to_pylist()[1_098:1_101] == ["Uppföljning", "Återbesök", "Uppföljning"]


def test_odd_letters_in_a_unit_s_id_keep_no_other_unit_from_being_read(tmp_path: Path) -> None:
    pmo = sqlite_pmo(tmp_path, [post(1), post(2, enhet_id=3), post(3, enhet_id=4), post(4, enhet_id=5)])
    units = [(3, "SE0000000000-TEST1\0", "x"), (5, "SE0000000000-TEST1" + " " * 500, "x")]
    pmo.run(
        ("INSERT INTO enhet VALUES (?, ?, ?)", units),
        ("INSERT INTO enhet VALUES (4, CAST(? AS TEXT), 'x')", [(b"SE0000000000-TEST1\xe5",)]),
    )

    assert read(pmo, units=("SE0000000000-TEST1",))["post_id"].to_pylist() == [1, 4]


def test_a_file_in_utf_16_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pmo.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA encoding = 'UTF-16le'")
        database.execute("CREATE TABLE bilaga (post_id)")

    with pytest.raises(SourceError, match=r"stores its texts in UTF-16.*convert it to UTF-8"):
        source(f"Driver={{SQLite3}};Database={file}").plan(EVERYTHING)
