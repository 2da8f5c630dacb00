"""No order of receipts and outcomes loses or doubles a post: in the account, in the follow-up and in the ledger."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import batches, releases
from tests.support.releases import LATER

from waitlist.judge.rules import Disposition
from waitlist.release import decisions, ledger
from waitlist.release.receipts import account, follow
from waitlist.release.receipts import store as receipts
from waitlist.release.receipts.rows import Receipt
from waitlist.release.receipts.words import ACCEPTED, Answer, Outcome, Word, fold
from waitlist.staging import StagingStore, schema
from waitlist.staging.post_outcomes import BY_PEOPLE, Entry, add_all, current
from waitlist.staging.states import PostOutcome

WAVE = "vecka-1"
POSTS = range(1, 17)
MIGRATING = releases.migrating(POSTS)
OWED = {
    post for post in POSTS if Disposition(batches.disposition_of(post)) not in ledger.OWES_NOTHING
}  # fmt: skip
UNITS = {post: batches.UNITS[post % 3] or "" for post in POSTS}
LATE_FROM = batches.BEGIN + dt.timedelta(days=35)
NOW = LATER + dt.timedelta(days=9)

EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass(frozen=True)
class Said:
    """A word of the receiver about a post."""

    post_id: int
    word: Word


WORDS = st.builds(
    lambda post, outcome, hours, told: Said(
        post,
        Word(
            f"{post}-{outcome}-{hours}-{told}",
            outcome,
            LATER + dt.timedelta(hours=hours),
            None if outcome is Outcome.REJECTED else f"m{told}",
        ),
    ),
    # Few posts, few moments and two ids: repetitions and contradictions of every kind come up.
    st.sampled_from(MIGRATING[:5]),
    st.sampled_from(Outcome),
    st.integers(1, 4),
    st.sampled_from((1, 1, 1, 2)),
)
SAYINGS = (*BY_PEOPLE, PostOutcome.CHECKED, None)
STEPS = st.lists(st.tuples(st.sampled_from(POSTS), st.sampled_from(SAYINGS)), max_size=12)
"""A post, and an outcome or a mark; None undoes what holds."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StagingStore:
    folder: Path = tmp_path_factory.mktemp("ledger")
    store = StagingStore(f"sqlite:///{folder / 'staging.sqlite'}")
    store.migrate()
    releases.awaiting(store, WAVE, POSTS, wave="1")
    decisions.release(store, WAVE, "lead", None, LATER)
    return store


@pytest.fixture
def connection(store: StagingStore) -> Iterator[sa.Connection]:
    """Everything that an example writes is taken back: the guards let nobody remove it."""
    with store.engine.connect() as connection:
        yield connection


def in_parts(said: Sequence[Said], cuts: Sequence[int]) -> Iterator[list[Said]]:
    edges = [0, *sorted(cut % (len(said) + 1) for cut in cuts), len(said)]
    return (list(said[first:last]) for first, last in pairwise(edges))


def keep(connection: sa.Connection, said: Sequence[Said]) -> None:
    rejected = Outcome.REJECTED
    some = [Receipt(WAVE, one.post_id, one.word, "skäl" if one.word.outcome is rejected else None) for one in said]
    receipts.keep(connection, some, NOW)


def state(store: StagingStore, connection: sa.Connection) -> dict[str, Any]:
    """Return everything that pages and messages count."""
    table = schema.closing_ledger.c
    rows = connection.execute(sa.select(table.post_id, table.enhet_hsa_id, table.why, table.has_outcome)).all()
    return {
        "account": account.read_account(connection, store.batch(WAVE), len(MIGRATING), purged=False),
        "followed": follow.count(connection, LATE_FROM),
        "open": account.read_open(connection, LATE_FROM),
        "ledger": sorted(map(tuple, rows)),
    }


def require_sound(store: StagingStore, connection: sa.Connection, said: Sequence[Said]) -> dict[str, Any]:
    """Require that every post is where its own words put it, and nowhere else."""
    found = state(store, connection)
    answers = {post: fold(one.word for one in said if one.post_id == post).answer for post in MIGRATING}
    counted = Counter(answers.values())
    assert dict(found["account"].answers) == {answer: counted[answer] for answer in Answer}
    assert found["account"].adds_up
    for of_unit in found["followed"]:
        own = [answers[post] for post in MIGRATING if UNITS[post] == of_unit.unit]
        counts = of_unit.counts
        assert counts.posts == len(own)
        assert counts.unanswered == sum(answer in account.UNANSWERED for answer in own)
        assert (counts.rejected, counts.open, counts.booked, counts.cancelled) == tuple(
            own.count(answer) for answer in (Answer.REJECTED, Answer.ACCEPTED, Answer.BOOKED, Answer.CANCELLED)
        )
        assert counts.unanswered + counts.rejected + sum(own.count(answer) for answer in ACCEPTED) == counts.posts
        assert counts.late <= counts.open
    assert sum(of_unit.counts.posts for of_unit in found["followed"]) == len(MIGRATING)
    assert {(unit.enhet_hsa_id, unit.posts, unit.late) for unit in found["open"]} == {
        (of_unit.unit, of_unit.counts.open, of_unit.counts.late) for of_unit in found["followed"] if of_unit.counts.open
    }
    rejected = {post for post, answer in answers.items() if answer is Answer.REJECTED}
    assert [row[:2] for row in found["ledger"]] == [(post, UNITS[post]) for post in sorted(OWED | rejected)]
    return found


@EXAMPLES
@given(st.lists(WORDS, max_size=14), st.randoms(use_true_random=False), st.lists(st.integers(0, 99), max_size=3))
def test_no_order_of_receipts_loses_or_doubles_a_post(
    store: StagingStore, connection: sa.Connection, said: list[Said], shuffled: Any, cuts: list[int]
) -> None:
    ends = []
    for order in (said, shuffled.sample([*said, *said], 2 * len(said))):
        with connection.begin() as transaction:
            told: list[Said] = []
            for part in in_parts(order, cuts):
                keep(connection, part)
                told += part
                found = require_sound(store, connection, told)
            ends.append(found)
            transaction.rollback()
    assert ends[0] == ends[1]


@EXAMPLES
@given(st.lists(WORDS, max_size=6), STEPS)
def test_a_post_has_an_outcome_exactly_when_what_holds_is_one(
    store: StagingStore, connection: sa.Connection, said: list[Said], steps: list[tuple[int, PostOutcome | None]]
) -> None:
    entries: dict[int, list[Entry]] = {post: [] for post in POSTS}
    for post, outcome in steps:
        holds = current(entries[post])
        undoes = (holds.outcome or holds.mark) if outcome is None else None
        if outcome is None and undoes is None:
            continue
        word = "klar" if outcome is PostOutcome.NOT_NEEDED else None
        entries[post].append(
            Entry(post, len(entries[post]) + 1, UNITS[post], "natt", NOW, "nurse", outcome or PostOutcome.UNDONE,
                  undoes.entry_no if undoes else None, word)
        )  # fmt: skip
    with connection.begin() as transaction:
        keep(connection, said)
        add_all(connection, [entry for own in entries.values() for entry in own])
        found = require_sound(store, connection, said)
        for post, _, _, has_outcome in found["ledger"]:
            assert bool(has_outcome) == (current(entries[post]).outcome is not None)
        left = {row[0] for row in found["ledger"] if not row[3]}
        owed = {post for unit in {*UNITS.values()} for post in ledger.read_owed(connection, unit)}
        assert owed == left
        assert sum(line.missing for line in ledger.read_lines(connection)) == len(left)
        transaction.rollback()
