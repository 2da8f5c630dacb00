"""How far a batch's sample has come, and whether it passes: the gate ``sample``."""

import datetime as dt
import json
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from waitlist.exceptions import RefusedError
from waitlist.release.sample.bounds import most_faulty, smallest_sample, too_many
from waitlist.release.sample.drawing import Drawn, draw, read_frame
from waitlist.settings import RuleSettings
from waitlist.staging import IMMUTABLE, Batch, BatchState, EventName, StagingStore
from waitlist.staging.database import Database, refusals_named
from waitlist.staging.events import read_events
from waitlist.staging.sample_sizes import Enlarged, add_enlarged, read_enlarged
from waitlist.staging.sample_verdicts import Judged, Stage, Verdict, read_judged

FACT: Final = "WAITLIST_SAMPLE_FAULTS"
"""The share of faulty posts to exclude, among the facts that a batch was opened with; missing for the default."""

_MOST_FOUND: Final = 100
"""With more faults than these no larger sample is offered: something is wrong with the rows, not with the size."""
_MOST_KEPT: Final = 20
_KEPT: Final[WeakKeyDictionary[Database, "OrderedDict[tuple[str, str, int], Sample]"]] = WeakKeyDictionary()
"""Of batches whose rows cannot change any more: drawing again from 300,000 rows takes seconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The posts of a batch's sample, as they follow from its rows and its size."""

    posts: int
    """Booking requests in the batch."""
    too_many: int
    """The number of faulty posts that it has to exclude."""
    smallest: int
    """Posts of the random part when no fault is found."""
    drawn: tuple[Drawn, ...]
    """The random part, then the aimed part."""

    @property
    def rows(self) -> dict[int, str]:
        """The ``row_hash`` of its posts, by post id."""
        return {post.post_id: post.row_hash for post in self.drawn}


@dataclass(frozen=True, slots=True)
class Counts:
    """What has been said of one part."""

    posts: int = 0
    right: int = 0
    wrong: int = 0
    changed: int = 0

    @property
    def judged(self) -> int:
        """How many posts have been judged."""
        return self.right + self.wrong + self.changed

    @property
    def left(self) -> int:
        """How many posts nobody has judged."""
        return self.posts - self.judged


@dataclass(frozen=True, slots=True)
class State:
    """How far a sample has come."""

    posts: int
    """Booking requests in the batch."""
    too_many: int
    smallest: int
    random: Counts
    aimed: Counts
    bound: int | None
    """The largest number of faulty posts that the random part does not exclude; None until all of it is judged."""
    enlarge_to: int | None
    """The size of the random part that would do, with the faults known now; None where no larger one is needed or
    would do."""

    @property
    def missing(self) -> int:
        """What the gate measures: posts not judged, open faults of the aimed part, and faults that are not excluded."""
        beyond = 0 if self.bound is None else max(0, self.bound - self.too_many + 1)
        return self.random.left + self.aimed.left + self.aimed.wrong + beyond

    @property
    def passes(self) -> bool:
        """Whether every post is judged, the bound is low enough, and no fault of the aimed part is open."""
        return self.missing == 0


def share_of(facts: Mapping[str, str] | None) -> Fraction:
    """Return the share of faulty posts that a batch's sample has to exclude.

    Args:
        facts: what the batch was opened with (``Batch.facts``).
    """
    told = (facts or {}).get(FACT)
    return Fraction(json.loads(told) if told is not None else RuleSettings.model_fields["sample_faults"].default)


def size_of(smallest: int, enlarged: Iterable[Enlarged]) -> int:
    """Return the size of the random part after its enlargements; it never shrinks."""
    return max([smallest, *(entry.size for entry in enlarged)])


def assess(sample: Sample, judged: Mapping[int, tuple[Judged, ...]]) -> State:
    """Tell how far a sample has come.

    Args:
        sample: its posts.
        judged: the judgements that count, by post, the earliest first; the last one holds.
    """
    said = {post_id: verdict for post_id, told in judged.items() if (verdict := last_verdict(told)) is not None}
    random = _count((post for post in sample.drawn if post.is_random), said)
    aimed = _count((post for post in sample.drawn if not post.is_random), said)
    bound = None if random.left else most_faulty(sample.posts, random.right + random.wrong, random.wrong)
    return State(
        posts=sample.posts,
        too_many=sample.too_many,
        smallest=sample.smallest,
        random=random,
        aimed=aimed,
        bound=bound,
        enlarge_to=_enlarged(sample, random),
    )


