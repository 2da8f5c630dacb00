"""Rows of posts in the batches that were released, without a look at those of any other batch.

A statement that learns a batch's number from another row is planned for the partitions of every batch that is kept. So
the numbers of the released batches, which are few, are read first and are literals of such a statement.
"""

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from waitlist.staging import schema
from waitlist.staging.database import Read
from waitlist.staging.states import FOLLOWED

_NUMBERS: Final = pa.schema({"batch_no": pa.int32()})


def held_numbers(connection: sa.Connection) -> tuple[int, ...]:
    """Return the numbers of the batches whose posts a receiver may have: those with rows in ``released_post``."""
    return tuple(connection.scalars(_numbers()))


def read_held_numbers(read: Read) -> tuple[int, ...]:
    """Return the same, read as an Arrow table."""
    return tuple(number for table in read(_numbers(), _NUMBERS) for number in table["batch_no"].to_pylist())


def row_of(
    rows: sa.Table, post_id: sa.ColumnElement[int], batch_no: sa.ColumnElement[Any], numbers: Sequence[int]
) -> sa.ColumnElement[bool]:
    """Return the condition that a row table's row is a post's in its released batch.

    Args:
        rows: one of ``schema.ROWS_OF``.
        post_id: the post.
        batch_no: the number of the batch that released it.
        numbers: as ``held_numbers`` returns them.
    """
    among: sa.BindParameter[Any] = sa.bindparam(None, numbers, expanding=True, literal_execute=True)
    return sa.and_(rows.c.batch_no == batch_no, rows.c.batch_no.in_(among), rows.c.post_id == post_id)


def _numbers() -> sa.Select[Any]:
    batch = schema.batch.c
    query = sa.select(batch.batch_no).where(batch.state.in_([state.value for state in FOLLOWED]))
    return query.order_by(batch.batch_no)
