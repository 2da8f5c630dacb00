"""Booking dates and ages on whole columns.

A booking date reaches us as text (contract 1): ISO ``2025-01-20``, or a timestamp whose date counts. What
is not exactly that is no date; nothing is guessed and no day rolls over into the next month. Days are
``datetime64[D]``, "no date" is NaT.
"""

import datetime as dt
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.columns import byte_matrix
from waitlist.texts import matches

STOCKHOLM: Final = ZoneInfo("Europe/Stockholm")
"""The zone of PMO's moments, which are naive, and of every date that a run is as of."""

Days: TypeAlias = npt.NDArray[np.datetime64]

_LENGTH: Final = len("2025-01-20")
_TIMESTAMP: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?\z"
_DIGITS: Final = np.array([0, 1, 2, 3, 5, 6, 8, 9])
_HYPHENS: Final = np.array([4, 7])
_DAYS_IN_MONTH: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def parse(column: pa.StringArray) -> Days:
    """Read ISO dates and timestamps; outer spaces (a padded CHAR column) are allowed.

    Args:
        column: texts, shape (n,).

    Returns:
        days, shape (n,); NaT for null, empty and whatever is no date.
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    # Many posts share few dates: each is read once, and null once for all.
    encoded = whole.dictionary_encode(null_encoding="encode")
    return np.asarray(_parse(encoded.dictionary)[encoded.indices.to_numpy()])


def _parse(column: pa.StringArray) -> Days:
    text = pc.utf8_trim(column, " ")
    letters, lengths = byte_matrix(text, _LENGTH)
    dated = lengths == _LENGTH
    if (lengths > _LENGTH).any():
        dated |= matches(text, _TIMESTAMP)
    digits = letters[:, _DIGITS].astype(np.int64) - ord("0")
    dated &= ((digits >= 0) & (digits <= 9)).all(axis=1) & (letters[:, _HYPHENS] == ord("-")).all(axis=1)
    digits[~dated] = 0
    year = digits[:, :4] @ np.array([1000, 100, 10, 1])
    month = digits[:, 4] * 10 + digits[:, 5]
    day = digits[:, 6] * 10 + digits[:, 7]
    dated &= (year >= 1) & (month >= 1) & (month <= 12)
    month[~dated] = 0
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    dated &= (day >= 1) & (day <= _DAYS_IN_MONTH[month] + (leap & (month == 2)))
    days = np.full(len(column), "NaT", dtype="datetime64[D]")
    months = ((year - 1970) * 12 + month - 1)[dated].astype("datetime64[M]")
    days[dated] = months.astype("datetime64[D]") + (day[dated] - 1)
    return days


def day(date: dt.date | None) -> np.datetime64:
    """Return a date as a day, None as NaT."""
    return np.datetime64(date, "D") if date is not None else np.datetime64("NaT", "D")


def age_in_months(birth: Days, on: Days) -> npt.NDArray[np.int64]:
    """Count whole months of age; a month is complete when its day number is reached (domain, AGE_MISMATCH).

    Args:
        birth: birth dates, shape (n,), none NaT.
        on: the days at which the age is asked, shape (n,), none NaT.

    Returns:
        months, shape (n,); negative before the birth.
    """
    birth_month = birth.astype("datetime64[M]")
    on_month = on.astype("datetime64[M]")
    incomplete = (on - on_month.astype("datetime64[D]")) < (birth - birth_month.astype("datetime64[D]"))
    return np.asarray(on_month.astype(np.int64) - birth_month.astype(np.int64) - incomplete, dtype=np.int64)
