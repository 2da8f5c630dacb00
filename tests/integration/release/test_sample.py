"""The sample of a wave: rights to judge, what carries over, and what the gate measures when the wave is released."""

import datetime as dt
import shutil
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError
from tests.support import batches, releases
from tests.support.releases import LATER, NOW, PASSED, REASON
from upath import UPath

from waitlist import paths
from waitlist.deployment import Facts
from waitlist.exceptions import ReasonError, ReconciliationError, RefusedError
from waitlist.facts.gates import Gate
from waitlist.release import decisions as release
from waitlist.release.gates import GateResult, evaluate, read_gates
from waitlist.release.sample.drawing import Drawn
from waitlist.release.sample.state import State, enlarge, measure, read_sample, read_state
from waitlist.settings import Settings
from waitlist.staging import PIPELINE, BatchState, EventName, StagingStore, schema
from waitlist.staging.post_outcomes import Entry, record
from waitlist.staging.sample_sizes import read_enlarged
from waitlist.staging.sample_verdicts import FIELDS, Answer, Judged, Stage, Verdict, add, read_judged
from waitlist.staging.states import PostOutcome
from waitlist.steps.pipeline import Pipeline

WAVE = "vecka-1"
POSTS = range(1, 141)
"""53 of them migrate: 2 faulty posts are too many, and 41 looks are the fewest."""
ON = (*PASSED, GateResult(Gate.SAMPLE, 40.0, 0.0, passed=False))


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


def asked(store: StagingStore, batch_id: str = WAVE, posts: Collection[int] = POSTS, **told: object) -> None:
    releases.verified(store, batch_id, posts, **told)
    release.request_approval(store, batch_id, ON, PIPELINE, NOW)


def drawn(store: StagingStore, batch_id: str = WAVE) -> tuple[Drawn, ...]:
    with store.database.connected() as connection:
        return read_sample(store, connection, store.batch(batch_id), read_enlarged(connection, batch_id)).drawn


def state(store: StagingStore, batch_id: str = WAVE, stage: Stage = Stage.BEFORE) -> State:
    with store.database.connected() as connection:
        return read_state(store, connection, store.batch(batch_id), stage)


def judgement(
    post: Drawn,
    verdict: Verdict = Verdict.RIGHT,
    *,
    number: int = 1,
    actor: str = "nurse",
    batch_id: str = WAVE,
    stage: Stage = Stage.BEFORE,
) -> Judged:
    verdicts = {**dict.fromkeys(FIELDS, Verdict.RIGHT), "begart_slutdatum": verdict}
    word = "flyttat fram" if verdict is Verdict.CHANGED else None
    return Judged(post.post_id, post.row_hash, stage, number, verdicts, NOW, actor, batch_id, post.unit, word)


def judge_all(store: StagingStore, but: Collection[int] = (), **told: object) -> None:
    for post in drawn(store, str(told.get("batch_id", WAVE))):
        if post.post_id not in but:
            assert add(store, judgement(post, **told)) is Answer.KEPT  # type: ignore[arg-type]


def gate(store: StagingStore, batch_id: str = WAVE) -> tuple[float | None, bool]:
    with store.database.connected() as connection:
        (found,) = [result for result in read_gates(connection, batch_id) if result.gate is Gate.SAMPLE]
    return found.measured, found.passed


# The sample itself


def test_the_sample_follows_from_the_rows_and_not_from_the_batch(store: StagingStore) -> None:
    asked(store)
    first = drawn(store)
    asked(store, "vecka-2", started_at=LATER)
    assert drawn(store, "vecka-2") == first
    assert sum(post.is_random for post in first) == 41
    asked(store, "vecka-3", text="Orsak: ändrad", started_at=LATER)
    assert [post.post_id for post in drawn(store, "vecka-3")] != [post.post_id for post in first]
    protected = {post for post in releases.migrating(POSTS) if post % 5 == 0}
    assert {post.post_id for post in first if post.protected} == protected & {post.post_id for post in first}


# Judgements


def test_judgements_are_read_as_they_were_written_and_the_last_holds(store: StagingStore) -> None:
    asked(store)
    post = drawn(store)[0]
    wrong, right = judgement(post, Verdict.WRONG), judgement(post, number=2, actor="other")
    assert [add(store, told) for told in (wrong, right)] == [Answer.KEPT, Answer.KEPT]
    with store.database.connected() as connection:
        found = read_judged(connection, WAVE, Stage.BEFORE, {post.post_id: post.row_hash})
        assert found == {post.post_id: (wrong, right)}
        assert read_judged(connection, WAVE, Stage.BEFORE, {post.post_id: "0" * 64}) == {}, "about another row"
        assert read_judged(connection, WAVE, Stage.AFTER, {post.post_id: post.row_hash}) == {}
    assert state(store).random.right == 1
    assert len(batches.rows(store, schema.sample_verdict)) == 2 * len(FIELDS)


