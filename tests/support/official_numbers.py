"""Personnummer that the Swedish Tax Agency publishes for tests: the only valid ones that a test may hold.

Rules that stay inside the published list: births 1976-2013 have the serials 238 and 239 but for a few days, and
births from 1890-12-22 to 1894-12-31 one of 980 and 981.
"""

import datetime as dt

from hypothesis import strategies as st

_NOT_PUBLISHED = """
    1976-01-01 1980-01-01 1989-12-20 1990-01-01 1990-01-02 1990-01-04 1990-01-05 1990-01-06 1990-01-08 1990-01-09
    1990-01-13 2000-12-18 2001-03-03 2001-11-04 2002-10-16 2002-12-27 2005-05-09 2007-09-11 2007-12-28 2010-12-11
    2011-12-30
"""


def check_digit(nine_digits: str) -> int:
    """Luhn's check digit, as the Tax Agency's brochure explains it."""
    products = "".join(str(int(digit) * (2, 1)[place % 2]) for place, digit in enumerate(nine_digits))
    return -sum(map(int, products)) % 10


def with_check_digit(digits: str) -> str:
    """Add the last digit to a number, with or without its century."""
    return digits + str(check_digit(digits[-9:]))


def number(birth: dt.date, serial: int) -> str:
    """Return the twelve digits of a published number of someone born 1976-2013."""
    assert 1976 <= birth.year <= 2013
    assert birth.isoformat() not in _NOT_PUBLISHED
    assert serial in {238, 239}
    return with_check_digit(f"{birth:%Y%m%d}{serial}")


def old_number(birth: dt.date) -> str:
    """Return the twelve digits of a published number of someone born 1890-1894."""
    assert dt.date(1890, 12, 22) <= birth <= dt.date(1894, 12, 31)
    return with_check_digit(f"{birth:%Y%m%d}{980 + birth.toordinal() % 2}")


def numbers() -> st.SearchStrategy[str]:
    """Any published number of someone born 1976-2013."""
    births = st.dates(dt.date(1976, 1, 1), dt.date(2013, 12, 31))
    published = births.filter(lambda day: day.isoformat() not in _NOT_PUBLISHED)
    return st.builds(number, published, st.sampled_from([238, 239]))


def old_numbers() -> st.SearchStrategy[str]:
    """Any published number of someone born 1890-1894."""
    return st.builds(old_number, st.dates(dt.date(1890, 12, 22), dt.date(1894, 12, 31)))
