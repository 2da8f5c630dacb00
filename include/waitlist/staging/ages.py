"""Counting and removing rows that are older than a moment, for tables whose rows belong to no batch."""

import datetime as dt
from typing import Any

import sqlalchemy as sa

from waitlist.staging.checkpoints import announce_removals
from waitlist.staging.database import Database, refusals_named


def count_older(database: Database, what: str, at: sa.Column[Any], than: dt.datetime) -> int:
    """Return how many rows of a table are older than a moment.

    Args:
        database: the staging database.
        what: what the rows are, for an error.
        at: the column with each row's moment.
        than: the moment, aware.

    Raises:
        StagingError: the database cannot be asked.
    """
    query = sa.select(sa.func.count()).select_from(at.table).where(at < than)
    with refusals_named(f"counting {what}"), database.connected() as connection:
        return connection.scalar(query) or 0


def remove_older(
    database: Database,
    what: str,
    at: sa.Column[Any],
    than: dt.datetime,
    *,
    now: dt.datetime | None = None,
    before: tuple[sa.Column[Any], ...] = (),
) -> int:
    """Remove the rows of a table that are older than a moment; return how many.

    Args:
        database: the staging database.
        what: what the rows are, for an error.
        at: the column with each row's moment.
        than: the moment, aware.
        now: the moment, aware; None for tables that are not chained, whose removal needs no checkpoint.
        before: the same columns of other tables, whose rows go first in the same transaction and are not counted.

    Raises:
        StagingError: the database refused; nothing is removed then.
        SettingsError: the checkpoint could not be signed; nothing is removed then.
    """
    older = sa.select(sa.func.count()).select_from(at.table).where(at < than)
    with refusals_named(f"removing {what}"), database.writing() as connection:
        for other in before:
            connection.execute(sa.delete(other.table).where(other < than))
        # SQLite does not count the rows of a DELETE that returns them.
        count: int = connection.execute(older).scalar_one()
        connection.execute(sa.delete(at.table).where(at < than))
        if now is not None:
            announce_removals(database, connection, at=now)
        return count
