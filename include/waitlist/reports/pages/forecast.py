"""When a unit has nothing left to handle, at the pace of the last weeks.

The pace is the Theil-Sen slope: the median of the slopes between every two dry runs of the last ``WINDOW_DAYS``. A
day on which a whole list was registered, or a night that read something odd, does not move it as it would move a mean.
From what is left by the latest run the pace is followed down to nothing. So it is an answer to "if it goes on like
this", and never one to "what if they begin tomorrow".
"""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

WINDOW_DAYS: Final = 28
"""How far back the pace is measured, in days before the latest dry run."""
FEWEST_RUNS: Final = 3
FEWEST_DAYS: Final = 7
"""What the runs must span; less is no pace."""
FARTHEST_DAYS: Final = 3 * 366
"""A date beyond is none: at such a pace nothing happens."""
_DIGITS: Final = 9


class Outlook(StrEnum):
    """What can be said of the future."""

    CLEAN = "clean"
    """Nothing is left."""
    DATE = "date"
    """There is a date."""
    NO_DECREASE = "no_decrease"
    """What is left does not become less, or so slowly that it comes to the same."""
    TOO_SHORT = "too_short"
    """There are too few dry runs to tell."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """When nothing is left."""

    outlook: Outlook
    clean_on: dt.date | None
    """With ``Outlook.DATE`` alone."""
    per_week: float | None
    """Posts fewer a week, negative when they become more; None where there is no pace."""


def forecast(left: Sequence[tuple[dt.date, int]]) -> Forecast:
    """Look ahead.

    Args:
        left: posts left to handle by as-of date, the earliest first, each date once; the last is now.
    """
    if not left:
        return Forecast(Outlook.TOO_SHORT, None, None)
    today, now = left[-1]
    recent = [(day, count) for day, count in left if (today - day).days <= WINDOW_DAYS]
    enough = len(recent) >= FEWEST_RUNS and (today - recent[0][0]).days >= FEWEST_DAYS
    a_day = _slope(recent) if enough else None
    per_week = None if a_day is None else round(-7 * a_day, 1) + 0.0
    if now == 0:
        return Forecast(Outlook.CLEAN, None, per_week)
    if a_day is None:
        return Forecast(Outlook.TOO_SHORT, None, None)
    days = math.ceil(round(now / -a_day, _DIGITS)) if a_day < 0 else math.inf
    if days > FARTHEST_DAYS:
        return Forecast(Outlook.NO_DECREASE, None, per_week)
    return Forecast(Outlook.DATE, today + dt.timedelta(days=int(days)), per_week)


def _slope(points: Sequence[tuple[dt.date, int]]) -> float:
    days = np.array([day.toordinal() for day, _ in points], dtype=np.float64)
    counts = np.array([count for _, count in points], dtype=np.float64)
    earlier, later = np.triu_indices(len(points), k=1)
    return float(np.median((counts[later] - counts[earlier]) / (days[later] - days[earlier])))
