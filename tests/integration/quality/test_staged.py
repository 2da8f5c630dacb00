"""The suite over staged booking requests, in SQLite and in a real PostgreSQL."""

import datetime as dt
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from tests.support.postgres import free_port
from tests.support.posts import AS_OF, CUTOFF, GO_LIVE, UNIT, context, luhn, official, table, unit

from waitlist import paths
from waitlist.exceptions import RefusedError, StagingError, SuiteError
from waitlist.judge.assess import assess
from waitlist.judge.posts import NO_POSTS
from waitlist.quality import Looks, Outcome, QualityResult, Suite, check_staged, load_suites
from waitlist.quality.suites import TYPES
from waitlist.settings import StraddlePolicy
from waitlist.staging import StagingStore
from waitlist.staging.schema import bokningsbegaran, disposition

BATCH = "waitlist_dry_run, o'clock: 2024-10-01T00:00:00+00:00 :now 100%s"
OTHER = "another"
POSTS = [
    {"personnummer": official(dt.date(1980 + number, 5, 9), 239), "patient": f"Person {number}"} for number in range(8)
]
ADULT = "19850314238" + luhn("850314238")
ELDER = "18920314981" + luhn("920314981")

Found = Mapping[tuple[str, str], QualityResult]


@pytest.fixture(scope="module")
def suite() -> Suite:
    return load_suites(paths.EXPECTATIONS)["booking_requests"]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('staging') / 'staging.db'}"
    server = request.getfixturevalue("postgres")
    return server.libpq(server.create_database())


@pytest.fixture(scope="module")
def staged(url: str) -> StagingStore:
    """Two batches of eight booking requests, as the pipeline stages them."""
    store = StagingStore(url)
    store.migrate()
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


@contextmanager
def spoilt(
    store: StagingStore, *post_ids: int, batch_id: str = BATCH, of: sa.Table = bokningsbegaran, **values: Any
) -> Iterator[None]:
    """Change staged rows behind the pipeline's back for a while."""
    which = (of.c.batch_id == batch_id, of.c.post_id.in_(post_ids))
    with store.engine.begin() as connection:
        before = connection.execute(sa.select(of).where(*which)).mappings().all()
        connection.execute(of.update().where(*which).values(values))
    assert len(before) == len(post_ids)
    yield
    with store.engine.begin() as connection:
        connection.execute(of.delete().where(*which))
        connection.execute(of.insert(), [dict(row) for row in before])


def check(store: StagingStore, suite: Suite, **given: Any) -> Found:
    results = check_staged([suite], store.database, BATCH, context(**given))
    assert Outcome.ERROR not in {result.outcome for result in results}
    return {(result.expectation, result.column): result for result in results}


def failures(found: Found) -> dict[tuple[str, str], int]:
    return {key: result.unexpected for key, result in found.items() if result.unexpected}


def test_what_the_pipeline_stages_passes(staged: StagingStore, suite: Suite) -> None:
    found = check(staged, suite)

    assert list(found) == [expectation.key for expectation in suite.expectations]
    assert {result.outcome for result in found.values()} == {Outcome.PASSED}
    assert {result.evaluated for result in found.values()} == {len(POSTS)}


def test_a_batch_without_rows_is_not_applicable(staged: StagingStore, suite: Suite) -> None:
    results = check_staged([suite], staged.database, "never opened", context())

    assert {result.outcome for result in results} == {Outcome.NOT_APPLICABLE}
    assert {result.evaluated for result in results} == {0}


def test_other_batches_are_not_seen(staged: StagingStore, suite: Suite) -> None:
    with spoilt(staged, 1, batch_id=OTHER, person_id="nobody", patientnamn=" "):
        assert failures(check(staged, suite)) == {}


def test_each_fault_is_found_by_its_own_expectation(staged: StagingStore, suite: Suite) -> None:
    faults: list[dict[str, Any]] = [
        {"person_id": "8503142383"},
        {"begard_plats": None},
        {"vardinrattning": "  "},
        {"patientnamn": ""},
        {"besokstyp": "SDV Pv Ssk Påhittad"},
        {"begart_slutdatum": dt.date(2025, 1, 19)},
        {"begart_startdatum": CUTOFF, "beskrivning": "å" * 255},
        {"row_hash": "0" * 62, "beskrivning": "å" * 256},
    ]
    with ExitStack() as stack:
        for post_id, values in enumerate(faults, start=1):
            stack.enter_context(spoilt(staged, post_id, **values))
        failed = failures(check(staged, suite))

    assert failed == {
        ("expect_column_value_lengths_to_equal", "person_id"): 1,
        ("expect_column_values_to_be_personnummer", "person_id"): 1,
        ("expect_column_values_to_not_be_null", "begard_plats"): 1,
        ("expect_column_values_to_not_be_blank", "vardinrattning"): 1,
        ("expect_column_values_to_not_be_blank", "patientnamn"): 1,
        ("expect_column_values_to_be_visit_types", "besokstyp"): 1,
        ("expect_column_pair_values_a_to_be_greater_than_b", "begart_slutdatum, begart_startdatum"): 1,
        ("expect_booking_windows_to_clear_cutoff", "begart_startdatum, begart_slutdatum"): 1,
        ("expect_column_value_lengths_to_equal", "row_hash"): 1,
        ("expect_column_values_to_fit_description", "beskrivning"): 1,
    }


