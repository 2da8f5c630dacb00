"""Åtkomstlogg: the persons that have seen or downloaded patients' names and numbers; it names no patient itself."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    """The post whose patient the entries are about; None where they are not about one that a post names."""
    by_number: bool = False
    """Whether the entries are about one patient that was asked for by number."""


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
    chosen = [] if same_patient_as is None else [_of_patient(same_patient_as)]
    return AccessLog(*_read(connection, mappings, chosen, page, size), same_patient_as)


def read_extract(connection: sa.Connection, mappings: Mappings, person_id: str, size: int) -> AccessLog:
    """Read the latest entries about one patient.

    Args:
        connection: a connection from ``reading``.
        mappings: names of the units.
        person_id: the personal identity number of twelve digits; the result does not have it.
        size: the most entries.
    """
    chosen = [schema.access_log.c.person_id == person_id]
    return AccessLog(*_read(connection, mappings, chosen, 1, size), by_number=True)


def as_access(row: Any, mappings: Mappings) -> Access:  # noqa: ANN401 - a row of SQLAlchemy
    """Return a row of ``access_log`` as it is shown."""
    return Access(
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


def _read(
    connection: sa.Connection, mappings: Mappings, chosen: Sequence[sa.ColumnElement[bool]], page: int, size: int
) -> tuple[Paging, tuple[Access, ...]]:
    table = schema.access_log
    rows = connection.scalar(sa.select(sa.func.count()).select_from(table).where(*chosen)) or 0
    paging = Paging.of(page, size, rows)
    query = (
        sa.select(table).where(*chosen).order_by(table.c.at.desc(), table.c.entry_id).limit(size).offset(paging.offset)
    )
    return paging, tuple(as_access(row, mappings) for row in connection.execute(query))


def _of_patient(post_id: int) -> sa.ColumnElement[bool]:
    """Return the condition for the entries about a post's patient, by number where an entry of the post has one."""
    table = schema.access_log.c
    other = schema.access_log.alias()
    persons = sa.select(other.c.person_id).where(other.c.post_id == post_id, other.c.person_id.is_not(None))
    return sa.or_(table.post_id == post_id, table.person_id.in_(persons))
