"""Releasing a batch: from then on RevenueCycle's load reads its rows, and its posts are never staged again."""

import datetime as dt

import sqlalchemy as sa

from waitlist.exceptions import StagingError
from waitlist.staging import BatchKind, BatchState, StagingStore, schema


def release(store: StagingStore, batch_id: str, *, approved_by: str, now: dt.datetime) -> int:
    """Release a verified migration batch, all of it or nothing, in one transaction.

    Args:
        store: the staging database.
        batch_id: the batch.
        approved_by: who says so.
        now: the moment, aware.

    Returns:
        the number of posts released.

    Raises:
        StagingError: the batch is unknown, a dry run, not verified, or immutable; or one of its posts was
            released before.
    """
    request, released = schema.bokningsbegaran, schema.released_post
    rows = sa.select(request.c.post_id, request.c.batch_id, request.c.row_hash, sa.literal(now, schema.UtcDateTime))
    with store.changing("releasing batch", batch_id) as (connection, state):
        kind = connection.scalar(sa.select(schema.batch.c.kind).where(schema.batch.c.batch_id == batch_id))
        if kind != BatchKind.MIGRATION or state is not BatchState.VERIFIED:
            raise StagingError(f"batch {batch_id} is a {kind} and {state}: only a verified migration can be released")
        posts = connection.execute(
            released.insert().from_select(
                ["post_id", "batch_id", "row_hash", "released_at"], rows.where(request.c.batch_id == batch_id)
            )
        ).rowcount
        connection.execute(
            schema.batch.update()
            .where(schema.batch.c.batch_id == batch_id)
            .values(state=BatchState.RELEASED.value, approved_by=approved_by, approved_at=now, released_at=now)
        )
    return posts
