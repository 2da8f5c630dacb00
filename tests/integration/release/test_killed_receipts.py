"""The taking of receipts, killed at each moment that others can see, and run again: the same rows, the same files."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.release.test_receipts import MIGRATING, NOW, put, row, with_wave
from tests.support import batches
from tests.support.killing import ForkServer, fork_server
from upath import UPath

from waitlist import paths
from waitlist.settings import Settings
from waitlist.staging import StagingStore, schema
from waitlist.steps.pipeline import Pipeline


def take(folder: Path) -> int:
    """Take the receipts, in the process that may be killed; return how many rows were new to it."""
    steps = Pipeline(
        Settings(mappings_dir=paths.MAPPINGS),
        snapshots=UPath(folder / "snapshots"),
        pmo=str,
        staging=lambda: f"sqlite:///{folder / 'staging.sqlite'}",
        receipts=UPath(folder / "in"),
    )
    steps.take_receipts(lambda _: None, now=NOW)
    return 0


def warm_up() -> None:
    import waitlist.steps.pipeline  # noqa: F401, PLC0415


@pytest.fixture(scope="module")
def children() -> Iterator[ForkServer]:
    with fork_server(warm_up) as found:
        yield found


def state(folder: Path) -> dict[str, Any]:
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if not path.name.startswith("staging.sqlite")
    }
    return {"files": files, **batches.contents(StagingStore(f"sqlite:///{folder / 'staging.sqlite'}"))}


def receipts(folder: Path) -> int:
    return len(batches.rows(StagingStore(f"sqlite:///{folder / 'staging.sqlite'}"), schema.receipt))


def test_a_run_that_is_killed_takes_each_file_whole_or_not_at_all_and_the_next_one_ends_it(
    children: ForkServer, tmp_path: Path
) -> None:
    first, work = tmp_path / "first", tmp_path / "work"
    first.mkdir()
    store = StagingStore(f"sqlite:///{first / 'staging.sqlite'}")
    store.migrate()
    with_wave(store)
    put(first, "a.csv", [row(post, "accepted") for post in MIGRATING])
    put(first, "b.csv", [row(MIGRATING[0], "booked", 2), row(MIGRATING[1], "fel")])
    put(first, "c.csv", [row(post, "booked", 2) for post in MIGRATING[:5]])
    with store.database.writing() as connection:
        connection.execute(schema.receipt_inbox.insert(), [row(MIGRATING[6], "booked", 3), row(MIGRATING[7], "fel")])
    store.engine.dispose()
    whole = {0, len(MIGRATING), len(MIGRATING) + 5, len(MIGRATING) + 6}

    shutil.copytree(first, work)
    done = children.run(take, work, watched=work)
    undisturbed = state(work)
    assert receipts(work) == max(whole)
    assert len(done.moments) >= 6
    for at in range(len(done.moments)):
        shutil.rmtree(work)
        shutil.copytree(first, work)
        children.kill(take, work, watched=work, at=at)
        assert receipts(work) in whole, (at, done.moments)
        children.run(take, work, watched=work)
        assert state(work) == undisturbed, (at, done.moments)
