import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist import dates


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
        "2025-01-20\n", "２０２５-01-20", "2025/01/20", "20-01-2025", "2025-01-20 00:00:00\n", "+025-01-20",
    ],
)  # fmt: skip
def test_anything_else_is_no_date_and_never_another_date(text: str | None) -> None:
    assert parsed(text) is None


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
