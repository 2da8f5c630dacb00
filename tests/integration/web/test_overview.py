"""Översikt and Enhet: every number is that of the tables, and every post is counted."""

import dataclasses
import datetime as dt
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support import batches, posts, worklists
from upath import UPath

from waitlist.exceptions import StagingError
from waitlist.judge.rules import Disposition
from waitlist.release.gates import HANDLED
from waitlist.reports.pages.batch import read_batches
from waitlist.reports.pages.forecast import Outlook
from waitlist.reports.pages.overview import Overview, Status, read_overview
from waitlist.reports.pages.paging import Direction
from waitlist.reports.pages.persons import read_persons
from waitlist.reports.pages.reading import NoBatchError, OtherReleaseError, UnknownError, reading
from waitlist.reports.pages.unit import Asked, SortBy, Unit, read_unit
from waitlist.reports.pages.units import UnitsAsked, read_unit_list
from waitlist.reports.readiness import read_readiness
from waitlist.staging import StagingStore, schema
from waitlist.swedish.words import PERSON_MASKED

NOW = batches.NOW + dt.timedelta(hours=5)
NIGHTS = tuple(posts.AS_OF - dt.timedelta(days=days) for days in (14, 7, 0))
CLEAN = {}
MOVE = {"kategori": "Diabetesmottagning"}
EXPIRED = {"boka_from": "2024-01-01", "boka_fore": "2024-02-01"}
SECRET = {"sekretess": True, "patient": "Hemlig, Hanna"}
LIVE = {"enhet_hsa_id": posts.UNIT_LIVE}
UNPLANNED = {"enhet_hsa_id": posts.UNIT_WITHOUT_GO_LIVE}
NO_UNIT = {"enhet_hsa_id": None}
NO_SUCH_UNIT = {"enhet_hsa_id": "okänd mottagning"}

FIRST = (MOVE, EXPIRED, EXPIRED, EXPIRED, SECRET, LIVE, UNPLANNED, NO_UNIT)
SECOND = (CLEAN, EXPIRED, EXPIRED, EXPIRED, SECRET, LIVE, UNPLANNED, NO_UNIT)
THIRD = (CLEAN, CLEAN, EXPIRED, EXPIRED, SECRET, LIVE, UNPLANNED, NO_UNIT, NO_SUCH_UNIT, MOVE)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def nights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> worklists.Site:
    """Three nights, a week apart."""
    folder = tmp_path_factory.mktemp("nights")
    site = worklists.Site(batches.store_of_its_own(request, folder), folder / "snapshots", posts.context())
    for night, given in zip(NIGHTS, (FIRST, SECOND, THIRD), strict=True):
        stage(site, night, given)
    return site


@pytest.fixture
def site(nights: worklists.Site, request: pytest.FixtureRequest, tmp_path: Path) -> worklists.Site:
    on_server = nights.store.engine.dialect.name == "postgresql"
    return worklists.copy_of(nights, tmp_path, request.getfixturevalue("postgres") if on_server else None)


def stage(site: worklists.Site, night: dt.date, given: tuple[Mapping[str, Any], ...], **told: Any) -> str:
    context = dataclasses.replace(site.context, as_of=night)
    batch_id = told.pop("batch_id", f"dry_run-{night}")
    began = batches.NOW - (posts.AS_OF - night)
    dataclasses.replace(site, context=context).stage(*given, batch_id=batch_id, **{"started_at": began, **told})
    return batch_id


def overview(site: worklists.Site) -> Overview:
    with reading(site.store, "reading") as connection:
        return read_overview(connection, site.context.mappings, now=NOW, approval_hours=72)


def unit(site: worklists.Site, key: str = posts.UNIT, **asked: Any) -> Unit:
    with reading(site.store, "reading") as connection:
        return read_unit(connection, site.context.mappings, key, Asked(**asked))


def counted(site: worklists.Site, night: dt.date, key: str | None = None) -> dict[str, int]:
    """The counts from the rows themselves, for one unit or all units."""
    counts: dict[str, int] = {}
    for row in batches.rows(site.store, schema.disposition):
        known = row["enhet_hsa_id"] if str(row["enhet_hsa_id"]).startswith("SE") else ""
        if row["batch_id"] == f"dry_run-{night}" and key in {None, known}:
            counts[row["disposition"]] = counts.get(row["disposition"], 0) + 1
    return counts


