"""The picture of a batch's accounts: nothing in it is lost, hidden or outside the drawing."""

import datetime as dt
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist.judge.rules import Disposition
from waitlist.reports.pages.batch import Step
from waitlist.reports.pages.history import TrendPoint
from waitlist_airflow.web import charts
from waitlist_airflow.web import flow_chart as flow

COUNTS = st.dictionaries(
    st.sampled_from([disposition.value for disposition in Disposition]), st.integers(0, 10**7), min_size=1
)
BEGUN = dt.datetime(2024, 10, 1, 4, tzinfo=dt.UTC)


@given(COUNTS)
def test_every_disposition_has_a_visible_branch_in_the_picture(counts: Mapping[str, int]) -> None:
    picture = flow.divide(counts)
    if not sum(counts.values()):
        assert picture is None
        return
    assert picture is not None
    assert {part.name: part.count for part in picture.parts} == {name: count for name, count in counts.items() if count}
    assert all(part.height >= 2 for part in picture.parts)
    assert all(part.top >= 0 and part.top + part.height <= picture.height + 0.1 for part in picture.parts)
    assert sum(part.height for part in picture.parts) == pytest.approx(picture.source_height, abs=0.1)


@given(COUNTS)
def test_texts_never_overlap(counts: Mapping[str, int]) -> None:
    picture = flow.divide(counts)
    middles = [part.middle for part in picture.parts] if picture else []
    assert all(later - earlier >= flow.ROW - 0.1 for earlier, later in pairwise(middles))


def step(name: str, begins: float, seconds: float | None) -> Step:
    return Step(name, BEGUN + dt.timedelta(seconds=begins), seconds, 1, "success")


def test_steps_are_drawn_at_the_time_when_they_ran() -> None:
    spans = flow.spans([step("a", 0, 10), step("b", 10, 30)])
    assert [(span.x, span.width) for span in spans] == [(0, 25), (25, 75)]
    assert flow.whole_time([step("a", 0, 10), step("b", 10, 30)]) == 40


def test_a_running_step_is_drawn_to_the_end_and_the_total_is_unknown() -> None:
    steps = [step("a", 0, 10), step("b", 5, None)]
    assert [(span.x, span.width) for span in flow.spans(steps)] == [(0, 100), (50, 50)]
    assert flow.whole_time(steps) is None
    assert (flow.spans([]), flow.whole_time([])) == ((), None)


@pytest.mark.parametrize(
    ("alike", "since"),
    [
        ([], None),
        ([True, True], None),
        ([False, True, True], BEGUN.date() + dt.timedelta(1)),
        # A past day that is run again is judged by the present rules too.
        ([True, False, True], BEGUN.date() + dt.timedelta(2)),
    ],
)
def test_a_trend_shows_from_which_day_on_the_rules_are_the_present_ones(
    alike: list[bool], since: dt.date | None
) -> None:
    days = [BEGUN.date() + dt.timedelta(number) for number in range(len(alike))]
    trend = [TrendPoint(day, 10, 5, 3, same) for day, same in zip(days, alike, strict=True)]
    assert charts.rules_changed(trend) == since
