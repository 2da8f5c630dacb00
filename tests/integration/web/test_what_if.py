"""Vad händer om: its answer is the result of a dry run of the same posts by the changed facts."""

import csv
import datetime as dt
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.runs import AS_OF, assessed, pipeline, request, verified
from upath import UPath

from waitlist.facts.mappings import Mappings
from waitlist.reports.pages.catalogue import read_catalogue
from waitlist.reports.pages.what_if import NO_LIST, WAVE, ProposalError, consider, read_proposal, read_what_if
from waitlist.settings import RuleSettings
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.staging import StagingStore, schema
from waitlist.steps.pipeline import Pipeline

NIGHT = request("night")
DETACHED = "Driver={SQLite3};Database=/nowhere/pmo.sqlite"


@dataclass(frozen=True)
class Site:
    """A dry run that counts for readers, and its snapshot."""

    out: Path
    mappings_dir: Path

    def steps(self, **settings: object) -> Pipeline:
        staging = f"sqlite:///{self.out / 'staging.sqlite'}"
        return pipeline(self.out, pmo=DETACHED, staging=staging, mappings=self.mappings_dir, **settings)

    @property
    def store(self) -> StagingStore:
        return self.steps().store

    @property
    def mappings(self) -> Mappings:
        return self.steps().facts.mappings

    @property
    def snapshots(self) -> UPath:
        return UPath(self.out / "snapshots")

    def dispositions(self, batch_id: str) -> dict[int, tuple[str, str]]:
        table = schema.disposition.c
        with self.store.database.connected() as connection:
            rows = connection.execute(schema.disposition.select().where(table.batch_id == batch_id)).mappings()
            return {row["post_id"]: (row["disposition"], row["enhet_hsa_id"]) for row in rows}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    out = tmp_path_factory.mktemp("pmo")
    generate(Order(900, seed=4, as_of=AS_OF), out, sqlite=out / "pmo.sqlite")
    reads = pipeline(
        out,
        pmo=f"Driver={{SQLite3}};Database={out / 'pmo.sqlite'}",
        staging=f"sqlite:///{out / 'staging.sqlite'}",
        mappings=out / MAPPINGS,
        partition_posts=300,
        chunk_posts=70,
    )
    run, _ = assessed(reads, NIGHT)
    verified(reads, out, run)
    yield Site(out, out / MAPPINGS)
    reads.store.engine.dispose()


