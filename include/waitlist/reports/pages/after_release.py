"""What follows a release, for the pages of a wave and of a unit: what is being booked, and the closing ledger."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from waitlist.facts.mappings import Mappings
from waitlist.release import closing, ledger
from waitlist.release.ledger import Closing, Outside
from waitlist.release.receipts.account import in_use
from waitlist.release.receipts.follow import Counts, Day, count, read_days
from waitlist.reports.pages.history import unit_name


@dataclass(frozen=True, slots=True)
class Today:
    """The day of a page, and what is late on it."""

    day: dt.date
    late_from: dt.date
    """The first day of Boka före on which an open post is not late."""

    @classmethod
    def of(cls, day: dt.date, late_days: int) -> "Today":
        """Return a day, given for how many days before Boka före an open post is late."""
        return cls(day, day + dt.timedelta(days=late_days))


SOME_DAY: Final = Today(dt.date.max, dt.date.min)
"""No open post is late, and every stored day is an earlier one."""


@dataclass(frozen=True, slots=True)
class FollowedUnit:
    """A unit's released posts by answer."""

    key: str
    name: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class Followed:
    """Released posts, followed until they are booked."""

    now: Counts
    days: tuple[Day, ...]
    """Day by day, the last one now."""
    units: tuple[FollowedUnit, ...]
    """Those with late posts first, then those with open and unanswered ones."""
    receives: bool
    """Whether the receiver has ever said anything."""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """The ledger of a unit."""

    key: str
    name: str
    posts: int
    missing: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """The closing ledger of a wave."""

    posts: int
    """Posts that must get an outcome."""
    missing: int
    """Of these, posts without one."""
    lines: tuple[LedgerLine, ...]
    """Units with posts without outcome first, the most first."""
    query: str
    """The query that counted them, as somebody can run it."""
    unanswered: int
    """Released posts without a receipt that counts."""
    complete: bool
    """Whether no outcome and no receipt is missing."""
    closed: Closing | None


@dataclass(frozen=True, slots=True)
class OutsideUnit:
    """Posts that wait at a unit of no wave."""

    key: str
    name: str
    posts: int


def read_followed(
    connection: sa.Connection, mappings: Mappings, today: Today, *, wave: str | None = None, unit: str | None = None
) -> Followed | None:
    """Return the released posts of a wave or of a unit; None where nothing of it is released.

    Args:
        connection: a connection from ``reading``.
        mappings: names of the units.
        today: the day of the page.
        wave: the wave; None for every wave.
        unit: the unit's key; None for every unit.
    """
    counted = count(connection, today.late_from, wave=wave, unit=unit)
    if not counted:
        return None
    now = Counts.sum(of_unit.counts for of_unit in counted)
    by_unit: dict[str, list[Counts]] = {}
    for of_unit in counted:
        by_unit.setdefault(of_unit.unit, []).append(of_unit.counts)
    units = [FollowedUnit(key, unit_name(key, mappings), Counts.sum(found)) for key, found in by_unit.items()]
    units.sort(key=lambda found: (-found.counts.late, -found.counts.open, -found.counts.unanswered, found.name))
    days = read_days(connection, today.day, wave=wave, unit=unit)
    return Followed(now, (*days, Day(today.day, now)), tuple(units), in_use(connection))


def read_ledger(connection: sa.Connection, mappings: Mappings, today: Today, wave: str) -> Ledger | None:
    """Return the closing ledger of a wave; None where nothing of it is released."""
    found = closing.read_standing(connection, wave, today.late_from)
    if not found.batches:
        return None
    by_unit: dict[str, list[ledger.Line]] = {}
    for line in found.lines:
        by_unit.setdefault(line.unit, []).append(line)
    lines = [
        LedgerLine(
            key,
            unit_name(key, mappings),
            sum(line.posts for line in own),
            sum(line.missing for line in own),
            sum(line.rejected for line in own),
        )
        for key, own in by_unit.items()
    ]
    lines.sort(key=lambda line: (-line.missing, line.name))
    query = ledger.as_text(ledger.count_of_wave(wave), connection)
    return Ledger(
        found.posts, found.missing, tuple(lines), query, found.followed.unanswered, found.complete, found.closed
    )


def read_outside(counts: Mapping[str, Mapping[str, int]], mappings: Mappings) -> tuple[OutsideUnit, ...]:
    """Return the units of no wave at which posts wait, the most posts first.

    Args:
        counts: the posts of a dry run by unit and disposition.
        mappings: names and waves of the units.
    """
    waves = {key: unit.vag if unit.driftstart else None for key, unit in mappings.units.items()}
    found: tuple[Outside, ...] = ledger.outside(counts, waves)
    return tuple(OutsideUnit(line.unit, unit_name(line.unit, mappings), line.posts) for line in found)
