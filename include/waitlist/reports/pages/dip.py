"""The weeks after go-live: which posts fall due then, and how many visits the unit can book.

Care is cut most in these weeks. A post that falls due there and does not fit must be booked before go-live.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import sqlalchemy as sa

from waitlist.facts.mappings import Mappings
from waitlist.judge.rules import Disposition
from waitlist.reports.pages.history import dry_runs, unit_names
from waitlist.reports.pages.paging import Paging
from waitlist.reports.pages.reading import UnknownError
from waitlist.staging import schema
from waitlist.staging.dry_runs import DryRun

WEEKS: Final = 8
"""How many weeks from go-live on are shown."""
ROWS: Final = 50
"""Posts on a page."""
_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class UnitDip:
    """A unit in the weeks after its go-live."""

    key: str
    name: str
    go_live: dt.date
    visits: int | None
    """The visits a week that it can book, as it states them; None: unknown."""
    weeks: tuple[int, ...]
    """Posts by week of Boka före, the first week from go-live on."""
    before: int | None
    """How many of them must be booked before go-live, so that no week has more than its visits; None: unknown."""

    @property
    def posts(self) -> int:
        """Its posts of all the weeks."""
        return sum(self.weeks)


@dataclass(frozen=True, slots=True)
class Dip:
    """Some units in the weeks after their go-live."""

    units: tuple[UnitDip, ...]
    """Units with a go-live: the ones with most to book before first, then by posts."""
    weeks: tuple[int, ...]
    """Posts of all units by week after their own go-live."""
    visits: int | None
    """The visits a week of all units; None where one is unknown."""
    before: int
    """What must be booked before go-live at the units whose visits are known."""
    unknown: int
    """Units with posts in these weeks that have not stated their visits."""


@dataclass(frozen=True, slots=True)
class Due:
    """A post that falls due in the weeks after go-live, without its patient."""

    post_id: int
    list_name: str | None
    boka_from: dt.date | None
    boka_fore: dt.date
    disposition: str


@dataclass(frozen=True, slots=True)
class DuePage:
    """The posts of a unit that fall due in one week after go-live, or in all the weeks."""

    latest: DryRun
    unit: UnitDip
    week: int | None
    """From 1; None for all."""
    first: dt.date
    last: dt.date
    """The days of Boka före, both included."""
    paging: Paging
    posts: tuple[Due, ...]


def must_be_booked_before(weeks: Sequence[int], visits: int) -> int:
    """Return how many posts must be booked before the first week.

    A post may be booked in an earlier week than it falls due. So a week may take over what earlier weeks have free, but
    earlier weeks cannot use what later ones have free.

    Args:
        weeks: posts by the week in which they fall due.
        visits: how many can be booked in each week.
    """
    return max(0, *(due - visits * number for number, due in enumerate(accumulate(weeks), 1)))


def read_dip(connection: sa.Connection, batch_id: str, mappings: Mappings, names: Mapping[str, Sequence[str]]) -> Dip:
    """Read the weeks after go-live of some units.

    Args:
        connection: a connection from ``reading``.
        batch_id: the dry run.
        mappings: go-lives, names and visits of the units.
        names: the units' spellings in the posts, by their keys (``unit_names``).
    """
    planned = {key: row.driftstart for key in names if (row := mappings.units.get(key)) and row.driftstart}
    weeks = {key: [0] * WEEKS for key in planned}
    if planned:
        keys = {name: key for key in planned for name in names[key]}
        table = schema.disposition.c
        days = table.boka_fore.between(min(planned.values()), max(planned.values()) + dt.timedelta(_DAYS * WEEKS))
        query = sa.select(table.enhet_hsa_id, table.boka_fore, sa.func.count()).where(
            table.batch_id == batch_id, table.enhet_hsa_id.in_(tuple(keys)), days, _waits()
        )
        for name, day, posts in connection.execute(query.group_by(table.enhet_hsa_id, table.boka_fore)):
            key = keys[name]
            week = (day - planned[key]).days // _DAYS
            if 0 <= week < WEEKS:
                weeks[key][week] += posts
    units = [_unit(key, go_live, tuple(weeks[key]), mappings) for key, go_live in planned.items()]
    known = [unit.visits for unit in units if unit.visits is not None]
    return Dip(
        units=tuple(sorted(units, key=lambda unit: (-(unit.before or 0), -unit.posts, unit.name))),
        weeks=tuple(map(sum, zip(*weeks.values(), strict=True))) if weeks else (0,) * WEEKS,
        visits=sum(known) if known and len(known) == len(units) else None,
        before=sum(unit.before or 0 for unit in units),
        unknown=sum(unit.before is None and unit.posts > 0 for unit in units),
    )


def read_due(connection: sa.Connection, mappings: Mappings, key: str, week: int | None, page: int) -> DuePage:
    """Read the posts of a unit that fall due in the weeks after its go-live.

    Args:
        connection: a connection from ``reading``.
        mappings: go-lives, names and visits of the units.
        key: HSA-id of the unit.
        week: the week, from 1; None for all.
        page: the page.

    Raises:
        NoBatchError: no dry run counts for readers yet.
        UnknownError: the unit has no posts in the latest, or no go-live.
    """
    runs = dry_runs(connection)
    names = unit_names(connection, runs, mappings)
    if key not in names:
        raise UnknownError("the unit has no posts in the latest dry run")
    dip = read_dip(connection, runs[-1].batch_id, mappings, {key: names[key]})
    if not dip.units:
        raise UnknownError("the unit has no go-live")
    (unit,) = dip.units
    first = unit.go_live + dt.timedelta(_DAYS * (week - 1 if week else 0))
    last = first + dt.timedelta(_DAYS * (1 if week else WEEKS) - 1)
    paging = Paging.of(page, ROWS, unit.weeks[week - 1] if week else unit.posts)
    table = schema.disposition.c
    columns = (table.post_id, table.kategori, table.boka_from, table.boka_fore, table.disposition)
    query: sa.Select[Any] = sa.select(*columns).where(
        table.batch_id == runs[-1].batch_id,
        table.enhet_hsa_id.in_(names[key]),
        table.boka_fore.between(first, last),
        _waits(),
    )
    query = query.order_by(table.boka_fore, table.post_id).limit(paging.size).offset(paging.offset)
    posts = tuple(Due(*row) for row in connection.execute(query))
    return DuePage(runs[-1], unit, week, first, last, paging, posts)


def _waits() -> sa.ColumnElement[bool]:
    # No patient waits for a visit on a post that is left.
    return schema.disposition.c.disposition != Disposition.LEAVE.value


def _unit(key: str, go_live: dt.date, weeks: tuple[int, ...], mappings: Mappings) -> UnitDip:
    visits = mappings.units[key].besok_per_vecka
    before = None if visits is None else must_be_booked_before(weeks, visits)
    return UnitDip(key, mappings.name_of(key), go_live, visits, weeks, before)
