"""Classify patients' numbers (chapters 1, 2 and 5), a whole column at a time.

Only a post with a personnummer is migrated; staff handle all others by hand. Outer spaces and no-break spaces of a
number are trimmed. Then these rules are tried in order, and the first that applies decides:

0. the shape is 6 or 8 digits, an optional ``-`` or ``+``, then four digits or letters, all ASCII;
1. a letter among the last four: an interim number, else a reserve number;
2. six digits without a sign (the century is unknown), or eight digits with ``+``: invalid;
3. eight digits that begin with 99, or day 32-59: a reserve number that has only digits;
4. day 60 or more: a samordningsnummer up to day 91, with a birth number and the right check digit, else invalid;
5. no such date, a birth after the as-of date or before the year Y-199, no birth number, a wrong check digit: invalid;
6. personnummer.

The birth number is the three digits before the check digit: 001-999, so ``000`` is not a birth number.

``Y`` is the year of the as-of date. By the population registration act the sign is ``+`` from the year in which a
person turns 100: ``-`` means a birth year in Y-99..Y, ``+`` one in Y-199..Y-100. Eight digits include the century.
"""

import datetime as dt
import string
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.columns.buffers import TextColumn, byte_matrix
from waitlist.columns.texts import matches
from waitlist.facts.mappings import ReserveNumber

Bytes: TypeAlias = npt.NDArray[np.uint8]
Numbers: TypeAlias = npt.NDArray[np.int16]
Mask: TypeAlias = npt.NDArray[np.bool_]

_SPACES: Final = " \u00a0\u2007\u202f"
_SHAPES: Final = {10: (6, False), 11: (6, True), 12: (8, False), 13: (8, True)}
"""Length to the count of digits before the last four, and whether a sign stands between them."""
_LONGEST: Final = max(_SHAPES)
_SHORT_WITH_SIGN: Final = 11
_YEARS: Final = 200
"""How many birth years a number can have: Y-199..Y."""


def _is_one_of(characters: str) -> Mask:
    return np.isin(np.arange(256), list(characters.encode()))


