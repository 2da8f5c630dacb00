"""What has been handed off: a row for each manifest that was written, never changed and never removed."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from waitlist.staging import schema


@dataclass(frozen=True, slots=True)
class HandOff:
    """One row of ``hand_off``; its moment is aware, in UTC."""

    batch_id: str
    manifest_sha256: str
    at: dt.datetime
    """When it was written for the first time."""
    posts: int
    files: Mapping[str, Any]
    """``sha256``, ``bytes`` and ``posts`` of each file, by its name."""
    references_missing: int
    """Places and visit types without a reference of the receiver."""


def record(connection: sa.Connection, handed: HandOff) -> None:
    """Keep what was handed off; the same manifest again changes nothing. The batch must be locked."""
    table = schema.hand_off
    same = table.c.batch_id == handed.batch_id, table.c.manifest_sha256 == handed.manifest_sha256
    if connection.execute(sa.select(table.c.posts).where(*same)).first() is None:
        connection.execute(table.insert().values(asdict(handed)))


def read_latest(connection: sa.Connection, batch_id: str) -> HandOff | None:
    """Return the last hand-off of a batch; None where it was not handed off."""
    table = schema.hand_off
    query = sa.select(table).where(table.c.batch_id == batch_id).order_by(table.c.at.desc(), table.c.manifest_sha256)
    found = connection.execute(query.limit(1)).mappings().one_or_none()
    return None if found is None else HandOff(**found)
