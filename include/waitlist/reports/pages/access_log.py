"""Åtkomstlogg: the persons that have seen or downloaded patients' names and numbers."""

import datetime as dt
import uuid
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from waitlist.facts.mappings import Mappings
from waitlist.reports.pages.history import unit_name
from waitlist.reports.pages.paging import Paging
from waitlist.staging import StagingStore, schema
from waitlist.staging.database import refusals_named


class Action(StrEnum):
    """What a person did."""

    PERSONS = "persons"
    """Viewed the names and numbers of some posts."""
    PROTECTED = "protected"
    """Viewed one protected identity, at the own unit."""
    WORK_LIST = "work_list"
    """Downloaded a unit's work list."""


@dataclass(frozen=True, slots=True)
class Access:
    """One row of ``access_log``."""

    at: dt.datetime
    user_id: str
    action: Action
    batch_id: str
    unit: str
    """The unit's key; empty for the posts of no known unit."""
    unit_name: str
    posts: int
    """How many posts the person saw."""


@dataclass(frozen=True, slots=True)
class AccessLog:
    """The page."""

    paging: Paging
    entries: tuple[Access, ...]
    """The latest first."""


def record(
    store: StagingStore, *, at: dt.datetime, user_id: str, action: Action, batch_id: str, unit: str, posts: int
) -> None:
    """Write an entry, before anything is shown.

    Raises:
        StagingError: the entry could not be written; nothing may be shown then.
    """
    values = {"at": at, "user_id": user_id, "action": action.value, "batch_id": batch_id, "enhet_hsa_id": unit}
    with refusals_named("writing to the access log"), store.database.writing() as connection:
        connection.execute(schema.access_log.insert().values(entry_id=uuid.uuid4().hex, posts=posts, **values))


def read_access_log(connection: sa.Connection, mappings: Mappings, *, page: int, size: int) -> AccessLog:
    """Read a part of the log.

    Args:
        connection: a connection from ``reading``.
        mappings: names of the units.
        page: which part, from 1.
        size: entries in a part.
    """
    table = schema.access_log
    rows = connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
    paging = Paging.of(page, size, rows)
    query = sa.select(table).order_by(table.c.at.desc(), table.c.entry_id).limit(size).offset(paging.offset)
    entries = tuple(
        Access(
            row.at,
            row.user_id,
            Action(row.action),
            row.batch_id,
            row.enhet_hsa_id,
            unit_name(row.enhet_hsa_id, mappings),
            row.posts,
        )
        for row in connection.execute(query)
    )
    return AccessLog(paging, entries)