_LETTER: Final = _is_one_of(string.ascii_letters)
_SIGN: Final = _is_one_of("-+")
_INTERIM: Final = _is_one_of("TRSUWXJKLMN" + "trsuwxjklmn")
_NO_SIGN: Final = str.maketrans("", "", "-+")
_DOUBLED: Final = np.array([2 * digit // 10 + 2 * digit % 10 for digit in range(256)], np.uint8)
"""Digit sum of a doubled digit, for the Luhn algorithm; bytes that are not digits are masked elsewhere."""


class Kind(IntEnum):
    """The kinds of numbers; ``Identities.kind`` has these values."""

    MISSING = 0
    PERSONNUMMER = 1
    SAMORDNINGSNUMMER = 2
    RESERVNUMMER = 3
    INTERIMSNUMMER = 4
    INVALID = 5


@dataclass(frozen=True)
class Identities:
    """The classified numbers of a column; each array has shape (n,) and the column's order."""

    kind: npt.NDArray[np.uint8]
    """Values of ``Kind``."""
    person_id: pa.StringArray
    """``ÅÅÅÅMMDDXXXX`` for a personnummer, else null (chapter 6, Person-ID)."""
    birth_date: npt.NDArray[np.datetime64]
    """Birth date of a personnummer as a day, else NaT."""
    reserve_name: pa.StringArray
    """The likely format of a reserve number, null if it matches no known format."""
    of_this_century_by_sign: Mask
    """Ten digits with ``-``: only the sign distinguishes a child from a person who is a hundred years older."""


def classify(numbers: TextColumn, as_of: dt.date, reserve_numbers: Sequence[ReserveNumber]) -> Identities:
    """Classify each number of a column.

    Args:
        numbers: texts as the source wrote them, shape (n,); null means that there is no number.
        as_of: the as-of date; it decides the century, and which births are in the future.
        reserve_numbers: known reserve formats; they overlap, so the first that matches is the likely one.
    """
    matrix, lengths = byte_matrix(pc.utf8_trim(numbers, _SPACES), _LONGEST)
    births = _Births.up_to(as_of)
    kind = np.where(lengths > 0, np.uint8(Kind.INVALID), np.uint8(Kind.MISSING))
    person_id = np.zeros((len(kind), 12), np.uint8)
    birth_date = np.full(len(kind), "NaT", "datetime64[D]")
    for length, (head, signed) in _SHAPES.items():
        of_shape = lengths == length
        if of_shape.any():
            rows = slice(None) if of_shape.all() else np.flatnonzero(of_shape)
            kind[rows], person_id[rows], birth_date[rows] = _classify_shape(
                matrix[rows, :length], head, births, signed=signed
            )
    birth_date[kind != Kind.PERSONNUMMER] = np.datetime64("NaT", "D")
    return Identities(
        kind,
        _fixed_width_texts(person_id, kind == Kind.PERSONNUMMER),
        birth_date,
        _likely_formats(matrix, kind == Kind.RESERVNUMMER, reserve_numbers),
        (lengths == _SHORT_WITH_SIGN) & (matrix[:, 6] == ord("-")),
    )


@dataclass(frozen=True)
class _Births:
    """The months of every birth year that a number can have, from January of Y-199 to December of Y."""

    as_of: np.datetime64
    year: int
    first_days: npt.NDArray[np.datetime64]
    lengths: npt.NDArray[np.int64]

    @classmethod
    def up_to(cls, as_of: dt.date) -> Self:
        january = np.datetime64(as_of, "Y").astype("datetime64[M]")
        first_days = (january + np.arange(-12 * (_YEARS - 1), 13).astype("timedelta64[M]")).astype("datetime64[D]")
        return cls(np.datetime64(as_of, "D"), as_of.year, first_days[:-1], np.diff(first_days).astype(np.int64))

    def dates(self, year: Numbers, month: Numbers, day: Numbers) -> npt.NDArray[np.datetime64]:
        """Return births as days; NaT where there is no such date, or the as-of date does not allow it."""
        known = (year > self.year - _YEARS) & (year <= self.year) & (month >= 1) & (month <= 12)
        index = np.where(known, (year - (self.year - _YEARS + 1)) * 12 + month - 1, 0)
        births: npt.NDArray[np.datetime64] = self.first_days[index] + (day - 1).astype("timedelta64[D]")
        known &= (day >= 1) & (day <= self.lengths[index]) & (births <= self.as_of)
        births[~known] = np.datetime64("NaT", "D")
        return births


def _classify_shape(
    numbers: Bytes, head: int, births: _Births, *, signed: bool
) -> tuple[npt.NDArray[np.uint8], Bytes, npt.NDArray[np.datetime64]]:
    """Classify numbers of one shape, so that each position means the same in all of them.

    Args:
        numbers: shape (n, length).
        head: digits before the sign or the last four, 6 or 8.
        births: births that the as-of date allows.
        signed: whether a sign follows them.

    Returns:
        Kinds; Person-ID of shape (n, 12) and birth date, both valid only for a personnummer.
    """
    characters = np.ascontiguousarray(numbers.T)
    digits = characters - np.uint8(ord("0"))
    is_digit = digits <= 9
    letter = _LETTER[characters[-4:]]
    shaped = is_digit[:head].all(axis=0) & (is_digit[-4:] | letter).all(axis=0)
    plus = np.zeros(len(numbers), np.bool_)
    if signed:
        shaped &= _SIGN[characters[head]]
        plus = characters[head] == ord("+")

    date = digits[head - 6 : head].astype(np.int16)
    year, month, day = date[0::2] * 10 + date[1::2]
    reserve_day = (day >= 32) & (day <= 59)
    if head == 8:
        century = digits[0] * np.int16(10) + digits[1]
        year = century * np.int16(100) + year
        unclear = plus
        digit_reserve = reserve_day | (century == 99)
    else:
        year = births.year - (births.year - year) % 100 - plus * np.int16(100)
        century = year // np.int16(100)
        unclear = np.full(len(numbers), not signed)
        digit_reserve = reserve_day
    checked = _luhn(digits[head - 6 : head], digits[-4:]) & digits[-4:-1].any(axis=0)
    birth_date = births.dates(year, month, day)

    kind = np.select(
        [
            ~shaped,
            _INTERIM[characters[-4]] & is_digit[-3:].all(axis=0),
            letter.any(axis=0),
            unclear,
            digit_reserve,
            day >= 60,
            np.isnat(birth_date) | ~checked,
        ],
        [
            np.uint8(Kind.INVALID),
            np.uint8(Kind.INTERIMSNUMMER),
            np.uint8(Kind.RESERVNUMMER),
            np.uint8(Kind.INVALID),
            np.uint8(Kind.RESERVNUMMER),
            np.where((day <= 91) & checked, np.uint8(Kind.SAMORDNINGSNUMMER), np.uint8(Kind.INVALID)),
            np.uint8(Kind.INVALID),
        ],
        np.uint8(Kind.PERSONNUMMER),
    )
    century_digits = (np.stack([century // 10, century % 10]) + ord("0")).astype(np.uint8)
    person_id = np.concatenate([century_digits, characters[head - 6 : head], characters[-4:]]).T
    return kind, person_id, birth_date


def _luhn(date: Bytes, last_four: Bytes) -> Mask:
    """Return whether the last digit is the check digit of the nine before it; the century is not included."""
    total = np.zeros(date.shape[1], np.uint8)
    for digits in (date, last_four):
        total += _DOUBLED[digits[0::2]].sum(axis=0, dtype=np.uint8) + digits[1::2].sum(axis=0, dtype=np.uint8)
    return np.equal(total % 10, 0)


def _fixed_width_texts(texts: Bytes, valid: Mask) -> pa.StringArray:
    """Return an Arrow column of the rows that are valid, null for the others."""
    width = texts.shape[1]
    offsets = np.zeros(len(valid) + 1, np.int32)
    np.cumsum(valid * np.int32(width), out=offsets[1:])
    return pa.StringArray.from_buffers(
        len(valid),
        pa.py_buffer(offsets.data),
        pa.py_buffer(texts.view(f"V{width}").ravel()[valid].view(np.uint8).data),
        pa.py_buffer(np.packbits(valid, bitorder="little").data),
    )


def _likely_formats(numbers: Bytes, reserve: Mask, reserve_numbers: Sequence[ReserveNumber]) -> pa.StringArray:
    """Return the name of the first known format that each reserve number matches; reserve numbers are rare."""
    rows = np.flatnonzero(reserve)
    if not len(rows):
        return pa.nulls(len(reserve), pa.string())
    written = (row.tobytes().rstrip(b"\0").decode("ascii") for row in numbers[rows])
    plain = pa.array([number.translate(_NO_SIGN).upper() for number in written])
    index = np.full(len(reserve), -1, np.int32)
    # In reverse order, so that the first format that matches is written last.
    for at, known in reversed(list(enumerate(reserve_numbers))):
        index[rows[matches(plain, rf"^(?:{known.monster.pattern})\z")]] = at
    names = pa.array([known.namn for known in reserve_numbers], pa.string())
    return names.take(pa.array(index, pa.int32(), mask=index < 0))
