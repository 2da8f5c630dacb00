"""Draws the pace of the last weeks on into the future, and finds the units that have stopped.

The forecast is one date. Around it is a **band**: the date at the pace of the faster and of the slower quarter of the
slopes between two dry runs. Each unit is followed at its own pace down to zero, and a wave is the sum of its units, so
the posts expected to be left at a wave's go-live are those of the units that will not be ready.
"""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from waitlist.reports.pages.forecast import FARTHEST_DAYS, FEWEST_DAYS, FEWEST_RUNS, WINDOW_DAYS, slopes
from waitlist.reports.pages.history import TrendPoint

STOPPED_DAYS: Final = 14
"""A unit whose posts left have not decreased for so many days has stopped."""
_QUARTERS: Final = (25, 50, 75)
_STEP_DAYS: Final = 7
_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Pace:
    """By how many posts the posts left change a day: negative is fewer."""

    now: int
    """Posts left in the latest dry run."""
    fast: float
    """The pace of the faster quarter."""
    middle: float
    """The forecast's pace: the median."""
    slow: float
    """The pace of the slower quarter."""

    def left_after(self, days: int, a_day: float) -> float:
        """Return the posts left after some days at a pace."""
        return max(self.now + a_day * days, 0.0) if self.now else 0.0

    def days_to_zero(self, a_day: float) -> int | None:
        """Return in how many days no posts are left at a pace; None where they do not decrease, or too slowly."""
        if not self.now:
            return 0
        days = math.ceil(round(self.now / -a_day, _DIGITS)) if a_day < 0 else math.inf
        return None if days > FARTHEST_DAYS else int(days)


@dataclass(frozen=True, slots=True)
class Expected:
    """Posts expected to be left on a day."""

    day: dt.date
    few: int
    """At the faster pace."""
    left: int
    many: int
    """At the slower pace."""


@dataclass(frozen=True, slots=True)
class Projection:
    """The future of some units together."""

    clean_on: dt.date | None
    """When the last unit has no posts left; None where one has no date."""
    earliest: dt.date | None
    """The same at the faster pace."""
    latest: dt.date | None
    """The same at the slower pace."""
    days: tuple[Expected, ...]
    """From the latest dry run on; empty where no unit has a pace."""

    @property
    def at_end(self) -> Expected | None:
        """The last day of the drawing; None where nothing is drawn."""
        return self.days[-1] if self.days else None


def pace(trend: Sequence[TrendPoint]) -> Pace | None:
    """Return the pace of a unit; None where there are too few dry runs for one, as in ``forecast``."""
    points = [(point.as_of.toordinal(), point.left) for point in trend if point.same_rules]
    recent = [(day, left) for day, left in points if points[-1][0] - day <= WINDOW_DAYS]
    if len(recent) < FEWEST_RUNS or recent[-1][0] - recent[0][0] < FEWEST_DAYS:
        return None
    days, counts = zip(*recent, strict=True)
    fast, middle, slow = (float(found) for found in np.percentile(slopes(days, counts), _QUARTERS))
    return Pace(recent[-1][1], fast, middle, slow)


def project(trends: Sequence[Sequence[TrendPoint]], *, until: dt.date) -> Projection:
    """Follow units at their own pace down to zero, and add them up.

    A unit without a pace keeps its posts.

    Args:
        trends: of each unit, the earliest dry run first; all have the same dry runs.
        until: the last day that is drawn.
    """
    today = trends[0][-1].as_of
    paces = [pace(trend) or Pace(trend[-1].left, 0.0, 0.0, 0.0) for trend in trends]
    ends = (
        [found.days_to_zero(found.fast) for found in paces],
        [found.days_to_zero(found.middle) for found in paces],
        [found.days_to_zero(found.slow) for found in paces],
    )
    earliest, clean_on, latest = (_last(days, today) for days in ends)
    return Projection(clean_on, earliest, latest, _days(paces, today, until))


def stopped_since(trend: Sequence[TrendPoint]) -> dt.date | None:
    """Return the day since when the posts left of a unit have not decreased, if that is ``STOPPED_DAYS`` ago or more.

    None where they have, where none are left, and where the dry runs do not reach so far back.
    """
    points = [point for point in trend if point.same_rules]
    if not points or not points[-1].left:
        return None
    # Never below the lowest figure since the day on which it was first reached.
    lowest = min(points, key=lambda point: point.left)
    return lowest.as_of if (points[-1].as_of - lowest.as_of).days >= STOPPED_DAYS else None


def _last(days: Sequence[int | None], today: dt.date) -> dt.date | None:
    known = [number for number in days if number is not None]
    return today + dt.timedelta(days=max(known)) if known and len(known) == len(days) else None


def _days(paces: Sequence[Pace], today: dt.date, until: dt.date) -> tuple[Expected, ...]:
    whole = (until - today).days
    if whole <= 0 or all(found.now == 0 for found in paces):
        return ()
    steps = [*range(0, whole, _STEP_DAYS), whole]
    return tuple(
        Expected(
            today + dt.timedelta(days=days),
            round(sum(found.left_after(days, found.fast) for found in paces)),
            round(sum(found.left_after(days, found.middle) for found in paces)),
            round(sum(found.left_after(days, found.slow) for found in paces)),
        )
        for days in steps
    )
