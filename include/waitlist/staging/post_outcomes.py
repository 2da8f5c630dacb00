"""What became of a post that was not migrated, and what was checked: ``post_outcome``, which is only added to.

The night's run sees what has been moved, corrected or closed in PMO. It does not see a booking in Millennium, or that
somebody has looked at a warning. A unit's staff say that here. A row is never changed: what was wrong is undone by a
new row. What holds for a post is computed from its rows (``current``).

Two people may look at the same post. A row has the number after the last one that its writer saw, and only one row can
have that number. So the second writer gets the rows of the first instead (``Overtaken``).
"""

import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from waitlist.staging import schema
from waitlist.staging.database import Database, refusals_named
from waitlist.staging.states import PostOutcome

BY_PEOPLE: Final = (
    PostOutcome.BOOKED_MILLENNIUM,
    PostOutcome.BOOKED_PMO,
    PostOutcome.MOVED,
    PostOutcome.NOT_NEEDED,
    PostOutcome.DECEASED,
)
"""The outcomes that a unit's staff give a post."""
LONGEST_WORD: Final = 200
"""The most letters of a word about an outcome."""

# SQL Server takes 2,100 values in a statement.
_AT_ONCE: Final = 1_000

_PERSONAL_NUMBER: Final = re.compile(
    r"(?<!\d)(?:\d{2})?\d{6}(?:[\s\u2010-\u2013+-]?\d{4}|[\u2010-\u2013+-]?(?=\w*\d)[\dA-Za-z]{4})(?!\d)"
)


class WordFault(StrEnum):
    """Why a word about an outcome is refused."""

    MISSING = "missing"
    LONG = "long"
    HAS_NUMBER = "has_number"
    """It has what looks like a personal number."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of ``post_outcome``."""

    post_id: int
    entry_no: int
    """1, 2, ... for each post."""
    unit: str
    """The key of the unit in whose name it was written; empty for posts of no known unit."""
    batch_id: str
    """The dry run whose list its writer saw."""
    at: dt.datetime
    actor: str
    """The user id, or the pipeline."""
    outcome: PostOutcome
    undoes: int | None = None
    """The number of the row that it undoes; only with ``PostOutcome.UNDONE``."""
    word: str | None = None
    """Why, in the writer's words. It may name a person, so it is shown only to those who see the unit."""
    about: tuple[str, ...] = ()
    """What there was to look at: codes of rules, or names of columns that PMO has changed."""


@dataclass(frozen=True, slots=True)
class Current:
    """What holds for a post at a unit."""

    outcome: Entry | None = None
    mark: Entry | None = None
    """That somebody has checked the post."""

    def has_checked(self, about: Iterable[str]) -> bool:
        """Tell whether the mark is about all that there is to look at now."""
        return self.mark is not None and set(about) <= set(self.mark.about)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row was added, or the same request had added it before."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Nothing was added: the post's rows are others than those that the writer saw."""

    entries: tuple[Entry, ...]
    """The post's rows as they are now."""


def current(entries: Iterable[Entry], *, since: dt.datetime | None = None) -> Current:
    """Return what holds by the rows of one post at one unit: the last outcome and the last mark that are not undone.

    Args:
        entries: the rows.
        since: rows from before this moment do not count; None for all rows.
    """
    standing: dict[int, Entry] = {}
    counted = (entry for entry in entries if since is None or entry.at >= since)
    for entry in sorted(counted, key=lambda entry: entry.entry_no):
        if entry.outcome is not PostOutcome.UNDONE:
            standing[entry.entry_no] = entry
        elif entry.undoes is not None:
            standing.pop(entry.undoes, None)
    holds = Current()
    for entry in standing.values():
        is_mark = entry.outcome is PostOutcome.CHECKED
        holds = Current(holds.outcome, entry) if is_mark else Current(entry, holds.mark)
    return holds


def word_fault(outcome: PostOutcome, word: str | None) -> WordFault | None:
    """Return what is wrong with the word about an outcome; None for a good one."""
    if not word:
        return WordFault.MISSING if outcome is PostOutcome.NOT_NEEDED else None
    if len(word) > LONGEST_WORD:
        return WordFault.LONG
    return WordFault.HAS_NUMBER if has_personal_number(word) else None


def has_personal_number(text: str) -> bool:
    """Tell whether a text has what looks like a personal number."""
    return _PERSONAL_NUMBER.search(text) is not None


def read_of_unit(connection: sa.Connection, unit: str) -> dict[int, tuple[Entry, ...]]:
    """Return the rows that were written in the name of a unit, by post, the earliest first."""
    table = schema.post_outcome
    query = sa.select(table).where(table.c.enhet_hsa_id == unit).order_by(table.c.post_id, table.c.entry_no)
    found: dict[int, list[Entry]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["post_id"], []).append(_entry(row))
    return {post_id: tuple(entries) for post_id, entries in found.items()}


def read_of_posts(connection: sa.Connection, post_ids: Sequence[int]) -> dict[int, tuple[Entry, ...]]:
    """Return the rows of some posts, in the name of any unit, the earliest first; posts without rows are left out."""
    table = schema.post_outcome
    found: dict[int, list[Entry]] = {}
    for first in range(0, len(post_ids), _AT_ONCE):
        some = table.c.post_id.in_(post_ids[first : first + _AT_ONCE])
        query = sa.select(table).where(some).order_by(table.c.post_id, table.c.entry_no)
        for row in connection.execute(query).mappings():
            found.setdefault(row["post_id"], []).append(_entry(row))
    return {post_id: tuple(entries) for post_id, entries in found.items()}


