"""From a batch to the files: every unit's work list, or none."""

from collections.abc import Collection
from dataclasses import dataclass

from waitlist.exceptions import WorkListError
from waitlist.mappings import Mappings
from waitlist.readiness import Readiness
from waitlist.staging import StagingStore
from waitlist.worklist.csv_file import write_csv
from waitlist.worklist.folder import OutFolder, file_name
from waitlist.worklist.posts import Gathering, Progress, unit_key
from waitlist.worklist.rows import Aside
from waitlist.worklist.sources import Snapshot
from waitlist.worklist.workbook import write_workbook


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    units: int
    rows: int
    """Posts that somebody has to act on."""


def unknown_units(readiness: Readiness, units: Collection[str]) -> list[str]:
    """Return a fault for each unit asked for that has no post in the batch."""
    known = {each.hsa_id.strip() for wave in readiness.waves for each in wave.units}
    batch_id = readiness.batch.batch_id
    return [f"unit {hsa_id} has no posts in batch {batch_id}" for hsa_id in units if hsa_id not in known]


def write_work_lists(
    store: StagingStore,
    readiness: Readiness,
    snapshot: Snapshot,
    mappings: Mappings,
    out: OutFolder,
    *,
    units: Collection[str] = (),
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
        units: HSA-ids; empty for every unit of the batch.
        with_csv: write a CSV file beside each workbook.
        progress: is told how far it has come.

    Raises:
        WorkListError: snapshot and staging do not add up, or the folder or disk refused.
        SnapshotError: the snapshot is damaged.
        StagingError: the database refused.
    """
    if faults := unknown_units(readiness, units):
        raise WorkListError("\n".join(faults))
    only = frozenset(unit_key(hsa_id, mappings) for hsa_id in units) or None
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
            write_workbook(folder / file_name(unit.key, as_of, "xlsx"), readiness.batch, unit, rows)
            if with_csv:
                write_csv(folder / file_name(unit.key, as_of, "csv"), rows)
            made += 1
            rows_made += rows.num_rows
            progress("units written", made, len(only or gathering.units))
    return Written(made, rows_made)
