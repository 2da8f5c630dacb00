"""Data of an earlier release, read by this one: shown, compared, judged again and run again.

``data/earlier_release.tar.xz`` holds a synthetic PMO of 300 posts with three nights and a pilot, as the release before
``book_in_pmo`` wrote them: staging database, snapshots and mapping files. The file is never made again.
"""

import datetime as dt
import tarfile
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import batches, worklists
from tests.support.runs import AS_OF, NOW, dry_run, pipeline
from upath import UPath

from waitlist import demo
from waitlist.judge.rules import Disposition
from waitlist.quality import load_suites
from waitlist.release.gates import read_measured
from waitlist.reports.diff import read_difference
from waitlist.reports.pages.batch import read_batch, read_batches
from waitlist.reports.pages.catalogue import read_catalogue
from waitlist.reports.pages.forecast import Outlook
from waitlist.reports.pages.history import dry_runs, unshown
from waitlist.reports.pages.overview import Overview, read_overview
from waitlist.reports.pages.persons import read_persons
from waitlist.reports.pages.reading import reading
from waitlist.reports.pages.released import read_released
from waitlist.reports.pages.unit import Asked, Unit, read_unit
from waitlist.reports.pages.units import UnitsAsked, read_unit_list
from waitlist.reports.pages.what_if import read_what_if
from waitlist.reports.readiness import read_readiness
from waitlist.reports.worklist import OutFolder, find_snapshot, write_work_lists
from waitlist.settings import RuleSettings, Settings
from waitlist.source.earlier_files import files_of
from waitlist.staging import StagingStore, schema
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Request

ARCHIVE = Path(__file__).parent / "data" / "earlier_release.tar.xz"
NIGHTS = tuple(AS_OF - dt.timedelta(days) for days in (2, 1, 0))
LATER = NOW + dt.timedelta(hours=3)


class Deployment:
    """The earlier release's files under this release's code."""

    def __init__(self, folder: Path) -> None:
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(folder, filter="data")
        self.folder = folder
        self.steps: Pipeline = pipeline(
            folder,
            pmo=f"Driver={{SQLite3}};Database={folder / 'pmo.sqlite'}",
            staging=f"sqlite:///{folder / 'staging.sqlite'}",
            mappings=folder / "mappings",
        )
        self.mappings = self.steps.facts.mappings

    @property
    def store(self) -> StagingStore:
        return self.steps.store

    @property
    def snapshots(self) -> UPath:
        return UPath(self.folder / "snapshots")

    @property
    def batches(self) -> list[str]:
        return [night(day).batch_id for day in NIGHTS]

    def overview(self) -> Overview:
        with reading(self.store, "reading the overview") as connection:
            return read_overview(connection, self.mappings, now=LATER, approval_hours=72)

    def units(self) -> list[Unit]:
        with reading(self.store, "reading units") as connection:
            keys = [unit.key for unit in read_unit_list(connection, self.mappings, lambda _: True, UnitsAsked()).units]
            return [read_unit(connection, self.mappings, key, Asked()) for key in keys]

    def dispositions(self, batch_id: str) -> Counter[str]:
        column = schema.disposition.c
        query = sa.select(column.disposition).where(column.batch_id == batch_id)
        with self.store.database.connected() as connection:
            return Counter(connection.scalars(query))


def night(day: dt.date, **asked: str) -> Request:
    return Request("waitlist_dry_run", f"night-{day}", "dry_run", day, **asked)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    made = Deployment(tmp_path)
    made.store.migrate()
    return made


def test_every_page_shows_what_the_earlier_release_left(deployment: Deployment) -> None:
    overview = deployment.overview()
    assert (overview.latest.batch_id, len(overview.trend)) == (deployment.batches[-1], 3)
    assert all(point.same_rules for point in overview.trend)
    assert sum(unit.unit.posts for unit in deployment.units()) == overview.posts
    assert read_catalogue(deployment.store, deployment.mappings).batch == overview.latest
    assert read_released(deployment.store, deployment.mappings, 1)
    assert {listed.batch_id for listed in read_batches(deployment.store, 1).batches} == {
        *deployment.batches,
        demo.BATCH,
    }
    suites = load_suites(Settings().expectations_dir).values()
    for batch_id in deployment.batches:
        measured = read_measured(files_of(deployment.store, deployment.snapshots, batch_id))
        page = read_batch(deployment.store, batch_id, suites=suites, measured=measured)
        assert page.accounting.adds_up
        assert page.gates
        assert read_readiness(deployment.store, batch_id, deployment.mappings).progress.posts == page.accounting.read


def test_work_lists_persons_and_what_if_read_the_snapshot_that_it_took(deployment: Deployment, tmp_path: Path) -> None:
    for batch_id in deployment.batches:
        readiness = read_readiness(deployment.store, batch_id, deployment.mappings)
        snapshot = find_snapshot(deployment.store, readiness.batch, deployment.snapshots)
        out = OutFolder(tmp_path / f"lists-{batch_id}", units=None, replace=False)
        written = write_work_lists(
            deployment.store,
            readiness,
            snapshot,
            deployment.mappings,
            out,
            with_csv=True,
            recording=worklists.unrecorded,
        )
        assert written.units >= 30
    shown = [post.post_id for post in deployment.units()[0].posts]
    assert set(read_persons(deployment.store, deployment.batches[-1], deployment.snapshots, shown)) == set(shown)
    asked = {"grans": "migrate"}
    page = read_what_if(deployment.store, deployment.snapshots, asked, deployment.mappings, RuleSettings())
    assert page.consequences is not None
    assert page.consequences.before["book_in_pmo"]


