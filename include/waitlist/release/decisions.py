"""Approval, release, rejection and withdrawal of a verified batch, whose rows RevenueCycle's load then reads.

``verified -> awaiting_approval -> released -> withdrawn or withdrawn_after_load``, or ``rejected``. Each step is one
transaction together with its entry in the audit trail, so a process that is killed has taken the step whole or not at
all. When the same person repeats a step with the same words, nothing changes, so a rerun can finish an interrupted run.

An approval is of rows, not of a batch's name: it is stored with a hash over every post and its ``row_hash``, and the
release of any other rows is refused. A post is released once: the key of ``released_post`` enforces that in the
database. Releases wait for each other, so that the later one can report the posts that it has in common.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from waitlist import __version__
from waitlist.exceptions import ReasonError, RefusedError, StagingError
from waitlist.facts.gates import BY_SETTING, OPTIONAL, Gate
from waitlist.release import ledger
from waitlist.release.gates import GateResult, measured_again, read_gates, write_gates
from waitlist.release.proof import (
    GATES,
    SAMPLE,
    SOFTWARE,
    Approved,
    Rows,
    approved,
    bound_columns,
    bound_gates,
    changed_requests,
    differing,
    find_posts,
    gates_digest,
    last_event,
    named,
    plain,
    provable,
    read_contents,
    read_rows,
    verify_released,
)
from waitlist.release.receipts.holding import count_free, follow_answers, may_be_loaded, wait_for_other_releases
from waitlist.release.receipts.settling import SHORTEST_REASON, has_reason
from waitlist.release.sample.state import read_state
from waitlist.staging import WITHDRAWN, BatchKind, BatchState, Event, EventName, StagingStore, schema
from waitlist.staging.database import refusals_named
from waitlist.staging.events import entry, read_events

__all__ = [
    "SHORTEST_REASON",
    "Rows",
    "has_reason",
    "keep",
    "last_entry",
    "provable",
    "reject",
    "release",
    "request_approval",
    "verify_released",
    "was_kept",
    "withdraw",
]

_ELSEWHERE: Final = "that another batch has released"
_NOTHING: Final = "nothing was changed"
_WITHDRAWN_AS: Final = {False: BatchState.WITHDRAWN, True: BatchState.WITHDRAWN_AFTER_LOAD}


def request_approval(
    store: StagingStore, batch_id: str, gates: Sequence[GateResult], actor: str, now: datetime
) -> Rows:
    """Ask for approval of a verified migration: from then on its rows are fixed, and their hash is stored.

    A repeated request with the same gates changes nothing. With other gates, the new ones replace them.

    Args:
        store: the staging database.
        batch_id: the batch.
        gates: the result of every gate, passed or not, in the gates' order.
        actor: the person that asks; ``staging.PIPELINE`` for a run.
        now: the moment, aware.

    Returns:
        the rows to approve.

    Raises:
        RefusedError: the batch is unknown, a dry run or not verified; a gate is missing; the accounts do not add
            up; a row does not match its hash, or has changed since approval was last asked for; or another batch
            has released one of the posts. Nothing has changed then.
    """
    asked = _Decision(batch_id, BatchState.AWAITING_APPROVAL, actor, None, now)
    with store.holding("asking for approval of batch", batch_id) as (connection, state):
        asked.require(connection, state, {BatchState.VERIFIED, BatchState.AWAITING_APPROVAL}, "approved")
        _require_gates(batch_id, gates)
        before = approved(connection, batch_id) if state is BatchState.AWAITING_APPROVAL else None
        found = _sound(store, batch_id, bound_columns() if before is None else before.columns)
        _refuse_posts(batch_id, _ELSEWHERE, find_posts(store, connection, "released_elsewhere", batch_id))
        if before is not None:
            _require_approved(batch_id, found, before)
            if bound_gates(read_gates(connection, batch_id)) == bound_gates(gates):
                return found.rows
        write_gates(connection, batch_id, gates)
        failed = [result.gate.value for result in _failed(gates)]
        contents = {**found.contents, GATES: gates_digest(gates)}
        bound = {"contents": contents, "columns": dict(found.columns)}
        asked.take(connection, {**_summary(found.rows), "gates_failed": failed, **bound})
    return found.rows


def release(
    store: StagingStore, batch_id: str, actor: str, reason: str | None, now: datetime, *, asked: int | None = None
) -> int:
    """Release exactly the rows that approval was asked for, all or nothing, in one transaction.

    Args:
        store: the staging database.
        batch_id: the batch.
        actor: the approver.
        reason: the approver's reason, in their words; required where a gate has failed.
        now: the moment, aware.
        asked: the number of the audit trail's entry for the approval request that the approver read; None for the
            last one.

    Returns:
        the number of posts released; for a repeated release, the number of the first time.

    Raises:
        RefusedError: the batch is unknown, a dry run, or does not await approval; approval was asked for again
            since; a row has changed since approval was asked for; or another batch has released one of the posts.
            Nothing has changed then.
        ReasonError: a gate has failed and no reason is written; nothing has changed.
    """
    approval = _Decision(batch_id, BatchState.RELEASED, actor, reason, now)
    with store.holding("releasing batch", batch_id) as (connection, state):
        before = approval.taken_before(connection, state)
        if before is not None:
            return int(before.details["posts"])
        approval.require(connection, state, {BatchState.AWAITING_APPROVAL}, "released")
        _require_asked(connection, batch_id, EventName.AWAITING_APPROVAL, asked)
        measured, compared = _with_sample(store, connection, batch_id, read_gates(connection, batch_id))
        failed = _failed(measured)
        if failed:
            names = ", ".join(result.gate.value for result in failed)
            approval.require_reason(f"gates have failed ({names}), and to release it all the same")
        wait_for_other_releases(connection)
        wanted = approved(connection, batch_id)
        found = _sound(store, batch_id, wanted.columns)
        _require_approved(batch_id, found, wanted)
        if wanted.contents.get(GATES, gates_digest(measured)) != gates_digest(measured):
            raise RefusedError(f"batch {batch_id}: its gates have changed since approval was asked for; {_NOTHING}")
        _refuse_posts(batch_id, _ELSEWHERE, find_posts(store, connection, "released_elsewhere", batch_id))
        _release_posts(connection, batch_id, now)
        if _released(connection, batch_id) != found.rows.posts:
            raise StagingError(f"batch {batch_id}: rows came or went while it was released; nothing was changed")
        if failed:
            figures = {
                result.gate.value: {"measured": result.measured, "threshold": result.threshold} for result in failed
            }
            approval.record(connection, EventName.OVERRIDE, {"gates": figures})
        # Every hand-off of the batch names this version, so a later one writes the same bytes.
        details = {**_summary(found.rows), SOFTWARE: __version__, **compared}
        if compared:
            write_gates(connection, batch_id, measured)
        approval.take(connection, details, approved_by=approval.person, approved_at=now, released_at=now)
    return found.rows.posts


def reject(store: StagingStore, batch_id: str, actor: str, reason: str | None, now: datetime) -> None:
    """Close a batch that awaits approval; a repetition changes nothing.

    Args:
        store: the staging database.
        batch_id: the batch.
        actor: the person that rejects; ``staging.PIPELINE`` where nobody answered in time.
        reason: that person's reason, in their words.
        now: the moment, aware.

    Raises:
        RefusedError: the batch is unknown or does not await approval.
    """
    rejection = _Decision(batch_id, BatchState.REJECTED, actor, reason, now)
    with store.holding("rejecting batch", batch_id) as (connection, state):
        if rejection.taken_before(connection, state) is None:
            rejection.require(connection, state, {BatchState.AWAITING_APPROVAL}, "rejected")
            rejection.take(connection, _summary(approved(connection, batch_id).rows))


def withdraw(
    store: StagingStore,
    batch_id: str,
    actor: str,
    reason: str | None,
    now: datetime,
    *,
    asked: int | None = None,
    loaded: bool = False,
) -> int:
    """Withdraw a released batch; a repetition changes nothing.

    The view no longer shows its posts. Where no receiver can have them, all are free: later batches may release them.
    Where a receiver may have them (``holding.may_be_loaded``), the batch is withdrawn after the load, and only those
    are free that the receiver confirms not to have, now or later. The audit trail keeps their number and their hash.

    Args:
        store: the staging database.
        batch_id: the batch.
        actor: the person that withdraws it.
        reason: that person's reason, in their words; required.
        now: the moment, aware.
        asked: the number of the audit trail's entry for the release that the person read about; None for the last.
        loaded: whether a receiver has loaded it, as far as the person that asks knows.

    Returns:
        the number of posts that may be released again.

    Raises:
        RefusedError: the batch is unknown or not released. Nothing has changed then.
        ReasonError: no reason is written; nothing has changed.
    """
    with store.holding("withdrawing batch", batch_id) as (connection, state):
        after_load = loaded or may_be_loaded(connection, batch_id)
        leads_to = state if state in WITHDRAWN else _WITHDRAWN_AS[after_load]
        withdrawal = _Decision(batch_id, leads_to, actor, reason, now)
        before = withdrawal.taken_before(connection, state)
        if before is not None:
            return int(before.details["posts"]) if state is BatchState.WITHDRAWN else count_free(connection, batch_id)
        withdrawal.require(connection, state, {BatchState.RELEASED}, "withdrawn")
        _require_asked(connection, batch_id, EventName.RELEASED, asked)
        withdrawal.require_reason("to withdraw it")
        released, rows = schema.released_post, approved(connection, batch_id).rows
        if leads_to is BatchState.WITHDRAWN:
            posts = _released(connection, batch_id)
            withdrawal.take(connection, {"posts": posts, "rows_hash": rows.rows_hash})
            # The database allows this for a withdrawn batch only.
            connection.execute(released.delete().where(released.c.batch_id == batch_id))
            return posts
        withdrawal.take(connection, _summary(rows))
        follow_answers(connection, batch_id, leads_to, now)
        return count_free(connection, batch_id)


def keep(store: StagingStore, batch_id: str, actor: str, reason: str | None, now: datetime, *, asked_by: str) -> None:
    """Record that somebody was asked to withdraw a released batch, and decided to keep it released.

    Args:
        store: the staging database.
        batch_id: the batch.
        actor: the person that keeps it.
        reason: that person's reason, in their words.
        now: the moment, aware.
        asked_by: the run that asked.

    Raises:
        RefusedError: the batch is unknown or not released.
    """
    decision = _Decision(batch_id, BatchState.RELEASED, actor, reason, now)
    with store.holding("keeping batch", batch_id) as (connection, state):
        decision.require(connection, state, {BatchState.RELEASED}, "kept")
        details = {**_summary(approved(connection, batch_id).rows), "asked_by": asked_by}
        decision.record(connection, EventName.KEPT, details)


def was_kept(store: StagingStore, batch_id: str, *, asked_by: str) -> bool:
    """Tell whether a run asked somebody to withdraw a batch and the answer was to keep it released."""
    events = store.events(batch_id)
    return any(event.event is EventName.KEPT and event.details["asked_by"] == asked_by for event in events)


def last_entry(store: StagingStore, batch_id: str, event: EventName) -> int:
    """Return the number of a batch's last entry of an event.

    Raises:
        RefusedError: its audit trail has no such entry.
    """
    with refusals_named(f"audit trail of batch {batch_id}"), store.database.connected() as connection:
        return _last(connection, batch_id, event).event_no


class _Decision:
    """A step that a person takes with a batch, and the state that it leads to."""

    def __init__(self, batch_id: str, leads_to: BatchState, actor: str, reason: str | None, now: datetime) -> None:
        self.person: Final = actor.strip()
        self._batch_id = batch_id
        self._leads_to = leads_to
        self._reason = (reason or "").strip() or None
        self._now = now
        if not self.person:
            raise RefusedError(f"batch {batch_id}: the name of the person that decides is missing; nothing was changed")

    def taken_before(self, connection: sa.Connection, state: BatchState) -> Event | None:
        """Return the entry of this step if the same person took it before with the same words, else None."""
        if state is not self._leads_to:
            return None
        last = [event for event in read_events(connection, self._batch_id) if event.event == state.value][-1:]
        return next((event for event in last if (event.actor, event.reason) == (self.person, self._reason)), None)

    def require(self, connection: sa.Connection, state: BatchState, states: Collection[BatchState], done: str) -> None:
        """Refuse a dry run, and a state that the step cannot start from."""
        table = schema.batch.c
        kind = connection.scalar(sa.select(table.kind).where(table.batch_id == self._batch_id))
        if kind != BatchKind.MIGRATION:
            raise RefusedError(f"batch {self._batch_id} is a dry run: it can never be {done}; nothing was changed")
        if state not in states:
            wanted = " or ".join(plain(allowed) for allowed in BatchState if allowed in states)
            raise RefusedError(
                f"batch {self._batch_id} is {plain(state)}: only one that is {wanted} can be {done}; "
                "nothing was changed"
            )

    def require_reason(self, doing: str) -> None:
        """Refuse a missing or too short reason."""
        if not has_reason(self._reason):
            raise ReasonError(
                f"batch {self._batch_id}: {doing} takes a written reason of at least {SHORTEST_REASON} characters; "
                "nothing was changed"
            )

    def record(self, connection: sa.Connection, event: EventName | BatchState, details: Mapping[str, Any]) -> None:
        """Add an entry to the audit trail."""
        row = entry(self._batch_id, event, at=self._now, actor=self.person, reason=self._reason, details=details)
        connection.execute(row)

    def take(self, connection: sa.Connection, details: Mapping[str, Any], **columns: str | datetime) -> None:
        """Add the entry, then set the batch's new state: the database refuses a state without its entry."""
        self.record(connection, self._leads_to, details)
        table = schema.batch
        values = {"state": self._leads_to.value, **columns}
        connection.execute(table.update().where(table.c.batch_id == self._batch_id).values(values))


