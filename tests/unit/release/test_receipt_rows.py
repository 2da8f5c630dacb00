"""A row of a receipt: what is read of it, and every fault, named without a value."""

import datetime as dt

import pytest

from waitlist.release.receipts.rows import Receipt, Released, read
from waitlist.release.receipts.words import Outcome

RELEASED = dt.datetime(2025, 1, 1, 12, tzinfo=dt.UTC)
NOW = RELEASED + dt.timedelta(days=30)
GOOD = {
    "batch_id": "wave",
    "post_id": "17",
    "outcome": "booked",
    "at": "2025-01-20T08:30:00+01:00",
    "millennium_id": "4711",
    "reason": "",
    "booked_for": "2025-02-03",
}
REJECTED = {**GOOD, "outcome": "rejected", "millennium_id": "", "booked_for": "", "reason": "Okänd patient"}


def take(**changed: str) -> tuple[Receipt | None, list[str]]:
    faults: list[str] = []
    base = REJECTED if changed.get("outcome") == "rejected" else GOOD
    batches = {"wave": Released(RELEASED, frozenset({17, -3}))}
    return read({**base, **changed}, batches.get, NOW, faults.append), faults


def test_a_row_is_read() -> None:
    receipt, faults = take()
    assert faults == []
    assert receipt is not None
    assert (receipt.batch_id, receipt.post_id, receipt.reason) == ("wave", 17, None)
    word = receipt.word
    assert (word.outcome, word.at, word.millennium_id, word.booked_for) == (
        Outcome.BOOKED, dt.datetime(2025, 1, 20, 7, 30, tzinfo=dt.UTC), "4711", dt.date(2025, 2, 3),
    )  # fmt: skip


@pytest.mark.parametrize(
    "other", [{"at": "2025-01-20 07:30Z"}, {"at": "2025-01-20T07:30:00.000+00:00"}, {"post_id": "017"}]
)
def test_the_same_content_written_otherwise_has_the_same_key(other: dict[str, str]) -> None:
    first, again = take()[0], take(**other)[0]
    assert first is not None
    assert first == again


@pytest.mark.parametrize("other", [{"reason": "Annat"}, {"millennium_id": "4712"}, {"booked_for": "2025-02-04"}])
def test_other_content_has_another_key(other: dict[str, str]) -> None:
    first, again = take()[0], take(**other)[0]
    assert first is not None
    assert again is not None
    assert first.word.key != again.word.key


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"batch_id": "other"}, "batch_id: no released batch has this id"),
        ({"post_id": "18"}, "post_id: the batch released no such post"),
        ({"post_id": "17.0"}, "post_id: no whole number"),
        ({"post_id": "=17"}, "post_id: no whole number"),
        ({"post_id": "９"}, "post_id: no whole number"),
        ({"post_id": "1" * 400}, "post_id: no whole number"),
        ({"outcome": "Booked"}, "outcome: not one of accepted, rejected, booked, cancelled"),
        ({"at": "2025-01-20T08:30:00"}, "at: no moment with an offset, as 2025-01-20T08:30:00+01:00"),
        ({"at": "2025-02-30T08:30:00Z"}, "at: no moment with an offset, as 2025-01-20T08:30:00+01:00"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "at: no moment with an offset, as 2025-01-20T08:30:00+01:00"),
        ({"at": "2025-01-20T24:30:00Z"}, "at: no moment with an offset, as 2025-01-20T08:30:00+01:00"),
        ({"at": "2025-01-01T11:59:59.999999Z"}, "at: before the release of the batch"),
        ({"at": "2025-01-31T12:05:00.000001Z"}, "at: more than five minutes ahead"),
        ({"millennium_id": ""}, "millennium_id: empty"),
        ({"millennium_id": "47 11"}, "millennium_id: white space, or longer than 100 characters"),
        ({"millennium_id": "4\u202e7"}, "millennium_id: white space, or longer than 100 characters"),
        ({"millennium_id": "4" * 101}, "millennium_id: white space, or longer than 100 characters"),
        ({"booked_for": ""}, "booked_for: empty, and a booked post needs it"),
        ({"booked_for": "2025-02-30"}, "booked_for: no date, as 2025-01-20"),
        ({"booked_for": "20250203"}, "booked_for: no date, as 2025-01-20"),
        ({"booked_for": "1999-12-31"}, "booked_for: no date, as 2025-01-20"),
        ({"outcome": "accepted"}, "booked_for: only a booked post has it"),
        ({"outcome": "rejected", "reason": ""}, "reason: empty, and a rejected post needs one"),
        ({"outcome": "rejected", "millennium_id": "1"}, "millennium_id: a rejected post has none"),
        ({"outcome": "rejected", "reason": "a\x00b"}, "reason: control characters, or longer than 2000 characters"),
        ({"outcome": "rejected", "reason": "a" * 2001}, "reason: control characters, or longer than 2000 characters"),
    ],
)
def test_a_fault_is_named_without_its_value(changed: dict[str, str], fault: str) -> None:
    assert take(**changed) == (None, [fault])


@pytest.mark.parametrize("at", ["2025-01-01T12:00:00Z", "2025-01-31T12:05:00Z"])
def test_the_bounds_are_included(at: str) -> None:
    assert take(at=at)[0] is not None


def test_every_fault_of_a_row_is_named_at_once() -> None:
    _, faults = take(batch_id="Tolvan", post_id="191212121212x", outcome="Tolvan", at="Tolvan", booked_for="Tolvan")
    assert [fault.split(":")[0] for fault in faults] == ["batch_id", "post_id", "outcome", "at", "booked_for"]
    assert not any("Tolvan" in fault or "1912" in fault for fault in faults)