def left(counts: Mapping[str, int]) -> int:
    return sum(count for code, count in counts.items() if code not in set(HANDLED))


# Översikt


def test_every_figure_of_the_whole_is_counted_in_the_rows(site: worklists.Site) -> None:
    page = overview(site)
    counts = counted(site, NIGHTS[-1])
    assert page.counts == counts
    assert (page.posts, page.ready, page.left) == (sum(counts.values()), counts["migrate"], left(counts))
    assert [(point.as_of, point.posts, point.ready, point.left) for point in page.trend] == [
        (night, sum(of.values()), of.get("migrate", 0), left(of)) for night in NIGHTS for of in [counted(site, night)]
    ]


def test_every_figure_of_a_unit_is_counted_in_the_rows(site: worklists.Site) -> None:
    lines = [line for wave in overview(site).waves for line in wave.units]
    assert {line.key for line in lines} == {posts.UNIT, posts.UNIT_LIVE, posts.UNIT_WITHOUT_GO_LIVE, ""}
    for line in lines:
        counts = counted(site, NIGHTS[-1], line.key)
        assert line.counts == counts
        assert (line.posts, line.ready, line.left) == (sum(counts.values()), counts.get("migrate", 0), left(counts))
        assert [(point.posts, point.left) for point in line.trend] == [
            (sum(of.values()), left(of)) for night in NIGHTS for of in [counted(site, night, line.key)]
        ]


def test_every_wave_adds_up_its_units(site: worklists.Site) -> None:
    page = overview(site)
    for wave in page.waves:
        assert wave.posts == sum(line.posts for line in wave.units)
        assert wave.left == sum(line.left for line in wave.units)
        assert sum(wave.by_status.values()) == len(wave.units)
    assert page.posts == sum(wave.posts for wave in page.waves)


def test_ready_means_the_same_as_in_the_readiness_table(site: worklists.Site) -> None:
    readiness = read_readiness(site.store, f"dry_run-{NIGHTS[-1]}", site.context.mappings)
    page = overview(site)
    assert (page.ready, page.posts) == (readiness.progress.ready, readiness.progress.posts)
    assert {code: count for code, count in page.counts.items() if code != "migrate"} == readiness.progress.left


def test_a_unit_is_judged_by_its_pace_and_its_go_live(site: worklists.Site) -> None:
    lines = {line.key: line for wave in overview(site).waves for line in wave.units}
    assert lines[posts.UNIT_LIVE].status is Status.LIVE
    assert lines[posts.UNIT_WITHOUT_GO_LIVE].status is Status.NO_GO_LIVE
    # 4, 3, 3 left: half a post a week, so six weeks for three, and go-live in seven.
    line = lines[posts.UNIT]
    assert [point.left for point in line.trend] == [4, 3, 3]
    assert (line.forecast.outlook, line.forecast.per_week) == (Outlook.DATE, 0.5)
    assert line.forecast.clean_on == posts.AS_OF + dt.timedelta(days=42)
    assert (line.days_left, line.status) == (48, Status.ON_TIME)


def test_the_gravest_unit_of_a_wave_comes_first(site: worklists.Site) -> None:
    wave = overview(site).waves[0]
    assert [line.status for line in wave.units] == [Status.NO_GO_LIVE, Status.ON_TIME, Status.LIVE]


def test_of_equally_grave_units_the_one_with_most_left_comes_first(tmp_path: Path) -> None:
    site = worklists.site(tmp_path)
    site.stage(EXPIRED, *[EXPIRED | {"enhet_hsa_id": posts.UNIT_CHILD_HEALTH}] * 2)
    (wave,) = overview(site).waves
    assert [(line.status, line.left) for line in wave.units] == [(Status.UNSURE, 2), (Status.UNSURE, 1)]


