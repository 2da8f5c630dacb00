"""The persons that have to be asked about, and the answers that a part of a batch is judged by.

A call is made for up to 500 persons, and its answers are kept in the database before the next one. So a step that is
killed or fails goes on where it was, and a person of two parts is asked about once as a rule.
"""

import datetime as dt
import hashlib
import hmac
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.columns.dates import STOCKHOLM
from waitlist.columns.texts import fold
from waitlist.exceptions import PersonServiceError
from waitlist.judge.persons import ANSWERS, Persons
from waitlist.judge.posts import Posts, RuleContext
from waitlist.schema import PostIds
from waitlist.source.pu.messages import MOST_IDS
from waitlist.source.pu.status import PersonStatus
from waitlist.staging import persons
from waitlist.staging.database import Database

COLUMNS: Final = ("post_id", "vantar_pa_besok", "personnummer", "patient")
"""The columns of ``schema.POSTS`` from which follows who has to be asked about."""

USED: Final = pa.schema([*persons.KEPT, pa.field("other_name", pa.list_(pa.int64()), nullable=False)])
"""What a part is judged by: one row a person, by number, with the posts on which PMO has another name; no name."""

Ask = Callable[[Sequence[str]], Iterable[PersonStatus]]
"""Asks about up to 500 persons and returns each one's status; raises ``PersonServiceError``."""

_ROWS: Final = pa.schema([("person_id", pa.string()), ("post_id", pa.int64()), ("name", pa.string())])
_AT_ONCE: Final = 1_000
_NIGHTLY: Final = dt.timedelta(hours=4)


@dataclass(frozen=True)
class Wanted:
    """The persons of a part, and the posts and names that PMO has for each of them.

    Attributes:
        numbers: the persons' numbers, each once, in their order.
    """

    numbers: tuple[str, ...]
    _rows: pa.Table
    _ends: tuple[int, ...]

    @classmethod
    def of(cls, posts: Iterable[pa.Table], context: RuleContext, released: PostIds) -> Self:
        """Return who has to be asked about: everybody with a personnummer who waits, or whose released post is open.

        Args:
            posts: the posts of a part, with ``COLUMNS``.
            context: as-of date, mappings and rule settings.
            released: post ids that an earlier batch released.
        """
        rows = pa.concat_tables(
            [_ROWS.empty_table(), *(_people_of(Posts(table, context, released=released)) for table in posts)]
        )
        return cls._from(rows.sort_by([("person_id", "ascending"), ("post_id", "ascending")]))

    def only(self, numbers: Iterable[str]) -> Self:
        """Return some of the persons."""
        return self._from(self._rows.filter(pc.is_in(self._rows["person_id"], pa.array(sorted(numbers), pa.string()))))

    def names(self, number: str) -> dict[str, list[int]]:
        """Return the folded names that PMO has for one of the persons, each with its posts.

        A post without a name is left out.
        """
        place = bisect_left(self.numbers, number)
        first = self._ends[place - 1] if place else 0
        some = self._rows.slice(first, self._ends[place] - first)
        posts: dict[str, list[int]] = {}
        for name, post_id in zip(some["name"].to_pylist(), some["post_id"].to_pylist(), strict=True):
            if name:
                posts.setdefault(name, []).append(post_id)
        return posts

    @classmethod
    def _from(cls, rows: pa.Table) -> Self:
        counts = rows["person_id"].combine_chunks().value_counts()
        numbers, posts = counts.field("values").to_pylist(), counts.field("counts").to_numpy()
        return cls(tuple(numbers), rows.combine_chunks(), tuple(np.cumsum(posts).tolist()))


