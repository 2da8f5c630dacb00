"""Columns for what a batch was opened for, so far only in its audit trail, and the event ``kept`` for a release."""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mssql import NVARCHAR

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_EVENTS = "'open', 'staged', 'verified', 'failed', 'awaiting_approval', 'override', 'released', 'rejected', 'withdrawn'"


def _key(length: int) -> sa.types.TypeEngine[str]:
    return sa.Unicode().with_variant(NVARCHAR(length), "mssql")


def upgrade() -> None:
    """Add the columns, fill them from the entries ``open``, and allow the entry ``kept``."""
    schema = op.get_context().version_table_schema
    for name in ("units", "reuse_snapshot"):
        op.add_column("batch", sa.Column(name, sa.Unicode()), schema=schema)
    _fill(op.get_bind(), schema)
    _allow_kept(schema)


def _fill(connection: sa.Connection, schema: str | None) -> None:
    event = sa.table(
        "batch_event", sa.column("batch_id"), sa.column("event_no"), sa.column("event"), sa.column("details"),
        schema=schema,
    )  # fmt: skip
    batch = sa.table("batch", sa.column("batch_id"), sa.column("units"), sa.column("reuse_snapshot"), schema=schema)
    begun = sa.select(event.c.batch_id, event.c.details).where(event.c.event == "open").order_by(event.c.event_no)
    opened: dict[str, dict[str, str]] = {}
    for batch_id, details in connection.execute(begun).all():
        told = json.loads(details)
        values = opened.setdefault(batch_id, {})
        if "units" in told:
            values.pop("units", None)
            if told["units"] is not None:
                values["units"] = json.dumps(sorted(told["units"]), ensure_ascii=False)
        if told.get("reuse_snapshot"):
            values["reuse_snapshot"] = told["reuse_snapshot"]
    for batch_id, values in opened.items():
        if values:
            connection.execute(batch.update().where(batch.c.batch_id == batch_id).values(values))


def _allow_kept(schema: str | None) -> None:
    check, allowed = op.f("batch_event_event_check"), f"event IN ({_EVENTS}, 'kept', 'purged')"
    if op.get_context().dialect.name != "sqlite":
        op.drop_constraint(check, "batch_event", type_="check", schema=schema)
        op.create_check_constraint(check, "batch_event", allowed, schema=schema)
        return
    # SQLite cannot change a constraint: the table is created again, with its rows.
    table = sa.Table(
        "batch_event",
        sa.MetaData(),
        sa.Column("batch_id", _key(200), nullable=False),
        sa.Column("event_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.Unicode(), nullable=False),
        sa.Column("event", sa.Unicode(32), nullable=False),
        sa.Column("reason", sa.Unicode()),
        sa.Column("details", sa.Unicode(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "event_no", name=op.f("batch_event_pkey")),
        sa.CheckConstraint(allowed, name=check),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.batch_id"], name=op.f("batch_event_batch_id_fkey")),
    )
    with op.batch_alter_table("batch_event", copy_from=table, recreate="always"):
        pass
