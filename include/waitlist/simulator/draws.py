"""Draws ordinary posts by chance, and plants the posts of scenarios among them."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from waitlist.simulator.catalogue import Catalogue
from waitlist.simulator.components import (
    Branch,
    Category,
    Components,
    Contact,
    Control,
    Dates,
    Life,
    Name,
    Spelling,
    Stamp,
    Text,
)
from waitlist.simulator.people import Pool
from waitlist.simulator.persons import Identity
from waitlist.simulator.scenarios import SCENARIOS, Parts, Scenario, Where
from waitlist.simulator.units import Kind, Stage, Unit

Odds = Mapping[int, float]
Numbers = npt.NDArray[np.int64]

SCENARIO_POSTS: Final = 20_000
"""The number of posts that a scenario's ``times`` refers to."""

_POOLS: Final[Mapping[Kind, Odds]] = {
    Kind.HEALTH_CENTRE: {Pool.MINORS: 0.09},
    Kind.FAMILY_CENTRE: {Pool.MINORS: 0.07, Pool.SMALL_LATE: 0.3},
    Kind.CHILD_HEALTH: {Pool.SMALL_LATE: 1.0},
    Kind.YOUTH_CLINIC: {Pool.YOUTH: 1.0},
}
_WITHOUT_OWN_BASE: Final = (Kind.CHILD_HEALTH, Kind.YOUTH_CLINIC)
"""No base category leads to a list of these units; their unmoved posts are mostly on lists of their own."""

_MESSY: Final[Mapping[str, Odds]] = {
    "identity": {
        Identity.MISSING: 0.001,
        Identity.CHECK_DIGIT: 0.001,
        Identity.TOO_SHORT: 0.0004,
        Identity.NO_CENTURY: 0.0006,
        Identity.NO_SUCH_DAY: 0.0002,
        Identity.COORDINATION: 0.006,
        Identity.SKANE: 0.0025,
        Identity.NATIONAL_RESERVE: 0.0015,
        Identity.INTERIM: 0.001,
        Identity.CARELINK: 0.0003,
        Identity.UNKNOWN_RESERVE: 0.0003,
    },
    "name": {Name.MISSING: 0.001},
    "dates": {
        Dates.BEFORE_GO_LIVE: 0.02,
        Dates.WITHIN: 0.035,
        Dates.STRADDLING: 0.022,
        Dates.EXPIRED: 0.035,
        Dates.NO_FROM: 0.008,
        Dates.NO_FORE: 0.008,
        Dates.NEITHER: 0.004,
        Dates.NO_FROM_EXPIRED: 0.001,
        Dates.INVERTED: 0.003,
        Dates.INVERTED_EXPIRED: 0.0007,
    },
}
"""Chances at an ordinary unit; a unit's mess multiplies them."""
_STEADY: Final[Mapping[str, Odds]] = {
    "life": {Life.CLOSED_LATER: 0.03, Life.CLOSED: 0.055, Life.REGISTERED_LATER: 0.025},
    "stamp": {Stamp.MIDNIGHT: 0.04, Stamp.AFTERNOON: 0.003},
    "spelling": {kind: 0.004 for kind in Spelling if kind is not Spelling.EXACT},
    "contact": {Contact.OTHER: 0.025, Contact.UNKNOWN: 0.004},
    "text": {
        Text.REASON: 0.27,
        Text.PLAN: 0.12,
        Text.EMPTY: 0.025,
        Text.LONG: 0.025,
        Text.WIDE: 0.002,
        Text.EMOJI: 0.002,
    },
    "control": {Control.REASON: 0.002, Control.PLAN: 0.002, Control.CLINICIAN: 0.001},
    "attachments": {1: 0.05, 2: 0.015, 3: 0.005},
}
"""The same everywhere."""
_BRANCHES: Final[Odds] = {
    Branch.IN_REASON: 0.025,
    Branch.IN_PLAN: 0.015,
    Branch.OTHER_CASE: 0.003,
    Branch.NOT_NAMED: 0.008,
    Branch.IN_PART: 0.001,
}
_BASE, _UNKNOWN, _LOCAL = 0.125, 0.008, 0.005
_NOT_WAITING, _FIRST_VISIT, _OUTSIDE, _WRONG_AGE = 0.025, 0.035, 0.008, 0.008

_PLANNED: Final = (Stage.WAVE_1, Stage.WAVE_2, Stage.WAVE_3)
_PRIMARY: Final = (Kind.HEALTH_CENTRE, Kind.FAMILY_CENTRE)
_CHILD: Final = (Kind.FAMILY_CENTRE, Kind.CHILD_HEALTH)


