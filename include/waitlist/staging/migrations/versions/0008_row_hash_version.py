"""The version of ``row_hash`` by which a batch is hashed: a later column must not make earlier rows look changed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; every earlier batch is hashed by the first version.

    On PostgreSQL the guard of ``batch`` covers any column. On SQLite it names those that there were then, so this one
    has a guard of its own.
    """
    context = op.get_context()
    op.add_column(
        "batch",
        sa.Column("row_hash_version", sa.Integer(), nullable=False, server_default="1"),
        schema=context.version_table_schema,
    )
    if context.dialect.name == "sqlite":
        op.get_bind().exec_driver_sql(
            """
            CREATE TRIGGER guard_row_hash_version BEFORE UPDATE OF row_hash_version ON batch
            WHEN NEW.row_hash_version IS NOT OLD.row_hash_version AND NEW.state <> 'open'
            BEGIN SELECT RAISE(ABORT, 'guard: its version of row_hash stays as it is'); END
            """
        )
