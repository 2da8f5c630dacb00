"""What happened between the dry runs of a trend: releases, nights that failed, and changed mapping files."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import sqlalchemy as sa

from waitlist.reports.pages.released import ReleasedBatch
from waitlist.staging import BatchKind, BatchState, schema
from waitlist.staging.dry_runs import DryRun


class MarkKind(StrEnum):
    """What happened."""

    RELEASED = "released"
    FAILED = "failed"
    """No dry run of the day was verified."""
    MAPPING = "mapping"
    """The dry run was judged by other mapping files than the one before."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One event on the time axis."""

    day: dt.date
    """The as-of date, as the trend has it."""
    kind: MarkKind
    batch_id: str
    about: tuple[str, ...]
    """The wave that was released, or the names of the files that were changed."""


def read_marks(
    connection: sa.Connection,
    runs: Sequence[DryRun],
    batches: Sequence[ReleasedBatch],
    waves: Collection[str | None] | None = None,
) -> tuple[Mark, ...]:
    """Read the events of the time that some dry runs cover, the earliest first.

    Args:
        connection: a connection from ``reading``.
        runs: the dry runs of the trend, the earliest first.
        batches: the batches for which approval was asked (``decided_batches``).
        waves: the waves whose releases are wanted; None for all.
    """
    first, last = runs[0].as_of, runs[-1].as_of
    marks = [*_failed(connection, runs), *_mapping(connection, runs)]
    marks += [
        Mark(batch.as_of, MarkKind.RELEASED, batch.batch_id, (batch.wave,) if batch.wave else ())
        for batch in batches
        if batch.released_at is not None and first <= batch.as_of <= last and (waves is None or batch.wave in waves)
    ]
    return tuple(sorted(marks, key=lambda mark: (mark.day, mark.kind, mark.batch_id)))


def _failed(connection: sa.Connection, runs: Sequence[DryRun]) -> list[Mark]:
    table = schema.batch.c
    query = sa.select(table.batch_id, table.as_of).where(
        table.kind == BatchKind.DRY_RUN.value,
        table.state == BatchState.FAILED.value,
        table.reuse_snapshot.is_(None),
        table.as_of.between(runs[0].as_of, runs[-1].as_of),
    )
    verified = {run.as_of for run in runs}
    return [
        Mark(as_of, MarkKind.FAILED, batch_id, ())
        for batch_id, as_of in connection.execute(query)
        if as_of not in verified
    ]


def _mapping(connection: sa.Connection, runs: Sequence[DryRun]) -> list[Mark]:
    table = schema.batch.c
    query = sa.select(table.batch_id, table.facts).where(table.batch_id.in_([run.batch_id for run in runs]))
    facts = {
        batch_id: {name: digest for name, digest in (found or {}).items() if name.endswith(".csv")}
        for batch_id, found in connection.execute(query)
    }
    marks = []
    for before, after in pairwise(runs):
        then, now = facts.get(before.batch_id), facts.get(after.batch_id)
        # A batch of an earlier release has no digests to compare with.
        if then and now and then != now:
            names = tuple(sorted(name for name in {*then, *now} if then.get(name) != now.get(name)))
            marks.append(Mark(after.as_of, MarkKind.MAPPING, after.batch_id, names))
    return marks
