"""From a verified batch to rows that RevenueCycle's load reads: approval, release, rejection and withdrawal.

``verified -> awaiting_approval -> released -> withdrawn``, or ``rejected``. Each step is one transaction with its
entry in the audit trail, so a process that is killed has taken it whole or not at all; a step that is repeated by
the same person with the same words changes nothing, so a rerun finishes what was begun.

An approval is of rows, not of a batch's name: it is kept with a hash over every post and its ``row_hash``, and a
release of anything else is refused. A post is released once: the key of ``released_post`` holds that in the
database, and releases wait for each other, so that the one that comes too late can name the posts.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from waitlist.approval import SHORTEST_REASON, summary
from waitlist.exceptions import ReconciliationError, RefusedError, StagingError
from waitlist.gates import Gate, GateResult, read_gates, write_gates
from waitlist.reconcile import find_changed_requests
from waitlist.staging import BatchKind, BatchState, Event, EventName, StagingStore, schema
from waitlist.staging.database import Read, refusals_named
from waitlist.staging.events import entry, read_events
from waitlist.staging.queries import read_sql

__all__ = [
    "SHORTEST_REASON",
    "Rows",
    "has_reason",
    "keep",
    "last_entry",
    "reject",
    "release",
    "request_approval",
    "summary",
    "verify_released",
    "was_kept",
    "withdraw",
]

_NAMED: Final = 20
_ELSEWHERE: Final = "that another batch has released"
_KEY: Final = pa.schema({"post_id": pa.int64()})
_HASHED_KEY: Final = pa.schema({"post_id": pa.int64(), "row_hash": pa.string()})
_RELEASE_LOCK: Final = 7_712_024_002


@dataclass(frozen=True, slots=True)
class Rows:
    """Booking requests as an approval binds them."""

    posts: int
    rows_hash: str
    """Hex SHA-256 over ``post_id``, U+001F, ``row_hash``, line feed of each, by ``post_id``."""


def request_approval(
    store: StagingStore, batch_id: str, gates: Sequence[GateResult], actor: str, now: datetime
) -> Rows:
    """Put a verified migration before a human: from now on its rows are fixed, and their hash is kept.

    Asked again with the same gates it changes nothing; with others, the new ones count.

    Args:
        store: the staging database.
        batch_id: the batch.
        gates: what every gate measured, passed or not, in their order.
        actor: who asks; ``staging.PIPELINE`` for a run.
        now: the moment, aware.

    Returns:
        what is to be approved.

    Raises:
        RefusedError: the batch is unknown, a dry run or not verified; a gate is missing; the accounts do not add
            up; a row is not what its hash was made from, or is not what approval was asked for before; or another
            batch has released one of the posts. Nothing has changed then.
    """
    asked = _Decision(batch_id, BatchState.AWAITING_APPROVAL, actor, None, now)
    with store.holding("asking for approval of batch", batch_id) as (connection, state):
        asked.require(connection, state, {BatchState.VERIFIED, BatchState.AWAITING_APPROVAL}, "approved")
        _require_gates(batch_id, gates)
        rows = _sound_rows(store, batch_id)
        _refuse_posts(batch_id, _ELSEWHERE, _ask(store, connection, "released_elsewhere", batch_id))
        if state is BatchState.AWAITING_APPROVAL:
            _require_approved(batch_id, rows, _approved(connection, batch_id))
            if read_gates(connection, batch_id) == list(gates):
                return rows
        write_gates(connection, batch_id, gates)
        asked.take(connection, {**_told(rows), "gates_failed": [result.gate.value for result in _failed(gates)]})
    return rows


def release(
    store: StagingStore, batch_id: str, actor: str, reason: str | None, now: datetime, *, asked: int | None = None
) -> int:
    """Release exactly the rows that approval was asked for, all of them or none, in one transaction.

    Args:
        store: the staging database.
        batch_id: the batch.
        actor: who approves.
        reason: why, in the approver's words; must be written where a gate has failed.
        now: the moment, aware.
        asked: the entry of the audit trail by which approval was asked, as the approver was shown it; None for the
            last one.

    Returns:
        the number of posts released; of a release that is repeated, the number from then.

    Raises:
        RefusedError: the batch is unknown, a dry run, or does not await approval; approval was asked for again
            since; a gate has failed and no reason is written; a row has changed since approval was asked for; or
            another batch has released one of the posts. Nothing has changed then.
    """
    approval = _Decision(batch_id, BatchState.RELEASED, actor, reason, now)
    with store.holding("releasing batch", batch_id) as (connection, state):
        before = approval.taken_before(connection, state)
        if before is not None:
            return int(before.details["posts"])
        approval.require(connection, state, {BatchState.AWAITING_APPROVAL}, "released")
        _require_asked(connection, batch_id, EventName.AWAITING_APPROVAL, asked)
        failed = _failed(read_gates(connection, batch_id))
        if failed:
            names = ", ".join(result.gate.value for result in failed)
            approval.require_reason(f"gates have failed ({names}), and to release it all the same")
        _wait_for_other_releases(connection)
        rows = _sound_rows(store, batch_id)
        _require_approved(batch_id, rows, _approved(connection, batch_id))
        _refuse_posts(batch_id, _ELSEWHERE, _ask(store, connection, "released_elsewhere", batch_id))
        _release_posts(connection, batch_id, now)
        if _released(connection, batch_id) != rows.posts:
            raise StagingError(f"batch {batch_id}: rows came or went while it was released; nothing was changed")
        if failed:
            figures = {each.gate.value: {"measured": each.measured, "threshold": each.threshold} for each in failed}
            approval.tell(connection, EventName.OVERRIDE, {"gates": figures})
        approval.take(connection, _told(rows), approved_by=approval.person, approved_at=now, released_at=now)
    return rows.posts


def verify_released(store: StagingStore, batch_id: str) -> int:
    """Prove that the view shows exactly what was approved, and nothing of it twice; return the number of posts.

    Raises:
        ReconciliationError: it does not; the message has every check that failed, with counts and post ids.
        RefusedError: the batch is unknown or not released.
    """
    with refusals_named(f"verifying the release of batch {batch_id}"), store.database.connected() as connection:
        state = store.batch(batch_id).state
        if state is not BatchState.RELEASED:
            raise RefusedError(f"batch {batch_id} is {_plain(state)}: only a released one can be verified")
        approved = _approved(connection, batch_id)
        unlike = _ask(store, connection, "shown_unlike_released", batch_id)
        twice = _ask(store, connection, "shown_twice", batch_id)
        with store.database.reading() as read:
            changed = _changed(store, read, batch_id)
            shown = _rows(read, schema.bokningsbegaran_released, batch_id)
    checks = {
        "posts that the view and released_post have differently": unlike,
        "posts that another released batch shows too": twice,
        "booking requests that their row_hash does not fit": changed,
    }
    faults = [f"{check}: {len(posts)}: {_post_ids(posts)}" for check, posts in checks.items() if posts]
    if shown != approved:
        faults.append(f"approved were {approved.posts} posts, shown are {shown.posts}, and their hashes differ")
    if faults:
        raise ReconciliationError("\n  ".join([f"batch {batch_id}: the view is not what was approved:", *faults]))
    return shown.posts


def reject(store: StagingStore, batch_id: str, actor: str, reason: str | None, now: datetime) -> None:
    """Close a batch that awaits approval; a repetition changes nothing.

    Args:
        store: the staging database.
        batch_id: the batch.
        actor: who rejects; ``staging.PIPELINE`` where nobody answered in time.
        reason: why, in their words.
        now: the moment, aware.

    Raises:
        RefusedError: the batch is unknown or does not await approval.
    """
    rejection = _Decision(batch_id, BatchState.REJECTED, actor, reason, now)
    with store.holding("rejecting batch", batch_id) as (connection, state):
        if rejection.taken_before(connection, state) is None:
            rejection.require(connection, state, {BatchState.AWAITING_APPROVAL}, "rejected")
            rejection.take(connection, _told(_approved(connection, batch_id)))


def withdraw(
    store: StagingStore, batch_id: str, actor: str, reason: str | None, now: datetime, *, asked: int | None = None
) -> int:
    """Take a released batch back, before RevenueCycle has loaded it; a repetition changes nothing.

    The view shows nothing of it any more, and later batches may release its posts. The audit trail keeps how
    many there were and their hash.

    Args:
        store: the staging database.
        batch_id: the batch.
        actor: who takes it back.
        reason: why, in their words; must be written.
        now: the moment, aware.
        asked: the entry of the audit trail that tells of the release, as that person was shown it; None for the last.

    Returns:
        the number of posts that are free again.

    Raises:
        RefusedError: the batch is unknown or not released, or no reason is written. Nothing has changed then.
    """
    withdrawal = _Decision(batch_id, BatchState.WITHDRAWN, actor, reason, now)
    with store.holding("withdrawing batch", batch_id) as (connection, state):
        before = withdrawal.taken_before(connection, state)
        if before is not None:
            return int(before.details["posts"])
        withdrawal.require(connection, state, {BatchState.RELEASED}, "withdrawn")
        _require_asked(connection, batch_id, EventName.RELEASED, asked)
        withdrawal.require_reason("to withdraw it")
        released, posts = schema.released_post, _released(connection, batch_id)
        connection.execute(released.delete().where(released.c.batch_id == batch_id))
        withdrawal.take(connection, {"posts": posts, "rows_hash": _approved(connection, batch_id).rows_hash})
    return posts


def keep(store: StagingStore, batch_id: str, actor: str, reason: str | None, now: datetime, *, asked_by: str) -> None:
    """Put on record that somebody was asked to withdraw a released batch, and let it stand.

    Args:
        store: the staging database.
        batch_id: the batch.
        actor: who lets it stand.
        reason: why, in their words.
        now: the moment, aware.
        asked_by: the run that asked.

    Raises:
        RefusedError: the batch is unknown or not released.
    """
    decision = _Decision(batch_id, BatchState.RELEASED, actor, reason, now)
    with store.holding("keeping batch", batch_id) as (connection, state):
        decision.require(connection, state, {BatchState.RELEASED}, "kept")
        decision.tell(connection, EventName.KEPT, {**_told(_approved(connection, batch_id)), "asked_by": asked_by})


def was_kept(store: StagingStore, batch_id: str, *, asked_by: str) -> bool:
    """Tell whether somebody whom a run asked to withdraw a batch let it stand."""
    events = store.events(batch_id)
    return any(each.event is EventName.KEPT and each.details["asked_by"] == asked_by for each in events)


def last_entry(store: StagingStore, batch_id: str, event: EventName) -> int:
    """Return the number of a batch's last entry of an event.

    Raises:
        RefusedError: its audit trail has none.
    """
    with refusals_named(f"audit trail of batch {batch_id}"), store.database.connected() as connection:
        return _last(connection, batch_id, event).event_no


def has_reason(reason: str | None) -> bool:
    """Tell whether a text is long enough to be a written reason."""
    return len("".join((reason or "").split())) >= SHORTEST_REASON


class _Decision:
    """A step that somebody takes with a batch, to the state that it leads to."""

    def __init__(self, batch_id: str, leads_to: BatchState, actor: str, reason: str | None, now: datetime) -> None:
        self.person: Final = actor.strip()
        self._batch_id = batch_id
        self._leads_to = leads_to
        self._reason = (reason or "").strip() or None
        self._now = now
        if not self.person:
            raise RefusedError(f"batch {batch_id}: nobody is named who decides; nothing was changed")

    def taken_before(self, connection: sa.Connection, state: BatchState) -> Event | None:
        """Return the entry of the step where the same person took it with the same words; None where it is new."""
        if state is not self._leads_to:
            return None
        last = [event for event in read_events(connection, self._batch_id) if event.event == state.value][-1:]
        return next((each for each in last if (each.actor, each.reason) == (self.person, self._reason)), None)

    def require(self, connection: sa.Connection, state: BatchState, states: Collection[BatchState], done: str) -> None:
        """Refuse a dry run, and a state that the step does not begin from."""
        table = schema.batch.c
        kind = connection.scalar(sa.select(table.kind).where(table.batch_id == self._batch_id))
        if kind != BatchKind.MIGRATION:
            raise RefusedError(f"batch {self._batch_id} is a dry run: it can never be {done}; nothing was changed")
        if state not in states:
            wanted = " or ".join(_plain(each) for each in BatchState if each in states)
            raise RefusedError(
                f"batch {self._batch_id} is {_plain(state)}: only one that is {wanted} can be {done}; "
                "nothing was changed"
            )

    def require_reason(self, doing: str) -> None:
        """Refuse without a written reason."""
        if not has_reason(self._reason):
            raise RefusedError(
                f"batch {self._batch_id}: {doing} takes a written reason of at least {SHORTEST_REASON} characters; "
                "nothing was changed"
            )

    def tell(self, connection: sa.Connection, event: EventName | BatchState, details: Mapping[str, Any]) -> None:
        """Add an entry to the audit trail."""
        told = entry(self._batch_id, event, at=self._now, actor=self.person, reason=self._reason, details=details)
        connection.execute(told)

    def take(self, connection: sa.Connection, details: Mapping[str, Any], **columns: str | datetime) -> None:
        """Bring the batch to its new state, and add the entry."""
        table = schema.batch
        values = {"state": self._leads_to.value, **columns}
        connection.execute(table.update().where(table.c.batch_id == self._batch_id).values(values))
        self.tell(connection, self._leads_to, details)


def _release_posts(connection: sa.Connection, batch_id: str, now: datetime) -> None:
    request, released = schema.bokningsbegaran.c, schema.released_post
    rows = sa.select(request.post_id, request.batch_id, request.row_hash, sa.literal(now, schema.UtcDateTime))
    # In the order of the key, so that releases that do meet wait for each other and never in a circle.
    rows = rows.where(request.batch_id == batch_id).order_by(request.post_id)
    connection.execute(released.insert().from_select(["post_id", "batch_id", "row_hash", "released_at"], rows))


def _released(connection: sa.Connection, batch_id: str) -> int:
    # Drivers do not agree on how many rows a statement wrote.
    table = schema.released_post
    count = sa.select(sa.func.count()).select_from(table).where(table.c.batch_id == batch_id)
    return int(connection.scalar(count) or 0)


def _wait_for_other_releases(connection: sa.Connection) -> None:
    # SQLite's transaction has locked the file already.
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_RELEASE_LOCK)))
    elif connection.dialect.name == "mssql":
        connection.exec_driver_sql(
            "EXEC sp_getapplock @Resource = 'waitlist releases', @LockMode = 'Exclusive',"
            " @LockOwner = 'Transaction', @LockTimeout = -1"
        )


def _require_gates(batch_id: str, gates: Sequence[GateResult]) -> None:
    if [result.gate for result in gates] != list(Gate):
        raise RefusedError(f"batch {batch_id}: every gate is to be measured once, in order: {', '.join(Gate)}")
    if any(result.gate is Gate.ACCOUNTING for result in _failed(gates)):
        raise RefusedError(
            f"batch {batch_id} does not add up any more, which nobody can approve: "
            "clear the run from the first assess task on"
        )


def _require_approved(batch_id: str, rows: Rows, approved: Rows) -> None:
    if rows != approved:
        raise RefusedError(
            f"batch {batch_id} has changed since approval was asked for: {approved.posts} posts then, {rows.posts} "
            "now, and their hashes differ; nothing was released. Reject it and start a new run"
        )


def _approved(connection: sa.Connection, batch_id: str) -> Rows:
    """Return what approval was asked for last."""
    details = _last(connection, batch_id, EventName.AWAITING_APPROVAL).details
    return Rows(details["posts"], details["rows_hash"])


def _last(connection: sa.Connection, batch_id: str, event: EventName) -> Event:
    entries = [each for each in read_events(connection, batch_id) if each.event is event]
    if not entries:
        raise RefusedError(f"batch {batch_id}: its audit trail does not tell that it was {_plain(event)}")
    return entries[-1]


def _require_asked(connection: sa.Connection, batch_id: str, event: EventName, asked: int | None) -> None:
    if asked not in {None, _last(connection, batch_id, event).event_no}:
        raise RefusedError(f"batch {batch_id}: the question was about another state of it; nothing was changed")


def _sound_rows(store: StagingStore, batch_id: str) -> Rows:
    """Return the batch's rows as they are committed, each proved to be what its hash was made from."""
    with store.database.reading() as read:
        changed = _changed(store, read, batch_id)
        _refuse_posts(batch_id, "that are no longer what their row_hash was made from", changed)
        return _rows(read, schema.bokningsbegaran, batch_id)


