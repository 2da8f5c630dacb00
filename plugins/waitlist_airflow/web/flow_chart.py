"""The picture of a batch's accounts: a river of posts that divides into its dispositions, and a run's steps in time.

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
_RIVER: Final = 260
"""Height of all posts together."""
_DIGITS: Final = 2


@dataclass(frozen=True, slots=True)
class Arm:
    """The posts of one disposition, from the river to their own bank."""

    name: str
    count: int
    top: float
    """Where its bank begins."""
    height: float
    """As its share of the river; at least a hair."""
    middle: float
    """Where its text stands."""
    band: str
    """Its shape, as SVG's ``path`` has it, in a drawing 100 wide."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The whole picture."""

    height: float
    top: float
    """Where the river begins."""
    river: float
    """How high it is."""
    arms: tuple[Arm, ...]


def divide(counts: Mapping[str, int]) -> Flow | None:
    """Lay out a river of posts; None where there are none.

    Args:
        counts: posts by disposition; what is zero is left out.
    """
    total = sum(counts.values())
    names = [name for name in ORDER if counts.get(name)]
    if not total:
        return None
    heights = [max(_RIVER * counts[name] / total, 2.0) for name in names]
    river, rooms = sum(heights), [max(height + 10, ROW) for height in heights]
    whole = sum(rooms)
    at, below, arms = (whole - river) / 2, 0.0, []
    begins = at
    for name, height, room in zip(names, heights, rooms, strict=True):
        top = below + (room - height) / 2
        arms.append(
            Arm(name, counts[name], _figure(top), _figure(height), _figure(below + room / 2), _band(at, top, height))
        )
        at, below = at + height, below + room
    return Flow(_figure(whole), _figure(begins), _figure(river), tuple(arms))


@dataclass(frozen=True, slots=True)
class Span:
    """When a step ran, in per cent of the run."""

    x: float
    width: float


def spans(steps: Sequence[Step]) -> tuple[Span, ...]:
    """Lay steps along the time of their run; one that still runs reaches to the end."""
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
    """Return the seconds from the first step's beginning to the last one's end; None while one runs."""
    if not steps or any(step.seconds is None for step in steps):
        return None
    return (max(map(_ended, steps)) - min(step.began for step in steps)).total_seconds()


def _ended(step: Step) -> datetime:
    return step.began + timedelta(seconds=step.seconds or 0.0)


def _band(source: float, bank: float, height: float) -> str:
    left, right = _figure(source), _figure(bank)
    low_left, low_right = _figure(source + height), _figure(bank + height)
    return f"M0 {left}C50 {left} 50 {right} 100 {right}V{low_right}C50 {low_right} 50 {low_left} 0 {low_left}Z"


def _figure(value: float) -> float:
    return round(value, _DIGITS)
