"""The three-way account of a released batch, and the posts that are followed until they are booked.

By key: approved = shown in the view = accepted + rejected + unanswered. Nothing here is a state of the batch.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from waitlist.release.receipts.holding import count_free, free_posts
from waitlist.release.receipts.words import ACCEPTED, Answer
from waitlist.staging import FOLLOWED, Batch, BatchState, EventName, schema
from waitlist.staging.post_outcomes import BY_PEOPLE, Entry, current, read_of_posts
from waitlist.staging.states import PostOutcome

UNANSWERED: Final = frozenset({Answer.UNANSWERED, Answer.CONTRADICTED})
"""Answers that count as unanswered."""

_SAID: Final = frozenset({*BY_PEOPLE, PostOutcome.RELEASED_LATER, PostOutcome.CLOSED_IN_PMO})
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
    """Rejected posts without an outcome; one that is free gets one when a later wave releases it."""

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


def is_unanswered(answer: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that a post is unanswered, for ``post_answer`` in an outer join with ``followed_post``."""
    return sa.or_(answer.c.answer.is_(None), answer.c.answer == Answer.CONTRADICTED.value)


def is_open(answer: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that the receiver has accepted a post and neither booked nor cancelled it."""
    return answer.c.answer == Answer.ACCEPTED.value


def is_late(followed: sa.FromClause, late_from: dt.date) -> sa.ColumnElement[bool]:
    """Return the condition that an open post is late, given the first day of Boka före on which it is not."""
    return followed.c.boka_fore < late_from


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
    no_outcome = sum(post.outcome is None for post in read_rejected(connection, batch))
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
    """Return the rejected posts of a released batch by post; an outcome of before the release does not count."""
    followed, answer = schema.followed_post, schema.post_answer
    query = (
        sa.select(followed.c.post_id, sa.func.coalesce(followed.c.enhet_hsa_id, ""))
        .select_from(followed.join(answer, _same(followed, answer)))
        .where(followed.c.batch_id == batch.batch_id, answer.c.answer == Answer.REJECTED.value)
        .order_by(followed.c.post_id)
    )
    rows = connection.execute(query).all()
    free = set(connection.scalars(sa.select(free_posts(batch.batch_id).subquery().c.post_id)))
    said = read_of_posts(connection, [post_id for post_id, _ in rows])
    return [Rejected(post_id, unit, _outcome(said.get(post_id, ()), batch), post_id in free) for post_id, unit in rows]


def _outcome(entries: Sequence[Entry], batch: Batch) -> Entry | None:
    """Return the outcome that holds for a post since its release, at any unit."""
    by_unit: dict[str, list[Entry]] = {}
    for entry in entries:
        by_unit.setdefault(entry.unit, []).append(entry)
    found = [
        outcome
        for told in by_unit.values()
        if (outcome := current(told).outcome) is not None and outcome.outcome in _SAID
    ]
    since = [outcome for outcome in found if batch.released_at is None or outcome.at >= batch.released_at]
    return max(since, key=lambda entry: entry.entry_no, default=None)


def read_unanswered(connection: sa.Connection, before: dt.datetime) -> list[tuple[str | None, int]]:
    """Return the wave of each batch that was released before a moment and has unanswered posts, and their number.

    One that was withdrawn after the load counts: until the receiver answers, a post may be there.
    """
    batch, followed, answer = schema.batch.c, schema.followed_post, schema.post_answer
    query = (
        sa.select(batch.wave, sa.func.count())
        .select_from(followed.join(schema.batch, batch.batch_id == followed.c.batch_id))
        .outerjoin(answer, _same(followed, answer))
        .where(batch.state.in_([state.value for state in FOLLOWED]), batch.released_at < before, is_unanswered(answer))
        .group_by(batch.batch_id, batch.wave, batch.released_at)
        .order_by(batch.released_at, batch.batch_id)
    )
    return [(wave, int(posts)) for wave, posts in connection.execute(query)]


def read_open(connection: sa.Connection, late_from: dt.date, *batch_ids: str) -> list[Open]:
    """Return the open posts of each unit, units with late ones first.

    Args:
        connection: of the staging database.
        late_from: the first day of Boka före on which a post is not late.
        batch_ids: the batches; without any, all that are released.
    """
    batch, followed, answer = schema.batch.c, schema.followed_post, schema.post_answer
    late = sa.func.sum(sa.case((is_late(followed, late_from), 1), else_=0))
    unit = sa.func.coalesce(followed.c.enhet_hsa_id, "")
    query = (
        sa.select(unit, sa.func.count(), late)
        .select_from(followed.join(answer, _same(followed, answer)))
        .join(schema.batch, batch.batch_id == followed.c.batch_id)
        .where(batch.state == BatchState.RELEASED.value, is_open(answer))
        .group_by(unit)
    )
    if batch_ids:
        query = query.where(batch.batch_id.in_(batch_ids))
    found = [Open(key, int(posts), int(near)) for key, posts, near in connection.execute(query)]
    return sorted(found, key=lambda unit: (-unit.late, -unit.posts, unit.enhet_hsa_id))


def is_complete(connection: sa.Connection, batch: Batch) -> bool:
    """Return whether the receipts of a batch are complete: no post is unanswered.

    Where its release was withdrawn after the load, no post may be in the receiver's list either. A batch that no
    receiver may have is complete.
    """
    missing = _INCOMPLETE.get(batch.state, frozenset())
    return not any(Answer(answer) in missing for answer, _ in connection.execute(_by_answer(batch.batch_id)))


def rejected_posts() -> sa.Select[int]:
    """Return the query for the released posts that the receiver rejected last.

    A post that was withdrawn meanwhile, or is free, is left out: it is judged again.
    """
    answer, released = schema.post_answer, schema.released_post
    query = sa.select(answer.c.post_id).join(released, _same(released, answer))
    return query.where(answer.c.answer == Answer.REJECTED.value)


def reasons() -> sa.Select[int, str | None]:
    """Return the query for the same posts with the receiver's reason, personal data; None where it was removed."""
    answer, reason = schema.post_answer, schema.receipt_reason
    told = sa.and_(reason.c.batch_id == answer.c.batch_id, reason.c.receipt_key == answer.c.receipt_key)
    return rejected_posts().add_columns(reason.c.reason).join(reason, told, isouter=True)


def approved_posts(events: Any) -> int:  # noqa: ANN401 - the entries of the audit trail
    """Return how many posts the last approval request bound; 0 where approval was not asked for."""
    asked = [event for event in events if event.event is EventName.AWAITING_APPROVAL]
    return int(asked[-1].details["posts"]) if asked else 0


def _by_answer(batch_id: str) -> sa.Select[str, int]:
    followed, answer = schema.followed_post, schema.post_answer
    told = sa.func.coalesce(answer.c.answer, Answer.UNANSWERED.value)
    query = sa.select(told, sa.func.count()).select_from(followed.outerjoin(answer, _same(followed, answer)))
    return query.where(followed.c.batch_id == batch_id).group_by(told)


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
