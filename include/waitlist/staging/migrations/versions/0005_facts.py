"""The facts that a batch was opened with, file by file."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of earlier batches only ``rules_version`` is known."""
    schema = op.get_context().version_table_schema
    op.add_column("batch", sa.Column("facts", sa.Unicode()), schema=schema)
