"""What the receiver's words about a post amount to: the law's table, and no order of arrival that changes it."""

import datetime as dt
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist.release.receipts.words import Answer, Contradiction, Outcome, Settled, Told, Word, fold

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


def said(*words: str) -> list[Word]:
    """Return words, one an hour; ``booked:2@7`` is booked for another date, with another id at hour 7."""
    found = []
    for hour, text in enumerate(words):
        outcome, _, rest = text.partition(":")
        number, _, at = rest.partition("@")
        moment = START + dt.timedelta(hours=int(at) if at else hour)
        day = dt.date(2025, 2, 1) + dt.timedelta(hour) if outcome == "booked" else None
        mid = None if outcome == "rejected" else number or "1"
        found.append(Word(f"{text}/{hour}", Outcome(outcome), moment, mid, day))
    return found


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ([], Answer.UNANSWERED),
        (["accepted"], Answer.ACCEPTED),
        (["booked"], Answer.BOOKED),
        (["cancelled"], Answer.CANCELLED),
        (["rejected"], Answer.REJECTED),
        (["rejected", "rejected"], Answer.REJECTED),
        (["accepted", "booked"], Answer.BOOKED),
        (["accepted", "cancelled"], Answer.CANCELLED),
        (["booked", "cancelled"], Answer.CANCELLED),
        (["booked", "booked"], Answer.BOOKED),
        (["accepted", "booked", "booked", "cancelled"], Answer.CANCELLED),
        (["accepted", "accepted"], Answer.ACCEPTED),
    ],
)
def test_the_last_word_by_time_counts(words: Sequence[str], answer: Answer) -> None:
    told = fold(said(*words))
    assert (told.answer, told.contradictions) == (answer, ())
    if words:
        assert told.at == START + dt.timedelta(hours=len(words) - 1)
        assert told.booked_for == (said(*words)[-1].booked_for)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["rejected", "accepted"], [Contradiction.REJECTED_AND_MORE]),
        (["accepted", "rejected"], [Contradiction.REJECTED_AND_MORE]),
        (["booked", "rejected"], [Contradiction.REJECTED_AND_MORE]),
        (["cancelled", "rejected"], [Contradiction.REJECTED_AND_MORE]),
        (["accepted", "cancelled", "accepted"], [Contradiction.AFTER_CANCELLED]),
        (["cancelled", "booked"], [Contradiction.AFTER_CANCELLED]),
        (["booked", "accepted"], [Contradiction.ACCEPTED_AFTER_BOOKED]),
        (["accepted", "booked:2"], [Contradiction.TWO_IDS]),
        (["booked:1@5", "cancelled:1@5"], [Contradiction.ONE_MOMENT]),
        (["rejected:@5", "rejected:@5"], [Contradiction.ONE_MOMENT]),
    ],
)
def test_contradictions_are_shown_and_never_merged(words: Sequence[str], why: list[Contradiction]) -> None:
    for order in itertools.permutations(said(*words)):
        told = fold(order)
        assert (told.answer, list(told.contradictions)) == (Answer.CONTRADICTED, why)
        assert (told.booked_for, told.last) == (None, None)


WORD = st.builds(
    lambda outcome, hour, number, day: Word(
        f"{outcome}{hour}{number}{day}",
        outcome,
        START + dt.timedelta(hours=hour),
        None if outcome is Outcome.REJECTED else number,
        day if outcome is Outcome.BOOKED else None,
    ),
    st.sampled_from(Outcome),
    st.integers(0, 6),
    st.sampled_from(["1", "1", "1", "2"]),
    st.dates(dt.date(2025, 2, 1), dt.date(2025, 2, 3)),
)


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[list[Word], list[Word]]:
    words = draw(st.lists(WORD, max_size=6))
    repeated = draw(st.lists(st.sampled_from(words), max_size=6)) if words else []
    return words, draw(st.permutations([*words, *repeated]))


@given(shuffled())
def test_no_order_and_no_repetition_changes_the_answer(orders: tuple[list[Word], list[Word]]) -> None:
    words, again = orders
    assert fold(words) == fold(again)


@given(st.dictionaries(st.integers(1, 40), st.lists(WORD, max_size=4)), st.randoms(use_true_random=False))
def test_no_post_is_lost_or_doubled_in_any_order_of_all_words(by_post: dict[int, list[Word]], random: object) -> None:
    arrived = [(post, word) for post, words in by_post.items() for word in [*words, *words[:1]]]
    random.shuffle(arrived)  # type: ignore[attr-defined]
    told: dict[int, Told] = {post: fold(word for of, word in arrived if of == post) for post in by_post}
    assert told == {post: fold(words) for post, words in by_post.items()}
    assert all((found.answer is Answer.UNANSWERED) == (not by_post[post]) for post, found in told.items())


@given(st.lists(WORD, min_size=1, max_size=6), WORD)
def test_a_further_word_settles_no_contradiction(words: list[Word], more: Word) -> None:
    before, after = fold(words), fold([*words, more])
    lasting = {Contradiction.REJECTED_AND_MORE, Contradiction.TWO_IDS, Contradiction.ONE_MOMENT}
    assert lasting & set(before.contradictions) <= set(after.contradictions)


def settled(words: Sequence[Word], place: int) -> Settled:
    return Settled(words[place].key, frozenset(word.key for word in words))


@pytest.mark.parametrize(
    ("before", "counts", "after", "answer"),
    [
        (["accepted", "rejected"], 0, [], Answer.ACCEPTED),
        (["accepted", "rejected"], 1, [], Answer.REJECTED),
        (["accepted", "rejected"], 0, ["booked"], Answer.BOOKED),
        (["accepted", "rejected"], 1, ["booked"], Answer.CONTRADICTED),
        (["accepted", "rejected"], 0, ["rejected"], Answer.CONTRADICTED),
        (["cancelled", "booked"], 1, ["cancelled"], Answer.CANCELLED),
        (["booked:1", "booked:2"], 0, ["booked:1"], Answer.BOOKED),
        (["booked:1", "booked:2"], 0, ["booked:2"], Answer.CONTRADICTED),
        # A word that comes later, about an earlier moment.
        (["accepted:@5", "rejected:@6"], 0, ["booked:@1"], Answer.CONTRADICTED),
    ],
)
def test_a_settled_word_counts_and_words_that_come_later_count_beside_it(
    before: list[str], counts: int, after: list[str], answer: Answer
) -> None:
    words = said(*before, *after)
    told = fold(words, settled(words[: len(before)], counts))
    assert told.answer is answer
    assert (told.last is None) == (answer is Answer.CONTRADICTED)


@given(st.lists(WORD, min_size=1, max_size=5, unique_by=lambda word: word.key), st.integers(0, 4), st.randoms())
def test_a_settlement_leaves_one_word_in_any_order(words: list[Word], place: int, random: object) -> None:
    settlement = settled(words, place % len(words))
    again = [*words, *words]
    random.shuffle(again)  # type: ignore[attr-defined]
    told = fold(again, settlement)
    assert told.answer == words[place % len(words)].outcome
    assert told.contradictions == ()
