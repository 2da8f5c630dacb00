"""Överfört: the decisions with their approvers and reasons, and the posts that PMO has changed since."""

import datetime as dt
from collections.abc import Collection
from pathlib import Path

import pytest
from tests.support import batches, releases

from waitlist import paths
from waitlist.facts.gates import Gate
from waitlist.facts.mappings import load_mappings
from waitlist.judge.rules import BUILT_IN_SEVERITIES
from waitlist.release import decisions as release
from waitlist.reports.pages.find import find
from waitlist.reports.pages.released import Released, read_released
from waitlist.reports.pages.unit_posts import read_posts
from waitlist.reports.worklist.advice import Sheet
from waitlist.reports.worklist.sources import StagedPosts
from waitlist.staging import BatchState, StagingStore, schema
from waitlist.staging.states import EventName

MAPPINGS = load_mappings(paths.MAPPINGS, raisable=BUILT_IN_SEVERITIES)
FIRST, SECOND = range(1, 30), range(30, 60)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


def page(store: StagingStore, number: int = 1) -> Released:
    return read_released(store, MAPPINGS, number)


def released(store: StagingStore, batch_id: str, posts: Collection[int], *, failed: tuple[Gate, ...] = ()) -> list[int]:
    """Release a wave; return its posts."""
    releases.verified(store, batch_id, posts, wave=batch_id)
    release.request_approval(store, batch_id, releases.failing(*failed), "pipeline", releases.NOW)
    release.release(store, batch_id, "Eva Öberg", releases.REASON if failed else None, releases.LATER)
    return releases.migrating(posts)


def dry_run(store: StagingStore, changes: dict[int, tuple[str, str]], batch_id: str = "natt-1") -> None:
    """Verify a dry run that found posts changed since."""
    batches.verified(store, batch_id)
    rows = [
        {"batch_id": batch_id, "post_id": post, "change": change, "columns": columns}
        for post, (change, columns) in changes.items()
    ]
    if rows:
        batches.execute(store, schema.released_change.insert().values(rows))


def test_before_the_first_release_there_is_nothing_to_show(store: StagingStore) -> None:
    found = page(store)
    assert (found.batches, found.seen_by, found.changes, found.posts, found.paging.rows) == ((), None, (), (), 0)


def test_nothing_of_a_batch_that_was_withdrawn_after_its_load_is_corrected_in_millennium(store: StagingStore) -> None:
    """One post has been changed, and one is not in the night any more."""
    posts = released(store, "vecka-1", (*range(1, 10), *range(9_000, 9_010)))
    changed, gone = posts[0], posts[-1]
    dry_run(store, {changed: ("changed", "beskrivning"), gone: ("gone", "")})
    unit = {"units": tuple(filter(None, batches.UNITS)), "with_null": 1}

    def corrected() -> tuple[set[int], ...]:
        """Return the posts to correct by Överfört, by the unit pages and by the work lists."""
        with store.database.connected() as connection:
            listed = [post for one in (changed, gone) for post in read_posts(connection, "natt-1", unit, {}, only=one)]
        with store.database.reading() as read:
            staged = StagedPosts(read, "natt-1", knows_changes=True)
            lists = {
                *staged.changes(1, 9_999),
                *(post for part in staged.gone() for post in part["post_id"].to_pylist()),
            }
        of_units = {post.post_id for post in listed if post.sheet == Sheet.CORRECT_IN_MILLENNIUM}
        return {post.post_id for post in page(store).posts}, of_units, lists

    assert corrected() == ({changed, gone},) * 3
    release.withdraw(store, "vecka-1", "Eva Öberg", releases.REASON, releases.LATER, loaded=True)
    assert corrected() == (set(),) * 3
    found = page(store)
    assert (found.changes, found.paging.rows) == ((), 0)
    assert [(batch.changed, batch.gone) for batch in found.batches] == [(0, 0)]
    with store.database.connected() as connection:
        (post,) = find(connection, MAPPINGS, str(changed), lambda _: True, everywhere=True).posts
    assert (post.released_in, post.withdrawn) == ("vecka-1", True), "the receiver has not said that it is gone"


