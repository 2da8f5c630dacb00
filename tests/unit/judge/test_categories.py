"""The SDV list that a category means; nothing is guessed."""

import csv
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitlist import paths
from waitlist.facts.mappings import CARE_AREAS, BaseCategory, Mappings, SdvList, load_mappings
from waitlist.judge.categories import CategoryMatcher
from waitlist.simulator.catalogue import Catalogue

MAPPINGS = load_mappings(paths.MAPPINGS, raisable={})
LISTS = [row.sdv_lista for row in MAPPINGS.sdv_lists]
BASE = {(row.kategori, row.kontaktform): row.sdv_lista for row in MAPPINGS.base_categories if row.kategori}
MATCHER = CategoryMatcher(MAPPINGS)
FORMS = ["besok", "telefon", "video", "hembesok", "brev", "", None]


def names(indices):
    return [None if index == -1 else LISTS[index] for index in indices.tolist()]


def match(kategori, kontaktform=None, matcher=MATCHER):
    """Match one post: own list, target list."""
    found = matcher.match(pa.array([kategori], pa.string()), pa.array([kontaktform], pa.string()))
    return names(found.own_list)[0], names(found.target_list)[0]


def suggest(kategori, areas=CARE_AREAS, kontaktform=None, matcher=MATCHER):
    return list(matcher.suggest(kategori, kontaktform, areas))


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("form", ["besok", "video", None])
def test_a_post_on_an_sdv_list_stays_there_whatever_its_contact_form(name, form):
    assert match(name, form) == (name, name)


@pytest.mark.parametrize(("category", "form"), BASE)
def test_a_base_category_has_its_recommended_list(category, form):
    assert match(category, form) == (None, BASE[category, form])


@pytest.mark.parametrize(
    ("category", "form", "target"),
    [
        ("Läkarmottagning", "besok", "SDV Pv Läk Återbesök"),
        ("Läkarmottagning", "telefon", "SDV Pv Läk Telefon Återbesök"),
        ("Läkarmottagning", "video", "SDV Pv Läk Video Återbesök"),
        ("Läkarmottagning", "hembesok", "SDV Pv Läk Hembesök"),
        ("Läkarmottagning", "brev", "SDV Pv Läk Återbesök"),
        ("Läkarmottagning", "", "SDV Pv Läk Återbesök"),
        ("Läkarmottagning", None, "SDV Pv Läk Återbesök"),
        ("Telefontid", "video", "SDV Pv Läk Video Återbesök"),
        ("Telefontid", "telefon", "SDV Pv Läk Telefon Återbesök"),
        ("Telefontid", "hembesok", "SDV Pv Läk Telefon Återbesök"),
        ("Dietistmottagning", "video", "SDV Pv Die Återbesök"),
    ],
)
def test_the_row_that_names_the_contact_form_wins(category, form, target):
    assert match(category, form) == (None, target)


@pytest.mark.parametrize(
    ("category", "meant"),
    [
        ("  SDV Pv Läk Återbesök\t\n", "SDV Pv Läk Återbesök"),
        ("SDV\u00a0Pv  Läk\u202f\u2007Återbesök", "SDV Pv Läk Återbesök"),
        ("sdv pv läk ÅTERBESÖK", "SDV Pv Läk Återbesök"),
        (unicodedata.normalize("NFD", "SDV Pv Läk Återbesök"), "SDV Pv Läk Återbesök"),
        ("SDV Pv Läk Återbesök(NOAK)", "SDV Pv Läk Återbesök (NOAK)"),
        ("SDV Bvc Ssk Återbesök (2,5 år)", "SDV Bhv Ssk Återbesök (2,5 år)"),
        ("SDV Pv Psy Återbesök", "SDV Pv Psyk Återbesök"),
    ],
)
def test_spellings_that_mean_the_same_list(category, meant):
    assert match(category) == (meant, meant)


@pytest.mark.parametrize("category", ["hembesök(LÄKARE)", "Hembesök\u00a0 (läkare) "])
def test_spellings_that_mean_the_same_base_category(category):
    assert match(category) == (None, "SDV Pv Läk Hembesök")


