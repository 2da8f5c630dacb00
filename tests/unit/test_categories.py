"""Which SDV list a category means, and that nothing is guessed."""

import time
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist import paths
from waitlist.categories import CategoryMatcher
from waitlist.mappings import BaseCategory, Mappings, SdvList, load_mappings

MAPPINGS = load_mappings(paths.MAPPINGS, raisable={})
LISTS = [row.sdv_lista for row in MAPPINGS.sdv_lists]
BASE = {(row.kategori, row.kontaktform): row.sdv_lista for row in MAPPINGS.base_categories if row.kategori}
MATCHER = CategoryMatcher(MAPPINGS)
FORMS = ["besok", "telefon", "video", "hembesok", "brev", "", None]


def names(indices):
    return [None if index == -1 else LISTS[index] for index in indices.tolist()]


def match(kategori, kontaktform=None, matcher=MATCHER):
    """Match one post: own list, target list, suggestion."""
    found = matcher.match(pa.array([kategori], pa.string()), pa.array([kontaktform], pa.string()))
    return names(found.own_list)[0], names(found.target_list)[0], found.suggestion[0].as_py()


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("form", ["besok", "video", None])
def test_a_post_on_an_sdv_list_stays_there_whatever_its_contact_form(name, form):
    assert match(name, form) == (name, name, None)


@pytest.mark.parametrize(("category", "form"), BASE)
def test_a_base_category_has_its_recommended_list(category, form):
    assert match(category, form) == (None, BASE[category, form], None)


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
    assert match(category, form) == (None, target, None)


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
    assert match(category) == (meant, meant, None)


@pytest.mark.parametrize("category", ["hembesök(LÄKARE)", "Hembesök\u00a0 (läkare) "])
def test_spellings_that_mean_the_same_base_category(category):
    assert match(category) == (None, "SDV Pv Läk Hembesök", None)


@pytest.mark.parametrize(
    ("category", "suggestion"),
    [
        ("Läkarmottagningen", "Läkarmottagning"),
        ("Lakarmottagning", "Läkarmottagning"),
        ("Hjärtsvikt mottagning", "Hjärtsviktsmottagning"),
        ("SDV Bvc Ssk Återbesök (13 mån)", "SDV Bhv Ssk Återbesök (3 mån)"),
        ("SDV Pv Psykolog Återbesök", "SDV Pv Psyk Återbesök"),
        ("SDV Pv Läk Återbesök ( NOAK)", "SDV Pv Läk Återbesök (NOAK)"),
        ("SDV-Pv-Läk-Återbesök", "SDV Pv Läk Återbesök"),
        ("Läkarmottagning"[::-1], None),
        ("Fotvård", None),
        ("Vaccinationsmottagning", None),
        ("x" * 1_000_000, None),
        ("😀", None),
    ],
)
def test_a_near_miss_is_unknown_with_the_closest_name_as_a_suggestion(category, suggestion):
    assert match(category) == (None, None, suggestion)


@pytest.mark.parametrize("category", [None, "", "  ", "\u00a0\n"])
def test_no_category_is_unknown_and_the_row_without_one_matches_no_post(category):
    assert any(row.kategori == "" for row in MAPPINGS.base_categories)
    assert match(category, "video") == (None, None, None)


def test_a_category_that_is_mapped_for_other_contact_forms_alone_has_no_target():
    video = BaseCategory("Videobesök", "video", LISTS[0], "", "")
    matcher = CategoryMatcher(Mappings(MAPPINGS.sdv_lists, (video,), {}, (), {}, {}))
    assert match("Videobesök", "video", matcher) == (None, LISTS[0], None)
    assert match("Videobesök", "telefon", matcher) == (None, None, None)


def test_an_alias_in_the_mapping_itself_is_resolved_too():
    row = SdvList("SDV Bvc Psy", "Bhv", "Psykolog", "", None, None, None, None, "", "")
    matcher = CategoryMatcher(Mappings((row,), (), {}, (), {}, {}))
    found = matcher.match(pa.array(["SDV Bhv Psyk"]), pa.array(["besok"]))
    assert found.own_list.tolist() == [0]


def test_without_any_mapping_every_category_is_unknown():
    matcher = CategoryMatcher(Mappings((), (), {}, (), {}, {}))
    assert match("Läkarmottagning", "besok", matcher) == (None, None, None)


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
        rows = zip(names(found.own_list), names(found.target_list), found.suggestion.to_pylist(), strict=True)
        assert list(rows) == [match(*post) for post in posts]
        assert (found.own_list.dtype, found.target_list.dtype) == (np.int16, np.int16)
        assert found.suggestion.type == pa.string()


def test_many_different_unknown_categories_are_no_way_to_stop_a_run():
    hostile = pa.array([f"SDV Pv Ssk {number:x} {'xyz' * (number % 50)}" for number in range(20_000)])
    started = time.perf_counter()
    found = MATCHER.match(hostile, pa.nulls(len(hostile), pa.string()))
    assert time.perf_counter() - started < 20
    assert (found.target_list == -1).all()
