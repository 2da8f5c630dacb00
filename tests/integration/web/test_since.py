"""Since when a post is on the list is looked up once for the same nights, and again when one of them is run again."""

import datetime as dt
from pathlib import Path

import pytest
from tests.support import batches, effort, releases
from tests.support.batches import AS_OF, NOW

from waitlist.reports import since
from waitlist.reports.since import Since, nights_to_compare, read_since
from waitlist.staging import StagingStore, schema
from waitlist.staging.dry_runs import comparable, read_dry_runs

MOVED = "CATEGORY_NOT_MOVED"
FIRST, SECOND, THIRD = (AS_OF - dt.timedelta(days=days) for days in (2, 1, 0))


@pytest.fixture
def store(tmp_path: Path) -> StagingStore:
    """Three nights of the same twelve posts, of which 2 and 10 are to be moved."""
    store = batches.migrated_file(tmp_path / "staging.sqlite")
    for number, day in enumerate((FIRST, SECOND, THIRD), 1):
        releases.verified(store, f"natt-{number}", range(1, 13), kind="dry_run", as_of=day)
    return store


def look_up(store: StagingStore, *posts: int) -> dict[int, Since]:
    """Return since when some posts are to be moved."""
    with store.engine.connect() as connection:
        nights = nights_to_compare(connection, comparable(read_dry_runs(connection)))
        return read_since(connection, nights, dict.fromkeys(posts, MOVED))


def remove_finding(store: StagingStore, batch_id: str, post_id: int) -> None:
    """Let a night be run again, now without the finding of a post."""
    found, batch = schema.finding.c, schema.batch
    batches.execute(store, schema.finding.delete().where(found.batch_id == batch_id, found.post_id == post_id))
    again = batch.update().where(batch.c.batch_id == batch_id)
    batches.execute(store, again.values(finished_at=NOW + dt.timedelta(minutes=1)))


def test_a_finding_is_looked_up_once_for_the_same_nights(store: StagingStore) -> None:
    with effort.statements(store.engine, "finding_row") as sent:
        assert look_up(store, 2) == {2: Since(FIRST, perhaps_earlier=True)}
        assert look_up(store, 2) == {2: Since(FIRST, perhaps_earlier=True)}
        assert len(sent) == 1
        assert set(look_up(store, 2, 10)) == {2, 10}
        assert len(sent) == 2


def test_a_night_that_is_run_again_is_looked_at_again(store: StagingStore) -> None:
    look_up(store, 2, 10)
    remove_finding(store, "natt-2", 2)
    found = {2: Since(THIRD, perhaps_earlier=False), 10: Since(FIRST, perhaps_earlier=True)}
    assert look_up(store, 2, 10) == found
    assert look_up(store, 2, 10) == found


def test_a_finding_that_was_never_there_before_is_kept_too(store: StagingStore) -> None:
    remove_finding(store, "natt-2", 2)
    with effort.statements(store.engine, "finding_row") as sent:
        assert look_up(store, 2) == look_up(store, 2) == {2: Since(THIRD, perhaps_earlier=False)}
    assert len(sent) == 1


def test_more_findings_than_are_kept_are_found_all_the_same(
    store: StagingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(since, "_MOST_FINDINGS", 1)
    for posts in ((2,), (2, 10), (10,)):
        assert set(look_up(store, *posts).values()) == {Since(FIRST, perhaps_earlier=True)}
