"""What people say of the posts of a sample, field by field: ``sample_verdict``, which is only added to.

A verdict is about a row, by post and ``row_hash``. So it counts for a later batch too, as long as the row is the same.
What Millennium's screen showed after the load is about one load, and counts for that batch alone.

A judgement has the number after the last one that its writer saw, and only one can have that number. So of two people
at the same post, the second gets the judgement of the first instead.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from waitlist.judge.request_columns import NAMES
from waitlist.staging import schema
from waitlist.staging.post_outcomes import LONGEST_WORD, WordFault, has_personal_number
from waitlist.staging.states import BatchState
from waitlist.staging.store import StagingStore

FIELDS: Final = NAMES
"""The fields of a booking request that are judged, in their order."""

_PAGE: Final = 500


class Stage(StrEnum):
    """With what a post is compared."""

    BEFORE = "before"
    """With PMO's screen, before an approver decides."""
    AFTER = "after"
    """With Millennium's screen, after the load."""


class Verdict(StrEnum):
    """What somebody says of a field, or of a whole post."""

    RIGHT = "right"
    WRONG = "wrong"
    CHANGED = "changed"
    """The source has changed since it was read: neither right nor wrong, and a word explains it."""


class Answer(StrEnum):
    """What became of a judgement that was sent."""

    KEPT = "kept"
    OVERTAKEN = "overtaken"
    """Somebody has judged the post since its writer opened the page."""
    CLOSED = "closed"
    """The batch is in another state than the one in which the stage is judged."""
    CORRECTED = "corrected"
    """Its writer has handled the post: nobody judges a row that they corrected."""


OPEN_IN: Final[Mapping[Stage, BatchState]] = {
    Stage.BEFORE: BatchState.AWAITING_APPROVAL,
    Stage.AFTER: BatchState.RELEASED,
}
"""The state of a batch in which a stage is judged: its rows do not change in either."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One judgement of a post."""

    post_id: int
    row_hash: str
    stage: Stage
    verdict_no: int
    """1, 2, ... for each post, row and stage."""
    verdicts: Mapping[str, Verdict]
    """By field."""
    at: dt.datetime
    actor: str
    """The user id."""
    batch_id: str
    """The batch whose sample its writer saw."""
    unit: str
    """The post's unit, by its key."""
    word: str | None = None

    @property
    def whole(self) -> Verdict | None:
        """What it says of the post: wrong where a field is, else changed where a field is; None where fields lack."""
        if not set(FIELDS).issubset(self.verdicts):
            return None
        said = set(self.verdicts.values())
        return next(verdict for verdict in (Verdict.WRONG, Verdict.CHANGED, Verdict.RIGHT) if verdict in said)


def word_fault(verdicts: Mapping[str, Verdict], word: str | None) -> WordFault | None:
    """Return what is wrong with the word of a judgement; None for a good one."""
    if not word:
        return WordFault.MISSING if Verdict.CHANGED in verdicts.values() else None
    if len(word) > LONGEST_WORD:
        return WordFault.LONG
    return WordFault.HAS_NUMBER if has_personal_number(word) else None


def read_judged(
    connection: sa.Connection, batch_id: str, stage: Stage, rows: Mapping[int, str]
) -> dict[int, tuple[Judged, ...]]:
    """Return the judgements that count for some posts of a batch, by post, the earliest first.

    Args:
        connection: a connection.
        batch_id: the batch.
        stage: with what the posts were compared.
        rows: the posts, with the ``row_hash`` that each has in the batch.
    """
    table, own, other = schema.sample_verdict, schema.batch.alias(), schema.batch.alias()
    query = sa.select(table).where(table.c.stage == stage.value)
    if stage is Stage.BEFORE:
        # A later batch says nothing about what was known when this one was decided.
        query = query.join(other, other.c.batch_id == table.c.batch_id)
        query = query.join(own, sa.and_(own.c.batch_id == batch_id, other.c.started_at <= own.c.started_at))
    else:
        query = query.where(table.c.batch_id == batch_id)
    query = query.order_by(table.c.post_id, table.c.verdict_no)
    found: dict[int, dict[int, Judged]] = {}
    posts = sorted(rows)
    for first in range(0, len(posts), _PAGE):
        some = query.where(table.c.post_id.in_(posts[first : first + _PAGE]))
        for row in connection.execute(some).mappings():
            if row["row_hash"] == rows[row["post_id"]]:
                of_post = found.setdefault(row["post_id"], {})
                before = of_post.get(row["verdict_no"])
                verdicts = {**(before.verdicts if before else {}), row["field"]: Verdict(row["verdict"])}
                of_post[row["verdict_no"]] = replace(before or _judged(row), verdicts=verdicts)
    return {post_id: tuple(of_post.values()) for post_id, of_post in found.items()}


