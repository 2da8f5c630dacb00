"""What the receiver says of released posts, and what is followed until it is booked.

Receipts have the guards of the audit trails, and followed posts those of released posts. A reason goes as rows of posts
do: once the audit trail of its batch has the entry ``purged``. What the receipts of a post amount to follows from
them, and the inbox is emptied as it is read, so neither has a guard.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_CELLS = ("batch_id", "post_id", "outcome", "at", "millennium_id", "reason", "booked_for")
_NUMBERED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the tables; the posts that are released now are followed too, where their rows are still there."""
    schema = op.get_context().version_table_schema
    _create_tables(schema)
    prefix = f"{schema}." if schema else ""
    op.get_bind().exec_driver_sql(
        f"""
        INSERT INTO {prefix}followed_post (batch_id, post_id, enhet_hsa_id, boka_fore)
        SELECT released.batch_id, released.post_id, place.enhet_hsa_id, request.begart_slutdatum
        FROM {prefix}released_post AS released
        INNER JOIN {prefix}bokningsbegaran AS request
            ON released.batch_id = request.batch_id AND released.post_id = request.post_id
        LEFT JOIN {prefix}disposition AS place
            ON released.batch_id = place.batch_id AND released.post_id = place.post_id
        """
    )
    dialect = op.get_context().dialect.name
    statements = _postgresql(str(schema)) if dialect == "postgresql" else _sqlite() if dialect == "sqlite" else ()
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def _create_tables(schema: str | None) -> None:
    op.create_table(
        "followed_post",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("post_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("enhet_hsa_id", sa.Unicode()),
        sa.Column("boka_fore", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "post_id", name=op.f("followed_post_pkey")),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "receipt",
        sa.Column("receipt_key", _key(64), nullable=False),
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("post_id", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Unicode(16), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("millennium_id", sa.Unicode()),
        sa.Column("booked_for", sa.Date()),
        sa.Column("received_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("receipt_key", name=op.f("receipt_pkey")),
        sa.CheckConstraint(
            "outcome IN ('accepted', 'rejected', 'booked', 'cancelled')", name=op.f("receipt_outcome_check")
        ),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_index("receipt_of_post", "receipt", ["batch_id", "post_id"], schema=schema)
    op.create_table(
        "receipt_reason",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("receipt_key", _key(64), nullable=False),
        sa.Column("reason", sa.Unicode(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "receipt_key", name=op.f("receipt_reason_pkey")),
        schema=schema,
    )
    op.create_table(
        "post_answer",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("post_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("answer", sa.Unicode(16), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("booked_for", sa.Date()),
        sa.Column("contradictions", sa.Unicode(), nullable=False),
        sa.Column("receipt_key", sa.Unicode(64)),
        sa.PrimaryKeyConstraint("batch_id", "post_id", name=op.f("post_answer_pkey")),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "receipt_inbox",
        sa.Column("row_no", _NUMBERED, autoincrement=True, nullable=False),
        *(sa.Column(name, sa.Unicode()) for name in _CELLS),
        sa.PrimaryKeyConstraint("row_no", name=op.f("receipt_inbox_pkey")),
        schema=schema,
        sqlite_autoincrement=True,
    )
    op.create_table(
        "receipt_fault",
        sa.Column("row_no", _NUMBERED, autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Unicode()) for name in _CELLS),
        sa.Column("faults", sa.Unicode(), nullable=False),
        sa.Column("refused_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("row_no", name=op.f("receipt_fault_pkey")),
        schema=schema,
    )


def _postgresql(schema: str) -> Iterator[str]:
    def trigger(table: str, when: str, function: str, seen: str = "") -> str:
        named = f"guard_{when.split()[1].lower()}"
        return (
            f"CREATE TRIGGER {named} {when} ON {schema}.{table} {seen} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.{function}"
        )

    new, old = "REFERENCING NEW TABLE AS touched", "REFERENCING OLD TABLE AS touched"
    yield trigger("followed_post", "AFTER INSERT", "guard_released_post()", new)
    refused = {
        "followed_post": ("UPDATE", "DELETE", "TRUNCATE"),
        "receipt": ("UPDATE", "DELETE", "TRUNCATE"),
        "receipt_reason": ("UPDATE", "TRUNCATE"),
    }
    for table, operations in refused.items():
        for operation in operations:
            yield trigger(table, f"BEFORE {operation}", "refuse_change()")
    yield trigger("receipt_reason", "AFTER DELETE", "refuse_frozen('rows')", old)


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
    added = f"{state} IS NOT 'awaiting_approval' OR {there('followed_post', 'batch_id', 'post_id')}"
    yield trigger("followed_post", "INSERT", added, "only a batch that awaits approval releases, each post once")
    # INSERT OR REPLACE would remove the existing row, and no DELETE trigger would run.
    yield trigger("receipt", "INSERT", there("receipt", "receipt_key"), "a receipt is added once")
    key = there("receipt_reason", "batch_id", "receipt_key")
    yield trigger("receipt_reason", "INSERT", key, "a reason is added once")
    purged = "EXISTS (SELECT 1 FROM batch_event AS told WHERE told.batch_id = OLD.batch_id AND told.event = 'purged')"
    yield trigger("receipt_reason", "DELETE", f"NOT {purged}", "a reason goes with the rows of its batch")
    yield trigger("receipt_reason", "UPDATE", "TRUE", "a reason stays as it is")
    for table in ("followed_post", "receipt"):
        for operation in ("UPDATE", "DELETE"):
            yield trigger(table, operation, "TRUE", f"a row of {table} stays as it is")
