"""Översikt: whether the next wave will be ready in time, and which units still have work to do."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import sqlalchemy as sa

from waitlist.facts.gates import Gate
from waitlist.facts.mappings import Mappings
from waitlist.judge.rules import Disposition
from waitlist.release.closing import is_awaited
from waitlist.release.gates import GateResult
from waitlist.reports.pages.decisions import Awaited, Made, awaited, made
from waitlist.reports.pages.forecast import Forecast, Outlook, forecast
from waitlist.reports.pages.history import (
    HANDLED_CODES,
    TrendPoint,
    Unshown,
    add_up,
    counts_by_unit,
    dry_runs,
    unit_names,
    unit_trends,
    unshown,
)
from waitlist.reports.pages.marks import Mark, read_marks
from waitlist.reports.pages.released import decided_batches
from waitlist.reports.readiness import Progress, UnitReadiness, WaveReadiness, progress_of, waves_of
from waitlist.reports.worklist.posts import UNKNOWN
from waitlist.staging.dry_runs import DryRun
from waitlist.swedish.words import UNKNOWN_UNIT_NAME

FRESH_HOURS: Final = 36
"""When the latest dry run ended longer ago, a night has been missed."""
SHOWN_RUNS: Final = 60
"""How many dry runs a trend includes; a unit's own page has all of them."""
SOON_DAYS: Final = 90
"""A unit that will not be ready is red within this time of its go-live; earlier it is a warning."""


class Status(StrEnum):
    """Whether a unit will be ready for its go-live, the most serious first."""

    LATE = "late"
    """At the present pace posts will be left at go-live, and go-live is soon."""
    NO_GO_LIVE = "no_go_live"
    """No go-live is planned, so nothing can be migrated."""
    BEHIND = "behind"
    """At the present pace posts will be left at go-live, but there is time."""
    UNSURE = "unsure"
    """There are too few dry runs for a forecast."""
    ON_TIME = "on_time"
    """At the present pace no posts will be left at go-live."""
    CLEAN = "clean"
    """No posts are left to handle."""
    LIVE = "live"
    """The unit is live; the remaining posts are booked by hand."""


GRAVITY: Final[Mapping[Status, int]] = {status: place for place, status in enumerate(Status)}


@dataclass(frozen=True, slots=True)
class UnitLine:
    """A unit."""

    key: str
    """HSA-id; empty for the posts of no known unit."""
    name: str
    go_live: dt.date | None
    days_left: int | None
    """From the as-of date to go-live; zero or less once the unit is live."""
    posts: int
    ready: int
    """Posts that migrate."""
    left: int
    """Posts left to handle in PMO before go-live."""
    counts: Mapping[str, int]
    """Posts by disposition."""
    trend: tuple[TrendPoint, ...]
    forecast: Forecast
    status: Status


@dataclass(frozen=True, slots=True)
class WaveCard:
    """Units that go live together."""

    wave: str | None
    go_live: dt.date | None
    """The next of its units' go-lives; the first one once all units are live."""
    days_left: int | None
    posts: int
    ready: int
    left: int
    counts: Mapping[str, int]
    trend: tuple[TrendPoint, ...]
    clean_on: dt.date | None
    """When its last unit has no posts left; None when a unit has no date, or no unit has posts left."""
    status: Status
    """The most serious status of its units that are not live."""
    units: tuple[UnitLine, ...]
    """The most serious first, then the ones with most posts left."""
    by_status: Mapping[Status, int]
    """Units by status."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old the figures are."""

    finished_at: dt.datetime | None
    hours: int | None
    """Hours since then."""
    stale: bool
    """Whether a night has been missed."""
    missed: Unshown | None
    """A later run that failed or is under way."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The page."""

    latest: DryRun
    freshness: Freshness
    gates: tuple[GateResult, ...] | None
    """As the latest dry run measured them, the red ones first; None where it did not measure them."""
    red_since: Mapping[Gate, dt.date]
    """Since which dry run a red gate has been red without a break, as far back as they are kept."""
    posts: int
    ready: int
    left: int
    counts: Mapping[str, int]
    trend: tuple[TrendPoint, ...]
    waves: tuple[WaveCard, ...]
    """By go-live; then the waves that are live, and the ones without a go-live."""
    awaited: tuple[Awaited, ...]
    """The waves that wait for an approver's answer, the nearest deadline first."""
    decisions: Mapping[str, Made]
    """The latest decision about each wave, by the wave's name."""
    marks: tuple[Mark, ...]
    """What happened in the time of the trend."""

    @property
    def next_wave(self) -> WaveCard | None:
        """The wave with the next go-live; None where no unit has a go-live to come."""
        ahead = [wave for wave in self.waves if wave.days_left is not None and wave.days_left > 0]
        return min(ahead, key=lambda wave: wave.days_left or 0, default=None)

    @property
    def red(self) -> tuple[UnitLine, ...]:
        """The units that will not be ready in time, the nearest go-live first."""
        return tuple(sorted(self._units_with(Status.LATE), key=lambda unit: (unit.days_left or 0, -unit.left)))

    @property
    def unplanned(self) -> tuple[UnitLine, ...]:
        """The units without a go-live, the ones with most posts first."""
        return tuple(sorted(self._units_with(Status.NO_GO_LIVE), key=lambda unit: -unit.posts))

    def _units_with(self, status: Status) -> list[UnitLine]:
        return [unit for wave in self.waves for unit in wave.units if unit.status is status]


