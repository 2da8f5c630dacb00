"""The step that reads the staged rows back, for the reconciliation and for the suite on booking requests."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import runs

from waitlist import quality
from waitlist.exceptions import ReconciliationError
from waitlist.results import QualityResult
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.staging import BatchState
from waitlist.staging.schema import bokningsbegaran, disposition
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Run

SUITE = "booking_requests"
CUTOFF = ("expect_booking_windows_to_clear_cutoff", "begart_startdatum, begart_slutdatum")


class Site:
    """A run that is assessed in two partitions."""

    def __init__(self, out: Path, staging: str) -> None:
        generate(Order(400, seed=3, as_of=runs.AS_OF), out, sqlite=out / "pmo.sqlite")
        pmo = f"Driver={{SQLite3}};Database={out / 'pmo.sqlite'}"
        self.steps: Pipeline = runs.pipeline(
            out, pmo=pmo, staging=staging, mappings=out / MAPPINGS, partition_posts=200, chunk_posts=70
        )
        self.run: Run
        self.run, numbers = runs.assessed(self.steps, runs.request())
        assert len(numbers) > 1

    @property
    def migrating(self) -> list[int]:
        with self.steps.store.engine.connect() as connection:
            return list(connection.execute(sa.select(bokningsbegaran.c.post_id).order_by("post_id")).scalars())

    def change(self, table: sa.Table, post_id: int, **values: object) -> None:
        with self.steps.store.engine.begin() as connection:
            connection.execute(table.update().where(table.c.post_id == post_id).values(values))

    def results(self) -> Mapping[tuple[str, str], QualityResult]:
        found = self.steps.store.quality_results(self.run.batch_id)
        return {(it.expectation, it.column): it for it in found if it.suite == SUITE}


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    if request.param == "sqlite":
        return Site(tmp_path, f"sqlite:///{tmp_path / 'staging.sqlite'}")
    server = request.getfixturevalue("postgres")
    return Site(tmp_path, server.libpq(server.create_database()))


def unexpected(results: Mapping[tuple[str, str], QualityResult]) -> dict[tuple[str, str], int]:
    """Return what fails of what must hold for every row; the synthetic PMO has texts that are too long."""
    return {key: result.unexpected for key, result in results.items() if result.unexpected and result.threshold == 1}


def test_rows_are_read_once_and_give_what_a_reading_for_the_suite_alone_gives(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, run = site.steps, site.run
    staged = [suite for suite in steps.facts.suites.values() if suite.looks is quality.Looks.STAGED]
    alone = quality.check_staged(staged, steps.store.database, run.batch_id, steps._context(run))
    if steps.store.database.reads_in_bulk:
        monkeypatch.delattr("waitlist.quality.check_staged")
    told = steps.reconcile(run, now=runs.NOW)
    assert site.results() == {(it.expectation, it.column): it for it in alone}
    assert {result.evaluated for result in site.results().values()} == {len(site.migrating)}
    assert (told["staged"], told["passed"], told["failed"]) == (len(site.migrating), len(alone), 0)


def test_what_only_the_suite_finds_is_told_and_does_not_stop_the_run(site: Site) -> None:
    first, *_, last = site.migrating
    site.change(disposition, first, driftstart=None)
    site.change(disposition, last, driftstart=dt.date(2019, 1, 1))
    told = site.steps.reconcile(site.run, now=runs.NOW)
    assert (told["failed"], unexpected(site.results())) == (1, {CUTOFF: 2})


def test_what_the_reconciliation_finds_does_not_keep_the_suite_from_its_result(site: Site) -> None:
    first, *_, last = migrating = site.migrating
    with site.steps.store.engine.begin() as connection:
        connection.execute(disposition.delete().where(disposition.c.post_id == first))
    site.change(bokningsbegaran, last, patientnamn="  ", begart_startdatum=dt.date(2019, 1, 1))
    with pytest.raises(ReconciliationError, match=f"row_hash does not fit: expected 0, found 1: post_id {last}"):
        site.steps.reconcile(site.run, now=runs.NOW)
    assert site.steps.store.batch(site.run.batch_id).state is BatchState.FAILED
    assert unexpected(site.results()) == {CUTOFF: 2, ("expect_column_values_to_not_be_blank", "patientnamn"): 1}
    assert {result.evaluated for result in site.results().values()} == {len(migrating)}


def test_a_rerun_after_the_rows_were_put_back_finds_nothing(site: Site) -> None:
    post_id = site.migrating[0]
    site.change(bokningsbegaran, post_id, sekretess=True, besokstyp="Påhittad")
    with pytest.raises(ReconciliationError):
        site.steps.reconcile(site.run, now=runs.NOW)
    assert unexpected(site.results())
    for number in range(2):
        site.steps.assess(site.run, number, now=runs.NOW)
    site.steps.reconcile(site.run, now=runs.NOW)
    assert unexpected(site.results()) == {}
    assert site.steps.store.batch(site.run.batch_id).posts_staged == len(site.migrating)