@pytest.mark.parametrize(
    "category",
    ["Läkarmottagningen", "SDV Bvc Ssk Återbesök (13 mån)", "SDV-Pv-Läk-Återbesök", "Fotvård", "x" * 1_000_000],
)
def test_a_near_miss_is_unknown(category):
    assert match(category) == (None, None)


# Suggestions for an unknown category


@pytest.mark.parametrize(
    ("category", "areas", "suggested"),
    [
        ("Läkarmottagningen", ["Pv"], ["SDV Pv Läk Återbesök"]),
        ("Lakarmottagning", ["Pv"], ["SDV Pv Läk Återbesök"]),
        ("Hjärtsvikt mottagning", ["Pv"], ["SDV Pv Ssk Återbesök (hjärtsvikt)"]),
        ("SDV Pv Psykolog Återbesök", ["Pv"], ["SDV Pv Psyk Återbesök"]),
        ("SDV Pv Läk Återbesök ( NOAK)", ["Pv"], ["SDV Pv Läk Återbesök (NOAK)"]),
        ("SVD Bhv Ssk Återbesök (3 mån)", ["Bhv"], ["SDV Bhv Ssk Återbesök (3 mån)"]),
        ("BVC 10 mån", ["Bhv"], ["SDV Bhv Ssk Återbesök (10 mån)"]),
        ("UM barnmorska", ["Um"], ["SDV Um Bm Återbesök"]),
        ("Diabetessköterska", ["Pv"], ["SDV Pv Ssk Återbesök (diabetes)"]),
        ("KOL", ["Pv"], ["SDV Pv Ssk Återbesök (astma/KOL)"]),
        ("Hypertoni", ["Pv"], ["SDV Pv Ssk Återbesök (hypertoni)", "SDV Pv Läk Återbesök (hypertoni)"]),
        ("Provtagning", ["Pv"], ["SDV Pv Usk Provtagning Barn", "SDV Pv Usk Provtagning Vuxen"]),
        ("SDV Pv", ["Pv"], []),
        ("BVC-sköterska", ["Bhv"], []),
        ("Akutkö", CARE_AREAS, []),
        ("Väntar på provsvar", CARE_AREAS, []),
        ("Läkarmottagning"[::-1], CARE_AREAS, []),
        ("x" * 1_000_000, CARE_AREAS, []),
        ("😀", CARE_AREAS, []),
        ("", CARE_AREAS, []),
        (" \u00a0\n", CARE_AREAS, []),
        (None, CARE_AREAS, []),
    ],
)
def test_the_lists_closest_to_an_unknown_category_are_suggested(category, areas, suggested):
    assert suggest(category, areas) == suggested


@pytest.mark.parametrize(
    ("form", "first"),
    [
        ("besok", "SDV Pv Läk Återbesök"),
        ("telefon", "SDV Pv Läk Telefon Återbesök"),
        ("hembesok", "SDV Pv Läk Hembesök"),
        ("brev", "SDV Pv Läk Återbesök"),
        (None, "SDV Pv Läk Återbesök"),
    ],
)
def test_a_near_miss_of_a_base_category_leads_where_the_category_leads_for_that_contact_form(form, first):
    assert suggest("Läkarmottagningen", ["Pv"], form)[0] == first


AREA = {row.sdv_lista: row.vardomrade for row in MAPPINGS.sdv_lists}
NEAR_MISSES = [name for name in Catalogue.read(paths.MAPPINGS).near_misses if name]


@settings(deadline=None)
@given(
    category=st.text(max_size=30)
    | st.sampled_from([*LISTS, *NEAR_MISSES])
    | st.lists(st.sampled_from(LISTS)).map(" ".join),
    areas=st.sets(st.sampled_from(CARE_AREAS)),
    form=st.sampled_from(FORMS),
)
def test_at_most_three_are_suggested_each_once_and_none_outside_the_care_areas(category, areas, form):
    suggested = suggest(category, areas, form)
    assert len(suggested) == len(set(suggested)) <= 3
    assert {AREA[name] for name in suggested} <= areas


LIKELY = list(
    csv.DictReader(Path(__file__).with_name("unknown_categories.csv").read_text(encoding="utf-8").splitlines())
)


