"""The patients of the synthetic PMO, in pools by age, so that each list gets persons of the right age.

A unit takes the persons of a pool in turn, starting at an index of its own. So a person occurs at many
units, and at one unit only once, except where a duplicate was planted.
"""

import datetime as dt
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from waitlist.simulator import persons, texts
from waitlist.simulator.units import Kind

Numbers = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]


class Pool(IntEnum):
    """The persons from which a post's patient is drawn."""

    ADULTS = 0
    MINORS = 1
    """Below 18 in every booking window."""
    YOUTH = 2
    SMALL_EARLY = 3
    """Children of the child health programme, for windows that may be in the past."""
    SMALL_LATE = 4
    """The other children, including babies, for windows after go-live."""
    SPECIAL = 5
    """Adults below a hundred, reserved for posts that need a person that no other post at the unit has."""


_ADULT_FROM_DAYS: Final = 7_490
"""20 and a half years: adult in every window, also in expired ones."""
_MINOR_TO_DAYS: Final = 5_752
"""15 and three quarters: below 18 until the last window ends."""
_SMALL_TO_DAYS: Final = 2_066
"""Not above the last list's 83 months in any window."""
_EARLY_FROM_DAYS: Final = 310
"""Older than a month when the earliest expired window began."""
_LAST_PROGRAMME_BIRTHS: Final = np.datetime64("2018-01-01", "D")
NOT_CENTENARIAN: Final = np.datetime64("1930-01-01", "D")
_CENTENARIANS: Final = 250
_SPECIAL_PERSONS: Final = 500
_LEAST_PERSONS: Final = 600
_MOST_USED: Final = 0.6
"""The share of a pool that a unit's ordinary posts may use; planted ones are added."""
_STYLES: Final = (0.88, 0.05, 0.04, 0.02, 0.01)
_PROTECTED: Final = 0.006


@dataclass(frozen=True)
class People:
    """Every person of every pool, pools one after the other; arrays of shape (p,)."""

    birth: npt.NDArray[np.datetime64]
    twelve: Texts
    number: Texts
    """The personnummer as it is written in PMO."""
    short: npt.NDArray[np.bool_]
    """Whether it is written with ten digits and a hyphen."""
    name: Texts
    protected: npt.NDArray[np.bool_]
    start: Numbers
    """The first index of each pool; shape (pools,)."""
    size: Numbers
    not_yet_born: Texts
    """Test numbers with a birth after the as-of date."""

    @property
    def listed(self) -> int:
        """How many persons have a row in ``patient``: all except the special ones, which come last."""
        return int(self.start[Pool.SPECIAL])

    def most_posts(self) -> dict[Kind, int]:
        """How many posts a unit of a kind can have without taking a person twice."""
        small = min(_MOST_USED * self.size[Pool.SMALL_LATE], _MOST_USED * self.size[Pool.SMALL_EARLY] / 0.4)
        return {
            Kind.HEALTH_CENTRE: int(_MOST_USED * min(self.size[Pool.ADULTS], self.size[Pool.MINORS] / 0.1)),
            Kind.FAMILY_CENTRE: int(small / 0.4),
            Kind.CHILD_HEALTH: int(small),
            Kind.YOUTH_CLINIC: int(_MOST_USED * self.size[Pool.YOUTH]),
        }


def make_people(posts: int, as_of: dt.date, seed: int) -> People:
    """Choose the persons; their number depends on the number of posts."""
    random = np.random.default_rng([seed, 2])
    births, serials = persons.official()
    order = random.permutation(len(births))
    births, serials = births[order], serials[order]
    age = np.datetime64(as_of, "D").astype(np.int64) - births.astype(np.int64)
    wanted = max(_LEAST_PERSONS, int(0.6 * posts))
    adults = np.flatnonzero(age >= _ADULT_FROM_DAYS)
    centenarians = adults[births[adults] < NOT_CENTENARIAN]
    adults = np.setdiff1d(adults, centenarians[_CENTENARIANS:], assume_unique=True)
    small = np.flatnonzero((births >= _LAST_PROGRAMME_BIRTHS) & (age >= 0) & (age <= _SMALL_TO_DAYS))
    early = small[(age[small] >= _EARLY_FROM_DAYS) & (small % 2 == 0)]
    special = adults[births[adults] >= NOT_CENTENARIAN][:_SPECIAL_PERSONS]
    pools = {
        Pool.ADULTS: np.setdiff1d(adults, special, assume_unique=True)[:wanted],
        Pool.MINORS: np.flatnonzero((age <= _MINOR_TO_DAYS) & (births < _LAST_PROGRAMME_BIRTHS))[:wanted],
        Pool.YOUTH: np.flatnonzero((age < _ADULT_FROM_DAYS) & (age > _MINOR_TO_DAYS))[:wanted],
        Pool.SMALL_EARLY: early,
        Pool.SMALL_LATE: np.setdiff1d(small, early),
        Pool.SPECIAL: special,
    }
    chosen = np.concatenate([random.permutation(pools[pool]) for pool in Pool])
    size = np.array([len(pools[pool]) for pool in Pool])
    twelve = _twelve(births[chosen], serials[chosen])
    styles = random.choice(len(_STYLES), size=len(chosen), p=_STYLES)
    unborn = np.flatnonzero(age < 0)
    number = [persons.written(text, as_of, style) for text, style in zip(twelve, styles, strict=True)]
    return People(
        birth=births[chosen],
        twelve=twelve,
        number=np.array(number, dtype=object),
        short=np.array([persons.is_short(text) for text in number]),
        name=_names(serials[chosen], random),
        protected=random.random(len(chosen)) < _PROTECTED,
        start=np.cumsum(size) - size,
        size=size,
        not_yet_born=_twelve(births[unborn], serials[unborn]),
    )


def _twelve(births: npt.NDArray[np.datetime64], serials: Numbers) -> Texts:
    return np.array(
        [persons.digits(birth, int(serial)) for birth, serial in zip(births, serials, strict=True)], dtype=object
    )


def _names(serials: Numbers, random: np.random.Generator) -> Texts:
    """Give each person a name, a woman's where the serial is even; a few have extra spaces."""
    count = len(serials)
    women, men = np.array(texts.WOMEN, dtype=object), np.array(texts.MEN, dtype=object)
    given = np.where(
        serials % 2 == 0, women[random.integers(0, len(women), count)], men[random.integers(0, len(men), count)]
    )
    family = np.array(texts.FAMILIES, dtype=object)[random.integers(0, len(texts.FAMILIES), count)]
    gap = np.where(random.random(count) < 0.03, "  ", " ")
    return np.asarray(given + gap.astype(object) + family)
