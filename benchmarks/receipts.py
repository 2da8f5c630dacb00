"""Takes 100,000 receipts from one file, by ``python -m benchmarks.receipts [STAGING_URL]``; SQLite without a URL."""

import csv
import datetime as dt
import sys
import tempfile
import time
from pathlib import Path

from tests.support import batches, releases
from upath import UPath

from waitlist.release import decisions
from waitlist.release.receipts import files
from waitlist.staging import StagingStore, schema

POSTS = 100_000
WAVE = "wave"


def main(url: str | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = StagingStore(url or f"sqlite:///{folder / 'staging.sqlite'}")
        store.migrate()
        # Three posts of eight migrate in the ready-made batches.
        migrating = releases.migrating(range(1, POSTS * 8 // 3 + 8))[:POSTS]
        releases.awaiting(store, WAVE, migrating)
        decisions.release(store, WAVE, "lead", None, releases.LATER)
        (folder / "in").mkdir()
        at = (releases.LATER + dt.timedelta(hours=1)).isoformat()
        with (folder / "in" / "receipts.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(schema.RECEIPT_COLUMNS)
            writer.writerows([WAVE, post, "accepted", at, f"m{post}", "", ""] for post in migrating)
        now = releases.LATER + dt.timedelta(days=1)
        begun, used = time.perf_counter(), time.process_time()
        taken = files.take(store, UPath(folder / "in"), {}, now)
        seconds, processor = time.perf_counter() - begun, time.process_time() - used
        assert (taken.new, len(batches.rows(store, schema.post_answer))) == (POSTS, POSTS)
        print(f"{store.database.dialect}: {taken.new} receipts in {seconds:.1f} s, {processor:.1f} s of this process")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
