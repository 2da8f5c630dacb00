"""What there is to decide about posts of a released batch: contradictions, rejected posts, and what was decided."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from waitlist.release.receipts.account import Rejected, read_rejected
from waitlist.release.receipts.answers import answered, is_one_of
from waitlist.release.receipts.store import settled_of, words_of
from waitlist.release.receipts.words import Answer, Outcome
from waitlist.staging import FOLLOWED, Batch, schema
from waitlist.staging.states import PostOutcome

SHOWN: Final = 20
"""The most rows of each list; the others come when these are decided."""


@dataclass(frozen=True, slots=True)
class SaidWord:
    """A word of the receiver."""

    key: str
    outcome: Outcome
    at: dt.datetime
    millennium_id: str | None
    booked_for: dt.date | None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A post whose words contradict each other."""

    post_id: int
    unit: str
    """HSA-id; empty for a post without a known unit."""
    unit_name: str
    why: tuple[str, ...]
    """As ``words.Contradiction``."""
    words: tuple[SaidWord, ...]
    heard: int
    """How many words and settlements there are: the form sends it back."""
    released_in: str | None
    """Another batch that has released it meanwhile."""


@dataclass(frozen=True, slots=True)
class RejectedPost:
    """A post that the receiver has rejected."""

    post_id: int
    unit: str
    unit_name: str
    outcome: PostOutcome | None
    free: bool
    owed: bool
    """The closing ledger has it."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """A contradiction that a lead has settled."""

    post_id: int
    outcome: Outcome
    """What the word says that counts."""
    said_at: dt.datetime
    """The moment of that word."""
    at: dt.datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Freed:
    """A post that became free, or that is not free any more."""

    post_id: int
    freed: bool
    at: dt.datetime
    actor: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Settling:
    """The lists, each cut at ``SHOWN`` rows, and how long they are."""

    contradictions: tuple[Contradiction, ...]
    contradicted: int
    rejected: tuple[RejectedPost, ...]
    """Those that lack an outcome and are not free, then the others."""
    rejected_posts: int
    settlements: tuple[Settlement, ...]
    """The latest first."""
    settled: int
    freed: tuple[Freed, ...]
    """The latest first."""
    freed_entries: int


def read_settling(connection: sa.Connection, batch: Batch, names: Callable[[str], str]) -> Settling | None:
    """Return the lists; None for a batch that no receiver may have, and where there is nothing to show.

    Args:
        connection: of the staging database.
        batch: the batch.
        names: returns the name of a unit by its HSA-id.
    """
    if batch.state not in FOLLOWED:
        return None
    contradictions, contradicted = _contradictions(connection, batch, names)
    rejected = sorted(
        read_rejected(connection, batch), key=lambda post: post.free or not post.owed or post.outcome is not None
    )
    settlements, settled = _settlements(connection, batch)
    freed, entries = _freed(connection, batch)
    if not (contradicted or rejected or settled or entries):
        return None
    shown = tuple(_rejected(post, names) for post in rejected[:SHOWN])
    return Settling(contradictions, contradicted, shown, len(rejected), settlements, settled, freed, entries)


def _contradictions(
    connection: sa.Connection, batch: Batch, names: Callable[[str], str]
) -> tuple[tuple[Contradiction, ...], int]:
    post, held = answered(), schema.released_post
    elsewhere = sa.and_(held.c.post_id == post.c.post_id, held.c.batch_id != post.c.batch_id)
    query = (
        sa.select(post.c.post_id, post.c.unit, post.c.contradictions, held.c.batch_id.label("released_in"))
        .join_from(post, held, elsewhere, isouter=True)
        .where(post.c.batch_id == batch.batch_id, is_one_of(post, {Answer.CONTRADICTED}))
    )
    posts = int(connection.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0)
    rows = connection.execute(query.order_by(post.c.post_id).limit(SHOWN)).all()
    ids = [row.post_id for row in rows]
    words, settled = words_of(connection, batch.batch_id, ids), settled_of(connection, batch.batch_id, ids)
    found = tuple(
        Contradiction(
            row.post_id,
            row.unit,
            names(row.unit),
            tuple(row.contradictions.split(", ")),
            tuple(
                SaidWord(word.key, word.outcome, word.at, word.millennium_id, word.booked_for)
                for word in words[row.post_id]
            ),
            len(words[row.post_id]) + (settled[row.post_id][0] if row.post_id in settled else 0),
            row.released_in,
        )
        for row in rows
    )
    return found, posts


def _rejected(post: Rejected, names: Callable[[str], str]) -> RejectedPost:
    unit = post.enhet_hsa_id
    return RejectedPost(
        post.post_id,
        unit,
        names(unit),
        None if post.outcome is None else post.outcome.outcome,
        free=post.free,
        owed=post.owed,
    )


def _settlements(connection: sa.Connection, batch: Batch) -> tuple[tuple[Settlement, ...], int]:
    table, word = schema.settlement.c, schema.receipt.c
    query = (
        sa.select(table.post_id, word.outcome, word.at, table.at, table.actor, table.reason)
        .join_from(schema.settlement, schema.receipt, word.receipt_key == table.receipt_key)
        .where(table.batch_id == batch.batch_id)
        .order_by(table.at.desc(), table.post_id, table.entry_no.desc())
    )
    rows = connection.execute(query).all()
    return tuple(Settlement(row[0], Outcome(row[1]), *row[2:]) for row in rows[:SHOWN]), len(rows)


def _freed(connection: sa.Connection, batch: Batch) -> tuple[tuple[Freed, ...], int]:
    table = schema.freed_post.c
    of_batch = table.batch_id == batch.batch_id
    count = connection.scalar(sa.select(sa.func.count()).select_from(schema.freed_post).where(of_batch))
    query = sa.select(table.post_id, table.freed, table.at, table.actor, table.reason).where(of_batch)
    rows = connection.execute(query.order_by(table.at.desc(), table.post_id, table.entry_no.desc()).limit(SHOWN))
    return tuple(Freed(*row) for row in rows), int(count or 0)
