"""What holds for a post by the rows that were written about it."""

import datetime as dt

import pytest
from tests.support import posts

from waitlist.staging.post_outcomes import LONGEST_WORD, Current, Entry, WordFault, current, word_fault
from waitlist.staging.states import PostOutcome

NOW = dt.datetime(2024, 10, 1, 8, tzinfo=dt.UTC)
BOOKED, MOVED, CHECKED, UNDONE = (
    PostOutcome.BOOKED_PMO, PostOutcome.MOVED, PostOutcome.CHECKED, PostOutcome.UNDONE,
)  # fmt: skip


def said(*outcomes: PostOutcome | tuple[PostOutcome, int]) -> list[Entry]:
    """Return a post's rows; an undoing comes with the number that it undoes."""
    given = [outcome if isinstance(outcome, tuple) else (outcome, None) for outcome in outcomes]
    return [
        Entry(7, number, "A", "natt-1", NOW, "nurse", outcome, undoes)
        for number, (outcome, undoes) in enumerate(given, 1)
    ]


def numbers(holds: Current) -> tuple[int | None, int | None]:
    return tuple(None if entry is None else entry.entry_no for entry in (holds.outcome, holds.mark))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("outcomes", "outcome", "mark"),
    [
        ((), None, None),
        ((BOOKED,), 1, None),
        ((BOOKED, (UNDONE, 1)), None, None),
        ((BOOKED, (UNDONE, 1), MOVED), 3, None),
        ((CHECKED,), None, 1),
        ((CHECKED, BOOKED), 2, 1),
        ((CHECKED, BOOKED, (UNDONE, 1)), 2, None),
        ((CHECKED, CHECKED), None, 2),
        ((BOOKED, PostOutcome.CLOSED_IN_PMO), 2, None),
        ((BOOKED, (UNDONE, 9)), 1, None),
    ],
)
def test_what_holds_is_the_last_that_is_not_undone(
    outcomes: tuple[PostOutcome, ...], outcome: int | None, mark: int | None
) -> None:
    assert numbers(current(said(*outcomes))) == (outcome, mark)
    assert numbers(current(reversed(said(*outcomes)))) == (outcome, mark), "the rows' numbers are their order"


def test_a_mark_is_about_what_there_was_to_look_at() -> None:
    mark = Entry(7, 1, "A", "natt-1", NOW, "nurse", CHECKED, about=("ATTACHMENT_NOT_MIGRATED", "DUPLICATE_POST"))
    holds = current([mark])
    assert holds.has_checked(["DUPLICATE_POST"])
    assert not holds.has_checked(["DUPLICATE_POST", "AGE_MISMATCH"]), "a new warning has not been looked at"
    assert not Current().has_checked([])


@pytest.mark.parametrize(
    ("outcome", "word", "fault"),
    [
        (BOOKED, None, None),
        (BOOKED, "tid 12 maj kl. 10.30", None),
        (PostOutcome.NOT_NEEDED, "har fått hjälp på annat håll", None),
        (PostOutcome.NOT_NEEDED, None, WordFault.MISSING),
        (PostOutcome.NOT_NEEDED, "", WordFault.MISSING),
        (BOOKED, "å" * LONGEST_WORD, None),
        (BOOKED, "å" * (LONGEST_WORD + 1), WordFault.LONG),
        (BOOKED, f"gäller {posts.PERSON}", WordFault.HAS_NUMBER),
        (BOOKED, f"gäller {posts.PERSON.replace('-', '')}", WordFault.HAS_NUMBER),
        (BOOKED, "gäller " + posts.PERSON.replace("-", "\u2011") + ".", WordFault.HAS_NUMBER),
        (BOOKED, f"gäller {posts.PERSON[:-1]}K", WordFault.HAS_NUMBER),
        (BOOKED, "bokad 2024-10-01 12:00, post 1204567", None),
    ],
)
def test_a_word_about_an_outcome(outcome: PostOutcome, word: str | None, fault: WordFault | None) -> None:
    assert word_fault(outcome, word) is fault