def test_of_two_people_at_the_same_post_the_second_is_told(store: StagingStore) -> None:
    asked(store)
    post = drawn(store)[0]
    assert add(store, judgement(post)) is Answer.KEPT
    assert add(store, judgement(post)) is Answer.KEPT, "the same form, sent twice"
    assert add(store, judgement(post, Verdict.WRONG)) is Answer.OVERTAKEN
    assert add(store, judgement(post, actor="other")) is Answer.OVERTAKEN
    assert add(store, judgement(post, number=3)) is Answer.OVERTAKEN, "a gap"
    assert len(batches.rows(store, schema.sample_verdict)) == len(FIELDS)


def test_nobody_judges_a_row_that_they_handled(store: StagingStore) -> None:
    asked(store)
    post = drawn(store)[0]
    done = Entry(post.post_id, 1, "A", "natt-1", NOW, "nurse", PostOutcome.CHECKED, about=("X",))
    record(store.database, done, key="k")
    assert add(store, judgement(post)) is Answer.CORRECTED
    undone = Entry(post.post_id, 2, "A", "natt-1", NOW, "boss", PostOutcome.UNDONE, undoes=1)
    record(store.database, undone, key="l")
    assert add(store, judgement(post)) is Answer.CORRECTED, "it was handled all the same"
    assert add(store, judgement(post, actor="other")) is Answer.KEPT


def test_a_forged_judgement_is_refused(store: StagingStore) -> None:
    asked(store)
    post = drawn(store)[0]
    whole = judgement(post)
    lacking = {name: verdict for name, verdict in whole.verdicts.items() if name != "sekretess"}
    for verdicts in (lacking, {**whole.verdicts, "row_hash": Verdict.RIGHT}, {}):
        with pytest.raises(ValueError, match="every field once"):
            add(store, replace(whole, verdicts=verdicts))
    with pytest.raises(ValueError, match="word"):
        add(store, replace(judgement(post, Verdict.CHANGED), word=None))
    for word in ("x" * 201, "fel 19900201-2382"):
        with pytest.raises(ValueError, match="word"):
            add(store, replace(whole, word=word))
    assert add(store, judgement(post, stage=Stage.AFTER)) is Answer.CLOSED
    assert batches.rows(store, schema.sample_verdict) == []


def test_what_was_said_stays_as_it_is(store: StagingStore) -> None:
    asked(store)
    judge_all(store)
    enlarged = {"batch_id": WAVE, "entry_no": 1, "size": 42, "faulty": 1, "changed": 0, "at": NOW, "actor": "lead"}
    batches.execute(store, schema.sample_size.insert().values(enlarged))
    for table in (schema.sample_verdict, schema.sample_size):
        kept = batches.rows(store, table)
        for statement in (table.delete(), table.update().values(actor="somebody")):
            with pytest.raises(DatabaseError, match=table.name), store.engine.begin() as connection:
                connection.execute(statement)
        if store.database.dialect == "sqlite":
            columns = ", ".join(column.name for column in table.columns)
            again = sa.text(f"INSERT OR REPLACE INTO {table.name} SELECT {columns} FROM {table.name}")
            with pytest.raises(DatabaseError, match="guard"), store.engine.begin() as connection:
                connection.execute(again)
        assert batches.rows(store, table) == kept


# What carries over


def test_a_verdict_counts_for_the_same_row_in_a_later_batch_and_for_no_other(store: StagingStore) -> None:
    asked(store)
    judge_all(store)
    release.reject(store, WAVE, "Eva", "körs om i morgon", LATER)
    asked(store, "vecka-2", started_at=LATER)
    assert state(store, "vecka-2").passes, "the same rows"
    asked(store, "vecka-3", text="Orsak: ändrad", started_at=LATER)
    # Posts without a description have the same row in both.
    unchanged = [post for post in drawn(store, "vecka-3") if post.post_id % 7 == 0]
    known = {post.post_id for post in drawn(store)}
    found = state(store, "vecka-3")
    assert found.random.judged + found.aimed.judged == sum(post.post_id in known for post in unchanged)


