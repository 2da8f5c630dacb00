"""Migrations: they bring a database's staging schema to the revision of this release."""

from enum import Enum, auto
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from waitlist.exceptions import RefusedError
from waitlist.staging.database import Database, refusals_named
from waitlist.staging.queries import read_sql
from waitlist.staging.schema import SCHEMA, VERSION_TABLE

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 7_712_024_001
ACCOUNTS: Final = ("waitlist_loader", "waitlist_releaser", "waitlist_receipts", "waitlist_dashboard")
"""The accounts that get their rights from the owner."""


class Standing(Enum):
    """The revision of a database's staging schema, compared with this release."""

    NONE = auto()
    """There are no tables yet."""
    OLDER = auto()
    """A migration is missing."""
    CURRENT = auto()
    NEWER = auto()
    """A later release made it."""


def standing(database: Database) -> Standing:
    """Compare the tables with those of this release; nothing is changed.

    Raises:
        StagingError: the database cannot be reached, or refused.
    """
    with refusals_named("reading the revision of the staging schema"), database.connected() as connection:
        heads = set(_context(connection, database.schema).get_current_heads())
    if not heads:
        return Standing.NONE
    scripts = ScriptDirectory(str(_SCRIPTS))
    if heads == set(scripts.get_heads()):
        return Standing.CURRENT
    return Standing.OLDER if heads <= _known(scripts) else Standing.NEWER


def migrate(database: Database, revision: str = "head") -> None:
    """Run the missing migrations up to a revision, in one transaction, one process at a time.

    Raises:
        RefusedError: the database is at a revision that this release does not have.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["schema"] = database.schema
    config.attributes["version_table"] = VERSION_TABLE
    with database.writing() as connection:
        _take_turns(connection)
        if database.schema and not sa.inspect(connection).has_schema(database.schema):
            connection.execute(sa.schema.CreateSchema(database.schema))
        _refuse_unknown_revision(connection, database.schema, config)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def grant(database: Database) -> None:
    """Give the accounts of ``sql/staging/roles.sql`` their rights, where they exist; as the owner of the tables.

    Raises:
        StagingError: the database cannot be reached, or refused.
    """
    if database.dialect != "postgresql":
        return
    with refusals_named("granting the accounts their rights"), database.writing() as connection:
        if all(connection.exec_driver_sql("SELECT to_regrole(%s) IS NOT NULL", (name,)).scalar() for name in ACCOUNTS):
            _take_turns(connection)
            connection.exec_driver_sql(read_sql("grant_roles.postgresql", SCHEMA))


def _take_turns(connection: sa.Connection) -> None:
    # On SQLite the transaction has already locked the file.
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    elif connection.dialect.name == "mssql":
        # By default it waits for LOCK_TIMEOUT, and a timeout is reported only by its return value.
        connection.exec_driver_sql(
            "DECLARE @got int; EXEC @got = sp_getapplock @Resource = 'waitlist migrations', @LockMode = 'Exclusive',"
            " @LockOwner = 'Transaction'; IF @got < 0 THROW 50000, 'another process migrates', 1"
        )


def _refuse_unknown_revision(connection: sa.Connection, schema: str | None, config: Config) -> None:
    heads = set(_context(connection, schema).get_current_heads())
    unknown = sorted(heads - _known(ScriptDirectory.from_config(config)))
    if unknown:
        raise RefusedError(
            f"the staging schema is at revision {', '.join(unknown)}, which this release does not know:"
            " deploy the release that made it, or a later one"
        )


def _context(connection: sa.Connection, schema: str | None) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "version_table_schema": schema})


def _known(scripts: ScriptDirectory) -> set[str]:
    return {script.revision for script in scripts.walk_revisions()}
