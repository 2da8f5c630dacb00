"""Computes charts: from counts to positions in per cent. The macros draw them, and the style sheet colours them.

Widths are per cent of the drawing, so that a chart fills the available width without distortion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Final

from waitlist.judge.rules import Disposition
from waitlist.release.receipts.follow import Day
from waitlist.reports.pages.history import TrendPoint
from waitlist.reports.pages.marks import Mark
from waitlist.reports.pages.projection import Expected

_DIGITS: Final = 3
_FAR_DAYS: Final = 150
_AFTER_DAYS: Final = 30
_NAMED: Final = 4
"""Figures of dry runs that are written while a chart has the keyboard's focus."""

ORDER: Final = tuple(
    disposition.value
    for disposition in (
        Disposition.MIGRATE,
        Disposition.ALREADY_RELEASED,
        Disposition.BOOK_IN_MILLENNIUM,
        Disposition.LEAVE,
        Disposition.BOOK_IN_PMO,
        Disposition.MOVE_TO_SDV_LIST,
        Disposition.FIX_IN_PMO,
        Disposition.HANDLE_MANUALLY,
        Disposition.PLAN_UNIT,
    )
)
"""The dispositions from left to right: posts that migrate, that need nothing in PMO, and that need an action."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stacked bar."""

    name: str
    """The name of what it shows; a class of the style sheet and a pattern in ``base.html`` have the same name."""
    count: int
    x: float
    width: float


def stacked(counts: Mapping[str, int], order: Sequence[str], *, whole: int | None = None) -> tuple[Segment, ...]:
    """Return the segments of a bar for some counts.

    Args:
        counts: the counts by name; zeros are left out.
        order: the names from left to right; other names are left out.
        whole: the count of the full width; None: the sum.
    """
    total = whole or sum(counts.get(name, 0) for name in order)
    segments: list[Segment] = []
    before = 0
    for name in order:
        count = counts.get(name, 0)
        if count:
            segments.append(Segment(name, count, _part(before, total), _part(count, total)))
            before += count
    return tuple(segments)


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a line; ``y`` counts from the top."""

    day: date
    count: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Slot:
    """The part of a drawing that belongs to a day, and what is written there while a reader points at it."""

    day: date
    x: float
    """The day's position."""
    y: float
    left: float
    width: float
    anchor: str
    """Where the text is anchored, so that it stays inside the drawing: SVG's ``text-anchor``."""
    count: int
    few: int | None
    """The band of an expected figure; None for a figure of a dry run."""
    many: int | None
    named: bool
    """Whether its figure is written while the whole chart has the keyboard's focus."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A mark on the time axis."""

    x: float
    mark: Mark


@dataclass(frozen=True, slots=True)
class Line:
    """A line over time, and its frame."""

    points: tuple[Point, ...]
    first: date
    last: date
    top: int
    """The count at the upper edge; the lower edge is zero."""
    ahead: str
    """The forecast from the last point on, in the form of ``path``; empty where there is no forecast."""
    expected: tuple[Expected, ...] = ()
    """The days that ``band`` and ``ahead`` are drawn through."""
    marks: tuple[Mark, ...] = ()

    @property
    def path(self) -> str:
        """The points for SVG's ``polyline``, in a drawing of 100 by 100."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)

    @property
    def area(self) -> str:
        """The surface below the line, for SVG's ``polygon``."""
        return f"{self.points[0].x:g},100 {self.path} {self.points[-1].x:g},100"

    @property
    def band(self) -> str:
        """The surface between the faster and the slower pace, for SVG's ``polygon``; empty without expected days."""
        low = [f"{self.x_at(at.day):g},{self.y_at(at.few):g}" for at in self.expected]
        high = [f"{self.x_at(at.day):g},{self.y_at(at.many):g}" for at in reversed(self.expected)]
        return " ".join(low + high)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """A slot for each day with a figure, the earliest first; they lie edge to edge."""
        known = [(point.day, point.count, None, None) for point in self.points]
        ahead = [(at.day, at.left, at.few, at.many) for at in self.expected[1:]]
        days: list[tuple[date, int, int | None, int | None]] = [*known, *ahead]
        places = [self.x_at(day) for day, *_ in days]
        edges = [0.0, *((one + other) / 2 for one, other in pairwise(places)), 100.0]
        named = {round(number * (len(known) - 1) / (_NAMED - 1)) for number in range(_NAMED)}
        named |= {len(days) - 1}
        return tuple(
            Slot(
                day, x, self.y_at(count),
                round(edges[number], _DIGITS), round(edges[number + 1] - edges[number], _DIGITS),
                "start" if x < 20 else "end" if x > 80 else "middle", count, few, many, number in named,
            )
            for number, ((day, count, few, many), x) in enumerate(zip(days, places, strict=True))
        )  # fmt: skip

    @property
    def signs(self) -> tuple[Sign, ...]:
        """The marks inside the frame."""
        return tuple(Sign(x, mark) for mark in self.marks if (x := self.x_of(mark.day)) is not None)

    def x_at(self, day: date) -> float:
        """Return the position of a day inside the frame."""
        return _part((day - self.first).days, (self.last - self.first).days or 1)

    def y_at(self, count: int) -> float:
        """Return the height of a count, from the top; a count above the frame is at its edge."""
        return round(max(100 - _part(count, self.top), 0.0), _DIGITS)

    def x_of(self, day: date | None) -> float | None:
        """Return the position of a day; None outside the frame."""
        if day is None or not self.first <= day <= self.last:
            return None
        return _part((day - self.first).days, (self.last - self.first).days or 1)