def test_a_later_batch_says_nothing_about_an_earlier_one(store: StagingStore) -> None:
    asked(store)
    asked(store, "vecka-2", started_at=LATER)
    judge_all(store, batch_id="vecka-2")
    assert state(store, "vecka-2").passes
    assert state(store).random.judged == 0


# The gate


def test_the_gate_is_off_without_a_limit(store: StagingStore) -> None:
    releases.awaiting(store, WAVE, POSTS)
    assert release.release(store, WAVE, "Eva", None, LATER) == 53
    release.verify_released(store, WAVE)


def test_a_sample_that_nobody_has_judged_takes_a_reason(store: StagingStore) -> None:
    asked(store)
    left = len(drawn(store))
    assert measure(store, WAVE) == left
    with pytest.raises(ReasonError, match=r"gates have failed \(sample\)"):
        release.release(store, WAVE, "Eva", None, LATER)
    assert release.release(store, WAVE, "Eva", REASON, LATER) == 53
    assert gate(store) == (left, False)
    override = next(event for event in store.events(WAVE) if event.event == "override")
    assert override.details["gates"] == {"sample": {"measured": left, "threshold": 0.0}}
    release.verify_released(store, WAVE)


def test_what_is_judged_after_the_question_counts_at_the_release(store: StagingStore) -> None:
    asked(store)
    judge_all(store)
    assert gate(store) == (40.0, False), "as it was when approval was asked for"
    assert release.release(store, WAVE, "Eva", None, LATER) == 53
    assert gate(store) == (0.0, True)
    assert "override" not in releases.told(store, WAVE)
    (told,) = [event.details["sample"] for event in store.events(WAVE) if event.event == "released"]
    assert told == {"missing": 0, "bound": 1, "posts": 53}
    release.verify_released(store, WAVE)


def test_a_verdict_between_answer_and_release_is_seen(store: StagingStore) -> None:
    asked(store)
    judge_all(store)
    assert state(store).passes
    add(store, judgement(drawn(store)[0], Verdict.WRONG, number=2, actor="other"))
    with pytest.raises(ReasonError, match="sample"):
        release.release(store, WAVE, "Eva", None, LATER)


def test_an_open_fault_of_the_aimed_part_fails_until_it_is_judged_again(store: StagingStore) -> None:
    releases.verified(store, WAVE, POSTS)
    known = {post.post_id for post in drawn(store)}
    cleaned = next(post for post in releases.migrating(POSTS) if post not in known)
    found = {"batch_id": WAVE, "post_id": cleaned, "rule": "TEXT_CLEANED", "severity": "info", "detail": None}
    batches.execute(store, schema.finding.insert().values(found))
    release.request_approval(store, WAVE, ON, PIPELINE, NOW)
    judge_all(store)
    (aimed,) = [post for post in drawn(store) if not post.is_random]
    assert (aimed.post_id, aimed.aims) == (cleaned, ("TEXT_CLEANED",))
    add(store, judgement(aimed, Verdict.WRONG, number=2))
    assert (state(store).missing, state(store).aimed.wrong) == (1, 1)
    with pytest.raises(ReasonError):
        release.release(store, WAVE, "Eva", None, LATER)
    add(store, judgement(aimed, number=3, actor="other"))
    assert release.release(store, WAVE, "Eva", None, LATER) == 53


def test_asking_again_with_another_figure_of_the_sample_is_the_same_question(store: StagingStore) -> None:
    asked(store)
    judge_all(store)
    release.request_approval(store, WAVE, (*PASSED, GateResult(Gate.SAMPLE, 0.0, 0.0, passed=True)), PIPELINE, LATER)
    assert releases.told(store, WAVE).count("awaiting_approval") == 1


def test_a_gate_that_was_changed_after_the_release_is_found(store: StagingStore) -> None:
    asked(store)
    release.release(store, WAVE, "Eva", REASON, LATER)
    with batches.unguarded(store) as connection:
        table = schema.gate_result
        connection.execute(table.update().where(table.c.gate == "sample").values(measured=0.0, passed=True))
    with pytest.raises(ReconciliationError, match="gate of the sample is not what was measured"):
        release.verify_released(store, WAVE)


# Enlarging