def test_a_release_has_its_approver_and_the_reason(store: StagingStore) -> None:
    posts = released(store, "vecka-1", FIRST, failed=(Gate.UNHANDLED_SHARE, Gate.CRITICAL_SUITES))
    (found,) = page(store).batches
    assert (found.state, found.posts, found.shown) == (BatchState.RELEASED, len(posts), len(posts))
    assert found.released_at == releases.LATER
    override, approval = found.decisions
    assert (override.event, override.gates) == (EventName.OVERRIDE, ("critical_suites", "unhandled_share"))
    assert (approval.event, approval.actor, approval.reason) == (EventName.RELEASED, "Eva Öberg", releases.REASON)
    assert approval.posts == len(posts)


def test_a_withdrawal_a_rejection_and_a_waiting_wave_are_shown_too(store: StagingStore) -> None:
    released(store, "vecka-1", FIRST)
    release.withdraw(store, "vecka-1", "Ali Ek", "Fel enheter valdes", releases.LATER + dt.timedelta(hours=1))
    releases.awaiting(store, "vecka-2", SECOND)
    releases.awaiting(store, "vecka-3", range(60, 90))
    release.reject(store, "vecka-3", "Eva Öberg", None, releases.LATER)
    found = {batch.batch_id: batch for batch in page(store).batches}
    assert (found["vecka-1"].state, found["vecka-1"].shown) == (BatchState.WITHDRAWN, 0)
    assert [decision.event for decision in found["vecka-1"].decisions] == [EventName.RELEASED, EventName.WITHDRAWN]
    assert found["vecka-1"].decisions[-1].reason == "Fel enheter valdes"
    assert (found["vecka-2"].state, found["vecka-2"].decisions) == (BatchState.AWAITING_APPROVAL, ())
    assert [decision.event for decision in found["vecka-3"].decisions] == [EventName.REJECTED]


def test_posts_that_pmo_has_changed_since_by_batch_unit_and_columns(store: StagingStore) -> None:
    first, second = released(store, "vecka-1", FIRST), released(store, "vecka-2", SECOND)
    changes = {first[0]: ("changed", "beskrivning, besokstyp"), first[1]: ("gone", ""), second[0]: ("gone", "")}
    dry_run(store, changes)
    found = page(store)
    assert found.seen_by is not None
    assert found.seen_by.batch_id == "natt-1"
    by_batch = {batch.batch_id: (batch.changed, batch.gone) for batch in found.batches}
    assert by_batch == {"vecka-1": (1, 1), "vecka-2": (0, 1)}
    assert sum(change.posts for change in found.changes) == len(found.posts) == found.paging.rows == 3
    post = next(row for row in found.posts if row.post_id == first[0])
    assert (post.change, post.columns, post.released_in) == ("changed", ("beskrivning", "besokstyp"), "vecka-1")
    assert post.hsa_id == batches.UNITS[first[0] % 3]
    counted = next(change for change in found.changes if change.columns == post.columns)
    assert (counted.hsa_id, counted.unit, counted.posts) == (post.hsa_id, post.hsa_id, 1)


def test_posts_come_a_page_at_a_time_in_the_order_of_their_ids(store: StagingStore) -> None:
    posts = released(store, "vecka-1", range(1, 160))
    dry_run(store, dict.fromkeys(posts, ("gone", "")))
    first, second = page(store), page(store, 2)
    assert len(first.posts) == 50 < len(posts)
    assert [row.post_id for row in (*first.posts, *second.posts)] == posts


def test_what_an_earlier_dry_run_found_counts_no_more(store: StagingStore) -> None:
    posts = released(store, "vecka-1", FIRST)
    dry_run(store, {posts[0]: ("gone", "")})
    dry_run(store, {}, "natt-2")
    later = schema.batch.update().where(schema.batch.c.batch_id == "natt-2")
    batches.execute(store, later.values(started_at=batches.NOW + dt.timedelta(days=1)))
    assert page(store).changes == ()
