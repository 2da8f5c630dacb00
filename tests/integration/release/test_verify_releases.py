"""Every night: what was released is still what was approved, or the night names the batch that is not."""

from pathlib import Path

import pytest
from tests.integration.staging.test_chain import KEY, checked, signed_by
from tests.support import batches, releases, runs
from upath import UPath

from waitlist import paths
from waitlist.exceptions import ReconciliationError
from waitlist.release import decisions as release
from waitlist.staging import StagingStore, checkpoints, retention, schema
from waitlist.staging.signing import Signer, key_id_of
from waitlist.steps.pipeline import Pipeline


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


def steps(store: StagingStore, folder: Path, signer: Signer | None = None) -> Pipeline:
    url = store.engine.url.render_as_string(hide_password=False)
    return runs.pipeline(folder, pmo="", staging=url, mappings=paths.MAPPINGS, signer=signer)


def test_every_released_batch_is_proved_and_no_other(store: StagingStore, tmp_path: Path) -> None:
    assert steps(store, tmp_path).verify_releases(now=releases.LATER) == {"batches": 0, "posts": 0}
    for batch_id, posts in (("first", range(1, 20)), ("second", range(20, 40)), ("third", range(40, 60))):
        releases.awaiting(store, batch_id, posts)
        release.release(store, batch_id, "lead", None, releases.LATER)
    release.withdraw(store, "second", "lead", releases.REASON, releases.LATER)
    retention.remove(
        store, store.batch("third"), retention.Places(UPath(tmp_path), None), reason="old", now=releases.LATER
    )
    releases.awaiting(store, "waits", range(60, 80))
    posts = len(releases.migrating(range(1, 20)))
    assert steps(store, tmp_path).verify_releases(now=releases.LATER) == {"batches": 1, "posts": posts}


def test_the_ends_of_the_chains_are_signed_every_night_where_there_is_a_key(
    store: StagingStore, tmp_path: Path
) -> None:
    """Also in a night whose proof fails: what the trails have had so far cannot be written again then."""
    steps(store, tmp_path).verify_releases(now=releases.LATER)
    with store.database.connected() as connection:
        assert checkpoints.latest(connection) is None, "nothing without a key"
    releases.awaiting(store, "first", range(1, 20))
    release.release(store, "first", "lead", None, releases.LATER)
    batches.execute(store, schema.bokningsbegaran.update().values(patientnamn="Zebra Zebrasson"))
    signing = steps(store, tmp_path, signed_by(KEY))
    with pytest.raises(ReconciliationError):
        signing.verify_releases(now=releases.LATER)
    with store.database.connected() as connection:
        made = checkpoints.latest(connection)
    assert made is not None
    assert (made.checkpoint_no, made.at, made.key_id) == (1, releases.LATER, key_id_of(KEY.public_key()))
    found = checked(store)
    assert (found.faults, found.signed, found.unsigned) == ([], 1, 0)


def test_every_batch_that_differs_from_what_was_approved_is_named(store: StagingStore, tmp_path: Path) -> None:
    for batch_id, posts in (("first", range(1, 20)), ("second", range(20, 40)), ("third", range(40, 60))):
        releases.awaiting(store, batch_id, posts)
        release.release(store, batch_id, "lead", None, releases.LATER)
    table = schema.bokningsbegaran
    for batch_id in ("first", "third"):
        batches.execute(store, table.update().where(table.c.batch_id == batch_id).values(patientnamn="Zebra Zebrasson"))
    with pytest.raises(ReconciliationError, match=r"(?s)batch first: .*post_id 1.*batch third: ") as error:
        steps(store, tmp_path).verify_releases(now=releases.LATER)
    assert "second" not in str(error.value)
    assert "Zebra" not in str(error.value)


def test_a_database_without_tables_has_nothing_to_prove(tmp_path: Path) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert steps(store, tmp_path).verify_releases(now=releases.LATER) == {"batches": 0, "posts": 0}
