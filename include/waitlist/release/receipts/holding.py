"""Which posts of a released batch are free: later runs judge them again, and a later wave may release them.

A post is free when it has no row in ``released_post``. It becomes free only where the receiver's answer says that the
receiver does not have it: rejected, and freed by a lead; or, where the release was withdrawn after the load, rejected
or cancelled. When the receiver says something else later, the post gets its row again, unless another batch has
released it meanwhile. So a post that is booked, or that nobody has an answer about, is never free.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa

from waitlist.release.receipts.words import Answer
from waitlist.staging import PIPELINE, BatchState, EventName, schema
from waitlist.staging.access_log import Action
from waitlist.staging.events import entry

CONFIRMED: Final[Mapping[BatchState, frozenset[Answer]]] = MappingProxyType(
    {
        BatchState.RELEASED: frozenset({Answer.REJECTED}),
        BatchState.WITHDRAWN_AFTER_LOAD: frozenset({Answer.REJECTED, Answer.CANCELLED}),
    }
)
"""The answers with which a post of a batch in a state may be free."""

_RELEASE_LOCK: Final = 7_712_024_002
# SQL Server takes 2,100 values in a statement.
_AT_ONCE: Final = 1_000


def wait_for_other_releases(connection: sa.Connection) -> None:
    """Wait for another transaction that adds rows to ``released_post``; SQLite's has locked the file already."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_RELEASE_LOCK)))
    elif connection.dialect.name == "mssql":
        connection.exec_driver_sql(
            "EXEC sp_getapplock @Resource = 'waitlist releases', @LockMode = 'Exclusive',"
            " @LockOwner = 'Transaction', @LockTimeout = -1"
        )


def may_be_loaded(connection: sa.Connection, batch_id: str) -> bool:
    """Tell whether a receiver may have posts of a released batch: it was handed off, or the receiver has said a word.

    The access log has the entries of a hand-off before its files get their names, so a step that was killed between the
    two counts as well.
    """
    log, released = schema.access_log.c, schema.batch.c
    since = sa.select(released.released_at).where(released.batch_id == batch_id).scalar_subquery()
    handed = (log.batch_id == batch_id, log.action == Action.HAND_OFF.value, log.at >= since)
    told = (
        sa.select(schema.hand_off.c.batch_id).where(schema.hand_off.c.batch_id == batch_id),
        sa.select(schema.receipt.c.batch_id).where(schema.receipt.c.batch_id == batch_id),
        sa.select(log.batch_id).where(*handed),
    )
    return any(connection.execute(query.limit(1)).first() is not None for query in told)


def is_free() -> sa.ColumnElement[bool]:
    """Return whether the last entry of a post in ``freed_post`` frees it; the entries must be grouped by post."""
    return sa.func.count() % 2 == 1


def free_posts(batch_id: str) -> sa.Select[Any]:
    """Return the query of the posts of a batch that are free."""
    table = schema.freed_post.c
    query = sa.select(table.post_id, table.row_hash, table.released_at).where(table.batch_id == batch_id)
    return query.group_by(table.post_id, table.row_hash, table.released_at).having(is_free())


def still_released() -> sa.Subquery:
    """Return the rows of ``released_post`` whose batch is released: the posts that Millennium is to have.

    A post of a release that was withdrawn after its load keeps its row until the receiver has confirmed that it is
    gone. It must return, and nothing is corrected in Millennium about it: the back-out has it.
    """
    held, batch = schema.released_post, schema.batch.c
    released = batch.state == BatchState.RELEASED.value
    query = sa.select(held, batch.batch_no).join(schema.batch, batch.batch_id == held.c.batch_id)
    return query.where(released).subquery()


def count_free(connection: sa.Connection, batch_id: str) -> int:
    """Return how many posts of a batch are free."""
    return int(connection.scalar(sa.select(sa.func.count()).select_from(free_posts(batch_id).subquery())) or 0)


def follow_answers(
    connection: sa.Connection, batch_id: str, state: BatchState, now: datetime, posts: Sequence[int] | None = None
) -> int:
    """Bring ``released_post`` in line with the answers; return how many posts became free.

    Args:
        connection: in a transaction that has locked the batch.
        batch_id: the batch.
        state: its state, one of ``CONFIRMED``.
        now: the moment, aware.
        posts: the posts whose answer may have changed; None for all posts of the batch.
    """
    freed = 0
    for some in [None] if posts is None else _some(posts):
        if state is BatchState.WITHDRAWN_AFTER_LOAD:
            freed += free(connection, batch_id, state, now, some)
        _hold_again(connection, batch_id, state, now, some)
    return freed


