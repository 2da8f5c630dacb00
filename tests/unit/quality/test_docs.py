"""Data Docs: readable without a network, the same every time, and without a single value."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.support.posts import AS_OF, context, table

from waitlist import paths
from waitlist.exceptions import SuiteError
from waitlist.quality import (
    Looks,
    Outcome,
    QualityResult,
    check_snapshot,
    load_suites,
    write_data_docs,
)
from waitlist.swedish.words import PERSONS_SUITE_NOT_APPLICABLE

SUITES = load_suites(paths.EXPECTATIONS)
OVER_SNAPSHOT = [suite for suite in SUITES.values() if suite.looks is Looks.SNAPSHOT]
MARKER = "Zxqvmarkör"
BATCH = "dry_run-0123456789abcdef"


@pytest.fixture(scope="module")
def results() -> list[QualityResult]:
    """Results of posts whose every text is a marker."""
    texts = ("personnummer", "patient", "enhet_hsa_id", "enhet", "kategori", "kontaktform", "boka_from", "boka_fore")
    texts += ("orsak", "planerade_atgarder", "anvandare", "filial")
    marked = {name: f"{MARKER} {name}" for name in texts}
    found = check_snapshot(OVER_SNAPSHOT, [table(marked, {})], context())
    found[3] = replace(found[3], outcome=Outcome.ERROR)
    assert {result.outcome for result in found} == set(Outcome)
    return found


def test_where_nobody_is_asked_the_first_page_says_that_the_suite_on_the_answers_is_not_applicable(
    tmp_path: Path, results: list[QualityResult]
) -> None:
    asked = write_data_docs(tmp_path, BATCH, AS_OF, SUITES.values(), results).read_text(encoding="utf-8")
    nobody = write_data_docs(tmp_path, BATCH, AS_OF, OVER_SNAPSHOT, results).read_text(encoding="utf-8")

    assert PERSONS_SUITE_NOT_APPLICABLE not in asked
    assert PERSONS_SUITE_NOT_APPLICABLE in nobody


def read(site: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(site.iterdir())}


class Cells(HTMLParser):
    """The texts of a page's table cells, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._inside = True
        elif tag == "br" and self._inside:
            self.rows[-1][-1] += " / "

    def handle_endtag(self, tag: str) -> None:
        self._inside &= tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]}{data}".split())


def test_a_site_has_a_first_page_and_one_for_each_suite_that_was_run(
    tmp_path: Path, results: list[QualityResult]
) -> None:
    first = write_data_docs(tmp_path / "docs", BATCH, AS_OF, SUITES.values(), results)

    assert first == tmp_path / "docs" / BATCH / "index.html"
    assert list(read(first.parent)) == [
        "categories.html", "dates.html", "extract_contract.html", "identity.html", "index.html"
    ]  # fmt: skip


def test_the_first_page_counts_the_outcomes(tmp_path: Path, results: list[QualityResult]) -> None:
    first = write_data_docs(tmp_path, BATCH, AS_OF, SUITES.values(), results)

    heads, *rows = Cells(first.read_text(encoding="utf-8")).rows
    assert heads[2:] == ["Uppfyllt", "Inte uppfyllt", "Inget att granska", "Kunde inte granskas"]
    for suite, row in zip(OVER_SNAPSHOT, rows, strict=True):
        outcomes = [result.outcome for result in results if result.suite == suite.name]
        assert row[0] == suite.name
        assert [int(cell) for cell in row[2:]] == [outcomes.count(outcome) for outcome in Outcome]


def test_a_suites_page_has_each_expectation_with_its_counts(tmp_path: Path, results: list[QualityResult]) -> None:
    many = [replace(result, evaluated=1_234_567, unexpected=12) for result in results]
    first = write_data_docs(tmp_path, BATCH, AS_OF, SUITES.values(), many)

    heads, *rows = Cells((first.parent / "identity.html").read_text(encoding="utf-8")).rows
    assert heads == [
        "Utfall", "Krav", "Kolumn", "Allvar", "Granskade", "Avviker", "Andel", "Ska uppfyllas av"
    ]  # fmt: skip
    assert [
        "Uppfyllt",
        "Posten har patientens namn. / NAME_MISSING",
        "patient",
        "Varning",
        "1 234 567",
        "12",
        "under 0,01 %",
        "99 %",
    ] in rows
    assert len(rows) == len(SUITES["identity"].expectations)


