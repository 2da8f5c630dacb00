"""Receipts by rows of ``receipt_inbox``, into which a receiver may insert and nothing else.

Each row is taken, or goes to ``receipt_fault`` with every fault; in the same transaction it leaves the inbox.
"""

import datetime as dt
from typing import Any, Final

import sqlalchemy as sa

from waitlist.release.receipts import rows, store
from waitlist.staging import StagingStore, ages, schema
from waitlist.staging.database import Database, refusals_named

_AT_ONCE: Final = 1_000
_FAULTY: Final = "faulty receipts"


def take(staging: StagingStore, now: dt.datetime) -> tuple[int, int]:
    """Read the inbox until it is empty; return how many rows were taken, and how many were faulty.

    Args:
        staging: the staging database.
        now: the moment, aware.

    Raises:
        StagingError: the database refused; rows that were read before stay read.
    """
    taken = faulty = 0
    while True:
        with refusals_named("taking receipts from the inbox"), staging.database.writing() as connection:
            store.take_turns(connection)
            good, bad = _take_some(connection, now)
        taken, faulty = taken + good, faulty + bad
        if not good + bad:
            return taken, faulty


def count_older(database: Database, than: dt.datetime) -> int:
    """Return how many faulty rows were refused before a moment.

    Raises:
        StagingError: the database cannot be asked.
    """
    return ages.count_older(database, _FAULTY, schema.receipt_fault.c.refused_at, than)


def remove_older(database: Database, than: dt.datetime) -> int:
    """Remove every faulty row that was refused before a moment, since its reason may name a person; return how many.

    Raises:
        StagingError: the database refused.
    """
    return ages.remove_older(database, _FAULTY, schema.receipt_fault.c.refused_at, than)


def _take_some(connection: sa.Connection, now: dt.datetime) -> tuple[int, int]:
    inbox = schema.receipt_inbox
    found = connection.execute(sa.select(inbox).order_by(inbox.c.row_no).limit(_AT_ONCE)).mappings().all()
    batches = store.ReleasedBatches(connection)
    receipts: list[rows.Receipt] = []
    refused: list[dict[str, Any]] = []
    for row in found:
        faults: list[str] = []
        cells = {name: rows.cleaned(row[name]) for name in schema.RECEIPT_COLUMNS}
        receipt = rows.read(cells, batches.find, now, faults.append)
        if receipt is None:
            refused.append({**row, "faults": "\n".join(faults), "refused_at": now})
        else:
            receipts.append(receipt)
    store.keep(connection, receipts, now)
    if refused:
        connection.execute(schema.receipt_fault.insert(), refused)
    if found:
        # By their numbers: a row with a lower number may have been committed since.
        connection.execute(inbox.delete().where(inbox.c.row_no.in_([row["row_no"] for row in found])))
    return len(receipts), len(refused)