def _release_posts(connection: sa.Connection, batch_id: str, now: datetime) -> None:
    request, released = schema.bokningsbegaran.c, schema.released_post
    rows = sa.select(request.post_id, request.batch_id, request.row_hash, sa.literal(now, schema.UtcDateTime))
    # In the order of the key: releases that run at the same time wait for each other and cannot deadlock.
    rows = rows.where(request.batch_id == batch_id).order_by(request.post_id)
    connection.execute(released.insert().from_select(["post_id", "batch_id", "row_hash", "released_at"], rows))
    followed, place = schema.followed_post, schema.disposition
    same = sa.and_(place.c.batch_id == request.batch_id, place.c.post_id == request.post_id)
    posts = sa.select(request.batch_id, request.post_id, place.c.enhet_hsa_id, request.begart_slutdatum)
    posts = posts.outerjoin_from(schema.bokningsbegaran, place, same).where(request.batch_id == batch_id)
    connection.execute(followed.insert().from_select([column.name for column in followed.columns], posts))
    ledger.keep_posts(connection, batch_id)


def _released(connection: sa.Connection, batch_id: str) -> int:
    # Drivers do not agree on how many rows a statement wrote.
    table = schema.released_post
    count = sa.select(sa.func.count()).select_from(table).where(table.c.batch_id == batch_id)
    return int(connection.scalar(count) or 0)


