"""Åtkomstlogg: the persons that have seen or downloaded patients' names and numbers; it names no patient itself."""

import datetime as dt
from dataclasses import dataclass

import sqlalchemy as sa

from waitlist.facts.mappings import Mappings
from waitlist.reports.pages.history import unit_name
from waitlist.reports.pages.paging import Paging
from waitlist.staging import schema
from waitlist.staging.access_log import Action


@dataclass(frozen=True, slots=True)
class Access:
    """One row of ``access_log``."""

    at: dt.datetime
    user_id: str
    acting_for: str | None
    """The unit in whose name; empty for a user that works at no unit, None in entries of earlier releases."""
    action: Action
    batch_id: str
    unit: str
    """The unit's key; empty for the posts of no known unit."""
    unit_name: str
    posts: int
    """How many posts the person saw; more than 1 only in entries of earlier releases."""
    post_id: int | None
    """None in entries of earlier releases, which were written once for each look."""


@dataclass(frozen=True, slots=True)
class AccessLog:
    """The page."""

    paging: Paging
    entries: tuple[Access, ...]
    """The latest first."""
    same_patient_as: int | None = None
    """The post whose patient the entries are about; None where they are about all patients."""


def read_access_log(
    connection: sa.Connection, mappings: Mappings, *, page: int, size: int, same_patient_as: int | None = None
) -> AccessLog:
    """Read a part of the log.

    Args:
        connection: a connection from ``reading``.
        mappings: names of the units.
        page: which part, from 1.
        size: entries in a part.
        same_patient_as: a post id: only the entries about its patient; None for all entries.
    """
    table = schema.access_log
    chosen = [] if same_patient_as is None else [_of_patient(same_patient_as)]
    rows = connection.scalar(sa.select(sa.func.count()).select_from(table).where(*chosen)) or 0
    paging = Paging.of(page, size, rows)
    query = (
        sa.select(table).where(*chosen).order_by(table.c.at.desc(), table.c.entry_id).limit(size).offset(paging.offset)
    )
    entries = tuple(
        Access(
            row.at,
            row.user_id,
            row.acting_for,
            Action(row.action),
            row.batch_id,
            row.enhet_hsa_id,
            unit_name(row.enhet_hsa_id, mappings),
            row.posts,
            row.post_id,
        )
        for row in connection.execute(query)
    )
    return AccessLog(paging, entries, same_patient_as)


def _of_patient(post_id: int) -> sa.ColumnElement[bool]:
    """Return the condition for the entries about a post's patient, by number where an entry of the post has one."""
    table = schema.access_log.c
    other = schema.access_log.alias()
    persons = sa.select(other.c.person_id).where(other.c.post_id == post_id, other.c.person_id.is_not(None))
    return sa.or_(table.post_id == post_id, table.person_id.in_(persons))