def test_the_next_go_live_of_a_wave_is_that_of_the_units_that_are_not_live(site: worklists.Site) -> None:
    page = overview(site)
    assert page.next_wave is not None
    assert {posts.UNIT, posts.UNIT_LIVE} <= {line.key for line in page.next_wave.units}
    assert (page.next_wave.days_left, page.next_wave.go_live) == (48, posts.GO_LIVE)


def test_of_two_waves_the_one_that_goes_live_first_is_next(site: worklists.Site) -> None:
    page = overview(site)
    wave = page.waves[0]
    later, sooner, live = (
        dataclasses.replace(wave, wave=name, days_left=days) for name, days in (("2", 90), ("1", 20), ("0", -5))
    )
    found = dataclasses.replace(page, waves=(later, sooner, live)).next_wave
    assert found is sooner
    assert dataclasses.replace(page, waves=(live,)).next_wave is None


def test_units_without_a_go_live_are_named_by_how_much_waits_there(site: worklists.Site) -> None:
    page = overview(site)
    assert {line.status for line in page.unplanned} == {Status.NO_GO_LIVE}
    assert {line.key for line in page.unplanned} == {posts.UNIT_WITHOUT_GO_LIVE, ""}
    assert [line.posts for line in page.unplanned] == sorted((line.posts for line in page.unplanned), reverse=True)


def test_days_are_counted_from_the_dry_run_and_not_from_the_clock(site: worklists.Site) -> None:
    with reading(site.store, "reading") as connection:
        later = read_overview(connection, site.context.mappings, now=NOW + dt.timedelta(days=100), approval_hours=72)
    now = overview(site)
    assert later.waves == now.waves
    assert (now.freshness.stale, later.freshness.stale) == (False, True)


def test_a_run_that_failed_since_is_shown_and_does_not_count(site: worklists.Site) -> None:
    night = posts.AS_OF + dt.timedelta(days=1)
    batches.open_batch(site.store, "failed", as_of=night, started_at=batches.NOW + dt.timedelta(days=1))
    assert overview(site).freshness.missed.state == "open"
    site.store.mark_failed("failed", batches.NOW + dt.timedelta(days=1))
    page = overview(site)
    assert (page.freshness.missed.state, page.freshness.missed.as_of) == ("failed", night)
    assert page.latest.as_of == NIGHTS[-1]


def test_a_run_over_some_units_is_no_part_of_the_trend(site: worklists.Site) -> None:
    before = overview(site)
    stage(site, posts.AS_OF, (CLEAN,), batch_id="some", units=[posts.UNIT], started_at=NOW)
    after = overview(site)
    assert (after.latest, after.trend) == (before.latest, before.trend)


def test_a_replay_is_no_part_of_the_trend_and_one_that_failed_is_no_missed_night(site: worklists.Site) -> None:
    before = overview(site)
    stage(site, posts.AS_OF, (CLEAN,), batch_id="what-if", reuse_snapshot=before.latest.batch_id, started_at=NOW)
    batches.open_batch(site.store, "broken", reuse_snapshot=before.latest.batch_id, started_at=NOW)
    site.store.mark_failed("broken", NOW)
    assert overview(site) == before


def test_where_every_run_is_over_some_units_those_are_shown(site: worklists.Site) -> None:
    for table in (schema.unit_summary, schema.batch_event, schema.batch_file, schema.batch_partition, schema.batch):
        batches.execute(site.store, table.delete())
    stage(site, posts.AS_OF, (CLEAN,), batch_id="some", units=[posts.UNIT])
    assert overview(site).latest.units == {posts.UNIT}


def test_of_two_runs_as_of_one_day_the_later_counts(site: worklists.Site) -> None:
    stage(site, posts.AS_OF, (CLEAN, CLEAN), batch_id="again", started_at=NOW)
    page = overview(site)
    assert (page.latest.batch_id, page.posts) == ("again", 2)
    assert [point.as_of for point in page.trend] == list(NIGHTS)


def test_a_past_night_that_is_read_again_does_not_change_the_trend(site: worklists.Site) -> None:
    before = overview(site)
    stage(site, NIGHTS[1], (CLEAN, CLEAN), batch_id="again", started_at=NOW)
    assert overview(site) == before
    listed = {run.batch_id: run.read_again for run in read_batches(site.store, 1).batches}
    assert listed.pop("again")
    assert not any(listed.values())


