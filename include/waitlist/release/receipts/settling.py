"""What a lead decides about single released posts: which of contradicting words counts, and that a post is free.

Each is one transaction that has locked the batch, together with what follows from it. The same decision by the same
person again changes nothing.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from waitlist.exceptions import ReasonError, RefusedError
from waitlist.release.receipts import holding, store
from waitlist.release.receipts.words import Answer
from waitlist.staging import BatchState, StagingStore, schema
from waitlist.staging.post_outcomes import has_personal_number

SHORTEST_REASON: Final = 10
"""The fewest characters of a written reason, white space not counted."""
LONGEST_REASON: Final = 500

_NOTHING: Final = "nothing was changed"


def has_reason(reason: str | None) -> bool:
    """Tell whether a text is long enough to be a written reason."""
    return len("".join((reason or "").split())) >= SHORTEST_REASON


@dataclass(frozen=True, slots=True)
class Decided:
    """What a lead decides about one post of a batch."""

    batch_id: str
    post_id: int
    actor: str
    """The lead's user id."""
    reason: str
    """Why, in the lead's words; without a patient's data."""
    at: dt.datetime
    """The moment, aware."""


def settle(staging: StagingStore, decided: Decided, *, counts: str, heard: int) -> Answer:
    """Keep which word about a post counts; return what its words amount to then.

    Args:
        staging: the staging database.
        decided: by whom, about which post and why.
        counts: the key of the word that counts.
        heard: how many words and settlements about the post the lead saw.

    Raises:
        ReasonError: the reason is too short or too long, or has what looks like a personal number.
        RefusedError: the words about the post do not contradict each other, others have come meanwhile, or the word is
            none of them. Nothing has changed then.
        StagingError: the database refused.
    """
    _require_reason(decided)
    batch_id, post_id, table = decided.batch_id, decided.post_id, schema.settlement
    with staging.holding("settling an answer of batch", batch_id) as (connection, _):
        words = store.words_of(connection, batch_id, [post_id]).get(post_id, [])
        settlements, _ = store.settled_of(connection, batch_id, [post_id]).get(post_id, (0, None))
        keys = [word.key for word in words]
        if heard + 1 == len(words) + settlements and _is_last(connection, decided, settlements, counts):
            return _answer(connection, batch_id, post_id)
        if heard != len(words) + settlements:
            raise RefusedError(f"batch {batch_id}: there are other words about post_id {post_id} by now; {_NOTHING}")
        if _answer(connection, batch_id, post_id) is not Answer.CONTRADICTED:
            raise RefusedError(f"batch {batch_id}: the words about post_id {post_id} do not contradict; {_NOTHING}")
        if counts not in keys:
            raise RefusedError(f"batch {batch_id}: there is no such word about post_id {post_id}; {_NOTHING}")
        row = {
            "batch_id": batch_id,
            "post_id": post_id,
            "entry_no": settlements + 1,
            "receipt_key": counts,
            "heard": ", ".join(sorted(keys)),
            "at": decided.at,
            "actor": decided.actor,
            "reason": decided.reason,
        }
        connection.execute(table.insert().values(row))
        store.answer(connection, batch_id, [post_id], decided.at)
        return _answer(connection, batch_id, post_id)


def free(staging: StagingStore, decided: Decided) -> None:
    """Free a rejected post, so that later runs judge it again.

    Args:
        staging: the staging database.
        decided: by whom, which post and why.

    Raises:
        ReasonError: the reason is too short or too long, or has what looks like a personal number.
        RefusedError: the batch is not released, its last word about the post is not that it is rejected, or the post is
            free already. Nothing has changed then.
        StagingError: the database refused.
    """
    _require_reason(decided)
    batch_id, post_id = decided.batch_id, decided.post_id
    with staging.holding("freeing a post of batch", batch_id) as (connection, state):
        if state is not BatchState.RELEASED:
            raise RefusedError(f"batch {batch_id} is {state}: a lead frees posts of a released one only; {_NOTHING}")
        if _answer(connection, batch_id, post_id) is not Answer.REJECTED:
            raise RefusedError(f"batch {batch_id}: the receiver's last word about post_id {post_id} is not that it is "
                               f"rejected; {_NOTHING}")  # fmt: skip
        freed = holding.free(
            connection, batch_id, state, decided.at, [post_id], actor=decided.actor, reason=decided.reason
        )
        if not freed and not _has_freed(connection, decided):
            raise RefusedError(f"batch {batch_id}: post_id {post_id} is free already; {_NOTHING}")


def _require_reason(decided: Decided) -> None:
    if not has_reason(decided.reason) or len(decided.reason) > LONGEST_REASON:
        raise ReasonError(
            f"batch {decided.batch_id}: it takes a written reason of {SHORTEST_REASON} to {LONGEST_REASON} characters; "
            f"{_NOTHING}"
        )
    if has_personal_number(decided.reason):
        raise ReasonError(f"batch {decided.batch_id}: the reason has what looks like a personal number; {_NOTHING}")
    if not decided.actor.strip():
        raise RefusedError(f"batch {decided.batch_id}: the name of the person that decides is missing; {_NOTHING}")


def _answer(connection: sa.Connection, batch_id: str, post_id: int) -> Answer:
    table = schema.post_answer.c
    found = connection.scalar(sa.select(table.answer).where(table.batch_id == batch_id, table.post_id == post_id))
    return Answer(found or Answer.UNANSWERED)


def _is_last(connection: sa.Connection, decided: Decided, entry_no: int, counts: str) -> bool:
    table = schema.settlement.c
    of_entry = (table.batch_id == decided.batch_id, table.post_id == decided.post_id, table.entry_no == entry_no)
    row = connection.execute(sa.select(table.receipt_key, table.actor, table.reason).where(*of_entry)).first()
    return row is not None and tuple(row) == (counts, decided.actor, decided.reason)


def _has_freed(connection: sa.Connection, decided: Decided) -> bool:
    """Tell whether the same person has freed the post before, with the same words."""
    table = schema.freed_post.c
    query = sa.select(table.freed, table.actor, table.reason).order_by(table.entry_no.desc()).limit(1)
    query = query.where(table.batch_id == decided.batch_id, table.post_id == decided.post_id)
    row = connection.execute(query).first()
    return row is not None and tuple(row) == (True, decided.actor, decided.reason)