class Draws:
    """Draws the components of each chunk; the same random state gives the same posts."""

    def __init__(self, units: list[Unit], catalogue: Catalogue) -> None:
        mess = np.array([unit.mess for unit in units])
        local = np.array([unit.kind in _WITHOUT_OWN_BASE for unit in units])
        self._mess = mess
        self._shares = np.cumsum([unit.share for unit in units])
        self._tables = {part: _table(odds, mess) for part, odds in _MESSY.items()}
        self._tables |= {part: _table(odds, np.ones(len(units))) for part, odds in _STEADY.items()}
        self._tables["pool"] = _tables([_POOLS[unit.kind] for unit in units])
        self._tables["branch"] = _table(_BRANCHES, np.array([unit.kind in _PRIMARY for unit in units], float))
        self._tables["category"] = _tables(
            [
                {
                    Category.BASE: _BASE * mess[row] * (0.25 if local[row] else 1),
                    Category.UNKNOWN: _UNKNOWN * mess[row],
                    Category.LOCAL: (_LOCAL + (0.6 * _BASE if local[row] else 0)) * mess[row],
                }
                for row in range(len(units))
            ]
        )
        self._units_for = {where: np.array(_rows_for(where, units)) for where in Where}
        self._planted = [_resolved(scenario, catalogue) for scenario in SCENARIOS]

    def draw(self, random: np.random.Generator, first: int, count: int) -> Components:
        """Draw the posts ``first .. first + count``, counted from 0."""
        drawn = Components.clean(count)
        drawn.unit[:] = np.minimum(np.searchsorted(self._shares, random.random(count)), len(self._shares) - 1)
        for part, (kinds, bounds) in self._tables.items():
            luck = random.random(count)
            getattr(drawn, part)[:] = kinds[(luck[:, None] >= bounds[drawn.unit]).sum(axis=1)]
        mess = self._mess[drawn.unit]
        drawn.waiting[:] = random.random(count) >= _NOT_WAITING * mess
        drawn.first_visit[:] = random.random(count) < _FIRST_VISIT * mess
        drawn.outside[:] = random.random(count) < _OUTSIDE
        drawn.wrong_age[:] = random.random(count) < _WRONG_AGE
        drawn.branch[(drawn.text == Text.EMPTY) & (drawn.branch != Branch.NOT_NAMED)] = Branch.NONE
        drawn.name[drawn.pool != Pool.ADULTS] = Name.TRUE
        self._plant(random, drawn, first)
        drawn.outside &= (drawn.category == Category.SDV) & (drawn.list_ < 0)
        drawn.wrong_age &= (drawn.category == Category.SDV) & (drawn.list_ < 0) & ~drawn.outside
        drawn.wrong_age &= drawn.pool != Pool.YOUTH
        return drawn

    def _plant(self, random: np.random.Generator, drawn: Components, first: int) -> None:
        count = len(drawn.unit)
        occurrences = [
            number for number, scenario in enumerate(SCENARIOS) for _ in range(_times(scenario, first, count))
        ]
        places = random.permutation(count)
        taken = 0
        for group, number in enumerate(random.permutation(np.array(occurrences, dtype=np.int64))):
            posts = self._planted[number]
            if taken + len(posts) > count // 2:
                break
            here = np.sort(places[taken : taken + len(posts)])
            taken += len(posts)
            drawn.unit[here] = random.choice(self._units_for[SCENARIOS[number].where])
            for place, parts in zip(here, posts, strict=True):
                shared = {"group": group} if len(posts) > 1 else {}
                drawn.plant(int(place), {"scenario": number, **shared, **parts})


def _times(scenario: Scenario, first: int, count: int) -> int:
    """Spread a scenario evenly over chunks; the first chunk has every scenario, however few posts it has."""
    if first == 0:
        return max(1, scenario.times * count // SCENARIO_POSTS)
    if scenario.once:
        return 0
    return scenario.times * (first + count) // SCENARIO_POSTS - scenario.times * first // SCENARIO_POSTS


def _table(odds: Odds, factor: npt.NDArray[np.float64]) -> tuple[Numbers, npt.NDArray[np.float64]]:
    return _tables([{kind: chance * times for kind, chance in odds.items()} for times in factor])


def _tables(odds: Sequence[Odds]) -> tuple[Numbers, npt.NDArray[np.float64]]:
    """Return a table to draw from: kinds, and each unit's lower bounds of the kinds in [0, 1); kind 0 is the rest."""
    kinds = sorted({kind for row in odds for kind in row})
    bounds = np.cumsum([[row.get(kind, 0.0) for kind in kinds] for row in odds], axis=1)
    return np.array([*kinds, 0]), bounds


def _rows_for(where: Where, units: list[Unit]) -> list[int]:
    planned = [row for row, unit in enumerate(units) if unit.stage in _PLANNED]
    by_stage = {Where.LIVE: Stage.LIVE, Where.NO_GO_LIVE: Stage.NO_GO_LIVE, Where.UNLISTED: Stage.UNLISTED}
    by_kind = {
        Where.HEALTH: _PRIMARY,
        Where.CHILD: _CHILD,
        Where.CHILD_ONLY: (Kind.CHILD_HEALTH,),
        Where.YOUTH: (Kind.YOUTH_CLINIC,),
    }
    if where in by_stage:
        return [row for row, unit in enumerate(units) if unit.stage is by_stage[where]]
    if where is Where.PILOT:
        return [row for row, unit in enumerate(units) if unit.pilot]
    return [row for row in planned if units[row].kind in by_kind[where]]


def _resolved(scenario: Scenario, catalogue: Catalogue) -> list[Parts]:
    """Replace names of lists and base categories by their indices."""
    posts: list[Parts] = []
    for post in scenario.posts:
        parts = dict(post)
        if "base" in parts:
            parts["base"] = catalogue.base_named(str(parts["base"]))
            parts["category"] = Category.BASE
            parts.pop("list_", None)
        elif "list_" in parts:
            parts["list_"] = catalogue.list_named(str(parts["list_"]))
        posts.append(parts)
    return posts
