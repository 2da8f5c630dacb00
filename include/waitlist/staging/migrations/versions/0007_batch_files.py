"""The files of each batch, and the part of the snapshot that each partition was staged from.

The list of files has the same guards as rows of posts (``0006_guards``): the files of a batch that awaits approval or
is decided may not change, except that retention removes them once the audit trail has the entry ``purged``.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


_FROZEN = "state IN ('awaiting_approval', 'released', 'withdrawn', 'rejected')"
_DECIDED = "state IN ('released', 'withdrawn', 'rejected')"


def upgrade() -> None:
    """Add the column and the table with its guards; earlier batches have no files on the list."""
    schema = op.get_context().version_table_schema
    op.add_column("batch_partition", sa.Column("part_sha256", sa.Unicode(64)), schema=schema)
    op.create_table(
        "batch_file",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("name", _key(100), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Unicode(64), nullable=False),
        sa.Column("made_of", sa.Unicode(64), nullable=False),
        sa.Column("about", sa.Unicode(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "name", name=op.f("batch_file_pkey")),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            [f"{schema}.batch.batch_id" if schema else "batch.batch_id"],
            name=op.f("batch_file_batch_id_fkey"),
        ),
        schema=schema,
    )
    dialect = op.get_context().dialect.name
    statements = _postgresql(str(schema)) if dialect == "postgresql" else _sqlite() if dialect == "sqlite" else ()
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)


def _postgresql(schema: str) -> Iterator[str]:
    seen = {
        "INSERT": "REFERENCING NEW TABLE AS touched",
        "UPDATE": "REFERENCING OLD TABLE AS touched NEW TABLE AS arrived",
        "DELETE": "REFERENCING OLD TABLE AS touched",
    }
    for operation, tables in seen.items():
        yield (
            f"CREATE TRIGGER guard_{operation.lower()} AFTER {operation} ON {schema}.batch_file {tables} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_frozen('rows')"
        )
    yield (
        f"CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON {schema}.batch_file "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change()"
    )


def _sqlite() -> Iterator[str]:
    purged = "EXISTS (SELECT 1 FROM batch_event AS told WHERE told.batch_id = OLD.batch_id AND told.event = 'purged')"
    batches = {
        "INSERT": "= NEW.batch_id",
        "UPDATE": "IN (OLD.batch_id, NEW.batch_id)",
        "DELETE": f"= OLD.batch_id AND NOT ({_DECIDED} AND {purged})",
    }
    for operation, which in batches.items():
        yield f"""
            CREATE TRIGGER guard_{operation.lower()}_batch_file BEFORE {operation} ON batch_file
            WHEN EXISTS (SELECT 1 FROM batch INDEXED BY batch_frozen WHERE {_FROZEN} AND batch_id {which})
            BEGIN
                SELECT RAISE(ABORT, 'guard: the batch is fixed, its rows in batch_file stay as they are');
            END
            """
