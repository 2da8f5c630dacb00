"""Writes the work lists of a batch: all of them or no file at all."""

import shutil
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import IO, Final

import pyarrow as pa
import sqlalchemy as sa

from waitlist.columns.forms import hsa_id
from waitlist.exceptions import WorkListError
from waitlist.facts.mappings import Mappings
from waitlist.reports.readiness import Readiness
from waitlist.reports.since import nights_to_compare, read_since
from waitlist.reports.worklist.csv_file import write_csv
from waitlist.reports.worklist.folder import UNKNOWN_UNIT, OutFolder, archive_name, file_name, open_new
from waitlist.reports.worklist.posts import UNKNOWN, Gathering, Progress, UnitFacts, unit_key
from waitlist.reports.worklist.rows import Aside, annotated
from waitlist.reports.worklist.sources import Snapshot
from waitlist.reports.worklist.workbook import write_workbook
from waitlist.staging import Batch, StagingStore, schema
from waitlist.staging.database import refusals_named
from waitlist.staging.dry_runs import comparable, read_dry_runs
from waitlist.staging.post_outcomes import read_of_unit
from waitlist.swedish.words import WORK_LIST_MASKED

Recording = Callable[[str, Mapping[int, str | None]], None]
"""Called with a unit's key, and the number in PMO of each patient that its list names, by post id."""

_UNIX: Final = 3
_OWNER_ONLY: Final = 0o600


@dataclass(frozen=True, slots=True)
class Written:
    """The counts of what was written."""

    units: int
    rows: int
    """Posts that need an action."""


@dataclass(frozen=True, slots=True)
class WorkList:
    """One unit's work list, in memory only."""

    name: str
    """The file's name."""
    content: bytes
    rows: int
    """Posts that need an action."""
    patients: Mapping[int, str | None]
    """The number in PMO of each patient that the list names, by post id; masked patients are left out."""


@dataclass(frozen=True, slots=True)
class Archive:
    """The work lists of a wave's units in one file, in memory only."""

    name: str
    """The file's name."""
    content: bytes
    patients: Mapping[str, Mapping[int, str | None]]
    """As ``WorkList.patients``, by the unit's key."""


def unit_keys(readiness: Readiness, mappings: Mappings, asked: Collection[str]) -> frozenset[str] | None:
    """Return the keys of the requested units, None for all.

    Args:
        readiness: the batch.
        mappings: the units that are known.
        asked: HSA-ids, and ``folder.UNKNOWN_UNIT``; empty for every unit of the batch.

    Raises:
        WorkListError: with every unit that has no post in the batch.
    """
    known = {unit_key(unit.hsa_id, mappings) for wave in readiness.waves for unit in wave.units}
    keys = {name: UNKNOWN if name == UNKNOWN_UNIT else hsa_id(name) for name in asked}
    if missing := [name for name, key in keys.items() if not name or key not in known]:
        batch_id = readiness.batch.batch_id
        raise WorkListError("\n".join(f"unit {name} has no posts in batch {batch_id}" for name in missing))
    return frozenset(keys.values()) or None


def write_work_lists(
    store: StagingStore,
    readiness: Readiness,
    snapshot: Snapshot,
    mappings: Mappings,
    out: OutFolder,
    *,
    only: frozenset[str] | None = None,
    with_csv: bool = False,
    with_archives: bool = False,
    recording: Recording,
    progress: Progress = lambda _what, _done, _of: None,
) -> Written:
    """Write the work list of each unit of a batch; when this fails, nothing has changed.

    Args:
        store: the staging database.
        readiness: the batch, from ``read_readiness``.
        snapshot: its snapshot, from ``find_snapshot``.
        mappings: names and waves of the units.
        out: the folder to write to.
        only: the result of ``unit_keys``; None for every unit of the batch.
        with_csv: write a CSV file beside each workbook.
        with_archives: write one archive a wave besides, with the lists of all its units.
        recording: called with a unit's key and its patients before any file is moved to the folder; where it raises,
            no file is.
        progress: called with the progress.

    Raises:
        WorkListError: snapshot and staging do not add up, or the folder or disk refused.
        SnapshotError: the snapshot is damaged.
        StagingError: the database refused.
    """
    as_of = readiness.batch.as_of
    made = rows_made = 0
    with out.filling() as folder:
        aside = Aside(folder, readiness.batch.posts_extracted or 0)
        gathering = Gathering(readiness, mappings, aside, only=only)
        gathering.gather(store, snapshot, progress)
        for place, rows in aside.read(len(gathering.units)):
            unit = gathering.units[place]
            if only is not None and unit.key not in only:
                continue
            told = _annotated(store, readiness.batch, unit, rows)
            with open_new(folder / file_name(unit.key, as_of, "xlsx", name=unit.planned_name)) as file:
                write_workbook(file, readiness.batch, unit, told, beside=folder)
            if with_csv:
                write_csv(folder / file_name(unit.key, as_of, "csv", name=unit.planned_name), told)
            recording(unit.key, named(rows))
            made += 1
            rows_made += rows.num_rows
            progress("units written", made, len(only or gathering.units))
        if with_archives:
            _write_archives(folder, gathering.units, as_of)
    return Written(made, rows_made)


def named(rows: pa.Table) -> dict[int, str | None]:
    """Return the number in PMO of each patient that rows name, by post id; a masked patient is not named."""
    ids, numbers, names = (rows[column].to_pylist() for column in ("post_id", "personnummer", "patient"))
    return {
        post_id: number
        for post_id, number, name in zip(ids, numbers, names, strict=True)
        if (number, name) != (WORK_LIST_MASKED, WORK_LIST_MASKED)
    }


