"""The rows of one unit's posts in a night, each with its findings.

The rows of a verified night do not change until it is run again, and then it ends at another moment. So a process reads
those of a unit once, and keeps the last that it has read as long as the database has them.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from threading import Lock
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from waitlist.reports.worklist.advice import Finding
from waitlist.staging import schema
from waitlist.staging.dry_runs import DryRun

_MOST_POSTS: Final = 50_000
"""More posts are not kept by a process; each takes about 250 bytes."""


class UnitRow(NamedTuple):
    """A post in a night, without its patient."""

    post_id: int
    kategori: str | None
    boka_from: date | None
    boka_fore: date | None
    disposition: str
    recommended_list: str | None
    findings: tuple[Finding, ...]
    """In the order of their rules."""


Rows = tuple[UnitRow, ...]
_Key = tuple[str, datetime, tuple[str, ...], int]
"""A night by its batch and the moment that it ended at, and a unit by its spellings."""


class _Kept:
    """The rows of the last nights that were read from a database."""

    def __init__(self) -> None:
        self._rows: OrderedDict[_Key, Rows] = OrderedDict()
        self._posts = 0
        self._lock = Lock()

    def get(self, key: _Key) -> Rows | None:
        """Return the rows of a night; None where they are not kept."""
        with self._lock:
            found = self._rows.pop(key, None)
            if found is not None:
                self._rows[key] = found
            return found

    def put(self, key: _Key, rows: Rows) -> None:
        """Keep the rows of a night in place of those that were asked for longest ago."""
        with self._lock:
            self._drop(key)
            self._rows[key] = rows
            self._posts += len(rows)
            while self._posts > _MOST_POSTS:
                self._drop(next(iter(self._rows)))

    def keep_only(self, batch_ids: Collection[str]) -> None:
        """Drop the rows of all other batches."""
        with self._lock:
            for key in [key for key in self._rows if key[0] not in batch_ids]:
                self._drop(key)

    def _drop(self, key: _Key) -> None:
        self._posts -= len(self._rows.pop(key, ()))


_KEPT: Final[WeakKeyDictionary[sa.Engine, _Kept]] = WeakKeyDictionary()


class UnitRows:
    """The rows of a unit's posts in some nights."""

    def __init__(self, connection: sa.Connection, nights: Sequence[DryRun], units: Mapping[str, Any]) -> None:
        """Read nothing yet.

        Args:
            connection: a connection from ``reading``.
            nights: the nights whose rows the database has, as ``since.nights_to_compare`` returns them.
            units: as for ``read_rows``.
        """
        self._connection = connection
        self._units = units
        self._kept = _KEPT.setdefault(connection.engine, _Kept())
        self._there = {night.batch_id for night in nights}
        # What retention has removed is not kept here either.
        self._kept.keep_only(self._there)

    def of(self, night: DryRun) -> Rows:
        """Return the rows of a night, by post id."""
        if night.finished_at is None or night.batch_id not in self._there:
            return read_rows(self._connection, night.batch_id, self._units)
        key = (night.batch_id, night.finished_at, tuple(self._units["units"]), int(self._units["with_null"]))
        found = self._kept.get(key)
        if found is None:
            found = read_rows(self._connection, night.batch_id, self._units)
            self._kept.put(key, found)
        return found


def read_rows(connection: sa.Connection, batch_id: str, units: Mapping[str, Any], *, only: int | None = None) -> Rows:
    """Read the rows of a unit's posts in a batch, by post id.

    Args:
        connection: a connection from ``reading``.
        batch_id: the batch.
        units: the spellings of the unit (``units``), and whether posts without a unit are its own (``with_null``).
        only: the post that is wanted; None for all of them.
    """
    post, found = schema.disposition_row.c, schema.finding_row.c
    number = schema.number_of(batch_id)
    query = (
        sa.select(
            post.post_id, post.kategori, post.boka_from, post.boka_fore, post.disposition, post.recommended_list,
            found.rule, found.severity, found.detail,
        )
        .join_from(
            schema.disposition_row,
            schema.finding_row,
            sa.and_(found.batch_no == number, found.post_id == post.post_id),
            isouter=True,
        )
        .where(post.batch_no == number, of_unit(units, schema.disposition_row))
        .order_by(post.post_id, found.rule)
    )  # fmt: skip
    if only is not None:
        query = query.where(post.post_id == only)
    # Most texts occur in many rows: each is in memory once.
    known: dict[Any, Any] = {}
    once = known.setdefault
    rows: list[UnitRow] = []
    for of_post, found_of_post in groupby(connection.execute(query), key=itemgetter(slice(0, 6))):
        post_id, kategori, boka_from, boka_fore, *texts = of_post
        disposition, recommended = (once(text, text) for text in texts)
        findings = tuple(Finding(*row[6:]) for row in found_of_post if row.rule is not None)
        rows.append(
            UnitRow(
                post_id, once(kategori, kategori), boka_from, boka_fore, disposition, recommended,
                once(findings, findings),
            )
        )  # fmt: skip
    return tuple(rows)


def of_unit(units: Mapping[str, Any], table: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that a row is of a unit."""
    named = table.c.enhet_hsa_id.in_(units["units"])
    return sa.or_(named, table.c.enhet_hsa_id.is_(None)) if units["with_null"] else named
