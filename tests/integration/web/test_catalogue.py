"""Regler och listor: every list, row and rule, and how many posts each takes in the latest dry run."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from tests.support import batches
from tests.support.batches import Chunk, chunk

from waitlist import paths
from waitlist.facts.mappings import Mappings, Unit, load_mappings
from waitlist.judge.rules import BUILT_IN_SEVERITIES, RULES, Disposition
from waitlist.reports.pages.catalogue import Catalogue, read_catalogue
from waitlist.staging import StagingStore
from waitlist.staging.reconcile import PartitionEvidence, reconcile

POSTS = range(1, 41)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


@pytest.fixture(scope="module")
def mappings() -> Mappings:
    return load_mappings(paths.MAPPINGS, raisable=BUILT_IN_SEVERITIES)


def keep(store: StagingStore, categories: dict[int, tuple[str | None, str | None]], batch_id: str = "natt-1") -> None:
    """Stage and verify posts on chosen categories, each with the list that was recommended."""
    made = chunk(POSTS)
    rows = [
        {**row, "kategori": categories[row["post_id"]][0], "recommended_list": categories[row["post_id"]][1]}
        for row in made.dispositions.to_pylist()
    ]
    table = pa.Table.from_pylist(rows, schema=made.dispositions.schema)
    batches.open_batch(store, batch_id)
    store.stage_partition(batch_id, None, None, [Chunk(table, made.findings, made.bokningsbegaran)], now=batches.NOW)
    store.mark_staged(batch_id, batches.NOW)
    evidence = [PartitionEvidence(None, None, len(POSTS))]
    reconcile(store, batch_id, source_posts=len(POSTS), evidence=evidence, now=batches.NOW)
    store.mark_verified(batch_id, batches.NOW)


def spread(store: StagingStore, mappings: Mappings) -> Catalogue:
    """Put ten posts each on an SDV list, a base category, two unknown categories and none."""
    kinds = [
        ("sdv pv  ssk återbesök(diabetes)", None),
        ("Läkarmottagning", "SDV Pv Läk Telefon Återbesök"),
        ("Laekarmottagning", None),
        (None, None),
    ]
    keep(store, {post: kinds[(post - 1) // 10] for post in POSTS})
    return read_catalogue(store, mappings)


def test_before_the_first_dry_run_everything_is_there_but_the_figures(
    store: StagingStore, mappings: Mappings, tmp_path: Path
) -> None:
    for empty in (store, StagingStore(f"sqlite:///{tmp_path / 'none.sqlite'}")):
        page = read_catalogue(empty, mappings)
        assert page.batch is None
        assert (len(page.lists), len(page.mapping), len(page.rules)) == (47, 33 + 4, len(RULES))
        assert {row.posts for row in page.rules} == {row.on_it for row in page.lists} == {None}


def test_posts_are_counted_by_their_list_and_by_the_list_to_move_to(store: StagingStore, mappings: Mappings) -> None:
    page = spread(store, mappings)
    lists = {row.name: row for row in page.lists}
    assert lists["SDV Pv Ssk Återbesök (diabetes)"].on_it == 10
    assert lists["SDV Pv Läk Telefon Återbesök"].to_it == 10
    assert sum(row.on_it or 0 for row in page.lists) + sum(row.to_it or 0 for row in page.lists) == 20
    assert {row.name for row in page.lists if row.used} == {
        "SDV Pv Ssk Återbesök (diabetes)",
        "SDV Pv Läk Telefon Återbesök",
    }


def test_a_row_of_the_mapping_has_the_posts_of_its_own_contact_form(store: StagingStore, mappings: Mappings) -> None:
    page = spread(store, mappings)
    rows = {row.contact_form: row.posts for row in page.mapping if row.category == "Läkarmottagning"}
    assert rows == {None: 0, "telefon": 10, "video": 0, "hembesok": 0}


def test_an_unmapped_category_is_named_with_the_closest_lists(store: StagingStore, mappings: Mappings) -> None:
    page = spread(store, mappings)
    assert (page.unknown_categories, page.unknown_posts) == (2, 20)
    named = {category.category: category for category in page.unknown}
    assert named["Laekarmottagning"].suggestions == ("SDV Pv Läk Återbesök",)
    assert (named[""].posts, named[""].suggestions) == (10, ())
    # Posts without a unit are at none.
    assert named["Laekarmottagning"].units == 2


def test_no_list_is_suggested_outside_the_care_areas_of_the_units_where_a_category_is(
    store: StagingStore, mappings: Mappings
) -> None:
    units = {
        name: Unit(name, name, frozenset(areas), None, None, None, None, None, None, "", "")
        for name, areas in zip(filter(None, batches.UNITS), (["Um"], ["Bhv"]), strict=True)
    }
    keep(store, {post: ("Läkare", None) if post % 3 != 2 else (None, None) for post in POSTS})
    (unknown,) = [
        category for category in read_catalogue(store, replace(mappings, units=units)).unknown if category.category
    ]
    assert unknown.suggestions == ("SDV Um Läk Återbesök",)


def test_rules_say_what_they_lead_to_and_how_many_posts_they_take(store: StagingStore, mappings: Mappings) -> None:
    page = spread(store, mappings)
    rules = {row.code: row for row in page.rules}
    assert list(rules) == list(RULES)
    moved = sum(batches.disposition_of(post) == "move_to_sdv_list" for post in POSTS)
    assert (rules["CATEGORY_NOT_MOVED"].posts, rules["NAME_MISSING"].posts) == (moved, 0)
    assert rules["CATEGORY_NOT_MOVED"].disposition is Disposition.MOVE_TO_SDV_LIST
    assert (rules["AGE_MISMATCH"].disposition, rules["AGE_MISMATCH"].raised) == (None, False)


def test_a_warning_that_a_lead_has_raised_leads_to_a_correction(store: StagingStore, tmp_path: Path) -> None:
    for file in paths.MAPPINGS.glob("*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "rule_severities.csv").write_text("rule,severity,owner,note\nAGE_MISMATCH,blocks,,\n")
    page = read_catalogue(store, load_mappings(tmp_path, raisable=BUILT_IN_SEVERITIES))
    rule = next(row for row in page.rules if row.code == "AGE_MISMATCH")
    assert (rule.severity, rule.raised, rule.disposition) == ("blocks", True, Disposition.FIX_IN_PMO)
