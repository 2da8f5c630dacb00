"""A unit's workbook besides its posts: its lists, whom to ask, what its staff have written, and the wave's archive."""

import datetime as dt
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from tests.support import posts
from tests.support.worklists import AS_OF, Site, book_of, facts_of, file_of, sheets_of, site

from waitlist.facts.mappings import Contact
from waitlist.reports.worklist import posts as worklist_posts
from waitlist.reports.worklist.folder import archive_name, file_name, in_ascii, is_work_list
from waitlist.reports.worklist.workbook import LAST_PRINTED, OWN_LISTS
from waitlist.staging.post_outcomes import Entry, record
from waitlist.staging.states import PostOutcome
from waitlist.swedish.words import WORK_LIST_COLUMNS

MOVE = {"kategori": "Diabetesmottagning"}
SOON = {"boka_from": "2024-11-20", "boka_fore": "2024-12-10"}
NOW = dt.datetime(2024, 10, 1, 8, tzinfo=dt.UTC)
A4_PIXELS = (297 / 25.4 - 0.8) * 96
"""What is left of a landscape page between its margins."""


@pytest.fixture
def place(tmp_path: Path) -> Site:
    return site(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "listor"


def test_the_last_sheet_has_the_lists_of_the_units_care_areas_and_for_whom_they_are(place: Site, out: Path) -> None:
    place.stage(MOVE, {**MOVE, "enhet_hsa_id": posts.UNIT_CHILD_HEALTH})
    place.write(out)
    shown = {}
    for unit in (posts.UNIT, posts.UNIT_CHILD_HEALTH):
        page = book_of(out, unit).worksheets[-1]
        assert page.title == OWN_LISTS
        header, *rows = page.iter_rows(min_row=3, values_only=True)
        assert header == ("SDV-väntelista", "Yrkeskategori", "Vårdkontaktsorsak", "Kontaktform", "För vem")
        shown[unit] = {row[0]: row[1:] for row in rows}
    assert {unit: len(lists) for unit, lists in shown.items()} == {posts.UNIT: 28, posts.UNIT_CHILD_HEALTH: 13}
    assert shown[posts.UNIT]["SDV Pv Usk Provtagning Vuxen"][-1] == "från 18 år"
    assert shown[posts.UNIT]["SDV Pv Läk Telefon Återbesök"][-2:] == ("Telefon", None)
    assert shown[posts.UNIT_CHILD_HEALTH]["SDV Bhv Ssk Återbesök (6-8 v)"][-1] == "1 mån till 3 mån"
    assert shown[posts.UNIT_CHILD_HEALTH]["SDV Bhv Ssk Återbesök (5-6 år)"][-1] == "4 år 10 mån till 6 år 11 mån"


def test_the_list_to_move_to_is_chosen_among_them(place: Site, out: Path) -> None:
    place.stage(MOVE, MOVE)
    place.write(out)
    page = book_of(out)["Flytta till SDV-väntelista"]
    (rule,) = page.data_validations.dataValidation
    column = next(cell.column_letter for cell in page[3] if cell.value == "Flytta till")
    assert str(rule.sqref) == f"{column}4:{column}5"
    assert rule.formula1 == f"'{OWN_LISTS}'!$A$4:$A$31"
    assert page[f"{column}4"].value == "SDV Pv Ssk Återbesök (diabetes)"


def test_the_posts_of_other_units_are_counted_and_nothing_is_decided_about_them(
    place: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.stage(MOVE, {**MOVE, "enhet_hsa_id": posts.UNIT_CHILD_HEALTH}, MOVE)
    decided = []

    def advise(*asked: Any) -> Any:
        decided.append(asked)
        return real(*asked)

    real = worklist_posts.advise
    monkeypatch.setattr(worklist_posts, "advise", advise)
    place.write(out, units=(posts.UNIT,))
    assert len(decided) == 2
    place.write(out, replace=True)
    assert len(decided) == 2 + 3


def test_what_is_printed_is_nearly_as_large_on_a4_as_on_the_screen(place: Site, out: Path) -> None:
    place.stage(MOVE, SOON)
    place.write(out)
    for title in ("Flytta till SDV-väntelista", "Bokas direkt i Millennium"):
        page = book_of(out)[title]
        named = {cell.value: cell for cell in page[3]}
        last = named[WORK_LIST_COLUMNS[LAST_PRINTED]].column_letter
        assert page.print_area == f"'{title}'!$A$1:${last}$4"
        letters = [cell.column_letter for cell in page[3] if cell.column <= named["Anteckning"].column]
        pixels = sum(7 * page.column_dimensions[letter].width + 5 for letter in letters)
        # The letters have 10 points.
        assert 10 * A4_PIXELS / pixels >= 8.5
        assert {"Kontaktform", "Användare", "På listan sedan"} <= set(named)


def test_what_the_staff_have_written_on_the_page_is_carried_in(place: Site, out: Path) -> None:
    place.stage(SOON, {"har_bilaga": True}, MOVE)
    table = [
        Entry(1, 1, posts.UNIT, "natt-1", NOW, "nurse", PostOutcome.BOOKED_MILLENNIUM, word="tid 3 december"),
        Entry(2, 1, posts.UNIT, "natt-1", NOW, "nurse", PostOutcome.CHECKED, about=("ATTACHMENT_NOT_MIGRATED",)),
        Entry(3, 1, posts.UNIT_LIVE, "natt-1", NOW, "other", PostOutcome.MOVED),
    ]
    for entry in table:
        record(place.store.database, entry, key=f"key {entry.post_id}")
    place.write(out)
    told = {
        row["Post-id"]: (row["Klart"], row["Anteckning"]) for rows in sheets_of(book_of(out)).values() for row in rows
    }
    assert told == {
        1: ("Bokad i Millennium", "tid 3 december, nurse, 2024-10-01 kl. 10.00"),
        2: ("Kontrollerad", "nurse, 2024-10-01 kl. 10.00"),
        3: (None, None),
    }


def test_a_row_tells_since_when_it_has_been_on_the_list(place: Site, out: Path) -> None:
    place.stage(MOVE, {}, batch_id="natt-1")
    later = replace(place, context=replace(place.context, as_of=AS_OF + dt.timedelta(days=1)))
    later.stage(MOVE, MOVE, batch_id="natt-2")
    later.write(out)
    book = openpyxl.load_workbook(next(out.glob("*.xlsx")))
    told = {row["Post-id"]: row["På listan sedan"].date() for row in sheets_of(book)["Flytta till SDV-väntelista"]}
    assert told == {1: AS_OF, 2: AS_OF + dt.timedelta(days=1)}


PRIVATE, OWN, YOUTH = "privat@example.invalid", "egen@example.invalid", "um@example.invalid"
CONTACTS = (
    Contact("Um", None, YOUTH, "", ""),
    Contact(None, "privat", PRIVATE, "", ""),
    Contact(None, "region", OWN, "", ""),
)


@pytest.mark.parametrize(
    ("areas", "provider", "addresses"),
    [
        (("Pv",), "region", [OWN]),
        (("Pv", "Bhv"), "privat", [PRIVATE]),
        (("Um",), "region", [YOUTH]),
        (("Um",), None, [YOUTH]),
        (("Pv",), None, [PRIVATE, OWN]),
        (("Um", "Pv"), "region", [OWN, YOUTH]),
    ],
)
def test_a_unit_asks_at_the_address_of_its_kind(
    tmp_path: Path, areas: tuple[str, ...], provider: str | None, addresses: list[str]
) -> None:
    context = posts.context(units=(posts.unit(posts.UNIT, posts.GO_LIVE, *areas, huvudman=provider),))
    place = site(tmp_path, replace(context, mappings=replace(context.mappings, contacts=CONTACTS)))
    assert list(place.context.mappings.addresses_of(posts.UNIT)) == addresses
    place.stage({})
    place.write(tmp_path / "out")
    assert facts_of(book_of(tmp_path / "out"))["Frågor"].endswith(" eller ".join(addresses))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Vårdcentralen Lövsångaren", "Vardcentralen-Lovsangaren"),
        ("BVC  Ån/Älven, S:t Örjan", "BVC-An-Alven-S-t-Orjan"),
        ("../../etc/passwd", "etc-passwd"),
        ("=HYPERLINK()", "HYPERLINK"),
        ("日本", ""),
        ("x" * 200, "x" * 60),
        ("-- --", ""),
    ],
)
def test_a_units_name_in_a_file_name_is_plain(name: str, part: str) -> None:
    assert in_ascii(name) == part
    made = file_name("SE2120009999-TEST01", AS_OF, "xlsx", name=name)
    assert made == f"arbetslista-{part + '--' if part else ''}SE2120009999-TEST01-2024-10-01.xlsx"
    assert made.isascii()
    assert is_work_list(made)


def test_a_wave_has_an_archive_of_its_lists_with_the_same_bytes_each_time(place: Site, out: Path) -> None:
    place.stage(MOVE, {**MOVE, "enhet_hsa_id": posts.UNIT_CHILD_HEALTH}, {"enhet_hsa_id": "ingen"})
    place.write(out, with_archives=True, with_csv=True)
    name = archive_name("1", AS_OF)
    first = (out / name).read_bytes()
    with zipfile.ZipFile(out / name) as archive:
        names = archive.namelist()
        assert archive.read(file_of(out).name) == file_of(out).read_bytes()
    assert names == sorted(file.name for file in out.iterdir() if "Enligt-plan" in file.name)
    assert len(names) == 4, "two units, each with a workbook and a CSV file"
    assert (out / name).stat().st_mode & 0o777 == 0o600
    place.write(out, replace=True, with_archives=True, with_csv=True)
    assert (out / name).read_bytes() == first
    place.write(out, replace=True, units=(posts.UNIT,))
    assert not (out / name).exists(), "one of its lists is another now"
