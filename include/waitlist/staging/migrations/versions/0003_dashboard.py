"""What the dashboard needs: the dates that posts are sorted by, and the log of views of persons' data."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the columns and the table; posts of earlier batches have no dates."""
    schema = op.get_context().version_table_schema
    for name in ("boka_from", "boka_fore"):
        op.add_column("disposition", sa.Column(name, sa.Date()), schema=schema)
    op.create_table(
        "access_log",
        sa.Column("entry_id", _key(32), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("user_id", sa.Unicode(), nullable=False),
        sa.Column("action", sa.Unicode(32), nullable=False),
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("enhet_hsa_id", _key(100), nullable=False),
        sa.Column("posts", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("access_log_pkey")),
        schema=schema,
    )
