"""Every night: what was released is still what was approved, or the night names the batch that is not."""

from pathlib import Path

import pytest
from tests.support import batches, releases, runs
from upath import UPath

from waitlist import paths
from waitlist.exceptions import ReconciliationError
from waitlist.release import decisions as release
from waitlist.staging import StagingStore, retention, schema
from waitlist.steps.pipeline import Pipeline


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


def steps(store: StagingStore, folder: Path) -> Pipeline:
    url = store.engine.url.render_as_string(hide_password=False)
    return runs.pipeline(folder, pmo="", staging=url, mappings=paths.MAPPINGS)


def test_every_released_batch_is_proved_and_no_other(store: StagingStore, tmp_path: Path) -> None:
    assert steps(store, tmp_path).verify_releases() == {"batches": 0, "posts": 0}
    for batch_id, posts in (("first", range(1, 20)), ("second", range(20, 40)), ("third", range(40, 60))):
        releases.awaiting(store, batch_id, posts)
        release.release(store, batch_id, "lead", None, releases.LATER)
    release.withdraw(store, "second", "lead", releases.REASON, releases.LATER)
    retention.remove(
        store, store.batch("third"), retention.Places(UPath(tmp_path), None), reason="old", now=releases.LATER
    )
    releases.awaiting(store, "waits", range(60, 80))
    posts = len(releases.migrating(range(1, 20)))
    assert steps(store, tmp_path).verify_releases() == {"batches": 1, "posts": posts}


def test_every_batch_that_differs_from_what_was_approved_is_named(store: StagingStore, tmp_path: Path) -> None:
    for batch_id, posts in (("first", range(1, 20)), ("second", range(20, 40)), ("third", range(40, 60))):
        releases.awaiting(store, batch_id, posts)
        release.release(store, batch_id, "lead", None, releases.LATER)
    table = schema.bokningsbegaran
    for batch_id in ("first", "third"):
        batches.execute(store, table.update().where(table.c.batch_id == batch_id).values(patientnamn="Zebra Zebrasson"))
    with pytest.raises(ReconciliationError, match=r"(?s)batch first: .*post_id 1.*batch third: ") as error:
        steps(store, tmp_path).verify_releases()
    assert "second" not in str(error.value)
    assert "Zebra" not in str(error.value)


def test_a_database_without_tables_has_nothing_to_prove(tmp_path: Path) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert steps(store, tmp_path).verify_releases() == {"batches": 0, "posts": 0}
