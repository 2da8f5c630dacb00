"""From a batch to the files: every unit's work list, or none."""

from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO

from waitlist.columns.forms import hsa_id
from waitlist.exceptions import WorkListError
from waitlist.facts.mappings import Mappings
from waitlist.reports.readiness import Readiness
from waitlist.reports.worklist.csv_file import write_csv
from waitlist.reports.worklist.folder import UNKNOWN_UNIT, OutFolder, file_name, open_new
from waitlist.reports.worklist.posts import UNKNOWN, Gathering, Progress, unit_key
from waitlist.reports.worklist.rows import Aside
from waitlist.reports.worklist.sources import Snapshot
from waitlist.reports.worklist.workbook import write_workbook
from waitlist.staging import StagingStore


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    units: int
    rows: int
    """Posts that somebody has to act on."""


@dataclass(frozen=True, slots=True)
class WorkList:
    """One unit's work list, on no disk."""

    name: str
    """Of the file, as it is to be kept."""
    content: bytes
    rows: int
    """Posts that somebody has to act on."""


def unit_keys(readiness: Readiness, mappings: Mappings, asked: Collection[str]) -> frozenset[str] | None:
    """Return the keys of the units that are asked for, None for all.

    Args:
        readiness: the batch.
        mappings: the units that are known.
        asked: HSA-ids, and ``folder.UNKNOWN_UNIT``; empty for every unit of the batch.

    Raises:
        WorkListError: with every one that has no post in the batch.
    """
    known = {unit_key(each.hsa_id, mappings) for wave in readiness.waves for each in wave.units}
    keys = {each: UNKNOWN if each == UNKNOWN_UNIT else hsa_id(each) for each in asked}
    if missing := [each for each, key in keys.items() if not each or key not in known]:
        batch_id = readiness.batch.batch_id
        raise WorkListError("\n".join(f"unit {each} has no posts in batch {batch_id}" for each in missing))
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
    progress: Progress = lambda _what, _done, _of: None,
) -> Written:
    """Write the work list of each unit of a batch; nothing has changed when this fails.

    Args:
        store: the staging database.
        readiness: the batch, as ``read_readiness`` gives it.
        snapshot: its snapshot, as ``find_snapshot`` gives it.
        mappings: names and waves of the units.
        out: where to.
        only: what ``unit_keys`` returned; None for every unit of the batch.
        with_csv: write a CSV file beside each workbook.
        progress: is told how far it has come.

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
            with open_new(folder / file_name(unit.key, as_of, "xlsx")) as file:
                write_workbook(file, readiness.batch, unit, rows, beside=folder)
            if with_csv:
                write_csv(folder / file_name(unit.key, as_of, "csv"), rows)
            made += 1
            rows_made += rows.num_rows
            progress("units written", made, len(only or gathering.units))
    return Written(made, rows_made)


def make_work_list(
    store: StagingStore, readiness: Readiness, snapshot: Snapshot, mappings: Mappings, key: str
) -> WorkList:
    """Make the work list of one unit in memory: nothing of it is left behind, however the process ends.

    Args:
        store: the staging database.
        readiness: the batch, as ``read_readiness`` gives it.
        snapshot: its snapshot, as ``find_snapshot`` gives it.
        mappings: names and waves of the units.
        key: of the unit, one that ``unit_keys`` would return.

    Raises:
        WorkListError: the unit has no posts in the batch, or more than a sheet has room for; or snapshot and staging do
            not add up.
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
            write_workbook(file, readiness.batch, unit, rows)
            return WorkList(file_name(key, readiness.batch.as_of, "xlsx"), file.getvalue(), rows.num_rows)
    raise WorkListError(f"unit {key} has no posts in batch {readiness.batch.batch_id}")
