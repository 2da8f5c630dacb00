"""The sizes to which the random part of a batch's sample was enlarged: ``sample_size``, which is only added to.

Nobody chooses a size: it follows from the faults that are known. So a row says when, by whom and because of what.
"""

import datetime as dt
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from waitlist.staging import schema


@dataclass(frozen=True, slots=True)
class Enlarged:
    """One row of ``sample_size``."""

    batch_id: str
    entry_no: int
    """1, 2, ... in each batch."""
    size: int
    """Posts of the random part from then on."""
    faulty: int
    """Faulty posts of the random part that were known then."""
    changed: int
    """Posts of it that counted as neither right nor wrong."""
    at: dt.datetime
    actor: str


def read_enlarged(connection: sa.Connection, batch_id: str) -> tuple[Enlarged, ...]:
    """Return the enlargements of a batch's sample, the earliest first."""
    table = schema.sample_size
    query = sa.select(table).where(table.c.batch_id == batch_id).order_by(table.c.entry_no)
    return tuple(Enlarged(**row) for row in connection.execute(query).mappings())


def add_enlarged(connection: sa.Connection, enlarged: Enlarged) -> None:
    """Add an enlargement; its transaction must have locked the batch's row."""
    connection.execute(schema.sample_size.insert().values(asdict(enlarged)))
