"""A hand-off to an S3 store, and receipts from one, over HTTP."""

import json
from pathlib import Path

import pytest
from tests.integration.release.test_hand_off import FILES, MIGRATING, WAVE, WHOLE
from tests.integration.release.test_receipts import NOW, row, text, with_wave
from tests.support import batches
from tests.support.releases import LATER
from tests.support.servers import ObjectStore
from upath import UPath

from waitlist.release.handoff import writing
from waitlist.release.receipts import files
from waitlist.staging import StagingStore


@pytest.fixture
def store(tmp_path: Path) -> StagingStore:
    store = batches.migrated_file(tmp_path / "staging.sqlite")
    return with_wave(store)


@pytest.fixture
def bucket(object_store: ObjectStore, tmp_path: Path) -> UPath:
    return UPath(f"s3://{object_store.bucket}/{tmp_path.name}-out", **object_store.options)


def names(folder: UPath) -> set[str]:
    folder.fs.invalidate_cache()
    return {path.removeprefix(f"{folder.path}/") for path in folder.fs.find(folder.path)}


def test_a_batch_is_handed_off_to_a_store_twice_and_removed(store: StagingStore, bucket: UPath, tmp_path: Path) -> None:
    local = UPath(tmp_path / "out")
    writing.hand_off(store, local, WAVE, WHOLE, LATER)
    for _ in range(2):
        writing.hand_off(store, bucket, WAVE, WHOLE, LATER)
        assert names(bucket / WAVE) == FILES | {"manifest.json"}
    for name in FILES | {"manifest.json"}:
        assert (bucket / WAVE / name).read_bytes() == (local / WAVE / name).read_bytes()
    assert json.loads((bucket / WAVE / "manifest.json").read_text())["posts"] == len(MIGRATING)
    writing.remove(bucket, WAVE)
    # This store keeps an empty folder.
    assert not names(bucket / WAVE) & (FILES | {"manifest.json"})
    writing.remove(bucket, WAVE)


def test_receipts_are_taken_from_a_store_and_moved_in_it(store: StagingStore, bucket: UPath) -> None:
    assert files.take(store, bucket, {}, NOW) == files.Taken(0, 0, 0, 0)
    (bucket / "a.csv").write_bytes(text([row(post, "accepted") for post in MIGRATING]))
    (bucket / "b.csv").write_bytes(text([row(MIGRATING[0], "fel")]))
    assert files.take(store, bucket, {}, NOW) == files.Taken(1, 1, len(MIGRATING), len(MIGRATING))
    assert names(bucket) == {"done/a.csv", "refused/b.csv", "refused/b.csv.faults.txt"}
    assert files.take(store, bucket, {}, NOW) == files.Taken(0, 0, 0, 0)
