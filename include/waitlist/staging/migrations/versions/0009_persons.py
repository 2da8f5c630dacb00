"""What the person service has answered, and the moment before which nobody asks it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_FLAGS = ("found", "protected_person", "protected_record", "test_person", "is_primary", "deregistered", "found_dead")


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the tables; nobody has been asked about so far.

    They have no guards: they belong to no batch, and the answers that one was judged by are in its folder.
    """
    schema = op.get_context().version_table_schema
    op.create_table(
        "person_status",
        sa.Column("person_id", _key(12), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        *(sa.Column(name, sa.Boolean(), nullable=False) for name in _FLAGS),
        sa.Column("reason", sa.Unicode(2)),
        sa.PrimaryKeyConstraint("person_id", name=op.f("person_status_pkey")),
        schema=schema,
    )
    op.create_table(
        "person_name",
        sa.Column("person_id", _key(12), nullable=False),
        sa.Column("name_hash", _key(64), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("agrees", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "name_hash", name=op.f("person_name_pkey")),
        schema=schema,
    )
    op.create_table(
        "service_rest",
        sa.Column("service", _key(32), nullable=False),
        sa.Column("rest_until", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("service", name=op.f("service_rest_pkey")),
        schema=schema,
    )
