"""A lead settles contradictions and frees rejected posts; a withdrawal after the load frees what is confirmed."""

import contextlib
import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.integration.release.test_hand_off import WHOLE
from tests.integration.release.test_receipts import MIGRATING, NOW, WAVE, answers, counted, put, row, take, with_wave
from tests.support import batches, releases
from tests.support.releases import LATER, REASON
from upath import UPath

from waitlist.exceptions import ReasonError, ReconciliationError, RefusedError
from waitlist.release import decisions as release
from waitlist.release import ledger
from waitlist.release.backout import read_backout
from waitlist.release.handoff import writing
from waitlist.release.receipts import account, follow, holding, inbox, settling
from waitlist.release.receipts import store as receipts_store
from waitlist.release.receipts.settling import Decided
from waitlist.release.receipts.words import Answer, fold
from waitlist.staging import FOLLOWED, BatchState, EventName, StagingStore, schema
from waitlist.staging.post_outcomes import Entry, add_all, current, read_of_posts, record
from waitlist.staging.states import PostOutcome

LEAD = "Lena Lead"
WHY = "Millennium visar begäran"
ONE, TWO, THREE, FOUR = MIGRATING[:4]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    return with_wave(batches.empty_store(request, tmp_path))


@pytest.fixture
def of_sqlite(tmp_path: Path) -> StagingStore:
    found = batches.migrated_file(tmp_path / "staging.sqlite")
    return with_wave(found)


def say(store: StagingStore, *rows: Mapping[str, str], now: dt.datetime = NOW) -> None:
    """Take words by the inbox, as the receipts step does."""
    with store.database.writing() as connection:
        connection.execute(schema.receipt_inbox.insert(), list(rows))
    assert inbox.take(store, now) == (len(rows), 0)


def words(store: StagingStore, post: int) -> list[Any]:
    with store.database.connected() as connection:
        return receipts_store.words_of(connection, WAVE, [post]).get(post, [])


def decided(post: int, reason: str = WHY, actor: str = LEAD) -> Decided:
    return Decided(WAVE, post, actor, reason, NOW)


def settle(store: StagingStore, post: int, outcome: str, heard: int | None = None, **told: str) -> Answer:
    said = words(store, post)
    counts = next(word.key for word in said if word.outcome == outcome)
    return settling.settle(
        store,
        decided(post, **told),
        counts=counts,
        heard=len(said) + _settlements(store, post) if heard is None else heard,
    )


def _settlements(store: StagingStore, post: int) -> int:
    return sum(row["post_id"] == post for row in batches.rows(store, schema.settlement))


def held(store: StagingStore) -> set[int]:
    return {row["post_id"] for row in batches.rows(store, schema.released_post) if row["batch_id"] == WAVE}


def shown(store: StagingStore) -> set[int]:
    view = schema.bokningsbegaran_released.c
    with store.engine.connect() as connection:
        return set(connection.scalars(sa.select(view.post_id).where(view.batch_id == WAVE)))


def events(store: StagingStore, name: EventName) -> list[tuple[str, Any]]:
    return [(event.actor, event.details["posts"]) for event in store.events(WAVE) if event.event is name]


# Settling


def test_a_settled_contradiction_is_the_word_that_counts_and_a_later_word_may_contradict_again(
    store: StagingStore,
) -> None:
    say(store, row(ONE, "accepted"), row(ONE, "rejected", 2))
    assert answers(store)[ONE] == "contradicted"
    assert settle(store, ONE, "accepted") is Answer.ACCEPTED
    assert answers(store)[ONE] == "accepted"
    kept = batches.rows(store, schema.settlement)
    assert [(entry["actor"], entry["reason"], entry["at"]) for entry in kept] == [(LEAD, WHY, NOW)]
    say(store, row(ONE, "booked", 3))
    assert answers(store)[ONE] == "booked"
    say(store, row(ONE, "rejected", 4))
    assert answers(store)[ONE] == "contradicted"
    assert settle(store, ONE, "booked") is Answer.BOOKED
    assert counted(store).adds_up