def test_without_a_dry_run_there_is_nothing_to_show(tmp_path: Path) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'none.sqlite'}")
    with pytest.raises(NoBatchError), reading(store, "reading"):
        pass
    store.migrate()
    with pytest.raises(NoBatchError), reading(store, "reading") as connection:
        read_overview(connection, posts.context().mappings, now=NOW, approval_hours=72)


def test_tables_of_another_release_are_refused(tmp_path: Path) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'older.sqlite'}")
    store.migrate()
    batches.execute(store, sa.text("UPDATE staging_version SET version_num = '0002'"))
    with pytest.raises(OtherReleaseError, match="older"), reading(store, "reading"):
        pass


@pytest.mark.parametrize("nights", ["postgresql"], indirect=True)
def test_a_page_cannot_change_anything(site: worklists.Site) -> None:
    with pytest.raises(StagingError, match="refused"), reading(site.store, "reading") as connection:
        connection.execute(schema.released_post.delete())


# Enhet


def test_a_units_figures_are_those_of_the_overview(site: worklists.Site) -> None:
    page = overview(site)
    for line in (line for wave in page.waves for line in wave.units):
        assert unit(site, line.key).unit == line


def test_rules_and_lists_are_counted_in_the_rows(site: worklists.Site) -> None:
    page = unit(site)
    here = {
        row["post_id"]: row
        for row in batches.rows(site.store, schema.disposition)
        if row["batch_id"] == page.latest.batch_id and row["enhet_hsa_id"] == posts.UNIT
    }
    found = [
        row
        for row in batches.rows(site.store, schema.finding)
        if row["batch_id"] == page.latest.batch_id and row["post_id"] in here
    ]
    for line in page.rules:
        posts_of_rule = [row["post_id"] for row in found if row["rule"] == line.rule]
        assert line.posts == len(posts_of_rule)
        assert line.left == sum(here[post]["disposition"] not in set(HANDLED) for post in posts_of_rule)
    assert {line.rule for line in page.rules} == {row["rule"] for row in found}
    names = [row["kategori"] for row in here.values()]
    assert page.lists == {name: names.count(name) for name in names}


def test_findings_are_new_resolved_or_unchanged_since_the_run_before(site: worklists.Site) -> None:
    # Post 2 was mended, post 10 is new, 3 and 4 are as they were.
    change = unit(site).change
    assert (change.since, change.new, change.resolved, change.persisting) == (NIGHTS[1], 1, 1, 2)


def test_where_retention_has_removed_the_posts_before_nothing_is_compared(site: worklists.Site) -> None:
    table = schema.disposition
    batches.execute(site.store, table.delete().where(table.c.batch_id == f"dry_run-{NIGHTS[1]}"))
    assert unit(site).change is None
    batches.execute(site.store, table.delete().where(table.c.batch_id == f"dry_run-{NIGHTS[2]}"))
    page = unit(site)
    assert (page.detailed, page.posts, page.change) == (False, (), None)
    assert page.unit.posts > 0


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"disposition": Disposition.FIX_IN_PMO}, {3, 4}),
        ({"disposition": Disposition.MIGRATE}, {1, 2, 5}),
        ({"rule": "DATE_EXPIRED"}, {3, 4}),
        ({"rule": "PROTECTED_IDENTITY"}, {5}),
        ({"list_name": "Diabetesmottagning"}, {10}),
        ({"post_id": 4}, {4}),
        ({"post_id": 6}, set()),
        ({"disposition": Disposition.MIGRATE, "rule": "DATE_EXPIRED"}, set()),
        ({}, {1, 2, 3, 4, 5, 10}),
    ],
)
def test_posts_are_chosen(site: worklists.Site, asked: dict[str, Any], expected: set[int]) -> None:
    page = unit(site, **asked)
    assert {post.post_id for post in page.posts} == expected
    assert page.paging.rows == len(expected)


def test_the_posts_without_a_known_unit_are_shown_together(site: worklists.Site) -> None:
    page = unit(site, "")
    assert {post.post_id for post in page.posts} == {8, 9}
    assert page.unit.name == "Okänd enhet"


