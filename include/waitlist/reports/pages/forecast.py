"""Forecasts when a unit will have no posts left to handle, at the pace of the last weeks.

The pace is the Theil-Sen slope: the median of the slopes between every two dry runs of the last ``WINDOW_DAYS``. A
single unusual day, when a whole list was registered or a night read wrong figures, changes it less than it would
change a mean. The forecast is the date when the posts left in the latest run reach 0 at that pace. It assumes that the
pace continues, and says nothing about staff who have not begun yet.
"""

import datetime as dt
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

WINDOW_DAYS: Final = 28
"""How far back the pace is measured, in days before the latest dry run."""
FEWEST_RUNS: Final = 3
FEWEST_DAYS: Final = 7
"""The shortest time between the first and the last run; over less, no pace is calculated."""
FARTHEST_DAYS: Final = 3 * 366
"""A later date than this is not shown: the pace is too slow to mean anything."""
_DIGITS: Final = 9


class Outlook(StrEnum):
    """The kind of forecast that is possible."""

    CLEAN = "clean"
    """No posts are left."""
    DATE = "date"
    """The forecast is a date."""
    NO_DECREASE = "no_decrease"
    """The posts left do not decrease, or only very slowly."""
    TOO_SHORT = "too_short"
    """There are too few dry runs for a forecast."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast for some posts."""

    outlook: Outlook
    clean_on: dt.date | None
    """The date when no posts are left; only with ``Outlook.DATE``."""
    per_week: float | None
    """By how many posts a week the posts left decrease, negative when they increase; None where there is no pace."""


def forecast(left: Sequence[tuple[dt.date, int]]) -> Forecast:
    """Forecast when no posts are left.

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
    return float(np.median(slopes(tuple(day.toordinal() for day, _ in points), [count for _, count in points])))


def slopes(days: tuple[int, ...], counts: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return the slopes between every two of some days, as the change of a count a day."""
    earlier, later, apart = _pairs(days)
    figures = np.array(counts, dtype=np.float64)
    return (figures[later] - figures[earlier]) / apart


@functools.lru_cache(maxsize=8)
def _pairs(days: tuple[int, ...]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return every two of some days, by their places, and how far they are apart: all units of a page have the same."""
    earlier, later = np.triu_indices(len(days), k=1)
    ordinals = np.array(days, dtype=np.float64)
    return earlier, later, ordinals[later] - ordinals[earlier]
