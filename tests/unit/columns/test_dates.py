import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist.columns import dates


def parsed(text: str | None) -> dt.date | None:
    return dates.parse(pa.array([text], pa.string())).tolist()[0]


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-20",
        " 2025-01-20 ",
        "2025-01-20 00:00:00",
        "2025-01-20T23:59",
        "2025-01-20 07:15:00.123456",
    ],
)
def test_a_date_or_a_timestamp_gives_its_date(text: str) -> None:
    assert parsed(text) == dt.date(2025, 1, 20)


@pytest.mark.parametrize(
    "text",
    [
        None, "", "   ", "snarast", "2025-02-29", "2025-02-30", "2025-13-01", "2025-00-10", "2025-01-00",
        "2025-1-2", "20250120", "0000-01-01", "2025-01-20 25:00", "2025-01-20 7:15", "2025-01-20x",
        "2025-01-20+01:00", "2025-01-20Z", "2025-01-20 +01:00", "2025-01-20T23:30:00+15:00",
        "2025-01-20T23:30:00+14:30", "2025-01-20T23:30:00+1", "2025-01-20T23:30:00+01:60", "2025-01-20T23:30:00z",
        "2025-01-20T23:30:00  Z", "2025-01-20T23:30:00 UTC", "2025-01-20T23:30:00+0100:00", "2025-02-30T10:00:00Z",
        "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2025-01-20T23:30:00Z\n",
        "2025-01-20\n", "２０２５-01-20", "2025/01/20", "20-01-2025", "2025-01-20 00:00:00\n", "+025-01-20",
    ],
)  # fmt: skip
def test_anything_else_is_no_date_and_never_another_date(text: str | None) -> None:
    assert parsed(text) is None


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024-11-05T23:30:00+00:00", dt.date(2024, 11, 6)),
        ("2024-11-05T22:59:59.999999Z", dt.date(2024, 11, 5)),
        ("2024-11-05T23:00Z", dt.date(2024, 11, 6)),
        ("2024-07-05T21:59:59Z", dt.date(2024, 7, 5)),
        ("2024-07-05T22:00:00Z", dt.date(2024, 7, 6)),
        ("2024-11-06T00:30:00+01:00", dt.date(2024, 11, 6)),
        ("2024-11-06T00:30:00+0200", dt.date(2024, 11, 5)),
        ("2024-11-05 18:29:59-05", dt.date(2024, 11, 6)),
        ("2024-11-05 23:30:00.0000000 +00:00", dt.date(2024, 11, 6)),
        ("2024-03-31T00:59:59Z", dt.date(2024, 3, 31)),
        ("2024-10-27T00:30:00+05:30", dt.date(2024, 10, 26)),
        ("2024-12-31T23:30:00Z", dt.date(2025, 1, 1)),
        ("2025-01-01T13:59:00+14:00", dt.date(2025, 1, 1)),
        ("0001-01-01T00:00:00Z", dt.date(1, 1, 1)),
        ("9999-12-31T22:59:00Z", dt.date(9999, 12, 31)),
    ],
)
def test_of_an_instant_the_date_in_stockholm_counts(text: str, date: dt.date) -> None:
    assert parsed(text) == date
    assert parsed(f" {text} ") == date


@given(st.datetimes(dt.datetime.fromisoformat("1900-01-01")), st.integers(-14 * 60, 14 * 60))
def test_an_instant_agrees_with_the_standard_library(local: dt.datetime, offset: int) -> None:
    instant = local.replace(tzinfo=dt.timezone(dt.timedelta(minutes=offset)))

    assert parsed(instant.isoformat()) == instant.astimezone(dates.STOCKHOLM).date()


@given(st.dates())
def test_every_date_that_there_is_comes_back(date: dt.date) -> None:
    assert parsed(date.isoformat()) == date


@given(st.text(max_size=12) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", fullmatch=True))
def test_agrees_with_the_standard_library_on_ten_characters(text: str) -> None:
    try:
        expected = (
            dt.date.fromisoformat(text) if len(text) == 10 and text[4] == text[7] == "-" and text.isascii() else None
        )
    except ValueError:
        expected = None
    assert parsed(text.strip(" ")) == expected or parsed(text) == expected


def age(birth: dt.date, on: dt.date) -> int:
    return int(dates.age_in_months(np.array([dates.day(birth)]), np.array([dates.day(on)]))[0])


@pytest.mark.parametrize(
    ("birth", "on", "months"),
    [
        (dt.date(2024, 1, 15), dt.date(2024, 2, 14), 0),
        (dt.date(2024, 1, 15), dt.date(2024, 2, 15), 1),
        (dt.date(2024, 1, 31), dt.date(2024, 2, 29), 0),
        (dt.date(2024, 1, 31), dt.date(2024, 3, 31), 2),
        (dt.date(2022, 6, 1), dt.date(2024, 12, 1), 30),
        (dt.date(2024, 12, 1), dt.date(2024, 11, 30), -1),
    ],
)
def test_a_month_of_age_is_complete_when_its_day_number_is_reached(birth: dt.date, on: dt.date, months: int) -> None:
    assert age(birth, on) == months
