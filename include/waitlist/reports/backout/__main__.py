"""``python -m waitlist.reports.backout``: write what must return of a batch that a receiver may have loaded."""

import argparse
import datetime as dt
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from waitlist.columns.forms import hsa_id
from waitlist.command_line import add_staging, staging_url
from waitlist.exceptions import WaitlistError
from waitlist.facts.mappings import load_mappings
from waitlist.judge.rules import BUILT_IN_SEVERITIES
from waitlist.release.backout import BackOut, ToDo
from waitlist.reports.backout.files import make_files, write_files
from waitlist.reports.worklist.__main__ import ACTOR, ProgressPrinter
from waitlist.settings import Settings
from waitlist.staging import BatchState, StagingStore
from waitlist.staging.access_log import Action, record
from waitlist.swedish.formats import number


def main(arguments: Sequence[str] | None = None, *, staging: str | None = None) -> int:
    """Write the files; return 0, or 1 with every reason on standard error.

    Args:
        arguments: the command line's arguments; None: this process's own.
        staging: the staging database's SQLAlchemy URL where the command line has none; None: the environment's.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    url = staging_url(parser, given, staging)
    console = Console(stderr=True)
    actor = os.environ.get(ACTOR, "").strip()
    if not actor:
        console.print(Text(f"set {ACTOR} to your login name: whom the files name is written to the access log"))
        return 1
    try:
        settings = Settings.read()
        mappings = load_mappings(settings.mappings_dir, raisable=BUILT_IN_SEVERITIES)
        store = StagingStore(url, connections=settings.connections)
        units = {hsa_id(unit) for unit in given.unit}
        shown = ProgressPrinter(console).show
        found, content = make_files(store, store.batch(given.batch), mappings.name_of, units=units, progress=shown)

        def recording(unit: str, patients: Mapping[int, str]) -> None:
            record(
                store,
                at=dt.datetime.now(dt.UTC),
                user_id=actor,
                acting_for="",
                action=Action.BACK_OUT_FILE,
                batch_id=given.batch,
                unit=unit,
                patients=dict(patients),
            )

        paths = write_files(content, given.out, replace=given.replace, recording=recording)
    except WaitlistError as error:
        console.print(Text(str(error)), soft_wrap=True)
        return 1
    Console().print(Text(_summary(found, content.posts, paths)), soft_wrap=True)
    return 0


def _summary(found: BackOut, posts: int, paths: Sequence[Path]) -> str:
    batch, run = found.batch, found.compared_with
    state = (
        "is withdrawn after the load"
        if batch.state is BatchState.WITHDRAWN_AFTER_LOAD
        else "is still released: to withdraw it, trigger waitlist_withdrawal, which an approver answers"
    )
    changed = sum(unit.changed for unit in found.units)
    told = "no night has read PMO since" if run is None else f"as of {run.as_of}, {number(changed)} are changed in PMO"
    lines = [
        f"Batch {batch.batch_id} {state}.",
        f"{number(posts)} posts in {number(len(found.units))} units: {number(found.left(ToDo.CANCEL))} to cancel, "
        f"{number(found.left(ToDo.BY_HAND))} booked meanwhile, {number(found.left(ToDo.ASK))} to ask the receiver "
        f"about, {number(found.left(ToDo.NOTHING))} confirmed; {told}.",
        *map(str, paths),
        "They contain personal data. Only you can read them. Delete them when they are worked through.",
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m waitlist.reports.backout",
        description="Write what must return from Millennium, by unit, as a workbook and as CSV, in Swedish.",
    )
    add_staging(parser)
    parser.add_argument("--batch", required=True, metavar="ID", help="a batch that was released")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a folder, made if missing")
    parser.add_argument("--unit", action="append", default=[], metavar="HSA-ID", help="one unit; may be repeated")
    parser.add_argument("--replace", action="store_true", help="earlier files of the batch in the folder give way")
    return parser


if __name__ == "__main__":
    sys.exit(main())
