"""The staging tables (contract 2), for SQLAlchemy and as the Arrow schemas of rows that are loaded.

The migrations create the tables; a test checks that they match this module. Text columns are Unicode (NVARCHAR on SQL
Server). Text columns of a key have a limited length, since SQL Server indexes at most 900 bytes.

The rows of posts are in ``disposition_row``, ``finding_row`` and ``bokningsbegaran_row``, with the batch's number in
place of its id. They have no foreign key to ``batch``: it would cost a look-up per row on every load, and the
reconciliation compares the whole batch anyway. Readers use the views ``disposition``, ``finding`` and
``bokningsbegaran``. What loads or removes rows uses the row tables, and so does a query that would be slow on a view
(``docs/decisions/0050-partitions.md``).
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Unicode,
    UniqueConstraint,
    and_,
    literal,
    text,
)
from sqlalchemy import select as sa_select
from sqlalchemy.dialects.mssql import BINARY, NVARCHAR
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import BindParameter, ColumnElement, FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from waitlist.judge.request_columns import COLUMNS, RequestColumn
from waitlist.staging.states import BatchKind, BatchState, EventName, PostOutcome

SCHEMA: Final = "millennium_staging"
VERSION_TABLE: Final = "staging_version"
RECEIPT_COLUMNS: Final = ("batch_id", "post_id", "outcome", "at", "millennium_id", "reason", "booked_for")
"""The columns of a receipt (contract 5)."""
OPEN_LOWER: Final = -(2**63)
"""The value for "no lower bound" in the key of ``batch_partition``, which cannot be null."""
_SHOWN: Final = "shown"
"""In the ``info`` of a row table: the columns in the order of the view on it."""


def schema_of(engine: Engine) -> str | None:
    """Return the name of the tables' schema; None in a database without schemas."""
    return None if engine.dialect.name == "sqlite" else SCHEMA


