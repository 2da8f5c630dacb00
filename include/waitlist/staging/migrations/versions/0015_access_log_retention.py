"""An entry of the access log may be removed when it is five years and a month old, by the database's own clock.

The guard reads no setting and no trail, so no account but the owner of the tables can remove a younger entry.
"""

from collections.abc import Iterator

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_DAYS = 5 * 365 + 2 + 31


def upgrade() -> None:
    """Make the guard of removals again, and an index for what is old."""
    schema = op.get_context().version_table_schema
    op.create_index("access_log_at", "access_log", ["at"], schema=schema)
    dialect = op.get_context().dialect.name
    statements = _postgresql(str(schema)) if dialect == "postgresql" else _sqlite() if dialect == "sqlite" else ()
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def _postgresql(schema: str) -> Iterator[str]:
    yield f"""
        CREATE FUNCTION {schema}.guard_log() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            IF EXISTS (SELECT FROM touched WHERE at > (now() AT TIME ZONE 'UTC') - interval '{_DAYS} days') THEN
                RAISE EXCEPTION USING ERRCODE = 'P0W01',
                MESSAGE = TG_TABLE_NAME || ': an entry is kept for five years and a month';
            END IF;
            RETURN NULL;
        END
        $$
        """
    yield f"DROP TRIGGER guard_delete ON {schema}.access_log"
    yield f"""
        CREATE TRIGGER guard_delete AFTER DELETE ON {schema}.access_log REFERENCING OLD TABLE AS touched
        FOR EACH STATEMENT EXECUTE FUNCTION {schema}.guard_log()
        """


def _sqlite() -> Iterator[str]:
    yield "DROP TRIGGER guard_delete_access_log"
    yield f"""
        CREATE TRIGGER guard_delete_access_log BEFORE DELETE ON access_log
        WHEN OLD.at > datetime('now', '-{_DAYS} days')
        BEGIN
            SELECT RAISE(ABORT, 'guard: an entry of access_log is kept for five years and a month');
        END
        """
