"""The batches that expire on a day."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist.staging import FOLLOWED, Batch, BatchKind, BatchState
from waitlist.staging.retention import Periods, expired

TODAY = dt.date(2024, 12, 1)
PERIODS = Periods(dry_run=30, migration=365, released=90)


def days_ago(days: int) -> dt.datetime:
    return dt.datetime.combine(TODAY - dt.timedelta(days=days), dt.time(23, 59), dt.UTC)


def batch(batch_id: str, age: int, **told: Any) -> Batch:
    known: dict[str, Any] = {
        "dag_id": "waitlist_dry_run",
        "run_id": batch_id,
        "kind": BatchKind.DRY_RUN,
        "wave": None,
        "as_of": TODAY - dt.timedelta(days=age),
        "state": BatchState.VERIFIED,
        "posts_extracted": 1,
        "posts_staged": 1,
        "rules_version": "0" * 64,
        "started_at": days_ago(age),
        "finished_at": None,
        "approved_by": None,
        "approved_at": None,
        "released_at": None,
        "units": None,
        "reuse_snapshot": None,
    }
    return Batch(batch_id, **{**known, **told})


def names(*batches: Batch, periods: Periods = PERIODS, complete: bool = True) -> list[str]:
    return [batch.batch_id for batch in expired(batches, TODAY, periods, lambda _: complete)]


LATEST = batch("latest", 0)


def test_a_dry_run_expires_the_day_after_its_last_one() -> None:
    assert names(batch("on-its-last-day", 30), LATEST) == []
    assert names(batch("a-day-more", 31), LATEST) == ["a-day-more"]


UNDECIDED = BatchState.AWAITING_APPROVAL
DECIDED = [state for state in BatchState if state is not UNDECIDED]


@pytest.mark.parametrize("state", DECIDED)
def test_a_dry_run_expires_in_any_state(state: BatchState) -> None:
    assert names(batch("old", 31, state=state), LATEST) == ["old"]


def test_a_batch_that_awaits_its_approval_never_expires() -> None:
    assert names(batch("wave", 9_000, kind=BatchKind.MIGRATION, state=UNDECIDED), LATEST) == []


@pytest.mark.parametrize("state", [state for state in DECIDED if state not in FOLLOWED])
def test_a_migration_that_no_receiver_has_has_a_longer_time(state: BatchState) -> None:
    told = {"kind": BatchKind.MIGRATION, "state": state}
    assert names(batch("young", 365, **told), LATEST) == []
    assert names(batch("old", 366, **told), LATEST) == ["old"]


def test_a_migration_is_never_kept_shorter_than_a_dry_run() -> None:
    migration = batch("wave", 400, kind=BatchKind.MIGRATION)
    assert names(migration, LATEST, periods=Periods(500, 365, 90)) == []


@pytest.mark.parametrize("moment", ["started_at", "finished_at", "approved_at", "released_at"])
def test_a_batch_is_as_old_as_the_last_thing_that_happened_to_it(moment: str) -> None:
    told = {"kind": BatchKind.MIGRATION, moment: days_ago(3)}
    assert names(batch("touched", 900, **told), LATEST) == []


@pytest.mark.parametrize("state", sorted(FOLLOWED))
def test_a_batch_that_a_receiver_may_have_is_as_old_as_its_release_and_stays_until_its_receipts_are_complete(
    state: BatchState,
) -> None:
    told = {"kind": BatchKind.MIGRATION, "state": state, "released_at": days_ago(90)}
    assert names(batch("on-its-last-day", 900, **told), LATEST) == []
    older = {**told, "released_at": days_ago(91)}
    assert names(batch("a-day-more", 900, **older), LATEST) == ["a-day-more"]
    assert names(batch("unanswered", 900, **{**told, "released_at": days_ago(899)}), LATEST, complete=False) == []
    touched_since = {**older, "finished_at": days_ago(0)}
    assert names(batch("touched-since", 900, **touched_since), LATEST) == ["touched-since"]


def test_the_day_it_is_read_as_of_makes_no_batch_old() -> None:
    assert names(batch("backfilled", 2, as_of=dt.date(2024, 1, 1)), LATEST) == []


def test_the_latest_verified_dry_run_is_kept_however_old() -> None:
    assert names(batch("older", 101), batch("latest", 100)) == ["older"]
    assert names(batch("verified", 200), batch("failed", 100, state=BatchState.FAILED)) == ["failed"]
    assert names(batch("dry-run", 800), batch("wave", 700, kind=BatchKind.MIGRATION)) == ["wave"]


def test_the_latest_is_the_one_of_the_latest_day_not_the_one_run_last() -> None:
    nightly = batch("nightly", 100, as_of=dt.date(2024, 11, 30))
    backfilled = batch("backfilled", 90, as_of=dt.date(2024, 1, 1))
    assert names(nightly, backfilled) == ["backfilled"]


def test_a_replay_is_not_the_latest_dry_run_and_goes_when_its_time_is_up() -> None:
    night, replay = batch("night", 100), batch("replay", 90, as_of=TODAY, reuse_snapshot="night")
    assert names(night, replay) == ["replay"]


def test_the_latest_over_every_unit_is_kept_besides_the_latest_of_all() -> None:
    everything = batch("everything", 100)
    one_unit, another = batch("one-unit", 60, units=("A",)), batch("another-unit", 50, units=("B",))
    assert names(everything, one_unit, another) == ["one-unit"]


def test_of_several_equally_late_runs_the_one_that_readers_see_stays() -> None:
    assert names(batch("a", 100), batch("b", 100), batch("c", 101)) == ["c", "a"]


def test_the_oldest_go_first() -> None:
    assert names(batch("b", 50), batch("c", 40), batch("a", 60), LATEST) == ["a", "b", "c"]


AGED = st.builds(
    lambda number, age, kind, state: batch(f"{number}", age, kind=kind, state=state),
    st.integers(),
    st.integers(0, 900),
    st.sampled_from(BatchKind),
    st.sampled_from(BatchState),
)


@given(st.lists(AGED, unique_by=lambda batch: batch.batch_id, max_size=12), st.integers(1, 800), st.integers(1, 800))
def test_young_batches_and_the_latest_always_stay(batches: list[Batch], dry_run: int, migration: int) -> None:
    periods = Periods(dry_run, migration, released=90)
    gone = expired(batches, TODAY, periods, bool)
    for batch in gone:
        assert (TODAY - batch.started_at.date()).days > (
            dry_run if batch.kind is BatchKind.DRY_RUN else 90 if batch.state in FOLLOWED else max(dry_run, migration)
        )
    verified = [batch for batch in batches if batch.kind is BatchKind.DRY_RUN and batch.state is BatchState.VERIFIED]
    assert not verified or len([batch for batch in verified if batch not in gone]) >= 1
    assert not [batch for batch in gone if batch.state is UNDECIDED]
    assert gone == expired(batches[::-1], TODAY, periods, bool)
