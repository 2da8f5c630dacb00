"""Charts as geometry: numbers in, positions in per cent out. The macros draw them, the style sheet colours them.

Widths are per cent of the drawing, so that a chart fills what room there is and nothing in it is distorted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from waitlist.judge.rules import Disposition
from waitlist.reports.pages.history import TrendPoint

_DIGITS: Final = 3
_FAR_DAYS: Final = 150
_AFTER_DAYS: Final = 30

ORDER: Final = tuple(
    each.value
    for each in (
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
"""The dispositions from left to right: what migrates, what needs nothing in PMO, what somebody has to do."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stacked bar."""

    name: str
    """What it stands for; a class of the style sheet and a pattern in ``base.html`` have its name."""
    count: int
    x: float
    width: float


def stacked(counts: Mapping[str, int], order: Sequence[str], *, whole: int | None = None) -> tuple[Segment, ...]:
    """Lay counts side by side.

    Args:
        counts: by name; what is zero is left out.
        order: the names from left to right; others are left out.
        whole: what the full width stands for; None: the sum.
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
class Line:
    """A line over time, and the frame that it stands in."""

    points: tuple[Point, ...]
    first: date
    last: date
    top: int
    """What the upper edge stands for; the lower one is zero."""
    ahead: str
    """Where the line goes on to from its last point, as ``path``; empty where nothing is known."""

    @property
    def path(self) -> str:
        """The points as SVG's ``polyline`` has them, in a drawing of 100 by 100."""
        return " ".join(f"{point.x:g},{point.y:g}" for point in self.points)

    @property
    def area(self) -> str:
        """The surface below the line, as SVG's ``polygon`` has it."""
        return f"{self.points[0].x:g},100 {self.path} {self.points[-1].x:g},100"

    def x_of(self, day: date | None) -> float | None:
        """Return where a day stands; None outside the frame."""
        if day is None or not self.first <= day <= self.last:
            return None
        return _part((day - self.first).days, (self.last - self.first).days or 1)


def line(counts: Sequence[tuple[date, int]], *, last: date | None = None, zero_on: date | None = None) -> Line | None:
    """Draw counts over time; None where there are none.

    Args:
        counts: by day, the earliest first.
        last: the day at the right edge, when it is later than the last that has a count.
        zero_on: when the line is expected to reach nothing.
    """
    if not counts:
        return None
    begin, end = counts[0][0], max(counts[-1][0], last or counts[-1][0])
    top = _round_up(max(count for _, count in counts))
    days = (end - begin).days or 1
    points = tuple(
        Point(day, count, _part((day - begin).days, days), round(100 - _part(count, top), _DIGITS))
        for day, count in counts
    )
    return Line(points, begin, end, top, _ahead(points[-1], begin, end, zero_on))


def _ahead(now: Point, begin: date, end: date, zero_on: date | None) -> str:
    if zero_on is None or zero_on <= now.day or end == now.day:
        return ""
    until = min(zero_on, end)
    # Cut off at the edge, in proportion.
    done = (until - now.day).days / (zero_on - now.day).days
    x = _part((until - begin).days, (end - begin).days or 1)
    return f"{now.x:g},{now.y:g} {x:g},{round(now.y + (100 - now.y) * done, _DIGITS):g}"


def left_of(trend: Sequence[TrendPoint]) -> list[tuple[date, int]]:
    """Return the posts left to handle by day, as ``line`` takes them."""
    return [(point.as_of, point.left) for point in trend]


def rules_changed(trend: Sequence[TrendPoint]) -> date | None:
    """Return the first day after the last that was judged by other rules than the latest; None where none was."""
    others = [place for place, point in enumerate(trend) if not point.same_rules]
    return trend[others[-1] + 1].as_of if others else None


def frame(as_of: date, go_live: date | None, clean_on: date | None) -> date:
    """Return the last day of a drawing in which one can see whether a unit will make it.

    That is go-live, and the day on which it is clean when that is not much later; a go-live far off is left out.
    """
    far = as_of + timedelta(days=_FAR_DAYS)
    if go_live is None or not as_of < go_live <= far:
        return min(clean_on or as_of, far)
    return max(go_live, min(clean_on or as_of, go_live + timedelta(days=_AFTER_DAYS))) + timedelta(days=1)


def _part(part: int, whole: int) -> float:
    return round(part * 100 / whole, _DIGITS) if whole else 0.0


def _round_up(count: int) -> int:
    """Return a figure of one or two digits and noughts that is even, not below a count and close to it."""
    unit: int = 10 ** max(len(str(count)) - 2, 0) * 2
    return max(-(-count // unit) * unit, 2)
