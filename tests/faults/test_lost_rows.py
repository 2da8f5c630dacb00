"""Data that a post lacks in PMO is a finding of that post and stops no other; a query that drifts stops the run."""

import datetime as dt
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import runs, worklists
from tests.support.pmo import UNITS, SmallPmo, post, posts, sqlite_pmo
from tests.support.worklists import book_of, sheets_of
from upath import UPath

from waitlist.exceptions import ContractBrokenError
from waitlist.quality import FailureSeverity, Outcome
from waitlist.reports import readiness
from waitlist.reports.pages.persons import read_persons
from waitlist.reports.worklist import OutFolder, find_snapshot, write_work_lists
from waitlist.staging import schema
from waitlist.steps.pipeline import Pipeline
from waitlist.swedish.words import PERSON_MASKED, WORK_LIST_MASKED

UNIT = UNITS[1][0]


def pipeline(folder: Path, pmo: SmallPmo) -> Pipeline:
    planned = runs.planned(folder, {UNIT: "1"})
    return runs.pipeline(folder, pmo=pmo.odbc, staging=f"sqlite:///{folder / 'staging.db'}", mappings=planned)


@pytest.fixture
def orphaned(tmp_path: Path) -> Pipeline:
    """Return a pipeline over a PMO in which post 2 has lost its patient, post 3 its unit and post 4 both."""
    pmo = sqlite_pmo(tmp_path, [post(1), post(2), post(3, enhet_id=99), post(4, enhet_id=99)])
    pmo.run("DELETE FROM patient WHERE patient_id IN (2, 4)")
    return pipeline(tmp_path, pmo)


def test_a_post_whose_patient_or_unit_is_gone_gets_its_findings_and_stops_nobody(orphaned: Pipeline) -> None:
    run, _ = runs.assessed(orphaned, runs.request())

    kept, found = schema.disposition.c, schema.finding.c
    with orphaned.store.database.connected() as connection:
        dispositions = dict(
            connection.execute(
                sa.select(kept.post_id, kept.disposition).where(kept.batch_id == run.batch_id).order_by(kept.post_id)
            ).all()
        )
        findings = connection.execute(
            sa.select(found.post_id, found.rule)
            .where(found.batch_id == run.batch_id)
            .order_by(found.post_id, found.rule)
        ).all()
    assert dispositions == {1: "migrate", 2: "handle_manually", 3: "plan_unit", 4: "handle_manually"}
    assert [(row.post_id, row.rule) for row in findings] == [
        (2, "ID_MISSING"), (2, "ID_UNSAFE_ON_SDV_LIST"), (2, "NAME_MISSING"),
        (3, "UNIT_UNPLANNED"),
        (4, "ID_MISSING"), (4, "ID_UNSAFE_ON_SDV_LIST"), (4, "NAME_MISSING"), (4, "UNIT_UNPLANNED"),
    ]  # fmt: skip


def test_an_unknown_person_is_masked_like_a_protected_one(orphaned: Pipeline, tmp_path: Path) -> None:
    batch_id = runs.dry_run(orphaned, runs.request())
    store, snapshots = orphaned.store, UPath(tmp_path / "snapshots")

    persons = read_persons(store, batch_id, snapshots, [1, 2])
    read = readiness.read_readiness(store, batch_id, orphaned.facts.mappings)
    snapshot = find_snapshot(store, store.batch(batch_id), snapshots)
    write_work_lists(
        store,
        read,
        snapshot,
        orphaned.facts.mappings,
        OutFolder(tmp_path / "listor", units=None, replace=False),
        recording=worklists.unrecorded,
    )

    assert persons[1].name == "Tolvan Tolvansson"
    assert (persons[2].name, persons[2].number, persons[2].protected) == (PERSON_MASKED, PERSON_MASKED, True)
    book = book_of(tmp_path / "listor", UNIT)
    (row,) = [row for rows in sheets_of(book).values() for row in rows if row["Post-id"] == 2]
    assert (row["Personnummer"], row["Namn"]) == (WORK_LIST_MASKED, WORK_LIST_MASKED)


@pytest.mark.parametrize("column", ["boka_from", "boka_fore"])
def test_a_column_without_valid_dates_stops_a_run_over_all_units_and_warns_over_some(
    tmp_path: Path, column: str
) -> None:
    pmo = sqlite_pmo(tmp_path, [*posts(range(19), **{column: "05/11/2024"}), *posts(range(19, 90), **{column: None})])
    steps = pipeline(tmp_path, pmo)

    def checked(name: str, **asked: tuple[str, ...]) -> tuple[Outcome, FailureSeverity]:
        run = steps.open_batch(runs.request(name, **asked), now=runs.NOW)
        for number in steps.plan_extract(run):
            steps.extract(run, number)
        try:
            steps.check_contract(run)
        finally:
            (result,) = (
                row
                for row in steps.store.quality_results(run.batch_id)
                if (row.expectation, row.column) == ("expect_column_to_hold_dates", column)
            )
        return result.outcome, result.severity

    assert checked("19 values")[0] is Outcome.PASSED
    pmo.add([post(100, **{column: "2024-11-05+01:00"})])
    assert checked("a unit", units=(UNIT,)) == (Outcome.FAILED, FailureSeverity.WARNING)
    with pytest.raises(
        ContractBrokenError, match=f"expect_column_to_hold_dates on {column}: 20 of 20 do not fulfil it"
    ):
        checked("20 values")
    pmo.add([post(101, **{column: "2024-11-05T23:30:00+00:00"})])
    assert checked("21 values")[0] is Outcome.PASSED


def test_of_an_instant_the_date_in_stockholm_is_booked(tmp_path: Path) -> None:
    steps = pipeline(
        tmp_path,
        sqlite_pmo(tmp_path, [post(1, boka_from="2025-02-28T23:30:00Z", boka_fore="2025-03-31T22:30:00+00:00")]),
    )

    run, _ = runs.assessed(steps, runs.request())

    request = schema.bokningsbegaran.c
    with steps.store.database.connected() as connection:
        row = connection.execute(
            sa.select(request.begart_startdatum, request.begart_slutdatum).where(request.batch_id == run.batch_id)
        ).one()
    assert tuple(row) == (dt.date(2025, 3, 1), dt.date(2025, 4, 1))
