"""The future of a wave: each unit is followed at its own pace, and the ones that have stopped are found."""

import datetime as dt

import pytest

from waitlist.reports.pages.history import TrendPoint
from waitlist.reports.pages.projection import pace, project, stopped_since

TODAY = dt.date(2024, 10, 1)
STEADY = tuple(range(58, 29, -1))
"""One post fewer each night of four weeks; 30 are left."""


def trend(*left: int, same_rules: bool = True) -> tuple[TrendPoint, ...]:
    nights = [TODAY - dt.timedelta(days=len(left) - 1 - place) for place in range(len(left))]
    return tuple(TrendPoint(night, 100, 0, posts, same_rules) for night, posts in zip(nights, left, strict=True))


def test_a_wave_is_clean_when_its_slowest_unit_is() -> None:
    fast = tuple(range(66, 8, -2))
    found = project([trend(*STEADY), trend(*fast)], until=TODAY + dt.timedelta(days=14))
    assert found.clean_on == TODAY + dt.timedelta(days=30)
    # The fast unit has 10 left and does two a day: it has none after five days.
    assert [(at.day, at.left) for at in found.days] == [
        (TODAY, 40), (TODAY + dt.timedelta(days=7), 23), (TODAY + dt.timedelta(days=14), 16),
    ]  # fmt: skip


def test_a_unit_that_is_ready_gives_nothing_to_the_others() -> None:
    ready = trend(*range(28, -1, -1))
    found = project([trend(*STEADY), ready], until=TODAY + dt.timedelta(days=28))
    assert found.at_end is not None
    assert found.at_end.left == 2


def test_where_one_unit_does_not_decrease_there_is_no_date_and_its_posts_stay() -> None:
    found = project([trend(*STEADY), trend(*(12,) * 29)], until=TODAY + dt.timedelta(days=60))
    assert (found.clean_on, found.earliest, found.latest) == (None, None, None)
    assert found.at_end is not None
    assert found.at_end.left == 12


def test_the_band_lies_around_the_forecast() -> None:
    uneven = [100]
    for number in range(28):
        uneven.append(uneven[-1] - (3 if number % 2 else 1))
    found = project([trend(*uneven)], until=TODAY + dt.timedelta(days=14))
    assert found.earliest is not None
    assert found.clean_on is not None
    assert found.latest is not None
    assert found.earliest <= found.clean_on <= found.latest
    assert found.earliest < found.latest
    assert all(at.few <= at.left <= at.many for at in found.days)


def test_the_projection_ends_on_the_asked_day_and_without_time_ahead_there_is_none() -> None:
    assert project([trend(*STEADY)], until=TODAY + dt.timedelta(days=10)).days[-1].day == TODAY + dt.timedelta(days=10)
    assert project([trend(*STEADY)], until=TODAY).days == ()


def test_the_pace_is_the_forecasts_and_days_of_other_rules_do_not_count() -> None:
    found = pace((*trend(*range(500, 470, -1), same_rules=False)[:15], *trend(*STEADY)[15:]))
    assert found is not None
    assert (found.now, found.middle) == (30, -1.0)
    assert pace(trend(9, 8)) is None


@pytest.mark.parametrize(
    ("left", "since"),
    [
        ((9,) * 15, 14),
        ((9,) * 14, None),
        ((20, *(9,) * 20), 19),
        ((9, *range(10, 25)), 15),
        ((*(9,) * 20, 8), None),
        ((0,) * 20, None),
    ],
)
def test_a_unit_has_stopped_when_it_is_never_below_where_it_was_two_weeks_ago(
    left: tuple[int, ...], since: int | None
) -> None:
    assert stopped_since(trend(*left)) == (None if since is None else TODAY - dt.timedelta(days=since))