def test_a_checksum_that_occurs_twice_is_found(staged: StagingStore, suite: Suite) -> None:
    with spoilt(staged, 2, 5, row_hash="0" * 64):
        assert failures(check(staged, suite)) == {("expect_column_values_to_be_unique", "row_hash"): 2}


def test_values_are_compared_over_the_whole_batch_however_few_rows_are_looked_at(
    staged: StagingStore, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waitlist.quality.run._STAGED_ROWS_A_LOOK", 2)
    monkeypatch.setattr("waitlist.staging.database._READ_ROWS", 3)
    whole = check(staged, suite)
    assert {result.evaluated for result in whole.values()} == {len(POSTS)}
    assert failures(whole) == {}
    with spoilt(staged, 1, 4, 8, row_hash="0" * 64, patientnamn=""):
        assert failures(check(staged, suite)) == {
            ("expect_column_values_to_be_unique", "row_hash"): 3,
            ("expect_column_values_to_not_be_blank", "patientnamn"): 3,
        }


class TestCutoff:
    def fails(self, store: StagingStore, suite: Suite, **given: Any) -> int:
        cutoff = [it for it in suite.expectations if it.type == "expect_booking_windows_to_clear_cutoff"]
        (result,) = check(store, replace(suite, expectations=tuple(cutoff)), **given).values()
        return result.unexpected

    @pytest.mark.parametrize(
        ("policy", "unexpected"), [(StraddlePolicy.BOOK, 1), (StraddlePolicy.REVIEW, 1), (StraddlePolicy.MIGRATE, 0)]
    )
    def test_a_straddler_may_be_staged_under_the_policy_migrate_alone(
        self, staged: StagingStore, suite: Suite, policy: StraddlePolicy, unexpected: int
    ) -> None:
        with spoilt(staged, 1, begart_startdatum=CUTOFF, begart_slutdatum=CUTOFF + dt.timedelta(days=1)):
            assert self.fails(staged, suite, straddle_policy=policy) == unexpected

    def test_a_window_that_ends_at_the_cutoff_is_never_staged(self, staged: StagingStore, suite: Suite) -> None:
        with spoilt(staged, 1, begart_startdatum=CUTOFF, begart_slutdatum=CUTOFF):
            assert self.fails(staged, suite, straddle_policy=StraddlePolicy.MIGRATE) == 1

    def test_the_days_of_the_cutoff_are_the_setting(self, staged: StagingStore, suite: Suite) -> None:
        assert self.fails(staged, suite, cutoff_days=63) == len(POSTS)

    def test_a_post_without_a_planned_go_live_is_never_staged(self, staged: StagingStore, suite: Suite) -> None:
        with spoilt(staged, 4, of=disposition, driftstart=None):
            assert self.fails(staged, suite) == 1
        with spoilt(staged, 4, of=disposition, driftstart=GO_LIVE - dt.timedelta(days=1)):
            assert self.fails(staged, suite) == 1

    def test_a_post_of_a_unit_that_is_live_is_never_staged(self, staged: StagingStore, suite: Suite) -> None:
        assert self.fails(staged, suite, as_of=GO_LIVE - dt.timedelta(days=1)) == 0
        assert self.fails(staged, suite, as_of=GO_LIVE) == len(POSTS)

    def test_without_any_go_live_nothing_may_be_staged(self, staged: StagingStore, suite: Suite) -> None:
        assert self.fails(staged, suite, units=(unit(UNIT, None, "Pv"),)) == len(POSTS)


@pytest.mark.parametrize(
    ("number", "holds"),
    [
        (ADULT, True),
        (ELDER, True),
        ("20241230238" + luhn("241230238"), False),  # born after the as-of date
        ("18241231238" + luhn("241231238"), False),  # before any sign could tell the year
        ("19850230238" + luhn("850230238"), False),
        ("19850229238" + luhn("850229238"), False),  # no leap year
        ("19840229238" + luhn("840229238"), True),
        ("20000229238" + luhn("000229238"), True),
        ("19000229238" + luhn("000229238"), False),  # a century that is no leap year
        ("19850431238" + luhn("850431238"), False),
        ("19851314238" + luhn("851314238"), False),
        ("19850014238" + luhn("850014238"), False),
        ("19850300238" + luhn("850300238"), False),
        ("19850374238" + luhn("850374238"), False),  # a samordningsnummer
        (ADULT[:-1] + str((int(ADULT[-1]) + 1) % 10), False),
        (ADULT[:5] + "4" + ADULT[6:], False),
        (ADULT[:8] + "T" + ADULT[9:], False),
        (ADULT[:8] + "２" + ADULT[9:], False),
        (ADULT[:-1] + " ", False),
        (ADULT[2:], False),
        (ADULT[2:8] + "-" + ADULT[8:], False),
        (ADULT + "0", False),
        ("", False),
        ("å", False),
    ],
)
def test_a_person_id_is_judged_by_other_means_than_the_assessment(number: str, holds: bool) -> None:
    from waitlist.quality.expectations import is_person_id  # noqa: PLC0415 - imports Great Expectations

    assert is_person_id(pa.array([ADULT, number, ELDER]), AS_OF).tolist() == [True, holds, True]


class TestFailure:
    def test_a_database_without_the_tables_stops_the_run(self, suite: Suite, tmp_path: Path) -> None:
        empty = StagingStore(f"sqlite:///{tmp_path / 'empty.db'}").database

        with pytest.raises(RefusedError, match=r"checking the staged rows .*\(OperationalError, SQLITE_ERROR\)"):
            check_staged([suite], empty, BATCH, context())

    def test_a_database_that_is_not_there_stops_the_run_without_its_password(self, suite: Suite) -> None:
        nowhere = StagingStore(f"postgresql://postgres:hemligt@127.0.0.1:{free_port()}/none").database

        with pytest.raises(StagingError, match="cannot be reached") as caught:
            check_staged([suite], nowhere, BATCH, context())
        assert "hemligt" not in str(caught.value)

    def test_a_suite_over_the_snapshot_is_refused(self, staged: StagingStore) -> None:
        with pytest.raises(SuiteError, match="suites that do not check the staged booking requests: dates"):
            check_staged([load_suites(paths.EXPECTATIONS)["dates"]], staged.database, BATCH, context())


def test_results_and_logs_hold_no_value(
    staged: StagingStore, suite: Suite, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, logger="sqlalchemy.engine")  # its debug lines are rows, asked for by name
    marked = dict.fromkeys(("begard_plats", "patientnamn", "besokstyp", "beskrivning"), "Zxqvmarkör")

    with spoilt(staged, 1, 2, person_id="Zxqvmarkör", **marked):
        caplog.clear()
        results = check_staged([suite], staged.database, BATCH, context())

    assert sum(result.unexpected for result in results) > 0
    assert "Zxqv" not in "".join((repr(results), caplog.text, *capfd.readouterr()))
    assert not [record for record in caplog.records if record.name.startswith("great_expectations")]


def test_a_check_that_fails_on_a_value_is_an_error_without_the_value(
    staged: StagingStore,
    suite: Suite,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Python quotes the value in its error."""
    monkeypatch.setattr("waitlist.quality.run._STAGED_ROWS_A_LOOK", 2)
    monkeypatch.setattr("waitlist.staging.database._READ_ROWS", 3)
    monkeypatch.setattr("waitlist.quality.expectations.is_person_id", lambda texts, _as_of: [*map(int, texts.tolist())])
    with spoilt(staged, 1, person_id="Zxqvmarkör"):
        caplog.clear()
        results = check_staged([suite], staged.database, BATCH, context())

    raised = [result for result in results if result.outcome is Outcome.ERROR]
    assert [(it.expectation, it.evaluated, it.unexpected) for it in raised] == [
        ("expect_column_values_to_be_personnummer", 0, 0)
    ]
    assert "expect_column_values_to_be_personnummer on person_id could not be evaluated: " in caplog.text
    assert "Zxqv" not in "".join((repr(results), caplog.text, *capfd.readouterr()))
    assert not [record for record in caplog.records if record.name.startswith("great_expectations")]


def test_every_type_for_the_staged_rows_works_in_the_database(staged: StagingStore, suite: Suite) -> None:
    """What a lead may name must not turn out to be an error in one of the databases."""
    used = {expectation.type for expectation in suite.expectations}
    assert {name for name, kind in TYPES.items() if Looks.STAGED in kind.looks} - used == {
        "expect_column_values_to_be_in_set",
        "expect_column_value_lengths_to_be_between",
        "expect_compound_columns_to_be_unique",
        "expect_table_row_count_to_be_between",
    }
    others = {
        "expect_column_values_to_be_in_set": {"column": "besokstyp", "value_set": ["SDV Pv Ssk Återbesök (diabetes)"]},
        "expect_column_value_lengths_to_be_between": {"column": "patientnamn", "min_value": 2},
        "expect_compound_columns_to_be_unique": {"column_list": ["batch_id", "post_id"]},
        "expect_table_row_count_to_be_between": {"min_value": 1, "max_value": 7},
    }
    pattern = suite.expectations[0]
    expectations = tuple(
        replace(pattern, type=name, name=name, columns=columns, kwargs=kwargs)
        for name, kwargs in others.items()
        for columns in [tuple(kwargs.get("column_list", [kwargs.get("column", "besokstyp")]))]
    )

    found = check(staged, replace(suite, expectations=expectations))

    assert [(result.outcome, result.evaluated) for result in found.values()] == [
        (Outcome.PASSED, 8),
        (Outcome.PASSED, 8),
        (Outcome.PASSED, 8),
        (Outcome.FAILED, 8),
    ]
