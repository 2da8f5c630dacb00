"""Reads a row of a receipt: a word of the receiver, or every fault of the row.

A fault names the column and what is wrong, never the value: it may be a person's, where columns have been swapped.
"""

import datetime as dt
import hashlib
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from waitlist.facts.csv_table import EARLIEST, LATEST
from waitlist.release.receipts.words import Outcome, Word

AHEAD: Final = dt.timedelta(minutes=5)
"""How far the receiver's clock may be ahead of ours."""

_POST: Final = re.compile(r"-?[0-9]{1,18}")
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})"
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LONGEST_ID: Final = 100
_LONGEST_REASON: Final = 2_000


@dataclass(frozen=True, slots=True)
class Released:
    """What a row is compared with: a batch that was released."""

    at: dt.datetime
    posts: Collection[int]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A row that has no fault."""

    batch_id: str
    post_id: int
    word: Word
    reason: str | None
    """Text of the receiver: personal data."""


def cleaned(cell: str | None) -> str:
    """Return a cell as it is read: in Unicode form NFC, trimmed; None as empty."""
    return unicodedata.normalize("NFC", cell or "").strip()


def read(
    cells: Mapping[str, str],
    released: Callable[[str], Released | None],
    now: dt.datetime,
    fault: Callable[[str], None],
) -> Receipt | None:
    """Read a row; None where it has a fault.

    Args:
        cells: the cells by ``schema.RECEIPT_COLUMNS``, cleaned.
        released: returns the released batch with an id; None where there is no such batch.
        now: the moment, aware.
        fault: takes each fault.
    """
    told: list[str] = []
    batch_id, batch = cells["batch_id"], released(cells["batch_id"])
    if batch is None:
        told.append("batch_id: no released batch has this id")
    post_id = int(cells["post_id"]) if _POST.fullmatch(cells["post_id"]) else None
    if post_id is None:
        told.append("post_id: no whole number")
    elif batch is not None and post_id not in batch.posts:
        told.append("post_id: the batch released no such post")
    outcome = Outcome(cells["outcome"]) if cells["outcome"] in set(Outcome) else None
    if outcome is None:
        told.append(f"outcome: not one of {', '.join(Outcome)}")
    at = _moment(cells["at"])
    if at is None:
        told.append("at: no moment with an offset, as 2025-01-20T08:30:00+01:00")
    elif at > now + AHEAD:
        told.append("at: more than five minutes ahead")
    elif batch is not None and at < batch.at:
        told.append("at: before the release of the batch")
    booked_for = _day(cells["booked_for"])
    told += _of_outcome(cells, outcome, booked_for)
    for what in told:
        fault(what)
    if told or post_id is None or outcome is None or at is None:
        return None
    number, reason = cells["millennium_id"], cells["reason"]
    key = _digest(batch_id, str(post_id), outcome, at.isoformat(), number, reason, cells["booked_for"])
    return Receipt(batch_id, post_id, Word(key, outcome, at, number or None, booked_for), reason or None)


def _of_outcome(cells: Mapping[str, str], outcome: Outcome | None, booked_for: dt.date | None) -> list[str]:
    """Return the faults of the columns that depend on the outcome."""
    told = []
    number, reason = cells["millennium_id"], cells["reason"]
    if len(number) > _LONGEST_ID or any(unicodedata.category(sign)[0] in "CZ" for sign in number):
        told.append(f"millennium_id: white space, or longer than {_LONGEST_ID} characters")
    elif outcome is Outcome.REJECTED and number:
        told.append("millennium_id: a rejected post has none")
    elif outcome not in {None, Outcome.REJECTED} and not number:
        told.append("millennium_id: empty")
    if outcome is Outcome.REJECTED and not reason:
        told.append("reason: empty, and a rejected post needs one")
    if len(reason) > _LONGEST_REASON or any(
        unicodedata.category(sign) == "Cc" and sign not in "\n\r\t" for sign in reason
    ):
        told.append(f"reason: control characters, or longer than {_LONGEST_REASON} characters")
    if cells["booked_for"] and (booked_for is None or not EARLIEST <= booked_for <= LATEST):
        told.append("booked_for: no date, as 2025-01-20")
    elif outcome is Outcome.BOOKED and not cells["booked_for"]:
        told.append("booked_for: empty, and a booked post needs it")
    elif outcome not in {None, Outcome.BOOKED} and cells["booked_for"]:
        told.append("booked_for: only a booked post has it")
    return told


def _moment(text: str) -> dt.datetime | None:
    if not _MOMENT.fullmatch(text):
        return None
    try:
        return dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def _digest(*content: str) -> str:
    """Return the digest of a row's content, which is the same however the row was written."""
    return hashlib.sha256("\x1f".join(content).encode()).hexdigest()