def _changed(store: StagingStore, read: Read, batch_id: str) -> list[int]:
    return [int(post) for found in find_changed_requests(store.database, read, batch_id) for post in found]


def _rows(read: Read, source: sa.Table, batch_id: str) -> Rows:
    digest, posts = hashlib.sha256(), 0
    query = sa.select(source.c.post_id, source.c.row_hash).where(source.c.batch_id == batch_id)
    for table in read(query.order_by(source.c.post_id), _HASHED_KEY):
        pairs = zip(table["post_id"].to_pylist(), table["row_hash"].to_pylist(), strict=True)
        digest.update("".join(f"{post}\x1f{row_hash}\n" for post, row_hash in pairs).encode())
        posts += table.num_rows
    return Rows(posts, digest.hexdigest())


def _ask(store: StagingStore, connection: sa.Connection, what: str, batch_id: str) -> list[int]:
    statement = sa.text(read_sql(f"find_{what}", store.database.schema)).bindparams(batch_id=batch_id)
    return [int(post) for post in connection.scalars(statement)]


def _refuse_posts(batch_id: str, why: str, posts: Sequence[int]) -> None:
    if posts:
        raise RefusedError(f"batch {batch_id} has {len(posts)} posts {why}: {_post_ids(posts)}; nothing was changed")


def _post_ids(posts: Sequence[int]) -> str:
    more = f" and {len(posts) - _NAMED} more" if len(posts) > _NAMED else ""
    return f"post_id {', '.join(str(post) for post in posts[:_NAMED])}{more}"


def _told(rows: Rows) -> dict[str, Any]:
    return {"posts": rows.posts, "rows_hash": rows.rows_hash}


def _failed(gates: Iterable[GateResult]) -> list[GateResult]:
    return [result for result in gates if not result.passed]


def _plain(state: BatchState | EventName) -> str:
    return state.value.replace("_", " ")