def test_a_fault_makes_the_sample_larger_by_the_next_posts(store: StagingStore) -> None:
    asked(store)
    judge_all(store)
    before = drawn(store)
    random = [post for post in before if post.is_random]
    add(store, judgement(random[0], Verdict.WRONG, number=2))
    found = state(store)
    assert (found.passes, found.enlarge_to) == (False, 52)
    assert not enlarge(store, WAVE, "lead", LATER, seen=51), "nobody chooses a size"
    assert enlarge(store, WAVE, "lead", LATER, seen=52)
    assert enlarge(store, WAVE, "lead", LATER, seen=52), "sent twice"
    (row,) = batches.rows(store, schema.sample_size)
    assert (row["size"], row["faulty"], row["changed"], row["actor"]) == (52, 1, 0, "lead")
    after = drawn(store)
    assert [post.post_id for post in after if post.is_random][:41] == [post.post_id for post in random]
    assert {post.post_id for post in before} <= {post.post_id for post in after}
    judged = {post.post_id for post in before}
    for post in after:
        if post.post_id not in judged:
            add(store, judgement(post))
    found = state(store)
    assert (found.bound, found.passes, found.random.posts) == (1, True, 52)
    assert release.release(store, WAVE, "Eva", None, LATER) == 53


def test_a_decided_wave_keeps_its_sample(store: StagingStore) -> None:
    asked(store)
    judge_all(store)
    release.release(store, WAVE, "Eva", None, LATER)
    with pytest.raises(RefusedError, match="does not await"):
        enlarge(store, WAVE, "lead", LATER, seen=52)
    assert add(store, judgement(drawn(store)[0], Verdict.WRONG, number=2)) is Answer.CLOSED


# After the load


def test_the_same_posts_are_judged_again_after_the_load(store: StagingStore) -> None:
    asked(store)
    judge_all(store)
    before = drawn(store)
    release.release(store, WAVE, "Eva", None, LATER)
    assert drawn(store) == before
    assert state(store, stage=Stage.AFTER).random.judged == 0
    for post in before:
        assert add(store, judgement(post, stage=Stage.AFTER)) is Answer.KEPT
    assert state(store, stage=Stage.AFTER).passes
    assert state(store).passes
    release.verify_released(store, WAVE)


def test_what_was_seen_after_one_load_says_nothing_about_another(store: StagingStore) -> None:
    asked(store)
    judge_all(store)
    release.release(store, WAVE, "Eva", None, LATER)
    for post in drawn(store):
        add(store, judgement(post, stage=Stage.AFTER))
    release.withdraw(store, WAVE, "Eva", REASON, LATER)
    asked(store, "vecka-2", started_at=LATER)
    release.release(store, "vecka-2", "Eva", None, LATER + dt.timedelta(days=1))
    assert state(store, "vecka-2").passes
    assert state(store, "vecka-2", Stage.AFTER).random.judged == 0
    post = drawn(store, "vecka-2")[0]
    again = judgement(post, stage=Stage.AFTER, batch_id="vecka-2", number=2)
    assert add(store, again) is Answer.KEPT


# The steps


@pytest.fixture
def steps(tmp_path: Path) -> Pipeline:
    """The steps over a wave that awaits approval, with a limit for the sample in ``gates.csv``."""
    folder, url = tmp_path / "mappings", f"sqlite:///{tmp_path / 'staging.sqlite'}"
    shutil.copytree(paths.MAPPINGS, folder)
    with (folder / "gates.csv").open("a", encoding="utf-8") as file:
        file.write("sample,0,Ledningen,\n")
    chosen = Settings(mappings_dir=folder, approvers="Eva")
    made = Pipeline(chosen, snapshots=UPath(tmp_path), pmo=str, staging=lambda: url)
    made.store.migrate()
    releases.verified(made.store, WAVE, POSTS)
    facts = {"facts": dict(made.facts.digests), "rules_version": made.facts.version}
    batches.execute(made.store, schema.batch.update().values(facts))
    release.request_approval(made.store, WAVE, ON, PIPELINE, NOW)
    return made


def test_the_sample_is_measured_when_the_answer_arrives(steps: Pipeline) -> None:
    run, entry = steps.opened(WAVE), release.last_entry(steps.store, WAVE, EventName.AWAITING_APPROVAL)
    assert steps.facts.limits[Gate.SAMPLE] == 0
    with pytest.raises(ReasonError, match=r"of the sample \d+ posts or faults are missing"):
        steps.release(run, "Eva", None, asked=entry, now=LATER)
    judge_all(steps.store)
    assert steps.release(run, "Eva", None, asked=entry, now=LATER) == {"decided": "released", "posts": 53}
    assert steps.release(run, "Eva", None, asked=entry, now=LATER) == {"decided": "released", "posts": 53}


