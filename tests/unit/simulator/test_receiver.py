"""The simulated receiver: the same words for the same hand-off, and each of them as contract 5 wants it."""

import datetime as dt
from collections import Counter
from pathlib import Path

import pytest
from tests.support import releases
from upath import UPath

from waitlist.columns.dates import STOCKHOLM
from waitlist.release import decisions as release
from waitlist.release.handoff import writing
from waitlist.release.handoff.content import Content
from waitlist.release.receipts import account, files
from waitlist.release.receipts.words import Answer
from waitlist.simulator.receiver import COLUMNS, HandOff, read_hand_offs, words_of, write_receipts
from waitlist.staging import StagingStore, schema

RELEASED_AT = dt.datetime(2024, 9, 1, 18, tzinfo=dt.UTC)
HANDED = HandOff("migration-pilot", RELEASED_AT, [(post, dt.date(2024, 12, 1)) for post in range(1, 401)])
EVER = (dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime(2030, 1, 1, tzinfo=dt.UTC))


def midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), STOCKHOLM)


def test_every_day_has_the_same_bytes_again_and_another_seed_has_others(tmp_path: Path) -> None:
    def written(folder: str, seed: int = 1) -> dict[str, bytes]:
        since = EVER[0]
        for number in range(1, 31):
            until = midnight(dt.date(2024, 9, 1) + dt.timedelta(days=number))
            write_receipts(HANDED, tmp_path / folder, since=since, until=until, seed=seed)
            since = until
        return {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}

    assert written("a") == written("b") != written("c", seed=2)
    write_receipts(HANDED, tmp_path / "whole", since=EVER[0], until=EVER[1])
    (whole,) = (tmp_path / "whole").iterdir()
    by_day = [line for _, content in sorted(written("a").items()) for line in content.decode().splitlines()[1:]]
    assert by_day == whole.read_text(encoding="utf-8").splitlines()[1:]


@pytest.mark.parametrize("size", [8, 400])
def test_every_wave_has_posts_of_every_kind(size: int) -> None:
    handed = HandOff(HANDED.batch_id, RELEASED_AT, HANDED.posts[:size])
    words = words_of(handed)
    said = {post: [word.outcome for word in words if word.post_id == post] for post, _ in handed.posts}
    kinds = Counter(tuple(outcomes) for outcomes in said.values())
    assert set(kinds) == {
        (), ("rejected",), ("accepted",), ("accepted", "booked"), ("accepted", "booked", "cancelled"),
        ("accepted", "rejected"),
    }  # fmt: skip
    assert kinds["accepted", "booked"] == max(kinds.values())


def test_what_it_writes_is_taken_and_the_account_adds_up(tmp_path: Path) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}")
    store.migrate()
    releases.awaiting(store, "vecka-1", [post for post in range(1, 60) if post % 3 != 2], wave="1")
    release.release(store, "vecka-1", "Eva Öberg", None, releases.LATER)
    writing.hand_off(
        store, UPath(tmp_path / "out"), "vecka-1", Content("urn:x:y", {}, [("plats", "x")]), releases.LATER
    )
    (handed,) = read_hand_offs(tmp_path / "out")
    assert write_receipts(handed, tmp_path / "in", since=EVER[0], until=EVER[1]) > len(handed.posts)
    taken = files.take(store, UPath(tmp_path / "in"), {}, EVER[1])
    assert (taken.files, taken.refused) == (1, 0), [path.read_text() for path in tmp_path.glob("in/refused/*.txt")]
    with store.engine.connect() as connection:
        told = account.read_account(connection, store.batch("vecka-1"), len(handed.posts), purged=False)
    assert told.adds_up
    assert all(told.answers[answer] for answer in Answer)
    assert COLUMNS == schema.RECEIPT_COLUMNS


def test_a_hand_off_without_its_manifest_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "vecka-1").mkdir()
    (tmp_path / "vecka-1" / "bokningsbegaran.csv").write_text("Post-id\n1\n", encoding="utf-8")
    assert read_hand_offs(tmp_path) == []


def test_a_day_may_last_a_minute(tmp_path: Path) -> None:
    day = dt.timedelta(minutes=1)
    until = RELEASED_AT + 2 * day
    assert write_receipts(HANDED, tmp_path, since=RELEASED_AT, until=until, day=day) > len(HANDED.posts) * 0.9
    (file,) = tmp_path.iterdir()
    moments = [line.split(",")[3] for line in file.read_text(encoding="utf-8").splitlines()[1:]]
    assert RELEASED_AT.isoformat() <= min(moments) <= max(moments) <= until.isoformat()
