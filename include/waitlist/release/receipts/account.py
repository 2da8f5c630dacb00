"""The three-way account of a released batch, and the posts that are followed until they are booked.

By key: approved = shown in the view = accepted + rejected + unanswered. Nothing here is a state of the batch. What the
receiver has said of a post is read by ``answers``; whether a rejected post has an outcome, from the closing ledger.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from waitlist.release.ledger import REJECTED
from waitlist.release.receipts.answers import OPEN, UNANSWERED, answered, is_late, is_one_of, number_of
from waitlist.release.receipts.holding import count_free, free_posts
from waitlist.release.receipts.words import ACCEPTED, Answer
from waitlist.staging import Batch, BatchState, EventName, schema
from waitlist.staging.post_outcomes import Entry, current, read_of_posts

_INCOMPLETE: Final = {
    BatchState.RELEASED: UNANSWERED,
    # Until the receiver has given it back, or somebody takes care of it by hand.
    BatchState.WITHDRAWN_AFTER_LOAD: UNANSWERED | {Answer.ACCEPTED},
}


@dataclass(frozen=True, slots=True)
class Account:
    """The posts of a released batch, counted by what the receiver has said of each."""

    approved: int
    """As the approval bound them."""
    shown: int | None
    """Rows of the view; None where the batch has none there, since it was withdrawn or retention has removed them."""
    differing: int
    """Posts that are in only one of the view, with those that are free, and the list that is followed; 0 without a
    view."""
    answers: Mapping[Answer, int]
    """Posts by answer, those without a word included; their sum is what is followed."""
    free: int = 0
    """Posts that are free: a later wave may release them."""
    no_outcome: int = 0
    """Rejected posts for whose outcome the closing ledger waits; one that is free gets one when a later wave releases
    it."""

    @property
    def accepted(self) -> int:
        """Posts whose last word is accepted, booked or cancelled."""
        return sum(self.answers[answer] for answer in ACCEPTED)

    @property
    def rejected(self) -> int:
        """Posts that were rejected."""
        return self.answers[Answer.REJECTED]

    @property
    def unanswered(self) -> int:
        """Posts without a word, or with words that contradict each other."""
        return sum(self.answers[answer] for answer in UNANSWERED)

    @property
    def adds_up(self) -> bool:
        """Whether the three ways are the same posts."""
        followed = self.accepted + self.rejected + self.unanswered
        return self.approved == followed and self.shown in {None, followed - self.free} and not self.differing

    @property
    def acknowledged(self) -> bool:
        """Whether nothing is unanswered and every rejected post has an outcome."""
        return not self.unanswered and not self.no_outcome


@dataclass(frozen=True, slots=True)
class Rejected:
    """A post whose last word is that it is rejected."""

    post_id: int
    enhet_hsa_id: str
    """Empty for a post without a known unit."""
    outcome: Entry | None
    """What became of it since, as its unit's staff or the pipeline say."""
    free: bool
    """A later wave may release it, and the nights judge it again."""
    owed: bool
    """It must get an outcome: it was not withdrawn, and no later release of its unit has taken it up."""


@dataclass(frozen=True, slots=True)
class Open:
    """Posts of a unit that the receiver has accepted and neither booked nor cancelled."""

    enhet_hsa_id: str
    posts: int
    late: int
    """Of these, posts whose Boka före has passed or is near."""


def in_use(connection: sa.Connection) -> bool:
    """Return whether a receiver has ever said anything."""
    tables = (schema.receipt, schema.receipt_inbox, schema.receipt_fault)
    return any(connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() for table in tables)


def read_account(connection: sa.Connection, batch: Batch, approved: int, *, purged: bool) -> Account:
    """Return the account of a released batch.

    Args:
        connection: of the staging database.
        batch: the batch.
        approved: the number of posts that the approval bound.
        purged: whether retention has removed its rows.
    """
    followed, view = schema.followed_post, schema.bokningsbegaran_released
    answers = dict.fromkeys(Answer, 0)
    for answer, posts in connection.execute(_by_answer(batch.batch_id)):
        answers[Answer(answer)] = int(posts)
    free = count_free(connection, batch.batch_id)
    lacking = sa.select(sa.func.count()).where(*_rejected_of(batch), schema.closing_ledger.c.has_outcome == 0)
    no_outcome = int(connection.scalar(lacking) or 0)
    if purged or batch.state is not BatchState.RELEASED:
        return Account(approved, None, 0, answers, free, no_outcome)
    shown = sa.select(sa.func.count()).select_from(view).where(view.c.batch_id == batch.batch_id)
    freed = sa.select(free_posts(batch.batch_id).subquery().c.post_id)
    return Account(
        approved,
        int(connection.scalar(shown) or 0),
        _only_in(connection, view, followed, batch.batch_id)
        + _only_in(connection, followed, view, batch.batch_id, but=freed),
        answers,
        free,
        no_outcome,
    )


