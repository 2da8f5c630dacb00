"""The files of a batch: they are in the batch's own folder, and the database has a list of them.

A step writes files for later steps: the plan of the extract, the parts of the snapshot, the answers about their
persons, the duplicate posts, the hashes of the booking requests, the results of each suite, the measured gates. The
table ``batch_file`` has a row for each file, with its size, its checksum and a digest of its inputs. A file that does
not match its row is refused: a file of another batch, one of an earlier attempt, or one that was changed. A file is
also refused if its inputs have been written again since.

File names and folders are never read from a file or from a task's arguments: a part is found by its number in the plan.
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from waitlist.exceptions import OutdatedFileError, SettingsError, SnapshotError, reason_of
from waitlist.files import CheckedFile, Sink, make_folder, open_checked, writing_aside
from waitlist.results import QualityResult
from waitlist.schema import PostIds
from waitlist.source.pmo import Selection
from waitlist.source.snapshot import Partition, SnapshotPart, file_name
from waitlist.staging import BatchFile, StagedRange, StagingStore

PLAN: Final = "plan.json"
DUPLICATES: Final = "duplicates.parquet"
GATES: Final = "gates.json"

_BATCH_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_HASHES: Final = pa.schema([("post_id", pa.int64()), ("row_hash", pa.string())])
_OF_A_PART: Final = frozenset({"partition", "lower", "upper", "posts", "counted"})
_DIGEST: Final = "requests_digest"
_RESULTS: Final = re.compile(r"results-(.+)\.json")
_ASSESS: Final = "clear assess and what follows"
_ASK: Final = "clear check_persons and what follows"


@dataclass(frozen=True)
class Plan:
    """What a run is to read.

    Attributes:
        selection: the as-of date and the units.
        partitions: the ranges of keys, in the order of their numbers.
    """

    selection: Selection
    partitions: tuple[Partition, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        units = self.selection.units
        return {
            "as_of": self.selection.as_of.isoformat(),
            "units": None if units is None else list(units),
            "partitions": [partition.to_dict() for partition in self.partitions],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the plan that ``to_dict`` was called on."""
        units = values["units"]
        return cls(
            Selection(dt.date.fromisoformat(values["as_of"]), None if units is None else tuple(units)),
            tuple(Partition.from_dict(partition) for partition in values["partitions"]),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of what is to be read; the counts of posts are not included, since they only divide the work."""
        keys = [[partition.lower, partition.upper] for partition in self.partitions]
        return _digest(json.dumps([self.selection.as_of.isoformat(), self.selection.units, keys]))

    def partition(self, number: object) -> Partition:
        """Return the partition with the number that a task received.

        Raises:
            OutdatedFileError: the plan has no partition with this number.
        """
        # True and 1.0 are equal to 1.
        if type(number) is not int or not 0 <= number < len(self.partitions):
            raise OutdatedFileError(
                f"the plan has {len(self.partitions)} partitions, and none with the number that this task received: "
                "clear plan_extract and what follows"
            )
        return self.partitions[number]


class BatchFiles:
    """One batch's files.

    A method that writes raises ``RefusedError`` if the batch may no longer be changed, and ``SnapshotError`` if the
    folder cannot be written to. A method that reads raises ``SnapshotError`` if a file is missing, cannot be read or
    does not match its row, and ``OutdatedFileError`` if its inputs have been written again since. All methods raise
    ``StagingError`` if the database refuses.
    """

    def __init__(self, store: StagingStore, snapshots: UPath, batch_id: str) -> None:
        """Take the staging database, the folder in which each batch has its own folder, and the batch.

        Raises:
            SettingsError: ``batch_id`` is not a batch id.
        """
        if not _BATCH_ID.fullmatch(batch_id):
            raise SettingsError("the given text is no batch id: copy the id from the table batch")
        self.batch_id: Final = batch_id
        self.folder: Final = snapshots / batch_id
        self._store: Final = store

    def require_changeable(self) -> None:
        """Raise an error if the files of the batch may no longer be changed.

        Raises:
            RefusedError: the batch awaits approval, or was released, withdrawn or rejected.
        """
        self._store.require_changeable(self.batch_id)

    def write_plan(self, plan: Plan) -> None:
        """Write the plan of the extract."""
        self._write(PLAN, "", {}, lambda sink: sink.write(_json(plan.to_dict())))

    def plan(self, remedy: str = "clear plan_extract and what follows") -> Plan:
        """Return the plan of the extract; ``remedy`` is the advice in an error message."""
        with self._opened(self._listed(), PLAN, remedy) as file:
            content = json.loads(file.read())
        return Plan.from_dict(content)

    def keep_part(self, part: SnapshotPart, plan: Plan) -> None:
        """Add a part of the snapshot to the list; its file is already in the folder."""
        if part.size is None:
            raise ValueError("a part of an earlier release is never put on the list")
        about = {name: getattr(part, name) for name in _OF_A_PART}
        name = file_name(part.partition)
        self._store.keep_file(self.batch_id, BatchFile(name, part.size, part.sha256, plan.digest, about))

    def parts(self, plan: Plan) -> list[SnapshotPart]:
        """Return all parts of the snapshot that the plan has, in the order of their numbers."""
        listed, remedy = self._listed(), "clear extract and what follows"
        names = [file_name(partition.number) for partition in plan.partitions]
        return [_part(_kept(self.batch_id, listed, name, remedy, plan.digest)) for name in names]

    def staged_parts(self, staged: Sequence[StagedRange]) -> list[SnapshotPart]:
        """Return the parts that ranges were staged from, as far as they are on the list, under any plan."""
        listed = [_part(kept) for kept in self._listed().values() if kept.about.keys() >= _OF_A_PART]
        found = {(part.lower, part.upper, part.sha256): part for part in listed}
        keys = [(line.lower, line.upper, line.part_sha256) for line in staged]
        return [found[key] for key in keys if key in found]

    def write_answers(self, part: SnapshotPart, answers: pa.Table, rules_version: str) -> None:
        """Write the answers of the person service by which a part is judged under one version of the rules."""
        made_of = _digest(rules_version, part.sha256)
        name = _answers(part.partition)
        self._write(name, made_of, {}, lambda sink: pq.write_table(answers, pa.PythonFile(sink, mode="w")))

    def answers(self, part: SnapshotPart, rules_version: str, remedy: str = _ASK) -> pa.Table:
        """Return the answers by which a part is judged under this version of the rules; ``remedy`` is the advice."""
        return self._table(_answers(part.partition), remedy, _digest(rules_version, part.sha256))

    def earlier_answers(self, number: int, empty: pa.Table) -> pa.Table:
        """Return the answers that this batch used last about a partition, for any snapshot and rules.

        Args:
            number: the partition's number.
            empty: is returned where there is no such file, or it can no longer be read.
        """
        listed, name = self._listed(), _answers(number)
        if name not in listed:
            return empty
        try:
            return self._table(name, _ASK, listed[name].made_of)
        except SnapshotError:
            return empty

    def has_answers(self, part: SnapshotPart) -> bool:
        """Tell whether there are answers about a part: a batch that asks nobody has none."""
        return _answers(part.partition) in self._listed()

    def answers_sha256(self, parts: Sequence[SnapshotPart]) -> list[str]:
        """Return the checksum of the answers about each part; an empty text for a part without answers."""
        listed = self._listed()
        names = [_answers(part.partition) for part in parts]
        return [listed[name].sha256 if name in listed else "" for name in names]

    def write_duplicates(self, post_ids: PostIds, parts: Sequence[SnapshotPart], rules_version: str) -> None:
        """Write the ids of the duplicate posts that were found in the parts under one version of the rules."""
        table = pa.table({"post_id": post_ids})
        made_of = _digest(rules_version, *(part.sha256 for part in parts))
        self._write(DUPLICATES, made_of, {}, lambda sink: pq.write_table(table, pa.PythonFile(sink, mode="w")))

    def duplicates(self, parts: Sequence[SnapshotPart], rules_version: str) -> PostIds:
        """Return the ids of the duplicate posts that were found in these parts under this version of the rules."""
        made_of = _digest(rules_version, *(part.sha256 for part in parts))
        table = self._table(DUPLICATES, "clear find_duplicates and what follows", made_of)
        found: PostIds = table.column("post_id").to_numpy()
        return found

    def write_hashes(
        self, part: SnapshotPart, hashes: Iterable[pa.Table], requests_digest: str, rules_version: str
    ) -> None:
        """Write the hashes of the booking requests that the assessment produced for a part.

        Args:
            part: the part.
            hashes: ``post_id`` and ``row_hash`` of its booking requests, in chunks.
            requests_digest: digest of all of them, as ``stage_partition`` returned it.
            rules_version: version of the rules that the assessment used.
        """
        made_of = _assessed_of(self._listed(), part, rules_version)

        def write(sink: Sink) -> None:
            # No two hashes are the same, so a dictionary of them would be larger than they are. In one piece they would
            # be in memory once more.
            file = pa.PythonFile(sink, mode="w")
            with pq.ParquetWriter(file, _HASHES, use_dictionary=False) as writer:
                for table in hashes:
                    writer.write_table(table.cast(_HASHES))

        self._write(_hashes(part.partition), made_of, {_DIGEST: requests_digest}, write)

    def hashes(self, part: SnapshotPart, rules_version: str) -> pa.Table:
        """Return ``post_id`` and ``row_hash`` of the booking requests that the assessment produced for a part."""
        made_of = _assessed_of(self._listed(), part, rules_version)
        return self._table(_hashes(part.partition), _ASSESS, made_of)

    def requests_digest(self, part: SnapshotPart, rules_version: str) -> str:
        """Return the digest of the booking requests that the assessment produced for a part."""
        listed = self._listed()
        made_of = _assessed_of(listed, part, rules_version)
        kept = _kept(self.batch_id, listed, _hashes(part.partition), _ASSESS, made_of)
        return str(kept.about[_DIGEST])

    def keep_results(self, suite: str, looked_at: str, results: Sequence[QualityResult]) -> None:
        """Write the results of a suite, and store them in place of its earlier results.

        Args:
            suite: the suite's name.
            looked_at: digest of what the suite looked at.
            results: its results, counts only.
        """
        content = _json([result.to_dict() for result in results])
        file = self._written(f"results-{suite}.json", looked_at, {}, lambda sink: sink.write(content))
        self._store.replace_quality(self.batch_id, suite, results, file=file)

    def results_of(self) -> dict[str, str]:
        """Return the digest of what each suite looked at, by the suite's name, if its results are on the list."""
        found = ((_RESULTS.fullmatch(name), kept) for name, kept in self._listed().items())
        return {match[1]: kept.made_of for match, kept in found if match}

    def write_gates(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write the measured gates of a dry run; they depend on other batches, so they are not stored as its result."""
        self._write(GATES, "", {}, lambda sink: sink.write(_json(list(records))))

    def gates(self) -> list[dict[str, Any]]:
        """Return the measured gates; an empty list if they were not measured."""
        listed = self._listed()
        if GATES not in listed:
            return []
        with self._opened(listed, GATES, "clear watch_gates") as file:
            return [dict(record) for record in json.loads(file.read())]

    def _listed(self) -> Mapping[str, BatchFile]:
        return self._store.files(self.batch_id)

    def _write(self, name: str, made_of: str, about: Mapping[str, Any], write: Callable[[Sink], object]) -> None:
        self._store.keep_file(self.batch_id, self._written(name, made_of, about, write))

    def _written(self, name: str, made_of: str, about: Mapping[str, Any], write: Callable[[Sink], object]) -> BatchFile:
        self.require_changeable()
        try:
            make_folder(self.folder)
            with writing_aside(self.folder / name) as sink:
                write(sink)
        except OSError as error:
            raise SnapshotError(f"{name} could not be written to {self.folder}: {reason_of(error)}") from None
        return BatchFile(name, sink.size, sink.sha256, made_of, about)

    def _table(self, name: str, remedy: str, made_of: str) -> pa.Table:
        with self._opened(self._listed(), name, remedy, made_of) as file:
            return pq.ParquetFile(file).read()

    @contextmanager
    def _opened(
        self, listed: Mapping[str, BatchFile], name: str, remedy: str, made_of: str = ""
    ) -> Iterator[CheckedFile]:
        kept = _kept(self.batch_id, listed, name, remedy, made_of)
        place = f"{name} in {self.folder}"
        try:
            with open_checked(self.folder / name, size=kept.size, sha256=kept.sha256) as file:
                yield file
        except FileNotFoundError:
            raise SnapshotError(f"{place} is missing: {remedy}") from None
        except OSError as error:
            raise SnapshotError(f"{place} could not be read: {reason_of(error)}: {remedy}") from None
        except (pa.ArrowException, ValueError) as error:
            raise SnapshotError(f"{place} could not be read ({type(error).__name__}): {remedy}") from None


def _kept(batch_id: str, listed: Mapping[str, BatchFile], name: str, remedy: str, made_of: str) -> BatchFile:
    kept = listed.get(name)
    if kept is None:
        raise SnapshotError(f"{name} of batch {batch_id} is missing: {remedy}")
    if kept.made_of != made_of:
        raise OutdatedFileError(
            f"{name} of batch {batch_id} is out of date, since its inputs have been written again: {remedy}"
        )
    return kept


def _part(kept: BatchFile) -> SnapshotPart:
    return SnapshotPart(sha256=kept.sha256, size=kept.size, **kept.about)


def _assessed_of(listed: Mapping[str, BatchFile], part: SnapshotPart, rules_version: str) -> str:
    duplicates = listed[DUPLICATES].sha256 if DUPLICATES in listed else ""
    answers = _answers(part.partition)
    # A batch that asks nobody has no answers.
    return _digest(rules_version, part.sha256, duplicates, *([listed[answers].sha256] if answers in listed else []))


def _answers(number: int) -> str:
    return f"persons-{number:05d}.parquet"


def _hashes(number: int) -> str:
    return f"row_hashes-{number:05d}.parquet"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _json(content: object) -> bytes:
    return json.dumps(content, indent=2).encode() + b"\n"
