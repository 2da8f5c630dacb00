"""Which dry run the pages show: the latest that counts for readers and read every unit."""

from typing import Final

import sqlalchemy as sa

from waitlist.dashboard.reading import NoBatchError
from waitlist.gates import selected_units
from waitlist.staging import READABLE, Batch, BatchKind, BatchState, schema

_LOOKED_AT: Final = 20


def latest_dry_run(connection: sa.Connection) -> Batch:
    """Return the dry run of the latest as-of date that read every unit; where none did, the latest of any.

    Raises:
        NoBatchError: no dry run counts for readers yet.
    """
    table = schema.batch
    query = sa.select(table).where(
        table.c.kind == BatchKind.DRY_RUN.value, table.c.state.in_([state.value for state in READABLE])
    )
    query = query.order_by(table.c.as_of.desc(), table.c.started_at.desc(), table.c.batch_id).limit(_LOOKED_AT)
    found = [
        Batch(**{**row, "kind": BatchKind(row["kind"]), "state": BatchState(row["state"])})
        for row in connection.execute(query).mappings()
    ]
    if not found:
        raise NoBatchError("no dry run has been verified yet: run one first")
    return next((batch for batch in found if selected_units(connection, batch.batch_id) is None), found[0])