def test_the_same_settlement_again_changes_nothing(store: StagingStore) -> None:
    say(store, row(ONE, "accepted"), row(ONE, "rejected", 2))
    settle(store, ONE, "accepted", heard=2)
    before = batches.contents(store)
    assert settle(store, ONE, "accepted", heard=2) is Answer.ACCEPTED
    assert batches.contents(store) == before


def test_who_saw_other_words_settles_nothing(store: StagingStore) -> None:
    say(store, row(ONE, "accepted"), row(ONE, "rejected", 2))
    say(store, row(ONE, "booked", 3))
    refused(store, RefusedError, "other words", lambda: settle(store, ONE, "rejected", heard=2))
    settle(store, ONE, "booked")
    other = decided(ONE, actor="somebody else")
    counts = words(store, ONE)[0].key
    refused(store, RefusedError, "other words", lambda: settling.settle(store, other, counts=counts, heard=3))


@pytest.mark.parametrize("reason", ["kort", " " * 20, "x" * 501, "Avser 19121212-1212 i går"])
def test_a_decision_takes_a_reason_without_a_personal_number(of_sqlite: StagingStore, reason: str) -> None:
    say(of_sqlite, row(ONE, "accepted"), row(ONE, "rejected", 2), row(TWO, "rejected"))
    refused(of_sqlite, ReasonError, "reason", lambda: settle(of_sqlite, ONE, "accepted", reason=reason))
    refused(of_sqlite, ReasonError, "reason", lambda: settling.free(of_sqlite, decided(TWO, reason)))


def test_only_a_contradiction_is_settled_and_only_by_one_of_its_words(of_sqlite: StagingStore) -> None:
    say(of_sqlite, row(ONE, "accepted"), row(TWO, "accepted"), row(TWO, "rejected", 2))
    refused(of_sqlite, RefusedError, "do not contradict", lambda: settle(of_sqlite, ONE, "accepted"))
    other = words(of_sqlite, ONE)[0].key
    refused(
        of_sqlite, RefusedError, "no such word",
        lambda: settling.settle(of_sqlite, decided(TWO), counts=other, heard=2),
    )  # fmt: skip
    refused(
        of_sqlite, RefusedError, "do not contradict",
        lambda: settling.settle(of_sqlite, decided(THREE), counts=other, heard=0),
    )  # fmt: skip


# Freeing


def test_a_freed_post_may_be_released_by_a_later_wave_and_the_proof_still_holds(store: StagingStore) -> None:
    say(store, row(ONE, "rejected"), *(row(post, "accepted") for post in MIGRATING[1:]))
    settling.free(store, decided(ONE))
    assert held(store) == shown(store) == {*MIGRATING} - {ONE}
    assert events(store, EventName.FREED) == [(LEAD, 1)]
    assert release.verify_released(store, WAVE) == len(MIGRATING) - 1
    told = counted(store)
    assert (told.adds_up, told.free, told.shown) == (True, 1, len(MIGRATING) - 1)
    releases.awaiting(store, "vecka-2", [ONE], wave="2")
    assert release.release(store, "vecka-2", "Eva Öberg", None, NOW) == 1
    assert release.verify_released(store, "vecka-2") == 1
    assert release.verify_released(store, WAVE) == len(MIGRATING) - 1


def test_the_same_freeing_again_changes_nothing_and_another_one_is_refused(store: StagingStore) -> None:
    say(store, row(ONE, "rejected"))
    settling.free(store, decided(ONE))
    before = batches.contents(store)
    settling.free(store, decided(ONE))
    assert batches.contents(store) == before
    refused(store, RefusedError, "free already", lambda: settling.free(store, decided(ONE, actor="somebody else")))


