"""Våg, the weeks after go-live, and the pages that lead from a figure to the posts that it counts."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support import batches, posts, worklists

from waitlist import paths
from waitlist.facts.gates import Gate
from waitlist.judge.rules import Disposition
from waitlist.quality import load_suites
from waitlist.release.decisions import release, request_approval
from waitlist.release.gates import HANDLED, GateResult, evaluate_units
from waitlist.reports.pages.answer import read_answer
from waitlist.reports.pages.batch import batch_of_run, read_batch
from waitlist.reports.pages.dip import read_due
from waitlist.reports.pages.find import find
from waitlist.reports.pages.marks import MarkKind
from waitlist.reports.pages.overview import Overview, Status, read_overview
from waitlist.reports.pages.paging import Direction
from waitlist.reports.pages.reading import UnknownError, reading
from waitlist.reports.pages.spread import Wanted, read_spread
from waitlist.reports.pages.units import UnitsAsked, UnitSort, read_unit_list
from waitlist.reports.pages.wave import WavePage, read_wave
from waitlist.staging import PIPELINE, schema

NIGHTS = tuple(posts.AS_OF - dt.timedelta(days=days) for days in (21, 14, 7, 0))
OTHER = posts.UNIT_CHILD_HEALTH
HOURS = 72
SUITE = load_suites(paths.EXPECTATIONS)["dates"]
EXPIRED = {"boka_from": "2024-01-01", "boka_fore": "2024-02-01"}
MOVE = {"kategori": "Diabetesmottagning"}
SPELLED = {"kategori": "SDV  Pv Ssk Återbesök(diabetes)"}
STUCK = EXPIRED | {"enhet_hsa_id": posts.UNIT_LIVE}
UNITS = (
    posts.unit(posts.UNIT, posts.GO_LIVE, "Pv", besok_per_vecka=1),
    posts.unit(posts.UNIT_LIVE, posts.GO_LIVE, "Pv"),
    posts.unit(OTHER, dt.date(2025, 3, 3), "Bhv", vag="2"),
    posts.unit(posts.UNIT_WITHOUT_GO_LIVE, None, "Pv", vag=None),
)


def due(day: dt.date, unit: str = posts.UNIT) -> dict[str, Any]:
    return {"boka_from": str(day - dt.timedelta(days=20)), "boka_fore": str(day), "enhet_hsa_id": unit}


DUE = [posts.GO_LIVE + dt.timedelta(days=days) for days in (0, 6, 7, 55, 56)]
LAST = (
    EXPIRED, MOVE, SPELLED, STUCK, {"enhet_hsa_id": OTHER}, {"enhet_hsa_id": posts.UNIT_WITHOUT_GO_LIVE},
    *[due(day) for day in DUE], {"vantar_pa_besok": False, **due(DUE[0])}, due(DUE[0], posts.UNIT_LIVE),
)  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def nights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> worklists.Site:
    """Four nights: one unit of wave 1 mends a post a week, the other none."""
    folder = tmp_path_factory.mktemp("nights")
    site = worklists.Site(batches.store_of_its_own(request, folder), folder / "snapshots", posts.context(units=UNITS))
    for number, night in enumerate(NIGHTS[:-1]):
        stage(site, night, (*(EXPIRED,) * (4 - number), *(STUCK,)))
    stage(site, NIGHTS[-1], LAST)
    return site


@pytest.fixture
def site(nights: worklists.Site, request: pytest.FixtureRequest, tmp_path: Path) -> worklists.Site:
    on_server = nights.store.engine.dialect.name == "postgresql"
    return worklists.copy_of(nights, tmp_path, request.getfixturevalue("postgres") if on_server else None)


def stage(site: worklists.Site, night: dt.date, given: tuple[Mapping[str, Any], ...], **told: Any) -> None:
    began = batches.NOW - (posts.AS_OF - night)
    batch_id = told.pop("batch_id", f"dry_run-{night}")
    context = dataclasses.replace(site.context, as_of=night)
    dataclasses.replace(site, context=context).stage(*given, batch_id=batch_id, **{"started_at": began, **told})


def wave(site: worklists.Site, name: str | None = "1") -> WavePage:
    with reading(site.store, "reading") as connection:
        return read_wave(connection, site.context.mappings, name, approval_hours=HOURS)


def overview(site: worklists.Site) -> Overview:
    with reading(site.store, "reading") as connection:
        return read_overview(connection, site.context.mappings, now=batches.NOW, approval_hours=HOURS)


def rows(site: worklists.Site) -> list[dict[str, Any]]:
    batch_id = f"dry_run-{NIGHTS[-1]}"
    return [row for row in batches.rows(site.store, schema.disposition) if row["batch_id"] == batch_id]


# Våg


def test_a_wave_has_the_figures_of_its_own_units_as_on_the_overview(site: worklists.Site) -> None:
    for card in overview(site).waves:
        assert wave(site, card.wave).card == card


def test_a_wave_does_not_make_it_when_one_unit_does_not_decrease(site: worklists.Site) -> None:
    page = wave(site)
    status = {unit.key: unit.status for unit in page.card.units}
    assert status[posts.UNIT_LIVE] is Status.LATE
    assert page.makes_it is False
    assert posts.UNIT_LIVE in {unit.key for unit in page.behind}
    assert [(stopped.unit.key, stopped.since) for stopped in page.stopped] == [(posts.UNIT_LIVE, NIGHTS[0])]
    assert page.projection.at_end is not None
    assert page.projection.at_end.day == posts.GO_LIVE
    assert page.projection.at_end.left >= 1


def test_gates_are_measured_over_the_units_of_the_wave(site: worklists.Site) -> None:
    own = [row for row in rows(site) if row["enhet_hsa_id"] in {posts.UNIT, posts.UNIT_LIVE}]
    left = [row for row in own if row["disposition"] not in set(HANDLED)]
    limits = dict.fromkeys(Gate, 1.0)
    found = evaluate_units(
        site.store, f"dry_run-{NIGHTS[-1]}", limits, [posts.UNIT, posts.UNIT_LIVE], mappings=site.context.mappings
    )
    measured = {result.gate: result.measured for result in found}
    assert measured[Gate.UNHANDLED_SHARE] == len(left) / len(own)
    # The unit without a go-live belongs to no wave.
    assert measured[Gate.UNITS_WITHOUT_GO_LIVE] == 0
    assert Gate.CRITICAL_SUITES not in measured
    assert Gate.ACCOUNTING not in measured


def test_there_is_no_page_of_a_wave_without_posts(site: worklists.Site) -> None:
    with pytest.raises(UnknownError):
        wave(site, "9")
    assert {unit.key for unit in wave(site, None).card.units} == {posts.UNIT_WITHOUT_GO_LIVE}


def test_a_wave_that_waits_is_shown_with_its_deadline_and_then_with_its_release(site: worklists.Site) -> None:
    asked_at = batches.NOW
    stage(site, NIGHTS[-1], ({},), batch_id="wave", kind="migration", wave="1")
    gates = [GateResult(gate, 0.0, 1.0, passed=True) for gate in Gate]
    request_approval(site.store, "wave", gates, PIPELINE, asked_at)
    for page in (wave(site), overview(site)):
        (waiting,) = page.awaited
        assert (waiting.batch_id, waiting.wave, waiting.posts) == ("wave", "1", 1)
        assert waiting.deadline == asked_at + dt.timedelta(hours=HOURS)
    assert wave(site, "2").awaited == ()
    release(site.store, "wave", "lead", "Motiveringen är lång nog.", asked_at)
    page = overview(site)
    assert page.awaited == ()
    assert (page.decisions["1"].batch_id, page.decisions["1"].posts) == ("wave", 1)
    assert wave(site).released == 1
    assert [(mark.kind, mark.day, mark.about) for mark in page.marks] == [(MarkKind.RELEASED, NIGHTS[-1], ("1",))]
    assert wave(site, "2").marks == ()


def test_failed_nights_and_changed_files_are_marked(site: worklists.Site) -> None:
    failed = NIGHTS[1] + dt.timedelta(days=1)
    batches.open_batch(site.store, "failed", as_of=failed, started_at=batches.NOW)
    site.store.mark_failed("failed", batches.NOW)
    # Another run as of the date was verified, so the night was not lost.
    batches.open_batch(site.store, "mended", as_of=NIGHTS[1], started_at=batches.NOW)
    site.store.mark_failed("mended", batches.NOW)
    table = schema.batch
    for night, digest in zip(NIGHTS, ("a", "a", "b", "b"), strict=True):
        facts = {"units.csv": digest, "rules": "1", "dates.json": digest}
        batches.execute(site.store, table.update().where(table.c.batch_id == f"dry_run-{night}").values(facts=facts))
    assert [(mark.kind, mark.day, mark.about) for mark in overview(site).marks] == [
        (MarkKind.FAILED, failed, ()),
        (MarkKind.MAPPING, NIGHTS[2], ("units.csv",)),
    ]


# Vad händer om


@pytest.mark.parametrize(
    ("left", "go_live", "makes_it"),
    [
        ({posts.UNIT: 0}, dt.date(2024, 10, 8), True),
        # A post a week: three weeks for three posts.
        ({posts.UNIT: 3}, posts.AS_OF + dt.timedelta(days=22), True),
        ({posts.UNIT: 3}, posts.AS_OF + dt.timedelta(days=21), False),
        ({posts.UNIT: 0}, posts.AS_OF, False),
        ({posts.UNIT: 0}, None, False),
    ],
)
def test_a_unit_makes_another_go_live_when_its_pace_takes_it_to_zero_before(
    site: worklists.Site, left: Mapping[str, int], go_live: dt.date | None, makes_it: bool
) -> None:
    table = schema.batch
    batches.execute(site.store, table.delete().where(table.c.batch_id == "none"))
    steady = worklists.Site(site.store, site.snapshots, site.context)
    stage(steady, NIGHTS[-1], (EXPIRED,), batch_id="latest", started_at=batches.NOW + dt.timedelta(hours=1))
    with reading(site.store, "reading") as connection:
        answer = read_answer(connection, site.context.mappings, [posts.UNIT, "SE2120009999-NONE"], go_live, left)
    assert answer is not None
    assert (answer.units, answer.makes_it) == (1, makes_it)
    assert [unit.key for unit in answer.late] == ([] if makes_it else [posts.UNIT])


# The weeks after go-live


def test_posts_are_counted_by_the_week_of_boka_fore_from_go_live_on(site: worklists.Site) -> None:
    dip = wave(site).dip
    found = {unit.key: unit for unit in dip.units}
    # The day before the eighth week ends is in it, the day after is not; nobody waits on an administrative post.
    assert found[posts.UNIT].weeks == (2, 1, 0, 0, 0, 0, 0, 1)
    assert (found[posts.UNIT].visits, found[posts.UNIT].before) == (1, 1)
    assert found[posts.UNIT_LIVE].weeks[0] == 1
    assert found[posts.UNIT_LIVE].before is None
    assert (dip.weeks[0], dip.visits, dip.before, dip.unknown) == (3, None, 1, 1)


@pytest.mark.parametrize(("week", "expected"), [(1, DUE[:2]), (2, DUE[2:3]), (3, []), (8, DUE[3:4]), (None, DUE[:4])])
def test_who_falls_due_is_a_list_of_as_many_posts_as_the_week_counts(
    site: worklists.Site, week: int | None, expected: list[dt.date]
) -> None:
    with reading(site.store, "reading") as connection:
        page = read_due(connection, site.context.mappings, posts.UNIT, week, 1)
    assert [post.boka_fore for post in page.posts] == expected
    assert page.paging.rows == len(expected)


@pytest.mark.parametrize("unit", ["SE2120009999-NONE", posts.UNIT_WITHOUT_GO_LIVE])
def test_a_unit_without_posts_or_go_live_has_no_weeks(site: worklists.Site, unit: str) -> None:
    with reading(site.store, "reading") as connection, pytest.raises(UnknownError):
        read_due(connection, site.context.mappings, unit, None, 1)


# Körning


def test_a_check_is_red_since_the_first_run_without_a_better_result_after_it(site: worklists.Site) -> None:
    expectation = SUITE.expectations[0]
    row = {
        "suite": SUITE.name, "expectation": expectation.name, "column": expectation.column, "severity": "warning",
        "evaluated": 5, "unexpected": 1, "threshold": 1.0,
    }  # fmt: skip
    for night, outcome in zip(NIGHTS, ("failed", "passed", "error", "failed"), strict=True):
        value = {**row, "batch_id": f"dry_run-{night}", "outcome": outcome}
        batches.execute(site.store, schema.quality_result.insert().values(value))
    since = {}
    for night in NIGHTS:
        page = read_batch(site.store, f"dry_run-{night}", suites=[SUITE])
        (check,) = [check for suite in page.suites for check in suite.checks if check.expectation == expectation.name]
        since[night] = check.since
    assert since == {NIGHTS[0]: NIGHTS[0], NIGHTS[1]: None, NIGHTS[2]: NIGHTS[2], NIGHTS[3]: NIGHTS[2]}


def test_a_run_of_airflow_leads_to_its_batch(site: worklists.Site) -> None:
    batch = site.store.batch(f"dry_run-{NIGHTS[0]}")
    assert batch_of_run(site.store, batch.dag_id, batch.run_id) == batch.batch_id
    with pytest.raises(UnknownError):
        batch_of_run(site.store, batch.dag_id, "no such run")


# From a figure to its posts


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(left=True),
        Wanted(disposition=Disposition.FIX_IN_PMO),
        Wanted(disposition=Disposition.FIX_IN_PMO, wave="1"),
        Wanted(wave=None),
        Wanted(rule="DATE_EXPIRED"),
        Wanted(rule="DATE_EXPIRED", wave="1"),
        Wanted(list_name="SDV Pv Ssk Återbesök (diabetes)"),
    ],
)
def test_a_figure_is_spread_over_the_units_that_have_its_posts(site: worklists.Site, wanted: Wanted) -> None:
    batch_id = f"dry_run-{NIGHTS[-1]}"
    waves = {unit.hsa_id: unit.vag for unit in UNITS}
    of_rule = {
        row["post_id"]
        for row in batches.rows(site.store, schema.finding)
        if row["batch_id"] == batch_id and row["rule"] == wanted.rule
    }
    lists = {"SDV Pv Ssk Återbesök (diabetes)", SPELLED["kategori"]}
    counts: dict[str, int] = {}
    for row in rows(site):
        if (
            wanted.wave in ("*", waves[row["enhet_hsa_id"]])
            and wanted.disposition in (None, row["disposition"])
            and not (wanted.left and row["disposition"] in set(HANDLED))
            and (wanted.rule is None or row["post_id"] in of_rule)
            and (wanted.list_name is None or row["kategori"] in lists)
        ):
            counts[row["enhet_hsa_id"]] = counts.get(row["enhet_hsa_id"], 0) + 1
    with reading(site.store, "reading") as connection:
        page = read_spread(connection, site.context.mappings, wanted)
    assert {unit.key: unit.posts for unit in page.units} == counts
    assert page.posts == sum(counts.values()) > 0


def test_another_batch_can_be_spread_and_an_unknown_one_is_refused(site: worklists.Site) -> None:
    with reading(site.store, "reading") as connection:
        page = read_spread(connection, site.context.mappings, Wanted(), f"dry_run-{NIGHTS[0]}")
        assert (page.posts, page.latest, page.as_of) == (5, False, NIGHTS[0])
        with pytest.raises(UnknownError):
            read_spread(connection, site.context.mappings, Wanted(), "no such batch")


def everything(_: str) -> bool:
    return True


def test_a_unit_a_post_a_rule_and_a_list_are_found(site: worklists.Site) -> None:
    with reading(site.store, "reading") as connection:
        looked = {text: find(connection, site.context.mappings, text, everything) for text in
                  ("enligt plan", "test01", "1", "99", "date_exp", "DIABETES", "")}  # fmt: skip
    assert len(looked["enligt plan"].units) == 4
    assert {unit.key for unit in looked["test01"].units} == {posts.UNIT}
    assert [(post.post_id, post.unit) for post in looked["1"].posts] == [(1, posts.UNIT)]
    assert looked["99"].posts == ()
    assert [rule.code for rule in looked["date_exp"].rules] == ["DATE_EXPIRED"]
    assert set(looked["DIABETES"].lists) == {"Diabetesmottagning", SPELLED["kategori"], posts.CLEAN["kategori"]}
    assert not looked[""].asked
    assert not looked[""].hits


def test_nothing_is_found_at_units_that_the_reader_does_not_see(site: worklists.Site) -> None:
    with reading(site.store, "reading") as connection:
        mine = find(connection, site.context.mappings, "enligt plan", lambda key: key == OTHER)
        other = find(connection, site.context.mappings, "1", lambda key: key == OTHER, everywhere=False)
        listed = read_unit_list(connection, site.context.mappings, lambda key: key == OTHER, UnitsAsked())
    assert {unit.key for unit in mine.units} == {OTHER}
    assert other.posts == ()
    assert ({unit.key for unit in listed.units}, listed.all, listed.waves) == ({OTHER}, 1, ("2",))


@pytest.mark.parametrize("sort", UnitSort)
def test_units_are_sorted_and_filtered(site: worklists.Site, sort: UnitSort) -> None:
    def listed(**asked: Any) -> list[str]:
        with reading(site.store, "reading") as connection:
            page = read_unit_list(connection, site.context.mappings, everything, UnitsAsked(**asked))
        return [unit.key for unit in page.units]

    up, down = (listed(sort=sort, direction=direction) for direction in Direction)
    assert len(up) == 4
    assert set(up) == set(down)
    assert set(listed(sort=sort, wave="1")) == {posts.UNIT, posts.UNIT_LIVE}
    assert listed(sort=sort, wave=None) == [posts.UNIT_WITHOUT_GO_LIVE]
    assert listed(sort=sort, status=Status.NO_GO_LIVE) == [posts.UNIT_WITHOUT_GO_LIVE]
    if sort is UnitSort.LEFT:
        assert up[-1] == down[0] == posts.UNIT
