"""Settling, freeing, a withdrawal after the load and the receipts after it, killed at each moment: whole or not."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.integration.release.test_receipts import MIGRATING, NOW, WAVE, put, row, with_wave
from tests.integration.release.test_settling import decided
from tests.support import batches
from tests.support.killing import ForkServer, fork_server
from tests.support.releases import REASON
from upath import UPath

from waitlist.release import decisions as release
from waitlist.release.receipts import files, inbox, settling
from waitlist.release.receipts import store as receipts_store
from waitlist.staging import StagingStore, schema

ONE, TWO, THREE = MIGRATING[:3]


def store_of(folder: Path) -> StagingStore:
    return StagingStore(f"sqlite:///{folder / 'staging.sqlite'}")


def settle(folder: Path) -> int:
    store = store_of(folder)
    with store.database.connected() as connection:
        counts = receipts_store.words_of(connection, WAVE, [TWO])[TWO][0].key
    settling.settle(store, decided(TWO), counts=counts, heard=2)
    return 0


def free(folder: Path) -> int:
    settling.free(store_of(folder), decided(ONE))
    return 0


def withdraw(folder: Path) -> int:
    return release.withdraw(store_of(folder), WAVE, "Eva Öberg", REASON, NOW)


def hear(folder: Path) -> int:
    """Take what the receiver says after the withdrawal."""
    return files.take(store_of(folder), UPath(folder / "in"), {}, NOW).refused


def warm_up() -> None:
    """Nothing: this module has imported what the steps need."""


@pytest.fixture(scope="module")
def children() -> Iterator[ForkServer]:
    with fork_server(warm_up) as found:
        yield found


def state(folder: Path) -> Mapping[str, Any]:
    return batches.contents(store_of(folder))


@pytest.mark.parametrize("step", [settle, free, withdraw, hear])
def test_a_step_that_is_killed_has_happened_whole_or_not_at_all_and_the_next_one_ends_it(
    children: ForkServer, tmp_path: Path, step: Callable[[Path], int]
) -> None:
    first, work = tmp_path / "first", tmp_path / "work"
    first.mkdir()
    store = store_of(first)
    store.migrate()
    with_wave(store)
    with store.database.writing() as connection:
        said = [row(ONE, "rejected"), row(TWO, "accepted"), row(TWO, "rejected", 2), row(THREE, "cancelled")]
        connection.execute(schema.receipt_inbox.insert(), said)
    inbox.take(store, NOW)
    if step is hear:
        withdraw(first)
        put(first, "a.csv", [row(post, "cancelled", 5) for post in MIGRATING[3:9]])
    store.engine.dispose()
    shutil.copytree(first, work)
    before = state(work)
    done = children.run(step, work, watched=work)
    after = state(work)
    assert before != after
    for at in range(len(done.moments)):
        shutil.rmtree(work)
        shutil.copytree(first, work)
        children.kill(step, work, watched=work, at=at)
        assert state(work) in (before, after), (at, done.moments)
        children.run(step, work, watched=work)
        assert state(work) == after, (at, done.moments)