@pytest.mark.parametrize("sort", SortBy)
@pytest.mark.parametrize("direction", Direction)
def test_pages_follow_each_other_in_any_order(
    monkeypatch: pytest.MonkeyPatch, site: worklists.Site, sort: SortBy, direction: Direction
) -> None:
    whole = [post.post_id for post in unit(site, sort=sort, direction=direction).posts]
    monkeypatch.setattr("waitlist.reports.pages.unit.PAGE_SIZE", 2)
    parts = [unit(site, sort=sort, direction=direction, page=number).posts for number in (1, 2, 3)]
    assert [post.post_id for part in parts for post in part] == whole
    assert [post.post_id for post in unit(site, sort=sort, direction=direction, page=99).posts] == whole[4:]


def test_dates_sort_as_dates_and_posts_without_a_date_come_first(site: worklists.Site) -> None:
    night = posts.AS_OF + dt.timedelta(days=1)
    stage(site, night, ({"boka_fore": None}, CLEAN, EXPIRED), batch_id="dates")
    found = unit(site, sort=SortBy.BEFORE).posts
    assert [post.boka_fore for post in found] == [None, dt.date(2024, 2, 1), dt.date(2025, 3, 20)]
    assert [post.post_id for post in unit(site, sort=SortBy.BEFORE, direction=Direction.DOWN).posts] == [2, 3, 1]


def test_a_post_says_what_to_do_as_the_work_list_says_it(site: worklists.Site, tmp_path: Path) -> None:
    site.write(tmp_path / "out", units=(posts.UNIT,))
    listed = {
        row["Post-id"]: row["Gör så här"]
        for row in itertools.chain(*worklists.sheets_of(worklists.book_of(tmp_path / "out")).values())
    }
    said = {post.post_id: post.action for post in unit(site).posts}
    assert listed
    assert {post_id: said[post_id] for post_id in listed} == listed


def test_an_unknown_unit_is_reported(site: worklists.Site) -> None:
    with pytest.raises(UnknownError):
        unit(site, "SE2120009999-NOWHERE")


def test_units_are_listed_by_their_swedish_names_with_their_counts(site: worklists.Site) -> None:
    with reading(site.store, "reading") as connection:
        page = read_unit_list(connection, site.context.mappings, lambda _: True, UnitsAsked())
    assert [unit.key for unit in page.units][-1] == ""
    assert {unit.key: (unit.posts, unit.left) for unit in page.units} == {
        key: (sum(of.values()), left(of))
        for key in (posts.UNIT, posts.UNIT_LIVE, posts.UNIT_WITHOUT_GO_LIVE, "")
        for of in [counted(site, NIGHTS[-1], key)]
    }


# Persons


def test_persons_come_from_the_snapshot_and_the_protected_are_masked(site: worklists.Site) -> None:
    batch_id = f"dry_run-{NIGHTS[-1]}"
    found = read_persons(site.store, batch_id, UPath(site.snapshots), [1, 5, 10, 999])
    assert set(found) == {1, 5, 10}
    assert (found[1].name, found[1].number) == ("Lindqvist, Åsa", worklists.person(0))
    assert (found[5].name, found[5].number, found[5].protected) == (PERSON_MASKED, PERSON_MASKED, True)
    assert found[10].number == worklists.person(9)


def test_a_finding_alone_masks_too(site: worklists.Site) -> None:
    batch_id = f"dry_run-{NIGHTS[-1]}"
    row = {"batch_id": batch_id, "post_id": 1, "rule": "PROTECTED_IDENTITY", "severity": "info", "detail": None}
    batches.execute(site.store, schema.finding.insert().values(row))
    assert read_persons(site.store, batch_id, UPath(site.snapshots), [1])[1].name == PERSON_MASKED


def test_the_mark_in_the_snapshot_alone_masks_too(site: worklists.Site) -> None:
    batches.execute(site.store, schema.finding.delete().where(schema.finding.c.rule == "PROTECTED_IDENTITY"))
    assert read_persons(site.store, f"dry_run-{NIGHTS[-1]}", UPath(site.snapshots), [5])[5].name == PERSON_MASKED
