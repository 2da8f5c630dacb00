"""Settled contradictions, freed posts, and releases that are withdrawn after the load.

A post is free when its row in ``released_post`` goes. The guards allow that for a withdrawn batch, and for a post that
``freed_post`` says is free; and that table takes an entry only where ``post_answer`` says that the receiver does not
have the post. An answer is replaced only when there is a word or a settlement that it does not count yet.

SQLite cannot change a constraint, and every trigger with the list of states has to name the new one. Both are changed
in their texts, so that what other migrations have added to them stays.
"""

import re
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

from waitlist.staging.queries import read_sql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_NEW = "withdrawn_after_load"
_FROZEN = f"state IN ('awaiting_approval', 'released', 'withdrawn', '{_NEW}', 'rejected')"
_CHANGED = {
    "'withdrawn', 'rejected'": f"'withdrawn', '{_NEW}', 'rejected'",
    "'released withdrawn'": f"'released withdrawn', 'released {_NEW}'",
}
"""Parts of the guards of 0006 and 0007 with the states, and what they become."""
_ALLOWED = {("batch", "state"): (_NEW,), ("batch_event", "event"): (_NEW, "freed", "held_again")}
"""What a column may be besides what it may be now."""
_TRAILS = {"settlement": ("batch_id", "post_id", "entry_no"), "freed_post": ("batch_id", "post_id", "entry_no")}
_COUNT = """
    (SELECT count(*) FROM {0}receipt AS word WHERE word.batch_id = {1}.batch_id AND word.post_id = {1}.post_id)
    + (SELECT count(*) FROM {0}settlement AS said WHERE said.batch_id = {1}.batch_id AND said.post_id = {1}.post_id)
    """
"""How many words and settlements a post of a batch has."""
_SAME = "{2}.batch_id = {1}.batch_id AND {2}.post_id = {1}.post_id"
_ANSWERED = f"""
    {{1}}.words = {_COUNT}
    AND (
        ({{1}}.receipt_key IS NULL AND {{1}}.answer = 'contradicted' AND {{1}}.words > 1)
        OR EXISTS (
            SELECT 1
            FROM {{0}}receipt AS last
            WHERE
                {_SAME.format("", "{1}", "last")}
                AND last.receipt_key = {{1}}.receipt_key
                AND last.outcome = {{1}}.answer
                AND last.at = {{1}}.at
                AND coalesce(CAST(last.booked_for AS text), '') = coalesce(CAST({{1}}.booked_for AS text), '')
        )
    )
    """
"""Whether an answer counts every word, and is one of them or a contradiction."""
_FREEABLE = f"""
    EXISTS (
        SELECT 1
        FROM {{0}}batch AS batch
        INNER JOIN {{0}}post_answer AS told ON batch.batch_id = told.batch_id
        WHERE
            {_SAME.format("", "{1}", "told")}
            AND (
                (batch.state = 'released' AND told.answer = 'rejected')
                OR (batch.state = '{_NEW}' AND told.answer IN ('rejected', 'cancelled'))
            )
    )
    """
"""Whether the receiver does not have a post."""
_ENTRIES = f"(SELECT count(*) FROM {{0}}freed_post AS entry WHERE {_SAME.format('', '{1}', 'entry')})"
_KNOWN = f"""
    EXISTS (
        SELECT 1
        FROM {{0}}receipt AS word
        WHERE {_SAME.format("", "{1}", "word")} AND word.receipt_key = {{1}}.receipt_key
    )
    """
