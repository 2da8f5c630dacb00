"""Enhet: the posts left at one unit, one by one."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from waitlist.columns.forms import hsa_id
from waitlist.facts.mappings import Mappings
from waitlist.judge.rules import Disposition
from waitlist.release.ledger import read_owed
from waitlist.release.receipts.follow import count
from waitlist.reports.pages.after_release import SOME_DAY, Followed, Today, read_followed
from waitlist.reports.pages.history import (
    HANDLED_CODES,
    counts_by_unit,
    dry_runs,
    unit_names,
    unit_trends,
)
from waitlist.reports.pages.overview import UnitLine, unit_line
from waitlist.reports.pages.paging import Direction, Paging
from waitlist.reports.pages.persons import Person
from waitlist.reports.pages.reading import UnknownError
from waitlist.reports.pages.sample import SampleNotice
from waitlist.reports.pages.unit_posts import (
    Gone,
    Post,
    posts_of,
    read_after_release,
    read_gone,
    read_posts,
    read_reasons,
    urgency,
    week_before,
    with_owed,
    with_reason,
)
from waitlist.reports.pages.unit_rows import UnitRow, UnitRows
from waitlist.reports.readiness import waves_of
from waitlist.reports.since import nights_to_compare, read_since
from waitlist.reports.worklist.advice import Sheet
from waitlist.reports.worklist.folder import UNKNOWN_UNIT
from waitlist.reports.worklist.posts import UNKNOWN
from waitlist.staging import schema
from waitlist.staging.dry_runs import DryRun
from waitlist.staging.post_outcomes import last_numbers, read_of_unit
from waitlist.swedish.formats import swedish

PAGE_SIZE: Final = 50


class Show(StrEnum):
    """Which of a unit's posts are shown, as it is in the address."""

    TODO = "att-gora"
    """Something is left to do."""
    NEW = "nya"
    """Of these, the ones that were not on the list in the dry run before."""
    DONE = "klara"
    """The staff have said what became of it, or that they have checked it."""
    OWED = "utan-utfall"
    """The closing ledger of a wave waits for the outcome."""
    GONE = "atgardade"
    """On the list during the last week, and not any more."""
    ALL = "alla"


class SortBy(StrEnum):
    """The columns that posts can be sorted by, as they are in the address."""

    URGENCY = "bradska"

    POST = "post"
    LIST = "lista"
    FROM = "fran"
    BEFORE = "fore"
    DISPOSITION = "beslut"


_SORTS: Final[Mapping[SortBy, Callable[[Post], Any]]] = {
    SortBy.POST: lambda post: post.post_id,
    SortBy.LIST: lambda post: swedish(post.list_name or ""),
    SortBy.FROM: lambda post: post.boka_from or date.min,
    SortBy.BEFORE: lambda post: post.boka_fore or date.min,
    SortBy.DISPOSITION: lambda post: post.disposition,
    SortBy.URGENCY: urgency,
}
"""Empty values come first, as in the work list: a missing date must be corrected."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The filter and the order of a unit's posts."""

    disposition: Disposition | None = None
    rule: str | None = None
    list_name: str | None = None
    """The post's category in PMO."""
    post_id: int | None = None
    sort: SortBy = SortBy.BEFORE
    direction: Direction = Direction.UP
    page: int = 1
    show: Show = Show.ALL
    whole: bool = False
    """Whether all posts are on one page, for printing."""
    told: int | None = None
    """The post of which something has just been said."""


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule with findings at the unit."""

    rule: str
    severity: str
    posts: int
    left: int
    """How many of these posts are left to handle."""


@dataclass(frozen=True, slots=True)
class Change:
    """The change in the posts left to handle since the dry run before."""

    since: date
    new: int
    resolved: int
    persisting: int


@dataclass(frozen=True, slots=True)
class ShownRun:
    """The dry run that a unit's page shows, without its counts over all units."""

    batch_id: str
    as_of: date
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Unit:
    """The page."""

    latest: ShownRun
    wave: str | None
    unit: UnitLine
    rules: tuple[RuleLine, ...]
    change: Change | None
    """None where no earlier dry run was judged by the same rules, or retention has removed its posts."""
    lists: Mapping[str, int]
    """Posts by the list that they are on in PMO."""
    asked: Asked
    paging: Paging
    posts: tuple[Post, ...]
    detailed: bool
    """Whether the posts are still there; retention removes them."""
    shown: Mapping[Show, int] = field(default_factory=dict)
    """How many posts each choice shows; the ones that are gone are counted only when they are shown."""
    compared_with: date | None = None
    """The as-of date of the dry run before, when it can be compared post by post."""
    told: Post | None = None
    """The post of which something has just been said."""
    gone: tuple[Gone, ...] | None = None
    """The posts that are gone from the list, in place of ``posts``; None when they are not shown."""
    persons: Mapping[int, Person] | None = None
    """The patients of ``posts`` by post id, for users with the right to see them."""
    samples: tuple[SampleNotice, ...] = ()
    """The samples in which the unit has posts that nobody has compared yet."""
    followed: Followed | None = None
    """Its released posts; None where none is released."""


