"""The tables of a release: the audit trail, the gates, and what PMO changed after it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def _batch_reference(table: str, schema: str | None) -> sa.ForeignKeyConstraint:
    parent = f"{schema}.batch.batch_id" if schema else "batch.batch_id"
    return sa.ForeignKeyConstraint(["batch_id"], [parent], name=op.f(f"{table}_batch_id_fkey"))


def upgrade() -> None:
    """Create the tables."""
    schema = op.get_context().version_table_schema
    op.create_table(
        "batch_event",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("event_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.Unicode(), nullable=False),
        sa.Column("event", sa.Unicode(32), nullable=False),
        sa.Column("reason", sa.Unicode()),
        sa.Column("details", sa.Unicode(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "event_no", name=op.f("batch_event_pkey")),
        sa.CheckConstraint(
            "event IN ('open', 'staged', 'verified', 'failed', 'awaiting_approval', 'override', 'released',"
            " 'rejected', 'withdrawn', 'purged')",
            name=op.f("batch_event_event_check"),
        ),
        _batch_reference("batch_event", schema),
        schema=schema,
    )
    op.create_table(
        "gate_result",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("gate", _key(50), nullable=False),
        sa.Column("measured", sa.Double()),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "gate", name=op.f("gate_result_pkey")),
        _batch_reference("gate_result", schema),
        schema=schema,
    )
    op.create_table(
        "released_change",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("post_id", sa.BigInteger(), nullable=False),
        sa.Column("change", sa.Unicode(16), nullable=False),
        sa.Column("columns", sa.Unicode(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "post_id", name=op.f("released_change_pkey")),
        sa.CheckConstraint("change IN ('changed', 'gone')", name=op.f("released_change_change_check")),
        _batch_reference("released_change", schema),
        schema=schema,
    )
