"""What has been handed off, with the guards of the audit trails: entries are added, never changed or removed."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the table; nothing has been handed off so far."""
    schema = op.get_context().version_table_schema
    op.create_table(
        "hand_off",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("manifest_sha256", _key(64), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("posts", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Unicode(), nullable=False),
        sa.Column("references_missing", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "manifest_sha256", name=op.f("hand_off_pkey")),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            [f"{schema}.batch.batch_id" if schema else "batch.batch_id"],
            name=op.f("hand_off_batch_id_fkey"),
        ),
        schema=schema,
    )
    dialect = op.get_context().dialect.name
    statements = _postgresql(str(schema)) if dialect == "postgresql" else _sqlite() if dialect == "sqlite" else ()
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def _postgresql(schema: str) -> Iterator[str]:
    for operation in ("UPDATE", "DELETE", "TRUNCATE"):
        yield (
            f"CREATE TRIGGER guard_{operation.lower()} BEFORE {operation} ON {schema}.hand_off "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change()"
        )


def _sqlite() -> Iterator[str]:
    same = "told.batch_id = NEW.batch_id AND told.manifest_sha256 = NEW.manifest_sha256"
    # INSERT OR REPLACE would remove the existing row, and no DELETE trigger would run.
    refused = {"INSERT": f"EXISTS (SELECT 1 FROM hand_off AS told WHERE {same})", "UPDATE": "TRUE", "DELETE": "TRUE"}
    for operation, condition in refused.items():
        yield f"""
            CREATE TRIGGER guard_{operation.lower()}_hand_off BEFORE {operation} ON hand_off
            WHEN {condition}
            BEGIN
                SELECT RAISE(ABORT, 'guard: an entry of hand_off is added once and stays as it is');
            END
            """
