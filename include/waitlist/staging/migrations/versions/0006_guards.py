"""Guards: triggers that refuse changes of approved rows, of released rows and of the audit trails.

A guard decides from the state of a batch and from its audit trail, so it need not be disabled for an allowed change
(``docs/decisions/0032-guards-in-the-database.md``). A later migration that changes such rows itself disables and
enables the triggers of their table, as the owner of the tables. On SQLite a table that is created again loses its
triggers: that migration creates them again as well. SQL Server has no guards.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_FROZEN = "state IN ('awaiting_approval', 'released', 'withdrawn', 'rejected')"
_DECIDED = "state IN ('released', 'withdrawn', 'rejected')"
# Rows of posts: retention may remove those of a decided batch once the audit trail has the entry ``purged``.
_ROWS = ("batch_partition", "bokningsbegaran", "disposition", "finding", "released_change")
_COUNTS = ("quality_result", "unit_summary")
# Gates may be measured again until an approver has decided.
_GATES = "gate_result"
_TRAILS = {"batch_event": ("batch_id", "event_no"), "access_log": ("entry_id",)}
# From a state to the next; the audit trail must have the entry first.
_STEPS = "'awaiting_approval released', 'awaiting_approval rejected', 'released withdrawn'"
_AGAIN = "'awaiting_approval awaiting_approval'"
_OF_A_RELEASE = ("approved_by", "approved_at", "released_at")


def upgrade() -> None:
    """Make the guards."""
    connection = op.get_bind()
    schema = op.get_context().version_table_schema
    op.create_index(
        "batch_frozen",
        "batch",
        ["batch_id"],
        schema=schema,
        if_not_exists=True,
        sqlite_where=sa.text(_FROZEN),
        postgresql_where=sa.text(_FROZEN),
        mssql_where=sa.text(_FROZEN),
    )
    if connection.dialect.name == "postgresql":
        statements = _postgresql(str(schema))
    elif connection.dialect.name == "sqlite":
        columns = [column["name"] for column in sa.inspect(connection).get_columns("batch")]
        statements = _sqlite(columns)
    else:
        return
    for statement in statements:
        connection.exec_driver_sql(statement)


def _postgresql(schema: str) -> Iterator[str]:
    refuse = "RAISE EXCEPTION USING ERRCODE = 'P0W01', MESSAGE ="

    def function(name: str, body: str) -> str:
        # The search path is fixed: otherwise a session could set its own and replace an operator such as "=".
        return f"""
            CREATE OR REPLACE FUNCTION {schema}.{name}() RETURNS trigger
            LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$ {body} $$
            """

    def trigger(table: str, when: str, name: str, each: str = "STATEMENT", seen: str = "") -> Iterator[str]:
        named = f"guard_{when.split()[1].lower()}"
        yield f"DROP TRIGGER IF EXISTS {named} ON {schema}.{table}"
        yield (
            f"CREATE TRIGGER {named} {when} ON {schema}.{table} {seen} FOR EACH {each} EXECUTE FUNCTION {schema}.{name}"
        )

    yield function(
        "refuse_change",
        f"""
        BEGIN
            {refuse} TG_TABLE_NAME || ': its rows are not changed or removed like this';
        END
        """,
    )
    yield function(
        "refuse_frozen",
        f"""
        DECLARE
            batches text[];
            frozen text;
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                batches := ARRAY(SELECT batch_id FROM touched UNION SELECT batch_id FROM arrived);
            ELSE
                batches := ARRAY(SELECT DISTINCT batch_id FROM touched);
            END IF;
            SELECT min(batch_id) INTO frozen
            FROM {schema}.batch
            WHERE
                batch_id = ANY (batches)
                AND {_FROZEN}
                AND NOT (TG_ARGV[0] = 'gates' AND state = 'awaiting_approval')
                AND NOT (
                    TG_OP = 'DELETE'
                    AND TG_ARGV[0] = 'rows'
                    AND {_DECIDED}
                    AND EXISTS (
                        SELECT FROM {schema}.batch_event AS told
                        WHERE told.batch_id = batch.batch_id AND told.event = 'purged'
                    )
                );
            IF frozen IS NOT NULL THEN
                {refuse} 'batch ' || frozen || ' is fixed: its rows in ' || TG_TABLE_NAME || ' stay as they are';
            END IF;
            RETURN NULL;
        END
        """,
    )
    yield function(
        "guard_batch",
        f"""
        DECLARE
            step text;
            may_change text[];
        BEGIN
            IF TG_OP = 'INSERT' THEN
                IF NEW.state <> 'open' THEN
                    {refuse} 'batch ' || NEW.batch_id || ' would begin as ' || NEW.state;
                END IF;
                RETURN NEW;
            ELSIF TG_OP = 'DELETE' THEN
                IF OLD.{_FROZEN} THEN
                    {refuse} 'batch ' || OLD.batch_id || ' is ' || OLD.state || ': it stays';
                END IF;
                RETURN OLD;
            END IF;
            step := OLD.state || ' ' || NEW.state;
            may_change := string_to_array('state', ' ');
            IF step = 'awaiting_approval released' THEN
                may_change := string_to_array('state {" ".join(_OF_A_RELEASE)}', ' ');
            END IF;
            IF (NEW.state = 'released' AND OLD.state NOT IN ('released', 'awaiting_approval')) OR (
                OLD.{_FROZEN}
                AND (
                    step NOT IN ({_STEPS}, {_AGAIN})
                    OR to_jsonb(NEW) - may_change <> to_jsonb(OLD) - may_change
                    OR (
                        step IN ({_STEPS})
                        AND NOT EXISTS (
                            SELECT FROM {schema}.batch_event AS told
                            WHERE told.batch_id = OLD.batch_id AND told.event = NEW.state
                        )
                    )
                )
            ) THEN
                {refuse} 'batch ' || OLD.batch_id || ' is ' || OLD.state || ': only a decision on record changes that';
            END IF;
            RETURN NEW;
        END
        """,
    )
    yield function(
        "guard_released_post",
        f"""
        DECLARE
            needed text := CASE TG_OP WHEN 'INSERT' THEN 'awaiting_approval' ELSE 'withdrawn' END;
            other text;
        BEGIN
            SELECT min(found.batch_id) INTO other
            FROM (SELECT DISTINCT batch_id FROM touched) AS found
            LEFT JOIN {schema}.batch AS batch ON found.batch_id = batch.batch_id
            WHERE batch.state IS DISTINCT FROM needed;
            IF other IS NOT NULL THEN
                {refuse} 'batch ' || other || ' is not ' || needed || ': its rows in released_post stay as they are';
            END IF;
            RETURN NULL;
        END
        """,
    )
    yield function(
        "guard_purge",
        f"""
        BEGIN
            IF NEW.event = 'purged' AND EXISTS (
                SELECT FROM {schema}.batch WHERE batch_id = NEW.batch_id AND state = 'awaiting_approval'
            ) THEN
                {refuse} 'batch ' || NEW.batch_id || ' awaits its approval: nothing of it is removed';
            END IF;
            RETURN NEW;
        END
        """,
    )
    yield f"""
        CREATE OR REPLACE FUNCTION {schema}.analyze_rows(staged text) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            -- Only the owner of a table may count its rows, and the account that loads them need not be.
            IF staged IN ('batch_partition', 'bokningsbegaran', 'disposition', 'finding') THEN
                EXECUTE 'ANALYZE {schema}.' || staged;
            END IF;
        END
        $$
        """
    yield f"REVOKE ALL ON FUNCTION {schema}.analyze_rows(text) FROM PUBLIC"
    new, old = "REFERENCING NEW TABLE AS touched", "REFERENCING OLD TABLE AS touched"
    kinds = dict.fromkeys(_ROWS, "rows") | dict.fromkeys(_COUNTS, "counts") | {_GATES: "gates"}
    for table, kind in kinds.items():
        yield from trigger(table, "AFTER INSERT", f"refuse_frozen('{kind}')", seen=new)
        yield from trigger(table, "AFTER UPDATE", f"refuse_frozen('{kind}')", seen=f"{old} NEW TABLE AS arrived")
        yield from trigger(table, "AFTER DELETE", f"refuse_frozen('{kind}')", seen=old)
    for when in ("BEFORE INSERT", "BEFORE UPDATE", "BEFORE DELETE"):
        yield from trigger("batch", when, "guard_batch()", "ROW")
    yield from trigger("released_post", "AFTER INSERT", "guard_released_post()", seen=new)
    yield from trigger("released_post", "BEFORE UPDATE", "refuse_change()")
    yield from trigger("released_post", "AFTER DELETE", "guard_released_post()", seen=old)
    yield from trigger("batch_event", "BEFORE INSERT", "guard_purge()", "ROW")
    for table in _TRAILS:
        for when in ("BEFORE UPDATE", "BEFORE DELETE"):
            yield from trigger(table, when, "refuse_change()")
    for table in (*kinds, "batch", "released_post", *_TRAILS):
        yield from trigger(table, "BEFORE TRUNCATE", "refuse_change()")


def _sqlite(batch_columns: list[str]) -> Iterator[str]:
    def trigger(table: str, operation: str, condition: str, why: str) -> str:
        return f"""
            CREATE TRIGGER IF NOT EXISTS guard_{operation.lower()}_{table} BEFORE {operation} ON {table}
            WHEN {condition}
            BEGIN
                SELECT RAISE(ABORT, 'guard: {why}');
            END
            """

    def frozen(which: str, more: str = "") -> str:
        # The index has few batches and covers the query: a load runs it once per row.
        found = f"SELECT 1 FROM batch INDEXED BY batch_frozen WHERE batch_id {which} AND {_FROZEN}"
        return f"EXISTS ({found}{more})"

    purged = "EXISTS (SELECT 1 FROM batch_event AS told WHERE told.batch_id = OLD.batch_id AND told.event = 'purged')"
    kept = {
        **dict.fromkeys(_ROWS, f" AND NOT ({_DECIDED} AND {purged})"),
        **dict.fromkeys(_COUNTS, ""),
        _GATES: f" AND {_DECIDED}",
    }
    for table, but in kept.items():
        why = f"the batch is fixed, its rows in {table} stay as they are"
        always = but if table == _GATES else ""
        yield trigger(table, "INSERT", frozen("= NEW.batch_id", always), why)
        yield trigger(table, "UPDATE", frozen("IN (OLD.batch_id, NEW.batch_id)", always), why)
        yield trigger(table, "DELETE", frozen("= OLD.batch_id", but), why)
    # INSERT OR REPLACE would remove the existing row, and no DELETE trigger would run.
    begins = f"NEW.state <> 'open' OR {frozen('= NEW.batch_id')}"
    yield trigger("batch", "INSERT", begins, "a batch begins as open, and one that is decided stays")
    step = "OLD.state || ' ' || NEW.state"
    told = "SELECT 1 FROM batch_event AS told WHERE told.batch_id = OLD.batch_id AND told.event = NEW.state"
    other = " OR ".join(
        f"NEW.{name} IS NOT OLD.{name}" for name in batch_columns if name not in {"state", *_OF_A_RELEASE}
    )
    release = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _OF_A_RELEASE)
    changes = f"""
        (NEW.state = 'released' AND OLD.state NOT IN ('released', 'awaiting_approval'))
        OR NEW.batch_id <> OLD.batch_id
        OR (
            OLD.{_FROZEN}
            AND (
                {step} NOT IN ({_STEPS}, {_AGAIN})
                OR {other}
                OR ({step} <> 'awaiting_approval released' AND ({release}))
                OR ({step} IN ({_STEPS}) AND NOT EXISTS ({told}))
            )
        )
        """
    yield trigger("batch", "UPDATE", changes, "only a decision on record changes a batch that is put before people")
    yield trigger("batch", "DELETE", f"OLD.{_FROZEN}", "a batch that is put before people stays")
    state = "(SELECT batch.state FROM batch WHERE batch.batch_id = {}.batch_id)"
    there = "EXISTS (SELECT 1 FROM released_post AS post WHERE post.post_id = NEW.post_id)"
    added = f"{state.format('NEW')} IS NOT 'awaiting_approval' OR {there}"
    yield trigger("released_post", "INSERT", added, "only a batch that awaits approval releases, each post once")
    yield trigger("released_post", "UPDATE", "TRUE", "a released post stays as it is")
    yield trigger("released_post", "DELETE", f"{state.format('OLD')} IS NOT 'withdrawn'", "its batch is not withdrawn")
    for table, key in _TRAILS.items():
        same = " AND ".join(f"told.{name} = NEW.{name}" for name in key)
        taken = f"EXISTS (SELECT 1 FROM {table} AS told WHERE {same})"
        if table == "batch_event":
            waits = f"{state.format('NEW')} = 'awaiting_approval'"
            taken = f"{taken} OR (NEW.event = 'purged' AND {waits})"
        yield trigger(table, "INSERT", taken, f"an entry of {table} is added once, none of a purge while a batch waits")
        for operation in ("UPDATE", "DELETE"):
            yield trigger(table, operation, "TRUE", f"an entry of {table} stays as it is")
