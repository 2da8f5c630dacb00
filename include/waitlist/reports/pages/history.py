"""The dry runs that pages show: the latest, and those before it that can be compared with it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import sqlalchemy as sa

from waitlist.facts.mappings import Mappings
from waitlist.release.gates import HANDLED
from waitlist.reports.pages.reading import NoBatchError, ask
from waitlist.reports.worklist.posts import UNKNOWN, unit_key
from waitlist.staging import BatchKind, BatchState, schema
from waitlist.staging.dry_runs import DryRun, comparable, read_dry_runs
from waitlist.swedish.words import UNKNOWN_UNIT_NAME

HANDLED_CODES: Final = tuple(sorted(each.value for each in HANDLED))
"""Dispositions that leave nothing to do before go-live; posts with any other are left to handle."""


@dataclass(frozen=True, slots=True)
class Unshown:
    """A dry run that was begun after the latest shown, and that nobody reads."""

    batch_id: str
    run_id: str
    as_of: date
    state: BatchState
    """``failed``, or one of those before ``verified``: it is still under way."""
    started_at: datetime


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """A dry run's figures of some posts."""

    as_of: date
    posts: int
    ready: int
    """Posts that migrate."""
    left: int
    """Posts left to handle."""
    same_rules: bool
    """Judged by the rules of the latest; by others, posts are counted differently."""


def dry_runs(connection: sa.Connection) -> tuple[DryRun, ...]:
    """Return the dry runs to compare, the earliest as-of date first; the last is the latest (``staging.dry_runs``).

    Raises:
        NoBatchError: there is none.
    """
    runs = comparable(read_dry_runs(connection))
    if not runs:
        raise NoBatchError("no dry run has been verified yet")
    return runs


def unshown(connection: sa.Connection, latest: DryRun | None) -> Unshown | None:
    """Return the dry run of PMO begun last, when it came after the latest shown and does not count for readers.

    A past day that is run again is none: what is shown does not hang on it.
    """
    table = schema.batch.c
    query = sa.select(table.batch_id, table.run_id, table.as_of, table.state, table.started_at).where(
        table.kind == BatchKind.DRY_RUN.value, table.reuse_snapshot.is_(None)
    )
    if latest is not None:
        query = query.where(table.as_of >= latest.as_of)
    last = connection.execute(query.order_by(table.started_at.desc(), table.batch_id.desc()).limit(1)).one_or_none()
    hidden = {BatchState.OPEN, BatchState.STAGED, BatchState.FAILED}
    if last is None or BatchState(last.state) not in hidden or (latest and last.started_at < latest.started_at):
        return None
    return Unshown(last.batch_id, last.run_id, last.as_of, BatchState(last.state), last.started_at)


def unit_names(connection: sa.Connection, runs: Sequence[DryRun], mappings: Mappings) -> dict[str, tuple[str, ...]]:
    """Return the ways in which the posts of the last two dry runs name their units, by the units' keys."""
    table = schema.unit_summary.c
    query = sa.select(table.enhet_hsa_id).where(table.batch_id.in_([run.batch_id for run in runs[-2:]])).distinct()
    names: dict[str, set[str]] = {}
    for name in connection.scalars(query):
        key = unit_key(name, mappings)
        names.setdefault(key, {key}).add(name)
    return {key: tuple(sorted(found)) for key, found in names.items()}


def unit_trends(
    connection: sa.Connection, runs: Sequence[DryRun], names: Mapping[str, Collection[str]]
) -> dict[str, tuple[TrendPoint, ...]]:
    """Return units' figures in the dry runs, the earliest first, by the unit's key.

    A unit without posts in a run has a point of noughts there.

    Args:
        connection: what ``reading`` gave.
        runs: the dry runs.
        names: of the units that are wanted, as ``unit_names`` gives them.
    """
    places = {run.batch_id: place for place, run in enumerate(runs)}
    keys = {name: key for key, found in names.items() for name in found}
    sums = {key: [[0, 0, 0] for _ in runs] for key in names}
    rows = ask(connection, "sum_unit_trends", batch_ids=tuple(places), handled=HANDLED_CODES, units=tuple(keys))
    for row in rows:
        point = sums[keys[row.enhet_hsa_id]][places[row.batch_id]]
        for place, figure in enumerate((row.posts, row.ready, row.posts_left)):
            point[place] += int(figure)
    return {
        key: tuple(
            TrendPoint(run.as_of, posts, ready, left, run.edition == runs[-1].edition)
            for run, (posts, ready, left) in zip(runs, points, strict=True)
        )
        for key, points in sums.items()
    }


def add_up(trends: Collection[Sequence[TrendPoint]]) -> tuple[TrendPoint, ...]:
    """Return the figures of several units together; all of the same dry runs."""
    return tuple(
        TrendPoint(
            points[0].as_of,
            sum(point.posts for point in points),
            sum(point.ready for point in points),
            sum(point.left for point in points),
            points[0].same_rules,
        )
        for points in zip(*trends, strict=True)
    )


def counts_by_unit(connection: sa.Connection, batch_id: str, mappings: Mappings) -> dict[str, dict[str, int]]:
    """Return the posts of each unit and disposition of a batch, by the unit's key."""
    table = schema.unit_summary.c
    query = sa.select(table.enhet_hsa_id, table.disposition, table.posts).where(table.batch_id == batch_id)
    counts: dict[str, dict[str, int]] = {}
    for hsa_id, disposition, posts in connection.execute(query):
        unit = counts.setdefault(unit_key(hsa_id, mappings), {})
        unit[disposition] = unit.get(disposition, 0) + posts
    return counts


def unit_name(key: str, mappings: Mappings) -> str:
    """Return what a unit is called."""
    return UNKNOWN_UNIT_NAME if key == UNKNOWN else mappings.name_of(key)
