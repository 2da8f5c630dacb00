"""The dry runs that pages show: the latest, and the earlier ones that can be compared with it.

The counts of a verified dry run do not change until it is run again, and then it ends at another moment. So a page of
many units reads the counts of each night once in a process, and of every later night alone.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from waitlist.facts.mappings import Mappings
from waitlist.release.gates import HANDLED
from waitlist.reports.pages.forecast import WINDOW_DAYS
from waitlist.reports.pages.reading import NoBatchError, ask
from waitlist.reports.worklist.posts import UNKNOWN, unit_key
from waitlist.staging import BatchKind, BatchState, schema
from waitlist.staging.dry_runs import DryRun, comparable, read_dry_runs
from waitlist.swedish.words import UNKNOWN_UNIT_NAME

HANDLED_CODES: Final = tuple(sorted(disposition.value for disposition in HANDLED))
"""Dispositions that leave nothing to do before go-live; posts with any other are left to handle."""

_MOST_NIGHTS: Final = 120
_MOST_UNITS: Final = 20
"""Of more units, the counts of a whole night are read and kept."""

_Figures = tuple[int, int, int]
"""Posts, those that migrate, and those left to handle."""
_Night = Mapping[str, _Figures]
_KEPT: Final[WeakKeyDictionary[sa.Engine, OrderedDict[tuple[str, datetime], _Night]]] = WeakKeyDictionary()
"""The counts of the last nights by unit as it is spelled in the posts, by batch and the moment that it ended at."""


@dataclass(frozen=True, slots=True)
class Unshown:
    """A dry run that was begun after the latest shown, and that does not count for readers."""

    batch_id: str
    run_id: str
    as_of: date
    state: BatchState
    """``failed``, or a state before ``verified``: the run is still under way."""
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
    """Whether it was judged by the same rules as the latest; other rules count posts differently."""


def dry_runs(connection: sa.Connection) -> tuple[DryRun, ...]:
    """Return the dry runs to compare, the earliest as-of date first; the last is the latest (``staging.dry_runs``).

    Raises:
        NoBatchError: there is no dry run.
    """
    runs = comparable(read_dry_runs(connection))
    if not runs:
        raise NoBatchError("no dry run has been verified yet")
    return runs


def unshown(connection: sa.Connection, latest: DryRun | None) -> Unshown | None:
    """Return the last dry run of PMO if it was begun after the latest shown and does not count for readers.

    A rerun of a past day is left out: what the page shows does not depend on it.
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
    """Return, by the units' keys, the spellings of each unit in the posts of the last two dry runs."""
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

    A unit without posts in a run has a point with zeros there.

    Args:
        connection: a connection from ``reading``.
        runs: the dry runs.
        names: the names of the wanted units, as ``unit_names`` returns them.
    """
    spelled = tuple(name for found in names.values() for name in found)
    counts = _kept(connection, runs) if len(spelled) > _MOST_UNITS else _read(connection, runs, spelled)
    nights = [(run.as_of, counts[run.batch_id], run.edition == runs[-1].edition) for run in runs]
    return {
        key: tuple(TrendPoint(as_of, *_sum_of(night, found), same) for as_of, night, same in nights)
        for key, found in names.items()
    }


def runs_of_pace(runs: Sequence[DryRun]) -> tuple[DryRun, ...]:
    """Return the last dry runs that a pace is measured by (``forecast``); the latest is one of them."""
    return tuple(run for run in runs if (runs[-1].as_of - run.as_of).days <= WINDOW_DAYS)


def add_up(trends: Collection[Sequence[TrendPoint]]) -> tuple[TrendPoint, ...]:
    """Return the sums of several units' figures; all units must have the same dry runs."""
    return tuple(
        TrendPoint(
            points[0].as_of,
            sum([point.posts for point in points]),
            sum([point.ready for point in points]),
            sum([point.left for point in points]),
            points[0].same_rules,
        )
        for points in zip(*trends, strict=True)
    )


def _sum_of(night: _Night, names: Collection[str]) -> _Figures:
    found = [night[name] for name in names if name in night]
    if len(found) == 1:
        return found[0]
    return sum([it[0] for it in found]), sum([it[1] for it in found]), sum([it[2] for it in found])


def _kept(connection: sa.Connection, runs: Sequence[DryRun]) -> Mapping[str, _Night]:
    """Return the counts of every unit in some dry runs, by batch; those that this process has not read are read."""
    kept = _KEPT.setdefault(connection.engine, OrderedDict())
    ended = {run.batch_id: (run.batch_id, run.finished_at) for run in runs if run.finished_at is not None}
    found = {batch_id: night for batch_id, key in ended.items() if (night := kept.get(key)) is not None}
    read = _read(connection, [run for run in runs if run.batch_id not in found])
    kept.update({ended[batch_id]: night for batch_id, night in read.items() if batch_id in ended})
    while len(kept) > _MOST_NIGHTS:
        kept.popitem(last=False)
    return {**found, **read}


def _read(
    connection: sa.Connection, runs: Sequence[DryRun], units: Collection[str] | None = None
) -> Mapping[str, _Night]:
    """Return the counts of some units in some dry runs, by batch; None for every unit."""
    found: dict[str, dict[str, _Figures]] = {run.batch_id: {} for run in runs}
    if not found:
        return found
    batch_ids = tuple(found)
    if units is None:
        rows = ask(connection, "sum_every_unit", batch_ids=batch_ids, handled=HANDLED_CODES)
    else:
        rows = ask(connection, "sum_unit_trends", batch_ids=batch_ids, handled=HANDLED_CODES, units=tuple(units))
    for row in rows:
        found[row.batch_id][row.enhet_hsa_id] = (int(row.posts), int(row.ready), int(row.posts_left))
    return found


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
    """Return a unit's name."""
    return UNKNOWN_UNIT_NAME if key == UNKNOWN else mappings.name_of(key)
