"""Whether a sample passes: every post judged, the bound low enough, and no open fault of the aimed part."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from fractions import Fraction

import pytest

from waitlist.release.sample.bounds import smallest_sample
from waitlist.release.sample.drawing import UNIT, Drawn
from waitlist.release.sample.state import FACT, Sample, State, assess, share_of
from waitlist.reports.sample_words import state_sentence
from waitlist.staging.post_outcomes import WordFault
from waitlist.staging.sample_verdicts import FIELDS, Judged, Stage, Verdict, word_fault

NOW = dt.datetime(2024, 10, 2, 8, tzinfo=dt.UTC)
POSTS, AIMED = 1_000, 5
SMALLEST = smallest_sample(POSTS, Fraction(2, 100)) or 0


def sample(size: int = SMALLEST) -> Sample:
    random = [Drawn(post, "h", "A") for post in range(size)]
    return Sample(POSTS, 20, SMALLEST, (*random, *(Drawn(5_000 + post, "h", "B", (UNIT,)) for post in range(AIMED))))


def judged(post_id: int, verdict: Verdict = Verdict.RIGHT, number: int = 1, field: str = "beskrivning") -> Judged:
    verdicts = {**dict.fromkeys(FIELDS, Verdict.RIGHT), field: verdict}
    return Judged(post_id, "h", Stage.BEFORE, number, verdicts, NOW, "nurse", "vecka-1", "A", "nytt datum")


def state(but: Mapping[int, Verdict | None] | None = None, size: int = SMALLEST) -> State:
    """Judge every post right, but some otherwise; None leaves one out."""
    drawn, but = sample(size), but or {}
    said = {post.post_id: but.get(post.post_id, Verdict.RIGHT) for post in drawn.drawn}
    return assess(drawn, {post: (judged(post, verdict),) for post, verdict in said.items() if verdict})


def test_a_whole_sample_without_faults_passes() -> None:
    found = state()
    assert (found.passes, found.missing, found.bound, found.enlarge_to) == (True, 0, 19, None)
    assert state_sentence(found) == (
        "143 av 143 poster är jämförda. Slumpdelen visar: högst 19 av 1 000 fel (1,9 %), med 95 % säkerhet. "
        "Stickprovet är godkänt."
    )


@pytest.mark.parametrize("post", [0, SMALLEST - 1, 5_000])
def test_one_post_that_nobody_has_judged_fails_it(post: int) -> None:
    found = state({post: None})
    assert (found.passes, found.missing) == (False, 1)
    assert (found.bound is None) is (post < SMALLEST), "no bound before the whole random part is judged"


def test_a_fault_in_the_random_part_fails_the_smallest_sample_and_a_larger_one_passes() -> None:
    found = state({3: Verdict.WRONG})
    assert (found.passes, found.bound, found.enlarge_to) == (False, 32, 215)
    assert found.missing == 13
    assert "Det får vara högst 19. Stickprovet är inte godkänt." in state_sentence(found)
    assert not state({3: Verdict.WRONG}, size=214).passes
    assert state({3: Verdict.WRONG}, size=215).passes


def test_a_fault_of_the_aimed_part_is_open_and_no_part_of_the_bound() -> None:
    found = state({5_001: Verdict.WRONG})
    assert (found.passes, found.missing, found.bound, found.enlarge_to) == (False, 1, 19, None)
    assert "Öppna fel i den riktade delen: 1." in state_sentence(found)


def test_what_has_changed_counts_as_neither_right_nor_wrong() -> None:
    found = state({3: Verdict.CHANGED})
    assert (found.random.changed, found.bound, found.passes) == (1, 20, False)
    assert found.enlarge_to == SMALLEST + 1
    assert state({3: Verdict.CHANGED}, size=SMALLEST + 1).passes
    assert state({5_001: Verdict.CHANGED}).passes, "explained"


def test_no_size_is_offered_where_too_many_faults_are_known() -> None:
    assert state(dict.fromkeys(range(20), Verdict.WRONG)).enlarge_to is None
    assert state(dict.fromkeys(range(19), Verdict.WRONG)).enlarge_to is not None


def test_the_last_whole_judgement_holds() -> None:
    drawn = sample()
    right = {post.post_id: (judged(post.post_id),) for post in drawn.drawn}
    again = (judged(5_001, Verdict.WRONG), judged(5_001, Verdict.RIGHT, 2))
    assert assess(drawn, {**right, 5_001: again}).passes
    half = dataclasses.replace(judged(5_001, number=2), verdicts={"person_id": Verdict.RIGHT})
    assert assess(drawn, {**right, 5_001: (half,)}).missing == 1
    assert assess(drawn, {**right, 5_001: (judged(5_001, Verdict.WRONG), half)}).missing == 1


@pytest.mark.parametrize("field", FIELDS)
def test_one_wrong_field_makes_the_post_wrong(field: str) -> None:
    assert judged(1, Verdict.WRONG, field=field).whole is Verdict.WRONG
    both = {**judged(1, Verdict.CHANGED, field="person_id").verdicts, "beskrivning": Verdict.WRONG}
    assert dataclasses.replace(judged(1), verdicts=both).whole is Verdict.WRONG
    lacking = {name: Verdict.WRONG for name in FIELDS if name != field}
    assert dataclasses.replace(judged(1), verdicts=lacking).whole is None


def test_a_change_is_explained_without_a_number() -> None:
    changed = judged(1, Verdict.CHANGED).verdicts
    assert word_fault(changed, None) is WordFault.MISSING
    assert word_fault(changed, "nytt datum i PMO") is None
    assert word_fault(changed, "x" * 201) is WordFault.LONG
    assert word_fault(changed, "fel 19900201-2382") is WordFault.HAS_NUMBER
    assert word_fault(judged(1).verdicts, None) is None


def test_the_share_is_the_one_that_the_batch_was_opened_with() -> None:
    assert share_of(None) == share_of({}) == Fraction(2, 100)
    assert share_of({FACT: '"0.05"'}) == Fraction(5, 100)