def test_likely_names_of_lists_get_the_list_that_they_mean_or_none():
    """The figures are in ``docs/rules.md``."""
    first = none = 0
    for row in LIKELY:
        meant = [name for name in row["forvantad"].split(";") if name]
        suggested = suggest(row["kategori"], row["vardomraden"].split(";"), "besok")
        if meant:
            first += suggested[:1] != [] and suggested[0] in meant
        else:
            none += suggested == []
    assert len(LIKELY) == 60
    assert first >= 51, "of 53 with a list"
    assert none == 7, "of 7 without one"


@pytest.mark.parametrize(
    ("category", "areas", "suggested"),
    [
        ("Usk-mottagning", ["Pv"], "SDV Pv Usk Återbesök"),
        ("Sjuksköterskemottagning", ["Pv"], "SDV Pv Ssk Återbesök"),
        ("Läk mottagning", ["Um"], "SDV Um Läk Återbesök"),
    ],
)
def test_a_reception_is_found_by_its_profession(category, areas, suggested):
    assert suggest(category, areas)[0] == suggested


def test_nearly_every_near_miss_gets_a_suggestion():
    assert [name for name in NEAR_MISSES if not suggest(name)] == ["SDV", "SDV Pv"]


@pytest.mark.parametrize("category", [None, "", "  ", "\u00a0\n"])
def test_no_category_is_unknown_and_the_row_without_one_matches_no_post(category):
    assert any(row.kategori == "" for row in MAPPINGS.base_categories)
    assert match(category, "video") == (None, None)


def test_a_category_that_is_mapped_for_other_contact_forms_alone_has_no_target():
    video = BaseCategory("Videobesök", "video", LISTS[0], "", "")
    matcher = CategoryMatcher(Mappings(MAPPINGS.sdv_lists, (video,), {}, (), {}, {}))
    assert match("Videobesök", "video", matcher) == (None, LISTS[0])
    assert match("Videobesök", "telefon", matcher) == (None, None)


def test_an_alias_in_the_mapping_itself_is_resolved_too():
    row = SdvList("SDV Bvc Psy", "Bhv", "Psykolog", "", None, None, None, None, "", "")
    matcher = CategoryMatcher(Mappings((row,), (), {}, (), {}, {}))
    found = matcher.match(pa.array(["SDV Bhv Psyk"]), pa.array(["besok"]))
    assert found.own_list.tolist() == [0]


def test_without_any_mapping_every_category_is_unknown_and_nothing_is_suggested():
    matcher = CategoryMatcher(Mappings((), (), {}, (), {}, {}))
    assert suggest("Läkarmottagning", matcher=matcher) == []
    assert match("Läkarmottagning", "besok", matcher) == (None, None)


CATEGORIES = st.none() | st.text(max_size=20) | st.sampled_from([*LISTS, *(kategori for kategori, _ in BASE), " noak "])
POSTS = st.lists(st.tuples(CATEGORIES, st.sampled_from(FORMS)), max_size=30)


@given(posts=POSTS, cut=st.integers(0, 30), large=st.booleans())
def test_a_column_is_matched_as_its_posts_one_by_one(posts, cut, large):
    text = pa.large_string() if large else pa.string()
    kategori, kontaktform = (
        (pa.array(["x", *column], text)[1:] for column in zip(*posts, strict=True))
        if posts
        else (pa.array([], text),) * 2
    )
    chunked = [pa.chunked_array([column[:cut], column[cut:]], text) for column in (kategori, kontaktform)]
    for columns in ((kategori, kontaktform), chunked):
        found = MATCHER.match(*columns)
        rows = zip(names(found.own_list), names(found.target_list), strict=True)
        assert list(rows) == [match(*post) for post in posts]
        assert (found.own_list.dtype, found.target_list.dtype) == (np.int16, np.int16)


def test_many_different_unknown_categories_do_not_stop_a_run():
    hostile = pa.array([f"SDV Pv Ssk {number:x} {'xyz' * (number % 50)}" for number in range(20_000)])
    found = MATCHER.match(hostile, pa.nulls(len(hostile), pa.string()))
    assert (found.target_list == -1).all()
    assert all(len(suggest(category, ["Pv"])) <= 3 for category in hostile.to_pylist())
