"""What became of posts that were not migrated, as the staff of their units say."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TABLE = "post_outcome"
_OUTCOMES = (
    "booked_millennium", "booked_pmo", "moved", "not_needed", "deceased", "released_later", "closed_in_pmo", "checked",
    "undone",
)  # fmt: skip


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the table, whose rows are only added to (as the trails of ``0006_guards``); nothing has been said so far."""
    schema = op.get_context().version_table_schema
    names = ", ".join(f"'{name}'" for name in _OUTCOMES)
    op.create_table(
        _TABLE,
        sa.Column("post_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("request_key", _key(100), nullable=False),
        sa.Column("enhet_hsa_id", _key(100), nullable=False),
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.Unicode(), nullable=False),
        sa.Column("outcome", sa.Unicode(32), nullable=False),
        sa.Column("undoes", sa.Integer()),
        sa.Column("word", sa.Unicode()),
        sa.Column("about", sa.Unicode(), nullable=False),
        sa.PrimaryKeyConstraint("post_id", "entry_no", name=op.f("post_outcome_pkey")),
        sa.UniqueConstraint("request_key", name=op.f("post_outcome_request_key")),
        sa.CheckConstraint(f"outcome IN ({names})", name=op.f("post_outcome_outcome_check")),
        sa.CheckConstraint("outcome <> 'not_needed' OR word <> ''", name=op.f("post_outcome_word_check")),
        sa.CheckConstraint("outcome <> 'undone' OR undoes IS NOT NULL", name=op.f("post_outcome_undoes_check")),
        schema=schema,
    )
    op.create_index("post_outcome_unit", _TABLE, ["enhet_hsa_id"], schema=schema)
    dialect = op.get_context().dialect.name
    statements = _postgresql(str(schema)) if dialect == "postgresql" else _sqlite() if dialect == "sqlite" else ()
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def _postgresql(schema: str) -> Iterator[str]:
    for operation in ("UPDATE", "DELETE", "TRUNCATE"):
        yield (
            f"CREATE TRIGGER guard_{operation.lower()} BEFORE {operation} ON {schema}.{_TABLE} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change()"
        )


def _sqlite() -> Iterator[str]:
    # INSERT OR REPLACE would remove the existing row, and no DELETE trigger would run.
    same = "(told.post_id = NEW.post_id AND told.entry_no = NEW.entry_no) OR told.request_key = NEW.request_key"
    conditions = {
        "INSERT": f"EXISTS (SELECT 1 FROM {_TABLE} AS told WHERE {same})",
        "UPDATE": "TRUE",
        "DELETE": "TRUE",
    }
    for operation, condition in conditions.items():
        yield f"""
            CREATE TRIGGER guard_{operation.lower()}_{_TABLE} BEFORE {operation} ON {_TABLE}
            WHEN {condition}
            BEGIN
                SELECT RAISE(ABORT, 'guard: an entry of {_TABLE} is added once and stays as it is');
            END
            """