@pytest.mark.parametrize("day", NIGHTS, ids=str)
def test_an_old_snapshot_is_judged_by_the_rules_of_now(deployment: Deployment, day: dt.date) -> None:
    old = night(day).batch_id
    replayed = dry_run(deployment.steps, Request("waitlist_dry_run", "replay", "dry_run", None, reuse_snapshot=old))
    before, after = deployment.dispositions(old), deployment.dispositions(replayed)
    assert before.total() == after.total()
    assert (before["book_in_pmo"], after["book_in_pmo"] > 0) == (0, True)
    difference = read_difference(deployment.store, old, replayed)
    moved = {(move.before, move.after) for move in difference.moves if move.before != move.after}
    assert ("book_in_millennium", "book_in_pmo") in moved
    assert {rule.rule for rule in difference.rules} >= {"ENDS_BEFORE_GO_LIVE", "WITHIN_CUTOFF"}
    assert deployment.overview().latest.batch_id == deployment.batches[-1]


@pytest.mark.parametrize("day", NIGHTS, ids=str)
def test_an_old_night_is_run_again_and_replaces_itself_alone(deployment: Deployment, day: dt.date) -> None:
    others = {batch_id: deployment.dispositions(batch_id) for batch_id in deployment.batches}
    again = dry_run(deployment.steps, night(day), now=LATER)
    assert again == night(day).batch_id
    assert deployment.dispositions(again)["book_in_pmo"]
    assert {batch_id: deployment.dispositions(batch_id) for batch_id in deployment.batches if batch_id != again} == {
        batch_id: found for batch_id, found in others.items() if batch_id != again
    }
    assert [point.as_of for point in deployment.overview().trend] == list(NIGHTS)


def test_days_that_were_judged_by_other_rules_are_marked_and_give_no_forecast(deployment: Deployment) -> None:
    dry_run(deployment.steps, night(AS_OF), now=LATER)
    overview = deployment.overview()
    assert [point.same_rules for point in overview.trend] == [False, False, True]
    assert overview.counts["book_in_pmo"]
    for unit in deployment.units():
        assert unit.change is None
        assert unit.unit.forecast.outlook in {Outlook.CLEAN, Outlook.TOO_SHORT}
    for day in NIGHTS[:-1]:
        dry_run(deployment.steps, night(day), now=LATER)
    assert all(point.same_rules for point in deployment.overview().trend)
    assert any(unit.change is not None for unit in deployment.units())


def test_an_old_night_that_fails_or_runs_again_is_not_shown_as_the_latest(deployment: Deployment) -> None:
    deployment.steps.open_batch(night(NIGHTS[0]), now=LATER)
    with reading(deployment.store, "reading") as connection:
        assert unshown(connection, dry_runs(connection)[-1]) is None
    deployment.steps.mark_failed(night(NIGHTS[0]), failed=["extract"], now=LATER)
    with reading(deployment.store, "reading") as connection:
        assert unshown(connection, dry_runs(connection)[-1]) is None
    deployment.steps.open_batch(night(AS_OF), now=LATER)
    with reading(deployment.store, "reading") as connection:
        missed = unshown(connection, dry_runs(connection)[-1])
    assert missed is not None
    assert missed.as_of == AS_OF


def test_a_past_night_does_not_depend_on_a_later_release(deployment: Deployment) -> None:
    before = [deployment.dispositions(batch_id)["already_released"] for batch_id in deployment.batches]
    migrating = sa.select(schema.disposition.c.post_id).where(
        schema.disposition.c.batch_id == deployment.batches[-1], schema.disposition.c.disposition == "migrate"
    )
    with batches.unguarded(deployment.store) as connection:
        released = connection.scalars(migrating).all()[:10]
        connection.execute(
            schema.batch.insert().values(
                batch_id="vag-1", dag_id="waitlist_migration", run_id="vag-1", kind="migration", as_of=AS_OF,
                state="released", rules_version="0" * 64, started_at=NOW,
            )
        )  # fmt: skip
        connection.execute(
            schema.released_post.insert(),
            [{"post_id": post, "batch_id": "vag-1", "row_hash": "0" * 64, "released_at": NOW} for post in released],
        )
    again = [dry_run(deployment.steps, night(day), now=LATER) for day in NIGHTS]
    after = [deployment.dispositions(batch_id)["already_released"] for batch_id in again]
    assert after == [before[0], before[1], before[2] + len(released)]
    wave = Request("waitlist_migration", "vag-2", "migration", NIGHTS[0])
    run = deployment.steps.open_batch(wave, now=LATER)
    numbers = deployment.steps.plan_extract(run)
    for number in numbers:
        deployment.steps.extract(run, number)
    deployment.steps.find_duplicates(run)
    for number in numbers:
        deployment.steps.assess(run, number, now=LATER)
    assert deployment.dispositions(run.batch_id)[Disposition.ALREADY_RELEASED] > before[0]
