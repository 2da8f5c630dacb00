"""The side-by-side sample: what people say of its posts, and the sizes to which it was enlarged."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_KEYS = {
    "sample_verdict": ("post_id", "row_hash", "stage", "verdict_no", "field"),
    "sample_size": ("batch_id", "entry_no"),
}


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the tables, whose rows are only added to (as the trails of ``0006_guards``)."""
    schema = op.get_context().version_table_schema
    op.create_table(
        "sample_verdict",
        sa.Column("post_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("row_hash", _key(64), nullable=False),
        sa.Column("stage", _key(16), nullable=False),
        sa.Column("verdict_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("field", _key(32), nullable=False),
        sa.Column("verdict", sa.Unicode(16), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.Unicode(), nullable=False),
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("enhet_hsa_id", _key(100), nullable=False),
        sa.Column("word", sa.Unicode()),
        sa.PrimaryKeyConstraint(*_KEYS["sample_verdict"], name=op.f("sample_verdict_pkey")),
        sa.CheckConstraint("stage IN ('before', 'after')", name=op.f("sample_verdict_stage_check")),
        sa.CheckConstraint("verdict IN ('right', 'wrong', 'changed')", name=op.f("sample_verdict_verdict_check")),
        sa.CheckConstraint("verdict <> 'changed' OR word <> ''", name=op.f("sample_verdict_word_check")),
        schema=schema,
    )
    op.create_table(
        "sample_size",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("entry_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("faulty", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.Unicode(), nullable=False),
        sa.PrimaryKeyConstraint(*_KEYS["sample_size"], name=op.f("sample_size_pkey")),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            [f"{schema}.batch.batch_id" if schema else "batch.batch_id"],
            name=op.f("sample_size_batch_id_fkey"),
        ),
        schema=schema,
    )
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
        # INSERT OR REPLACE would remove the existing row, and no DELETE trigger would run.
        same = " AND ".join(f"told.{name} = NEW.{name}" for name in key)
        conditions = {
            "INSERT": f"EXISTS (SELECT 1 FROM {table} AS told WHERE {same})",
            "UPDATE": "TRUE",
            "DELETE": "TRUE",
        }
        for operation, condition in conditions.items():
            yield f"""
                CREATE TRIGGER guard_{operation.lower()}_{table} BEFORE {operation} ON {table}
                WHEN {condition}
                BEGIN
                    SELECT RAISE(ABORT, 'guard: an entry of {table} is added once and stays as it is');
                END
                """
