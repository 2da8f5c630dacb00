"""The audit trail ``batch_event``: who did what to a batch, when, why, and how many posts it concerned.

An entry is written in the transaction that makes the change, so there is no change without its entry. Entries
are only ever added. What a rerun finds unchanged gets none.
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
"""The actor of what no human decided."""


@dataclass(frozen=True, slots=True)
class Event:
    """One row of ``batch_event``; its moment is aware, in UTC."""

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
    """Return the statement that adds an entry; the transaction that runs it holds the batch's row.

    Args:
        batch_id: the batch.
        event: what happened; a state that the batch came to, or ``EventName.OVERRIDE``.
        at: the moment, aware; None for the one at which the batch was begun or begun anew.
        actor: who did it.
        reason: why, in the actor's words.
        details: what ``Event.details`` has.
    """
    table, batch = schema.batch_event, schema.batch.c
    # Bound as plain types: bulk drivers take values as they are.
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
