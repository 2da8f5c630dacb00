"""Enheter: every unit that a reader sees, with its status, to be searched, filtered and sorted."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from waitlist.facts.mappings import Mappings
from waitlist.reports.pages.history import counts_by_unit, dry_runs, runs_of_pace, unit_names, unit_trends
from waitlist.reports.pages.overview import GRAVITY, Status, UnitLine, unit_line
from waitlist.reports.pages.paging import Direction
from waitlist.reports.pages.spread import ANY
from waitlist.reports.pages.unit import ShownRun
from waitlist.reports.readiness import waves_of
from waitlist.reports.worklist.posts import UNKNOWN
from waitlist.swedish.formats import swedish


class UnitSort(StrEnum):
    """The columns that units can be sorted by, as they are in the address."""

    NAME = "namn"
    WAVE = "vag"
    STATUS = "lage"
    GO_LIVE = "driftstart"
    LEFT = "kvar"
    READY = "migreras"
    CLEAN_ON = "klar"


@dataclass(frozen=True, slots=True)
class UnitsAsked:
    """The filter and the order of units."""

    wave: str | None = ANY
    """None: units without a wave."""
    status: Status | None = None
    sort: UnitSort = UnitSort.NAME
    direction: Direction = Direction.UP


@dataclass(frozen=True, slots=True)
class ListedUnit:
    """A unit."""

    key: str
    name: str
    wave: str | None
    status: Status
    go_live: dt.date | None
    days_left: int | None
    posts: int
    ready: int
    left: int
    clean_on: dt.date | None
    """When no posts are left at the present pace; None where there is no such date."""


@dataclass(frozen=True, slots=True)
class UnitList:
    """The page."""

    latest: ShownRun
    asked: UnitsAsked
    units: tuple[ListedUnit, ...]
    """Those that the filter selects, in the order that was asked for."""
    waves: tuple[str | None, ...]
    """The waves of all units that the reader sees, for the filter."""
    statuses: tuple[Status, ...]
    """Their statuses, the most serious first."""
    all: int
    """How many units the reader sees."""


_KEYS: Final[Mapping[UnitSort, Callable[[ListedUnit], Any]]] = {
    UnitSort.NAME: lambda unit: (unit.key == UNKNOWN, swedish(unit.name)),
    UnitSort.WAVE: lambda unit: (unit.wave is None, swedish(unit.wave or "")),
    UnitSort.STATUS: lambda unit: GRAVITY[unit.status],
    UnitSort.GO_LIVE: lambda unit: unit.go_live or dt.date.max,
    UnitSort.LEFT: lambda unit: unit.left,
    UnitSort.READY: lambda unit: unit.ready / unit.posts if unit.posts else 0.0,
    UnitSort.CLEAN_ON: lambda unit: unit.clean_on or dt.date.max,
}


def read_unit_list(
    connection: sa.Connection, mappings: Mappings, sees: Callable[[str], bool], asked: UnitsAsked
) -> UnitList:
    """Read the page.

    Args:
        connection: a connection from ``reading``.
        mappings: names, waves and go-lives of the units.
        sees: tells by its key whether the reader sees a unit.
        asked: the filter and the order.

    Raises:
        NoBatchError: no dry run counts for readers yet.
    """
    runs = dry_runs(connection)
    latest = runs[-1]
    counts = counts_by_unit(connection, latest.batch_id, mappings)
    seen = {key: found for key, found in counts.items() if sees(key)}
    spelled = unit_names(connection, runs, mappings)
    trends = unit_trends(connection, runs_of_pace(runs), {key: spelled[key] for key in seen}) if seen else {}
    units = [
        _listed(unit_line(unit, trends[unit.hsa_id]), wave.wave)
        for wave in waves_of(seen, mappings, latest.as_of)
        for unit in wave.units
    ]
    waves = sorted({unit.wave for unit in units}, key=lambda wave: (wave is None, swedish(wave or "")))
    chosen = [
        unit
        for unit in sorted(units, key=_KEYS[UnitSort.NAME])
        if asked.wave in (ANY, unit.wave) and asked.status in (None, unit.status)
    ]
    # Stable, so that units that are equal stay in the order of their names.
    chosen.sort(key=_KEYS[asked.sort], reverse=asked.direction is Direction.DOWN)
    return UnitList(
        latest=ShownRun(latest.batch_id, latest.as_of, latest.finished_at),
        asked=asked,
        units=tuple(chosen),
        waves=tuple(waves),
        statuses=tuple(status for status in Status if any(unit.status is status for unit in units)),
        all=len(units),
    )


def _listed(line: UnitLine, wave: str | None) -> ListedUnit:
    return ListedUnit(
        line.key,
        line.name,
        wave,
        line.status,
        line.go_live,
        line.days_left,
        line.posts,
        line.ready,
        line.left,
        line.forecast.clean_on,
    )