@pytest.mark.parametrize("said", [(), ("accepted",), ("booked",), ("cancelled",), ("accepted", "rejected")])
def test_only_a_post_whose_last_word_is_rejected_is_freed(of_sqlite: StagingStore, said: tuple[str, ...]) -> None:
    if said:
        say(of_sqlite, *(row(ONE, outcome, hours) for hours, outcome in enumerate(said, 1)))
    refused(of_sqlite, RefusedError, "last word", lambda: settling.free(of_sqlite, decided(ONE)))


def test_a_freed_post_is_held_again_when_the_receiver_says_something_else(store: StagingStore) -> None:
    say(store, row(ONE, "rejected"))
    settling.free(store, decided(ONE))
    say(store, row(ONE, "booked", 2))
    assert answers(store)[ONE] == "contradicted"
    assert held(store) == {*MIGRATING}
    assert events(store, EventName.HELD_AGAIN) == [("pipeline", 1)]
    assert release.verify_released(store, WAVE) == len(MIGRATING)
    settle(store, ONE, "rejected")
    assert held(store) == {*MIGRATING}
    settling.free(store, decided(ONE))
    assert held(store) == {*MIGRATING} - {ONE}


def test_a_freed_post_that_another_batch_has_released_stays_with_that_batch(store: StagingStore) -> None:
    say(store, row(ONE, "rejected"))
    settling.free(store, decided(ONE))
    releases.awaiting(store, "vecka-2", [ONE], wave="2")
    release.release(store, "vecka-2", "Eva Öberg", None, NOW)
    say(store, row(ONE, "booked", 2))
    assert held(store) == {*MIGRATING} - {ONE}
    assert answers(store)[ONE] == "contradicted"
    assert release.verify_released(store, WAVE) == len(MIGRATING) - 1


def test_a_wave_that_waits_with_a_post_that_is_held_again_is_not_released(of_sqlite: StagingStore) -> None:
    say(of_sqlite, row(ONE, "rejected"))
    settling.free(of_sqlite, decided(ONE))
    releases.awaiting(of_sqlite, "vecka-2", [ONE], wave="2")
    say(of_sqlite, row(ONE, "booked", 2))
    refused(
        of_sqlite, RefusedError, "another batch has released",
        lambda: release.release(of_sqlite, "vecka-2", "Eva Öberg", None, NOW),
    )  # fmt: skip


def test_a_batch_with_a_free_post_is_not_handed_off_again(of_sqlite: StagingStore, tmp_path: Path) -> None:
    writing.hand_off(of_sqlite, UPath(tmp_path / "out"), WAVE, WHOLE, NOW)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out" / WAVE).iterdir()}
    say(of_sqlite, row(ONE, "rejected"))
    settling.free(of_sqlite, decided(ONE))
    with pytest.raises(RefusedError, match="some of its posts are free"):
        writing.hand_off(of_sqlite, UPath(tmp_path / "out"), WAVE, WHOLE, NOW)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out" / WAVE).iterdir()} == before


def test_a_post_that_is_missing_in_the_view_without_being_free_is_found(of_sqlite: StagingStore) -> None:
    table = schema.released_post
    batches.execute(of_sqlite, table.delete().where(table.c.post_id == ONE))
    with pytest.raises(ReconciliationError, match=f"differ between the view and released_post: 1: post_id {ONE}\n"):
        release.verify_released(of_sqlite, WAVE)


# The account


