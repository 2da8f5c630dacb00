"""What must get an outcome after a release, how released posts were booked day by day, and closings of waves.

Posts of the ledger have the guards of followed posts, and closings those of the audit trails. The counts of a day are
replaced when the day is counted again, so they have no guard.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

from waitlist.staging.queries import read_sql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_COUNTS = ("posts", "unanswered", "rejected", "open", "late", "booked", "cancelled")
_OWES_NOTHING = "('migrate', 'already_released', 'leave')"


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the tables and the view; batches that are released now have their ledger where their rows are still there."""
    schema = op.get_context().version_table_schema
    _create_tables(schema)
    prefix = f"{schema}." if schema else ""
    op.get_bind().exec_driver_sql(
        f"""
        INSERT INTO {prefix}ledger_post (batch_id, post_id, enhet_hsa_id, disposition, boka_fore)
        SELECT post.batch_id, post.post_id, coalesce(post.enhet_hsa_id, ''), post.disposition, post.boka_fore
        FROM {prefix}disposition AS post
        INNER JOIN {prefix}batch AS released ON post.batch_id = released.batch_id
        WHERE released.state = 'released' AND post.disposition NOT IN {_OWES_NOTHING}
        """
    )
    op.get_bind().exec_driver_sql(read_sql("create_closing_ledger", schema))
    dialect = op.get_context().dialect.name
    statements = _postgresql(str(schema)) if dialect == "postgresql" else _sqlite() if dialect == "sqlite" else ()
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def _create_tables(schema: str | None) -> None:
    op.create_table(
        "ledger_post",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("post_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("enhet_hsa_id", _key(100), nullable=False),
        sa.Column("disposition", sa.Unicode(32), nullable=False),
        sa.Column("boka_fore", sa.Date()),
        sa.PrimaryKeyConstraint("batch_id", "post_id", name=op.f("ledger_post_pkey")),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index("ledger_post_unit", "ledger_post", ["enhet_hsa_id"], schema=schema)
    op.create_index("ledger_post_post", "ledger_post", ["post_id"], schema=schema)
    op.create_index("followed_post_post", "followed_post", ["post_id"], schema=schema)
    op.create_table(
        "followed_day",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("enhet_hsa_id", _key(100), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint("batch_id", "enhet_hsa_id", "day", name=op.f("followed_day_pkey")),
        schema=schema,
    )
    op.create_table(
        "wave_closing",
        sa.Column("wave", _key(200), nullable=False),
        sa.Column("closing_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.Unicode(), nullable=False),
        sa.Column("reason", sa.Unicode()),
        sa.Column("details", sa.Unicode(), nullable=False),
        sa.PrimaryKeyConstraint("wave", "closing_no", name=op.f("wave_closing_pkey")),
        schema=schema,
    )


def _postgresql(schema: str) -> Iterator[str]:
    def trigger(table: str, when: str, function: str, seen: str = "") -> str:
        named = f"guard_{when.split()[1].lower()}"
        return (
            f"CREATE TRIGGER {named} {when} ON {schema}.{table} {seen} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.{function}"
        )

    yield trigger("ledger_post", "AFTER INSERT", "guard_released_post()", "REFERENCING NEW TABLE AS touched")
    for table in ("ledger_post", "wave_closing"):
        for operation in ("UPDATE", "DELETE", "TRUNCATE"):
            yield trigger(table, f"BEFORE {operation}", "refuse_change()")


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

    state = "(SELECT batch.state FROM batch WHERE batch.batch_id = NEW.batch_id)"
    added = f"{state} IS NOT 'awaiting_approval' OR {there('ledger_post', 'batch_id', 'post_id')}"
    yield trigger("ledger_post", "INSERT", added, "only a batch that awaits approval releases, each post once")
    # INSERT OR REPLACE would remove the existing row, and no DELETE trigger would run.
    yield trigger("wave_closing", "INSERT", there("wave_closing", "wave", "closing_no"), "a closing is added once")
    for table in ("ledger_post", "wave_closing"):
        for operation in ("UPDATE", "DELETE"):
            yield trigger(table, operation, "TRUE", f"a row of {table} stays as it is")
