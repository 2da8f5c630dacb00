"""Överfört: the posts released to Millennium, the decisions with names and reasons, and later changes in PMO."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa

from waitlist.facts.mappings import Mappings
from waitlist.release.receipts.holding import still_released
from waitlist.reports.pages.history import dry_runs
from waitlist.reports.pages.paging import Paging
from waitlist.reports.pages.reading import NoBatchError, ask, reading
from waitlist.staging import BatchState, EventName, StagingStore, schema
from waitlist.staging.changes import PERSONS
from waitlist.staging.dry_runs import DryRun
from waitlist.staging.events import Event, read_events_of
from waitlist.staging.held import held_numbers, row_of

ROWS: Final = 50
"""Changed posts on a page."""

_WHAT: Final = (schema.released_change.c.change, schema.released_change.c.columns)
_DECISIONS: Final = frozenset(
    {
        EventName.OVERRIDE,
        EventName.RELEASED,
        EventName.REJECTED,
        EventName.WITHDRAWN,
        EventName.WITHDRAWN_AFTER_LOAD,
        EventName.KEPT,
    }
)


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about a batch."""

    event: EventName
    at: datetime
    actor: str
    """``pipeline`` where nobody answered in time."""
    reason: str | None
    posts: int | None
    gates: tuple[str, ...]
    """The gates that were overridden."""


@dataclass(frozen=True, slots=True)
class ReleasedBatch:
    """A batch for which approval was asked."""

    batch_id: str
    dag_id: str
    run_id: str
    wave: str | None
    as_of: date
    state: BatchState
    posts: int | None
    """Booking requests that were approved, or await approval."""
    shown: int
    """Posts that Millennium can read from it now."""
    asked_at: datetime | None
    """When approval was asked for, the latest time."""
    released_at: datetime | None
    decisions: tuple[Decision, ...]
    """The oldest first."""
    changed: int
    """How many of its posts have been changed in PMO since."""
    gone: int
    """How many of its posts are no longer on a list in PMO."""


@dataclass(frozen=True, slots=True)
class ChangeCount:
    """Posts of a released batch and unit that differ in the same way."""

    released_in: str
    hsa_id: str | None
    """None where retention has removed the posts' unit."""
    unit: str | None
    """As in ``units.csv``, else the HSA-id."""
    change: str
    """``changed`` or ``gone``."""
    columns: tuple[str, ...]
    """Names of Bokningsbegäran's columns that differ, never their values; empty for a post that is gone."""
    posts: int


@dataclass(frozen=True, slots=True)
class ChangedPost:
    """A released post that has since been changed or closed in PMO."""

    post_id: int
    change: str
    columns: tuple[str, ...]
    released_in: str
    hsa_id: str | None
    unit: str | None


@dataclass(frozen=True, slots=True)
class Released:
    """The page."""

    batches: tuple[ReleasedBatch, ...]
    """The latest first, including batches that await a decision or were rejected."""
    seen_by: DryRun | None
    """The dry run that compared PMO with the released posts; None before the first one."""
    changes: tuple[ChangeCount, ...]
    posts: tuple[ChangedPost, ...]
    paging: Paging


def read_released(store: StagingStore, mappings: Mappings, page: int) -> Released:
    """Read the page, with one page of its list of posts.

    Raises:
        NoBatchError, StagingError: see ``reading``.
    """
    with reading(store, "reading what was released") as connection:
        seen_by = _latest(connection)
        changes = () if seen_by is None else _changes(connection, seen_by.batch_id, mappings)
        paging = Paging.of(page, ROWS, sum(change.posts for change in changes))
        posts = () if seen_by is None else _posts(connection, seen_by.batch_id, mappings, paging)
        batches = decided_batches(connection, changes)
    return Released(
        batches=batches,
        seen_by=seen_by,
        changes=changes,
        posts=posts,
        paging=paging,
    )


