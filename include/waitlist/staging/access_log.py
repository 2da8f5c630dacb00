"""The access log: one entry for each patient that a person has seen or written to a file, and whose data it was.

It is the one table that may hold a personal identity number beside post ids. An entry is written before anything is
shown. Where it cannot be written, nothing may be shown.
"""

import datetime as dt
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import pyarrow as pa
import sqlalchemy as sa

from waitlist.judge.identity import classify
from waitlist.staging import ages, schema
from waitlist.staging.database import Database, refusals_named
from waitlist.staging.events import PIPELINE
from waitlist.staging.store import StagingStore

_ENTRIES: Final = "entries of the access log"
_HANDED: Final = pa.schema([("post_id", pa.int64()), ("person_id", pa.string()), ("enhet_hsa_id", pa.string())])


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
    BACK_OUT = "back_out"
    """Downloaded what must return of a batch that was withdrawn after its load."""
    BACK_OUT_FILE = "back_out_file"
    """The same to a file, from a terminal."""
    SAMPLE = "sample"
    """Viewed a post's booking request, to compare it with PMO or Millennium."""
    HAND_OFF = "hand_off"
    """Wrote a released batch for its receiver: the pipeline, for the approver."""


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


def record_hand_off(
    store: StagingStore, batch_id: str, *, written: str, at: dt.datetime, approved_by: str | None
) -> int | None:
    """Write one entry for each booking request that a hand-off shows its receiver, in one transaction.

    Args:
        store: the staging database.
        batch_id: the released batch.
        written: the checksum of what is written. Entries about the same bytes are written once.
        at: the moment, aware.
        approved_by: the approver, as the batch names the person.

    Returns:
        How many entries were written; None where those about the same bytes are there already.

    Raises:
        StagingError: the entries could not be written; the hand-off must not be finished then.
    """
    table, shown, place = schema.access_log, schema.bokningsbegaran_released.c, schema.disposition.c
    of_post = sa.and_(place.batch_id == shown.batch_id, place.post_id == shown.post_id)
    query = sa.select(shown.post_id, shown.person_id, place.enhet_hsa_id)
    query = query.outerjoin_from(schema.bokningsbegaran_released, schema.disposition, of_post)
    query = query.where(shown.batch_id == batch_id).order_by(shown.post_id)
    common = {
        "at": at, "user_id": PIPELINE if approved_by is None else f"{PIPELINE} ({approved_by})", "acting_for": "",
        "action": Action.HAND_OFF.value, "batch_id": batch_id, "posts": 1,
    }  # fmt: skip
    entries = 0
    with (
        refusals_named("writing to the access log"),
        store.database.reading() as read,
        store.database.writing() as connection,
    ):
        for rows in read(query, _HANDED):
            made = [
                {
                    **common,
                    "entry_id": _entry_id(written, row["post_id"]),
                    "enhet_hsa_id": row["enhet_hsa_id"] or "",
                    "post_id": row["post_id"],
                    "person_id": row["person_id"],
                }
                for row in rows.to_pylist()
            ]
            if made and not entries and _is_there(connection, made[0]["entry_id"]):
                return None
            if made:
                connection.execute(table.insert(), made)
            entries += len(made)
    return entries


def _entry_id(written: str, post_id: int) -> str:
    return hashlib.sha256(f"{written}\x1f{post_id}".encode()).hexdigest()[:32]


def _is_there(connection: sa.Connection, entry_id: str) -> bool:
    table = schema.access_log
    return connection.execute(sa.select(table.c.posts).where(table.c.entry_id == entry_id)).first() is not None


def count_older(database: Database, than: dt.datetime) -> int:
    """Return how many entries are older than a moment.

    Raises:
        StagingError: the database cannot be asked.
    """
    return ages.count_older(database, _ENTRIES, schema.access_log.c.at, than)


def remove_older(database: Database, than: dt.datetime, *, now: dt.datetime) -> int:
    """Remove the entries that are older than a moment, and verdicts as old as that; return how many entries.

    Args:
        database: the staging database.
        than: the moment, aware.
        now: the current time, aware, for the checkpoint that names what goes.

    Raises:
        StagingError: the database refused: its guards keep an entry for five years and a month by its own clock.
        SettingsError: the checkpoint could not be signed; nothing is removed then.
    """
    entries, verdicts = schema.access_log.c.at, schema.log_verdict.c.at
    return ages.remove_older(database, _ENTRIES, entries, than, now=now, before=(verdicts,))