@dataclass(frozen=True, slots=True)
class ProtectedPost:
    """The page of one post whose patient's identity is protected."""

    latest: ShownRun
    key: str
    unit_name: str
    post: Post
    person: Person


def path_of(key: str) -> str:
    """Return the part of an address for a unit's key."""
    return key or UNKNOWN_UNIT


def key_of(path: str) -> str:
    """Return the unit's key for the part of an address."""
    return UNKNOWN if path == UNKNOWN_UNIT else hsa_id(path)


def _shown(run: DryRun) -> ShownRun:
    return ShownRun(run.batch_id, run.as_of, run.finished_at)


def runs_of(connection: sa.Connection, mappings: Mappings, key: str) -> tuple[tuple[DryRun, ...], Mapping[str, int]]:
    """Return the dry runs, and the unit's posts by disposition in the latest.

    Raises:
        NoBatchError: no dry run counts for readers yet.
        UnknownError: the unit has no posts in the latest, and nothing of it is followed after a release.
    """
    runs = dry_runs(connection)
    counts = counts_by_unit(connection, runs[-1].batch_id, mappings)
    if key not in counts and not read_owed(connection, key) and not count(connection, date.min, unit=key):
        raise UnknownError("the unit has no posts in the latest dry run")
    return runs, counts.get(key, {})


def read_unit(connection: sa.Connection, mappings: Mappings, key: str, asked: Asked, today: Today = SOME_DAY) -> Unit:
    """Read the page.

    Args:
        connection: a connection from ``reading``.
        mappings: names, waves and go-lives of the units.
        key: HSA-id of the unit; empty for the posts of no known unit.
        asked: the filter and the order.
        today: the day up to which the follow-up is shown.

    Raises:
        NoBatchError: no dry run counts for readers yet.
        UnknownError: the unit has no posts in the latest.
    """
    runs, counts = runs_of(connection, mappings, key)
    latest = runs[-1]
    (wave,) = waves_of({key: counts}, mappings, latest.as_of)
    names = unit_names(connection, runs, mappings).get(key, (key,))
    line = unit_line(wave.units[0], unit_trends(connection, runs, {key: names})[key])
    named = _spellings(names)
    detailed = _has_rows(connection, latest)
    nights = nights_to_compare(connection, runs)
    entries = read_of_unit(connection, key)
    rows = UnitRows(connection, nights, named)
    here = rows.of(latest) if detailed else ()
    compared = week_before(nights) if asked.show is Show.GONE else ()
    after = read_after_release(connection, [night.batch_id for night in (latest, *compared)], named)
    every = posts_of(latest.batch_id, here, after, entries)
    every = with_owed(every, read_owed(connection, key, asked.told), entries)
    every = _with_news(connection, nights, every)
    gone = None
    if asked.show is Show.GONE:
        now = {post.post_id: post for post in every}
        gone = read_gone(connection, nights, rows, now, after=after, entries=entries)
    chosen = [] if gone is not None else _selected(every, asked)
    found = len(chosen if gone is None else gone)
    paging = Paging.of(asked.page, max(found, 1) if asked.whole else PAGE_SIZE, found)
    part = slice(paging.offset, paging.offset + paging.size)
    posts = _with_details(connection, nights, chosen[part])
    return Unit(
        latest=_shown(latest),
        wave=wave.wave,
        unit=line,
        rules=_rules(here),
        change=_change(connection, nights, rows, here, line.left) if nights[-2:-1] == runs[-2:-1] else None,
        lists=_lists(here),
        asked=asked,
        paging=paging,
        posts=tuple(posts),
        detailed=detailed,
        shown={show: sum(map(chooses, every)) for show, chooses in _SHOWS.items()},
        compared_with=nights[-2].as_of if len(nights) > 1 else None,
        told=_post_with_details(connection, every, asked.told),
        gone=None if gone is None else gone[part],
        followed=read_followed(connection, mappings, today, unit=key),
    )


def with_persons(connection: sa.Connection, page: Unit, persons: Mapping[int, Person]) -> Unit:
    """Return the page with the patients of its posts, and the receiver's reasons, which may name them.

    A reason is shown of a post whose patient is shown.
    """
    shown = {post_id for post_id, person in persons.items() if not person.protected}
    rejected = [post.post_id for post in page.posts if post.sheet == Sheet.REJECTED_BY_MILLENNIUM]
    reasons = read_reasons(connection, [post_id for post_id in rejected if post_id in shown])
    posts = tuple(
        with_reason(post, reasons.get(post.post_id, ""), protected=post.post_id not in shown)
        if post.post_id in rejected
        else post
        for post in page.posts
    )
    return replace(page, posts=posts, persons=persons)


def _post_with_details(connection: sa.Connection, posts: Sequence[Post], post_id: int | None) -> Post | None:
    found = [post for post in posts if post_id is not None and post.post_id == post_id]
    return next(iter(_with_details(connection, (), found)), None)


