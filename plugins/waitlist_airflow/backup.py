"""``python -m waitlist_airflow.backup``: backs up and restores ``millennium_staging`` and the files of its batches."""

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path

from waitlist.columns.dates import STOCKHOLM
from waitlist.exceptions import WaitlistError
from waitlist.settings import Settings
from waitlist.staging import StagingStore
from waitlist.steps.backup import back_up, restore
from waitlist_airflow.connections import place, staging_url


def main(arguments: Sequence[str] | None = None) -> int:
    """Back up or restore; return 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m waitlist_airflow.backup", description=__doc__)
    parser.add_argument("act", choices=("back-up", "restore"))
    parser.add_argument("folder", type=Path, help="the backup's folder; a new one to back up")
    given = parser.parse_args(arguments)
    try:
        settings = Settings.read()
        store = StagingStore(staging_url(settings.accounts.staging_owner), connections=settings.connections)
        snapshots = place(settings.snapshot_url, settings)
        if given.act == "restore":
            manifest = restore(store, snapshots, given.folder, tell=_tell)
        else:
            manifest = back_up(store, snapshots, given.folder, made_at=dt.datetime.now(tz=STOCKHOLM), tell=_tell)
    except WaitlistError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    rows = sum(manifest.rows.values())
    sys.stdout.write(f"{rows:,} rows in {len(manifest.rows)} tables and {len(manifest.files) - 1:,} files\n")
    return 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
