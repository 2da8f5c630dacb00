"""Poster: how the posts that a figure counts are spread over the units; each row leads to the posts themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import sqlalchemy as sa

from waitlist.facts.mappings import Mappings, list_key
from waitlist.judge.rules import Disposition
from waitlist.reports.pages.history import HANDLED_CODES, dry_runs, unit_name
from waitlist.reports.pages.reading import UnknownError
from waitlist.reports.worklist.posts import UNKNOWN, unit_key
from waitlist.staging import READABLE, schema
from waitlist.staging.store import find_batch
from waitlist.swedish.formats import swedish

ANY: Final = "*"
"""In place of a wave's name: every wave."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The posts that are counted; None: any."""

    disposition: Disposition | None = None
    rule: str | None = None
    list_name: str | None = None
    """The posts' category in PMO."""
    left: bool = False
    """Only posts left to handle."""
    wave: str | None = ANY
    """None: units without a wave."""


@dataclass(frozen=True, slots=True)
class UnitPosts:
    """A unit and how many of the posts it has."""

    key: str
    name: str
    wave: str | None
    posts: int
    left: int


@dataclass(frozen=True, slots=True)
class Spread:
    """The page."""

    batch_id: str
    as_of: date
    latest: bool
    """Whether it is the latest dry run: only its posts have pages."""
    wanted: Wanted
    units: tuple[UnitPosts, ...]
    """The units with most posts first."""
    spelled: tuple[str, ...]
    """How the list is spelled in the posts; empty where none is asked for."""
    purged: bool
    """Retention has removed the batch's posts, so that they cannot be counted by rule or list."""

    @property
    def posts(self) -> int:
        """The posts of all units."""
        return sum(unit.posts for unit in self.units)

    @property
    def left(self) -> int:
        """How many of them are left to handle."""
        return sum(unit.left for unit in self.units)


def read_spread(connection: sa.Connection, mappings: Mappings, wanted: Wanted, batch_id: str | None = None) -> Spread:
    """Read the page.

    Args:
        connection: a connection from ``reading``.
        mappings: names and waves of the units.
        wanted: the posts that are counted.
        batch_id: a batch that counts for readers; None for the latest dry run.

    Raises:
        NoBatchError: no dry run counts for readers yet.
        UnknownError: there is no such batch.
    """
    latest = dry_runs(connection)[-1]
    as_of = latest.as_of
    if batch_id is not None and batch_id != latest.batch_id:
        batch = find_batch(connection, batch_id)
        if batch is None or batch.state not in READABLE:
            raise UnknownError(f"there is no batch {batch_id} to show")
        as_of = batch.as_of
    chosen = batch_id or latest.batch_id
    spelled = () if wanted.list_name is None else _spellings(connection, chosen, wanted.list_name)
    rows: Mapping[str, tuple[int, int]] = _counted(connection, chosen, wanted, spelled)
    units: dict[str, list[int]] = {}
    for hsa_id, (posts, left) in rows.items():
        found = units.setdefault(unit_key(hsa_id, mappings), [0, 0])
        found[0], found[1] = found[0] + posts, found[1] + left
    lines = [
        UnitPosts(key, unit_name(key, mappings), _wave(key, mappings), *found)
        for key, found in units.items()
        if wanted.wave in (ANY, _wave(key, mappings))
    ]
    table = schema.disposition.c
    kept = connection.scalar(sa.select(table.post_id).where(table.batch_id == chosen).limit(1))
    return Spread(
        chosen,
        as_of,
        chosen == latest.batch_id,
        wanted,
        tuple(sorted(lines, key=lambda line: (-line.posts, line.key == UNKNOWN, swedish(line.name)))),
        spelled=spelled,
        purged=kept is None,
    )


def _wave(key: str, mappings: Mappings) -> str | None:
    unit = mappings.units.get(key)
    return unit.vag if unit else None


def _spellings(connection: sa.Connection, batch_id: str, list_name: str) -> tuple[str, ...]:
    """Return how a list is spelled in the posts: spellings that are one to the rules are one here."""
    table = schema.disposition.c
    names = connection.scalars(sa.select(table.kategori).where(table.batch_id == batch_id).distinct())
    return tuple(name for name in names if name is not None and list_key(name) == list_key(list_name))


def _counted(
    connection: sa.Connection, batch_id: str, wanted: Wanted, spelled: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """Return the posts of each unit, and how many of them are left; from the summary where that is enough."""
    by_post = wanted.rule is not None or wanted.list_name is not None
    table = schema.disposition if by_post else schema.unit_summary
    size: sa.ColumnElement[Any] = sa.literal_column("1") if by_post else schema.unit_summary.c.posts
    left = sa.case((table.c.disposition.in_(HANDLED_CODES), 0), else_=size)
    query = sa.select(table.c.enhet_hsa_id, sa.func.sum(size), sa.func.sum(left)).where(table.c.batch_id == batch_id)
    if wanted.disposition is not None:
        query = query.where(table.c.disposition == wanted.disposition.value)
    if wanted.left:
        query = query.where(table.c.disposition.not_in(HANDLED_CODES))
    if wanted.list_name is not None:
        query = query.where(schema.disposition.c.kategori.in_(spelled))
    if wanted.rule is not None:
        found = schema.finding.c
        query = query.join(
            schema.finding,
            sa.and_(
                found.batch_id == schema.disposition.c.batch_id,
                found.post_id == schema.disposition.c.post_id,
                found.rule == wanted.rule,
            ),
        )
    rows = connection.execute(query.group_by(table.c.enhet_hsa_id))
    return {hsa_id or "": (int(posts), int(left_of)) for hsa_id, posts, left_of in rows}