class UtcDateTime(TypeDecorator[datetime]):
    """An aware timestamp, stored in UTC without its time zone, so that every database orders it in the same way."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert an aware timestamp to naive UTC; a naive one raises ``ValueError``."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the timestamp as aware, in UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class Units(TypeDecorator[tuple[str, ...]]):
    """HSA-ids as a sorted JSON list without repetitions."""

    impl = Unicode
    cache_ok = True

    def process_bind_param(self, value: Iterable[str] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Write the list."""
        return None if value is None else json.dumps(sorted(set(value)), ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:  # noqa: ARG002
        """Read it."""
        return None if value is None else tuple(json.loads(value))


class Values(TypeDecorator[Mapping[str, Any]]):
    """Values by name as a JSON object, sorted by name."""

    impl = Unicode
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Write the object."""
        return None if value is None else json.dumps(dict(value), ensure_ascii=False, sort_keys=True)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Mapping[str, Any] | None:  # noqa: ARG002
        """Read it."""
        return None if value is None else dict(json.loads(value))


class BatchNumber(FunctionElement[int]):
    """The number of the batch with an id; null if there is no such batch."""

    type = Integer()
    inherit_cache = True


@compiles(BatchNumber)
def _select_number(element: BatchNumber, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    query = sa_select(batch.c.batch_no).where(batch.c.batch_id == element.clauses.clauses[0])
    return compiler.process(query.scalar_subquery(), **options)


@compiles(BatchNumber, "postgresql")
def _call_number(element: BatchNumber, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    # The planner calls it, so that it plans for the partitions of that batch alone.
    return f"{SCHEMA}.batch_number({compiler.process(element.clauses, **options)})"


def number_of(batch_id: str | BindParameter[str]) -> BatchNumber:
    """Return the number of the batch with an id, for a comparison with ``batch_no``."""
    return BatchNumber(literal(batch_id, Unicode()))


class _BatchId(Unicode):
    """The batch's id in a view on rows: a comparison with it also compares the number, which the rows' key has."""

    class Comparator(Unicode.Comparator[str]):
        def operate(self, op: Any, *other: Any, **options: Any) -> ColumnElement[Any]:  # noqa: ANN401 - as its base
            """Add the condition on the number."""
            compared = super().operate(op, *other, **options)
            mine = _number_beside(self.expr)
            if op is not operators.eq or mine is None:
                return compared
            if isinstance(other[0], ColumnElement) and not isinstance(other[0], BindParameter):
                theirs = _number_beside(other[0])
                return compared if theirs is None else mine == theirs
            return and_(compared, mine == number_of(other[0]))

    comparator_factory = Comparator


def _number_beside(column: ColumnElement[Any]) -> ColumnElement[int] | None:
    """Return the batch's number in the view that a batch's id is from; None if it is from another table."""
    if not isinstance(column.type, _BatchId):
        return None
    found: ColumnElement[int] | None = column.table.c.get("batch_no")
    return found


def _key(length: int) -> TypeEngine[str]:
    return Unicode().with_variant(NVARCHAR(length), "mssql")


def _batch_id(*, reference: bool = False) -> Column[str]:
    references = [ForeignKey(f"{SCHEMA}.batch.batch_id")] if reference else []
    return Column("batch_id", _key(200), *references, primary_key=True)


def _batch_no() -> Column[int]:
    return Column("batch_no", Integer, primary_key=True, autoincrement=False)


def _post_id() -> Column[int]:
    return Column("post_id", BigInteger, primary_key=True, autoincrement=False)


def _of_a_request(column: RequestColumn) -> Column[Any]:
    kind: TypeEngine[Any] = Unicode(column.length)
    if pa.types.is_date32(column.type):
        kind = Date()
    elif pa.types.is_boolean(column.type):
        kind = Boolean()
    return Column(column.name, kind, nullable=not column.required)


def _one_of(
    column: str,
    values: type[BatchState] | type[BatchKind] | type[EventName] | type[PostOutcome] | tuple[str, ...],
) -> CheckConstraint:
    names = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({names})", name=column)


METADATA: Final = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)

batch: Final = Table(
    "batch",
    METADATA,
    _batch_id(),
    Column("dag_id", Unicode, nullable=False),
    Column("run_id", Unicode, nullable=False),
    Column("kind", Unicode(16), nullable=False),
    Column("wave", Unicode),
    Column("as_of", Date, nullable=False),
    Column("state", Unicode(32), nullable=False),
    Column("posts_extracted", BigInteger),
    Column("posts_staged", BigInteger),
    Column("rules_version", Unicode(64), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("approved_by", Unicode),
    Column("approved_at", UtcDateTime),
    Column("released_at", UtcDateTime),
    # What the batch was opened for: the units that are read, null for all, and the batch whose snapshot is replayed.
    Column("units", Units),
    Column("reuse_snapshot", Unicode),
    # The facts that the batch was opened with, by file and setting; null in batches of releases before this column.
    Column("facts", Values),
    # The version of ``row_hash`` of its booking requests (``judge.request_columns``).
    Column("row_hash_version", Integer, nullable=False, server_default="1"),
    # What the rows have in place of the id. The database gives every new batch the next one.
    Column("batch_no", Integer),
    _one_of("kind", BatchKind),
    _one_of("state", BatchState),
)

# The batches that may no longer be changed: on SQLite the guards read this index for each row.
_FROZEN: Final = text("state IN ('awaiting_approval', 'released', 'withdrawn', 'withdrawn_after_load', 'rejected')")
Index("batch_frozen", batch.c.batch_id, sqlite_where=_FROZEN, postgresql_where=_FROZEN, mssql_where=_FROZEN)
Index("batch_number", batch.c.batch_no, unique=True)
Index("batch_frozen_no", batch.c.batch_no, sqlite_where=_FROZEN, postgresql_where=_FROZEN, mssql_where=_FROZEN)

batch_partition: Final = Table(
    "batch_partition",
    METADATA,
    _batch_id(reference=True),
    # Keys [lower_key, upper_key); OPEN_LOWER and null mean an open end.
    Column("lower_key", BigInteger, primary_key=True, autoincrement=False),
    Column("upper_key", BigInteger),
    Column("posts", BigInteger, nullable=False),
    Column("staged", BigInteger, nullable=False),
    Column("findings", BigInteger, nullable=False),
    Column("digest", Unicode(64), nullable=False),
    # SHA-256 of the snapshot's part that the rows come from; null in batches of releases before this column.
    Column("part_sha256", Unicode(64)),
)

# The files of the batch's folder, as they were last written. A file that does not match its row is not read.
batch_file: Final = Table(
    "batch_file",
    METADATA,
    _batch_id(reference=True),
    Column("name", _key(100), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Unicode(64), nullable=False),
    # Digest of the files and rules that are its inputs; empty if it has no such inputs.
    Column("made_of", Unicode(64), nullable=False),
    # Counts, keys and digests; never a value of a post.
    Column("about", Values, nullable=False),
)

_WIDEST_FIRST: Final = (BigInteger, Integer, Date, Boolean)


def _row_table(name: str, *columns: Column[Any]) -> Table:
    """Declare a row table by its columns in the order in which the view on it has them.

    In the table the columns of a fixed width are first, the widest before the others: each starts at a multiple of its
    width on PostgreSQL, so nothing is lost between them.
    """

    def place(column: Column[Any]) -> int:
        kinds = (place for place, kind in enumerate(_WIDEST_FIRST) if isinstance(column.type, kind))
        return next(kinds, len(_WIDEST_FIRST))

    # WITHOUT ROWID on SQLite: one B-tree to fill instead of a table and an index. On PostgreSQL they are partitioned by
    # number and key, and each partition that a task loads is a table that it attaches.
    return Table(
        name,
        METADATA,
        *sorted((_batch_no(), *columns), key=place),
        PrimaryKeyConstraint("batch_no", *(column.name for column in columns if column.primary_key)),
        sqlite_with_rowid=False,
        info={_SHOWN: tuple(column.name for column in columns)},
    )


bokningsbegaran_row: Final = _row_table(
    "bokningsbegaran_row",
    _post_id(),
    *(_of_a_request(column) for column in COLUMNS),
    # The bytes; the views show the hex digits.
    Column("row_hash", LargeBinary().with_variant(BINARY(32), "mssql"), nullable=False),
)

disposition_row: Final = _row_table(
    "disposition_row",
    _post_id(),
    Column("enhet_hsa_id", Unicode),
    Column("kategori", Unicode),
    Column("disposition", Unicode(32), nullable=False),
    Column("recommended_list", Unicode),
    Column("driftstart", Date),
    # Null if PMO's value is empty or not a date, and in batches of releases before these columns.
    Column("boka_from", Date),
    Column("boka_fore", Date),
)

finding_row: Final = _row_table(
    "finding_row",
    _post_id(),
    Column("rule", _key(64), primary_key=True),
    Column("severity", Unicode(16), nullable=False),
    Column("detail", Unicode),
)

quality_result: Final = Table(
    "quality_result",
    METADATA,
    _batch_id(reference=True),
    Column("suite", _key(50), primary_key=True),
    Column("expectation", _key(100), primary_key=True),
    # Empty if the expectation is about the whole table.
    Column("column", _key(100), primary_key=True),
    Column("severity", Unicode(16), nullable=False),
    Column("evaluated", BigInteger, nullable=False),
    Column("unexpected", BigInteger, nullable=False),
    Column("threshold", Double, nullable=False),
    Column("outcome", Unicode(16), nullable=False),
    _one_of("outcome", ("passed", "failed", "not_applicable", "error")),
)

unit_summary: Final = Table(
    "unit_summary",
    METADATA,
    _batch_id(reference=True),
    # Empty if the post has no unit.
    Column("enhet_hsa_id", _key(100), primary_key=True),
    Column("disposition", Unicode(32), primary_key=True),
    Column("posts", BigInteger, nullable=False),
)

released_post: Final = Table(
    "released_post",
    METADATA,
    _post_id(),
    Column("batch_id", _key(200), nullable=False),
    Column("row_hash", Unicode(64), nullable=False),
    Column("released_at", UtcDateTime, nullable=False),
)

# Append-only: actor, action, time, reason and number of posts for every change of a batch.
batch_event: Final = Table(
    "batch_event",
    METADATA,
    _batch_id(reference=True),
    # 1, 2, ... in each batch.
    Column("event_no", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Unicode, nullable=False),
    Column("event", Unicode(32), nullable=False),
    Column("reason", Unicode),
    # A JSON object of counts, hashes and names of gates; never a value of a post.
    Column("details", Unicode, nullable=False),
    _one_of("event", EventName),
)

gate_result: Final = Table(
    "gate_result",
    METADATA,
    _batch_id(reference=True),
    Column("gate", _key(50), primary_key=True),
    # Null if the gate could not be measured; such a gate has not passed.
    Column("measured", Double),
    Column("threshold", Double, nullable=False),
    Column("passed", Boolean, nullable=False),
)

# Posts that were changed or closed in PMO after their release; staff correct them in Millennium by hand.
released_change: Final = Table(
    "released_change",
    METADATA,
    _batch_id(reference=True),
    _post_id(),
    Column("change", Unicode(16), nullable=False),
    # Names of the changed columns, separated by ", ", never their values; empty for a post that is gone.
    Column("columns", Unicode, nullable=False),
    _one_of("change", ("changed", "gone")),
)

# Append-only: which users have viewed or exported patients' names and numbers, one row for each patient. No other table
# has personal identity numbers beside post ids that it keeps when retention has removed the batch.
access_log: Final = Table(
    "access_log",
    METADATA,
    Column("entry_id", _key(32), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("user_id", Unicode, nullable=False),
    Column("action", Unicode(32), nullable=False),
    Column("batch_id", _key(200), nullable=False),
    # Empty for posts without a known unit.
    Column("enhet_hsa_id", _key(100), nullable=False),
    # More than 1 only in entries of earlier releases, which have no post and no person.
    Column("posts", BigInteger, nullable=False),
    # The unit in whose name; empty for a user that works at no unit.
    Column("acting_for", _key(100)),
    Column("post_id", BigInteger),
    # Null where the post has no personal identity number.
    Column("person_id", _key(12)),
    Index("access_log_at", "at"),
    Index("access_log_person", "person_id"),
    Index("access_log_post", "post_id"),
)

# Append-only: what the readers of the access log say of the entries of a month's sample; the last verdict counts.
log_verdict: Final = Table(
    "log_verdict",
    METADATA,
    Column("entry_id", _key(32), primary_key=True),
    Column("verdict_no", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("user_id", Unicode, nullable=False),
    Column("verdict", Unicode(16), nullable=False),
    Column("word", Unicode, nullable=False),
    _one_of("verdict", ("in_order", "not_in_order", "unclear")),
)

# Append-only: what people say of the posts of a sample, field by field. A verdict is about a row, so it counts for a
# later batch with the same post and the same row_hash; the last one counts.
sample_verdict: Final = Table(
    "sample_verdict",
    METADATA,
    _post_id(),
    Column("row_hash", _key(64), primary_key=True),
    # Compared with PMO before the release, or with Millennium after the load.
    Column("stage", _key(16), primary_key=True),
    # 1, 2, ... for each post, row and stage; the fields that one person judged together have the same number.
    Column("verdict_no", Integer, primary_key=True, autoincrement=False),
    Column("field", _key(32), primary_key=True),
    Column("verdict", Unicode(16), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Unicode, nullable=False),
    Column("batch_id", _key(200), nullable=False),
    Column("enhet_hsa_id", _key(100), nullable=False),
    # It may name a person, so it is shown only to those who see the unit.
    Column("word", Unicode),
    _one_of("stage", ("before", "after")),
    _one_of("verdict", ("right", "wrong", "changed")),
    CheckConstraint("verdict <> 'changed' OR word <> ''", name="word"),
)

# Append-only: the sizes to which the random part of a batch's sample was enlarged.
sample_size: Final = Table(
    "sample_size",
    METADATA,
    _batch_id(reference=True),
    # 1, 2, ... in each batch.
    Column("entry_no", Integer, primary_key=True, autoincrement=False),
    Column("size", Integer, nullable=False),
    # How many faulty posts of the random part, and how many that count as neither, were known then.
    Column("faulty", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Unicode, nullable=False),
)

# Append-only: the manifests of the hand-offs; no value of a post.
hand_off: Final = Table(
    "hand_off",
    METADATA,
    _batch_id(reference=True),
    Column("manifest_sha256", _key(64), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("posts", BigInteger, nullable=False),
    # Checksum, size and number of posts of each file, by its name.
    Column("files", Values, nullable=False),
    Column("references_missing", Integer, nullable=False),
)

# What follow-up needs of each post that was released; it outlives the batch's rows.
followed_post: Final = Table(
    "followed_post",
    METADATA,
    _batch_id(),
    _post_id(),
    Column("enhet_hsa_id", Unicode),
    Column("boka_fore", Date, nullable=False),
    sqlite_with_rowid=False,
)
Index("followed_post_post", followed_post.c.post_id)

# What must get an outcome of each batch that was released: the posts that it read, that wait, and that it did not
# release. It outlives the batch's rows.
ledger_post: Final = Table(
    "ledger_post",
    METADATA,
    _batch_id(),
    _post_id(),
    # Empty for posts without a known unit.
    Column("enhet_hsa_id", _key(100), nullable=False),
    Column("disposition", Unicode(32), nullable=False),
    Column("boka_fore", Date),
    sqlite_with_rowid=False,
)
Index("ledger_post_unit", ledger_post.c.enhet_hsa_id)
Index("ledger_post_post", ledger_post.c.post_id)

# How many released posts of a unit had which answer at the end of a day; a day's last count replaces its earlier ones.
followed_day: Final = Table(
    "followed_day",
    METADATA,
    _batch_id(),
    Column("enhet_hsa_id", _key(100), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("posts", BigInteger, nullable=False),
    Column("unanswered", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("open", BigInteger, nullable=False),
    # Of the open ones, those whose Boka före had passed or was near.
    Column("late", BigInteger, nullable=False),
    Column("booked", BigInteger, nullable=False),
    Column("cancelled", BigInteger, nullable=False),
)

# Append-only: closings of waves, each with the person, the reason, and what was missing then.
wave_closing: Final = Table(
    "wave_closing",
    METADATA,
    Column("wave", _key(200), primary_key=True),
    # 1, 2, ... for each wave: a batch that is released later opens the wave's ledger again.
    Column("closing_no", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Unicode, nullable=False),
    Column("reason", Unicode),
    # A JSON object of counts and of the batches that were closed; never a value of a post.
    Column("details", Values, nullable=False),
)

# Append-only: what the receiver has said of each post, one row a word. The key is the digest of the word's content.
receipt: Final = Table(
    "receipt",
    METADATA,
    Column("receipt_key", _key(64), primary_key=True),
    Column("batch_id", _key(200), nullable=False),
    Column("post_id", BigInteger, nullable=False),
    Column("outcome", Unicode(16), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("millennium_id", Unicode),
    Column("booked_for", Date),
    Column("received_at", UtcDateTime, nullable=False),
    _one_of("outcome", ("accepted", "rejected", "booked", "cancelled")),
    sqlite_with_rowid=False,
)
Index("receipt_of_post", receipt.c.batch_id, receipt.c.post_id)

# Why a post was rejected, in the receiver's words: personal data, which retention removes with the batch's rows.
receipt_reason: Final = Table(
    "receipt_reason",
    METADATA,
    _batch_id(),
    Column("receipt_key", _key(64), primary_key=True),
    Column("reason", Unicode, nullable=False),
)

# What the receipts and the settlements of a post amount to (``release.receipts.words``): replaced when one comes. A
# post without a row is unanswered.
post_answer: Final = Table(
    "post_answer",
    METADATA,
    _batch_id(),
    _post_id(),
    Column("answer", Unicode(16), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("booked_for", Date),
    Column("contradictions", Unicode, nullable=False),
    # Of the last word; null where words contradict each other.
    Column("receipt_key", Unicode(64)),
    # How many receipts and settlements it was made from: the guards compare it with how many there are.
    Column("words", Integer, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

# Append-only: which word of the receiver counts where its words about a post contradict each other, as a lead says.
settlement: Final = Table(
    "settlement",
    METADATA,
    _batch_id(),
    _post_id(),
    # 1, 2, ... for each post of a batch.
    Column("entry_no", Integer, primary_key=True, autoincrement=False),
    # The word that counts.
    Column("receipt_key", Unicode(64), nullable=False),
    # The keys of all words that there were, separated by ", ": a word that comes later may contradict again.
    Column("heard", Unicode, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Unicode, nullable=False),
    Column("reason", Unicode, nullable=False),
)

# Append-only: released posts that became free, and those that are not free any more; what their row in
# ``released_post`` was. The first entry of a post frees it, the second gives it back its row, and so on.
freed_post: Final = Table(
    "freed_post",
    METADATA,
    _batch_id(),
    _post_id(),
    Column("entry_no", Integer, primary_key=True, autoincrement=False),
    Column("freed", Boolean, nullable=False),
    Column("row_hash", Unicode(64), nullable=False),
    Column("released_at", UtcDateTime, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    # A lead, or the pipeline.
    Column("actor", Unicode, nullable=False),
    Column("reason", Unicode),
)

_NUMBERED: Final = BigInteger().with_variant(Integer(), "sqlite")

# Where a receiver may insert its words, as text of any form; a row goes when it has been read.
receipt_inbox: Final = Table(
    "receipt_inbox",
    METADATA,
    Column("row_no", _NUMBERED, primary_key=True),
    *(Column(name, Unicode) for name in RECEIPT_COLUMNS),
    # Otherwise the number of a row that has gone would be used again.
    sqlite_autoincrement=True,
)

# Rows of the inbox that could not be taken, with every fault; retention removes them.
receipt_fault: Final = Table(
    "receipt_fault",
    METADATA,
    Column("row_no", _NUMBERED, primary_key=True, autoincrement=False),
    *(Column(name, Unicode) for name in RECEIPT_COLUMNS),
    Column("faults", Unicode, nullable=False),
    Column("refused_at", UtcDateTime, nullable=False),
)

# Append-only: what became of a post, or that somebody has checked it, as its unit's staff or the pipeline says.
post_outcome: Final = Table(
    "post_outcome",
    METADATA,
    _post_id(),
    # 1, 2, ... for each post: of two that write at the same time, only one gets the number.
    Column("entry_no", Integer, primary_key=True, autoincrement=False),
    # The request's own key: the same request adds nothing when it comes again.
    Column("request_key", _key(100), nullable=False),
    # Empty for posts without a known unit.
    Column("enhet_hsa_id", _key(100), nullable=False),
    Column("batch_id", _key(200), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Unicode, nullable=False),
    Column("outcome", Unicode(32), nullable=False),
    # The entry of the post that an ``undone`` is about.
    Column("undoes", Integer),
    # In the writer's words, which may name a person.
    Column("word", Unicode),
    # Codes of rules and names of columns that there was to look at, separated by ", ".
    Column("about", Unicode, nullable=False),
    UniqueConstraint("request_key", name="post_outcome_request_key"),
    _one_of("outcome", PostOutcome),
    CheckConstraint("outcome <> 'not_needed' OR word <> ''", name="word"),
    CheckConstraint("outcome <> 'undone' OR undoes IS NOT NULL", name="undoes"),
)
Index("post_outcome_unit", post_outcome.c.enhet_hsa_id)

# What the person service has answered about a person last, without a name. It belongs to no batch: the answers that
# one was judged by are in its folder.
person_status: Final = Table(
    "person_status",
    METADATA,
    Column("person_id", _key(12), primary_key=True),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("found", Boolean, nullable=False),
    Column("protected_person", Boolean, nullable=False),
    Column("protected_record", Boolean, nullable=False),
    Column("test_person", Boolean, nullable=False),
    Column("is_primary", Boolean, nullable=False),
    Column("deregistered", Boolean, nullable=False),
    Column("found_dead", Boolean, nullable=False),
    Column("reason", Unicode(2)),
)

# Whether a name that PMO has for a person is the register's: by a keyed hash of PMO's, and nothing of the register's.
person_name: Final = Table(
    "person_name",
    METADATA,
    Column("person_id", _key(12), primary_key=True),
    Column("name_hash", _key(64), primary_key=True),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("agrees", Boolean, nullable=False),
)

# The moment before which no worker calls a service that has just failed.
service_rest: Final = Table(
    "service_rest",
    METADATA,
    Column("service", _key(32), primary_key=True),
    Column("rest_until", UtcDateTime, nullable=False),
)

# When the check command last saw a deceased person in a profile of the service's: until then no run may rely on it.
service_check: Final = Table(
    "service_check",
    METADATA,
    Column("service", _key(32), primary_key=True),
    Column("profile", _key(32), primary_key=True),
    Column("deceased_seen_at", UtcDateTime, nullable=False),
)

# Append-only: the links of the chains (``staging.chain``), one for each transaction and table.
audit_link: Final = Table(
    "audit_link",
    METADATA,
    # The table whose rows it is about.
    Column("chain", _key(64), primary_key=True),
    # 1, 2, ... in each chain: of two that write at the same time, only one gets the number.
    Column("link_no", BigInteger, primary_key=True, autoincrement=False),
    Column("act", Unicode(16), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("link_sha256", Unicode(64), nullable=False),
    # A line for each row: its key and the SHA-256 of its content. Last, since it can be long.
    Column("digests", Unicode, nullable=False),
    _one_of("act", ("before", "added", "removed")),
)

# Append-only: the ends of the chains at a moment, signed where there is a key (``staging.checkpoints``).
audit_checkpoint: Final = Table(
    "audit_checkpoint",
    METADATA,
    Column("checkpoint_no", BigInteger, primary_key=True, autoincrement=False),
    # The batch whose hand-off has it; of each batch there is one at most.
    Column("batch_id", _key(200)),
    # The bytes that are signed, as JSON.
    Column("statement", Unicode, nullable=False),
    # Null where no key was configured.
    Column("signature", Unicode(100)),
    Column("key_id", Unicode(64)),
)

CHAINED: Final = (
    access_log,
    batch_event,
    freed_post,
    hand_off,
    log_verdict,
    post_outcome,
    receipt,
    receipt_reason,
    sample_size,
    sample_verdict,
    settlement,
    wave_closing,
)
"""The tables that are chained. A new append-only table joins by being named here. A column that one of them gets later
must be nullable: an empty one is no part of a row's digest, so that older rows keep theirs."""
AUDIT: Final = (audit_link, audit_checkpoint)


def _view_on(rows: Table) -> Table:
    """Return the view on a row table: its columns with the batch's id first and its number last.

    Its MetaData is not that of the tables, so that nothing creates or empties it as a table.
    """
    columns = [
        Column(column.name, _shown_type(column), primary_key=column.primary_key, nullable=column.nullable)
        for column in (rows.columns[name] for name in rows.info[_SHOWN])
    ]
    return Table(
        rows.name.removesuffix("_row"),
        MetaData(schema=SCHEMA),
        Column("batch_id", _BatchId(), primary_key=True),
        *columns,
        Column("batch_no", Integer, nullable=False),
    )


def _shown_type(column: Column[Any]) -> TypeEngine[Any]:
    return Unicode(64) if isinstance(column.type, LargeBinary) else column.type


bokningsbegaran: Final = _view_on(bokningsbegaran_row)
disposition: Final = _view_on(disposition_row)
finding: Final = _view_on(finding_row)
ROWS_OF: Final = {disposition: disposition_row, finding: finding_row, bokningsbegaran: bokningsbegaran_row}
"""The row tables, by the view on each."""
READ: Final = (*(table for table in METADATA.sorted_tables if table not in ROWS_OF.values()), *ROWS_OF)
"""What readers read: every table, with the views in place of the row tables."""

bokningsbegaran_released: Final = Table(
    "bokningsbegaran_released",
    MetaData(schema=SCHEMA),
    Column("batch_id", Unicode),
    *(Column(column.name, column.type) for column in bokningsbegaran.columns if not column.name.startswith("batch_")),
)

# A view too: every post that must get an outcome, and whether it has one.
closing_ledger: Final = Table(
    "closing_ledger",
    MetaData(schema=SCHEMA),
    Column("batch_id", Unicode),
    Column("wave", Unicode),
    Column("enhet_hsa_id", Unicode),
    Column("post_id", BigInteger),
    # The disposition, or ``rejected``: the receiver has rejected it.
    Column("why", Unicode),
    Column("boka_fore", Date),
    # 1 or 0.
    Column("has_outcome", Integer),
    # The moment since which an outcome counts; null for any.
    Column("since", UtcDateTime),
)

_ARROW_TYPES: Final[Mapping[type[TypeEngine[Any]], pa.DataType]] = {
    BigInteger: pa.int64(),
    Boolean: pa.bool_(),
    Date: pa.date32(),
    Double: pa.float64(),
    Unicode: pa.string(),
    Values: pa.string(),
}


def arrow_rows(table: Table, *, but: str | None = None) -> pa.Schema:
    """Return the Arrow schema of rows that are loaded into a table: all columns but the batch's and one other."""
    columns = (column for column in table.columns if column.name not in {"batch_id", "batch_no", but})
    return pa.schema([(column.name, _ARROW_TYPES[type(column.type)]) for column in columns])