def last_verdict(judged: Iterable[Judged]) -> Verdict | None:
    """Return what the last whole judgement says of a post; None where nobody has judged it."""
    return next((verdict for told in reversed(tuple(judged)) if (verdict := told.whole) is not None), None)


def read_sample(store: StagingStore, connection: sa.Connection, batch: Batch, enlarged: Iterable[Enlarged]) -> Sample:
    """Draw a batch's sample; what was drawn from the rows that an approval request has bound is remembered.

    Args:
        store: the staging database.
        connection: a connection.
        batch: a batch that is verified.
        enlarged: its enlargements.

    Raises:
        StagingError: the database refused.
    """
    enlarged = tuple(enlarged)
    kept, bound = _KEPT.setdefault(store.database, OrderedDict()), _bound(connection, batch)
    key = (batch.batch_id, bound or "", size_of(0, enlarged))
    if bound and key in kept:
        return kept[key]
    with refusals_named(f"drawing the sample of batch {batch.batch_id}"), store.database.reading() as read:
        frame = read_frame(read, batch.batch_id)
    posts, share = len(frame.post_ids), share_of(batch.facts)
    smallest = smallest_sample(posts, share) or 0
    drawn = draw(frame, smallest, min(size_of(smallest, enlarged), posts))
    sample = Sample(posts, too_many(posts, share), smallest, drawn)
    if bound and posts:
        kept[key] = sample
        while len(kept) > _MOST_KEPT:
            kept.popitem(last=False)
    return sample


def read_state(store: StagingStore, connection: sa.Connection, batch: Batch, stage: Stage = Stage.BEFORE) -> State:
    """Read how far a batch's sample has come.

    Args:
        store: the staging database.
        connection: a connection.
        batch: a batch that is verified.
        stage: with what the posts were compared.

    Raises:
        StagingError: the database refused.
    """
    sample = read_sample(store, connection, batch, read_enlarged(connection, batch.batch_id))
    return assess(sample, read_judged(connection, batch.batch_id, stage, sample.rows))


def measure(store: StagingStore, batch_id: str) -> int:
    """Return what the gate ``sample`` measures.

    Raises:
        StagingError: there is no such batch, or the database refused.
    """
    with refusals_named(f"the sample of batch {batch_id}"), store.database.connected() as connection:
        return read_state(store, connection, store.batch(batch_id)).missing


def enlarge(store: StagingStore, batch_id: str, actor: str, now: dt.datetime, *, seen: int) -> bool:
    """Enlarge the random part to the size that the faults known now require, with the next posts in the order.

    Args:
        store: the staging database.
        batch_id: the batch.
        actor: the user id.
        now: the moment, aware.
        seen: the size that its writer saw on the page.

    Returns:
        whether it has that size now; False where other faults have become known.

    Raises:
        RefusedError: the batch does not await its approval.
        StagingError: the batch is unknown, or the database refused.
    """
    with store.holding("enlarging the sample of batch", batch_id) as (connection, state):
        if state is not BatchState.AWAITING_APPROVAL:
            raise RefusedError(f"batch {batch_id} does not await its approval: its sample stays as it is")
        entries = read_enlarged(connection, batch_id)
        if any(entry.size == seen for entry in entries):
            return True
        found = read_state(store, connection, store.batch(batch_id))
        if found.enlarge_to != seen:
            return False
        entry_no = len(entries) + 1
        add_enlarged(
            connection, Enlarged(batch_id, entry_no, seen, found.random.wrong, found.random.changed, now, actor)
        )
    return True


def _bound(connection: sa.Connection, batch: Batch) -> str | None:
    """Return what the last approval request of a batch has bound; None while its rows may change."""
    if batch.state not in IMMUTABLE:
        return None
    asked = [event for event in read_events(connection, batch.batch_id) if event.event is EventName.AWAITING_APPROVAL]
    return json.dumps(asked[-1].details, sort_keys=True) if asked else None


def _enlarged(sample: Sample, random: Counts) -> int | None:
    if not sample.posts or random.wrong > _MOST_FOUND:
        return None
    # The share whose part of the posts, rounded up, is the same number.
    wanted = smallest_sample(sample.posts, Fraction(sample.too_many, sample.posts), random.wrong)
    size = None if wanted is None else wanted + random.changed
    return size if size is not None and random.posts < size <= sample.posts else None


def _count(posts: Iterable[Drawn], said: Mapping[int, Verdict]) -> Counts:
    ids = [post.post_id for post in posts]
    found = Counter(said[post_id] for post_id in ids if post_id in said)
    return Counts(len(ids), found[Verdict.RIGHT], found[Verdict.WRONG], found[Verdict.CHANGED])
