"""The demo's nights: the dry-run DAG as of each of the last 30 days, on a synthetic PMO whose staff mend posts.

    python scripts/demo_history.py FOLDER LAST-DAY NIGHTS

FOLDER holds the new output of ``python -m waitlist.simulator``. Every night is a run of Airflow. One of them fails, as
happens in production: PMO is being upgraded and lacks a table, and the run stops before anything is read. The runs'
logs are written to ``FOLDER/nights.log``.
"""

import datetime as dt
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from waitlist.simulator.history import History

FAILS: Final = 19
"""The night that fails."""


def main(folder: Path, last: dt.date, nights: int) -> int:
    """Run every night; return 0 when each ended as expected."""
    days = [last - dt.timedelta(days=nights - number) for number in range(1, nights + 1)]
    history = History(folder / "pmo.sqlite", folder, first=days[0], last=last)
    told = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    with (folder / "nights.log").open("wb", buffering=0) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    data_docs = os.environ.pop("WAITLIST_DATA_DOCS_DIR", "")
    # After the log is in place: Airflow sets up its own logging as it is imported.
    from waitlist_airflow import dry_run  # noqa: PLC0415

    dag = dry_run.load()
    for number, day in enumerate(days, 1):
        if number == nights and data_docs:
            # Data Docs of every night would take a tenth of the time, and engineers look at the latest.
            os.environ["WAITLIST_DATA_DOCS_DIR"] = data_docs
        begun = time.monotonic()
        changed = history.live_through(day)
        fails = number == FAILS
        with without_table(folder / "pmo.sqlite") if fails else nullcontext():
            code = dry_run.run(dag, day)
        if bool(code) is not fails:
            told.write(
                f"the dry run as of {day} {'failed' if code else 'should have failed'}: see {folder}/nights.log\n"
            )
            return 1
        what = "fails, as planned" if fails else f"{changed} posts changed in PMO"
        told.write(f"     night {number:2} of {nights}  {day}  {what} ({time.monotonic() - begun:.1f} s)\n")
    return 0


@contextmanager
def without_table(pmo: Path) -> Iterator[None]:
    """Take a table of PMO away for as long as the block lasts."""
    with closing(sqlite3.connect(pmo, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE bilaga RENAME TO bilaga_upgrading")
        try:
            yield
        finally:
            connection.execute("ALTER TABLE bilaga_upgrading RENAME TO bilaga")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), dt.date.fromisoformat(sys.argv[2]), int(sys.argv[3])))
