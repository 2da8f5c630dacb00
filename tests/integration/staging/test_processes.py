"""Several processes on one staging database, and processes that are killed: a partition is staged whole or not."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import batches

from waitlist.staging import BatchState, StagingStore, schema

TEXTS = ("Orsak: första", "Orsak: andra")
POSTS = range(1, 1_001)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


def url_of(store: StagingStore) -> str:
    return store.engine.url.render_as_string(hide_password=False)


def staged_once(store: StagingStore) -> None:
    """Require that the ready-made batch is staged, each post once, and that everything adds up."""
    store.mark_staged("natt-1")
    found = batches.reconcile_all(store)
    assert (found.posts, found.partitions) == (batches.POSTS, len(batches.PARTITIONS))


def test_partitions_staged_at_once_do_not_disturb_each_other(store: StagingStore) -> None:
    batches.open_batch(store)
    go = time.time() + 0.5
    calls = [(batches.stage_when_told, (url_of(store), part, go)) for part in range(len(batches.PARTITIONS))]
    assert batches.exit_codes(batches.in_processes(*calls)) == [0, 0, 0]
    staged_once(store)


def test_same_partition_staged_twice_at_once_is_there_once(store: StagingStore) -> None:
    batches.open_batch(store)
    for part in (0, 2):
        batches.stage_when_told(url_of(store), part, 0)
    calls = [(batches.stage_when_told, (url_of(store), part, time.time() + 0.5)) for part in (1, 1, 1)]
    assert batches.exit_codes(batches.in_processes(*calls)) == [0, 0, 0]
    staged_once(store)


def texts_seen(store: StagingStore) -> set[tuple[str | None, int]]:
    """In one statement: each text in the requests but the posts that have none, and how many have it."""
    text = schema.bokningsbegaran.c.beskrivning
    query = sa.select(text, sa.func.count()).where(text.is_not(None)).group_by(text)
    with store.engine.connect() as connection:
        return {(found, count) for found, count in connection.execute(query)}


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def test_readers_and_a_killed_process_leave_the_whole_old_partition_or_the_whole_new_one(
    store: StagingStore, tmp_path: Path
) -> None:
    batches.open_batch(store)
    requests = sum(batches.disposition_of(post_id) == "migrate" and post_id % 7 != 0 for post_id in POSTS)
    whole = [{(text, requests)} for text in TEXTS]
    for delay in (0.03, 0.17):
        ready = tmp_path / f"ready-{delay}"
        (process,) = batches.in_processes((batches.stage_in_turn, (url_of(store), POSTS, TEXTS, ready)))
        wait_for(ready.exists)
        seen = [texts_seen(store) for _ in range(20)]
        assert all(texts in whole for texts in seen)
        time.sleep(delay)
        process.kill()
        process.join()
        assert texts_seen(store) in whole
    lines = batches.rows(store, schema.batch_partition)
    assert [(line["posts"], line["upper_key"]) for line in lines] == [(len(POSTS), None)]
    assert not store.stage_partition("natt-1", None, None, batches.chunks(range(1, 3))).unchanged
    assert store.batch("natt-1").state is BatchState.OPEN


def test_process_killed_in_the_middle_of_its_chunks_leaves_nothing_and_blocks_nobody(
    store: StagingStore, tmp_path: Path
) -> None:
    batches.put_verified(store)
    before = batches.contents(store)
    ready = tmp_path / "ready"
    (process,) = batches.in_processes((batches.stage_half, (url_of(store), ready)))
    wait_for(ready.exists)
    assert batches.contents(store) == before
    process.kill()
    process.join()
    assert batches.contents(store) == before
    lower, upper, posts = batches.PARTITIONS[0]
    assert store.stage_partition("natt-1", lower, upper, batches.chunks(posts)).unchanged
    assert batches.contents(store) == before
