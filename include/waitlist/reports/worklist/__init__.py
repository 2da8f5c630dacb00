"""Work lists: one Excel workbook a unit, by which its staff get their waiting lists clean before go-live.

The first sheet adds up every post of the unit; then comes a sheet for each thing that somebody has to do, a row a
post, the most urgent first. Who the patient is comes from the batch's snapshot, what is to be done from the
staging database; both are read once, key range by key range, so that memory stays flat.

* ``advice`` decides which sheet a post stands on and what is said about it;
* ``sources`` reads snapshot and staging, ``posts`` brings them together and proves that they add up;
* ``rows`` holds what was found, unit by unit; ``workbook`` and ``csv_file`` lay out one unit;
* ``folder`` keeps the files their owner's alone, and lets nobody see half of them;
* ``writing`` does all of it.

    python -m waitlist.reports.worklist --staging URL --snapshots URL --out DIR [--batch ID] [--unit HSA-ID] [--csv]
"""

from waitlist.reports.worklist.folder import OutFolder, is_work_list
from waitlist.reports.worklist.sources import Snapshot, find_snapshot
from waitlist.reports.worklist.writing import WorkList, Written, make_work_list, unit_keys, write_work_lists

__all__ = [
    "OutFolder",
    "Snapshot",
    "WorkList",
    "Written",
    "find_snapshot",
    "is_work_list",
    "make_work_list",
    "unit_keys",
    "write_work_lists",
]
