"""Sök: units, posts, rules and lists that a reader looks for.

What is looked for is never part of an address: somebody may type a name or a number into the box.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from waitlist.columns.texts import fold
from waitlist.facts.mappings import Mappings, list_key
from waitlist.judge.rules import RULES
from waitlist.reports.pages.history import dry_runs, unit_name
from waitlist.reports.worklist.posts import UNKNOWN, unit_key
from waitlist.staging import WITHDRAWN, BatchState, schema
from waitlist.staging.dry_runs import DryRun
from waitlist.swedish.formats import swedish
from waitlist.swedish.words import rule_label

MOST: Final = 30
"""Hits of each kind that are shown."""
_MOST_DIGITS: Final = 18
"""More digits than a post id has."""


@dataclass(frozen=True, slots=True)
class FoundUnit:
    """A unit of the latest dry run."""

    key: str
    name: str
    wave: str | None


@dataclass(frozen=True, slots=True)
class FoundPost:
    """A post, without its patient."""

    post_id: int
    unit: str | None
    """The unit's key in the latest dry run; None where that has no such post."""
    unit_name: str | None
    disposition: str | None
    released_in: str | None
    """The batch in which it was released; None where it was not, or where it is free again."""
    withdrawn: bool
    """Whether that release was withdrawn after its load, and the receiver has not confirmed that the post is gone."""


@dataclass(frozen=True, slots=True)
class FoundRule:
    """A rule."""

    code: str
    label: str


@dataclass(frozen=True, slots=True)
class Found:
    """The page."""

    latest: DryRun
    asked: bool
    """Whether anything was looked for."""
    units: tuple[FoundUnit, ...]
    posts: tuple[FoundPost, ...]
    rules: tuple[FoundRule, ...]
    lists: tuple[str, ...]
    """SDV lists and base categories of PMO that have posts."""

    @property
    def hits(self) -> int:
        """How many hits there are."""
        return len(self.units) + len(self.posts) + len(self.rules) + len(self.lists)


def find(
    connection: sa.Connection, mappings: Mappings, text: str, sees: Callable[[str], bool], *, everywhere: bool = True
) -> Found:
    """Look for a text: in names and HSA-ids of units, codes and names of rules, and names of lists; or for a post id.

    Args:
        connection: a connection from ``reading``.
        mappings: names and waves of the units.
        text: what a reader has typed.
        sees: tells by its key whether the reader sees a unit; units and posts of others are not found.
        everywhere: whether the reader sees every unit; rules, lists and releases are about all of them.

    Raises:
        NoBatchError: no dry run counts for readers yet.
    """
    latest = dry_runs(connection)[-1]
    wanted = fold(text)
    if not wanted:
        return Found(latest, asked=False, units=(), posts=(), rules=(), lists=())
    return Found(
        latest,
        asked=True,
        units=tuple(unit for unit in _units(connection, latest.batch_id, mappings, wanted) if sees(unit.key))[:MOST],
        posts=tuple(
            post
            for post in _posts(connection, latest.batch_id, mappings, wanted)
            if (everywhere if post.unit is None else sees(post.unit))
        ),
        rules=tuple(
            FoundRule(code, rule_label(code))
            for code in RULES
            if everywhere and (wanted in fold(code) or wanted in fold(rule_label(code)))
        )[:MOST],
        lists=_lists(connection, latest.batch_id, wanted) if everywhere else (),
    )


def _units(connection: sa.Connection, batch_id: str, mappings: Mappings, wanted: str) -> tuple[FoundUnit, ...]:
    table = schema.unit_summary.c
    names = connection.scalars(sa.select(table.enhet_hsa_id).where(table.batch_id == batch_id).distinct())
    keys = {unit_key(name, mappings) for name in names} - {UNKNOWN}
    found = []
    for key in keys:
        unit = mappings.units.get(key)
        if wanted in fold(unit_name(key, mappings)) or wanted in fold(key):
            found.append(FoundUnit(key, unit_name(key, mappings), unit.vag if unit else None))
    return tuple(sorted(found, key=lambda unit: swedish(unit.name)))


def _posts(connection: sa.Connection, batch_id: str, mappings: Mappings, wanted: str) -> tuple[FoundPost, ...]:
    if not (wanted.isascii() and wanted.isdigit()) or len(wanted) > _MOST_DIGITS:
        return ()
    post_id = int(wanted)
    post, released = schema.disposition.c, schema.released_post.c
    query = sa.select(post.enhet_hsa_id, post.disposition).where(post.batch_id == batch_id, post.post_id == post_id)
    row = connection.execute(query).one_or_none()
    batch = schema.batch.c
    held = connection.execute(
        sa.select(batch.batch_id, batch.state)
        .join_from(schema.released_post, schema.batch, batch.batch_id == released.batch_id)
        .where(released.post_id == post_id)
    ).one_or_none()
    if row is None and held is None:
        return ()
    key = None if row is None else unit_key(row.enhet_hsa_id, mappings)
    name = None if key is None else unit_name(key, mappings)
    return (
        FoundPost(
            post_id,
            key,
            name,
            row.disposition if row else None,
            None if held is None else held.batch_id,
            withdrawn=held is not None and BatchState(held.state) in WITHDRAWN,
        ),
    )


def _lists(connection: sa.Connection, batch_id: str, wanted: str) -> tuple[str, ...]:
    table = schema.disposition.c
    names = connection.scalars(
        sa.select(table.kategori).where(table.batch_id == batch_id, table.kategori.is_not(None)).distinct()
    )
    key = list_key(wanted)
    return tuple(sorted((name for name in names if wanted in fold(name) or key in list_key(name)), key=swedish))[:MOST]
