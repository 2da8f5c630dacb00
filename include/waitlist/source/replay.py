"""Reading an older batch's snapshot in place of PMO, to see what new mapping files or go-live dates would make of it.

Each run leaves the plan of its extract beside the parts, ``plan.json``: as of when, which units, which partitions.
A replay copies the parts, so from the extract on it is a run like any other, whatever becomes of the older batch.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from waitlist.exceptions import OutdatedFileError, SettingsError, SnapshotError
from waitlist.schema import PostIds
from waitlist.source.batch_files import BatchFiles, Plan
from waitlist.source.pmo import Selection
from waitlist.source.snapshot import Partition, SnapshotPart, read_part, write_part

_UNIT: Final = "enhet_hsa_id"


class SnapshotSource:
    """The snapshot of an older batch; it plans and extracts as ``PmoSource`` does."""

    def __init__(self, files: BatchFiles) -> None:
        """Take the files of that batch."""
        self._files = files

    def select(self, as_of: dt.date | None, units: Sequence[str] | None) -> Selection:
        """Return what a run reads that was asked for this snapshot.

        Args:
            as_of: the date that was asked for; None: the snapshot's own.
            units: HSA-ids that were asked for; None: the snapshot's own.

        Raises:
            SettingsError: another date was asked for, or a unit that the snapshot was not taken of.
            SnapshotError: the batch left no snapshot, or its plan is damaged.
        """
        taken = self._plan.selection
        faults = []
        if as_of not in {None, taken.as_of}:
            faults.append(f"it was taken as of {taken.as_of}: leave as_of empty, or give that date")
        if units is not None and taken.units is not None:
            faults += [f"unit {unit!r} is not in it" for unit in sorted(set(units) - set(taken.units))]
        if faults:
            raise SettingsError(f"the snapshot of batch {self._files.batch_id} does not fit:\n  " + "\n  ".join(faults))
        return Selection(taken.as_of, taken.units if units is None else tuple(units))

    def plan(self, selection: Selection) -> list[Partition]:
        """Return the snapshot's partitions, with the posts that the selection leaves in each.

        Raises:
            SnapshotError: a part is missing or damaged, or nothing is left.
        """
        partitions = [
            replace(partition, posts=self._count(self._part(partition), selection))
            for partition in self._plan.partitions
        ]
        if not sum(partition.posts for partition in partitions):
            raise SnapshotError(
                f"the snapshot of batch {self._files.batch_id} holds no post of the units that are asked for"
            )
        return partitions

    def extract(self, selection: Selection, partition: Partition, folder: UPath) -> SnapshotPart:
        """Copy one partition, or what the selection leaves of it, into another snapshot's folder.

        Raises:
            SnapshotError: the part is missing, damaged or not the one that was planned, or cannot be written.
        """
        part = write_part(folder, partition, self._read(self._part(partition), selection, None))
        if part.posts != partition.posts:
            raise OutdatedFileError(
                f"partition {partition.number}: {partition.posts} posts were planned, {part.posts} were read: "
                f"batch {self._files.batch_id} has been read again since: clear plan_extract and what follows"
            )
        return part

    def search(self, selection: Selection, post_ids: PostIds) -> tuple[PostIds, PostIds]:  # noqa: ARG002 - as PmoSource
        """Look for posts in the whole snapshot; where it was taken of some units, what is not in it is not known.

        Returns:
            the keys that it has, and those that PMO had no more, each sorted.

        Raises:
            SnapshotError: a part is missing or damaged.
        """
        read = (table for part in self._parts for table in read_part(self._files.folder, part, ["post_id"]))
        keys = (table["post_id"].to_numpy() for table in read)
        there = np.isin(post_ids, np.concatenate([np.empty(0, np.int64), *keys]))
        gone = post_ids[~there]
        return post_ids[there], gone if self._plan.selection.units is None else gone[:0]

    @cached_property
    def _plan(self) -> Plan:
        return self._files.plan("it read nothing, or retention has removed it")

    @cached_property
    def _parts(self) -> list[SnapshotPart]:
        return self._files.parts(self._plan)

    def _part(self, partition: Partition) -> SnapshotPart:
        parts = {(part.partition, part.lower, part.upper): part for part in self._parts}
        found = parts.get((partition.number, partition.lower, partition.upper))
        if found is None:
            raise OutdatedFileError(
                f"batch {self._files.batch_id} has been read again since its snapshot was planned here: "
                "clear plan_extract and what follows"
            )
        return found

    def _count(self, part: SnapshotPart, selection: Selection) -> int:
        if selection.units == self._plan.selection.units:
            return part.posts
        return sum(table.num_rows for table in self._read(part, selection, [_UNIT]))

    def _read(self, part: SnapshotPart, selection: Selection, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        tables = read_part(self._files.folder, part, columns)
        if selection.units == self._plan.selection.units:
            return tables
        wanted = pa.array(selection.units, pa.string())
        return (table.filter(pc.is_in(table[_UNIT], wanted)) for table in tables)
