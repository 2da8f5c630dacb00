"""Guards for accounts that share the work: each writes the audit entries of its own work alone.

Every account but the owner's adds entries to ``batch_event``. An account may write those that belong to rows that it
may add: decisions belong to ``ledger_post``, freed posts to ``freed_post``, and the states of a night to
``bokningsbegaran``. So the guards name no account. Without such an entry no batch is released, withdrawn, rejected or
purged. An account without the right to load may change a batch only by a decision; every account that locks a batch
needs some right to change it. SQLite and SQL Server have no accounts of ours.
"""

from collections.abc import Iterator

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_DECISIONS = ("released", "override", "rejected", "withdrawn", "withdrawn_after_load", "kept", "purged")
_FREEING = ("freed", "held_again")


def upgrade() -> None:
    """Add the guards."""
    if op.get_context().dialect.name == "postgresql":
        for statement in _postgresql(str(op.get_context().version_table_schema)):
            op.get_bind().exec_driver_sql(statement)


def _postgresql(schema: str) -> Iterator[str]:
    def listed(events: tuple[str, ...]) -> str:
        return ", ".join(f"'{event}'" for event in events)

    def may(table: str) -> str:
        return f"has_table_privilege('{schema}.{table}', 'INSERT')"

    refuse = "RAISE EXCEPTION USING ERRCODE = 'P0W01', MESSAGE ="
    bodies = {
        "guard_entry": f"""
            BEGIN
                IF NOT (CASE
                    WHEN NEW.event IN ({listed(_DECISIONS)}) THEN {may("ledger_post")}
                    WHEN NEW.event IN ({listed(_FREEING)}) THEN {may("freed_post")}
                    ELSE {may("bokningsbegaran")}
                END) THEN
                    {refuse} 'batch ' || NEW.batch_id || ': ' || current_user || ' may not write ' || NEW.event;
                END IF;
                RETURN NEW;
            END
            """,
        "guard_changer": f"""
            BEGIN
                IF NOT {may("bokningsbegaran")} AND (
                    NOT {may("ledger_post")}
                    OR OLD.state NOT IN ('awaiting_approval', 'released')
                    OR NEW.state = OLD.state
                ) THEN
                    {refuse} 'batch ' || OLD.batch_id || ': ' || current_user || ' may not change it';
                END IF;
                RETURN NEW;
            END
            """,
    }
    for name, body in bodies.items():
        # The search path is fixed: otherwise a session could set its own and replace an operator such as "=".
        yield f"""
            CREATE FUNCTION {schema}.{name}() RETURNS trigger
            LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$ {body} $$
            """
    for table, when, name in (
        ("batch_event", "INSERT", "guard_entry"),
        ("batch", "UPDATE", "guard_changer"),
    ):
        yield (
            f"CREATE TRIGGER guard_account BEFORE {when} ON {schema}.{table} "
            f"FOR EACH ROW EXECUTE FUNCTION {schema}.{name}()"
        )
