"""Reading an older batch's snapshot in place of PMO, to see what new mapping files or go-live dates would make of it.

Each run leaves the plan of its extract beside the parts, ``plan.json``: as of when, which units, which partitions.
A replay copies the parts, so from the extract on it is a run like any other, whatever becomes of the older batch.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from waitlist.exceptions import SettingsError, SnapshotError, reason_of
from waitlist.files import make_folder, open_checked, writing_aside
from waitlist.pmo import Selection
from waitlist.posts import PostIds
from waitlist.snapshot import Partition, SnapshotPart, read_part, read_sidecar, write_part

_PLAN: Final = "plan.json"
_BATCH_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_UNIT: Final = "enhet_hsa_id"


@dataclass(frozen=True)
class Plan:
    """What a run set out to read."""

    selection: Selection
    partitions: tuple[Partition, ...]


def write_plan(folder: UPath, plan: Plan) -> None:
    """Leave a run's plan in its snapshot's folder, which is made when it is missing.

    Raises:
        SnapshotError: the folder cannot be written to.
    """
    selection = plan.selection
    told = {
        "as_of": selection.as_of.isoformat(),
        "units": None if selection.units is None else list(selection.units),
        "partitions": [partition.to_dict() for partition in plan.partitions],
    }
    try:
        make_folder(folder)
        with writing_aside(folder / _PLAN) as sink:
            sink.write(json.dumps(told, indent=2).encode() + b"\n")
    except OSError as error:
        raise SnapshotError(f"{_PLAN} could not be written to {folder}: {reason_of(error)}") from None


class SnapshotSource:
    """The snapshot of an older batch; it plans and extracts as ``PmoSource`` does."""

    def __init__(self, snapshots: UPath, batch_id: str) -> None:
        """Take the folder of all snapshots and the batch whose own is read.

        Raises:
            SettingsError: that is no batch id.
        """
        if not _BATCH_ID.fullmatch(batch_id):
            raise SettingsError("param reuse_snapshot is no batch id: write it as it stands in the table batch")
        self._batch_id = batch_id
        self._folder = snapshots / batch_id

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
            raise SettingsError(f"the snapshot of batch {self._batch_id} does not fit:\n  " + "\n  ".join(faults))
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
            raise SnapshotError(f"the snapshot of batch {self._batch_id} holds no post of the units that are asked for")
        return partitions

    def extract(self, selection: Selection, partition: Partition, folder: UPath) -> SnapshotPart:
        """Copy one partition, or what the selection leaves of it, into another snapshot's folder.

        Raises:
            SnapshotError: the part is missing, damaged or not the one that was planned, or cannot be written.
        """
        part = write_part(folder, partition, self._read(self._part(partition), selection, None))
        if part.posts != partition.posts:
            raise SnapshotError(
                f"partition {partition.number}: {partition.posts} posts were planned, {part.posts} were read: "
                f"the snapshot of batch {self._batch_id} changed meanwhile: rerun, beginning with the plan"
            )
        return part

    def search(self, selection: Selection, post_ids: PostIds) -> tuple[PostIds, PostIds]:  # noqa: ARG002 - as PmoSource
        """Look for posts in the whole snapshot; where it was taken of some units, what is not in it is not known.

        Returns:
            the keys that it has, and those that PMO had no more, each sorted.

        Raises:
            SnapshotError: a part is missing or damaged.
        """
        parts = map(self._part, self._plan.partitions)
        keys = (table["post_id"].to_numpy() for part in parts for table in read_part(self._folder, part, ["post_id"]))
        there = np.isin(post_ids, np.concatenate([np.empty(0, np.int64), *keys]))
        gone = post_ids[~there]
        return post_ids[there], gone if self._plan.selection.units is None else gone[:0]

    @cached_property
    def _plan(self) -> Plan:
        path = self._folder / _PLAN
        place = f"the plan of batch {self._batch_id}'s snapshot"
        try:
            with open_checked(path) as file:
                told: dict[str, Any] = json.loads(file.read())
            units = told["units"]
            selection = Selection(dt.date.fromisoformat(told["as_of"]), None if units is None else tuple(units))
            return Plan(selection, tuple(Partition.from_dict(each) for each in told["partitions"]))
        except FileNotFoundError:
            raise SnapshotError(f"{place} is missing: it read nothing, or retention has removed it") from None
        except OSError as error:
            raise SnapshotError(f"{place} could not be read: {reason_of(error)}") from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SnapshotError(f"{place} is damaged") from None

    def _part(self, partition: Partition) -> SnapshotPart:
        part = read_sidecar(self._folder, partition.number)
        if (part.lower, part.upper) != (partition.lower, partition.upper):
            raise SnapshotError(f"{part.path} of batch {self._batch_id} is of another extract than its plan")
        return part

    def _count(self, part: SnapshotPart, selection: Selection) -> int:
        if selection.units == self._plan.selection.units:
            return part.posts
        return sum(table.num_rows for table in self._read(part, selection, [_UNIT]))

    def _read(self, part: SnapshotPart, selection: Selection, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        tables = read_part(self._folder, part, columns)
        if selection.units == self._plan.selection.units:
            return tables
        wanted = pa.array(selection.units, pa.string())
        return (table.filter(pc.is_in(table[_UNIT], wanted)) for table in tables)