def test_a_batch_is_acknowledged_when_nothing_is_unanswered_and_every_rejected_post_has_an_outcome(
    of_sqlite: StagingStore,
) -> None:
    say(of_sqlite, *(row(post, "accepted") for post in MIGRATING[1:]))
    assert not counted(of_sqlite).acknowledged
    say(of_sqlite, row(ONE, "rejected"))
    told = counted(of_sqlite)
    assert (told.no_outcome, told.acknowledged) == (1, False)
    settling.free(of_sqlite, decided(ONE))
    assert not counted(of_sqlite).acknowledged, "it is free, and nothing has become of it yet"
    unit = next(r["enhet_hsa_id"] or "" for r in batches.rows(of_sqlite, schema.followed_post) if r["post_id"] == ONE)
    for number, (at, outcome) in enumerate(
        ((LATER - dt.timedelta(hours=1), PostOutcome.BOOKED_PMO), (NOW, PostOutcome.CHECKED)), 1
    ):
        said = Entry(ONE, number, unit, WAVE, at, "nurse", outcome)
        record(of_sqlite.database, said, key=f"a request {number}")
        assert not counted(of_sqlite).acknowledged, outcome
    record(of_sqlite.database, Entry(ONE, 3, unit, WAVE, NOW, "nurse", PostOutcome.UNDONE, undoes=1), key="a request 3")
    record(of_sqlite.database, Entry(ONE, 4, unit, WAVE, NOW, "nurse", PostOutcome.BOOKED_PMO), key="a request 4")
    assert counted(of_sqlite).acknowledged


# Withdrawal after the load


def withdraw(store: StagingStore, **told: Any) -> int:
    return release.withdraw(store, WAVE, "Eva Öberg", REASON, NOW, **told)


def test_a_batch_that_the_receiver_has_answered_about_is_withdrawn_after_the_load(store: StagingStore) -> None:
    say(store, row(ONE, "accepted"), row(TWO, "rejected"), row(THREE, "cancelled"), row(FOUR, "booked"))
    assert withdraw(store) == 2
    assert store.batch(WAVE).state is BatchState.WITHDRAWN_AFTER_LOAD
    assert shown(store) == set()
    assert held(store) == {*MIGRATING} - {TWO, THREE}
    assert events(store, EventName.WITHDRAWN_AFTER_LOAD) == [("Eva Öberg", len(MIGRATING))]
    assert events(store, EventName.FREED) == [("pipeline", 2)]
    told = counted(store)
    assert (told.shown, told.free, told.adds_up) == (None, 2, True)


def test_later_receipts_free_posts_of_a_batch_that_was_withdrawn_after_the_load(store: StagingStore) -> None:
    withdraw(store, loaded=True)
    assert held(store) == {*MIGRATING}
    say(store, row(ONE, "cancelled"), row(TWO, "rejected"), row(THREE, "booked"))
    assert held(store) == {*MIGRATING} - {ONE, TWO}
    say(store, row(ONE, "booked", 2))
    assert held(store) == {*MIGRATING} - {TWO}
    settle(store, ONE, "cancelled")
    assert held(store) == {*MIGRATING} - {ONE, TWO}


