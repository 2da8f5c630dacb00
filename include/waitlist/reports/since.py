"""Since when posts have been on their units' work lists: from which night on, without a break.

A post is on the list for the finding that decides what to do about it (``Advice.rule``). The nights before are asked
for the same finding. Only nights that were judged by the same edition of the rules are compared, and only those whose
rows retention has not removed.

The findings of a verified night do not change until it is run again, and then it ends at another moment. So a process
looks a finding up once for the same nights.
"""

import datetime as dt
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from waitlist.staging import schema
from waitlist.staging.dry_runs import DryRun

MOST_NIGHTS: Final = 31
_AT_ONCE: Final = 1_000
_MOST_FINDINGS: Final = 50_000
"""Of more findings, those that were looked up before are forgotten."""
_MOST_COMPARISONS: Final = 4
"""A page compares the last night with the one before, and with all."""

_Unbroken = dict[tuple[int, str], int]
"""In how many of the nights before the last a finding was there without a break, by post and rule."""
_Nights = tuple[tuple[str, dt.datetime | None], ...]
"""Nights by their batches and the moments that they ended at."""
_KEPT: Final[WeakKeyDictionary[sa.Engine, OrderedDict[_Nights, _Unbroken]]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Since:
    """Since when a post has been on the list."""

    day: dt.date
    """The as-of date of the first of the unbroken nights."""
    perhaps_earlier: bool
    """Whether there is no earlier night to compare with."""


def nights_to_compare(connection: sa.Connection, runs: Sequence[DryRun]) -> tuple[DryRun, ...]:
    """Return the last of some dry runs, preceded by those that can be compared with it post by post.

    Args:
        connection: a connection.
        runs: dry runs that can be compared by their counts, the earliest first (``dry_runs.comparable``).
    """
    if not runs:
        return ()
    some = runs[-MOST_NIGHTS:]
    # Retention removes what was noted of a batch's partitions with their rows.
    part = schema.batch_partition.c
    query = sa.select(part.batch_id).where(part.batch_id.in_([run.batch_id for run in some]), part.posts > 0)
    with_rows = set(connection.scalars(query))
    found: list[DryRun] = []
    for run in reversed(some):
        if run.edition != runs[-1].edition:
            break
        if run.batch_id in with_rows:
            found.append(run)
    return tuple(reversed(found))


def read_since(connection: sa.Connection, nights: Sequence[DryRun], rules: Mapping[int, str]) -> dict[int, Since]:
    """Return since when some posts have been on the list.

    Args:
        connection: a connection.
        nights: as ``nights_to_compare`` returns them; the posts are on the list in the last.
        rules: by post, the code of the rule that decides what to do about it.
    """
    if not nights:
        return {}
    kept = _kept(connection, nights)
    unbroken = {of: count for of in rules.items() if (count := kept.get(of)) is not None}
    found = _look_up(
        connection, nights[:-1], {post: rule for post, rule in rules.items() if (post, rule) not in unbroken}
    )
    if len(kept) + len(found) > _MOST_FINDINGS:
        kept.clear()
    kept.update(found)
    unbroken |= found
    return {
        post_id: Since(nights[-1 - count].as_of, count == len(nights) - 1)
        for (post_id, _), count in sorted(unbroken.items())
    }


def _look_up(connection: sa.Connection, nights: Sequence[DryRun], rules: Mapping[int, str]) -> _Unbroken:
    """Return in how many of some nights findings were, without a break up to the last of them."""
    ids, codes = sorted(rules), sorted(set(rules.values()))
    before = _numbers(connection, nights) if ids else []
    found = dict.fromkeys(rules.items(), 0)
    for first in range(0, len(ids) if before else 0, _AT_ONCE):
        for post_id, rule, count in connection.execute(_count(before, ids[first : first + _AT_ONCE], codes)):
            if (post_id, rule) in found:
                found[post_id, rule] = count
    return found


def _kept(connection: sa.Connection, nights: Sequence[DryRun]) -> _Unbroken:
    """Return what this process has looked up for some nights."""
    ended = tuple((night.batch_id, night.finished_at) for night in nights)
    if any(night.finished_at is None for night in nights):
        return {}
    comparisons = _KEPT.setdefault(connection.engine, OrderedDict())
    kept = comparisons.setdefault(ended, {})
    while len(comparisons) > _MOST_COMPARISONS:
        comparisons.popitem(last=False)
    return kept


def _numbers(connection: sa.Connection, nights: Sequence[DryRun]) -> list[int]:
    """Return the numbers of some nights' batches, the latest first."""
    batch = schema.batch.c
    query = sa.select(batch.batch_id, batch.batch_no).where(batch.batch_id.in_([night.batch_id for night in nights]))
    numbers = {row.batch_id: row.batch_no for row in connection.execute(query)}
    return [numbers[night.batch_id] for night in reversed(nights)]


def _count(numbers: Sequence[int], post_ids: Sequence[int], codes: Sequence[str]) -> sa.Select[Any]:
    """Return the query of the findings of some posts in a night, with in how many nights up to it each was unbroken.

    One row for each finding, however many nights there are. The numbers are literals, so that PostgreSQL plans for the
    partitions of these nights alone. The nights before are asked by a count, which stops at the first night without it;
    an ``EXISTS`` could be planned as a list of all findings of a night.

    Args:
        numbers: of the nights, the latest first.
        post_ids: the posts.
        codes: the rules.
    """
    last, *earlier = (sa.literal(number, literal_execute=True) for number in numbers)
    here, there = schema.finding_row.alias("here"), schema.finding_row.alias("there")
    same = sa.and_(there.c.post_id == here.c.post_id, there.c.rule == here.c.rule)
    broken = [
        (sa.select(sa.func.count()).where(there.c.batch_no == night, same).scalar_subquery() == 0, place)
        for place, night in enumerate(earlier, 1)
    ]
    unbroken = sa.case(*broken, else_=len(numbers)) if broken else sa.literal(1)
    return sa.select(here.c.post_id, here.c.rule, unbroken.label("nights")).where(
        here.c.batch_no == last, here.c.post_id.in_(post_ids), here.c.rule.in_(codes)
    )