def add_all(connection: sa.Connection, entries: Sequence[Entry]) -> None:
    """Add rows of the pipeline, each with the next number of its post; all of them or none.

    Raises:
        IntegrityError: somebody else has got a number first.
    """
    if entries:
        table = schema.post_outcome
        rows = [
            {"request_key": f"{entry.batch_id}:{entry.post_id}:{entry.entry_no}"[:100], **_values(entry)}
            for entry in entries
        ]
        connection.execute(table.insert(), rows)


def last_numbers(connection: sa.Connection, post_ids: Collection[int]) -> dict[int, int]:
    """Return the number of the last row of some posts, in the name of any unit; posts without rows are left out.

    Args:
        connection: a connection.
        post_ids: not more than a page of posts.
    """
    table = schema.post_outcome.c
    query = sa.select(table.post_id, sa.func.max(table.entry_no)).where(table.post_id.in_(list(post_ids)))
    return {row[0]: row[1] for row in connection.execute(query.group_by(table.post_id))}


def record(
    database: Database, entry: Entry, *, key: str, is_allowed: bool = True, since: dt.datetime | None = None
) -> Recorded | Overtaken:
    """Add a row.

    Args:
        database: the staging database.
        entry: the row; its number is the one after the last that its writer saw.
        key: the request's own key. A second request with the same key and content adds nothing and succeeds.
        is_allowed: whether the post may get this outcome as it is now. If not, only a request that has been kept
            before succeeds.
        since: outcomes from before this moment do not count, as for ``current``.

    Raises:
        ValueError: the word is refused, or a row undoes nothing.
        StagingError: the database refused.
    """
    if word_fault(entry.outcome, entry.word) is not None:
        raise ValueError("the word about the outcome is refused")
    if (entry.outcome is PostOutcome.UNDONE) != (entry.undoes is not None):
        raise ValueError("a row undoes another one, or says something itself")
    table = schema.post_outcome
    with refusals_named("keeping what became of a post"), database.writing() as connection:
        before = _of_post(connection, entry.post_id)
        again = _same_request(connection, entry, key)
        if again is not None:
            return again
        if not is_allowed or entry.entry_no != len(before) + 1 or not _follows(before, entry, since):
            return Overtaken(before)
        try:
            with connection.begin_nested():
                connection.execute(table.insert().values(request_key=key, **_values(entry)))
        except IntegrityError:
            # Another process was as early, with this request or with another one.
            again = _same_request(connection, entry, key)
            return again or Overtaken(_of_post(connection, entry.post_id))
    return Recorded(entry)


def _follows(before: tuple[Entry, ...], entry: Entry, since: dt.datetime | None) -> bool:
    """Tell whether a row can come after others: an outcome where none of people holds, an undoing of what holds."""
    holds = current((row for row in before if row.unit == entry.unit), since=since)
    if entry.outcome is PostOutcome.UNDONE:
        return entry.undoes in {row.entry_no for row in (holds.outcome, holds.mark) if row is not None}
    return entry.outcome not in BY_PEOPLE or holds.outcome is None or holds.outcome.outcome not in BY_PEOPLE


def _same_request(connection: sa.Connection, entry: Entry, key: str) -> Recorded | Overtaken | None:
    """Return the answer for a key that is used already; None for a new one."""
    table = schema.post_outcome
    row = connection.execute(sa.select(table).where(table.c.request_key == key)).mappings().one_or_none()
    if row is None:
        return None
    kept = _entry(row)
    same = (kept.post_id, kept.unit, kept.actor, kept.outcome, kept.undoes, kept.word) == (
        entry.post_id, entry.unit, entry.actor, entry.outcome, entry.undoes, entry.word,
    )  # fmt: skip
    return Recorded(kept) if same else Overtaken(_of_post(connection, entry.post_id))


def _of_post(connection: sa.Connection, post_id: int) -> tuple[Entry, ...]:
    table = schema.post_outcome
    query = sa.select(table).where(table.c.post_id == post_id).order_by(table.c.entry_no)
    return tuple(_entry(row) for row in connection.execute(query).mappings())


def _values(entry: Entry) -> Mapping[str, object]:
    return {
        "post_id": entry.post_id,
        "entry_no": entry.entry_no,
        "enhet_hsa_id": entry.unit,
        "batch_id": entry.batch_id,
        "at": entry.at,
        "actor": entry.actor,
        "outcome": entry.outcome.value,
        "undoes": entry.undoes,
        "word": entry.word,
        "about": ", ".join(sorted(set(entry.about))),
    }


def _entry(row: sa.RowMapping) -> Entry:
    return Entry(
        post_id=row["post_id"],
        entry_no=row["entry_no"],
        unit=row["enhet_hsa_id"],
        batch_id=row["batch_id"],
        at=row["at"],
        actor=row["actor"],
        outcome=PostOutcome(row["outcome"]),
        undoes=row["undoes"],
        word=row["word"],
        about=tuple(filter(None, row["about"].split(", "))),
    )
