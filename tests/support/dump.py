"""A staging database as text, to be compared whole."""

from typing import Any

import sqlalchemy as sa

from waitlist.source.batch_files import GATES
from waitlist.staging import StagingStore, schema

OF_THE_RUN = {"started_at", "finished_at", "approved_at", "released_at", "batch_no"}
"""Columns that differ between two runs with the same result."""


def dump(store: StagingStore) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table, in the order of its key, without the times at which it was written.

    Digests of these times are left out too.
    """
    tables = {}
    with store.database.connected() as connection:
        for table in schema.READ:
            if table in schema.AUDIT:
                continue
            columns = [column for column in table.columns if column.name not in OF_THE_RUN]
            rows = connection.execute(sa.select(*columns).order_by(*table.primary_key.columns))
            tables[table.name] = [tuple(row) for row in rows if not _depends_on_others(table, row)]
    return tables


def _depends_on_others(table: sa.Table, row: sa.Row[Any]) -> bool:
    """Return whether a row depends on other batches too: gates are measured against the dry run before."""
    return table is schema.batch_file and row.name == GATES
