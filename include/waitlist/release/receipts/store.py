"""Keeps receipts, and what the receipts of each post amount to, in one transaction."""

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from waitlist.exceptions import RefusedError
from waitlist.release.receipts.holding import follow_answers
from waitlist.release.receipts.rows import Receipt, Released
from waitlist.release.receipts.words import Outcome, Settled, Told, Word, fold
from waitlist.staging import FOLLOWED, schema
from waitlist.staging.chain import runner
from waitlist.staging.loading import state_of

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
        """Return a batch that a receiver may have; None where no such batch has this id."""
        if batch_id not in self._known:
            table, followed = schema.batch.c, schema.followed_post.c
            released = (table.batch_id == batch_id, table.state.in_([state.value for state in FOLLOWED]))
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

    Posts become free by that, or are not free any more (``holding``).

    Args:
        connection: in a transaction that has waited for other runs (``take_turns``).
        receipts: in any order; repetitions count once.
        now: the moment, aware.

    Raises:
        RefusedError: a batch was withdrawn before its load meanwhile; a rerun refuses the receipts by name.
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
        answer(connection, batch_id, sorted(posts), now)
    return len(new)


def answer(connection: sa.Connection, batch_id: str, posts: Sequence[int], now: dt.datetime) -> None:
    """Fold the words about some posts again, and bring in line which posts are free; the batch is locked by that.

    Raises:
        RefusedError: the batch is not one that a receiver may have.
    """
    state = state_of(runner(connection), batch_id, lock=True)
    if state not in FOLLOWED:
        raise RefusedError(f"batch {batch_id} is {state}: no word about it counts")
    _answer(connection, batch_id, posts)
    follow_answers(connection, batch_id, state, now, posts)


def settled_of(connection: sa.Connection, batch_id: str, posts: Sequence[int]) -> dict[int, tuple[int, Settled]]:
    """Return how many settlements some posts have, and the last of them; posts without any are left out."""
    table = schema.settlement.c
    query = sa.select(table.post_id, table.entry_no, table.receipt_key, table.heard)
    query = query.where(table.batch_id == batch_id, table.post_id.in_(posts)).order_by(table.post_id, table.entry_no)
    return {
        row.post_id: (row.entry_no, Settled(row.receipt_key, frozenset(row.heard.split(", "))))
        for row in connection.execute(query)
    }


def words_of(connection: sa.Connection, batch_id: str, posts: Sequence[int]) -> dict[int, list[Word]]:
    """Return the words about some posts, the earliest first; posts without any are left out."""
    table = schema.receipt.c
    query = sa.select(
        table.post_id, table.receipt_key, table.outcome, table.at, table.millennium_id, table.booked_for
    ).where(table.batch_id == batch_id, table.post_id.in_(posts))
    rows = connection.execute(query.order_by(table.post_id, table.at, table.receipt_key)).all()
    return {
        post_id: [Word(key, Outcome(outcome), *rest) for _, key, outcome, *rest in found]
        for post_id, found in groupby(rows, lambda row: row.post_id)
    }


def _answer(connection: sa.Connection, batch_id: str, posts: Sequence[int]) -> None:
    table = schema.post_answer
    for some in _some(posts):
        connection.execute(table.delete().where(table.c.batch_id == batch_id, table.c.post_id.in_(some)))
        settled = settled_of(connection, batch_id, some)
        connection.execute(
            table.insert(),
            [
                _answer_row(batch_id, post_id, words, *settled.get(post_id, (0, None)))
                for post_id, words in words_of(connection, batch_id, some).items()
            ],
        )


def _answer_row(
    batch_id: str, post_id: int, words: Sequence[Word], settlements: int, settled: Settled | None
) -> dict[str, Any]:
    told: Told = fold(words, settled)
    return {
        "batch_id": batch_id,
        "post_id": post_id,
        "answer": told.answer.value,
        "at": told.at,
        "booked_for": told.booked_for,
        "contradictions": ", ".join(told.contradictions),
        "receipt_key": told.last,
        "words": len(words) + settlements,
    }


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
