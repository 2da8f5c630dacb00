"""Reads the booking requests of a batch back from the database, each with the go-live of its disposition."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from waitlist.staging.database import Database, Read, refusals_named
from waitlist.staging.schema import arrow_rows, bokningsbegaran, disposition

GO_LIVE: Final = pa.field("driftstart", pa.date32())
REQUESTS: Final = arrow_rows(bokningsbegaran).append(GO_LIVE)
"""The columns that are read back."""


def read_requests(read: Read, batch_id: str) -> Iterator[pa.Table]:
    """Yield the booking requests of a batch in the order of their keys; the go-live of one without a post is null."""
    made, kept = bokningsbegaran.c, disposition.c
    of_post = sa.and_(kept.batch_id == made.batch_id, kept.post_id == made.post_id)
    query = sa.select(*(made[name] for name in REQUESTS.names[:-1]), kept.driftstart)
    query = query.select_from(bokningsbegaran.outerjoin(disposition, of_post)).where(made.batch_id == batch_id)
    yield from read(query.order_by(made.post_id), REQUESTS)


def with_go_live(requests: pa.Table, posts: pa.Table) -> pa.Table:
    """Return booking requests with the go-live of their dispositions, as ``read_requests`` does.

    Args:
        requests: all columns but the go-live.
        posts: the dispositions of at least these posts, ``post_id`` and ``driftstart``, in the order of their keys.
    """
    keys, wanted = posts["post_id"].to_numpy(), requests["post_id"].to_numpy()
    places = np.searchsorted(keys, wanted)
    known = places < len(keys)
    known[known] = keys[places[known]] == wanted[known]
    return requests.append_column(GO_LIVE, posts[GO_LIVE.name].take(pa.array(places, mask=~known)))


def count_repeated(database: Database, batch_id: str, columns: Sequence[str]) -> int:
    """Return how many booking requests of a batch have the same values as another one of that batch.

    Args:
        database: the staging database.
        batch_id: the batch.
        columns: the columns to compare; a request with none of these values does not count.
    """
    asked = [bokningsbegaran.c[name] for name in columns]
    has_value = sa.or_(*(column.is_not(None) for column in asked))
    copies = sa.select(sa.func.count().label("copies")).where(bokningsbegaran.c.batch_id == batch_id, has_value)
    repeated = copies.group_by(*asked).having(sa.func.count() > 1).subquery()
    with refusals_named(f"checking the staged rows of batch {batch_id}"), database.connected() as connection:
        found = connection.execute(sa.select(sa.func.sum(repeated.c.copies))).scalar()
    return int(found or 0)