def _with_sample(
    store: StagingStore, connection: sa.Connection, batch_id: str, gates: Sequence[GateResult]
) -> tuple[list[GateResult], dict[str, Any]]:
    """Return the gates with the sample as it is now, and what the release keeps of it; nothing where the gate is off.

    A person that judges a post waits for the transaction that holds the batch, so no verdict comes between.
    """
    if not any(result.gate is Gate.SAMPLE for result in gates):
        return list(gates), {}
    found = read_state(store, connection, store.batch(batch_id))
    again = [measured_again(result, found.missing) if result.gate is Gate.SAMPLE else result for result in gates]
    return again, {SAMPLE: {"missing": found.missing, "bound": found.bound, "posts": found.posts}}


def _require_gates(batch_id: str, gates: Sequence[GateResult]) -> None:
    measured = [result.gate for result in gates]
    if measured != [gate for gate in Gate if gate not in OPTIONAL | BY_SETTING or gate in measured]:
        raise RefusedError(f"batch {batch_id}: every gate must be measured once, in order: {', '.join(Gate)}")
    if any(result.gate is Gate.ACCOUNTING for result in _failed(gates)):
        raise RefusedError(
            f"batch {batch_id} does not add up any more, so it cannot be approved: "
            "clear the run from the first assess task on"
        )
    if any(result.gate is Gate.PERSONS_NOT_ASKED for result in _failed(gates)):
        raise RefusedError(
            f"batch {batch_id}: the person service has not answered about everybody who waits, so it cannot be "
            "approved: clear check_persons and what follows"
        )


