"""One entry of the access log for each patient, with whose data it was; earlier entries are for several posts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the columns; earlier entries stay, without a patient."""
    schema = op.get_context().version_table_schema
    op.add_column("access_log", sa.Column("acting_for", _key(100)), schema=schema)
    op.add_column("access_log", sa.Column("post_id", sa.BigInteger()), schema=schema)
    op.add_column("access_log", sa.Column("person_id", _key(12)), schema=schema)
    op.create_index("access_log_person", "access_log", ["person_id"], schema=schema)
    op.create_index("access_log_post", "access_log", ["post_id"], schema=schema)