def read_overview(connection: sa.Connection, mappings: Mappings, *, now: dt.datetime, approval_hours: int) -> Overview:
    """Read the page without its gates, which are stored beside the snapshot.

    Args:
        connection: a connection from ``reading``.
        mappings: names, waves and go-lives of the units.
        now: the moment, aware; only the age of the figures depends on it.
        approval_hours: how long a question waits for its answer.

    Raises:
        NoBatchError: no dry run counts for readers yet.
    """
    runs = dry_runs(connection)
    latest = runs[-1]
    batches = decided_batches(connection)
    counts = counts_by_unit(connection, latest.batch_id, mappings)
    names = unit_names(connection, runs, mappings)
    trends = unit_trends(connection, runs[-SHOWN_RUNS:], {key: names[key] for key in counts})
    waves = [wave_card(wave, counts, trends, latest.as_of) for wave in waves_of(counts, mappings, latest.as_of)]
    everything = progress_of(counts.values())
    planned = [unit.driftstart for unit in mappings.units.values() if unit.driftstart]
    return Overview(
        latest=latest,
        freshness=_freshness(
            latest,
            unshown(connection, latest),
            now,
            over=bool(planned) and latest.as_of >= max(planned) and not is_awaited(connection),
        ),
        gates=None,
        red_since={},
        posts=everything.posts,
        ready=everything.ready,
        left=left_of(everything),
        counts=counts_of(everything),
        trend=add_up([trends[key] for key in counts]),
        # Waves that are live come last.
        waves=tuple(
            sorted(waves, key=lambda wave: (wave.status is Status.LIVE, wave.wave is None, wave.go_live or dt.date.max))
        ),
        awaited=awaited(batches, approval_hours),
        decisions=made(batches),
        marks=read_marks(connection, runs[-SHOWN_RUNS:], batches),
    )


def counts_of(progress: Progress) -> dict[str, int]:
    """Return posts by disposition, including the ones that migrate."""
    ready = {Disposition.MIGRATE.value: progress.ready} if progress.ready else {}
    return {**ready, **progress.left}


def status_of(days_left: int | None, left: int, outlook: Forecast, go_live: dt.date | None) -> Status:
    """Return a unit's status."""
    if days_left is None or go_live is None:
        return Status.NO_GO_LIVE
    if days_left <= 0:
        return Status.LIVE
    if left == 0:
        return Status.CLEAN
    if outlook.outlook is Outlook.TOO_SHORT:
        return Status.UNSURE
    if outlook.clean_on is not None and outlook.clean_on < go_live:
        return Status.ON_TIME
    return Status.LATE if days_left <= SOON_DAYS else Status.BEHIND


def left_of(progress: Progress) -> int:
    """Return the posts left to handle."""
    return sum(posts for code, posts in progress.left.items() if code not in HANDLED_CODES)


def unit_line(unit: UnitReadiness, trend: Sequence[TrendPoint]) -> UnitLine:
    """Return the line of a unit, from its readiness and its trend."""
    left = left_of(unit.progress)
    outlook = forecast([(point.as_of, point.left) for point in trend if point.same_rules])
    return UnitLine(
        key=unit.hsa_id,
        name=unit.name or UNKNOWN_UNIT_NAME,
        go_live=unit.go_live,
        days_left=unit.days_left,
        posts=unit.progress.posts,
        ready=unit.progress.ready,
        left=left,
        counts=counts_of(unit.progress),
        trend=tuple(trend),
        forecast=outlook,
        status=status_of(unit.days_left, left, outlook, unit.go_live),
    )


def wave_card(
    wave: WaveReadiness,
    counts: Mapping[str, Mapping[str, int]],
    trends: Mapping[str, tuple[TrendPoint, ...]],
    as_of: dt.date,
) -> WaveCard:
    """Return the card of a wave, from its readiness and the trends of its units."""
    units = [unit_line(unit, trends[unit.hsa_id]) for unit in wave.units]
    progress = progress_of(counts[unit.key] for unit in units)
    waiting = [unit for unit in units if unit.status is not Status.LIVE]
    unclean = [unit.forecast for unit in waiting if unit.left]
    dates = [unit.clean_on for unit in unclean if unit.clean_on is not None]
    go_live = min((unit.go_live for unit in waiting if unit.go_live), default=wave.go_live)
    return WaveCard(
        wave=wave.wave,
        go_live=go_live,
        days_left=(go_live - as_of).days if go_live else None,
        posts=progress.posts,
        ready=progress.ready,
        left=left_of(progress),
        counts=counts_of(progress),
        trend=add_up([unit.trend for unit in units]),
        clean_on=max(dates) if dates and len(dates) == len(unclean) else None,
        status=min((unit.status for unit in waiting), key=GRAVITY.__getitem__, default=Status.LIVE),
        units=tuple(sorted(units, key=lambda unit: (GRAVITY[unit.status], -unit.left, unit.key == UNKNOWN, unit.name))),
        by_status={status: found for status in Status if (found := sum(unit.status is status for unit in units))},
    )


def _freshness(latest: DryRun, missed: Unshown | None, now: dt.datetime, *, over: bool) -> Freshness:
    if latest.finished_at is None:
        return Freshness(None, None, stale=False, missed=missed)
    hours = max(int((now - latest.finished_at).total_seconds() // 3600), 0)
    # After the last go-live no dry run is due once nothing is followed, so none is missed.
    return Freshness(latest.finished_at, hours, stale=hours >= FRESH_HOURS and not over, missed=missed)
