"""Since when posts have been on their units' work lists: from which night on, without a break.

A post is on the list for the finding that decides what to do about it (``Advice.rule``). The nights before are asked
for the same finding. Only nights that were judged by the same edition of the rules are compared, and only those whose
rows retention has not removed.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from waitlist.staging import schema
from waitlist.staging.dry_runs import DryRun

MOST_NIGHTS: Final = 31
_AT_ONCE: Final = 1_000


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
    post, batch = schema.disposition.c, schema.batch.c
    has_rows = sa.select(post.post_id).where(post.batch_id == batch.batch_id).exists()
    some = runs[-MOST_NIGHTS:]
    query = sa.select(batch.batch_id).where(batch.batch_id.in_([run.batch_id for run in some]), has_rows)
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
    places = {night.batch_id: place for place, night in enumerate(nights[:-1])}
    seen: dict[int, set[int]] = {post_id: set() for post_id in rules}
    table = schema.finding.c
    ids, codes = sorted(rules), sorted(set(rules.values()))
    for first in range(0, len(ids) if places else 0, _AT_ONCE):
        query = sa.select(table.batch_id, table.post_id, table.rule).where(
            table.batch_id.in_(list(places)),
            table.post_id.in_(ids[first : first + _AT_ONCE]),
            table.rule.in_(codes),
        )
        for batch_id, post_id, rule in connection.execute(query):
            if rules[post_id] == rule:
                seen[post_id].add(places[batch_id])
    return {post_id: _since(nights, found) for post_id, found in seen.items()}


def _since(nights: Sequence[DryRun], found: set[int]) -> Since:
    place = len(nights) - 1
    while place - 1 in found:
        place -= 1
    return Since(nights[place].as_of, place == 0)
