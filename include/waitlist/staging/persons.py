"""What the person service has answered, kept between runs, and the moment before which nobody asks it.

Kept of an answer are number, flags, reason and moment. Of the comparison of names only the outcome is kept, by number
and a keyed hash of the name that PMO has. No name comes here.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from waitlist.judge.persons import ANSWERS
from waitlist.staging import ages, schema
from waitlist.staging.database import Database, refusals_named

COMPARISONS: Final = pa.schema(
    [
        pa.field("person_id", pa.string(), nullable=False),
        pa.field("name_hash", pa.string(), nullable=False),
        pa.field("agrees", pa.bool_(), nullable=False),
    ]
)
"""One row a person and a name of PMO's: whether a word of the surname or middle name is in it."""

KEPT: Final = pa.schema([*ANSWERS, pa.field("asked_at", pa.timestamp("us", "UTC"), nullable=False)])
"""An answer, and the moment at which the call began that it came with."""

_SERVICE: Final = "pu"
_ANSWERS: Final = "answers of the person service"
# SQL Server takes 2,100 values in a statement.
_AT_ONCE: Final = 1_000
_ORDERS: Final = ((("person_id", "ascending"),), (("person_id", "ascending"), ("name_hash", "ascending")))
_TABLES: Final = (schema.person_status, schema.person_name)


class DatabaseRest:
    """Keeps the moment before which nobody asks where every worker sees it (``source.pu.rest.Rest``)."""

    def __init__(self, database: Database) -> None:
        """Take the staging database."""
        self._database = database

    def until(self) -> dt.datetime | None:
        """Return the moment; None where nothing has failed yet.

        Raises:
            StagingError: the database cannot be asked.
        """
        with refusals_named("reading when the person service may be asked"), self._database.connected() as connection:
            return connection.scalar(sa.select(schema.service_rest.c.rest_until).where(_OF_THE_SERVICE))

    def rest_until(self, moment: dt.datetime) -> None:
        """Keep a moment, unless a later one is kept already.

        Raises:
            StagingError: the database refused.
        """
        table = schema.service_rest
        later = table.update().where(_OF_THE_SERVICE, table.c.rest_until < moment).values(rest_until=moment)
        known = sa.select(table.c.service).where(_OF_THE_SERVICE)
        with refusals_named("keeping when the person service may be asked"), self._database.writing() as connection:
            if connection.execute(known).first() is None:
                # Another process may be as early; the row is there then.
                with suppress(IntegrityError), connection.begin_nested():
                    connection.execute(table.insert().values(service=_SERVICE, rest_until=moment))
            connection.execute(later)


_OF_THE_SERVICE: Final = schema.service_rest.c.service == _SERVICE


def keep(database: Database, answers: pa.Table, comparisons: pa.Table, *, asked_at: dt.datetime) -> None:
    """Keep the answers of a call in place of earlier ones about the same persons.

    Args:
        database: the staging database.
        answers: of ``ANSWERS``, each person once.
        comparisons: of ``COMPARISONS``, about the same persons. Earlier ones about them are removed: they are about
            an earlier answer.
        asked_at: when the call began.

    Raises:
        StagingError: the database refused.
    """
    numbers = answers.column("person_id").to_pylist()
    content = ((schema.person_status, answers), (schema.person_name, comparisons))
    with refusals_named("keeping answers of the person service"), database.writing() as connection:
        for some in _at_a_time(numbers):
            for table in _TABLES:
                connection.execute(table.delete().where(table.c.person_id.in_(some)))
        for table, rows in content:
            told = [{**row, "asked_at": asked_at} for row in rows.to_pylist()]
            if told:
                connection.execute(table.insert(), told)


def read(
    database: Database, numbers: Sequence[str], *, since: dt.datetime, until: dt.datetime | None = None
) -> tuple[pa.Table, pa.Table]:
    """Return what was answered about some persons between two moments, both included.

    Args:
        database: the staging database.
        numbers: the persons, each once.
        since: an earlier answer does not count.
        until: a later one does not count either; None: up to now.

    Returns:
        of ``KEPT`` and of ``COMPARISONS``, each in the order of the number.

    Raises:
        StagingError: the database cannot be asked.
    """
    with refusals_named("reading answers of the person service"), database.connected() as connection:
        found = [
            [_read(connection, table, form, _told_between(table, some, since, until)) for some in _at_a_time(numbers)]
            for table, form in ((schema.person_status, KEPT), (schema.person_name, COMPARISONS))
        ]
    answers, comparisons = (
        pa.concat_tables([form.empty_table(), *parts]).sort_by(list(order))
        for form, parts, order in zip((KEPT, COMPARISONS), found, _ORDERS, strict=True)
    )
    return answers, comparisons


def count_older(database: Database, than: dt.datetime) -> int:
    """Return of how many persons there is an answer that is older than a moment.

    Raises:
        StagingError: the database cannot be asked.
    """
    return ages.count_older(database, _ANSWERS, schema.person_status.c.asked_at, than)


def remove_older(database: Database, than: dt.datetime) -> int:
    """Remove every answer that is older than a moment; return of how many persons.

    Raises:
        StagingError: the database refused.
    """
    names = schema.person_name.c.asked_at
    return ages.remove_older(database, _ANSWERS, schema.person_status.c.asked_at, than, before=(names,))


def record_check(database: Database, profile: str, *, deceased_seen_at: dt.datetime) -> None:
    """Record that the service has shown a deceased person in a profile.

    Raises:
        StagingError: the database refused.
    """
    table = schema.service_check
    with refusals_named("recording the check of the person service"), database.writing() as connection:
        connection.execute(table.delete().where(*_of_the_profile(profile)))
        connection.execute(table.insert().values(service=_SERVICE, profile=profile, deceased_seen_at=deceased_seen_at))


def deceased_seen_at(database: Database, profile: str) -> dt.datetime | None:
    """Return when the service last showed a deceased person in a profile; None: never.

    Raises:
        StagingError: the database cannot be asked.
    """
    query = sa.select(schema.service_check.c.deceased_seen_at).where(*_of_the_profile(profile))
    with refusals_named("reading the check of the person service"), database.connected() as connection:
        return connection.scalar(query)


def _of_the_profile(profile: str) -> tuple[sa.ColumnElement[bool], ...]:
    table = schema.service_check.c
    return table.service == _SERVICE, table.profile == profile


def _told_between(
    table: sa.Table, numbers: list[str], since: dt.datetime, until: dt.datetime | None
) -> sa.ColumnElement[bool]:
    told = sa.and_(table.c.person_id.in_(numbers), table.c.asked_at >= since)
    return told if until is None else sa.and_(told, table.c.asked_at <= until)


def _read(connection: sa.Connection, table: sa.Table, form: pa.Schema, where: sa.ColumnElement[bool]) -> pa.Table:
    query = sa.select(*(table.c[name] for name in form.names)).where(where)
    return pa.Table.from_pylist([dict(row) for row in connection.execute(query).mappings()], schema=form)


def _at_a_time(numbers: Sequence[str]) -> Iterator[list[str]]:
    for first in range(0, len(numbers), _AT_ONCE):
        yield list(numbers[first : first + _AT_ONCE])
