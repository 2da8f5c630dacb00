"""The demo's nights: the dry-run DAG as of each of the last 30 days, on a synthetic PMO whose staff mend posts.

    python scripts/demo_history.py FOLDER LAST-DAY NIGHTS

FOLDER holds the new output of ``python -m waitlist.simulator``. Every night is a run of Airflow. One of them fails, as
happens in production: PMO is being upgraded and lacks a table, and the run stops before anything is read. The runs'
logs are written to ``FOLDER/nights.log``, and that of each step to where Airflow's pages read it. Where the person
service's stand-in is asked, it answers as of each night. Before each night the simulated receiver says what has become
of the pilot's posts until then, in a file that the pipeline's own step takes.
"""

import datetime as dt
import os
import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from waitlist.columns.dates import STOCKHOLM
from waitlist.settings import Settings
from waitlist.simulator.history import History
from waitlist.simulator.receiver import read_hand_offs, write_receipts

FAILS: Final = 19
"""The night that fails."""
_STEP: Final = re.compile(
    r"\[DAG TEST\] running task <TaskInstance: (?P<dag>\w+)\.(?P<task>\w+) (?P<run>\S+) (?:map_index=(?P<part>\d+) )?\["
)
"""The line of a log with which a step begins; steps run one after the other."""


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
    logs = Path(os.environ["AIRFLOW_HOME"]) / "logs"
    settings = Settings.read()
    asks = settings.rules.asks_persons
    receiver = Receiver(settings)
    for number, day in enumerate(days, 1):
        if number == nights and data_docs:
            # Data Docs of every night would take a tenth of the time, and engineers look at the latest.
            os.environ["WAITLIST_DATA_DOCS_DIR"] = data_docs
        begun, told_before = time.monotonic(), (folder / "nights.log").stat().st_size
        changed = history.live_through(day)
        if asks:
            tell_day(folder, day)
        receiver.answer(dt.datetime.combine(day, dt.time(), STOCKHOLM))
        fails = number == FAILS
        with without_table(folder / "pmo.sqlite") if fails else nullcontext():
            code = dry_run.run(dag, day)
        keep_step_logs((folder / "nights.log").read_bytes()[told_before:].decode("utf-8", "replace"), logs)
        if bool(code) is not fails:
            told.write(
                f"the dry run as of {day} {'failed' if code else 'should have failed'}: see {folder}/nights.log\n"
            )
            return 1
        what = "fails, as planned" if fails else f"{changed} posts changed in PMO"
        told.write(f"     night {number:2} of {nights}  {day}  {what} ({time.monotonic() - begun:.1f} s)\n")
    return 0


class Receiver:
    """The simulated receiver, and the step that takes its receipts."""

    def __init__(self, settings: Settings) -> None:
        """Begin with the first release; without a folder for receipts there is no receiver."""
        self._hand_offs, self._receipts = (
            None if url is None else Path(url.removeprefix("file://"))
            for url in (settings.handoff_url, settings.receipts_url)
        )
        self._told = dt.datetime.min.replace(tzinfo=dt.UTC)

    def answer(self, until: dt.datetime) -> None:
        """Say what has become of the posts since the last answer, and let the pipeline take it."""
        if self._hand_offs is None or self._receipts is None:
            return
        from waitlist_airflow import runs  # noqa: PLC0415 - as in main

        for handed in read_hand_offs(self._hand_offs):
            write_receipts(handed, self._receipts, since=self._told, until=until)
        self._told = until
        runs.pipeline().take_receipts(lambda _notice: None, now=until)


def keep_step_logs(text: str, logs: Path) -> None:
    """Write the log of each step of a run in this process to the file in which Airflow looks for it.

    Args:
        text: the log of the run.
        logs: Airflow's folder of logs.
    """
    steps: dict[Path, list[str]] = {}
    lines: list[str] | None = None
    for line in text.splitlines():
        if (found := _STEP.search(line)) is not None:
            folder = logs / f"dag_id={found['dag']}" / f"run_id={found['run']}" / f"task_id={found['task']}"
            lines = steps.setdefault(folder if found["part"] is None else folder / f"map_index={found['part']}", [])
        elif lines is not None:
            lines.append(line)
    for folder, told in steps.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "attempt=1.log").write_text("\n".join(told) + "\n", encoding="utf-8")


def tell_day(folder: Path, day: dt.date) -> None:
    """Let the person service's stand-in answer as of a day."""
    aside = folder / "pu" / "day.new"
    aside.write_text(f"{day}\n", encoding="ascii")
    aside.replace(folder / "pu" / "day")


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
