"""A stand-in for the receiver: it says what has become of each post of a hand-off, day by day.

    python -m waitlist.simulator.receiver HAND-OFFS RECEIPTS [--day-seconds SECONDS]

It reads nothing but what a receiver gets, the folder of hand-offs, and writes what contract 5 takes: files of receipts.
Most posts are accepted within a day and booked in the weeks after it. Some stay open, some are cancelled, a few are
rejected with a reason, a few never get a word, and of one in two hundred it contradicts itself. The same seed, hand-off
and day give the same bytes. As a command it goes on until it is ended, and for it a day lasts a minute.
"""

import argparse
import csv
import datetime as dt
import hashlib
import io
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

COLUMNS: Final = ("batch_id", "post_id", "outcome", "at", "millennium_id", "reason", "booked_for")
REASONS: Final = (
    "Platsen tar inte emot besökstypen",
    "Patienten har redan en tid för samma besök",
    "Önskat datum ligger före platsens schema",
)

_MANIFEST: Final = "manifest.json"
_TABLE: Final = "bokningsbegaran.csv"
_DAY: Final = dt.timedelta(days=1)
_SHARES: Final = {"rejected": 0.05, "silent": 0.03, "open": 0.12, "cancelled": 0.04, "contradicted": 0.005}
"""The share of the posts that gets each fate, one post at least; every other post is booked."""
_MOST_DAYS: Final = 24
"""Days after the release within which a post is booked."""


@dataclass(frozen=True, slots=True)
class HandOff:
    """What a receiver has got."""

    batch_id: str
    released_at: dt.datetime
    posts: Sequence[tuple[int, dt.date]]
    """Post and Boka före."""


@dataclass(frozen=True, slots=True)
class Said:
    """A word about a post."""

    post_id: int
    after: float
    """Days after the release."""
    outcome: str
    millennium_id: str = ""
    reason: str = ""
    booked_for: str = ""


def read_hand_offs(folder: Path) -> list[HandOff]:
    """Read the hand-offs that are whole: those with a manifest."""
    found = []
    for manifest in sorted(folder.glob(f"*/{_MANIFEST}")):
        told = json.loads(manifest.read_bytes())
        with (manifest.parent / _TABLE).open(encoding="utf-8-sig", newline="") as file:
            posts = [
                (int(row["Post-id"]), dt.date.fromisoformat(row["Begärt slutdatum"])) for row in csv.DictReader(file)
            ]
        found.append(HandOff(told["batch_id"], dt.datetime.fromisoformat(told["released_at"]), posts))
    return found


def words_of(handed: HandOff, seed: int = 1) -> list[Said]:
    """Return all words about a hand-off, the first one first."""
    digests = {
        post_id: hashlib.sha256(f"{seed}/{handed.batch_id}/{post_id}".encode()).digest() for post_id, _ in handed.posts
    }
    fates = [fate for fate, share in _SHARES.items() for _ in range(math.ceil(share * len(digests)))]
    in_turn = zip(sorted(digests, key=digests.__getitem__), fates, strict=False)
    fate_of = dict(in_turn)
    said = [
        word
        for post_id, latest in handed.posts
        for word in _of_post(handed, post_id, latest, fate_of.get(post_id, "booked"), digests[post_id])
    ]
    return sorted(said, key=lambda word: (word.after, word.post_id))


def write_receipts(
    handed: HandOff, out: Path, *, since: dt.datetime, until: dt.datetime, day: dt.timedelta = _DAY, seed: int = 1
) -> int:
    """Write the words about a hand-off that fall in a span of time, as one file; return how many they are.

    Args:
        handed: the hand-off.
        out: the folder of receipts.
        since: the first moment, aware.
        until: the first moment after it.
        day: how long a day lasts.
        seed: decides what becomes of each post.
    """
    rows = []
    for word in words_of(handed, seed):
        at = handed.released_at + word.after * day
        if since <= at < until:
            cells = (handed.batch_id, word.post_id, word.outcome, at.isoformat())
            rows.append((*cells, word.millennium_id, word.reason, word.booked_for))
    if rows:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\r\n").writerows([COLUMNS, *rows])
        out.mkdir(parents=True, exist_ok=True)
        name = f"kvitton-{handed.batch_id}-{until:%Y%m%dT%H%M%S}.csv"
        # Nobody takes a file that is not whole: only names that end with .csv are looked at.
        (out / f"{name}.part").write_text(text.getvalue(), encoding="utf-8", newline="")
        os.replace(out / f"{name}.part", out / name)  # noqa: PTH105 - atomic on every system
    return len(rows)


def _of_post(handed: HandOff, post_id: int, latest: dt.date, fate: str, digest: bytes) -> Iterator[Said]:
    first, later, visit = np.random.default_rng(list(digest)).random(3).tolist()
    answered, reason = 0.02 + first, REASONS[digest[0] % len(REASONS)]
    number = f"M{int.from_bytes(digest[:5], 'big'):013d}"
    if fate == "silent":
        return
    if fate == "rejected":
        yield Said(post_id, answered, "rejected", reason=reason)
        return
    yield Said(post_id, answered, "accepted", number)
    if fate == "contradicted":
        yield Said(post_id, answered + 1, "rejected", reason=reason)
    if fate in {"contradicted", "open"}:
        return
    # Many in the first days, and fewer and fewer.
    booked = answered + 0.5 + later**2 * _MOST_DAYS
    soonest = handed.released_at.date() + dt.timedelta(days=int(booked) + 1)
    booked_for = soonest + dt.timedelta(days=int(visit * max((latest - soonest).days, 0)))
    yield Said(post_id, booked, "booked", number, booked_for=booked_for.isoformat())
    if fate == "cancelled":
        yield Said(post_id, booked + 2, "cancelled", number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer every hand-off, one after the other, until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m waitlist.simulator.receiver", description=__doc__)
    parser.add_argument("hand_offs", type=Path, help="the folder of hand-offs")
    parser.add_argument("receipts", type=Path, help="the folder into which receipts are written")
    parser.add_argument("--day-seconds", type=int, default=60, help="how long a day lasts")
    given = parser.parse_args(arguments)
    day = dt.timedelta(seconds=given.day_seconds)
    since = dt.datetime.now(dt.UTC)
    while True:
        time.sleep(min(given.day_seconds / 4, 10))
        until = dt.datetime.now(dt.UTC)
        for handed in read_hand_offs(given.hand_offs):
            # A hand-off from before has its answers.
            begun = max(since, handed.released_at)
            write_receipts(handed, given.receipts, since=begun, until=until, day=day)
        since = until


if __name__ == "__main__":
    sys.exit(main())
