"""The files of a batch of an earlier release, which had no list of files but a description beside each file.

Work lists, names, what-if and replays still read such a batch. A batch is of an earlier release if it has no plan on
the list and its partitions were staged without the checksums of their parts. That is decided from the database alone,
never from a file. The steps of a run never read a file that is not on the list.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from upath import UPath

from waitlist.exceptions import SnapshotError, reason_of
from waitlist.files import open_checked
from waitlist.source.batch_files import GATES, PLAN, BatchFiles, Plan
from waitlist.source.snapshot import SnapshotPart
from waitlist.staging import StagedRange, StagingStore

_GONE: Final = "retention has removed it, or it is in another folder"


def files_of(store: StagingStore, snapshots: UPath, batch_id: str) -> BatchFiles:
    """Return the files of a batch of any release, for reading only.

    Raises:
        SettingsError: ``batch_id`` is not a batch id.
        StagingError: the database refused.
    """
    files = BatchFiles(store, snapshots, batch_id)
    if PLAN in store.files(batch_id):
        return files
    staged = store.staged_ranges(batch_id)
    if not staged or any(line.part_sha256 is not None for line in staged):
        return files
    return EarlierFiles(store, snapshots, batch_id)


class EarlierFiles(BatchFiles):
    """The files of a batch of an earlier release; a part is checked against the description beside it."""

    def plan(self, remedy: str = _GONE) -> Plan:
        """Return the plan of the extract."""
        content = self._described(PLAN, remedy)
        try:
            return Plan.from_dict(content)
        except (ValueError, KeyError, TypeError):
            raise SnapshotError(f"{PLAN} in {self.folder} is damaged") from None

    def parts(self, plan: Plan) -> list[SnapshotPart]:
        """Return all parts of the snapshot that the plan has, in the order of their numbers."""
        parts = [self._part(partition.number) for partition in plan.partitions]
        for part, partition in zip(parts, plan.partitions, strict=True):
            if (part.lower, part.upper) != (partition.lower, partition.upper):
                raise SnapshotError(
                    f"part {partition.number} of batch {self.batch_id} is not from the extract of its plan"
                )
        return parts

    def staged_parts(self, staged: Sequence[StagedRange]) -> list[SnapshotPart]:
        """Return the parts that ranges were staged from, as far as they are in the folder."""
        parts = [self._part(number) for number in range(len(staged))]
        return [
            part
            for part, line in zip(parts, staged, strict=True)
            if (part.lower, part.upper, part.posts) == (line.lower, line.upper, line.posts)
        ]

    def gates(self) -> list[dict[str, Any]]:
        """Return the measured gates; an empty list if they were not measured."""
        measured_since = super().gates()
        if measured_since or not (self.folder / GATES).exists():
            return measured_since
        told = self._described(GATES, _GONE)
        if not isinstance(told, list) or not all(isinstance(record, dict) for record in told):
            raise SnapshotError(f"{GATES} in {self.folder} is damaged: remove it")
        return told

    def _part(self, number: int) -> SnapshotPart:
        name = f"part-{number:05d}.json"
        told = self._described(name, _GONE)
        try:
            # Some releases wrote no count. They also wrote a part only if as many posts were read as were counted.
            counted = told.get("counted", told["posts"])
            keys = {key: told[key] for key in ("lower", "upper", "posts", "sha256")}
            return SnapshotPart(partition=number, size=None, counted=counted, **keys)
        except (KeyError, TypeError, AttributeError):
            raise SnapshotError(f"{name} in {self.folder} is damaged") from None

    def _described(self, name: str, remedy: str) -> Any:  # noqa: ANN401 - any JSON value
        place = f"{name} in {self.folder}"
        try:
            with open_checked(self.folder / name, size=None, sha256=None) as file:
                return json.loads(file.read())
        except FileNotFoundError:
            raise SnapshotError(f"{place} is missing: {remedy}") from None
        except OSError as error:
            raise SnapshotError(f"{place} could not be read: {reason_of(error)}") from None
        except (ValueError, RecursionError):
            raise SnapshotError(f"{place} is damaged") from None
