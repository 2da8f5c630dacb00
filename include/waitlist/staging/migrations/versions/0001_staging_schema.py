"""The staging schema: batches, dispositions, findings, booking requests and the views on them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

from waitlist.staging.queries import read_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def _batch_reference(table: str, schema: str | None) -> sa.ForeignKeyConstraint:
    parent = f"{schema}.batch.batch_id" if schema else "batch.batch_id"
    return sa.ForeignKeyConstraint(["batch_id"], [parent], name=op.f(f"{table}_batch_id_fkey"))


def upgrade() -> None:
    """Create tables and views."""
    schema = op.get_context().version_table_schema
    op.create_table(
        "batch",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("dag_id", sa.Unicode(), nullable=False),
        sa.Column("run_id", sa.Unicode(), nullable=False),
        sa.Column("kind", sa.Unicode(16), nullable=False),
        sa.Column("wave", sa.Unicode()),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("state", sa.Unicode(32), nullable=False),
        sa.Column("posts_extracted", sa.BigInteger()),
        sa.Column("posts_staged", sa.BigInteger()),
        sa.Column("rules_version", sa.Unicode(64), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime()),
        sa.Column("approved_by", sa.Unicode()),
        sa.Column("approved_at", sa.DateTime()),
        sa.Column("released_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("batch_pkey")),
        sa.CheckConstraint("kind IN ('dry_run', 'migration')", name=op.f("batch_kind_check")),
        sa.CheckConstraint(
            "state IN ('open', 'staged', 'verified', 'awaiting_approval', 'released', 'withdrawn',"
            " 'rejected', 'failed')",
            name=op.f("batch_state_check"),
        ),
        schema=schema,
    )
    op.create_table(
        "batch_partition",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("lower_key", sa.BigInteger(), nullable=False),
        sa.Column("upper_key", sa.BigInteger()),
        sa.Column("posts", sa.BigInteger(), nullable=False),
        sa.Column("staged", sa.BigInteger(), nullable=False),
        sa.Column("findings", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Unicode(64), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "lower_key", name=op.f("batch_partition_pkey")),
        _batch_reference("batch_partition", schema),
        schema=schema,
    )
    op.create_table(
        "bokningsbegaran",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("post_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.Unicode(12), nullable=False),
        sa.Column("begard_plats", sa.Unicode()),
        sa.Column("patientnamn", sa.Unicode(), nullable=False),
        sa.Column("begart_startdatum", sa.Date(), nullable=False),
        sa.Column("begart_slutdatum", sa.Date(), nullable=False),
        sa.Column("besokstyp", sa.Unicode(), nullable=False),
        sa.Column("vardinrattning", sa.Unicode()),
        sa.Column("beskrivning", sa.Unicode()),
        sa.Column("sekretess", sa.Boolean(), nullable=False),
        sa.Column("row_hash", sa.Unicode(64), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "post_id", name=op.f("bokningsbegaran_pkey")),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "disposition",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("post_id", sa.BigInteger(), nullable=False),
        sa.Column("enhet_hsa_id", sa.Unicode()),
        sa.Column("kategori", sa.Unicode()),
        sa.Column("disposition", sa.Unicode(32), nullable=False),
        sa.Column("recommended_list", sa.Unicode()),
        sa.Column("driftstart", sa.Date()),
        sa.PrimaryKeyConstraint("batch_id", "post_id", name=op.f("disposition_pkey")),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "finding",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("post_id", sa.BigInteger(), nullable=False),
        sa.Column("rule", _key(64), nullable=False),
        sa.Column("severity", sa.Unicode(16), nullable=False),
        sa.Column("detail", sa.Unicode()),
        sa.PrimaryKeyConstraint("batch_id", "post_id", "rule", name=op.f("finding_pkey")),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "quality_result",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("suite", _key(50), nullable=False),
        sa.Column("expectation", _key(100), nullable=False),
        sa.Column("column", _key(100), nullable=False),
        sa.Column("severity", sa.Unicode(16), nullable=False),
        sa.Column("evaluated", sa.BigInteger(), nullable=False),
        sa.Column("unexpected", sa.BigInteger(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("outcome", sa.Unicode(16), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "suite", "expectation", "column", name=op.f("quality_result_pkey")),
        sa.CheckConstraint(
            "outcome IN ('passed', 'failed', 'not_applicable', 'error')",
            name=op.f("quality_result_outcome_check"),
        ),
        _batch_reference("quality_result", schema),
        schema=schema,
    )
    op.create_table(
        "unit_summary",
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("enhet_hsa_id", _key(100), nullable=False),
        sa.Column("disposition", sa.Unicode(32), nullable=False),
        sa.Column("posts", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "enhet_hsa_id", "disposition", name=op.f("unit_summary_pkey")),
        _batch_reference("unit_summary", schema),
        schema=schema,
    )
    op.create_table(
        "released_post",
        sa.Column("post_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("row_hash", sa.Unicode(64), nullable=False),
        sa.Column("released_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("post_id", name=op.f("released_post_pkey")),
        schema=schema,
    )
    connection = op.get_bind()
    for view in ("create_bokningsbegaran_released", "create_readable_batch"):
        connection.exec_driver_sql(read_sql(view, schema))
