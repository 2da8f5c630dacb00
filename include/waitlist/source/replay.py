"""A replay: reading an older batch's snapshot instead of PMO, to try new mapping files or go-live dates on it.

Each run writes the plan of its extract, ``plan.json``, beside the parts: the as-of date, the units, the partitions.
A replay copies the parts. So from the extract on it is a run like any other, and no longer needs the older batch.
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
    """The snapshot of an older batch as a source, with the methods of ``PmoSource``."""

    def __init__(self, files: BatchFiles) -> None:
        """Take the files of that batch."""
        self._files = files

    def select(self, as_of: dt.date | None, units: Sequence[str] | None) -> Selection:
        """Return what a run that replays this snapshot reads.

        Args:
            as_of: the requested date; None: the snapshot's own.
            units: the requested HSA-ids; None: the snapshot's own.

        Raises:
            SettingsError: another date was requested, or a unit that is not in the snapshot.
            SnapshotError: the batch has no snapshot, or its plan is damaged.
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
        """Return the snapshot's partitions, each with the number of its posts that are in the selection.

        Raises:
            SnapshotError: a part is missing or damaged, or no post is in the selection.
        """
        partitions = [
            replace(partition, posts=self._count(self._part(partition), selection))
            for partition in self._plan.partitions
        ]
        if not sum(partition.posts for partition in partitions):
            raise SnapshotError(f"the snapshot of batch {self._files.batch_id} has no post of the requested units")
        return partitions

    def extract(self, selection: Selection, partition: Partition, folder: UPath) -> SnapshotPart:
        """Copy the posts of one partition that are in the selection into another snapshot's folder.

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
        """Look for posts in the whole snapshot. If it has only some units, nothing is known about a post outside it.

        Returns:
            The keys that the snapshot has, and the keys that PMO no longer had, each sorted.

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
