"""Work lists: an Excel workbook for each unit, with which its staff correct their waiting lists before go-live.

The first sheet counts every post of the unit. Then comes a sheet for each kind of action, with one row for each post,
the most urgent first. The patient's name and number come from the batch's snapshot, and the action comes from the
staging database. Both are read once, one range of keys at a time, so that memory use stays constant.

* ``advice`` decides the sheet of a post and its texts;
* ``sources`` reads snapshot and staging, and ``posts`` joins them and checks that they add up;
* ``rows`` stores the rows of each unit; ``workbook`` and ``csv_file`` write the files of one unit;
* ``folder`` makes the files readable by their owner only, and never shows an incomplete set of them;
* ``writing`` calls all of these.

    python -m waitlist.reports.worklist --staging URL --snapshots URL --out DIR [--batch ID] [--unit HSA-ID] [--csv]
"""

from waitlist.reports.worklist.folder import OutFolder, is_work_list
from waitlist.reports.worklist.sources import Snapshot, find_snapshot
from waitlist.reports.worklist.writing import (
    WorkList,
    Written,
    make_archive,
    make_work_list,
    unit_keys,
    write_work_lists,
)

__all__ = [
    "OutFolder",
    "Snapshot",
    "WorkList",
    "Written",
    "find_snapshot",
    "is_work_list",
    "make_archive",
    "make_work_list",
    "unit_keys",
    "write_work_lists",
]
