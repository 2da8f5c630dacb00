"""The drawing of a line: its slots, its marks and what is drawn ahead of it."""

import datetime as dt

from waitlist.reports.pages.marks import Mark, MarkKind
from waitlist.reports.pages.projection import Expected
from waitlist_airflow.web import charts

TODAY = dt.date(2024, 10, 1)
COUNTS = [(TODAY - dt.timedelta(days=days), 10 + days) for days in (20, 12, 5, 0)]
AHEAD = (Expected(TODAY, 10, 10, 10), Expected(TODAY + dt.timedelta(days=20), 0, 4, 60))


def test_every_day_with_a_figure_has_a_slot_and_they_lie_edge_to_edge() -> None:
    line = charts.line(COUNTS, expected=AHEAD)
    assert line is not None
    assert [(slot.day, slot.count) for slot in line.slots] == [*COUNTS, (AHEAD[1].day, 4)]
    ends = [round(slot.left + slot.width, 2) for slot in line.slots]
    assert [round(slot.left, 2) for slot in line.slots] == [0, *ends[:-1]]
    assert ends[-1] == 100
    assert all(slot.left <= slot.x <= slot.left + slot.width for slot in line.slots)


def test_the_first_and_the_last_figure_are_named_on_focus_and_texts_stay_inside() -> None:
    line = charts.line(COUNTS, expected=AHEAD)
    assert line is not None
    assert (line.slots[0].named, line.slots[-1].named) == (True, True)
    assert (line.slots[0].anchor, line.slots[-1].anchor) == ("start", "end")
    alone = charts.line(COUNTS[:1])
    assert alone is not None
    assert len(alone.slots) == 1


def test_what_is_expected_is_drawn_from_the_last_figure_and_never_above_the_frame() -> None:
    line = charts.line(COUNTS, expected=AHEAD)
    assert line is not None
    assert line.last == AHEAD[1].day
    now = line.points[-1]
    assert line.ahead.startswith(f"{now.x:g},{now.y:g} ")
    assert min(float(point.split(",")[1]) for point in line.band.split()) == 0


def test_marks_outside_the_frame_are_left_out() -> None:
    marks = [Mark(TODAY - dt.timedelta(days=days), MarkKind.FAILED, "b", ()) for days in (40, 5)]
    line = charts.line(COUNTS, marks=marks)
    assert line is not None
    assert [sign.mark for sign in line.signs] == marks[1:]
