"""When the check command last saw a deceased person in a profile of the person service's."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the table; no deceased person has been seen so far."""
    op.create_table(
        "service_check",
        sa.Column("service", _key(32), nullable=False),
        sa.Column("profile", _key(32), nullable=False),
        sa.Column("deceased_seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("service", "profile", name=op.f("service_check_pkey")),
        schema=op.get_context().version_table_schema,
    )
