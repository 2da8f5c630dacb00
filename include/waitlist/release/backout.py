"""What must return when a release is withdrawn after its load: each post, what to do with it, and what PMO has changed.

It is read from the posts that are followed and from the receiver's answers, so it is there when retention has removed
the batch's rows. What PMO has changed is what the latest night found when it compared the released booking requests
with PMO, column by column of ``row_hash``.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import sqlalchemy as sa

from waitlist.exceptions import RefusedError
from waitlist.release.proof import plain
from waitlist.release.receipts.answers import answered
from waitlist.release.receipts.holding import free_posts
from waitlist.release.receipts.words import Answer
from waitlist.staging import FOLLOWED, Batch, schema
from waitlist.staging.changes import GONE
from waitlist.staging.dry_runs import DryRun, latest_for_everybody, read_dry_runs


class ToDo(StrEnum):
    """What must be done with a post of a release that is withdrawn after its load."""

    CANCEL = "cancel"
    """It is proposed at the receiver: it must be cancelled there."""
    BY_HAND = "by_hand"
    """It was booked meanwhile: the patient keeps the visit, or is called; somebody decides."""
    ASK = "ask"
    """The receiver has not answered, or has contradicted itself: nobody knows whether it is there."""
    NOTHING = "nothing"
    """The receiver has confirmed that it is cancelled or rejected."""


_TO_DO: Final[Mapping[Answer, ToDo]] = MappingProxyType(
    {
        Answer.ACCEPTED: ToDo.CANCEL,
        Answer.BOOKED: ToDo.BY_HAND,
        Answer.UNANSWERED: ToDo.ASK,
        Answer.CONTRADICTED: ToDo.ASK,
        Answer.CANCELLED: ToDo.NOTHING,
        Answer.REJECTED: ToDo.NOTHING,
    }
)


@dataclass(frozen=True, slots=True)
class Return:
    """A post that must return."""

    post_id: int
    unit: str
    """HSA-id; empty for a post without a known unit."""
    boka_fore: dt.date
    answer: Answer
    booked_for: dt.date | None
    """The date of a booked visit."""
    free: bool
    """A later wave may release it."""
    changed: tuple[str, ...]
    """The columns that PMO has changed since; empty also where nothing is known."""
    gone: bool
    """PMO no longer has it."""

    @property
    def to_do(self) -> ToDo:
        """What must be done with it."""
        return _TO_DO[self.answer]


@dataclass(frozen=True, slots=True)
class OfUnit:
    """The posts of a unit, counted."""

    unit: str
    to_do: Mapping[ToDo, int]
    changed: int
    """Posts that PMO has changed or no longer has."""
    free: int


@dataclass(frozen=True, slots=True)
class BackOut:
    """What must return."""

    batch: Batch
    posts: tuple[Return, ...]
    """By unit, then by what must be done, in the order of ``ToDo``, then by post."""
    compared_with: DryRun | None
    """The dry run that says what PMO has changed; None where none has read PMO since the release."""

    @property
    def units(self) -> tuple[OfUnit, ...]:
        """The counts of each unit, those with most to do first."""
        found: dict[str, list[Return]] = {}
        for post in self.posts:
            found.setdefault(post.unit, []).append(post)
        counted = [
            OfUnit(
                unit,
                Counter(post.to_do for post in posts),
                sum(post.gone or bool(post.changed) for post in posts),
                sum(post.free for post in posts),
            )
            for unit, posts in found.items()
        ]
        return tuple(
            sorted(counted, key=lambda one: (one.to_do.get(ToDo.NOTHING, 0) - sum(one.to_do.values()), one.unit))
        )

    def left(self, to_do: ToDo) -> int:
        """Return how many posts have something to do."""
        return sum(post.to_do is to_do for post in self.posts)

    def of_unit(self, unit: str) -> Sequence[Return]:
        """Return the posts of a unit, given by its HSA-id."""
        return [post for post in self.posts if post.unit == unit]


def read_backout(connection: sa.Connection, batch: Batch) -> BackOut:
    """Return what must return of a batch that a receiver may have.

    Raises:
        RefusedError: the batch was not released, or no receiver had it when it was withdrawn.
    """
    if batch.state not in FOLLOWED:
        raise RefusedError(f"batch {batch.batch_id} is {plain(batch.state)}: nothing of it must return from a receiver")
    run = latest_for_everybody(read_dry_runs(connection))
    if run is not None and batch.released_at is not None and run.started_at < batch.released_at:
        run = None
    changes = {} if run is None else _changes(connection, run.batch_id)
    free = set(connection.scalars(sa.select(free_posts(batch.batch_id).subquery().c.post_id)))
    post = answered()
    order = [*ToDo]
    posts = [
        Return(
            row.post_id,
            row.unit,
            row.boka_fore,
            Answer(row.answer),
            row.booked_for,
            row.post_id in free,
            *changes.get(row.post_id, ((), False)),
        )
        for row in connection.execute(sa.select(post).where(post.c.batch_id == batch.batch_id))
    ]
    ordered = sorted(posts, key=lambda post: (post.unit, order.index(post.to_do), post.post_id))
    return BackOut(batch, tuple(ordered), run)


def _changes(connection: sa.Connection, dry_run: str) -> dict[int, tuple[tuple[str, ...], bool]]:
    table = schema.released_change.c
    query = sa.select(table.post_id, table.change, table.columns).where(table.batch_id == dry_run)
    return {
        row.post_id: (tuple(filter(None, row.columns.split(", "))), row.change == GONE)
        for row in connection.execute(query)
    }
