"""The audit trail ``batch_event``: actor, action, time, reason and number of posts for every change of a batch.

An entry is written in the transaction of its change, so there is no change without an entry. Entries are only added,
never changed. A rerun that changes nothing adds no entry.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from waitlist.staging import schema
from waitlist.staging.states import BatchState, EventName

PIPELINE: Final = "pipeline"
"""The actor of an event that no human decided."""


WITHOUT_TLS: Final = "without_tls"
"""In the details of an entry ``open``: what the settings let be reached without TLS."""


@dataclass(frozen=True, slots=True)
class Event:
    """One row of ``batch_event``; its time is aware, in UTC."""

    batch_id: str
    event_no: int
    at: datetime
    actor: str
    event: EventName
    reason: str | None
    details: Mapping[str, Any]
    """Counts, hashes and names of gates or units; never a value of a post."""


def entry(
    batch_id: str,
    event: EventName | BatchState,
    *,
    at: datetime | None,
    actor: str = PIPELINE,
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> sa.Insert:
    """Return the statement that adds an entry; its transaction must have locked the batch's row.

    Args:
        batch_id: the batch.
        event: a state that the batch reached, or another ``EventName``.
        at: the time, aware; None for the time at which the batch was last started.
        actor: the user id of the actor, or the pipeline.
        reason: the reason, in the actor's words.
        details: as ``Event.details``.
    """
    table, batch = schema.batch_event, schema.batch.c
    # Bound as plain types: bulk drivers do not convert values.
    moment: sa.ColumnElement[Any] = (
        sa.select(batch.started_at).where(batch.batch_id == batch_id).scalar_subquery()
        if at is None
        else sa.literal(at.astimezone(UTC).replace(tzinfo=None), sa.DateTime)
    )
    values = {
        "batch_id": _text(batch_id),
        "event_no": sa.func.coalesce(sa.func.max(table.c.event_no), sa.literal_column("0")) + sa.literal_column("1"),
        "at": moment,
        "actor": _text(actor),
        "event": _text(EventName(event).value),
        "reason": sa.null() if reason is None else _text(reason),
        "details": _text(json.dumps(dict(details or {}), ensure_ascii=False, sort_keys=True)),
    }
    return table.insert().from_select(
        list(values), sa.select(*values.values()).select_from(table).where(table.c.batch_id == batch_id)
    )


def read_events(connection: sa.Connection, batch_id: str) -> list[Event]:
    """Return a batch's entries, the oldest first."""
    return read_events_of(connection, [batch_id])


def read_events_of(connection: sa.Connection, batch_ids: Sequence[str]) -> list[Event]:
    """Return the entries of some batches, batch by batch, the oldest first."""
    table = schema.batch_event
    query = sa.select(table).where(table.c.batch_id.in_(batch_ids)).order_by(table.c.batch_id, table.c.event_no)
    return [
        Event(**{**row, "event": EventName(row["event"]), "details": json.loads(row["details"])})
        for row in connection.execute(query).mappings()
    ]


def _text(value: str) -> sa.BindParameter[str]:
    return sa.literal(value, sa.Unicode)
