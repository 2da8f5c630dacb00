"""The version of ``row_hash`` of each batch, so that a later column does not make earlier rows look changed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; every earlier batch has the first version.

    On PostgreSQL the guard of ``batch`` covers any column. On SQLite it lists the columns of its time, so the new
    column gets its own guard.
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
