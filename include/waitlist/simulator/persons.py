"""Identity numbers that can never belong to a real person.

The Swedish Tax Agency publishes personal numbers for testing as open data (CC0). The spans below
are part of that list, and no other number is used as a valid one. Every faulty number is one of these, changed so
that it is no longer a personnummer. The only other number is that of the test patient that every production system
has; the list has it as well.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

Days = npt.NDArray[np.datetime64]
Serials = npt.NDArray[np.int64]

_ADULT_SPAN: Final = ("1976-01-01", "2013-12-31")
_ADULT_GAPS: Final = (
    "1976-01-01", "1980-01-01", "1989-12-20", "1990-01-01", "1990-01-02", "1990-01-04", "1990-01-05",
    "1990-01-06", "1990-01-08", "1990-01-09", "1990-01-13", "2000-12-18", "2001-03-03", "2001-11-04",
    "2002-10-16", "2002-12-27", "2005-05-09", "2007-09-11", "2007-12-28", "2010-12-11", "2011-12-30",
)  # fmt: skip
_CHILD_SPANS: Final = (
    ("2018-01-01", "2018-09-24", 0),
    ("2018-09-25", "2019-12-31", 1),
    ("2020-01-01", "2020-04-19", 0),
    ("2021-12-31", "2022-07-11", 1),
    ("2022-09-03", "2022-12-31", 1),
    ("2023-01-01", "2023-03-07", 0),
    ("2023-03-09", "2024-12-31", 1),
)
"""First day, last day, and the remainder of (serial + ordinal of the day) after division by two."""
_ELDER_SPAN: Final = ("1890-12-22", "1894-12-31", 0)


class Identity(IntEnum):
    """The identity of a post's patient: an official test number, or one of these faults."""

    TRUE = 0
    MISSING = 1
    CHECK_DIGIT = 2
    NO_SUCH_DAY = 3
    NO_SUCH_MONTH = 4
    TOO_SHORT = 5
    TOO_LONG = 6
    NOT_YET_BORN = 7
    NO_CENTURY = 8
    PLUS_AFTER_CENTURY = 9
    FULL_WIDTH = 10
    INNER_SPACE = 11
    TWO_SIGNS = 12
    NEWLINE = 13
    TWO_CENTURIES_OLD = 14
    COORDINATION_CHECK_DIGIT = 15
    COORDINATION_DAY = 16
    COORDINATION = 17
    COORDINATION_DAY_UNKNOWN = 18
    NATIONAL_RESERVE = 19
    STOCKHOLM = 20
    VASTRA_GOTALAND = 21
    VARMLAND = 22
    SKANE = 23
    CARELINK = 24
    UNKNOWN_RESERVE = 25
    INTERIM = 26
    TEST_PERSON = 27


def _days(first: str, last: str) -> Days:
    return np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + np.timedelta64(1, "D"))


def _one_a_day(span: tuple[str, str, int], even_serial: int, odd_serial: int) -> tuple[Days, Serials]:
    days = _days(*span[:2])
    even_day = (days.astype(np.int64) + dt.date(1970, 1, 1).toordinal()) % 2 == 0
    return days, np.where(even_day == (span[2] == 0), even_serial, odd_serial)


def official() -> tuple[Days, Serials]:
    """Return every official test number that this generator may use, in order of birth.

    Returns:
        birth dates and three-digit serials, each shape (n,), about 30,000; the check digit follows
        from them (``digits``).
    """
    adult = np.setdiff1d(_days(*_ADULT_SPAN), np.array(_ADULT_GAPS, dtype="datetime64[D]"))
    parts = [
        _one_a_day(_ELDER_SPAN, 980, 981),
        (np.repeat(adult, 2), np.tile(np.array([238, 239]), len(adult))),
        *(_one_a_day(span, 238, 239) for span in _CHILD_SPANS),
    ]
    return np.concatenate([days for days, _ in parts]), np.concatenate([serials for _, serials in parts])


def check_digit(nine: str) -> str:
    """Return the Luhn digit over the nine digits that follow the century."""
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(nine))
    return str(-sum(value - 9 if value > 9 else value for value in doubled) % 10)


def digits(birth: np.datetime64, serial: int) -> str:
    """Return the twelve digits of a person."""
    date = str(birth).replace("-", "")
    return f"{date}{serial:03d}{check_digit(f'{date[2:]}{serial:03d}')}"


def written(twelve: str, as_of: dt.date, style: int) -> str:
    """Write a valid number in one of the ways of PMO's users.

    Args:
        twelve: the digits with the century.
        as_of: its year decides between ``-`` and ``+``.
        style: 0 ``ÅÅMMDD-XXXX``, 1 twelve digits, 2 twelve with a hyphen, 3 and 4 the first with outer spaces
            or a no-break space.
    """
    sign = "+" if as_of.year - int(twelve[:4]) >= 100 else "-"
    short = f"{twelve[2:8]}{sign}{twelve[8:]}"
    return (short, twelve, f"{twelve[:8]}-{twelve[8:]}", f" {short} ", f"{short}\u00a0")[style]


def is_short(number: str | None) -> bool:
    """Tell whether a number is written ``ÅÅMMDD-XXXX``, outer spaces aside."""
    return number is not None and re.fullmatch("[0-9]{6}-[0-9]{4}", number.strip()) is not None


