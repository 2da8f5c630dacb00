"""``python -m waitlist.reports.worklist``: write the work lists of a batch."""

import argparse
import datetime as dt
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text
from upath import UPath

from waitlist.command_line import add_staging, staging_url
from waitlist.exceptions import SnapshotError, WaitlistError, WorkListError
from waitlist.facts.mappings import Mappings, load_mappings
from waitlist.judge.rules import BUILT_IN_SEVERITIES
from waitlist.reports.readiness import LATEST, Readiness, read_readiness
from waitlist.reports.worklist.folder import OutFolder
from waitlist.reports.worklist.sources import Snapshot, find_snapshot
from waitlist.reports.worklist.writing import unit_keys, write_work_lists
from waitlist.settings import Peer, Settings
from waitlist.staging import StagingStore
from waitlist.staging.access_log import Action, numbers_of, record
from waitlist.swedish.formats import number
from waitlist.tls import checked

_NO_MAPPINGS: Final = Mappings((), (), {}, (), {}, {})
ACTOR: Final = "WAITLIST_ACTOR"
"""The environment variable with the name of the person at the terminal."""
_SILENT_SECONDS: Final = 3.0
_BETWEEN_SECONDS: Final = 10.0


def main(arguments: Sequence[str] | None = None, *, staging: str | None = None) -> int:
    """Write the work lists; return 0, or 1 with every reason on standard error.

    Args:
        arguments: the command line's arguments; None: this process's own.
        staging: the staging database's SQLAlchemy URL where the command line has none; None: the environment's.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    url = staging_url(parser, given, staging)
    console = Console(stderr=True)
    faults: list[str] = []
    mappings = _NO_MAPPINGS
    readiness: Readiness | None = None
    snapshot: Snapshot | None = None
    only: frozenset[str] | None = None
    with _noted(faults):
        mappings = load_mappings(given.mappings or Settings.read().mappings_dir, raisable=BUILT_IN_SEVERITIES)
    with _noted(faults):
        store = StagingStore(url, connections=Settings.read().connections)
        readiness = read_readiness(store, given.batch, mappings)
    if readiness is not None:
        with _noted(faults):
            only = unit_keys(readiness, mappings, given.unit)
        with _noted(faults):
            snapshot = find_snapshot(store, readiness.batch, _folder(given.snapshots))
    actor = os.environ.get(ACTOR, "").strip()
    if not actor:
        faults.append(f"set {ACTOR} to your login name: whom the work lists name is written to the access log")
    if given.archive and given.unit:
        faults.append("an archive has the lists of every unit of its wave: give --archive or --unit")
    place = _target_folder(given.out, readiness, faults)
    out = None if place is None else OutFolder(place, units=only, replace=given.replace)
    faults += [] if out is None else out.faults()
    if readiness is not None and snapshot is not None and place is not None and out is not None and not faults:
        batch = readiness.batch

        def recording(unit: str, patients: Mapping[int, str | None]) -> None:
            numbers = numbers_of(list(patients.values()), batch.as_of)
            record(
                store,
                at=dt.datetime.now(dt.UTC),
                user_id=actor,
                acting_for="",
                action=Action.WORK_LIST_FILE,
                batch_id=batch.batch_id,
                unit=unit,
                patients=dict(zip(patients, numbers, strict=True)),
            )

        with _noted(faults):
            written = write_work_lists(
                store,
                readiness,
                snapshot,
                mappings,
                out,
                only=only,
                with_csv=given.csv,
                recording=recording,
                with_archives=given.archive,
                progress=ProgressPrinter(console).show,
            )
            Console().print(
                Text(
                    f"{number(written.units)} work lists of batch {readiness.batch.batch_id} as of "
                    f"{readiness.batch.as_of}, {number(written.rows)} posts to act on, in {place}\n"
                    "They contain personal data. Only you can read them. Delete them when they are worked through."
                    f"\n{_whose_to_remove(place, readiness.batch.batch_id)}"
                ),
                soft_wrap=True,
            )
    if faults:
        console.print(Text("\n".join(faults)), soft_wrap=True)
    return 1 if faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m waitlist.reports.worklist", description="Write one work list a unit, in Swedish, for a batch."
    )
    add_staging(parser)
    parser.add_argument("--snapshots", required=True, metavar="URL", help="where each batch has its snapshot's folder")
    parser.add_argument("--batch", default=LATEST, metavar="ID", help="a batch; without it the latest dry run")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="a folder of its own, made if missing; without it the batch's in WAITLIST_WORKLISTS_DIR",
    )
    parser.add_argument("--unit", action="append", default=[], metavar="HSA-ID", help="one unit; may be repeated")
    parser.add_argument("--csv", action="store_true", help="a CSV file beside each workbook")
    parser.add_argument("--archive", action="store_true", help="an archive a wave besides, with the lists of its units")
    parser.add_argument("--mappings", type=Path, metavar="DIR", help="folder of the mapping files")
    parser.add_argument("--replace", action="store_true", help="earlier lists of these units in the folder give way")
    return parser


def _target_folder(asked: Path | None, readiness: Readiness | None, faults: list[str]) -> Path | None:
    """Return the folder to write to: the requested one, else the one in which retention looks for the batch's lists."""
    if asked is not None:
        return asked
    kept = None
    with _noted(faults):
        kept = Settings.read().worklists_dir
        if kept is None:
            raise WorkListError("name a folder: --out, or WAITLIST_WORKLISTS_DIR for one of the batch's own in it")
    return None if kept is None or readiness is None else kept / readiness.batch.batch_id


def _whose_to_remove(place: Path, batch_id: str) -> str:
    kept = Settings.read().worklists_dir
    if kept is not None and place.resolve().is_relative_to((kept / batch_id).resolve()):
        return "When the batch's retention period is over, retention removes them."
    return "Retention removes files only in WAITLIST_WORKLISTS_DIR: you must remove these yourself."


def _folder(url: str) -> UPath:
    try:
        path = UPath(url)
    except (ValueError, ImportError):
        raise SnapshotError("--snapshots is not a folder, and not a URL of a kind that can be read here") from None
    return checked(path, may_be_plain=Peer.STORE in Settings.read().connections.plain_peers)


@contextmanager
def _noted(faults: list[str]) -> Iterator[None]:
    try:
        yield
    except WaitlistError as error:
        faults.append(str(error))


class ProgressPrinter:
    """Prints the progress of the work when it takes more than a few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = time.monotonic() + _SILENT_SECONDS

    def show(self, what: str, done: int, of: int) -> None:
        """Print how much is done, at most every ten seconds."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _BETWEEN_SECONDS
            self._console.print(Text(f"{number(done)} of {number(of)} {what}"))


if __name__ == "__main__":
    sys.exit(main())