def make_work_list(
    store: StagingStore, readiness: Readiness, snapshot: Snapshot, mappings: Mappings, key: str
) -> WorkList:
    """Make the work list of one unit in memory: no file remains, however the process ends.

    Args:
        store: the staging database.
        readiness: the batch, from ``read_readiness``.
        snapshot: its snapshot, from ``find_snapshot``.
        mappings: names and waves of the units.
        key: the unit's key, as from ``unit_keys``.

    Raises:
        WorkListError: the unit has no posts in the batch, or more than Excel allows on a sheet; or snapshot and staging
            do not add up.
        SnapshotError: the snapshot is damaged.
        StagingError: the database refused.
    """
    aside = Aside(None, readiness.batch.posts_extracted or 0)
    gathering = Gathering(readiness, mappings, aside, only=frozenset({key}))
    gathering.gather(store, snapshot, lambda _what, _done, _of: None)
    for place, rows in aside.read(len(gathering.units)):
        unit = gathering.units[place]
        if unit.key == key:
            file = BytesIO()
            write_workbook(file, readiness.batch, unit, _annotated(store, readiness.batch, unit, rows))
            name = file_name(key, readiness.batch.as_of, "xlsx", name=unit.planned_name)
            return WorkList(name, file.getvalue(), rows.num_rows, named(rows))
    raise WorkListError(f"unit {key} has no posts in batch {readiness.batch.batch_id}")


def make_archive(
    store: StagingStore, readiness: Readiness, snapshot: Snapshot, mappings: Mappings, wave: str
) -> Archive:
    """Make the archive of a wave in memory: no file remains, however the process ends.

    Args:
        store: the staging database.
        readiness: the batch, from ``read_readiness``.
        snapshot: its snapshot, from ``find_snapshot``.
        mappings: names and waves of the units.
        wave: the wave.

    Raises:
        WorkListError: no unit of the wave has posts in the batch; or snapshot and staging do not add up.
        SnapshotError: the snapshot is damaged.
        StagingError: the database refused.
    """
    batch = readiness.batch
    keys = frozenset(key for key, unit in mappings.units.items() if unit.vag == wave)
    aside = Aside(None, batch.posts_extracted or 0)
    gathering = Gathering(readiness, mappings, aside, only=keys)
    gathering.gather(store, snapshot, lambda _what, _done, _of: None)
    made: dict[str, bytes] = {}
    patients: dict[str, Mapping[int, str | None]] = {}
    for place, rows in aside.read(len(gathering.units)):
        unit = gathering.units[place]
        if unit.key in keys:
            file = BytesIO()
            write_workbook(file, batch, unit, _annotated(store, batch, unit, rows))
            made[file_name(unit.key, batch.as_of, "xlsx", name=unit.planned_name)] = file.getvalue()
            patients[unit.key] = named(rows)
    if not made:
        raise WorkListError(f"no unit of wave {wave} has posts in batch {batch.batch_id}")
    content = BytesIO()
    _write_archive(content, batch.as_of, made, lambda name: BytesIO(made[name]))
    return Archive(archive_name(wave, batch.as_of), content.getvalue(), patients)


def _annotated(store: StagingStore, batch: Batch, unit: UnitFacts, rows: pa.Table) -> pa.Table:
    """Return a unit's rows with since when they have been on the list, and with what its staff have written."""
    ruled = zip(rows["post_id"].to_pylist(), rows["rule"].to_pylist(), strict=True)
    rules = {post_id: rule for post_id, rule in ruled if rule is not None}
    database = store.database
    with refusals_named("reading what is known of a unit's posts"), database.connected() as connection:
        # A database of an earlier release lacks the table until its next run.
        has_table = sa.inspect(connection).has_table(schema.post_outcome.name, schema=database.schema)
        entries = read_of_unit(connection, unit.key) if has_table else {}
        runs = [run for run in comparable(read_dry_runs(connection)) if run.as_of <= batch.as_of]
        is_night = bool(runs) and runs[-1].batch_id == batch.batch_id
        nights = nights_to_compare(connection, runs) if is_night else ()
        since = read_since(connection, nights, rules) if len(nights) > 1 else {}
    return annotated(rows, since, entries, unit.owed)


def _write_archives(folder: Path, units: Sequence[UnitFacts], as_of: date) -> None:
    """Write one archive a wave of the files in a folder."""
    for wave in sorted({unit.wave for unit in units if unit.wave}):
        names = {
            file_name(unit.key, as_of, suffix, name=unit.planned_name)
            for unit in units
            if unit.wave == wave
            for suffix in ("csv", "xlsx")
        }
        with open_new(folder / archive_name(wave, as_of)) as file:
            written = [name for name in names if (folder / name).exists()]
            _write_archive(file, as_of, written, lambda name: (folder / name).open("rb"))


def _write_archive(
    file: IO[bytes], as_of: date, names: Collection[str], opened: Callable[[str], AbstractContextManager[IO[bytes]]]
) -> None:
    """Write an archive of files, given by their names; the same files give the same bytes."""
    with zipfile.ZipFile(file, "w") as archive:
        for name in sorted(names):
            # Stored, since a workbook is compressed already, and another library could compress in another way.
            info = zipfile.ZipInfo(name, (as_of.year, as_of.month, as_of.day, 0, 0, 0))
            info.create_system, info.external_attr = _UNIX, _OWNER_ONLY << 16
            with opened(name) as source, archive.open(info, "w") as target:
                shutil.copyfileobj(source, target)