def test_the_whole_way_of_a_sample_from_its_drawing_to_the_same_posts_after_the_load(steps: Pipeline) -> None:
    run, store = steps.opened(WAVE), steps.store
    question = steps.approval_question(run)
    assert question is not None

    def answered() -> object:
        return steps.release(run, "Eva", None, asked=question.entry, now=LATER)

    first = drawn(store)
    wrong = next(post for post in first if post.is_random)
    judge_all(store, but=[wrong.post_id])
    with pytest.raises(ReasonError, match="of the sample 1 posts or faults are missing"):
        answered()
    # One fault, and the bound is too high: the sample is enlarged by the next posts of the same order.
    assert add(store, judgement(wrong, Verdict.WRONG)) is Answer.KEPT
    with pytest.raises(ReasonError, match="of the sample"):
        answered()
    assert store.batch(WAVE).state is BatchState.AWAITING_APPROVAL
    assert releases.shown(store) == []
    wanted = state(store).enlarge_to
    assert wanted is not None
    assert enlarge(store, WAVE, "lead", LATER, seen=wanted)
    assert {post.post_id for post in first} <= {post.post_id for post in drawn(store)}
    more = [post for post in drawn(store) if post.post_id not in {post.post_id for post in first}]
    with pytest.raises(ReasonError, match=f"of the sample {len(more)} posts or faults are missing"):
        answered()
    for post in more:
        assert add(store, judgement(post)) is Answer.KEPT
    assert answered() == {"decided": "released", "posts": 53}
    assert gate(store) == (0, True)
    assert state(store).random.wrong == 1

    # After the load the same posts, larger part included, are compared with Millennium.
    seen = {post.post_id for post in drawn(store)}
    assert seen == {post.post_id for post in (*first, *more)}
    for post in drawn(store):
        assert add(store, judgement(post, number=2, batch_id=WAVE)) is Answer.CLOSED, "the first round is over"
        assert add(store, judgement(post, stage=Stage.AFTER)) is Answer.KEPT
    assert state(store, stage=Stage.AFTER).passes
    assert state(store).random.wrong == 1


def test_the_question_stays_the_same_while_people_compare(steps: Pipeline) -> None:
    run = steps.opened(WAVE)
    before = steps.approval_question(run)
    judge_all(steps.store)
    add(steps.store, judgement(drawn(steps.store)[0], Verdict.WRONG, number=2))
    assert enlarge(steps.store, WAVE, "lead", LATER, seen=52)
    after = steps.approval_question(run)
    assert before is not None
    assert after is not None
    assert (after.body, after.entry) == (before.body, before.entry)
    assert "(migrering/stickprov/vecka-1)" in after.body
    assert "Stickprovet: poster och fel" not in after.body, "its figure is not the one that will count"
    assert "0 av 4" in before.state
    assert "Fel i slumpdelen: 1." in after.state


def test_the_gate_is_measured_of_a_wave_and_not_of_a_night(steps: Pipeline) -> None:
    limits, kept = steps.facts.limits, {"mappings": steps.facts.mappings, "suites": ()}
    assert Gate.SAMPLE in {result.gate for result in evaluate(steps.store, WAVE, limits, **kept)}
    releases.verified(steps.store, "natt-1", POSTS, kind="dry_run")
    assert Gate.SAMPLE not in {result.gate for result in evaluate(steps.store, "natt-1", limits, **kept)}


def test_a_share_that_was_changed_refuses_the_release(steps: Pipeline) -> None:
    rules = replace_rules(steps.facts, sample_faults=Decimal("0.05"))
    assert rules.differing(steps.store.batch(WAVE).facts or {}) == ["WAITLIST_SAMPLE_FAULTS"]
    with batches.unguarded(steps.store) as connection:
        connection.execute(schema.batch.update().values(facts=dict(rules.digests)))
    assert sum(post.is_random for post in drawn(steps.store)) < 41


def replace_rules(facts: Facts, **values: object) -> Facts:
    return replace(facts, rules=facts.rules.model_copy(update=values))


# Two at the same moment


def test_of_two_at_the_same_moment_one_is_kept(store: StagingStore) -> None:
    asked(store)
    post, together = drawn(store)[0], threading.Barrier(2)

    def tell(actor: str) -> Answer:
        together.wait()
        return add(store, judgement(post, actor=actor))

    with ThreadPoolExecutor(2) as people:
        answers = sorted(people.map(tell, ("nurse", "other")))
    assert answers == [Answer.KEPT, Answer.OVERTAKEN]
    assert len(batches.rows(store, schema.sample_verdict)) == len(FIELDS)
