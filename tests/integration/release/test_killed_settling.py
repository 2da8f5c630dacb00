"""What follows a release (settling, freeing, withdrawal, receipts, ledger, closing), killed at each moment."""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.integration.release.test_receipts import MIGRATING, NOW, WAVE, put, row, with_wave
from tests.integration.release.test_settling import decided
from tests.support import batches, releases
from tests.support.killing import ForkServer, fork_server
from tests.support.releases import REASON
from upath import UPath

from waitlist.release import closing, ledger
from waitlist.release import decisions as release
from waitlist.release.receipts import files, follow, inbox, settling
from waitlist.release.receipts import store as receipts_store
from waitlist.staging import StagingStore, schema
from waitlist.staging.dry_runs import read_dry_runs

ONE, TWO, THREE = MIGRATING[:3]
LATE = NOW + dt.timedelta(days=3)


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


def note(folder: Path) -> int:
    """Write the outcomes that the night sees: PMO no longer has the posts that the wave left behind."""
    store = store_of(folder)
    with store.database.connected() as connection:
        (run,) = read_dry_runs(connection)
    return ledger.note_outcomes(store.database, run, LATE).closed_in_pmo


def close(folder: Path) -> int:
    store = store_of(folder)
    made = closing.close(store.database, "1", "lead", REASON, LATE, late_from=LATE.date(), is_lead=True)
    return made.closing_no if isinstance(made, ledger.Closing) else 0


def count_day(folder: Path) -> int:
    """Store the counts of the day, in place of others of the same day."""
    with store_of(folder).database.writing() as connection:
        counted = follow.count(connection, batches.BEGIN)
        follow.keep_day(connection, LATE.date(), counted)
    return len(counted)


def warm_up() -> None:
    """Nothing: this module has imported what the steps need."""


@pytest.fixture(scope="module")
def children() -> Iterator[ForkServer]:
    with fork_server(warm_up) as found:
        yield found


def state(folder: Path) -> Mapping[str, Any]:
    return batches.contents(store_of(folder))


@pytest.mark.parametrize("step", [settle, free, withdraw, hear, note, close, count_day])
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
    if step is note:
        releases.verified(store, "natt-1", MIGRATING, kind="dry_run", started_at=LATE, as_of=LATE.date())
    if step is count_day:
        with store.database.writing() as connection:
            follow.keep_day(connection, LATE.date(), follow.count(connection, batches.BEGIN)[:1])
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
