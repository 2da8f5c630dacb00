"""Keeps receipts, and what the receipts of each post amount to, in one transaction."""

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from waitlist.release.receipts.rows import Receipt, Released
from waitlist.release.receipts.words import Outcome, Told, Word, fold
from waitlist.staging import BatchState, schema

T = TypeVar("T")

_LOCK: Final = 7_712_024_003
# SQL Server takes 2,100 values in a statement.
_AT_ONCE: Final = 1_000


class ReleasedBatches:
    """The batches that receipts may be about, each read once."""

    def __init__(self, connection: sa.Connection) -> None:
        """Read by a connection."""
        self._connection = connection
        self._known: dict[str, Released | None] = {}

    def find(self, batch_id: str) -> Released | None:
        """Return a batch that is released; None where no released batch has this id."""
        if batch_id not in self._known:
            table, followed = schema.batch.c, schema.followed_post.c
            released = (table.batch_id == batch_id, table.state == BatchState.RELEASED.value)
            at = self._connection.scalar(sa.select(table.released_at).where(*released))
            posts = sa.select(followed.post_id).where(followed.batch_id == batch_id)
            found = None if at is None else Released(at, frozenset(self._connection.scalars(posts)))
            self._known[batch_id] = found
        return self._known[batch_id]


def take_turns(connection: sa.Connection) -> None:
    """Wait for another run that takes receipts; on SQLite the transaction has locked the file already."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def keep(connection: sa.Connection, receipts: Sequence[Receipt], now: dt.datetime) -> int:
    """Keep the receipts that are not known yet, and what they amount to; return how many were new.

    Args:
        connection: in a transaction that has waited for other runs (``take_turns``).
        receipts: in any order; repetitions count once.
        now: the moment, aware.
    """
    by_key = {receipt.word.key: receipt for receipt in receipts}
    table = schema.receipt
    for some in _some([*by_key]):
        for known in connection.scalars(sa.select(table.c.receipt_key).where(table.c.receipt_key.in_(some))):
            del by_key[known]
    new = [*by_key.values()]
    for part in _some(new):
        connection.execute(table.insert(), [_row(receipt, now) for receipt in part])
        reasons = [
            {"batch_id": receipt.batch_id, "receipt_key": receipt.word.key, "reason": receipt.reason}
            for receipt in part
            if receipt.reason is not None
        ]
        if reasons:
            connection.execute(schema.receipt_reason.insert(), reasons)
    by_batch: dict[str, set[int]] = {}
    for receipt in new:
        by_batch.setdefault(receipt.batch_id, set()).add(receipt.post_id)
    for batch_id, posts in sorted(by_batch.items()):
        _answer(connection, batch_id, sorted(posts))
    return len(new)


def told_of(connection: sa.Connection, batch_id: str, posts: Sequence[int]) -> Iterator[tuple[int, Told]]:
    """Yield what the receipts of posts amount to, from the receipts themselves; posts without any are left out."""
    table = schema.receipt.c
    query = sa.select(
        table.post_id, table.receipt_key, table.outcome, table.at, table.millennium_id, table.booked_for
    ).where(table.batch_id == batch_id, table.post_id.in_(posts))
    for post_id, rows in groupby(connection.execute(query.order_by(table.post_id)).all(), lambda row: row.post_id):
        yield post_id, fold(Word(key, Outcome(outcome), *rest) for _, key, outcome, *rest in rows)


def _answer(connection: sa.Connection, batch_id: str, posts: Sequence[int]) -> None:
    table = schema.post_answer
    for some in _some(posts):
        connection.execute(table.delete().where(table.c.batch_id == batch_id, table.c.post_id.in_(some)))
        answers = [
            {
                "batch_id": batch_id,
                "post_id": post_id,
                "answer": told.answer.value,
                "at": told.at,
                "booked_for": told.booked_for,
                "contradictions": ", ".join(told.contradictions),
                "receipt_key": told.last,
            }
            for post_id, told in told_of(connection, batch_id, some)
        ]
        connection.execute(table.insert(), answers)


def _row(receipt: Receipt, now: dt.datetime) -> dict[str, Any]:
    word = receipt.word
    return {
        "receipt_key": word.key,
        "batch_id": receipt.batch_id,
        "post_id": receipt.post_id,
        "outcome": word.outcome.value,
        "at": word.at,
        "millennium_id": word.millennium_id,
        "booked_for": word.booked_for,
        "received_at": now,
    }


def _some(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(values), _AT_ONCE):
        yield values[first : first + _AT_ONCE]
