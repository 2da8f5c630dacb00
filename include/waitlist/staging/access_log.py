"""The access log: one entry for each patient that a person has seen or written to a file, and whose data it was.

It is the one table that may hold a personal identity number beside post ids. An entry is written before anything is
shown. Where it cannot be written, nothing may be shown.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from enum import StrEnum

import pyarrow as pa

from waitlist.judge.identity import classify
from waitlist.staging import schema
from waitlist.staging.database import refusals_named
from waitlist.staging.store import StagingStore


class Action(StrEnum):
    """What a person did."""

    PERSONS = "persons"
    """Viewed the names and numbers of some posts."""
    PROTECTED = "protected"
    """Viewed one protected identity, at the own unit."""
    WORK_LIST = "work_list"
    """Downloaded a unit's work list."""
    WORK_LIST_FILE = "work_list_file"
    """Wrote a unit's work list to a file, from a terminal."""


def numbers_of(numbers: Sequence[str | None], as_of: dt.date) -> list[str | None]:
    """Return the personal identity numbers in their form of twelve digits; None for any other text.

    Args:
        numbers: the texts in PMO.
        as_of: the as-of date of the batch, which decides the century.
    """
    found: list[str | None] = classify(pa.array(numbers, pa.string()), as_of, ()).person_id.to_pylist()
    return found


def record(
    store: StagingStore,
    *,
    at: dt.datetime,
    user_id: str,
    acting_for: str,
    action: Action,
    batch_id: str,
    unit: str,
    patients: Mapping[int, str | None],
) -> None:
    """Write one entry for each patient, in one transaction, before anything is shown.

    Args:
        store: the staging database.
        at: the current time, aware.
        user_id: the login name of the person, or the name that a person at a terminal gives.
        acting_for: the unit in whose name, by its key; empty for nobody of a unit's staff.
        action: what the person did.
        batch_id: the batch.
        unit: the unit's key; empty for the posts of no known unit.
        patients: the personal identity number by post id; None where the post has none.

    Raises:
        StagingError: the entries could not be written; nothing may be shown then.
    """
    if not patients:
        return
    shared = {
        "at": at, "user_id": user_id, "acting_for": acting_for, "action": action.value, "batch_id": batch_id,
        "enhet_hsa_id": unit, "posts": 1,
    }  # fmt: skip
    entries = [
        {**shared, "entry_id": uuid.uuid4().hex, "post_id": post_id, "person_id": person_id}
        for post_id, person_id in sorted(patients.items())
    ]
    with refusals_named("writing to the access log"), store.database.writing() as connection:
        connection.execute(schema.access_log.insert(), entries)