def edited(site: Site, folder: Path, name: str, edit: object) -> Site:
    """Return the site under mapping files of which one has been edited by hand."""
    shutil.copytree(site.mappings_dir, folder / MAPPINGS)
    path = folder / MAPPINGS / name
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0]) if rows else ["rule", "severity", "owner", "note"]
    rows = edit(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return Site(site.out, folder / MAPPINGS)


def replayed(site: Site, run_id: str, **settings: object) -> Counter[tuple[str, str, str]]:
    """Judge the snapshot again by the pipeline's own steps; return unit, disposition before and after of each post."""
    told = {"as_of": None, "reuse_snapshot": NIGHT.batch_id}
    run, _ = assessed(site.steps(**settings), request(run_id, **told))
    before, after = site.dispositions(NIGHT.batch_id), site.dispositions(run.batch_id)
    return Counter((before[post][1], before[post][0], after[post][0]) for post in before)


def considered(site: Site, asked: Mapping[str, str]) -> Counter[tuple[str, str, str]]:
    """Return the page's answer: unit, disposition now and then of each post that moves."""
    proposal = read_proposal(asked, site.mappings)
    assert proposal is not None
    _, found = consider(site.store, site.snapshots, proposal, site.mappings, RuleSettings())
    told = {
        (unit.hsa_id, move.before.value, move.after.value): move.posts for unit in found.units for move in unit.moves
    }
    assert found.posts == sum(found.before.values()) == sum(found.after.values())
    assert found.moved == sum(told.values())
    return Counter(told)


def moving(pairs: Counter[tuple[str, str, str]]) -> Counter[tuple[str, str, str]]:
    return Counter({key: posts for key, posts in pairs.items() if key[1] != key[2]})


def of_wave(site: Site, wave: str) -> list[str]:
    return [unit.hsa_id for unit in site.mappings.units.values() if unit.vag == wave]


def test_another_go_live_of_a_wave(site: Site, tmp_path: Path) -> None:
    said = considered(site, {"enhet": f"{WAVE}1", "driftstart": "2025-01-13"})
    wave = of_wave(site, "1")

    def edit(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [row | ({"driftstart": "2025-01-13"} if row["hsa_id"] in wave else {}) for row in rows]

    real = moving(replayed(edited(site, tmp_path, "units.csv", edit), "wave"))
    assert said == real
    assert {unit for unit, _, _ in said} <= set(wave)
    assert said.total() > 20


def test_no_go_live_for_a_unit(site: Site, tmp_path: Path) -> None:
    unit = of_wave(site, "1")[0]
    said = considered(site, {"enhet": unit})

    def edit(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [row | ({"driftstart": ""} if row["hsa_id"] == unit else {}) for row in rows]

    assert said == moving(replayed(edited(site, tmp_path, "units.csv", edit), "none"))
    assert {after for _, _, after in said} == {"plan_unit"}


@pytest.mark.parametrize("policy", ["migrate", "review"])
def test_another_policy_for_what_straddles_and_another_number_of_days(site: Site, policy: str) -> None:
    said = considered(site, {"grans": policy, "dagar": "42"})
    assert said == moving(replayed(site, policy, rules=RuleSettings(straddle_policy=policy, cutoff_days=42)))
    assert said


def test_a_new_row_of_the_mapping(site: Site, tmp_path: Path) -> None:
    unknown = read_catalogue(site.store, site.mappings).unknown[0].category
    asked = {"kategori": unknown.upper(), "lista": "SDV Pv Läk Återbesök"}
    said = considered(site, asked)

    def edit(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [*rows, {"kategori": asked["kategori"], "sdv_lista": asked["lista"]}]

    assert said == moving(replayed(edited(site, tmp_path, "base_categories.csv", edit), "row"))
    # Posts that have more to mend stay where they are.
    assert {(before, after) for _, before, after in said} == {("fix_in_pmo", "move_to_sdv_list")}


def test_a_row_of_the_mapping_taken_away(site: Site, tmp_path: Path) -> None:
    said = considered(site, {"kategori": "Distriktssköterskemottagning", "lista": NO_LIST})

    def edit(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [row for row in rows if row["kategori"] != "Distriktssköterskemottagning"]

    assert said == moving(replayed(edited(site, tmp_path, "base_categories.csv", edit), "gone"))
    assert {(before, after) for _, before, after in said} == {("move_to_sdv_list", "fix_in_pmo")}


def test_a_duplicate_that_a_lead_has_raised_is_searched_for_under_both_mappings(site: Site, tmp_path: Path) -> None:
    raised = edited(
        site,
        tmp_path,
        "rule_severities.csv",
        lambda _: [{"rule": "DUPLICATE_POST", "severity": "blocks"}, {"rule": "AGE_MISMATCH", "severity": "blocks"}],
    )
    now = replayed(raised, "raised")
    proposal = read_proposal({"dagar": "0"}, raised.mappings)
    assert proposal is not None
    _, found = consider(site.store, site.snapshots, proposal, raised.mappings, RuleSettings())
    by_disposition = Counter({after: 0 for _, _, after in now})
    for (_, _, after), posts in now.items():
        by_disposition[after] += posts
    assert {name: posts for name, posts in found.before.items() if posts} == dict(by_disposition)
    then = replayed(raised, "raised-0", rules=RuleSettings(cutoff_days=0))
    assert found.after["fix_in_pmo"] == sum(posts for (_, _, after), posts in then.items() if after == "fix_in_pmo")


def test_nothing_is_stored(site: Site) -> None:
    files = {path: path.stat().st_mtime_ns for path in site.mappings_dir.iterdir()}
    before = site.dispositions(NIGHT.batch_id)
    considered(site, {"grans": "migrate"})
    assert site.dispositions(NIGHT.batch_id) == before
    assert {path: path.stat().st_mtime_ns for path in site.mappings_dir.iterdir()} == files


def test_every_fault_of_a_question_is_reported_at_once(site: Site) -> None:
    asked = {
        "enhet": "SE0000000000-X",
        "driftstart": "3 mars",
        "grans": "kanske",
        "dagar": "-1",
        "kategori": "SDV Pv Ssk Återbesök (diabetes)",
        "kontaktform": "fax",
        "lista": "Min lista",
    }
    with pytest.raises(ProposalError) as refused:
        read_proposal(asked, site.mappings)
    assert len(refused.value.faults) == len(asked)
    with pytest.raises(ProposalError) as refused:
        read_proposal({"driftstart": "2025-01-01", "lista": NO_LIST}, site.mappings)
    assert len(refused.value.faults) == 2


@pytest.mark.parametrize("days", ["²", "367", "1.5", "+3", "9999999999"])
def test_days_are_a_whole_number_of_a_year_at_most(site: Site, days: str) -> None:
    with pytest.raises(ProposalError, match="0 till 366"):
        read_proposal({"dagar": days}, site.mappings)


@pytest.mark.parametrize("day", ["0001-01-01", "1999-12-31", "2200-01-01", "9999-12-31"])
def test_a_go_live_has_the_same_limits_as_in_units_csv(site: Site, day: str) -> None:
    unit = next(iter(site.mappings.units))
    with pytest.raises(ProposalError, match="mellan 2000-01-01 och 2199-12-31"):
        read_proposal({"enhet": unit, "driftstart": day}, site.mappings)


def test_an_empty_form_gives_no_answer(site: Site) -> None:
    page = read_what_if(site.store, site.snapshots, {"enhet": " ", "dagar": ""}, site.mappings, RuleSettings())
    assert (page.batch, page.consequences, page.faults, page.no_snapshot) == (None, None, (), False)
    assert [choice.label for choice in page.waves][:2] == ["Våg 0", "Våg 1"]


def test_a_missing_snapshot_is_reported(site: Site, tmp_path: Path) -> None:
    page = read_what_if(site.store, UPath(tmp_path), {"dagar": "7"}, site.mappings, RuleSettings())
    assert (page.no_snapshot, page.consequences) == (True, None)


def test_the_page_answers_with_the_dry_run_that_it_judged(site: Site) -> None:
    page = read_what_if(site.store, site.snapshots, {"dagar": "7"}, site.mappings, RuleSettings())
    assert page.batch is not None
    assert (page.batch.batch_id, page.batch.as_of) == (NIGHT.batch_id, dt.date(2024, 10, 1))
    assert page.seconds is not None
