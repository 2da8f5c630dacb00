"""Booking dates and ages on whole columns.

PMO's query returns a booking date as text (contract 1): an ISO date such as ``2025-01-20``, or a timestamp. Only the
date of a timestamp counts; it is the date in Stockholm if the timestamp has an offset. Any other text is not a date:
nothing is guessed, and no day rolls over into the next month. Days are ``datetime64[D]``; "no date" is NaT.
"""

import datetime as dt
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.columns.buffers import byte_matrix
from waitlist.columns.texts import matches

STOCKHOLM: Final = ZoneInfo("Europe/Stockholm")
"""The time zone of PMO's timestamps, which are naive, and of every as-of date."""

Days: TypeAlias = npt.NDArray[np.datetime64]

_LENGTH: Final = len("2025-01-20")
_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?"
# SQL Server puts a space before the offset, PostgreSQL leaves its minutes out. No zone is more than 14 hours from UTC.
_OFFSET: Final = r" ?(?:Z|[+-](?:0[0-9]|1[0-3])(?::?[0-5][0-9])?|[+-]14(?::?00)?)"
_TIMESTAMP: Final = rf"{_TIME}(?:{_OFFSET})?\z"
_INSTANT: Final = rf"{_TIME}{_OFFSET}\z"
_CLOCK: Final = (
    r"^.{11}(?P<hour>..):(?P<minute>..)[^ Z+-]*"
    r" ?(?:Z|(?P<sign>[+-])(?P<hours>..):?(?P<minutes>..)?)\z"
)
_MINUTES_OF_A_DAY: Final = 24 * 60
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# First and last hour since 1970 for which Python can compute the local time in Stockholm.
_FIRST_HOUR: Final = (dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH) // dt.timedelta(hours=1)
_LAST_HOUR: Final = (dt.datetime.max.replace(tzinfo=dt.UTC) - _EPOCH) // dt.timedelta(hours=1) - 2
_FIRST_DAY: Final = np.datetime64("0001-01-01")
_LAST_DAY: Final = np.datetime64("9999-12-31")
_DIGITS: Final = np.array([0, 1, 2, 3, 5, 6, 8, 9])
_HYPHENS: Final = np.array([4, 7])
_DAYS_IN_MONTH: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def parse(column: pa.StringArray) -> Days:
    """Read ISO dates and timestamps; outer spaces (a padded CHAR column) are allowed.

    A timestamp with an offset gives its date in Stockholm; a timestamp without an offset gives its date as written.

    Args:
        column: texts, shape (n,).

    Returns:
        days, shape (n,); NaT for null, for an empty text and for a text that is not a date.
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    # Many posts share few dates: each distinct text, null included, is parsed once.
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
    days[dated] = months.astype("datetime64[D]") + (day[dated] - 1).astype("timedelta64[D]")
    if (lengths[dated] > _LENGTH).any():
        instants = dated & matches(text, _INSTANT)
        days[instants] = _in_stockholm(days[instants], text.filter(pa.array(instants)))
    return days


def _in_stockholm(days: Days, text: pa.StringArray) -> Days:
    """Return the dates in Stockholm of timestamps with an offset; NaT outside the years 1 to 9999.

    Args:
        days: their dates as written.
        text: the timestamps.
    """
    clock = pc.extract_regex(text, _CLOCK)

    def number(name: str) -> npt.NDArray[np.int64]:
        digits = pc.struct_field(clock, name)
        return np.asarray(pc.if_else(pc.equal(digits, ""), "0", digits).cast(pa.int64()).to_numpy())

    ahead = number("hours") * 60 + number("minutes")
    west = np.asarray(pc.equal(pc.struct_field(clock, "sign"), "-").to_numpy(zero_copy_only=False))
    minutes = days.astype(np.int64) * _MINUTES_OF_A_DAY + number("hour") * 60 + number("minute")
    minutes -= np.where(west, -ahead, ahead)
    # Stockholm's offset from UTC changes only on the hour, so it is computed once for each distinct hour.
    hours, place = np.unique(np.clip(minutes // 60, _FIRST_HOUR, _LAST_HOUR), return_inverse=True)
    ahead_there = np.array([_stockholm_minutes(int(hour)) for hour in hours], dtype=np.int64)
    there = ((minutes + ahead_there[place]) // _MINUTES_OF_A_DAY).astype("datetime64[D]")
    there[(there < _FIRST_DAY) | (there > _LAST_DAY)] = np.datetime64("NaT", "D")
    return there


def day_in_stockholm(moment: dt.datetime) -> dt.date:
    """Return the day that a moment, aware, has in Stockholm.

    Raises:
        OverflowError: no day there can be written.
    """
    return moment.astimezone(STOCKHOLM).date()


def _stockholm_minutes(hour: int) -> int:
    """Return how many minutes Stockholm is ahead of UTC in an hour since 1970."""
    offset = (_EPOCH + dt.timedelta(hours=hour)).astimezone(STOCKHOLM).utcoffset()
    return 0 if offset is None else offset // dt.timedelta(minutes=1)


def day(date: dt.date | None) -> np.datetime64:
    """Return a date as a day, None as NaT."""
    return np.datetime64(date, "D") if date is not None else np.datetime64("NaT", "D")


def age_in_months(birth: Days, on: Days) -> npt.NDArray[np.int64]:
    """Count whole months of age; a month is complete when its day number is reached (domain, AGE_MISMATCH).

    Args:
        birth: birth dates, shape (n,), without NaT.
        on: the days on which the age is counted, shape (n,), without NaT.

    Returns:
        months, shape (n,); negative before the birth.
    """
    birth_month = birth.astype("datetime64[M]")
    on_month = on.astype("datetime64[M]")
    incomplete = (on - on_month.astype("datetime64[D]")) < (birth - birth_month.astype("datetime64[D]"))
    return np.asarray(on_month.astype(np.int64) - birth_month.astype(np.int64) - incomplete, dtype=np.int64)