def read_rejected(connection: sa.Connection, batch: Batch) -> list[Rejected]:
    """Return the rejected posts of a batch that a receiver may have, by post.

    The closing ledger says which of them must get an outcome, and whether each has one.
    """
    post, ledger = answered(), schema.closing_ledger.c
    of_batch = (post.c.batch_id == batch.batch_id, is_one_of(post, {Answer.REJECTED}))
    rows = connection.execute(sa.select(post.c.post_id, post.c.unit).where(*of_batch).order_by(post.c.post_id)).all()
    owed = sa.select(ledger.post_id, ledger.has_outcome, ledger.since).where(*_rejected_of(batch))
    standing = {row.post_id: row for row in connection.execute(owed)}
    free = set(connection.scalars(sa.select(free_posts(batch.batch_id).subquery().c.post_id)))
    with_outcome = [post_id for post_id, row in standing.items() if row.has_outcome]
    said = read_of_posts(connection, with_outcome)

    def outcome(post_id: int, unit: str) -> Entry | None:
        own = [entry for entry in said.get(post_id, ()) if entry.unit == unit]
        return current(own, since=standing[post_id].since).outcome if post_id in standing else None

    return [
        Rejected(post_id, unit, outcome(post_id, unit), free=post_id in free, owed=post_id in standing)
        for post_id, unit in rows
    ]


def read_unanswered(connection: sa.Connection, before: dt.datetime) -> list[tuple[str | None, int]]:
    """Return the wave of each batch that was released before a moment and has unanswered posts, and their number.

    One that was withdrawn after the load counts: until the receiver answers, a post may be there.
    """
    post = answered()
    query = (
        sa.select(post.c.wave, sa.func.count())
        .where(post.c.released_at < before, is_one_of(post, UNANSWERED))
        .group_by(post.c.batch_id, post.c.wave, post.c.released_at)
        .order_by(post.c.released_at, post.c.batch_id)
    )
    return [(wave, int(posts)) for wave, posts in connection.execute(query)]


def read_open(connection: sa.Connection, late_from: dt.date, *batch_ids: str) -> list[Open]:
    """Return the open posts of each unit, units with late ones first.

    Args:
        connection: of the staging database.
        late_from: the first day of Boka före on which a post is not late.
        batch_ids: the batches; without any, all that are released.
    """
    post = answered({BatchState.RELEASED})
    query = (
        sa.select(post.c.unit, sa.func.count(), number_of(is_late(post, late_from)))
        .where(is_one_of(post, OPEN))
        .group_by(post.c.unit)
    )
    if batch_ids:
        query = query.where(post.c.batch_id.in_(batch_ids))
    found = [Open(key, int(posts), int(near)) for key, posts, near in connection.execute(query)]
    return sorted(found, key=lambda unit: (-unit.late, -unit.posts, unit.enhet_hsa_id))


def is_complete(connection: sa.Connection, batch: Batch) -> bool:
    """Return whether the receipts of a batch are complete: no post is unanswered.

    Where its release was withdrawn after the load, no post may be in the receiver's list either. A batch that no
    receiver may have is complete.
    """
    missing = _INCOMPLETE.get(batch.state, frozenset())
    return not any(Answer(answer) in missing for answer, _ in connection.execute(_by_answer(batch.batch_id)))


def rejected_posts() -> sa.Select[Any]:
    """Return the query for the released posts that the receiver rejected last, with the columns of ``answered``.

    A post that was withdrawn meanwhile, or is free, is left out: it is judged again.
    """
    post, held = answered({BatchState.RELEASED}), schema.released_post.c
    same = sa.and_(held.batch_id == post.c.batch_id, held.post_id == post.c.post_id)
    return sa.select(post).join_from(post, schema.released_post, same).where(is_one_of(post, {Answer.REJECTED}))


def reasons() -> sa.Select[int, str | None]:
    """Return the query for the same posts (``post_id``) with the receiver's ``reason``, personal data.

    The reason is None where retention has removed it.
    """
    post, reason = rejected_posts().subquery(), schema.receipt_reason.c
    told = sa.and_(reason.batch_id == post.c.batch_id, reason.receipt_key == post.c.receipt_key)
    return sa.select(post.c.post_id, reason.reason).join_from(post, schema.receipt_reason, told, isouter=True)


def approved_posts(events: Any) -> int:  # noqa: ANN401 - the entries of the audit trail
    """Return how many posts the last approval request bound; 0 where approval was not asked for."""
    asked = [event for event in events if event.event is EventName.AWAITING_APPROVAL]
    return int(asked[-1].details["posts"]) if asked else 0


def _by_answer(batch_id: str) -> sa.Select[str, int]:
    post = answered()
    return sa.select(post.c.answer, sa.func.count()).where(post.c.batch_id == batch_id).group_by(post.c.answer)


def _rejected_of(batch: Batch) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the condition for the posts of a batch that are in the closing ledger since the receiver rejected them."""
    ledger = schema.closing_ledger.c
    return ledger.batch_id == batch.batch_id, ledger.why == REJECTED


def _same(one: sa.Table, other: sa.Table) -> sa.ColumnElement[bool]:
    return sa.and_(one.c.batch_id == other.c.batch_id, one.c.post_id == other.c.post_id)


def _only_in(
    connection: sa.Connection, one: sa.Table, other: sa.Table, batch_id: str, but: sa.Select[Any] | None = None
) -> int:
    joined = one.outerjoin(other, _same(one, other))
    query = sa.select(sa.func.count()).select_from(joined).where(one.c.batch_id == batch_id, other.c.post_id.is_(None))
    if but is not None:
        query = query.where(one.c.post_id.not_in(but))
    return int(connection.scalar(query) or 0)
