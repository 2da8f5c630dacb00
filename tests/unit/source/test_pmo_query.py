"""The query file: parameters have names, and the statement around it binds every value."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from waitlist import paths
from waitlist.exceptions import SourceError
from waitlist.source.pmo.query import Scope, SourceQuery

AS_OF = Scope(dt.date(2024, 12, 31))
AS_TEXT = "CAST({} AS TEXT)"


def query(folder: Path, text: str) -> SourceQuery:
    (folder / "pmo").mkdir()
    (folder / "pmo" / "select_waitlist.sql").write_text(text, encoding="utf-8")
    return SourceQuery.load(folder)


def test_parameters_are_bound_in_the_order_in_which_they_occur(tmp_path: Path) -> None:
    source = query(tmp_path, "SELECT 1 WHERE b < :to_post_id AND a < :as_of AND c >= :from_post_id OR d = :as_of")

    statement = source.select(replace(AS_OF, lower=5, upper=9), "q.post_id")

    assert " ".join(statement.sql.split()) == (
        "SELECT q.post_id FROM ( SELECT 1 WHERE b < ? AND a < ? AND c >= ? OR d = ? ) AS q "
        "WHERE q.post_id >= CAST(? AS BIGINT) AND q.post_id < CAST(? AS BIGINT) ORDER BY q.post_id"
    )
    assert statement.parameters == ("8", "2025-01-01", "5", "2025-01-01", "5", "9")


def test_an_open_range_binds_no_bound_around_and_the_widest_within(tmp_path: Path) -> None:
    source = query(tmp_path, "SELECT 1 WHERE a < :as_of AND k BETWEEN :from_post_id AND :to_post_id")

    statement = source.select(AS_OF, "q.post_id")

    assert statement.parameters == ("2025-01-01", "-9223372036854775808", "9223372036854775807")
    assert "WHERE q.post_id" not in statement.sql


def test_units_are_bound_and_never_part_of_the_text(tmp_path: Path) -> None:
    source = query(tmp_path, "SELECT 1 WHERE a < :as_of")

    statement = source.count(replace(AS_OF, units=("SE1-A", "x'); DROP TABLE patient; --"), unit="HEX({})"), AS_TEXT)

    assert statement.sql.endswith("WHERE HEX(q.enhet_hsa_id) IN (?, ?)")
    assert statement.parameters == ("2025-01-01", "SE1-A", "x'); DROP TABLE patient; --")


@pytest.mark.parametrize(
    "verbatim",
    [
        "':as_of ? it''s :unknown'",
        '"kolumn :as_of ?"',
        "[kolumn :as_of ?]",
        "a::text",
        "'-- no comment'",
        "'/* none */'",
    ],
)
def test_texts_names_and_casts_are_left_alone(tmp_path: Path, verbatim: str) -> None:
    source = query(tmp_path, f"SELECT {verbatim} WHERE a < :as_of")

    statement = source.count(AS_OF, AS_TEXT)

    assert verbatim in statement.sql
    assert statement.parameters == ("2025-01-01",)


def test_comments_are_taken_out_with_all_that_is_in_them(tmp_path: Path) -> None:
    source = query(tmp_path, "-- why? it's :unknown\nSELECT 1/* ? :x\n' */WHERE a < :as_of -- :as_of?\n; \n")

    assert (
        " ".join(source.count(AS_OF, AS_TEXT).sql.split())
        == "SELECT CAST(COUNT(*) AS TEXT) AS posts FROM ( SELECT 1 WHERE a < ? ) AS q"
    )


def test_every_fault_of_a_query_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as raised:
        query(tmp_path, "SELECT 1 WHERE a < :today AND b = ? AND c = :enhet")

    assert "unknown parameter :enhet; unknown parameter :today; parameter :as_of is missing; a bare ?" in str(
        raised.value
    )
    assert str(raised.value).endswith("it takes :as_of, :from_post_id, :to_post_id")


def test_a_parameter_in_a_comment_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="parameter :as_of is missing"):
        query(tmp_path, "SELECT 1 -- :as_of\n WHERE ':as_of' = a")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"select_waitlist.sql could not be read .*: check WAITLIST_SQL_DIR"):
        SourceQuery.load(tmp_path)


def test_the_file_that_is_shipped_has_no_fault() -> None:
    assert SourceQuery.load(paths.SQL).count(AS_OF, AS_TEXT).parameters == ("2025-01-01", "2025-01-01")
