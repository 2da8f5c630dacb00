"""What the receiver has said of each released post, one row a post: the one query that every count and list reads.

Pages, messages, the follow-up, the account of a batch, the back-out and retention differ in which posts they ask about,
and never in what a post's answer is.
"""

import datetime as dt
from collections.abc import Collection
from typing import Any, Final

import sqlalchemy as sa

from waitlist.release.receipts.words import Answer
from waitlist.staging import FOLLOWED, BatchState, schema

UNANSWERED: Final = frozenset({Answer.UNANSWERED, Answer.CONTRADICTED})
"""Answers that count as unanswered."""
OPEN: Final = frozenset({Answer.ACCEPTED})
"""Answers of posts that the receiver has accepted and neither booked nor cancelled."""


def answered(states: Collection[BatchState] = FOLLOWED) -> sa.Subquery:
    """Return the released posts of the batches in some states, each with its batch, its unit and its answer.

    Args:
        states: the states; by default those in which a receiver may have posts.

    Returns:
        The columns ``batch_id``, ``wave``, ``state``, ``released_at``, ``post_id``, ``unit`` (empty for a post of no
        known unit), ``boka_fore``, ``answer`` (``unanswered`` for a post without a word), ``said`` (the same, null
        for a post without a word), and of the answer ``booked_for``, ``contradictions`` and ``receipt_key``.
    """
    batch, followed, answer = schema.batch.c, schema.followed_post.c, schema.post_answer.c
    same = sa.and_(answer.batch_id == followed.batch_id, answer.post_id == followed.post_id)
    return (
        sa.select(
            followed.batch_id,
            batch.wave,
            batch.state,
            batch.released_at,
            followed.post_id,
            sa.func.coalesce(followed.enhet_hsa_id, "").label("unit"),
            followed.boka_fore,
            sa.func.coalesce(answer.answer, Answer.UNANSWERED.value).label("answer"),
            # As it is stored: a database looks for it first, and does not join every post then.
            answer.answer.label("said"),
            answer.booked_for,
            answer.contradictions,
            answer.receipt_key,
        )
        .select_from(schema.followed_post)
        .join(schema.batch, batch.batch_id == followed.batch_id)
        .outerjoin(schema.post_answer, same)
        .where(batch.state.in_(sorted(state.value for state in states)))
        .subquery("answered")
    )


def is_one_of(post: sa.FromClause, answers: Collection[Answer]) -> sa.ColumnElement[bool]:
    """Return the condition that the answer of a post of ``answered`` is one of some."""
    said = post.c.said.in_(sorted(answer.value for answer in answers))
    return sa.or_(post.c.said.is_(None), said) if Answer.UNANSWERED in answers else said


def is_late(post: sa.FromClause, late_from: dt.date) -> sa.ColumnElement[bool]:
    """Return the condition that a post of ``answered`` is open and late.

    Args:
        post: the posts.
        late_from: the first day of Boka före on which an open post is not late.
    """
    return sa.and_(is_one_of(post, OPEN), post.c.boka_fore < late_from)


def number_of(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[Any]:
    """Return the number of the rows of a group for which a condition holds."""
    return sa.func.sum(sa.case((condition, 1), else_=0))
