"""From the receiver's words about a post to its answer; no order of arrival and no repetition changes it.

The last word by time counts. Words that contradict each other are shown and never merged: the post counts as
unanswered until a lead has settled it, that is, has said which of the words counts. The others that there were do not
count then. A word that comes later counts, and may contradict again.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final


class Outcome(StrEnum):
    """What a word says."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    BOOKED = "booked"
    CANCELLED = "cancelled"


class Answer(StrEnum):
    """What the words about a post amount to."""

    UNANSWERED = "unanswered"
    """No word."""
    CONTRADICTED = "contradicted"
    """Words that contradict each other; counts as unanswered."""
    ACCEPTED = "accepted"
    BOOKED = "booked"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class Contradiction(StrEnum):
    """Why words contradict each other."""

    REJECTED_AND_MORE = "rejected_and_more"
    """One word rejects the post, and another does not."""
    AFTER_CANCELLED = "after_cancelled"
    """It was accepted or booked after it was cancelled."""
    ACCEPTED_AFTER_BOOKED = "accepted_after_booked"
    TWO_IDS = "two_ids"
    """Two ids in Millennium."""
    ONE_MOMENT = "one_moment"
    """Two different words of the same moment."""


ACCEPTED: Final = frozenset({Answer.ACCEPTED, Answer.BOOKED, Answer.CANCELLED})
"""Answers that count as accepted."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the receiver about a post."""

    key: str
    """The digest of the whole row, reason included: the same row again has the same key."""
    outcome: Outcome
    at: dt.datetime
    millennium_id: str | None = None
    booked_for: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """That a lead has said which word about a post counts."""

    counts: str
    """The key of that word."""
    heard: frozenset[str]
    """The keys of all the words that there were."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the words about a post amount to."""

    answer: Answer
    at: dt.datetime | None = None
    """The moment of the last word."""
    booked_for: dt.date | None = None
    contradictions: tuple[Contradiction, ...] = ()
    last: str | None = None
    """The key of the last word; None where words contradict each other."""


def fold(words: Iterable[Word], settled: Settled | None = None) -> Told:
    """Return what the words about one post amount to.

    Args:
        words: in any order; repetitions count once.
        settled: the last settlement; None for a post without one.
    """
    known = {word.key: word for word in words}
    if settled is not None:
        known = {key: word for key, word in known.items() if key == settled.counts or key not in settled.heard}
    ordered = sorted(known.values(), key=lambda word: (word.at, word.key))
    if not ordered:
        return Told(Answer.UNANSWERED)
    last = ordered[-1]
    found = _contradictions(ordered)
    if found:
        return Told(Answer.CONTRADICTED, last.at, contradictions=found)
    return Told(Answer(last.outcome.value), last.at, last.booked_for, last=last.key)


def _contradictions(ordered: Sequence[Word]) -> tuple[Contradiction, ...]:
    outcomes = {word.outcome for word in ordered}
    steps = {(earlier.outcome, later.outcome) for earlier, later in pairwise(ordered)}
    found = {
        Contradiction.REJECTED_AND_MORE: Outcome.REJECTED in outcomes and len(outcomes) > 1,
        Contradiction.AFTER_CANCELLED: any(
            (Outcome.CANCELLED, later) in steps for later in (Outcome.ACCEPTED, Outcome.BOOKED)
        ),
        Contradiction.ACCEPTED_AFTER_BOOKED: (Outcome.BOOKED, Outcome.ACCEPTED) in steps,
        Contradiction.TWO_IDS: len({word.millennium_id for word in ordered if word.millennium_id}) > 1,
        Contradiction.ONE_MOMENT: any(earlier.at == later.at for earlier, later in pairwise(ordered)),
    }
    return tuple(which for which, there in found.items() if there)