def _people_of(posts: Posts) -> pa.Table:
    """The posts whose persons have to be asked about, with ``_ROWS``."""
    asked = pa.array((posts.waits | posts.is_released) & posts.has_personnummer)
    names = posts.text("patient").folded.filter(asked)
    folded = pa.array([fold(name or "") for name in names.to_pylist()], pa.string())
    return pa.table(
        [posts.identities.person_id.filter(asked), posts.column("post_id").filter(asked), folded], schema=_ROWS
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """Which answers count.

    Attributes:
        since: an answer of before does not count.
        until: a later one does not count either; None: every one up to now.
        begun: an answer of after this moment is as good as one that was asked for just now.
        turn: the day of the run, and the number of days in which everybody's turn to be asked again comes once; None
            where nobody has a turn.
        told_at: the moment that an answer is kept with; None: when its call began.
    """

    since: dt.datetime
    until: dt.datetime | None
    begun: dt.datetime
    turn: tuple[dt.date, int] | None = None
    told_at: dt.datetime | None = None

    @classmethod
    def of_a_night(cls, day: dt.date, days: int, begun: dt.datetime) -> Self:
        """Return the terms of a dry run that asks: an answer counts for some days, and a part is renewed each night.

        Args:
            day: the day of the run, in Stockholm.
            days: that an answer counts.
            begun: when the batch was opened.
        """
        return cls(_midnight(day - dt.timedelta(days)), None, begun, (day, days))

    @classmethod
    def of_a_past_night(cls, as_of: dt.date, days: int) -> Self:
        """Return the terms of a dry run that asks as of a past day, as a demo does: as if the service told it then."""
        told_at = _midnight(as_of) + _NIGHTLY
        return cls(_midnight(as_of - dt.timedelta(days)), told_at, told_at, (as_of, days), told_at)

    @classmethod
    def of_the_past(cls, as_of: dt.date, days: int) -> Self:
        """Return the terms of a run as of a past day: what was answered by its end."""
        end = _midnight(as_of + dt.timedelta(1)) - dt.timedelta(microseconds=1)
        return cls(_midnight(as_of - dt.timedelta(days)), end, end)

    @classmethod
    def since_moment(cls, moment: dt.datetime) -> Self:
        """Return terms under which an answer of after a moment counts, and no other."""
        return cls(moment, None, moment)

    def has_turn(self, number: str, asked_at: dt.datetime) -> bool:
        """Tell whether it is a person's turn to be asked again: one of the days, which follows from the number."""
        if self.turn is None:
            return False
        day, days = self.turn
        share = int.from_bytes(hashlib.sha256(number.encode()).digest()[:8]) % days
        return share == day.toordinal() % days and asked_at < _midnight(day)


@dataclass(frozen=True)
class Gathered:
    """What is known of a part's persons.

    Attributes:
        used: of ``USED``; a person without an answer is not in it.
        asked: how many persons were asked about now.
        fault: why the others could not be asked about; None where nobody is left.
    """

    used: pa.Table
    asked: int
    fault: PersonServiceError | None


def gather(wanted: Wanted, database: Database, terms: Terms, ask: Ask | None, key: bytes) -> Gathered:
    """Return the answers that count, after asking about everybody who has none.

    Args:
        wanted: the persons.
        database: the staging database, in which answers are kept.
        terms: which answers count.
        ask: asks the service; None: nobody is asked about.
        key: of the hashes of PMO's names.

    Raises:
        StagingError: the database refused.
    """
    book = _Book(wanted, database, terms, key)
    book.look_up()
    fault: PersonServiceError | None = None
    asked = 0
    due = [] if ask is None else book.due
    for first in range(0, len(due), MOST_IDS):
        # Another part may have the same person, and its task may have asked meanwhile.
        some = book.still_due(due[first : first + MOST_IDS])
        if not some:
            continue
        try:
            statuses = list(ask(some)) if ask is not None else []
        except PersonServiceError as error:
            fault = error
            break
        book.keep(statuses)
        asked += len(statuses)
    return Gathered(book.used(), asked, fault)


def joined(first: pa.Table, others: pa.Table, wanted: Wanted) -> pa.Table:
    """Return the answers of two tables of ``USED`` about some persons; where both have one, the first one's."""
    more = others.filter(pc.invert(pc.is_in(others["person_id"], first["person_id"].combine_chunks())))
    return about(wanted, pa.concat_tables([first, more]).sort_by("person_id"))


def about(wanted: Wanted, used: pa.Table) -> pa.Table:
    """Return the rows of a table of ``USED`` that are about some persons."""
    return used.filter(pc.is_in(used["person_id"], pa.array(wanted.numbers, pa.string()))).combine_chunks()


def as_persons(used: pa.Table) -> Persons:
    """Return a table of ``USED`` as the rules read it."""
    posts = used["other_name"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Persons(used.select(ANSWERS.names).cast(ANSWERS), np.sort(posts).astype(np.int64))


def count_without_answer(wanted: Wanted, used: pa.Table) -> int:
    """Return how many of the persons have no answer."""
    return len(set(wanted.numbers) - set(used["person_id"].to_pylist()))


def count_differing(before: pa.Table, now: pa.Table) -> int:
    """Return about how many persons two tables of ``USED`` say something else, when asked aside."""
    then, later = ({row["person_id"]: row for row in table.drop(["asked_at"]).to_pylist()} for table in (before, now))
    return sum(later.get(number) != row for number, row in then.items())


class _Book:
    """The answers as they come in, by person; an answer that comes later replaces the earlier one."""

    def __init__(self, wanted: Wanted, database: Database, terms: Terms, key: bytes) -> None:
        self._wanted, self._database, self._terms, self._key = wanted, database, terms, key
        self._looked_up: list[pa.Table] = []
        self._anew: list[pa.Table] = []
        self.due: list[str] = []

    def look_up(self) -> None:
        for first in range(0, len(self._wanted.numbers), _AT_ONCE):
            some = self._wanted.numbers[first : first + _AT_ONCE]
            rows, compared = self._kept(some, self._terms.since)
            self._looked_up.append(pa.Table.from_pylist(rows, schema=USED))
            known = {row["person_id"]: row["asked_at"] for row in rows}
            self.due += [
                number
                for number in some
                if number not in known or number not in compared or self._terms.has_turn(number, known[number])
            ]

    def still_due(self, numbers: list[str]) -> list[str]:
        rows, compared = self._kept(numbers, self._terms.begun)
        answered = [row for row in rows if row["person_id"] in compared]
        self._anew.append(pa.Table.from_pylist(answered, schema=USED))
        known = {row["person_id"] for row in answered}
        return [number for number in numbers if number not in known]

    def keep(self, statuses: list[PersonStatus]) -> None:
        rows, comparisons = [], []
        for status in statuses:
            number, other = status.person_id, list[int]()
            for name, posts in self._wanted.names(number).items():
                agrees = status.name is None or status.name.occur_in(name)
                comparisons.append({"person_id": number, "name_hash": self._hash(number, name), "agrees": agrees})
                other += [] if agrees else posts
            rows.append(
                {**_row(status), "asked_at": self._terms.told_at or status.asked_at, "other_name": sorted(other)}
            )
        if not rows:
            return
        answers = pa.Table.from_pylist(rows, schema=ANSWERS)
        compared = pa.Table.from_pylist(comparisons, schema=persons.COMPARISONS)
        persons.keep(self._database, answers, compared, asked_at=rows[0]["asked_at"])
        self._anew.append(pa.Table.from_pylist(rows, schema=USED))

    def used(self) -> pa.Table:
        anew = pa.concat_tables([USED.empty_table(), *self._anew])
        before = pa.concat_tables([USED.empty_table(), *self._looked_up])
        replaced = pc.is_in(before["person_id"], anew["person_id"].combine_chunks())
        found = pa.concat_tables([before.filter(pc.invert(replaced)), anew])
        return found.sort_by("person_id").combine_chunks()

    def _kept(self, numbers: Sequence[str], since: dt.datetime) -> tuple[list[dict[str, Any]], set[str]]:
        """Return what is kept about some persons, and of whom each name that PMO has was compared."""
        answers, comparisons = persons.read(self._database, numbers, since=since, until=self._terms.until)
        agrees = {(row["person_id"], row["name_hash"]): row["agrees"] for row in comparisons.to_pylist()}
        rows, compared = answers.to_pylist(), set[str]()
        for row in rows:
            number, other, whole = row["person_id"], list[int](), True
            for name, posts in self._wanted.names(number).items():
                same = agrees.get((number, self._hash(number, name)))
                whole &= same is not None
                other += posts if same is False else []
            row["other_name"] = sorted(other)
            if whole:
                compared.add(number)
        return rows, compared

    def _hash(self, number: str, name: str) -> str:
        return hmac.new(self._key, f"{number}\0{name}".encode(), hashlib.sha256).hexdigest()


def _row(status: PersonStatus) -> dict[str, Any]:
    return {
        "person_id": status.person_id,
        "found": status.found,
        "protected_person": status.protected_person,
        "protected_record": status.protected_record,
        "test_person": status.test_person,
        "is_primary": status.primary,
        "deregistered": status.deregistered,
        "reason": None if status.reason is None else status.reason.value,
        "found_dead": status.found_dead,
    }


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), STOCKHOLM)
