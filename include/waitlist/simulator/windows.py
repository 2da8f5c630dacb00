"""Booking windows, and when a post was registered, changed and closed.

Days are whole numbers since 1970-01-01, moments whole seconds since then, local and naive.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from waitlist.simulator.components import Anchor, Components, Dates, Life, Stamp
from waitlist.simulator.orders import CUTOFF_DAYS, PILOT_DAYS

Days = npt.NDArray[np.int64]
Moments = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]

LATE: Final = (
    Dates.LATE,
    Dates.LATE_FIRST_DAY,
    Dates.LATE_ONE_DAY,
    Dates.NO_FROM,
    Dates.NO_FORE,
    Dates.NEITHER,
    Dates.INVERTED,
)
"""Kinds whose real window, before any fault of writing, is after the cutoff."""
_EXPIRED: Final = (Dates.EXPIRED, Dates.EXPIRED_YESTERDAY, Dates.NO_FROM_EXPIRED, Dates.INVERTED_EXPIRED)
_STRADDLING: Final = (Dates.STRADDLING, Dates.STRADDLING_EDGE)
_BEFORE_GO_LIVE: Final = (Dates.BEFORE_GO_LIVE, Dates.BEFORE_GO_LIVE_LAST_DAY)
_DAY: Final = 86_400
_NO_DATES: Final = np.array(
    [
        None, "", "   ", "snarast", "v. 8", "efter påsk", "våren 2025", "2024-02-30", "2025-02-29", "2025-13-01",
        "2025-00-10", "0000-00-00", "2025-04-31 00:00:00", "31/1 2025", "2025-01-xx", "ring först",
    ],
    dtype=object,
)  # fmt: skip
_STAMPS: Final = {Stamp.MIDNIGHT: " 00:00:00", Stamp.AFTERNOON: " 13:45:00", Stamp.ISO: "T00:00:00"}


def booking_windows(random: np.random.Generator, parts: Components, as_of: int, cutoff: Days) -> tuple[Days, Days]:
    """Choose the real windows; missing and inverted dates are made only in writing.

    Args:
        random: the random generator.
        parts: components, shape (n,).
        as_of: the as-of day.
        cutoff: the last day of each post's unit that is not migrated, ``CUTOFF_DAYS`` after its go-live, shape (n,).

    Returns:
        first and last days, each shape (n,), in order.
    """
    count = len(cutoff)
    length = random.integers(7, 60, count)
    begins = cutoff + 1 + random.integers(0, 150, count)
    begins = np.where(parts.dates == Dates.LATE_FIRST_DAY, cutoff + 1, begins)
    ends = np.where(parts.dates == Dates.LATE_ONE_DAY, begins, begins + length)

    live_from = np.maximum(cutoff - CUTOFF_DAYS, as_of)
    before = parts.is_any("dates", *_BEFORE_GO_LIVE) & (live_from > as_of)
    first, last = np.where(before, as_of, live_from), np.where(before, live_from - 1, cutoff)
    past_end = first + (random.random(count) * (last - first + 1)).astype(np.int64)
    past_end = np.where(parts.is_any("dates", Dates.BEFORE_GO_LIVE_LAST_DAY, Dates.WITHIN_LAST_DAY), last, past_end)
    past_end = np.where(parts.dates == Dates.WITHIN_FIRST_DAY, live_from, past_end)
    past_end = np.where(parts.dates == Dates.TODAY, as_of, past_end)
    past_end = np.where(parts.is_any("dates", *_EXPIRED), as_of - 1 - random.integers(0, 180, count), past_end)
    past_end = np.where(parts.dates == Dates.EXPIRED_YESTERDAY, as_of - 1, past_end)
    past = ~parts.is_any("dates", *LATE, *_STRADDLING)
    begins, ends = np.where(past, past_end - length, begins), np.where(past, past_end, ends)

    early, late = random.integers(0, 25, count), random.integers(0, 40, count)
    edge = parts.dates == Dates.STRADDLING_EDGE
    straddling = parts.is_any("dates", *_STRADDLING)
    begins = np.where(straddling, cutoff - np.where(edge, 0, early), begins)
    ends = np.where(straddling, cutoff + 1 + np.where(edge, 0, late), ends)

    anchor = np.where(parts.anchor == Anchor.CUTOFF, cutoff + 1, as_of)
    by_hand = parts.anchor != Anchor.NONE
    return np.where(by_hand, anchor + parts.first, begins), np.where(by_hand, anchor + parts.last, ends)


def written_windows(random: np.random.Generator, parts: Components, begins: Days, ends: Days) -> tuple[Texts, Texts]:
    """Write Boka fr.o.m. and Boka före: inverted, missing or with a time where this is planted."""
    inverted = parts.is_any("dates", Dates.INVERTED, Dates.INVERTED_EXPIRED)
    no_from = parts.is_any("dates", Dates.NO_FROM, Dates.NEITHER, Dates.NO_FROM_EXPIRED)
    no_fore = parts.is_any("dates", Dates.NO_FORE, Dates.NEITHER)
    return (
        _written(random, parts, np.where(inverted, ends, begins), no_from),
        _written(random, parts, np.where(inverted, begins, ends), no_fore),
    )


def _written(random: np.random.Generator, parts: Components, days: Days, missing: npt.NDArray[np.bool_]) -> Texts:
    text = np.datetime_as_string(days.astype("datetime64[D]")).astype(object)
    for stamp, suffix in _STAMPS.items():
        text[parts.stamp == stamp] += suffix
    text[missing] = _NO_DATES[random.integers(0, len(_NO_DATES), len(days))][missing]
    return np.asarray(text)


def life_times(
    random: np.random.Generator, parts: Components, as_of: int, birth: npt.NDArray[np.datetime64], begins: Days
) -> tuple[Moments, Moments, Moments]:
    """Choose when each post was registered, last changed and closed; -1 means not closed.

    An expired window had not begun when it was registered, and a child was born.
    """
    count = len(birth)
    moment = (as_of + 1) * _DAY
    day = as_of - (730 * random.random(count) ** 2).astype(np.int64)
    day = np.minimum(day, np.where(parts.is_any("dates", *_EXPIRED), begins - 7, as_of))
    day = np.maximum(day, np.minimum(birth.astype(np.int64) + 1, as_of))
    pilot = as_of - PILOT_DAYS - 7 - random.integers(0, 200, count)
    day = np.where(parts.life == Life.PILOT, pilot, day)
    day = np.where(parts.life == Life.REGISTERED_LATER, as_of + 1 + random.integers(0, 20, count), day)
    registered = day * _DAY + random.integers(7 * 3600, 17 * 3600, count)
    registered = np.where(parts.life == Life.LAST_SECOND, moment - 1, registered)
    registered = np.where(parts.life == Life.REGISTERED_AT_MOMENT, moment, registered)

    left = moment - 1 - registered
    until_now = (left * random.random(count) ** 2).astype(np.int64)
    changed = registered + np.where(left > 0, until_now, random.integers(0, 3600, count))
    changed = np.where(parts.life == Life.LAST_SECOND, registered, changed)
    closed = np.full(count, -1)
    closed = np.where(parts.life == Life.CLOSED, changed, closed)
    closed = np.where(parts.life == Life.CLOSED_LAST_SECOND, moment - 1, closed)
    closed = np.where(parts.life == Life.CLOSED_AT_MOMENT, moment, closed)
    closed = np.where(parts.life == Life.CLOSED_LATER, moment + random.integers(0, 20 * _DAY, count), closed)
    return registered, np.maximum(changed, closed), closed
