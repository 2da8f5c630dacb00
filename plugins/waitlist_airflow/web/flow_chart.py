"""Computes the flow chart of a batch, from all posts to their dispositions, and the time chart of a run's steps.

Heights are pixels, widths per cent of the drawing; ``m.flow`` and ``m.span`` draw them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from waitlist.reports.pages.batch import Step
from waitlist_airflow.web.charts import ORDER

ROW: Final = 46
"""The least height of a disposition: two lines of text."""
_SOURCE: Final = 260
"""Height of all posts together."""
_DIGITS: Final = 2


@dataclass(frozen=True, slots=True)
class FlowPart:
    """The posts of one disposition: a band from the bar of all posts to a bar of their own."""

    name: str
    count: int
    top: float
    """The upper edge of its bar."""
    height: float
    """In proportion to its share of all posts, and at least visible."""
    middle: float
    """The position of its text."""
    band: str
    """Its shape for SVG's ``path``, in a drawing 100 wide."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The whole flow chart."""

    height: float
    top: float
    """The upper edge of the bar of all posts."""
    source_height: float
    """The height of the bar of all posts."""
    parts: tuple[FlowPart, ...]


def divide(counts: Mapping[str, int]) -> Flow | None:
    """Return the flow chart of some posts; None without posts.

    Args:
        counts: posts by disposition; zeros are left out.
    """
    total = sum(counts.values())
    names = [name for name in ORDER if counts.get(name)]
    if not total:
        return None
    heights = [max(_SOURCE * counts[name] / total, 2.0) for name in names]
    source, rows = sum(heights), [max(height + 10, ROW) for height in heights]
    whole = sum(rows)
    at, below, parts = (whole - source) / 2, 0.0, []
    begins = at
    for name, height, row in zip(names, heights, rows, strict=True):
        top, middle = below + (row - height) / 2, below + row / 2
        band = _band(at, top, height)
        parts.append(FlowPart(name, counts[name], _figure(top), _figure(height), _figure(middle), band))
        at, below = at + height, below + row
    return Flow(_figure(whole), _figure(begins), _figure(source), tuple(parts))


@dataclass(frozen=True, slots=True)
class Span:
    """When a step ran, in per cent of the run."""

    x: float
    width: float


def spans(steps: Sequence[Step]) -> tuple[Span, ...]:
    """Return the spans of steps within the time of their run; a step that still runs reaches to the end."""
    if not steps:
        return ()
    begin = min(step.began for step in steps)
    end = max(_ended(step) for step in steps)
    whole = (end - begin).total_seconds() or 1.0
    found = []
    for step in steps:
        x = (step.began - begin).total_seconds() * 100 / whole
        width = (100 - x) if step.seconds is None else step.seconds * 100 / whole
        found.append(Span(_figure(x), _figure(max(width, 0.4))))
    return tuple(found)


def whole_time(steps: Sequence[Step]) -> float | None:
    """Return the seconds from the start of the first step to the end of the last one; None while a step runs."""
    if not steps or any(step.seconds is None for step in steps):
        return None
    return (max(map(_ended, steps)) - min(step.began for step in steps)).total_seconds()


def _ended(step: Step) -> datetime:
    return step.began + timedelta(seconds=step.seconds or 0.0)


def _band(source: float, target: float, height: float) -> str:
    left, right = _figure(source), _figure(target)
    low_left, low_right = _figure(source + height), _figure(target + height)
    return f"M0 {left}C50 {left} 50 {right} 100 {right}V{low_right}C50 {low_right} 50 {low_left} 0 {low_left}Z"


def _figure(value: float) -> float:
    return round(value, _DIGITS)