def free(
    connection: sa.Connection,
    batch_id: str,
    state: BatchState,
    now: datetime,
    posts: Sequence[int] | None,
    *,
    actor: str = PIPELINE,
    reason: str | None = None,
) -> int:
    """Free the posts of a batch that the receiver confirms not to have; return how many there were.

    Args:
        connection: in a transaction that has locked the batch.
        batch_id: the batch.
        state: its state, one of ``CONFIRMED``.
        now: the moment, aware.
        posts: the posts, at most 1,000; None for all posts of the batch.
        actor: the user id of the lead, or the pipeline.
        reason: why, in the actor's words.
    """
    held, answer = schema.released_post, schema.post_answer.c
    same = sa.and_(answer.batch_id == held.c.batch_id, answer.post_id == held.c.post_id)
    query = (
        sa.select(held.c.post_id, held.c.row_hash, held.c.released_at)
        .join_from(held, schema.post_answer, same)
        .where(
            held.c.batch_id == batch_id, answer.answer.in_(_values(CONFIRMED[state])), *_among(held.c.post_id, posts)
        )
    )
    found = connection.execute(query.order_by(held.c.post_id)).all()
    if not found:
        return 0
    told = {"at": now, "actor": actor, "reason": reason}
    _add_entries(connection, batch_id, found, freed=True, **told)
    # The database allows this only after the entry above.
    for some in _some([row.post_id for row in found]):
        connection.execute(held.delete().where(held.c.batch_id == batch_id, held.c.post_id.in_(some)))
    details = {"posts": len(found)} if posts is None or len(found) > 1 else {"posts": 1, "post_id": found[0].post_id}
    connection.execute(entry(batch_id, EventName.FREED, at=now, actor=actor, reason=reason, details=details))
    return len(found)


def _hold_again(
    connection: sa.Connection, batch_id: str, state: BatchState, now: datetime, posts: Sequence[int] | None
) -> None:
    """Hold the free posts of a batch again that the receiver does not confirm any more not to have."""
    answer, held = schema.post_answer.c, schema.released_post
    open_posts = free_posts(batch_id).where(*_among(schema.freed_post.c.post_id, posts)).subquery()
    same = sa.and_(answer.batch_id == batch_id, answer.post_id == open_posts.c.post_id)
    told = sa.func.coalesce(answer.answer, Answer.UNANSWERED.value)
    query = (
        sa.select(open_posts)
        .outerjoin_from(open_posts, schema.post_answer, same)
        .where(told.not_in(_values(CONFIRMED[state])))
        .order_by(open_posts.c.post_id)
    )
    if connection.execute(query.limit(1)).first() is None:
        return
    wait_for_other_releases(connection)
    elsewhere = sa.exists().where(held.c.post_id == open_posts.c.post_id)
    found = connection.execute(query.where(~elsewhere)).all()
    if not found:
        return
    _add_entries(connection, batch_id, found, freed=False, at=now, actor=PIPELINE, reason=None)
    connection.execute(
        held.insert(),
        [
            {"post_id": row.post_id, "batch_id": batch_id, "row_hash": row.row_hash, "released_at": row.released_at}
            for row in found
        ],
    )
    connection.execute(entry(batch_id, EventName.HELD_AGAIN, at=now, details={"posts": len(found)}))


def _add_entries(
    connection: sa.Connection,
    batch_id: str,
    posts: Sequence[Any],  # rows of released_post or freed_post
    *,
    freed: bool,
    **told: object,
) -> None:
    table = schema.freed_post
    last: dict[int, int] = {}
    for some in _some([row.post_id for row in posts]):
        query = sa.select(table.c.post_id, sa.func.count()).where(
            table.c.batch_id == batch_id, table.c.post_id.in_(some)
        )
        last |= {row[0]: row[1] for row in connection.execute(query.group_by(table.c.post_id))}
    rows = [
        {
            "batch_id": batch_id,
            "post_id": row.post_id,
            "entry_no": last.get(row.post_id, 0) + 1,
            "freed": freed,
            "row_hash": row.row_hash,
            "released_at": row.released_at,
            **told,
        }
        for row in posts
    ]
    connection.execute(table.insert(), rows)


def _among(column: sa.ColumnElement[int], posts: Sequence[int] | None) -> tuple[sa.ColumnElement[bool], ...]:
    return () if posts is None else (column.in_(posts),)


def _values(answers: Collection[Answer]) -> list[str]:
    return sorted(answer.value for answer in answers)


def _some(posts: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(posts), _AT_ONCE):
        yield posts[first : first + _AT_ONCE]
