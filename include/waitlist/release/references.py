"""Which places and visit types of a batch's booking requests the receiver has no reference for.

Before the release this is measured by a gate. The hand-off asks the same question, and leaves the file out that needs
the references.
"""

from collections.abc import Collection

import sqlalchemy as sa

from waitlist.facts.mappings import PLACE, VISIT_TYPE
from waitlist.staging import StagingStore, schema
from waitlist.staging.database import refusals_named

Named = tuple[str, str]
"""``art`` and ``namn``, as in ``millennium_refs.csv``; a booking request without a place has the empty name."""


def missing_references(store: StagingStore, batch_id: str, known: Collection[Named]) -> list[Named]:
    """Return what the batch's booking requests name and ``known`` lacks, sorted.

    Args:
        store: the staging database.
        batch_id: the batch.
        known: what has a reference.

    Raises:
        StagingError: the database cannot be asked.
    """
    request = schema.bokningsbegaran.c
    columns = {PLACE: request.begard_plats, VISIT_TYPE: request.besokstyp}
    with refusals_named(f"references of batch {batch_id}"), store.database.connected() as connection:
        named = {
            (kind, name or "")
            for kind, column in columns.items()
            for name in connection.scalars(sa.select(column).where(request.batch_id == batch_id).distinct())
        }
    return sorted(named - set(known))