def _has_rows(connection: sa.Connection, run: DryRun) -> bool:
    table = schema.disposition.c
    return connection.scalar(sa.select(table.post_id).where(table.batch_id == run.batch_id).limit(1)) is not None


def read_post(connection: sa.Connection, mappings: Mappings, key: str, post_id: int) -> tuple[str, Post | None]:
    """Return the latest dry run's batch, and one of the unit's posts in it; None if the unit does not have the post.

    Raises:
        NoBatchError: no dry run counts for readers yet.
        UnknownError: the unit has no posts in the latest.
    """
    runs, _ = runs_of(connection, mappings, key)
    batch_id = runs[-1].batch_id
    names = unit_names(connection, runs, mappings).get(key, (key,))
    entries = read_of_unit(connection, key)
    posts = read_posts(connection, batch_id, _spellings(names), entries, only=post_id)
    owed = {found: one for found, one in read_owed(connection, key, post_id).items() if found == post_id}
    return batch_id, next(iter(with_owed(posts, owed, entries)), None)


def _spellings(names: Collection[str]) -> dict[str, Any]:
    # The summary has the empty text where the post has no unit.
    return {"units": tuple(names), "with_null": int("" in names)}


_SHOWS: Final[Mapping[Show, Callable[[Post], bool]]] = {
    Show.TODO: lambda post: post.is_open,
    Show.NEW: lambda post: post.is_open and post.is_new,
    Show.DONE: lambda post: post.done,
    Show.OWED: lambda post: post.is_owed,
    Show.ALL: lambda _post: True,
}


def _selected(posts: Sequence[Post], asked: Asked) -> list[Post]:
    """Return the posts that the filter selects, in the order that is asked for."""
    chosen = [
        post
        for post in posts
        if _SHOWS[asked.show](post)
        and (asked.disposition is None or post.disposition == asked.disposition)
        and (asked.rule is None or asked.rule in post.rules)
        and (asked.list_name is None or post.list_name == asked.list_name)
        and (asked.post_id is None or post.post_id == asked.post_id)
    ]
    chosen.sort(key=lambda post: post.post_id)
    chosen.sort(key=_SORTS[asked.sort], reverse=asked.direction is Direction.DOWN)
    return chosen


def _with_news(connection: sa.Connection, nights: Sequence[DryRun], posts: list[Post]) -> list[Post]:
    """Return the posts with whether they are new on the list; none is where no night can be compared."""
    if len(nights) < 2:
        return posts
    since = read_since(connection, nights[-2:], _leading(posts))
    new = {post_id for post_id, told in since.items() if not told.perhaps_earlier}
    return [replace(post, is_new=True) if post.post_id in new else post for post in posts]


def _with_details(connection: sa.Connection, nights: Sequence[DryRun], posts: Sequence[Post]) -> list[Post]:
    """Return the posts shown with since when they have been on the list, and the number of their last entries."""
    since = read_since(connection, nights, _leading(posts)) if len(nights) > 1 else {}
    # Where all posts are shown for printing, no form is shown.
    last = last_numbers(connection, [post.post_id for post in posts]) if len(posts) <= PAGE_SIZE else {}
    return [replace(post, since=since.get(post.post_id), last_entry=last.get(post.post_id, 0)) for post in posts]


def _leading(posts: Sequence[Post]) -> dict[int, str]:
    """Return the code of the rule that decides what to do, for the posts with something to do."""
    return {post.post_id: post.rule for post in posts if post.is_open and post.rule is not None}


def _rules(rows: Sequence[UnitRow]) -> tuple[RuleLine, ...]:
    """Return the rules with findings, the ones with most posts first."""
    every: Counter[tuple[str, str]] = Counter()
    left: Counter[tuple[str, str]] = Counter()
    for row in rows:
        found = [(finding.rule, finding.severity) for finding in row.findings]
        every.update(found)
        if _is_left(row):
            left.update(found)
    lines = [RuleLine(*key, posts, left[key]) for key, posts in every.items()]
    return tuple(sorted(lines, key=lambda line: (-line.posts, line.rule, line.severity)))


def _lists(rows: Sequence[UnitRow]) -> dict[str, int]:
    """Return the posts on each list of PMO, by its name."""
    return dict(sorted(Counter(row.kategori for row in rows if row.kategori is not None).items()))


def _is_left(row: UnitRow) -> bool:
    return row.disposition not in HANDLED_CODES


def _change(
    connection: sa.Connection, nights: Sequence[DryRun], rows: UnitRows, here: Sequence[UnitRow], left: int
) -> Change | None:
    """Return the change since the night before; None where that is not among them, or has only its counts."""
    now = {row.post_id for row in here if _is_left(row)}
    # Retention keeps the counts and removes the posts.
    if len(nights) < 2 or len(now) != left or not _has_rows(connection, nights[-2]):
        return None
    then = {row.post_id for row in rows.of(nights[-2]) if _is_left(row)}
    return Change(nights[-2].as_of, len(now - then), len(then - now), len(now & then))
