"""Reads a whole page as of one moment."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final
from weakref import WeakSet

import sqlalchemy as sa

from waitlist.exceptions import StagingError
from waitlist.staging import StagingStore
from waitlist.staging.database import Database, refusals_named
from waitlist.staging.migrate import Standing, standing
from waitlist.staging.queries import read_sql
from waitlist.staging.schema import schema_of

log = logging.getLogger(__name__)

_CURRENT: Final[WeakSet[Database]] = WeakSet()


class NoBatchError(StagingError):
    """There is nothing to show yet: no tables, or no batch that counts for readers."""


class UnknownError(StagingError):
    """The requested batch or unit does not exist."""


class OtherReleaseError(StagingError):
    """The tables belong to another release."""


@contextmanager
def reading(store: StagingStore, doing: str) -> Iterator[sa.Connection]:
    """Yield a read-only connection on which everything is read as of one moment.

    Args:
        store: the staging database.
        doing: what is being done, for an error message.

    Raises:
        NoBatchError: there are no tables yet.
        OtherReleaseError: the tables belong to another release.
        StagingError: the database cannot be reached, or refused.
    """
    _require_current(store.database)
    with refusals_named(doing), store.database.connected() as connection:
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


def answers(store: StagingStore) -> bool:
    """Tell whether the staging database answers, with or without tables."""
    try:
        with refusals_named("asking whether it answers"), store.database.connected() as connection:
            connection.scalar(sa.select(1))
    except StagingError as error:
        log.warning("%s", error)
        return False
    return True


def ask(
    connection: sa.Connection,
    name: str,
    *,
    types: Mapping[str, sa.types.TypeEngine[Any]] = MappingProxyType({}),
    **values: Any,  # noqa: ANN401 - any value that SQL takes
) -> sa.CursorResult[Any]:
    """Run ``sql/dashboard/<name>.sql``.

    Args:
        connection: a connection from ``reading``.
        name: the file's name.
        types: the types of result columns that SQLite would return as text: dates and moments.
        values: the parameters; a tuple is a list for ``IN``.
    """
    text = sa.text(read_sql(name, schema_of(connection.engine), "dashboard"))
    lists: list[sa.BindParameter[Any]] = [
        sa.bindparam(parameter, expanding=True) for parameter, value in values.items() if isinstance(value, tuple)
    ]
    bound = text.bindparams(*lists)
    return connection.execute(bound.columns(**types) if types else bound, values)


def _require_current(database: Database) -> None:
    # A schema is never downgraded, so one check is enough for the lifetime of this process.
    if database in _CURRENT:
        return
    found = standing(database)
    if found is Standing.NONE:
        raise NoBatchError("the staging schema has no tables yet: run a dry run first")
    if found is not Standing.CURRENT:
        older = found is Standing.OLDER
        raise OtherReleaseError(f"the staging schema belongs to {'an older' if older else 'a newer'} release")
    _CURRENT.add(database)
