"""Enhet: the posts left at one unit, one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from waitlist.columns.forms import hsa_id
from waitlist.facts.mappings import Mappings
from waitlist.judge.rules import Disposition
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
from waitlist.reports.pages.reading import UnknownError, ask
from waitlist.reports.readiness import waves_of
from waitlist.reports.worklist.advice import Finding, advise
from waitlist.reports.worklist.folder import UNKNOWN_UNIT
from waitlist.reports.worklist.posts import UNKNOWN
from waitlist.staging import schema
from waitlist.staging.dry_runs import DryRun
from waitlist.swedish.words import DISPOSITION_TEXTS

PAGE_SIZE: Final = 50


class SortBy(StrEnum):
    """The columns that posts can be sorted by, as they are in the address."""

    POST = "post"
    LIST = "lista"
    FROM = "fran"
    BEFORE = "fore"
    DISPOSITION = "beslut"


_SORTS: Final[Mapping[SortBy, sa.ColumnElement[Any]]] = {
    SortBy.POST: schema.disposition.c.post_id,
    SortBy.LIST: schema.disposition.c.kategori,
    SortBy.FROM: schema.disposition.c.boka_from,
    SortBy.BEFORE: schema.disposition.c.boka_fore,
    SortBy.DISPOSITION: schema.disposition.c.disposition,
}


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
class Post:
    """A post, without its patient."""

    post_id: int
    list_name: str | None
    boka_from: date | None
    boka_fore: date | None
    disposition: str
    recommended_list: str | None
    """The SDV list that it may be moved to."""
    rules: tuple[str, ...]
    """The codes of its findings."""
    action: str
    """What to do, one line for each action, as in the work list."""


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
    persons: Mapping[int, Person] | None = None
    """The patients of ``posts`` by post id, for users with the right to see them."""


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
        UnknownError: the unit has no posts in the latest.
    """
    runs = dry_runs(connection)
    counts = counts_by_unit(connection, runs[-1].batch_id, mappings)
    if key not in counts:
        raise UnknownError("the unit has no posts in the latest dry run")
    return runs, counts[key]


def read_unit(connection: sa.Connection, mappings: Mappings, key: str, asked: Asked) -> Unit:
    """Read the page.

    Args:
        connection: a connection from ``reading``.
        mappings: names, waves and go-lives of the units.
        key: HSA-id of the unit; empty for the posts of no known unit.
        asked: the filter and the order.

    Raises:
        NoBatchError: no dry run counts for readers yet.
        UnknownError: the unit has no posts in the latest.
    """
    runs, counts = runs_of(connection, mappings, key)
    latest = runs[-1]
    (wave,) = waves_of({key: counts}, mappings, latest.as_of)
    names = unit_names(connection, runs, mappings)[key]
    line = unit_line(wave.units[0], unit_trends(connection, runs, {key: names})[key])
    # The summary has the empty text where the post has no unit.
    named: dict[str, Any] = {"units": names, "with_null": int("" in names)}
    rows = _selected_posts(named, latest.batch_id, asked)
    total = connection.scalar(sa.select(sa.func.count()).select_from(rows.subquery())) or 0
    paging = Paging.of(asked.page, PAGE_SIZE, total)
    posts = _posts(connection, latest.batch_id, rows, asked, paging)
    here = ask(connection, "count_unit_lists", batch_id=latest.batch_id, **named)
    return Unit(
        latest=_shown(latest),
        wave=wave.wave,
        unit=line,
        rules=tuple(
            RuleLine(row.rule, row.severity, int(row.posts), int(row.posts_left))
            for row in ask(connection, "count_unit_rules", batch_id=latest.batch_id, handled=HANDLED_CODES, **named)
        ),
        change=_change(connection, runs, line.left, named) if len(runs) > 1 else None,
        lists={row.kategori: int(row.posts) for row in here},
        asked=asked,
        paging=paging,
        posts=posts,
        detailed=_has_rows(connection, latest),
    )


def _has_rows(connection: sa.Connection, run: DryRun) -> bool:
    table = schema.disposition.c
    return connection.scalar(sa.select(table.post_id).where(table.batch_id == run.batch_id).limit(1)) is not None


def _selected_posts(named: Mapping[str, Any], batch_id: str, asked: Asked) -> sa.Select[Any]:
    """Return the query of the posts that the filter selects, unordered."""
    post, found = schema.disposition.c, schema.finding.c
    of_unit = post.enhet_hsa_id.in_(named["units"])
    query = sa.select(
        post.post_id, post.kategori, post.boka_from, post.boka_fore, post.disposition, post.recommended_list
    ).where(post.batch_id == batch_id, sa.or_(of_unit, post.enhet_hsa_id.is_(None)) if named["with_null"] else of_unit)
    if asked.disposition is not None:
        query = query.where(post.disposition == asked.disposition.value)
    if asked.list_name is not None:
        query = query.where(post.kategori == asked.list_name)
    if asked.post_id is not None:
        query = query.where(post.post_id == asked.post_id)
    if asked.rule is not None:
        rule = sa.and_(found.batch_id == post.batch_id, found.post_id == post.post_id, found.rule == asked.rule)
        query = query.where(sa.select(found.post_id).where(rule).exists())
    return query


def _posts(
    connection: sa.Connection, batch_id: str, rows: sa.Select[Any], asked: Asked, paging: Paging
) -> tuple[Post, ...]:
    column = _SORTS[asked.sort]
    # Empty values come first, as in the work list: a missing date must be corrected.
    empty = sa.case((column.is_(None), 0), else_=1)
    order = [empty, column] if asked.direction is Direction.UP else [empty.desc(), column.desc()]
    part = rows.order_by(*order, schema.disposition.c.post_id).limit(paging.size).offset(paging.offset)
    shown = connection.execute(part).all()
    table = schema.finding.c
    query = sa.select(table.post_id, table.rule, table.severity, table.detail).where(
        table.batch_id == batch_id, table.post_id.in_([row.post_id for row in shown])
    )
    findings: dict[int, list[Finding]] = {}
    for post_id, *finding in connection.execute(query.order_by(table.post_id, table.rule)):
        findings.setdefault(post_id, []).append(Finding(*finding))
    return tuple(_post(row, tuple(findings.get(row.post_id, ()))) for row in shown)


def _post(row: sa.Row[Any], findings: tuple[Finding, ...]) -> Post:
    disposition = Disposition(row.disposition)
    advice = advise(disposition, findings)
    return Post(
        post_id=row.post_id,
        list_name=row.kategori,
        boka_from=row.boka_from,
        boka_fore=row.boka_fore,
        disposition=disposition.value,
        recommended_list=row.recommended_list if advice and advice.recommends else None,
        rules=tuple(finding.rule for finding in findings),
        action=advice.action if advice else DISPOSITION_TEXTS[disposition].action,
    )


def _change(connection: sa.Connection, runs: tuple[DryRun, ...], left: int, named: Mapping[str, Any]) -> Change | None:
    before, latest = runs[-2:]
    if before.edition != latest.edition:
        return None
    row = ask(
        connection,
        "compare_unit",
        batch_id=latest.batch_id,
        before=before.batch_id,
        handled=HANDLED_CODES,
        **named,
    ).one()
    # Retention keeps the counts and removes the posts.
    if row.posts_now != left or not _has_rows(connection, before):
        return None
    return Change(before.as_of, row.posts_now - row.persisting, row.posts_then - row.persisting, row.persisting)