def _numbered(head: str, last_three: str) -> str:
    return f"{head}-{last_three}{check_digit(head[-6:] + last_three)}"


def _day_moved(twelve: str, days: int) -> str:
    return f"{twelve[:6]}{int(twelve[6:8]) + days:02d}"


def _wrong_digit(number: str) -> str:
    return f"{number[:-1]}{(int(number[-1]) + 1) % 10}"


TEST_PERSON: Final = "201212121212"
"""Tolvan Tolvansson; ``121212-1212`` is read as this number."""

_BLANKS: Final = (None, "", "   ", "\u00a0")
_RESERVE_LETTERS: Final = "ABCDEFGHJKLMNPRSTUXYZ"
_INTERIM_LETTERS: Final = "TRSUWXJKLMN"

_FAULTS: Final[Mapping[Identity, Callable[[str, int], str | None]]] = {
    Identity.MISSING: lambda _, draw: _BLANKS[draw % len(_BLANKS)],
    Identity.CHECK_DIGIT: lambda n, draw: _wrong_digit(f"{n[2:8]}-{n[8:]}" if draw % 2 else n),
    Identity.NO_SUCH_DAY: lambda n, _: _numbered(f"{n[2:4]}0230", n[8:11]),
    Identity.NO_SUCH_MONTH: lambda n, _: _numbered(f"{n[:4]}13{n[6:8]}", n[8:11]),
    Identity.TOO_SHORT: lambda n, draw: n[:11] if draw % 2 else f"{n[2:8]}-{n[8:11]}",
    Identity.TOO_LONG: lambda n, draw: f"{n[2:8]}-{n[8:]}{draw % 10}",
    Identity.NO_CENTURY: lambda n, _: n[2:],
    Identity.PLUS_AFTER_CENTURY: lambda n, _: f"{n[:8]}+{n[8:]}",
    Identity.FULL_WIDTH: lambda n, _: "".join(chr(ord(digit) + 0xFEE0) for digit in n),
    Identity.INNER_SPACE: lambda n, draw: f"{n[:8]} {n[8:]}" if draw % 2 else f"{n[2:8]}- {n[8:]}",
    Identity.TWO_SIGNS: lambda n, _: f"{n[2:8]}--{n[8:]}",
    Identity.NEWLINE: lambda n, _: f"{n[:8]}-{n[8:]}\n",
    Identity.TWO_CENTURIES_OLD: lambda n, _: _numbered(f"17{n[2:8]}", n[8:11]),
    Identity.COORDINATION_CHECK_DIGIT: lambda n, _: _wrong_digit(_numbered(_day_moved(n, 60), n[8:11])),
    Identity.COORDINATION_DAY: lambda n, draw: _numbered(f"{n[:6]}{92 + draw % 8}", n[8:11]),
    Identity.COORDINATION: lambda n, draw: _numbered(_day_moved(n, 60)[2 * (draw % 2) :], n[8:11]),
    Identity.COORDINATION_DAY_UNKNOWN: lambda n, draw: _numbered(f"{n[:4]}{n[4:6] if draw % 2 else '00'}60", n[8:11]),
    Identity.NATIONAL_RESERVE: lambda n, draw: f"{n[:8]}{_letters(draw, 2)}{draw % 10}{draw // 10 % 10}",
    Identity.STOCKHOLM: lambda n, draw: f"99{n[:4]}{draw % 1_000_000:06d}",
    Identity.VASTRA_GOTALAND: lambda n, draw: f"{n[:8]}{'KMX'[draw % 3]}{draw % 1000:03d}",
    Identity.VARMLAND: lambda n, draw: f"{n[:8]}{'S123'[draw % 4]}{'FUXPL'[draw % 5]}{draw % 10}A",
    Identity.SKANE: lambda n, draw: f"{n[2 * (draw % 2) : 8]}-{'DEF'[draw % 3]}{_letters(draw, 1)}{draw % 2}B",
    Identity.CARELINK: lambda n, draw: _numbered(f"{n[:6]}{32 + draw % 28}", n[8:11]),
    Identity.UNKNOWN_RESERVE: lambda n, draw: f"{n[:8]}-{draw % 10}ZZ{draw // 10 % 10}",
    Identity.INTERIM: lambda n, draw: f"{n[2:8]}-{_INTERIM_LETTERS[draw % 11]}{n[9:12]}",
    Identity.TEST_PERSON: lambda _, draw: written(TEST_PERSON, dt.date(2024, 1, 1), draw % 4),
}


def _letters(draw: int, count: int) -> str:
    return "".join(_RESERVE_LETTERS[(draw + 7 * place) % len(_RESERVE_LETTERS)] for place in range(count))


def at_fault(fault: Identity, twelve: str, not_yet_born: str, draw: int) -> str | None:
    """Return a number with the given fault that belongs to no real person; one fault is the test patient's number.

    Args:
        fault: any except ``TRUE``.
        twelve: an official test number to start from.
        not_yet_born: an official test number whose birth is after the as-of date.
        draw: a random number; it decides between spellings.
    """
    if fault is Identity.NOT_YET_BORN:
        return f"{not_yet_born[2:8]}-{not_yet_born[8:]}" if draw % 2 else not_yet_born
    return _FAULTS[fault](twelve, draw)
