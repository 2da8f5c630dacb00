"""What the readers of the access log say of the entries of a month's sample.

The guards are those of the access log: a verdict is never changed, and may be removed when it is as old as an entry.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_DAYS = 5 * 365 + 2 + 31


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the table and its guards."""
    schema = op.get_context().version_table_schema
    op.create_table(
        "log_verdict",
        sa.Column("entry_id", _key(32), nullable=False),
        sa.Column("verdict_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("user_id", sa.Unicode(), nullable=False),
        sa.Column("verdict", sa.Unicode(16), nullable=False),
        sa.Column("word", sa.Unicode(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "verdict_no", name=op.f("log_verdict_pkey")),
        sa.CheckConstraint(
            "verdict IN ('in_order', 'not_in_order', 'unclear')", name=op.f("log_verdict_verdict_check")
        ),
        schema=schema,
    )
    dialect = op.get_context().dialect.name
    statements = _postgresql(str(schema)) if dialect == "postgresql" else _sqlite() if dialect == "sqlite" else ()
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def _postgresql(schema: str) -> Iterator[str]:
    for operation in ("UPDATE", "TRUNCATE"):
        yield (
            f"CREATE TRIGGER guard_{operation.lower()} BEFORE {operation} ON {schema}.log_verdict "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change()"
        )
    yield f"""
        CREATE TRIGGER guard_delete AFTER DELETE ON {schema}.log_verdict REFERENCING OLD TABLE AS touched
        FOR EACH STATEMENT EXECUTE FUNCTION {schema}.guard_log()
        """


def _sqlite() -> Iterator[str]:
    # INSERT OR REPLACE would remove the existing row, and no DELETE trigger would run.
    same = "told.entry_id = NEW.entry_id AND told.verdict_no = NEW.verdict_no"
    conditions = {
        "INSERT": f"EXISTS (SELECT 1 FROM log_verdict AS told WHERE {same})",
        "UPDATE": "TRUE",
        "DELETE": f"OLD.at > datetime('now', '-{_DAYS} days')",
    }
    for operation, condition in conditions.items():
        yield f"""
            CREATE TRIGGER guard_{operation.lower()}_log_verdict BEFORE {operation} ON log_verdict
            WHEN {condition}
            BEGIN
                SELECT RAISE(ABORT, 'guard: a verdict about the access log is added once and kept as it is');
            END
            """
