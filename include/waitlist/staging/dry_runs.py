"""Which dry run is the latest, and which dry runs can be compared with it: only this module answers these questions.

A dry run counts once it is verified. A replay reads an old snapshot and never counts. Dry runs are ordered by as-of
date, then by start time, then by batch id, so that every reader chooses the same one.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, TypeVar

import sqlalchemy as sa

from waitlist.judge.rules import EDITION_WITH_PERSONS
from waitlist.staging import schema
from waitlist.staging.states import Batch, BatchKind, BatchState

RULES: Final = "rules"
"""The name of the rules' edition in a batch's facts."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """A verified dry run of PMO."""

    batch_id: str
    run_id: str
    as_of: date
    started_at: datetime
    finished_at: datetime | None
    posts: int
    units: frozenset[str] | None
    """HSA-ids of the units that were read; None for all units."""
    edition: str | None
    """Edition of the rules that it was assessed with (``rules.EDITION``); None: its release had no editions."""

    @property
    def asked_persons(self) -> bool:
        """Whether the person service had to be asked."""
        return self.edition == EDITION_WITH_PERSONS

    def has_read(self, units: Collection[str] | None) -> bool:
        """Return whether it has read all the given units; None for every unit."""
        return self.units is None or (units is not None and self.units.issuperset(units))


Run = TypeVar("Run", Batch, DryRun)


def read_dry_runs(connection: sa.Connection) -> tuple[DryRun, ...]:
    """Return every verified dry run of PMO, the latest last."""
    batch = schema.batch.c
    query = sa.select(
        batch.batch_id,
        batch.run_id,
        batch.as_of,
        batch.started_at,
        batch.finished_at,
        batch.posts_extracted.label("posts"),
        batch.units,
        batch.facts,
    ).where(
        batch.kind == BatchKind.DRY_RUN.value,
        batch.state == BatchState.VERIFIED.value,
        batch.reuse_snapshot.is_(None),
    )
    rows = connection.execute(query).mappings()
    return tuple(sorted(map(_dry_run, rows), key=_order))


def read_begun(connection: sa.Connection) -> tuple[tuple[date, datetime], ...]:
    """Return the as-of date and the start time of every dry run of PMO over every unit, failed ones included."""
    batch = schema.batch.c
    query = sa.select(batch.as_of, batch.started_at, batch.units).where(
        batch.kind == BatchKind.DRY_RUN.value, batch.reuse_snapshot.is_(None)
    )
    return tuple((row.as_of, row.started_at) for row in connection.execute(query) if row.units is None)


def _dry_run(row: sa.RowMapping) -> DryRun:
    values = dict(row)
    facts = values.pop("facts") or {}
    units = None if values["units"] is None else frozenset(values["units"])
    return DryRun(**{**values, "units": units, "edition": facts.get(RULES)})


def verified_dry_runs(batches: Iterable[Batch]) -> list[Batch]:
    """Return the batches that are verified dry runs of PMO, the latest last."""
    found = (
        batch
        for batch in batches
        if batch.kind is BatchKind.DRY_RUN and batch.state is BatchState.VERIFIED and batch.reuse_snapshot is None
    )
    return sorted(found, key=_order)


def latest_for_everybody(runs: Iterable[Run]) -> Run | None:
    """Return the dry run that pages and messages show: the latest over every unit, else the latest of all.

    Args:
        runs: dry runs as the functions above return them, the latest last.
    """
    latest = None
    for run in runs:
        if run.units is None or latest is None or latest.units is not None:
            latest = run
    return latest


def comparable(runs: Iterable[DryRun]) -> tuple[DryRun, ...]:
    """Return the dry run of ``latest_for_everybody``, preceded by the first of each earlier date for the same units.

    A past night that is read again later shows that day as PMO has it now, and not as it was read then. So it is
    left out.

    Args:
        runs: as ``read_dry_runs`` returns them.

    Returns:
        The dry runs, the earliest first; empty if there is no dry run.
    """
    runs = tuple(runs)
    latest = latest_for_everybody(runs)
    if latest is None:
        return ()
    by_date: dict[date, DryRun] = {}
    for run in runs:
        if run.units == latest.units and run.as_of < latest.as_of:
            by_date.setdefault(run.as_of, run)
    return (*by_date.values(), latest)


def read_again(runs: Iterable[DryRun]) -> frozenset[str]:
    """Return the ids of the dry runs that ``comparable`` leaves out because their date had been read before.

    Args:
        runs: as ``read_dry_runs`` returns them.
    """
    runs = tuple(runs)
    latest = latest_for_everybody(runs)
    first: dict[tuple[frozenset[str] | None, date], str] = {}
    again = {run.batch_id for run in runs if first.setdefault((run.units, run.as_of), run.batch_id) != run.batch_id}
    return frozenset(again - ({latest.batch_id} if latest else set()))


def latest_before(runs: Iterable[DryRun], batch: Batch) -> DryRun | None:
    """Return the latest other dry run that has read all units of a batch, as of the batch's day or an earlier one."""
    found = [run for run in _of_its_units(runs, batch) if run.as_of <= batch.as_of]
    return found[-1] if found else None


def is_overtaken(runs: Iterable[DryRun], batch: Batch) -> bool:
    """Return whether a dry run as of a later day has read all units of a batch."""
    return any(run.as_of > batch.as_of for run in _of_its_units(runs, batch))


def _of_its_units(runs: Iterable[DryRun], batch: Batch) -> list[DryRun]:
    return [run for run in runs if run.batch_id != batch.batch_id and run.has_read(batch.units)]


def _order(run: Batch | DryRun) -> tuple[date, datetime, str]:
    return run.as_of, run.started_at, run.batch_id


def posts_by_disposition(
    connection: sa.Connection, batch_id: str, units: Collection[str] | None
) -> dict[str, dict[str, int]]:
    """Return the number of posts of each unit and disposition, for the given units; None for all units."""
    table = schema.unit_summary.c
    query = sa.select(table.enhet_hsa_id, table.disposition, table.posts).where(table.batch_id == batch_id)
    counts: dict[str, dict[str, int]] = {}
    for hsa_id, disposition, posts in connection.execute(query.order_by(table.enhet_hsa_id)):
        if units is None or hsa_id in units:
            counts.setdefault(hsa_id, {})[disposition] = posts
    return counts
