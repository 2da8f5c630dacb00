"""The chains of the append-only tables, and the checkpoints; the rows that there are come in under a first link.

A table of this list has its rows of before in one link, without a word of when each was written. Both tables have the
guards of the audit trails.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

from waitlist.staging.chain import add_from_before

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_CHAINED = (
    "access_log",
    "batch_event",
    "freed_post",
    "hand_off",
    "log_verdict",
    "post_outcome",
    "receipt",
    "receipt_reason",
    "sample_size",
    "sample_verdict",
    "settlement",
)
_KEYS = {"audit_link": ("chain", "link_no"), "audit_checkpoint": ("checkpoint_no",)}


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the tables and their guards, and the first links."""
    schema = op.get_context().version_table_schema
    op.create_table(
        "audit_link",
        sa.Column("chain", _key(64), nullable=False),
        sa.Column("link_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("act", sa.Unicode(16), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("link_sha256", sa.Unicode(64), nullable=False),
        sa.Column("digests", sa.Unicode(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "link_no", name=op.f("audit_link_pkey")),
        sa.CheckConstraint("act IN ('before', 'added', 'removed')", name=op.f("audit_link_act_check")),
        schema=schema,
    )
    op.create_table(
        "audit_checkpoint",
        sa.Column("checkpoint_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("batch_id", _key(200)),
        sa.Column("statement", sa.Unicode(), nullable=False),
        sa.Column("signature", sa.Unicode(100)),
        sa.Column("key_id", sa.Unicode(64)),
        sa.PrimaryKeyConstraint("checkpoint_no", name=op.f("audit_checkpoint_pkey")),
        schema=schema,
    )
    add_from_before(op.get_bind(), _CHAINED)
    dialect = op.get_context().dialect.name
    statements = _postgresql(str(schema)) if dialect == "postgresql" else _sqlite() if dialect == "sqlite" else ()
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def _postgresql(schema: str) -> Iterator[str]:
    for table in _KEYS:
        for operation in ("UPDATE", "DELETE", "TRUNCATE"):
            yield (
                f"CREATE TRIGGER guard_{operation.lower()} BEFORE {operation} ON {schema}.{table} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change()"
            )


def _sqlite() -> Iterator[str]:
    for table, key in _KEYS.items():
        same = " AND ".join(f"told.{name} = NEW.{name}" for name in key)
        # INSERT OR REPLACE would remove the existing row, and no DELETE trigger would run.
        there = f"EXISTS (SELECT 1 FROM {table} AS told WHERE {same})"
        for operation, condition in {"INSERT": there, "UPDATE": "TRUE", "DELETE": "TRUE"}.items():
            yield f"""
                CREATE TRIGGER guard_{operation.lower()}_{table} BEFORE {operation} ON {table}
                WHEN {condition}
                BEGIN
                    SELECT RAISE(ABORT, 'guard: a row of {table} is added once and kept as it is');
                END
                """
