"""Våg: whether one wave will be ready in time, which units are behind, and what has been decided about it."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from waitlist.facts.mappings import Mappings
from waitlist.release.closing import ClosingFault
from waitlist.release.gates import GateResult
from waitlist.reports.pages.after_release import (
    SOME_DAY,
    Followed,
    Ledger,
    OutsideUnit,
    Today,
    read_followed,
    read_ledger,
    read_outside,
)
from waitlist.reports.pages.decisions import Awaited, awaited
from waitlist.reports.pages.dip import Dip, read_dip
from waitlist.reports.pages.forecast import FARTHEST_DAYS
from waitlist.reports.pages.history import counts_by_unit, dry_runs, unit_names, unit_trends
from waitlist.reports.pages.marks import Mark, read_marks
from waitlist.reports.pages.overview import SHOWN_RUNS, Status, UnitLine, WaveCard, wave_card
from waitlist.reports.pages.projection import Projection, project, stopped_since
from waitlist.reports.pages.reading import UnknownError
from waitlist.reports.pages.released import ReleasedBatch, decided_batches
from waitlist.reports.readiness import waves_of
from waitlist.staging import BatchState
from waitlist.staging.dry_runs import DryRun

BEHIND: Final = frozenset({Status.LATE, Status.BEHIND, Status.NO_GO_LIVE})


@dataclass(frozen=True, slots=True)
class Stopped:
    """A unit whose posts left have not decreased for a while."""

    unit: UnitLine
    since: dt.date


@dataclass(frozen=True, slots=True)
class Refused:
    """A closing that was refused."""

    why: ClosingFault
    reason: str
    """The reason as it was written."""


@dataclass(frozen=True, slots=True)
class WavePage:
    """The page."""

    latest: DryRun
    card: WaveCard
    projection: Projection
    """Up to go-live; where none lies ahead, without a drawing."""
    behind: tuple[UnitLine, ...]
    """The units that will not be ready in time, or have no go-live."""
    stopped: tuple[Stopped, ...]
    """Those not live that have had no decrease for ``projection.STOPPED_DAYS``, the longest first."""
    gates: tuple[GateResult, ...]
    """Measured over the wave's units alone, the red ones first."""
    shared_gates: tuple[GateResult, ...]
    """The gates that are about the dry run as a whole, the red ones first."""
    batches: tuple[ReleasedBatch, ...]
    """For which approval was asked, the latest first, with every decision."""
    awaited: tuple[Awaited, ...]
    """Its batches that wait for an approver's answer."""
    marks: tuple[Mark, ...]
    dip: Dip
    followed: Followed | None
    """Its released posts; None where none is released."""
    ledger: Ledger | None
    """None where none of its batches is released."""
    outside: tuple[OutsideUnit, ...]
    """The units of no wave at which posts wait: no wave's ledger has them."""
    refused: Refused | None = None
    """Why the wave was not closed, in answer to a form that wanted it."""
    samples: Mapping[str, str] = field(default_factory=dict)
    """How far the sample of each of its batches has come, in words, by batch id."""

    @property
    def makes_it(self) -> bool | None:
        """Whether every unit that is not live will be ready before its go-live; None where one has too few dry runs."""
        waiting = [unit.status for unit in self.card.units if unit.status is not Status.LIVE]
        if BEHIND & set(waiting):
            return False
        return None if Status.UNSURE in waiting or not waiting else True

    @property
    def released(self) -> int:
        """The posts that Millennium can read now."""
        return sum(batch.shown for batch in self.batches if batch.state is BatchState.RELEASED)


def read_wave(
    connection: sa.Connection, mappings: Mappings, name: str | None, *, approval_hours: int, today: Today = SOME_DAY
) -> WavePage:
    """Read the page without its gates.

    Args:
        connection: a connection from ``reading``.
        mappings: names, waves and go-lives of the units.
        name: the wave as in ``units.csv``; None for the units without one.
        approval_hours: how long a question waits for its answer.
        today: the day up to which the follow-up is shown.

    Raises:
        NoBatchError: no dry run counts for readers yet.
        UnknownError: no unit of the wave has posts in the latest, and nothing of it is released.
    """
    runs = dry_runs(connection)
    latest = runs[-1]
    counts = counts_by_unit(connection, latest.batch_id, mappings)
    batches = tuple(batch for batch in decided_batches(connection) if name is not None and batch.wave == name)
    if any(batch.state is BatchState.RELEASED for batch in batches):
        # Its last posts may be gone from PMO before the last one is booked.
        counts = {key: {} for key, unit in mappings.units.items() if unit.vag == name} | counts
    found = [wave for wave in waves_of(counts, mappings, latest.as_of) if wave.wave == name]
    if not found:
        raise UnknownError("no unit of the wave has posts in the latest dry run")
    (wave,) = found
    keys = [unit.hsa_id for unit in wave.units]
    spelled = unit_names(connection, runs, mappings)
    names = {key: spelled.get(key, (key,)) for key in keys}
    trends = unit_trends(connection, runs[-SHOWN_RUNS:], names)
    card = wave_card(wave, {key: counts[key] for key in keys}, trends, latest.as_of)
    waiting = [unit for unit in card.units if unit.status is not Status.LIVE]
    return WavePage(
        latest=latest,
        card=card,
        projection=project([unit.trend for unit in waiting or card.units], until=_until(latest.as_of, card.go_live)),
        behind=tuple(unit for unit in waiting if unit.status in BEHIND),
        stopped=_stopped(waiting),
        gates=(),
        shared_gates=(),
        batches=batches,
        awaited=awaited(batches, approval_hours),
        marks=read_marks(connection, runs[-SHOWN_RUNS:], batches, {name}),
        dip=read_dip(connection, latest.batch_id, mappings, names),
        followed=None if name is None else read_followed(connection, mappings, today, wave=name),
        ledger=None if name is None else read_ledger(connection, mappings, today, name),
        outside=read_outside(counts, mappings),
    )


def _until(as_of: dt.date, go_live: dt.date | None) -> dt.date:
    return as_of if go_live is None else min(go_live, as_of + dt.timedelta(FARTHEST_DAYS))


def _stopped(units: list[UnitLine]) -> tuple[Stopped, ...]:
    found = [Stopped(unit, since) for unit in units if (since := stopped_since(unit.trend)) is not None]
    return tuple(sorted(found, key=lambda stopped: (stopped.since, -stopped.unit.left)))
