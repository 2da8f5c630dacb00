"""The suite over staged booking requests, in the databases themselves."""

import datetime as dt
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.posts import AS_OF, CUTOFF, GO_LIVE, UNIT, context, official, table, unit
from tests.support.postgres import PostgresServer
from waitlist import paths
from waitlist.assess import assess
from waitlist.exceptions import SuiteError
from waitlist.posts import NO_POSTS
from waitlist.quality import FailureSeverity, Outcome, QualityResult, Suite, check_staged, load_suites
from waitlist.staging import StagingStore
from waitlist.staging.schema import bokningsbegaran, disposition

BATCH = "waitlist_dry_run.o'clock:2024-10-01T00:00:00+00:00 100%"
OTHER = "another"
MARKER = "Zxqv-Markör"
POSTS = [
    {"personnummer": official(dt.date(1980 + number, 5, 9), 239), "patient": f"Person {number}"} for number in range(8)
]


@pytest.fixture(scope="module")
def suite() -> Suite:
    return load_suites(paths.EXPECTATIONS)["booking_requests"]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'staging.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.libpq(server.create_database())
    store = StagingStore(url)
    store.migrate()
    return store


@pytest.fixture
def staged(store: StagingStore) -> StagingStore:
    """Two batches of eight booking requests, as the pipeline stages them."""
    assessed = assess(table(*POSTS), context(), duplicates=NO_POSTS, released=NO_POSTS)
    assert assessed.bokningsbegaran.num_rows == len(POSTS)
    for batch_id in (BATCH, OTHER):
        store.open_batch(
            batch_id,
            dag_id="waitlist_dry_run",
            run_id=batch_id,
            kind="dry_run",
            wave=None,
            as_of=AS_OF,
            rules_version="0" * 64,
            started_at=dt.datetime(2024, 10, 1, tzinfo=dt.UTC),
        )
        store.stage_partition(batch_id, None, None, [assessed])
    return store


def spoil(store: StagingStore, post_id: int, batch_id: str = BATCH, **values: Any) -> None:
    """Change a staged row behind the pipeline's back."""
    with store.engine.begin() as connection:
        changed = connection.execute(
            bokningsbegaran.update()
            .where(bokningsbegaran.c.batch_id == batch_id, bokningsbegaran.c.post_id == post_id)
            .values(values)
        )
    assert changed.rowcount == 1


def check(store: StagingStore, suite: Suite, **given: Any) -> Mapping[tuple[str, str], QualityResult]:
    results = check_staged([suite], store.engine, BATCH, context(**given))
    return {(result.expectation, result.column): result for result in results}


def failures(results: Mapping[tuple[str, str], QualityResult]) -> dict[tuple[str, str], int]:
    assert not [key for key, result in results.items() if result.outcome is Outcome.ERROR]
    return {key: result.unexpected for key, result in results.items() if result.unexpected}


def test_what_the_pipeline_stages_passes(staged: StagingStore, suite: Suite) -> None:
    results = check(staged, suite)

    assert list(results) == [expectation.key for expectation in suite.expectations]
    assert {result.outcome for result in results.values()} == {Outcome.PASSED}
    assert {result.evaluated for result in results.values()} == {len(POSTS)}


def test_a_batch_without_rows_is_not_applicable(store: StagingStore, suite: Suite) -> None:
    assert {result.outcome for result in check(store, suite).values()} == {Outcome.NOT_APPLICABLE}


def test_other_batches_are_not_seen(staged: StagingStore, suite: Suite) -> None:
    spoil(staged, 1, OTHER, person_id="nobody", patientnamn=" ")

    assert failures(check(staged, suite)) == {}


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"person_id": "19850314238"}, {"expect_column_value_lengths_to_equal", "expect_column_values_to_be_personnummer"}),
        ({"begard_plats": None}, {"expect_column_values_to_not_be_null"}),
        ({"vardinrattning": "  "}, {"expect_column_values_to_not_be_blank"}),
        ({"patientnamn": " "}, {"expect_column_values_to_not_be_blank"}),
        ({"besokstyp": "SDV Pv Ssk Hitte På"}, {"expect_column_values_to_be_visit_types"}),
        (
            {"begart_slutdatum": dt.date(2025, 1, 19)},
            {"expect_column_pair_values_a_to_be_greater_than_b"},
        ),
        ({"begart_startdatum": CUTOFF}, {"expect_booking_windows_to_clear_cutoff"}),
        ({"row_hash": "0" * 63}, {"expect_column_value_lengths_to_equal"}),
        ({"beskrivning": "å" * 256}, {"expect_column_values_to_fit_description"}),
    ],
    ids=str,
)
def test_each_fault_is_found_by_its_own_expectation(
    staged: StagingStore, suite: Suite, values: dict[str, Any], found: set[str]
) -> None:
    spoil(staged, 3, **values)

    failed = failures(check(staged, suite))

    assert {expectation for expectation, _ in failed} == found
    assert set(failed.values()) == {1}
