"""The forecast: at the pace of the last weeks, when is nothing left."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist.reports.pages.forecast import FARTHEST_DAYS, WINDOW_DAYS, Outlook, forecast

TODAY = dt.date(2024, 10, 1)


def nights(*counts: int, every: int = 1) -> list[tuple[dt.date, int]]:
    """Counts of the last nights, the last as of today."""
    return [(TODAY - dt.timedelta(days=every * (len(counts) - 1 - place)), count) for place, count in enumerate(counts)]


def test_a_steady_pace_is_followed_down_to_nothing() -> None:
    said = forecast(nights(*range(100, 85, -1)))
    assert said.outlook is Outlook.DATE
    assert said.clean_on == TODAY + dt.timedelta(days=86)
    assert said.per_week == 7.0


def test_a_day_that_is_begun_counts_as_a_whole_one() -> None:
    # Two a day, and 5 left.
    assert forecast(nights(25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5)).clean_on == TODAY + dt.timedelta(days=3)


def test_nothing_left_is_clean_however_few_the_runs() -> None:
    assert forecast(nights(0)).outlook is Outlook.CLEAN
    assert forecast(nights(*range(14, -1, -1))).outlook is Outlook.CLEAN


@pytest.mark.parametrize("counts", [(10,) * 10, tuple(range(10, 20))])
def test_without_a_decrease_there_is_no_date(counts: tuple[int, ...]) -> None:
    said = forecast(nights(*counts))
    assert (said.outlook, said.clean_on) == (Outlook.NO_DECREASE, None)


def test_a_pace_that_takes_more_than_three_years_gives_no_date() -> None:
    assert forecast(nights(100_020, 100_010, 100_000, every=7)).outlook is Outlook.NO_DECREASE


@pytest.mark.parametrize("history", [[], nights(9), nights(9, 8), nights(12, 11, 10, 9, 8, 7, 6)])
def test_too_few_runs_or_days_give_no_pace(history: list[tuple[dt.date, int]]) -> None:
    said = forecast(history)
    assert (said.outlook, said.per_week) == (Outlook.TOO_SHORT, None)


def test_what_was_before_the_window_does_not_count() -> None:
    old = [(TODAY - dt.timedelta(days=WINDOW_DAYS + 1 + day), 10_000) for day in range(40, 0, -1)]
    recent = nights(*range(60, 45, -1))
    assert forecast([*old, *recent]) == forecast(recent)


def test_one_odd_night_does_not_turn_the_pace() -> None:
    steady = list(range(100, 85, -1))
    odd = [*steady]
    odd[7] = 5_000
    assert forecast(nights(*odd)).per_week == pytest.approx(7.0, abs=1.0)


counts = st.lists(st.integers(0, 10_000), min_size=1, max_size=40)


@given(counts, st.integers(1, 7))
def test_a_date_comes_after_today_and_within_reach(given_counts: list[int], every: int) -> None:
    said = forecast(nights(*given_counts, every=every))
    assert (said.clean_on is not None) == (said.outlook is Outlook.DATE)
    if said.clean_on is not None:
        assert 0 < (said.clean_on - TODAY).days <= FARTHEST_DAYS
        assert said.per_week is not None
    assert (said.outlook is Outlook.CLEAN) == (given_counts[-1] == 0)


@given(counts.filter(lambda nights: nights[-1] > 0), st.integers(1, 500))
def test_more_posts_of_the_same_pace_take_longer(given_counts: list[int], more: int) -> None:
    fewer, many = (forecast(nights(*(count + plus for count in given_counts))) for plus in (0, more))
    assert fewer.per_week == many.per_week
    if many.clean_on is not None:
        assert fewer.clean_on is not None
        assert fewer.clean_on <= many.clean_on


@given(st.integers(1, 50), st.integers(8, 28), st.integers(1, 2_000))
def test_a_straight_line_ends_at_its_computed_day(a_day: int, days: int, left: int) -> None:
    history = nights(*(left + a_day * back for back in range(days, -1, -1)))
    said = forecast(history)
    expected = -(-left // a_day)
    assert said.clean_on == (TODAY + dt.timedelta(days=expected) if expected <= FARTHEST_DAYS else None)
