"""Released posts followed until they are booked: how many have which answer, by batch and unit, and day by day.

A day's counts are those of the nightly run: what the leads could know then. A receipt that comes late changes the
counts of today, and none of an earlier day.
"""

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from typing import Any, Self

import sqlalchemy as sa

from waitlist.release.receipts.answers import OPEN, UNANSWERED, answered, is_late, is_one_of, number_of
from waitlist.release.receipts.words import Answer
from waitlist.staging import BatchState, schema


@dataclass(frozen=True, slots=True)
class Counts:
    """Released posts by what the receiver has said of each; ``posts`` is the sum of all but ``late``."""

    posts: int = 0
    unanswered: int = 0
    """Without a word, or with words that contradict each other."""
    rejected: int = 0
    open: int = 0
    """Accepted, and neither booked nor cancelled."""
    late: int = 0
    """Of the open ones, those whose Boka före has passed or is near."""
    booked: int = 0
    cancelled: int = 0

    @classmethod
    def sum(cls, counts: Iterable[Self]) -> Self:
        """Return the sum of some counts."""
        every = list(counts)
        return cls(**{name: sum(getattr(one, name) for one in every) for name in NAMES})


NAMES = tuple(field.name for field in fields(Counts))


@dataclass(frozen=True, slots=True)
class OfUnit:
    """The counts of a unit's posts in a batch."""

    batch_id: str
    unit: str
    """HSA-id; empty for posts of no known unit."""
    counts: Counts


@dataclass(frozen=True, slots=True)
class Day:
    """The counts at the end of a day."""

    day: dt.date
    counts: Counts


def count(
    connection: sa.Connection, late_from: dt.date, *, wave: str | None = None, unit: str | None = None
) -> tuple[OfUnit, ...]:
    """Return the counts of the posts of released batches as they are now, by batch and unit.

    Args:
        connection: of the staging database.
        late_from: the first day of Boka före on which an open post is not late.
        wave: the wave of the batches; None for every batch.
        unit: the unit; None for every unit.
    """
    post = answered({BatchState.RELEASED})
    conditions = {
        "unanswered": is_one_of(post, UNANSWERED),
        "rejected": is_one_of(post, {Answer.REJECTED}),
        "open": is_one_of(post, OPEN),
        "late": is_late(post, late_from),
        "booked": is_one_of(post, {Answer.BOOKED}),
        "cancelled": is_one_of(post, {Answer.CANCELLED}),
    }
    key = (post.c.batch_id, post.c.unit)
    query = sa.select(*key, sa.func.count(), *map(number_of, conditions.values())).group_by(*key).order_by(*key)
    if wave is not None:
        query = query.where(post.c.wave == wave)
    if unit is not None:
        query = query.where(post.c.unit == unit)
    return tuple(OfUnit(row[0], row[1], Counts(*map(int, row[2:]))) for row in connection.execute(query))


def keep_day(connection: sa.Connection, day: dt.date, counted: Collection[OfUnit]) -> None:
    """Store the counts of a day in place of those that were stored for the same day before."""
    table = schema.followed_day
    connection.execute(table.delete().where(table.c.day == day))
    rows: list[dict[str, Any]] = [
        {
            "batch_id": of_unit.batch_id,
            "enhet_hsa_id": of_unit.unit,
            "day": day,
            **{name: getattr(of_unit.counts, name) for name in NAMES},
        }
        for of_unit in counted
    ]
    if rows:
        connection.execute(table.insert(), rows)


def read_days(
    connection: sa.Connection, before: dt.date, *, wave: str | None = None, unit: str | None = None
) -> tuple[Day, ...]:
    """Return the stored counts before a day, the earliest first, summed over batches that are released now.

    Args:
        connection: of the staging database.
        before: the first day that is left out.
        wave: the wave of the batches; None for every batch.
        unit: the unit; None for every unit.
    """
    batch, table = schema.batch.c, schema.followed_day.c
    query = (
        sa.select(table.day, *(sa.func.sum(table[name]) for name in NAMES))
        .join_from(schema.followed_day, schema.batch, batch.batch_id == table.batch_id)
        .where(batch.state == BatchState.RELEASED.value, table.day < before)
        .group_by(table.day)
        .order_by(table.day)
    )
    if wave is not None:
        query = query.where(batch.wave == wave)
    if unit is not None:
        query = query.where(table.enhet_hsa_id == unit)
    return tuple(Day(row[0], Counts(*map(int, row[1:]))) for row in connection.execute(query))
