"""What concerns a PMO in SQLite alone: its columns have no types, only its values have."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.pmo import AS_OF, post, posts, source_settings, sqlite_pmo

from waitlist.exceptions import SchemaDriftError, SourceError
from waitlist.pmo import PmoSource, Selection
from waitlist.snapshot import Partition

EVERYTHING = Selection(AS_OF)
WHOLE = Partition(0, None, None, 0)


def source(odbc: str, **values: int) -> PmoSource:
    return PmoSource(odbc, source_settings(Path(), **values))


def test_a_file_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "no" / "pmo.db"
    file.parent.mkdir()

    with pytest.raises(SourceError, match=r"cannot be reached through the ODBC driver SQLite3: .*\(or file\)"):
        source(f"Driver={{SQLite3}};Database={file}").plan(EVERYTHING)
    assert not file.exists()


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    file = tmp_path / "pmo.db"
    file.write_text("post_id;personnummer\n" * 100)

    with pytest.raises(SourceError, match="is no SQLite database: correct its path"):
        source(f"Driver={{SQLite3}};Database={file}").plan(EVERYTHING)


@pytest.mark.parametrize("max_text_bytes", [64, 4_096])
def test_a_date_column_keeps_what_is_no_date_as_it_was_written(tmp_path: Path, max_text_bytes: int) -> None:
    dates = ["2025-03-01", "snarast", "2025-02-31", "2025-03-01 07:30:00", "2025-03-01T07:30", "250301", "", None]
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
