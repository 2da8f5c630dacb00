"""DUPLICATE_POST: same person, unit and target list with overlapping windows; all of them get it."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.posts import UNIT, UNIT_CHILD_HEALTH, context, official, table

from waitlist.exceptions import SnapshotError
from waitlist.judge import duplicates

OTHER_PERSON = official(dt.date(1990, 7, 7))


def found(*posts: dict[str, Any]) -> list[int]:
    return duplicates.find([table(*posts)], context()).tolist()


def window(start: str, end: str, **more: Any) -> dict[str, Any]:
    return {"boka_from": start, "boka_fore": end, **more}


def test_overlapping_windows_name_every_post_of_the_group() -> None:
    first, second = window("2025-01-01", "2025-02-01"), window("2025-01-15", "2025-03-01")
    assert found(first, second, window("2025-02-20", "2025-05-01")) == [1, 2, 3]


def test_windows_that_share_one_day_overlap() -> None:
    assert found(window("2025-01-01", "2025-02-01"), window("2025-02-01", "2025-03-01")) == [1, 2]


def test_windows_that_only_follow_each_other_do_not() -> None:
    assert found(window("2025-01-01", "2025-01-31"), window("2025-02-01", "2025-03-01")) == []


def test_a_short_window_inside_a_long_one_is_found_past_a_window_between() -> None:
    long, short, inside = (
        window("2025-01-01", "2025-12-31"),
        window("2025-01-02", "2025-01-03"),
        window("2025-06-01", "2025-06-02"),
    )
    assert found(long, short, inside) == [1, 2, 3]


@pytest.mark.parametrize(
    "other",
    [
        {"personnummer": OTHER_PERSON},
        {"enhet_hsa_id": UNIT_CHILD_HEALTH},
        {"kategori": "SDV Pv Ssk Återbesök"},
        {"kategori": "Finns inte"},
        {"vantar_pa_besok": False},
        {"personnummer": None},
        {"boka_from": None},
        {"boka_from": "2025-04-01"},
    ],
)
def test_another_person_unit_or_list_or_a_post_that_cannot_wait_is_no_duplicate(
    other: dict[str, Any],
) -> None:
    assert found({}, other) == []


def test_the_base_category_and_its_list_are_one_target() -> None:
    assert found({"kategori": "Diabetesmottagning"}, {}) == [1, 2]


def test_the_same_person_written_with_and_without_a_century_is_one_person() -> None:
    assert found({"personnummer": "19" + official(dt.date(1985, 3, 14), separator="")}, {}) == [1, 2]


def test_duplicates_are_found_across_chunks() -> None:
    chunks = [table({"post_id": 5}), table({"post_id": 9}), table({"post_id": 11, "enhet_hsa_id": None})]
    assert duplicates.find(chunks, context()).tolist() == [5, 9]


@pytest.mark.parametrize("ids", [(4, 4), (4, 3)])
def test_a_post_id_that_comes_twice_or_out_of_order_stops_the_search(ids: tuple[int, int]) -> None:
    with pytest.raises(SnapshotError, match=str(ids[1])):
        duplicates.find([table({"post_id": ids[0]}), table({"post_id": ids[1]})], context())


def test_an_empty_batch_has_none() -> None:
    assert duplicates.find([], context()).tolist() == []


posts = st.builds(
    lambda person, unit, day, length: {
        "personnummer": person,
        "enhet_hsa_id": unit,
        "boka_from": str(dt.date(2025, 1, 1) + dt.timedelta(day)),
        "boka_fore": str(dt.date(2025, 1, 1) + dt.timedelta(day + length)),
    },
    st.sampled_from([official(dt.date(1985, 3, 14)), OTHER_PERSON]),
    st.sampled_from([UNIT, UNIT_CHILD_HEALTH, None]),
    st.integers(0, 30),
    st.integers(0, 8),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(posts, max_size=12))
def test_agrees_with_comparing_every_pair(drawn: list[dict[str, Any]]) -> None:
    def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
        same = all(one[name] == other[name] for name in ("personnummer", "enhet_hsa_id"))
        return same and one["boka_from"] <= other["boka_fore"] and other["boka_from"] <= one["boka_fore"]

    expected = [
        number
        for number, one in enumerate(drawn, start=1)
        if any(overlap(one, other) for place, other in enumerate(drawn, start=1) if place != number)
    ]
    assert found(*drawn) == expected