def decided_batches(connection: sa.Connection, changes: Sequence[ChangeCount] = ()) -> tuple[ReleasedBatch, ...]:
    """Return the batches for which approval was asked, the latest first.

    Args:
        connection: a connection from ``reading``.
        changes: how many of their posts have been changed since; without them these counts are zero.
    """
    rows = ask(connection, "list_released_batches").all()
    events: dict[str, list[Event]] = defaultdict(list)
    for event in read_events_of(connection, [row.batch_id for row in rows]):
        events[event.batch_id].append(event)
    return tuple(
        ReleasedBatch(
            batch_id=row.batch_id,
            dag_id=row.dag_id,
            run_id=row.run_id,
            wave=row.wave,
            as_of=row.as_of if isinstance(row.as_of, date) else date.fromisoformat(row.as_of),
            state=BatchState(row.state),
            posts=row.posts_staged,
            shown=row.shown,
            asked_at=_last_at(events[row.batch_id], EventName.AWAITING_APPROVAL),
            released_at=next((event.at for event in events[row.batch_id] if event.event is EventName.RELEASED), None),
            decisions=tuple(_decision(event) for event in events[row.batch_id] if event.event in _DECISIONS),
            changed=_sum(changes, row.batch_id, "changed"),
            gone=_sum(changes, row.batch_id, "gone"),
        )
        for row in rows
    )


def _last_at(events: Sequence[Event], name: EventName) -> datetime | None:
    return next((event.at for event in reversed(events) if event.event is name), None)


def _latest(connection: sa.Connection) -> DryRun | None:
    try:
        return dry_runs(connection)[-1]
    except NoBatchError:
        return None


def _decision(event: Event) -> Decision:
    return Decision(
        event=event.event,
        at=event.at,
        actor=event.actor,
        reason=event.reason,
        posts=event.details.get("posts"),
        gates=tuple(sorted(event.details.get("gates", {}))),
    )


def _changes(connection: sa.Connection, dry_run: str, mappings: Mappings) -> tuple[ChangeCount, ...]:
    found = _since(connection, dry_run).subquery().c
    key = (found.batch_id, found.enhet_hsa_id, found.change, found.columns)
    query = sa.select(*key, sa.func.count().label("posts")).group_by(*key).order_by(*key)
    counts = (
        ChangeCount(
            row.batch_id,
            row.enhet_hsa_id,
            _unit(row.enhet_hsa_id, mappings),
            row.change,
            _columns(row.columns),
            row.posts,
        )
        for row in connection.execute(query)
    )
    return tuple(sorted(counts, key=lambda count: set(count.columns).isdisjoint(PERSONS)))


def _posts(connection: sa.Connection, dry_run: str, mappings: Mappings, paging: Paging) -> tuple[ChangedPost, ...]:
    post_id = schema.released_change.c.post_id
    columns = schema.released_change.c.columns
    # What the person service says comes first: nobody may be called before it has been looked at.
    of_person = sa.or_(*(columns.contains(name, autoescape=True) for name in PERSONS))
    query = (
        _since(connection, dry_run)
        .order_by(sa.case((of_person, 0), else_=1), post_id)
        .limit(paging.size)
        .offset(paging.offset)
    )
    return tuple(
        ChangedPost(post, change, _columns(columns), released_in, hsa_id, _unit(hsa_id, mappings))
        for post, change, columns, released_in, hsa_id in connection.execute(query)
    )


def _since(connection: sa.Connection, dry_run: str) -> sa.Select[Any]:
    """Return the query of the posts that a dry run found changed or gone, with their released batch and unit.

    Posts of a batch that was withdrawn after its load are left out: its list of what must return has them.
    """
    changed, released, unit = schema.released_change, still_released(), schema.disposition_row
    same = row_of(unit, released.c.post_id, released.c.batch_no, held_numbers(connection))
    return (
        sa.select(changed.c.post_id, *_WHAT, released.c.batch_id, unit.c.enhet_hsa_id)
        .join_from(changed, released, released.c.post_id == changed.c.post_id)
        .join(unit, same, isouter=True)
        .where(changed.c.batch_id == dry_run)
    )


def _columns(text: str) -> tuple[str, ...]:
    return tuple(text.split(", ")) if text else ()


def _unit(hsa_id: str | None, mappings: Mappings) -> str | None:
    known = mappings.units.get(hsa_id or "")
    return known.enhet if known else hsa_id


def _sum(changes: Sequence[ChangeCount], batch_id: str, change: str) -> int:
    return sum(count.posts for count in changes if (count.released_in, count.change) == (batch_id, change))
