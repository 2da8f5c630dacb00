"""Körning: the dispositions, the suites' outcomes, the duration, and the difference from another run."""

import datetime as dt
from pathlib import Path

import pytest
from tests.support import batches, releases

from waitlist import paths
from waitlist.facts.gates import Gate
from waitlist.quality import FailureSeverity, Outcome, QualityResult, load_suites
from waitlist.reports.pages import batch
from waitlist.reports.pages.reading import NoBatchError, UnknownError
from waitlist.staging import BatchState, StagingStore, schema
from waitlist.staging.events import entry
from waitlist.staging.states import EventName

SUITES = tuple(load_suites(paths.EXPECTATIONS).values())


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


def page(store: StagingStore, batch_id: str = "natt-1", **asked: object) -> batch.BatchPage:
    return batch.read_batch(store, batch_id, suites=SUITES, **asked)


def test_every_post_is_counted_in_a_disposition(store: StagingStore) -> None:
    batches.put_verified(store)
    accounts = page(store).accounting
    rows = batches.rows(store, schema.disposition)
    told = {stream.disposition: stream.posts for stream in accounts.streams}
    assert told == {name: sum(row["disposition"] == name for row in rows) for name in {r["disposition"] for r in rows}}
    assert accounts.read == sum(told.values()) == len(rows)
    assert accounts.staged == accounts.migrate == len(batches.rows(store, schema.bokningsbegaran))
    assert accounts.adds_up


def test_a_lost_count_is_reported(store: StagingStore) -> None:
    batches.put_verified(store)
    table = schema.unit_summary
    batches.execute(store, table.delete().where(table.c.disposition == "leave"))
    assert not page(store).accounting.adds_up


def test_a_batch_that_was_never_reconciled_has_no_figures(store: StagingStore) -> None:
    batches.open_batch(store)
    store.mark_failed("natt-1", batches.NOW + dt.timedelta(seconds=90), reason="check_contract")
    found = page(store)
    assert (found.accounting.read, found.accounting.streams, found.accounting.adds_up) == (None, (), False)
    assert found.batch.state is BatchState.FAILED
    assert [(step.name, step.seconds, step.state) for step in found.steps] == [("failed", 90.0, "failed")]
    assert found.others == ()
    assert all(check.outcome is None for suite in found.suites for check in suite.checks)


def test_not_applicable_failed_and_error_are_distinguished(store: StagingStore) -> None:
    batches.put_verified(store)
    suite = next(suite for suite in SUITES if suite.name == "dates")
    outcomes = [Outcome.PASSED, Outcome.NOT_APPLICABLE, Outcome.ERROR, Outcome.FAILED]
    results = [
        QualityResult(suite.name, *expectation.key, expectation.severity, 10, 3, expectation.threshold, outcome)
        for expectation, outcome in zip(suite.expectations, outcomes, strict=False)
    ]
    store.replace_quality("natt-1", suite.name, results)
    found = next(suite for suite in page(store).suites if suite.name == "dates")
    assert found.outcome is Outcome.ERROR
    left = len(suite.expectations) - len(outcomes)
    assert [check.outcome for check in found.checks] == [
        Outcome.ERROR, Outcome.FAILED, *[None] * left, Outcome.PASSED, Outcome.NOT_APPLICABLE,
    ]  # fmt: skip
    texts = {expectation.key: expectation.text for expectation in suite.expectations}
    assert all(check.text == texts[check.expectation, check.column] for check in found.checks)
    assert (found.checks[0].evaluated, found.checks[0].unexpected) == (10, 3)


def test_a_result_of_an_expectation_that_the_suite_no_longer_has_still_shows(store: StagingStore) -> None:
    batches.put_verified(store)
    old = QualityResult("dates", "expect_old", "boka_fore", FailureSeverity.CRITICAL, 5, 5, 1.0, Outcome.FAILED)
    store.replace_quality("natt-1", "dates", [old])
    found = next(suite for suite in page(store).suites if suite.name == "dates")
    assert (found.checks[0].text, found.checks[0].outcome) == ("expect_old", Outcome.FAILED)


def test_gates_and_the_trail_of_a_migration(store: StagingStore) -> None:
    releases.verified(store, "vecka-1", releases.POSTS)
    releases.release.request_approval(
        store, "vecka-1", releases.failing(Gate.UNHANDLED_SHARE), "pipeline", releases.NOW
    )
    assert page(store, "vecka-1").accounting.released == 0
    releases.release.release(store, "vecka-1", "Eva Öberg", releases.REASON, releases.LATER)
    found = page(store, "vecka-1")
    assert [gate.gate for gate in found.gates if not gate.passed] == [Gate.UNHANDLED_SHARE]
    assert found.accounting.released == found.accounting.migrate == len(releases.migrating(releases.POSTS))
    assert [event.event for event in found.events][-2:] == [EventName.OVERRIDE, EventName.RELEASED]
    assert found.events[-1].reason == releases.REASON


def test_airflows_data_on_the_steps_comes_first(store: StagingStore) -> None:
    batches.put_verified(store)
    told = batch.Step("extract", batches.NOW, 3.0, 4, "success")
    assert page(store, steps=(told,)).steps == (told,)
    assert [step.name for step in page(store).steps] == ["staged", "verified"]


def test_it_is_compared_with_another_batch(store: StagingStore) -> None:
    batches.put_verified(store, "natt-1", "natt-2")
    found = page(store, "natt-2", compare_with="natt-1")
    assert [other.batch_id for other in found.others] == ["natt-1"]
    assert found.compared is not None
    assert sum(move.posts for move in found.compared.moves if move.before == move.after) == found.accounting.read


@pytest.mark.parametrize("other", ["natt-2", "natt-3", "natt-4"])
def test_it_is_not_compared_with_itself_an_unknown_one_or_one_that_does_not_count(
    store: StagingStore, other: str
) -> None:
    batches.put_verified(store, "natt-1", "natt-2")
    batches.open_batch(store, "natt-3")
    with pytest.raises(UnknownError):
        page(store, "natt-2", compare_with=other)


def test_a_purged_batch_keeps_its_counts_and_is_compared_with_nothing(store: StagingStore) -> None:
    batches.put_verified(store, "natt-1", "natt-2")
    batches.execute(store, schema.disposition.delete().where(schema.disposition.c.batch_id == "natt-1"))
    batches.execute(store, entry("natt-1", EventName.PURGED, at=batches.NOW))
    found = page(store)
    assert (found.purged, found.others) == (True, ())
    assert found.accounting.adds_up
    assert page(store, "natt-2").others == ()
    with pytest.raises(UnknownError):
        page(store, "natt-2", compare_with="natt-1")


def test_the_list_has_every_batch_the_latest_first(store: StagingStore) -> None:
    for number in range(33):
        batches.open_batch(store, f"natt-{number:02}", started_at=batches.NOW + dt.timedelta(hours=number))
    first, second = batch.read_batches(store, 1), batch.read_batches(store, 2)
    assert first.batches[0].batch_id == "natt-32"
    assert [batch.batch_id for batch in second.batches] == ["natt-02", "natt-01", "natt-00"]
    assert (first.paging.rows, second.paging.pages) == (33, 2)
    assert batch.read_batches(store, 99) == second


def test_there_is_no_page_of_an_unknown_batch(store: StagingStore) -> None:
    with pytest.raises(UnknownError):
        page(store, "natt-9")
    with pytest.raises(UnknownError):
        batch.run_of(store, "natt-9")


def test_a_database_without_tables_has_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(NoBatchError):
        batch.read_batches(StagingStore(f"sqlite:///{tmp_path / 'empty.sqlite'}"), 1)