def line(
    counts: Sequence[tuple[date, int]],
    *,
    last: date | None = None,
    zero_on: date | None = None,
    expected: Sequence[Expected] = (),
    marks: Sequence[Mark] = (),
    whole: int = 0,
) -> Line | None:
    """Return the line of some counts over time; None without counts.

    Args:
        counts: the counts by day, the earliest first.
        last: the day at the right edge, when it is later than the last day with a count.
        zero_on: the day on which the line is expected to reach zero.
        expected: what is expected from the last day with a count on, in place of ``zero_on``.
        marks: what happened on some days.
        whole: a count that the frame includes, when it is above every other.
    """
    if not counts:
        return None
    begin, end = counts[0][0], max(counts[-1][0], last or counts[-1][0], *(at.day for at in expected))
    top = _round_up(max(whole, *(count for _, count in counts)))
    days = (end - begin).days or 1
    points = tuple(
        Point(day, count, _part((day - begin).days, days), round(100 - _part(count, top), _DIGITS))
        for day, count in counts
    )
    drawn = Line(points, begin, end, top, "", tuple(expected), tuple(marks))
    return replace(drawn, ahead=_through(drawn) if expected else _ahead(points[-1], begin, end, zero_on))


def _through(drawn: Line) -> str:
    return " ".join(f"{drawn.x_at(at.day):g},{drawn.y_at(at.left):g}" for at in drawn.expected)


def _ahead(now: Point, begin: date, end: date, zero_on: date | None) -> str:
    if zero_on is None or zero_on <= now.day or end == now.day:
        return ""
    until = min(zero_on, end)
    # Cut off at the edge, in proportion.
    done = (until - now.day).days / (zero_on - now.day).days
    x = _part((until - begin).days, (end - begin).days or 1)
    return f"{now.x:g},{now.y:g} {x:g},{round(now.y + (100 - now.y) * done, _DIGITS):g}"


def left_of(trend: Sequence[TrendPoint]) -> list[tuple[date, int]]:
    """Return the posts left to handle by day, for ``line``."""
    return [(point.as_of, point.left) for point in trend]


def booked_of(days: Sequence[Day]) -> list[tuple[date, int]]:
    """Return the booked posts by day, for ``line``."""
    return [(day.day, day.counts.booked) for day in days]


def rules_changed(trend: Sequence[TrendPoint]) -> date | None:
    """Return the first day from which on all runs were judged by the latest rules; None where all of them were."""
    others = [place for place, point in enumerate(trend) if not point.same_rules]
    return trend[others[-1] + 1].as_of if others else None


def frame(as_of: date, go_live: date | None, clean_on: date | None) -> date:
    """Return the last day of a drawing that shows whether a unit will be ready in time.

    That is go-live, or the day on which no posts are left when that is not much later. A distant go-live is left out.
    """
    far = as_of + timedelta(days=_FAR_DAYS)
    if go_live is None or not as_of < go_live <= far:
        return min(clean_on or as_of, far)
    return max(go_live, min(clean_on or as_of, go_live + timedelta(days=_AFTER_DAYS))) + timedelta(days=1)


def _part(part: int, whole: int) -> float:
    return round(part * 100 / whole, _DIGITS) if whole else 0.0


def _round_up(count: int) -> int:
    """Return a round even figure, one or two digits and zeros, that is not below a count and close to it."""
    unit: int = 10 ** max(len(str(count)) - 2, 0) * 2
    return max(-(-count // unit) * unit, 2)
