"""Bringing a database's staging schema to the revision of this release."""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from waitlist.exceptions import StagingError
from waitlist.staging.database import Database
from waitlist.staging.schema import VERSION_TABLE

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 7_712_024_001


def migrate(database: Database) -> None:
    """Run the migrations that are missing, in one transaction, one process at a time.

    Raises:
        StagingError: the database is at a revision that this release does not know.
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
        command.upgrade(config, "head")


def _take_turns(connection: sa.Connection) -> None:
    # SQLite's transaction has locked the file already.
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    elif connection.dialect.name == "mssql":
        connection.exec_driver_sql(
            "EXEC sp_getapplock @Resource = 'waitlist migrations', @LockMode = 'Exclusive',"
            " @LockOwner = 'Transaction', @LockTimeout = -1"
        )


def _refuse_unknown_revision(connection: sa.Connection, schema: str | None, config: Config) -> None:
    context = MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "version_table_schema": schema}
    )
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    unknown = sorted(set(context.get_current_heads()) - known)
    if unknown:
        raise StagingError(
            f"the staging schema is at revision {', '.join(unknown)}, which this release does not know:"
            " deploy the release that made it, or a later one"
        )
