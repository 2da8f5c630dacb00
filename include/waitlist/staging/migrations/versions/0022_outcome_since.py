"""The closing ledger counts an outcome of a rejected post since its release alone, and says since when.

It looks for later batches of a unit batch by batch, instead of in the counts of every night.
"""

from alembic import op

from waitlist.staging.queries import read_sql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the view."""
    dialect = op.get_context().dialect.name
    create = {"postgresql": "CREATE OR REPLACE VIEW", "mssql": "CREATE OR ALTER VIEW"}.get(dialect, "CREATE VIEW")
    if dialect == "sqlite":
        op.get_bind().exec_driver_sql("DROP VIEW closing_ledger")
    # Replaced, since the accounts that may read a view lose that with it.
    statement = read_sql("create_closing_ledger.2", op.get_context().version_table_schema)
    op.get_bind().exec_driver_sql(statement.replace("CREATE VIEW", create, 1))