def test_an_expectation_without_rows_or_with_an_error_is_not_shown_as_passed(
    tmp_path: Path, results: list[QualityResult]
) -> None:
    first = write_data_docs(tmp_path, BATCH, AS_OF, SUITES.values(), results)

    _, *rows = Cells((first.parent / "extract_contract.html").read_text(encoding="utf-8")).rows
    told = [row[0] for row in rows]
    assert told[3] == "Kunde inte granskas"
    closed = [it.column for it in SUITES["extract_contract"].expectations].index("avslutad")
    assert (told[closed], rows[closed][6]) == ("Inget att granska", "–")


@pytest.mark.parametrize(
    ("unexpected", "share"),
    [
        (0, "0 %"),
        (1, "under 0,01 %"),
        (400, "0,04 %"),
        (999_999, "över 99,99 %"),
        (1_000_000, "100 %"),
        (125_000, "12,5 %"),
    ],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(
    tmp_path: Path, results: list[QualityResult], unexpected: int, share: str
) -> None:
    identity = [replace(it, evaluated=1_000_000, unexpected=unexpected) for it in results if it.suite == "identity"]
    first = write_data_docs(tmp_path, BATCH, AS_OF, SUITES.values(), identity)

    _, row, *_ = Cells((first.parent / "identity.html").read_text(encoding="utf-8")).rows
    assert row[6] == share


def test_no_page_holds_a_value(tmp_path: Path, results: list[QualityResult]) -> None:
    first = write_data_docs(tmp_path, BATCH, AS_OF, SUITES.values(), results)

    pages = read(first.parent)
    assert sum(map(len, pages.values())) > 10_000
    assert not [name for name, page in pages.items() if "zxqv" in page.casefold()]


def test_no_page_loads_anything_from_elsewhere(tmp_path: Path, results: list[QualityResult]) -> None:
    first = write_data_docs(tmp_path, BATCH, AS_OF, SUITES.values(), results)

    for name, page in read(first.parent).items():
        assert "default-src 'none'" in page
        assert not re.search(r"//|<script|<link|<img|<iframe|@import|url\(|\son\w+=", page), name
        assert set(re.findall(r'href="([^"]*)"', page)) <= set(read(first.parent))


def test_the_same_results_give_the_same_pages(tmp_path: Path, results: list[QualityResult]) -> None:
    one = write_data_docs(tmp_path / "one", BATCH, AS_OF, SUITES.values(), results)
    other = write_data_docs(tmp_path / "other", BATCH, AS_OF, SUITES.values(), list(reversed(results)))

    assert read(one.parent) == read(other.parent)


def test_a_rerun_replaces_the_batchs_own_site_and_no_other(tmp_path: Path, results: list[QualityResult]) -> None:
    other = write_data_docs(tmp_path, "another", AS_OF, SUITES.values(), results)
    first = write_data_docs(tmp_path, BATCH, AS_OF, SUITES.values(), results)

    again = write_data_docs(tmp_path, BATCH, AS_OF, SUITES.values(), [it for it in results if it.suite == "dates"])

    assert again == first
    assert list(read(again.parent)) == ["dates.html", "index.html"]
    assert len(read(other.parent)) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another", BATCH]


def test_any_batch_id_gives_a_folder_of_its_own(tmp_path: Path, results: list[QualityResult]) -> None:
    ids = ["a/b", "a:b", "../a b", "<b>ö</b>"]
    sites = [write_data_docs(tmp_path, batch_id, AS_OF, SUITES.values(), results).parent for batch_id in ids]

    assert len(set(sites)) == len(ids)
    assert all(site.parent == tmp_path for site in sites)
    assert "&lt;b&gt;ö&lt;/b&gt;" in (sites[-1] / "dates.html").read_text(encoding="utf-8")


def test_texts_of_a_suite_are_shown_as_they_are(tmp_path: Path, results: list[QualityResult]) -> None:
    dates = SUITES["dates"]
    text = "Kostar $column <100> kr & mer"
    edited = replace(dates, expectations=tuple(replace(it, text=text) for it in dates.expectations))
    first = write_data_docs(tmp_path, BATCH, AS_OF, [edited], [it for it in results if it.suite == "dates"])

    _, row, *_ = Cells((first.parent / "dates.html").read_text(encoding="utf-8")).rows
    assert row[1] == f"{text} / DATE_MISSING"


def test_results_of_another_suite_are_refused_and_nothing_is_left(tmp_path: Path, results: list[QualityResult]) -> None:
    with pytest.raises(SuiteError, match="dates: the results do not match its expectations"):
        write_data_docs(tmp_path, BATCH, AS_OF, SUITES.values(), results[:-10])

    assert list(tmp_path.iterdir()) == []