def _require_approved(batch_id: str, found: Approved, wanted: Approved) -> None:
    if found.rows != wanted.rows:
        raise RefusedError(
            f"batch {batch_id} has changed since approval was asked for: {wanted.rows.posts} posts then, "
            f"{found.rows.posts} now, and their hashes differ; nothing was released. Reject it and start a new run"
        )
    if others := differing(found.contents, wanted.contents):
        raise RefusedError(
            f"batch {batch_id} has changed since approval was asked for, in {', '.join(others)}; nothing was released. "
            "Reject it and start a new run"
        )


def _last(connection: sa.Connection, batch_id: str, event: EventName) -> Event:
    found = last_event(read_events(connection, batch_id), event)
    if found is None:
        raise RefusedError(f"batch {batch_id}: its audit trail has no entry that it was {plain(event)}")
    return found


def _require_asked(connection: sa.Connection, batch_id: str, event: EventName, asked: int | None) -> None:
    if asked not in {None, _last(connection, batch_id, event).event_no}:
        raise RefusedError(
            f"batch {batch_id}: the batch has changed since this question was asked; nothing was changed"
        )


def _sound(store: StagingStore, batch_id: str, columns: Mapping[str, Sequence[str]]) -> Approved:
    """Return the batch's committed rows, after a check that every booking request matches its hash.

    The digests cover the given columns by table (``proof.read_contents``).
    """
    with store.database.reading() as read:
        changed = changed_requests(store, read, batch_id)
        _refuse_posts(batch_id, "that are no longer what their row_hash was made from", changed)
        rows = read_rows(read, schema.bokningsbegaran, batch_id)
        return Approved(rows, read_contents(store.database, read, batch_id, columns), columns)


def _refuse_posts(batch_id: str, why: str, posts: Sequence[int]) -> None:
    if posts:
        raise RefusedError(f"batch {batch_id} has {len(posts)} posts {why}: {named(posts)}; nothing was changed")


def _summary(rows: Rows) -> dict[str, Any]:
    return {"posts": rows.posts, "rows_hash": rows.rows_hash}


def _failed(gates: Iterable[GateResult]) -> list[GateResult]:
    return [result for result in gates if not result.passed]
