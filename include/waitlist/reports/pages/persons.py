"""The patients of some posts, from the batch's snapshot; a protected identity is masked unless it is asked for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from upath import UPath

from waitlist.judge.rules import Code
from waitlist.reports.worklist.rows import one_line
from waitlist.reports.worklist.sources import find_snapshot
from waitlist.source.snapshot import read_part
from waitlist.staging import StagingStore, schema
from waitlist.staging.database import refusals_named
from waitlist.swedish.words import PERSON_MASKED

_COLUMNS: Final = ("post_id", "personnummer", "patient", "sekretess")
_PROTECTED: Final = Code.PROTECTED_IDENTITY.value


@dataclass(frozen=True, slots=True)
class Person:
    """A patient."""

    number: str | None
    """The text in PMO, unchecked."""
    name: str | None
    protected: bool
    """Whether the identity is protected; then the number and the name are masked, unless this one was asked for."""


def read_persons(
    store: StagingStore, batch_id: str, snapshots: UPath, post_ids: Collection[int], *, masked: bool = True
) -> Mapping[int, Person]:
    """Read the patients of some posts of a batch.

    Args:
        store: the staging database.
        batch_id: the batch.
        snapshots: the folder in which each batch has its snapshot.
        post_ids: the posts; posts that the snapshot lacks are left out.
        masked: whether protected identities are masked.

    Raises:
        SnapshotError: the snapshot is missing or damaged.
        StagingError: the database refused.
    """
    snapshot = find_snapshot(store, store.batch(batch_id), snapshots)
    wanted = pa.array(sorted(post_ids), pa.int64())
    protected = _protected(store, batch_id, post_ids)
    found: dict[int, Person] = {}
    for part in snapshot.parts:
        inside = [
            post_id
            for post_id in post_ids
            if (part.lower is None or post_id >= part.lower) and (part.upper is None or post_id < part.upper)
        ]
        if not inside:
            continue
        for table in read_part(snapshot.folder, part, _COLUMNS):
            rows = table.filter(pc.is_in(table["post_id"], value_set=wanted))
            numbers, names = one_line(rows["personnummer"]), one_line(rows["patient"])
            for post_id, number, name, secret in zip(
                rows["post_id"].to_pylist(),
                numbers.to_pylist(),
                names.to_pylist(),
                rows["sekretess"].to_pylist(),
                strict=True,
            ):
                hidden = secret is not False or post_id in protected
                found[post_id] = (
                    Person(PERSON_MASKED, PERSON_MASKED, hidden) if hidden and masked else Person(number, name, hidden)
                )
    return found


def _protected(store: StagingStore, batch_id: str, post_ids: Collection[int]) -> frozenset[int]:
    table = schema.finding.c
    query = sa.select(table.post_id).where(
        table.batch_id == batch_id, table.rule == _PROTECTED, table.post_id.in_(list(post_ids))
    )
    with refusals_named(f"protected identities of batch {batch_id}"), store.database.connected() as connection:
        return frozenset(connection.scalars(query))