def last_number(connection: sa.Connection, post_id: int, row_hash: str, stage: Stage) -> int:
    """Return the number of the last judgement of a post's row in any batch; 0 if nobody has judged it."""
    table = schema.sample_verdict.c
    query = sa.select(sa.func.max(table.verdict_no)).where(
        table.post_id == post_id, table.row_hash == row_hash, table.stage == stage.value
    )
    return connection.scalar(query) or 0


def handled_by(connection: sa.Connection, actor: str, post_ids: Collection[int]) -> frozenset[int]:
    """Return which of some posts a person has handled: given an outcome or a mark, also one that was undone.

    Args:
        connection: a connection.
        actor: the user id.
        post_ids: not more than the posts of a unit's sample.
    """
    table = schema.post_outcome.c
    query = sa.select(table.post_id).where(table.actor == actor, table.post_id.in_(list(post_ids)))
    return frozenset(connection.scalars(query))


def add(store: StagingStore, judged: Judged) -> Answer:
    """Keep a judgement of a post that is in the sample of its batch; the same one sent twice is kept once.

    Args:
        store: the staging database.
        judged: a judgement of all fields; its number is the one after the last that its writer saw.

    Raises:
        ValueError: a field lacks or is unknown, or the word is refused.
        StagingError: the batch is unknown, or the database refused.
    """
    if set(judged.verdicts) != set(FIELDS) or word_fault(judged.verdicts, judged.word) is not None:
        raise ValueError("a judgement has every field once, and a word where one has changed")
    table = schema.sample_verdict
    with store.holding("judging a post of batch", judged.batch_id) as (connection, state):
        if state is not OPEN_IN[judged.stage]:
            return Answer.CLOSED
        if handled_by(connection, judged.actor, [judged.post_id]):
            return Answer.CORRECTED
        last = last_number(connection, judged.post_id, judged.row_hash, judged.stage)
        if judged.verdict_no == last + 1:
            try:
                with connection.begin_nested():
                    connection.execute(table.insert(), _rows_of(judged))
            except IntegrityError:
                # The same row is in another batch too, and somebody was as early there.
                return _again(connection, judged)
            return Answer.KEPT
        return _again(connection, judged)


def _again(connection: sa.Connection, judged: Judged) -> Answer:
    """Return the answer to a judgement whose number is taken: it is kept where it is the one that has the number."""
    rows = {judged.post_id: judged.row_hash}
    kept = read_judged(connection, judged.batch_id, judged.stage, rows).get(judged.post_id, ())
    return Answer.KEPT if any(_content(judged) == _content(other) for other in kept) else Answer.OVERTAKEN


def _content(judged: Judged) -> tuple[int, str, str, Mapping[str, Verdict], str | None]:
    return judged.verdict_no, judged.actor, judged.batch_id, judged.verdicts, judged.word


def _rows_of(judged: Judged) -> list[dict[str, object]]:
    shared = {
        "post_id": judged.post_id, "row_hash": judged.row_hash, "stage": judged.stage.value,
        "verdict_no": judged.verdict_no, "at": judged.at, "actor": judged.actor, "batch_id": judged.batch_id,
        "enhet_hsa_id": judged.unit, "word": judged.word,
    }  # fmt: skip
    return [{**shared, "field": field, "verdict": judged.verdicts[field].value} for field in FIELDS]


def _judged(row: sa.RowMapping) -> Judged:
    return Judged(
        post_id=row["post_id"],
        row_hash=row["row_hash"],
        stage=Stage(row["stage"]),
        verdict_no=row["verdict_no"],
        verdicts={},
        at=row["at"],
        actor=row["actor"],
        batch_id=row["batch_id"],
        unit=row["enhet_hsa_id"],
        word=row["word"],
    )