@pytest.mark.parametrize("killed", [False, True])
def test_a_batch_that_was_handed_off_is_withdrawn_after_the_load(
    of_sqlite: StagingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    if killed:
        # Killed when the files have got their names, before that is recorded.
        monkeypatch.setattr(writing, "record", lambda *_: (_ for _ in ()).throw(RefusedError("killed")))
    try:
        writing.hand_off(of_sqlite, UPath(tmp_path / "out"), WAVE, WHOLE, NOW)
    except RefusedError:
        assert (tmp_path / "out" / WAVE / "manifest.json").exists()
    assert withdraw(of_sqlite) == 0
    assert of_sqlite.batch(WAVE).state is BatchState.WITHDRAWN_AFTER_LOAD
    assert held(of_sqlite) == {*MIGRATING}


def test_a_batch_that_no_receiver_can_have_is_withdrawn_with_all_its_posts_free(store: StagingStore) -> None:
    assert withdraw(store) == len(MIGRATING)
    assert store.batch(WAVE).state is BatchState.WITHDRAWN
    assert held(store) == set()


def test_the_same_withdrawal_after_the_load_again_changes_nothing(store: StagingStore) -> None:
    say(store, row(ONE, "rejected"))
    assert withdraw(store) == 1
    before = batches.contents(store)
    assert withdraw(store) == withdraw(store, loaded=True) == 1
    assert batches.contents(store) == before
    refused(store, RefusedError, "is withdrawn", lambda: release.withdraw(store, WAVE, "Annan", REASON, NOW))


def test_a_receiver_that_hears_late_changes_nothing_of_a_batch_that_was_withdrawn_before_its_load(
    of_sqlite: StagingStore, tmp_path: Path
) -> None:
    withdraw(of_sqlite)
    put(tmp_path, "a.csv", [row(ONE, "accepted")])
    assert take(of_sqlite, tmp_path).refused == 1
    refused(of_sqlite, RefusedError, "last word|released one", lambda: settling.free(of_sqlite, decided(ONE)))


# Whatever the order


class AfterTheLoad(RuleBasedStateMachine):
    """Words, settlements, freeings, a withdrawal and releases of a later wave, in any order."""

    store: StagingStore
    posts = st.sampled_from([ONE, TWO])

    def __init__(self) -> None:
        super().__init__()
        batches._fill(self.store, {})
        releases.awaiting(self.store, WAVE, [ONE, TWO], wave="1")
        release.release(self.store, WAVE, "Eva Öberg", None, LATER)
        self.waves = 0

    @rule(
        post=posts, outcome=st.sampled_from(["accepted", "rejected", "booked", "cancelled"]), hours=st.integers(1, 30)
    )
    def hear(self, post: int, outcome: str, hours: int) -> None:
        known = self.store.batch(WAVE).state is not BatchState.WITHDRAWN
        with self.store.database.writing() as connection:
            connection.execute(schema.receipt_inbox.insert(), [row(post, outcome, hours)])
        assert inbox.take(self.store, NOW) == ((1, 0) if known else (0, 1))

    @rule(post=posts, place=st.integers(0, 5))
    def settle(self, post: int, place: int) -> None:
        said = words(self.store, post)
        if said:
            tried(
                lambda: settling.settle(
                    self.store, decided(post), counts=said[place % len(said)].key,
                    heard=len(said) + _settlements(self.store, post),
                )
            )  # fmt: skip

    @rule(post=posts)
    def free(self, post: int) -> None:
        tried(lambda: settling.free(self.store, decided(post)))

    @rule(loaded=st.booleans())
    def withdraw(self, loaded: bool) -> None:
        tried(lambda: withdraw(self.store, loaded=loaded))

    @rule(post=posts, withdrawn=st.booleans())
    def release_later(self, post: int, withdrawn: bool) -> None:
        taken = post in {row["post_id"] for row in batches.rows(self.store, schema.released_post)}
        if not taken:
            self.waves += 1
            name = f"senare-{self.waves}"
            releases.awaiting(self.store, name, [post], wave=name)
            release.release(self.store, name, "Eva Öberg", None, NOW)
            if withdrawn:
                release.withdraw(self.store, name, "Eva Öberg", REASON, NOW)

    @rule(
        post=posts,
        outcome=st.sampled_from([PostOutcome.BOOKED_PMO, PostOutcome.CHECKED, PostOutcome.RELEASED_LATER, None]),
        early=st.booleans(),
        unit=st.sampled_from([None, batches.UNITS[0]]),
    )
    def tell(self, post: int, outcome: PostOutcome | None, early: bool, unit: str | None) -> None:
        """Say what became of a post, before its release or after it, at its unit or another one; None undoes."""
        here = (batches.UNITS[post % 3] or "") if unit is None else unit
        with self.store.database.writing() as connection:
            said = read_of_posts(connection, [post]).get(post, ())
            holds = current(entry for entry in said if entry.unit == here).outcome
            if outcome is None and holds is None:
                return
            undoes = holds.entry_no if outcome is None and holds is not None else None
            at = LATER - dt.timedelta(hours=1) if early else NOW
            told = Entry(post, len(said) + 1, here, "natt", at, "nurse", outcome or PostOutcome.UNDONE, undoes)
            add_all(connection, [told])

    @invariant()
    def no_post_is_free_unless_the_receiver_says_that_it_is_not_there(self) -> None:
        state = self.store.batch(WAVE).state
        everywhere = {row["post_id"] for row in batches.rows(self.store, schema.released_post)}
        said = answers(self.store)
        for post in (ONE, TWO):
            if post not in everywhere and state is not BatchState.WITHDRAWN:
                assert said.get(post) in {answer.value for answer in holding.CONFIRMED[state]}, (post, said)
        if state is BatchState.RELEASED:
            release.verify_released(self.store, WAVE)
            assert counted(self.store).adds_up

    def teardown(self) -> None:
        """Compare what every place says, once at the end of each order: that takes longer than the steps."""
        require_same_everywhere(self.store)


def require_same_everywhere(store: StagingStore) -> None:
    """Require that account, follow-up, lists, ledger, message and back-out agree with what the rows say."""
    batch = store.batch(WAVE)
    released = batch.state is BatchState.RELEASED
    units = {post: batches.UNITS[post % 3] or "" for post in (ONE, TWO)}
    with store.database.connected() as connection:
        settled = receipts_store.settled_of(connection, WAVE, [ONE, TWO])
        said = receipts_store.words_of(connection, WAVE, [ONE, TWO])
        held_by = {row["post_id"]: row["batch_id"] for row in batches.rows(store, schema.released_post)}
        told = {
            post: fold(said.get(post, ()), settled[post][1] if post in settled else None).answer for post in (ONE, TWO)
        }
        rejected = {post for post, answer in told.items() if answer is Answer.REJECTED}
        later = {
            row["post_id"]
            for row in batches.rows(store, schema.followed_post)
            if row["batch_id"] != WAVE and store.batch(row["batch_id"]).state is BatchState.RELEASED
        }
        owed = rejected - later if released else set()
        outcomes = {post: _has_outcome(store, connection, post, held_by) for post in owed}
        lacking = {post for post in owed if not outcomes[post]}

        # The closing ledger, its lines, the unit's list and the message of the night.
        table = schema.closing_ledger.c
        query = sa.select(table.post_id, table.has_outcome, table.enhet_hsa_id).where(table.batch_id == WAVE)
        assert {tuple(row) for row in connection.execute(query)} == {
            (post, int(outcomes[post]), units[post]) for post in owed
        }
        lines = ledger.read_lines(connection, batch_id=WAVE)
        assert (sum(line.rejected for line in lines), sum(line.missing for line in lines)) == (
            len(owed),
            len(lacking),
        )
        assert {post for unit in units.values() for post in ledger.read_owed(connection, unit)} == lacking
        assert ledger.count_missing(connection) == ({"1": len(lacking)} if lacking else {})

        # Rejected posts.
        listed = {row.post_id for row in connection.execute(account.rejected_posts())}
        assert listed == {post for post in rejected if released and held_by.get(post) == WAVE}
        assert {row.post_id for row in connection.execute(account.reasons())} == listed
        if batch.state in FOLLOWED:
            found = account.read_rejected(connection, batch)
            assert {(post.post_id, post.free, post.owed, post.outcome is not None) for post in found} == {
                (post, held_by.get(post) != WAVE, post in owed, post in owed - lacking) for post in rejected
            }

        # The account, the follow-up and the back-out.
        counts = Counter(told.values())
        of_wave = follow.Counts.sum(one.counts for one in follow.count(connection, batches.BEGIN, wave="1"))
        silent = counts[Answer.UNANSWERED] + counts[Answer.CONTRADICTED]
        if batch.state in FOLLOWED:
            made = counted(store)
            assert {answer: posts for answer, posts in made.answers.items() if posts} == dict(counts)
            assert made.no_outcome == len(lacking)
            assert made.acknowledged == (not silent and not lacking)
            assert {post.post_id: post.answer for post in read_backout(connection, batch).posts} == told
            assert account.is_complete(connection, batch) == (not silent and (released or not counts[Answer.ACCEPTED]))
        if released:
            assert (of_wave.unanswered, of_wave.rejected, of_wave.open, of_wave.booked, of_wave.cancelled) == (
                silent, counts[Answer.REJECTED], counts[Answer.ACCEPTED], counts[Answer.BOOKED],
                counts[Answer.CANCELLED],
            )  # fmt: skip
        else:
            assert of_wave == follow.Counts()
        of_units = account.read_open(connection, batches.BEGIN, WAVE)
        assert sum(unit.posts for unit in of_units) == (counts[Answer.ACCEPTED] if released else 0)
        unanswered = dict(account.read_unanswered(connection, NOW))
        assert unanswered.get("1", 0) == (silent if batch.state in FOLLOWED else 0)


def _has_outcome(store: StagingStore, connection: sa.Connection, post: int, held_by: Mapping[int, str]) -> bool:
    """Tell from the rows whether a rejected post has an outcome: given since its release, and still true."""
    unit = batches.UNITS[post % 3] or ""
    entries = [entry for entry in read_of_posts(connection, [post]).get(post, ()) if entry.unit == unit]
    undone = {entry.undoes for entry in entries}
    elsewhere = held_by.get(post, WAVE) != WAVE
    return any(
        entry.entry_no not in undone
        and entry.at >= LATER
        and entry.outcome not in {PostOutcome.CHECKED, PostOutcome.UNDONE}
        and (
            entry.outcome is not PostOutcome.RELEASED_LATER
            or (elsewhere and store.batch(held_by[post]).state is BatchState.RELEASED)
        )
        for entry in entries
    )


def test_every_place_says_the_same_of_each_post_at_each_moment_of_its_life(empty: StagingStore) -> None:
    releases.awaiting(empty, WAVE, [ONE, TWO], wave="1")
    release.release(empty, WAVE, "Eva Öberg", None, LATER)
    outcome = Entry(TWO, 1, batches.UNITS[TWO % 3] or "", "natt", NOW, "nurse", PostOutcome.BOOKED_PMO)
    steps: tuple[Callable[[], object], ...] = (
        lambda: say(empty, row(ONE, "accepted"), row(TWO, "rejected")),
        lambda: record(empty.database, outcome, key="a request 1"),
        lambda: record(empty.database, replace(outcome, entry_no=2, outcome=PostOutcome.UNDONE, undoes=1), key="2"),
        lambda: settling.free(empty, decided(TWO)),
        lambda: releases.awaiting(empty, "senare", [TWO], wave="2"),
        lambda: release.release(empty, "senare", "Eva Öberg", None, NOW),
        lambda: release.withdraw(empty, "senare", "Eva Öberg", REASON, NOW),
        lambda: say(empty, row(TWO, "booked", 2)),
        lambda: settle(empty, TWO, "rejected"),
        lambda: withdraw(empty),
        lambda: say(empty, row(ONE, "cancelled", 3)),
    )
    require_same_everywhere(empty)
    for step in steps:
        step()
        require_same_everywhere(empty)


def tried(step: Callable[[], object]) -> None:
    with contextlib.suppress(RefusedError):
        step()


@pytest.mark.parametrize(
    ("empty", "examples"),
    [
        pytest.param("sqlite", 15, id="sqlite"),
        pytest.param("postgresql", 3, id="postgresql"),
        pytest.param("sqlite", 400, id="at length", marks=pytest.mark.attack),
    ],
    indirect=["empty"],
)
def test_in_no_order_a_post_is_both_free_and_booked_or_unanswered(empty: StagingStore, examples: int) -> None:
    machine = type("AfterTheLoadThere", (AfterTheLoad,), {"store": empty})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


def refused(store: StagingStore, kind: type[Exception], why: str, step: Callable[[], object]) -> None:
    """Require that a step is refused and has changed nothing."""
    before = batches.contents(store)
    with pytest.raises(kind, match=why):
        step()
    assert batches.contents(store) == before