_HELD_AGAIN = f"""
    EXISTS (
        SELECT 1
        FROM {{0}}freed_post AS entry
        INNER JOIN {{0}}batch AS batch ON entry.batch_id = batch.batch_id
        WHERE
            {_SAME.format("", "{1}", "entry")}
            AND NOT entry.freed
            AND entry.entry_no = {_ENTRIES}
            AND entry.row_hash = {{1}}.row_hash
            AND entry.released_at = {{1}}.released_at
            AND batch.state IN ('released', '{_NEW}')
    )
    """


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the state, the events, the tables and the guards; change the views."""
    schema = op.get_context().version_table_schema
    dialect = op.get_context().dialect.name
    _create_tables(schema)
    _count_words(f"{schema}." if schema else "")
    # Triggers of SQLite name the index.
    guards = _guards_of_sqlite() if dialect == "sqlite" else ()
    _allow_state(schema, dialect)
    op.drop_index("batch_frozen", "batch", schema=schema)
    op.create_index(
        "batch_frozen",
        "batch",
        ["batch_id"],
        schema=schema,
        sqlite_where=sa.text(_FROZEN),
        postgresql_where=sa.text(_FROZEN),
        mssql_where=sa.text(_FROZEN),
    )
    _replace_views(schema, dialect)
    statements: Iterator[str] = iter(())
    if dialect == "postgresql":
        statements = _postgresql(str(schema))
    elif dialect == "sqlite":
        statements = _sqlite()
    for statement in (*guards, *statements):
        op.get_bind().exec_driver_sql(statement)


def _create_tables(schema: str | None) -> None:
    op.create_table(
        "settlement",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("post_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("receipt_key", sa.Unicode(64), nullable=False),
        sa.Column("heard", sa.Unicode(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.Unicode(), nullable=False),
        sa.Column("reason", sa.Unicode(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "post_id", "entry_no", name=op.f("settlement_pkey")),
        schema=schema,
    )
    op.create_table(
        "freed_post",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("post_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("freed", sa.Boolean(), nullable=False),
        sa.Column("row_hash", sa.Unicode(64), nullable=False),
        sa.Column("released_at", sa.DateTime(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.Unicode(), nullable=False),
        sa.Column("reason", sa.Unicode()),
        sa.PrimaryKeyConstraint("batch_id", "post_id", "entry_no", name=op.f("freed_post_pkey")),
        schema=schema,
    )
    op.add_column("post_answer", sa.Column("words", sa.Integer(), nullable=False, server_default="0"), schema=schema)


def _count_words(prefix: str) -> None:
    count = _COUNT.format(prefix, "post_answer")
    op.get_bind().exec_driver_sql(f"UPDATE {prefix}post_answer SET words = {count}")


def _allow_state(schema: str | None, dialect: str) -> None:
    connection = op.get_bind()
    if dialect != "sqlite":
        for (table, column), more in _ALLOWED.items():
            check = op.f(f"{table}_{column}_check")
            allowed = [*re.findall(r"'([a-z_]+)'", _condition(connection, table, check, schema)), *more]
            op.drop_constraint(check, table, type_="check", schema=schema)
            values = ", ".join(f"'{value}'" for value in allowed)
            op.create_check_constraint(check, table, f"{column} IN ({values})", schema=schema)
        return
    # As SQLite's documentation of ALTER TABLE says for a constraint that changes nothing of what is stored.
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    for (table, column), more in _ALLOWED.items():
        made = connection.exec_driver_sql(f"SELECT sql FROM sqlite_master WHERE name = '{table}'").scalar_one()
        values = "".join(f", '{value}'" for value in more)
        changed, times = re.subn(rf"(\b{column} IN \([^)]*)\)", rf"\1{values})", made)
        if times != 1:
            raise RuntimeError(f"the staging schema is not as 0016 left it: {table} has no constraint of {column}")
        connection.exec_driver_sql(f"UPDATE sqlite_master SET sql = ? WHERE name = '{table}'", (changed,))
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")


def _condition(connection: sa.Connection, table: str, check: str, schema: str | None) -> str:
    if connection.dialect.name == "mssql":
        query = f"SELECT definition FROM sys.check_constraints WHERE name = '{check}'"
        return str(connection.exec_driver_sql(query).scalar_one())
    found = sa.inspect(connection).get_check_constraints(table, schema)
    return next(str(one["sqltext"]) for one in found if one["name"] == check)


def _replace_views(schema: str | None, dialect: str) -> None:
    create = {"postgresql": "CREATE OR REPLACE VIEW", "mssql": "CREATE OR ALTER VIEW"}.get(dialect, "CREATE VIEW")
    for view in ("bokningsbegaran_released", "readable_batch"):
        if dialect == "sqlite":
            op.get_bind().exec_driver_sql(f"DROP VIEW {view}")
        # Replaced, since the accounts that may read a view lose that with it.
        statement = read_sql(f"create_{view}.2", schema).replace("CREATE VIEW", create, 1)
        op.get_bind().exec_driver_sql(statement)


def _with_state(text: str) -> str:
    for before, after in _CHANGED.items():
        text = text.replace(before, after)
    return text


def _guards_of_sqlite() -> list[str]:
    """Drop the guards that name the states, and return the statements that make them again with the new one."""
    connection = op.get_bind()
    found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
    changed = {name: made for name, made in found if _with_state(made) != made}
    for name in changed:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    return [_with_state(made) for made in changed.values()]


def _sqlite() -> Iterator[str]:
    def trigger(table: str, operation: str, condition: str, why: str) -> str:
        return f"""
            CREATE TRIGGER guard_{operation.lower()}_{table} BEFORE {operation} ON {table}
            WHEN {condition}
            BEGIN
                SELECT RAISE(ABORT, 'guard: {why}');
            END
            """

    def there(table: str, *key: str) -> str:
        same = " AND ".join(f"told.{name} = NEW.{name}" for name in key)
        return f"EXISTS (SELECT 1 FROM {table} AS told WHERE {same})"

    for table, key in _TRAILS.items():
        for operation in ("UPDATE", "DELETE"):
            yield trigger(table, operation, "TRUE", f"an entry of {table} stays as it is")
        # INSERT OR REPLACE would remove the existing row, and no DELETE trigger would run.
        good = _KNOWN if table == "settlement" else _freeing("%")
        refused = f"{there(table, *key)} OR NOT ({good.format('', 'NEW')})"
        yield trigger(table, "INSERT", refused, f"an entry of {table} follows from the words about the post")
    yield "DROP TRIGGER guard_insert_released_post"
    yield "DROP TRIGGER guard_delete_released_post"
    state = "(SELECT batch.state FROM batch WHERE batch.batch_id = {}.batch_id)"
    added = f"({state.format('NEW')} IS NOT 'awaiting_approval' AND NOT {_HELD_AGAIN.format('', 'NEW')})"
    added = f"{added} OR {there('released_post', 'post_id')}"
    yield trigger("released_post", "INSERT", added, "only a batch that awaits approval releases, each post once")
    kept = f"{state.format('OLD')} IS NOT 'withdrawn' AND {_ENTRIES.format('', 'OLD')} % 2 = 0"
    yield trigger("released_post", "DELETE", kept, "its batch is not withdrawn, and it is not free")
    answered = f"{there('post_answer', 'batch_id', 'post_id')} OR NOT ({_ANSWERED.format('', 'NEW')})"
    yield trigger("post_answer", "INSERT", answered, "an answer follows from the words about its post")
    yield trigger("post_answer", "UPDATE", "TRUE", "an answer stays until there is another word")
    again = f"OLD.words >= {_COUNT.format('', 'OLD')}"
    yield trigger("post_answer", "DELETE", again, "an answer stays until there is another word")


def _freeing(modulo: str) -> str:
    """Return whether an entry of ``freed_post`` follows the one before it, and frees only what may be freed."""
    turn = f"CAST({{1}}.freed AS integer) = {{1}}.entry_no {modulo} 2"
    before = f"""
        {{1}}.entry_no = 1 + (
            SELECT count(*)
            FROM {{0}}freed_post AS entry
            WHERE {_SAME.format("", "{1}", "entry")} AND entry.entry_no < {{1}}.entry_no
        )
        """
    return f"{turn} AND {before} AND (NOT {{1}}.freed OR {_FREEABLE})"


def _postgresql(schema: str) -> Iterator[str]:
    connection = op.get_bind()
    for name in ("refuse_frozen", "guard_batch"):
        query = f"SELECT pg_get_functiondef('{schema}.{name}'::regproc)"
        made = connection.exec_driver_sql(query).scalar_one()
        if _with_state(made) == made:
            raise RuntimeError(f"the staging schema is not as 0016 left it: {name} has other states")
        yield _with_state(made).replace("%", "%%")

    def function(name: str, inserted: str, deleted: str = "FALSE") -> str:
        return f"""
            CREATE FUNCTION {schema}.{name}() RETURNS trigger
            LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
            DECLARE
                other text;
            BEGIN
                IF TG_OP = 'INSERT' THEN
                    SELECT min(touched.batch_id) INTO other FROM touched WHERE NOT ({inserted});
                ELSE
                    SELECT min(touched.batch_id) INTO other FROM touched WHERE NOT ({deleted});
                END IF;
                IF other IS NOT NULL THEN
                    RAISE EXCEPTION USING ERRCODE = 'P0W01', MESSAGE =
                    'batch ' || other || ': its rows in ' || TG_TABLE_NAME || ' follow from what the receiver says';
                END IF;
                RETURN NULL;
            END
            $$
            """.replace("%", "%%")

    def trigger(table: str, when: str, name: str, seen: str = "") -> str:
        named = f"guard_{when.split()[1].lower()}"
        return (
            f"CREATE TRIGGER {named} {when} ON {schema}.{table} {seen} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.{name}()"
        )

    def place(condition: str) -> str:
        return condition.format(f"{schema}.", "touched")

    is_state = f"EXISTS (SELECT 1 FROM {schema}.batch AS b WHERE b.batch_id = touched.batch_id AND b.state = '{{}}')"
    new, old = "REFERENCING NEW TABLE AS touched", "REFERENCING OLD TABLE AS touched"
    yield function("guard_settlement", place(_KNOWN))
    yield function("guard_freed_post", place(_freeing("%")))
    yield function("guard_answer", place(_ANSWERED), f"touched.words < {place(_COUNT)}")
    yield function(
        "guard_held_post",
        f"{is_state.format('awaiting_approval')} OR {place(_HELD_AGAIN)}",
        f"{is_state.format('withdrawn')} OR {place(_ENTRIES)} % 2 = 1",
    )
    for table, name in {"settlement": "guard_settlement", "freed_post": "guard_freed_post"}.items():
        yield trigger(table, "AFTER INSERT", name, new)
        for operation in ("UPDATE", "DELETE", "TRUNCATE"):
            yield trigger(table, f"BEFORE {operation}", "refuse_change")
    yield trigger("post_answer", "AFTER INSERT", "guard_answer", new)
    yield trigger("post_answer", "AFTER DELETE", "guard_answer", old)
    for operation in ("UPDATE", "TRUNCATE"):
        yield trigger("post_answer", f"BEFORE {operation}", "refuse_change")
    for operation, seen in {"insert": new, "delete": old}.items():
        yield f"DROP TRIGGER guard_{operation} ON {schema}.released_post"
        yield trigger("released_post", f"AFTER {operation.upper()}", "guard_held_post", seen)
