"""Work lists of hand-made posts: opened as a unit's staff would, and read cell by cell."""

import datetime as dt
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import sqlalchemy as sa
from openpyxl.cell import Cell
from tests.support import batches, posts
from tests.support.posts import (
    AS_OF,
    CUTOFF,
    GO_LIVE,
    PERSON,
    UNIT,
    UNIT_CHILD_HEALTH,
    UNIT_LIVE,
    UNIT_UNLISTED,
    UNIT_WITHOUT_GO_LIVE,
    official,
)
from tests.support.worklists import (
    BATCH,
    Site,
    book_of,
    counts_of,
    csv_of,
    day,
    facts_of,
    file_of,
    post_ids_of,
    sheets_of,
    site,
)
from upath import UPath

from waitlist import paths
from waitlist.exceptions import SnapshotError, StagingError, WorkListError
from waitlist.reports.worklist import workbook
from waitlist.reports.worklist.workbook import OWN_LISTS
from waitlist.source.batch_files import BatchFiles
from waitlist.source.snapshot import write_part
from waitlist.staging import schema
from waitlist.swedish.words import WORK_LIST_ASK, WORK_LIST_FIX_WHEN_LIVE, finding_text

DIABETES = "SDV Pv Ssk Återbesök (diabetes)"
RED = {"boka_from": "2024-08-01", "boka_fore": "2024-09-01"}
NOT_MOVED = {"kategori": "Diabetesmottagning"}
ATTACHED = {"har_bilaga": True}
FORMULA = '=HYPERLINK("http://example.invalid";"Klicka")'

COLUMNS = [
    "Klart", "Post-id", "Personnummer", "Namn", "Kategori i PMO", "Boka fr.o.m.", "Boka före", "Anmärkning",
    "Gör så här", "Anteckning", "På listan sedan", "Kontaktform", "Användare",
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Site:
    return site(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "listor"


def written(place: Site, out: Path, *given: dict[str, Any], **staged: Any) -> openpyxl.Workbook:
    """Stage posts of the clean post's unit and open its workbook."""
    place.stage(*given, **staged)
    place.write(out)
    return book_of(out)


def cell(book: openpyxl.Workbook, title: str, column: str, row: int = 0) -> Cell:
    page = book[title]
    header = [cell.value for cell in page[3]]
    return page.cell(row + 4, header.index(column) + 1)


# Sheets and rows


def test_each_post_is_on_one_sheet_or_is_only_counted(place: Site, out: Path) -> None:
    book = written(
        place, out,
        {}, RED, NOT_MOVED, {"nybesok": True}, {"personnummer": None}, ATTACHED,
        {"vantar_pa_besok": False}, {"vantar_pa_besok": False, **NOT_MOVED}, {"orsak": "Redan överförd"},
        released=(9,),
    )  # fmt: skip
    assert post_ids_of(book) == {
        "Åtgärda i PMO": [2],
        "Flytta till SDV-väntelista": [3],
        "Bokas direkt i Millennium": [4],
        "Hanteras manuellt": [5],
        "Migreras - kontrollera": [6],
        "Ta bort från SDV-väntelista": [7],
    }
    assert counts_of(book) == {
        "Åtgärda i PMO": 1,
        "Flytta till SDV-väntelista": 1,
        "Bokas direkt i Millennium": 1,
        "Hanteras manuellt": 1,
        "Migreras": 2,
        "varav att kontrollera": 1,
        "Ska inte migreras": 2,
        "varav på en SDV-väntelista": 1,
        "Redan överförd": 1,
        "Summa": 9,
    }


def test_row_has_what_staff_need_to_find_the_post_and_what_to_do(place: Site, out: Path) -> None:
    book = written(place, out, {"post_id": 70, **RED, "kontaktform": "hembesok"})
    (row,) = sheets_of(book)["Åtgärda i PMO"]
    assert list(row) == COLUMNS
    assert row == {
        "Klart": None,
        "Post-id": 70,
        "Personnummer": PERSON,
        "Namn": "Lindqvist, Åsa",
        "Kategori i PMO": DIABETES,
        "Boka fr.o.m.": day("2024-08-01"),
        "Boka före": day("2024-09-01"),
        "Kontaktform": "Hembesök",
        "Användare": "Eva Öberg",
        "Anmärkning": "Rött datum",
        "Gör så här": finding_text("DATE_EXPIRED", None),
        "Anteckning": None,
        "På listan sedan": None,
    }


def test_list_to_move_to_has_a_column_of_its_own(place: Site, out: Path) -> None:
    book = written(place, out, {**NOT_MOVED, **ATTACHED})
    (row,) = sheets_of(book)["Flytta till SDV-väntelista"]
    assert row["Flytta till"] == DIABETES
    assert "Anmärkning" not in row
    assert row["Gör så här"].split("\n") == [
        f"• {finding_text('CATEGORY_NOT_MOVED', DIABETES)}",
        f"• {finding_text('ATTACHMENT_NOT_MIGRATED', None)}",
    ]


def test_no_list_to_move_to_is_recommended_for_a_post_that_leaves(place: Site, out: Path) -> None:
    place.stage({**NOT_MOVED, "nybesok": True}, NOT_MOVED)
    place.write(out, with_csv=True)
    assert {row["Post-id"]: row["Flytta till"] for row in csv_of(out)} == {"1": "", "2": DIABETES}


def test_branch_that_is_not_in_the_text_is_named(place: Site, out: Path) -> None:
    book = written(place, out, {"filial": "Norra Torget"}, {"filial": "Torget", "orsak": "På Torget", **RED})
    assert [row["Gör så här"].split("\n")[1:] for row in sheets_of(book)["Åtgärda i PMO"]] == [
        [],
        ["Filial: Norra Torget"],
    ]


def test_other_findings_of_a_post_that_leaves_are_named_after_what_to_do(place: Site, out: Path) -> None:
    book = written(place, out, {"nybesok": True, **NOT_MOVED, **ATTACHED})
    (row,) = sheets_of(book)["Bokas direkt i Millennium"]
    assert row["Gör så här"].split("\n") == [
        finding_text("FIRST_VISIT", None),
        "Övrigt: Inte flyttad till SDV-väntelista; Bilaga följer inte med",
    ]


def test_most_urgent_post_is_first_in_any_order_of_pmo(place: Site, out: Path) -> None:
    def window(begin: str | None, end: str | None) -> dict[str, Any]:
        return {"nybesok": True, "boka_from": begin, "boka_fore": end}

    book = written(
        place, out,
        window("2025-02-01", "2025-03-01"), window("2024-08-01", "2024-09-01"), window("2025-01-01", "2025-03-01"),
        window("2025-01-01", "snarast"), window(None, None), window(None, "2024-12-24"),
        window("2025-02-01", "2025-03-01"), window("2024-10-01", "2025-02-28"),
    )  # fmt: skip
    assert post_ids_of(book) == {"Bokas direkt i Millennium": [5, 4, 6, 2, 8, 3, 1, 7]}


def test_a_unit_with_nothing_to_do_gets_its_summary(place: Site, out: Path) -> None:
    book = written(place, out, {}, {})
    assert book.sheetnames == ["Sammanfattning", OWN_LISTS]
    assert counts_of(book) == {"Migreras": 2, "Summa": 2}


def test_rows_of_one_person_say_that_they_may_be_duplicates(place: Site, out: Path) -> None:
    book = written(place, out, {}, {"personnummer": PERSON})
    assert [row["Anmärkning"] for row in sheets_of(book)["Migreras - kontrollera"]] == ["Möjlig dubblett"] * 2
    assert counts_of(book) == {"Migreras": 2, "varav att kontrollera": 2, "Summa": 2}


# Dates


def test_dates_are_dates_and_another_text_stays_as_written(place: Site, out: Path) -> None:
    book = written(
        place, out,
        {"boka_from": "våren 2025", "boka_fore": "2025-02-30"}, {"boka_from": "2024-08-01 00:00:00", "boka_fore": None},
        {"boka_from": "0201-01-20", "boka_fore": "1899-12-31"},
    )  # fmt: skip
    rows = {row["Post-id"]: (row["Boka fr.o.m."], row["Boka före"]) for row in sheets_of(book)["Åtgärda i PMO"]}
    assert rows == {
        1: ("våren 2025", "2025-02-30"),
        2: (day("2024-08-01"), None),
        3: ("0201-01-20", "1899-12-31"),  # before the first day that Excel knows
    }
    shown = cell(book, "Åtgärda i PMO", "Boka fr.o.m.", 1)
    assert (shown.is_date, shown.number_format) == (True, "yyyy-mm-dd")


def test_a_passed_date_is_red(place: Site, out: Path) -> None:
    book = written(place, out, RED, {"nybesok": True, "boka_fore": AS_OF.isoformat(), "boka_from": "2024-08-01"})
    passed = cell(book, "Åtgärda i PMO", "Boka före")
    today = cell(book, "Bokas i PMO före driftstart", "Boka före")
    begun = cell(book, "Åtgärda i PMO", "Boka fr.o.m.")
    assert passed.font.color.rgb == "FFC00000"
    assert [cell.font.color.rgb if cell.font.color.type == "rgb" else None for cell in (today, begun)] == [None, None]


# Texts


def test_text_that_begins_like_a_formula_stays_text(place: Site, out: Path) -> None:
    signs = [FORMULA, "+46 40", "-1", "@SUM(A1)", "{=1}", "=1+1"]
    given = [{"patient": sign, "kategori": sign, "anvandare": sign, "boka_from": sign} for sign in signs]
    place.stage(*given)
    place.write(out, with_csv=True)
    book = book_of(out)
    for number, sign in enumerate(signs):
        for column in ("Namn", "Kategori i PMO", "Användare", "Boka fr.o.m."):
            found = cell(book, "Åtgärda i PMO", column, number)
            assert (found.value, found.data_type, found.number_format) == (sign, "s", "@")
    with zipfile.ZipFile(file_of(out)) as inside:
        assert not [name for name in inside.namelist() if b"<f>" in inside.read(name)]
    assert [row["Namn"] for row in csv_of(out)] == [f"'{sign}" for sign in signs]


def test_numbers_stay_texts_with_their_zeros(place: Site, out: Path) -> None:
    born = dt.date(2000, 7, 7)
    book = written(
        place,
        out,
        {**RED, "personnummer": official(born)},
        {**RED, "personnummer": f"20{official(born, separator='')}"},
    )
    values = [cell(book, "Åtgärda i PMO", "Personnummer", row) for row in (0, 1)]
    assert [(value.value, value.data_type) for value in values] == [
        (official(born), "s"),
        (f"20{official(born, separator='')}", "s"),
    ]


def test_control_characters_and_line_breaks_do_not_reach_a_cell(place: Site, out: Path) -> None:
    book = written(place, out, {**RED, "patient": "Åsa\x00\r\n Öberg\x1b", "anvandare": "_x0041_ \ufffe <&>"})
    (row,) = sheets_of(book)["Åtgärda i PMO"]
    assert row["Namn"] == "Åsa Öberg"
    assert "<&>" in row["Användare"]


def test_a_huge_text_is_shortened_and_says_so(place: Site, out: Path) -> None:
    book = written(place, out, {**RED, "patient": "Å" * 40_000})
    (row,) = sheets_of(book)["Åtgärda i PMO"]
    assert row["Namn"] == "Å" * 1_000 + "…"


def test_a_post_id_that_excel_cannot_hold_is_a_text(place: Site, out: Path) -> None:
    book = written(place, out, {**RED, "post_id": 999_999_999_999_999}, {**RED, "post_id": 2**62 + 1})
    assert post_ids_of(book)["Åtgärda i PMO"] == [999_999_999_999_999, str(2**62 + 1)]


# Protected identities


def test_protected_identity_is_found_by_post_id_alone(place: Site, out: Path) -> None:
    place.stage({**RED, "sekretess": True}, RED)
    place.write(out, with_csv=True)
    for row in (sheets_of(book_of(out))["Åtgärda i PMO"][0], csv_of(out)[0]):
        assert (str(row["Post-id"]), row["Personnummer"], row["Namn"]) == ("1", "Sekretess", "Sekretess")
    assert sheets_of(book_of(out))["Åtgärda i PMO"][1]["Namn"] == "Lindqvist, Åsa"


def test_finding_alone_protects_too(place: Site, out: Path) -> None:
    place.stage(RED)
    row = {"batch_id": BATCH, "post_id": 1, "rule": "PROTECTED_IDENTITY", "severity": "info", "detail": None}
    batches.execute(place.store, schema.finding.insert().values(row))
    place.write(out)
    (read,) = sheets_of(book_of(out))["Åtgärda i PMO"]
    assert (read["Personnummer"], read["Namn"]) == ("Sekretess", "Sekretess")


# Units


def test_each_unit_gets_its_own_list_and_the_summary_names_the_unit(place: Site, out: Path) -> None:
    units = (UNIT, UNIT_LIVE, UNIT_WITHOUT_GO_LIVE, UNIT_UNLISTED, UNIT_CHILD_HEALTH)
    place.stage(*({"enhet_hsa_id": unit, **RED} for unit in units))
    assert place.write(out).units == 5
    assert facts_of(book_of(out)) == {
        "Läget per": day("2024-10-01"),
        "HSA-id": UNIT,
        "Våg": "1",
        "Driftstart": day(GO_LIVE.isoformat()),
        "Dagar kvar till driftstart": "48",
        "Frågor": f"{WORK_LIST_ASK} pmosupport.pv@skane.se eller SDV.PVSkane@skane.se",
        "Körning": f"Torrkörning {BATCH}",
    }
    assert facts_of(book_of(out, UNIT_LIVE))["Dagar kvar till driftstart"] == "i drift"
    assert facts_of(book_of(out, UNIT_WITHOUT_GO_LIVE))["Driftstart"] == "saknas"
    assert book_of(out)["Sammanfattning"]["A1"].value == "Arbetslista: Enligt plan"
    assert book_of(out, UNIT_UNLISTED)["Sammanfattning"]["A1"].value == "Arbetslista: Vårdcentralen Provet"


def test_posts_of_no_known_unit_share_a_workbook_that_says_what_pmo_says(place: Site, out: Path) -> None:
    # A personal number in the wrong field must not become a file's name.
    place.stage(
        {"enhet_hsa_id": None, **ATTACHED},
        {"enhet_hsa_id": " ", "enhet": None, **ATTACHED},
        {"enhet_hsa_id": PERSON, **ATTACHED},
    )
    place.write(out, with_csv=True)
    assert sorted(file.name for file in out.iterdir()) == [
        "arbetslista-okand-enhet-2024-10-01.csv",
        "arbetslista-okand-enhet-2024-10-01.xlsx",
    ]
    book = book_of(out, "okand-enhet")
    assert counts_of(book)["Summa"] == 3
    assert [row["Enhet i PMO"] for row in sheets_of(book)["Enhet saknar driftstart"]] == [
        "Vårdcentralen Provet",
        None,
        f"Vårdcentralen Provet {PERSON}",
    ]
    assert "HSA-id" not in facts_of(book)


def test_only_posts_that_can_be_corrected_meanwhile_are_listed_where_go_live_is_missing(place: Site, out: Path) -> None:
    place.stage({"enhet_hsa_id": UNIT_WITHOUT_GO_LIVE}, {"enhet_hsa_id": UNIT_WITHOUT_GO_LIVE, **NOT_MOVED})
    place.write(out)
    book = book_of(out, UNIT_WITHOUT_GO_LIVE)
    assert post_ids_of(book) == {"Enhet saknar driftstart": [2]}
    assert counts_of(book) == {"Enhet saknar driftstart": 2, "varav att rätta redan nu": 1, "Migreras": 0, "Summa": 2}


def test_the_last_day_that_is_booked_directly_is_shown_where_the_batch_has_it(place: Site, out: Path) -> None:
    book = written(place, out, RED, {"boka_from": "2024-11-20", "boka_fore": "2024-11-30"})
    assert facts_of(book)["Bokas direkt i Millennium t.o.m."] == day(CUTOFF.isoformat())
    assert book["Åtgärda i PMO"]["A2"].value.endswith(f"Gränsen går efter {CUTOFF.isoformat()}.")


def test_the_text_for_a_live_unit_says_to_book_and_not_to_move(place: Site, out: Path) -> None:
    live = {"enhet_hsa_id": UNIT_LIVE}
    place.stage({**live, **RED}, {**live, "boka_from": "2024-10-02", "boka_fore": "2024-10-20"})
    place.write(out)
    book = book_of(out, UNIT_LIVE)
    assert book["Åtgärda i PMO"]["A2"].value == WORK_LIST_FIX_WHEN_LIVE.action
    assert "Bokas direkt i Millennium t.o.m." not in facts_of(book)


def test_some_units_are_written_when_named(place: Site, out: Path) -> None:
    place.stage(RED, {"enhet_hsa_id": UNIT_LIVE}, {"enhet_hsa_id": UNIT_CHILD_HEALTH})
    place.write(out, units=(UNIT_LIVE,))
    place.write(out, units=(UNIT,))
    assert {file.name for file in out.iterdir()} == {file_of(out, unit).name for unit in (UNIT, UNIT_LIVE)}
    assert counts_of(book_of(out))["Summa"] == 1


def test_the_unknown_unit_is_selected_by_the_name_of_its_file(place: Site, out: Path) -> None:
    place.stage(RED, {"enhet_hsa_id": PERSON})
    place.write(out, units=("okand-enhet",))
    assert [file.name for file in out.iterdir()] == [file_of(out, "okand-enhet").name]
    with pytest.raises(WorkListError, match="has 1 earlier work lists of these units"):
        place.write(out, units=("okand-enhet",))
    for asked in (PERSON, ""):
        with pytest.raises(WorkListError, match=f"unit {asked} has no posts in batch {BATCH}"):
            place.write(out, units=(asked,))


def test_a_unit_without_posts_is_an_error(place: Site, out: Path) -> None:
    place.stage(RED)
    with pytest.raises(
        WorkListError, match=f"unit {UNIT_LIVE} has no posts in batch {BATCH}\nunit {UNIT_CHILD_HEALTH} has"
    ):
        place.write(out, units=(UNIT_LIVE, UNIT_CHILD_HEALTH))
    assert not out.exists()


# After release


def released(place: Site, *post_ids: int, unit: str = UNIT) -> None:
    """Let an earlier batch have released posts."""
    posts_of = [{"post_id": post_id, "enhet_hsa_id": unit, "patient": f"Överförd {post_id}"} for post_id in post_ids]
    place.stage(*posts_of, batch_id="pilot", kind="migration", started_at=batches.NOW - dt.timedelta(days=30))
    rows = [
        {"post_id": post_id, "batch_id": "pilot", "row_hash": "0" * 64, "released_at": batches.NOW}
        for post_id in post_ids
    ]
    followed = [
        {"batch_id": "pilot", "post_id": post_id, "enhet_hsa_id": unit, "boka_fore": batches.BEGIN}
        for post_id in post_ids
    ]
    with batches.unguarded(place.store) as connection:
        connection.execute(schema.released_post.insert(), rows)
        connection.execute(schema.followed_post.insert(), followed)
        connection.execute(
            schema.batch.update()
            .where(schema.batch.c.batch_id == "pilot")
            .values(state="released", released_at=batches.NOW)
        )


def changed(place: Site, **changes: str) -> None:
    rows = [
        {"batch_id": BATCH, "post_id": int(post[1:]), "change": "changed" if columns else "gone", "columns": columns}
        for post, columns in changes.items()
    ]
    batches.execute(place.store, schema.released_change.insert().values(rows))


def test_released_posts_that_pmo_changed_or_closed_are_corrected_in_millennium(place: Site, out: Path) -> None:
    released(place, 1, 2, 3)
    place.stage({"post_id": 1}, {"post_id": 3, "boka_fore": "2025-04-01"}, released=(1, 2, 3))
    changed(place, _3="begart_slutdatum", _2="")
    place.write(out)
    book = book_of(out)
    rows = sheets_of(book)["Rätta i Millennium"]
    assert [(row["Post-id"], row["Namn"], row["Boka före"], row["Anmärkning"]) for row in rows] == [
        (2, "Överförd 2", day("2025-03-20"), "Avslutad i PMO"),
        (3, "Lindqvist, Åsa", day("2025-04-01"), "Ändrad i PMO"),
    ]
    assert "Begärt slutdatum" in rows[1]["Gör så här"]
    assert counts_of(book) == {
        "Migreras": 0,
        "Redan överförd": 2,
        "varav att rätta i Millennium": 1,
        "Summa": 2,
        "Finns inte längre i PMO": 1,
    }


def test_unit_whose_posts_are_all_gone_gets_a_list_too(place: Site, out: Path) -> None:
    released(place, 1, unit=UNIT_CHILD_HEALTH)
    place.stage({"post_id": 5})
    changed(place, _1="")
    place.write(out)
    assert post_ids_of(book_of(out, UNIT_CHILD_HEALTH)) == {"Rätta i Millennium": [1]}


def test_withdrawn_posts_need_no_correction(place: Site, out: Path) -> None:
    released(place, 1, 2)
    place.stage({"post_id": 1}, released=(1, 2))
    changed(place, _1="beskrivning", _2="")
    batches.execute(place.store, schema.released_post.delete())
    place.write(out)
    assert book_of(out).sheetnames == ["Sammanfattning", OWN_LISTS]


def test_protected_identity_that_is_gone_is_masked(place: Site, out: Path) -> None:
    released(place, 1)
    batches.execute(place.store, schema.bokningsbegaran.update().values(sekretess=True))
    place.stage({"post_id": 5}, released=(1,))
    changed(place, _1="")
    place.write(out)
    (row,) = sheets_of(book_of(out))["Rätta i Millennium"]
    assert (row["Personnummer"], row["Namn"]) == ("Sekretess", "Sekretess")


def test_gone_post_whose_release_is_purged_is_named_by_its_id(place: Site, out: Path) -> None:
    released(place, 1)
    place.stage({"post_id": 5}, released=(1,))
    changed(place, _1="")
    for table in (schema.bokningsbegaran, schema.disposition):
        batches.execute(place.store, table.delete().where(table.c.batch_id == "pilot"))
    place.write(out)
    (row,) = sheets_of(book_of(out, "okand-enhet"))["Rätta i Millennium"]
    assert (row["Post-id"], row["Namn"], row["Boka före"]) == (1, None, None)


def rejected(place: Site, post_id: int, reason: str, answer: str = "rejected") -> None:
    key = f"{post_id:064d}"
    told = {"batch_id": "pilot", "post_id": post_id, "answer": answer, "at": batches.NOW, "contradictions": ""}
    batches.execute(place.store, schema.post_answer.insert().values(**told, receipt_key=key))
    words = {"batch_id": "pilot", "receipt_key": key, "reason": reason}
    batches.execute(place.store, schema.receipt_reason.insert().values(words))


def test_posts_that_the_receiver_rejected_come_with_its_reason(place: Site, out: Path) -> None:
    released(place, 1, 2, 3, 4)
    place.stage(
        {"post_id": 1}, {"post_id": 2}, {"post_id": 3, "sekretess": True}, {"post_id": 4}, released=(1, 2, 3, 4)
    )
    changed(place, _1="begart_slutdatum")
    rejected(place, 1, f"{FORMULA}\n ring")
    rejected(place, 3, "Nils Nilsson finns redan")
    rejected(place, 4, "", answer="contradicted")
    place.write(out)
    book = book_of(out)
    first, second = sheets_of(book)["Avvisade av Millennium"]
    assert (first["Post-id"], first["Anmärkning"]) == (1, "Avvisad av mottagaren")
    assert f"Mottagarens skäl: ”{FORMULA} ring”." in first["Gör så här"]
    assert (second["Post-id"], second["Namn"]) == (3, "Sekretess")
    assert "Nils" not in second["Gör så här"]
    assert "skyddade personuppgifter" in second["Gör så här"]
    assert "Rätta i Millennium" not in sheets_of(book)
    assert counts_of(book)["varav avvisade av Millennium"] == 2


@pytest.mark.parametrize("missing", ["released_change", "post_answer"])
def test_database_of_an_earlier_release_has_no_changes(place: Site, out: Path, missing: str) -> None:
    place.stage(RED)
    batches.execute(place.store, sa.text(f"DROP TABLE {missing}"))
    assert place.write(out).rows == 1


# The page


def test_sheet_is_made_for_the_screen_and_for_a4(place: Site, out: Path) -> None:
    context = posts.context(units=(replace(posts.unit(UNIT, GO_LIVE, "Pv"), enhet="Berg & Dal"),))
    book = written(Site(place.store, place.snapshots, context), out, RED, RED)
    page = book["Åtgärda i PMO"]
    assert page.freeze_panes == "E4"
    assert page.auto_filter.ref == "A3:M5"
    assert page.print_title_rows == "$3:$3"
    for sheet in book.worksheets:
        assert (sheet.page_setup.orientation, int(sheet.page_setup.paperSize)) == ("landscape", 9)
        assert (sheet.sheet_properties.pageSetUpPr.fitToPage, sheet.page_setup.fitToHeight) == (True, 0)
        assert sheet.oddHeader.left.text == "Berg && Dal"
        assert sheet.oddHeader.right.text == "Läget per 2024-10-01"
        assert sheet.oddFooter.center.text == "Sida &P av &N"
        assert sheet.oddFooter.left.text == "Innehåller personuppgifter"


def test_row_is_as_high_as_its_texts(place: Site, out: Path) -> None:
    book = written(place, out, {**RED, "anvandare": None}, {**RED, **NOT_MOVED, **ATTACHED, "filial": "Torget"})
    heights = book["Åtgärda i PMO"].row_dimensions
    assert heights[4].height < heights[5].height
    text = cell(book, "Åtgärda i PMO", "Gör så här", 1)
    assert text.alignment.wrap_text
    assert heights[5].height >= 12.5 * (text.value.count("\n") + 1)


def test_summary_leads_to_the_sheets(place: Site, out: Path) -> None:
    book = written(place, out, RED, ATTACHED)
    cells = [cell for (cell,) in book.worksheets[0].iter_rows(min_col=5, max_col=5)]
    links = [cell.hyperlink.location for cell in cells if cell.hyperlink]
    assert links == ["'Åtgärda i PMO'!A1", "'Migreras - kontrollera'!A1"]
    assert {link.split("'")[1] for link in links} == set(book.sheetnames[1:-1])


# Same input, same bytes; privacy; failure


def test_same_batch_gives_the_same_bytes(place: Site, tmp_path: Path) -> None:
    place.stage(RED, NOT_MOVED, ATTACHED, {"enhet_hsa_id": UNIT_LIVE})
    for name in ("a", "b"):
        place.write(tmp_path / name, with_csv=True)
    first, second = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("a", "b"))
    assert first == second
    assert len(first) == 4
    assert book_of(tmp_path / "a").properties.created == dt.datetime(2024, 10, 1)  # noqa: DTZ001 - as openpyxl has it


def test_only_their_owner_can_read_the_files(place: Site, out: Path) -> None:
    place.stage(RED)
    place.write(out, with_csv=True)
    assert {file.stat().st_mode & 0o777 for file in out.iterdir()} == {0o600}
    assert out.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("spoil", ["batch", "detail", "count", "finding"])
def test_a_batch_that_does_not_add_up_gives_no_list_at_all(place: Site, out: Path, spoil: str) -> None:
    place.stage(RED, NOT_MOVED, {"enhet_hsa_id": UNIT_LIVE})
    statement, message = {
        "batch": (
            schema.batch.update().values(started_at=batches.NOW + dt.timedelta(hours=1)),
            "batch natt-1 was begun again while it was read",
        ),
        "detail": (
            schema.disposition.delete().where(schema.disposition.c.post_id == 2),
            "have different posts between 1 and 2",
        ),
        "count": (
            schema.unit_summary.update().where(schema.unit_summary.c.enhet_hsa_id == UNIT_LIVE).values(posts=2),
            f"numbers of posts read and counted differ, in {UNIT_LIVE}",
        ),
        "finding": (schema.finding.delete(), "no finding explains it"),
    }[spoil]

    def spoiling(what: str, done: int, of: int) -> None:
        if spoil == "batch" and what == "posts read":
            batches.execute(place.store, statement)

    if spoil != "batch":
        batches.execute(place.store, statement)
    with pytest.raises(WorkListError, match=message):
        place.write(out, progress=spoiling)
    assert list(out.iterdir()) == []


def test_failure_half_way_leaves_earlier_lists_as_they_were(
    place: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.stage(RED, {"enhet_hsa_id": UNIT_LIVE, **RED})
    place.write(out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}

    def stop(what: str, done: int, of: int) -> None:
        if (what, done) == ("units written", 1):
            raise OSError(28, "No space left on device")

    with pytest.raises(WorkListError, match="No space left on device"):
        place.write(out, replace=True, progress=stop)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_a_sheet_that_is_too_small_is_an_error_and_not_a_shorter_list(
    place: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.stage(RED)
    # What xlsxwriter answers for row 1,048,577.
    monkeypatch.setattr("xlsxwriter.worksheet.Worksheet.write_number", lambda *_: -1)
    with pytest.raises(WorkListError, match="more posts than an Excel sheet can have"):
        place.write(out)


def test_only_a_batch_that_counts_for_readers_is_written(place: Site, out: Path) -> None:
    place.stage(RED)
    batches.set_state(place.store, "staged")
    with pytest.raises(StagingError, match="it counts only once it is verified"):
        place.write(out, batch_id=BATCH)


def test_a_missing_or_different_snapshot_is_named(place: Site, out: Path) -> None:
    place.stage(*[RED] * 7)
    part = place.snapshots / BATCH / "part-00001.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    with pytest.raises(SnapshotError, match=r"part-00001\.parquet in .* it is damaged or another file"):
        place.write(out)
    part.write_bytes((part.with_name("part-00000.parquet")).read_bytes())
    with pytest.raises(SnapshotError, match=r"part-00001\.parquet in .* it is damaged or another file"):
        place.write(out)
    part.write_bytes(whole)
    (place.snapshots / BATCH).rename(place.snapshots / "annan")
    with pytest.raises(SnapshotError, match=r"part-00000\.parquet in .*natt-1 is missing"):
        place.write(out)
    assert not list(out.glob("arbetslista*"))


def test_a_part_that_was_read_again_since_it_was_staged_is_not_shown_beside_older_findings(
    place: Site, out: Path
) -> None:
    place.stage(*[RED] * 7)
    files = BatchFiles(place.store, UPath(place.snapshots), BATCH)
    plan = files.plan()
    later = posts.table(*({"post_id": number, **RED} for number in (6, 7)))
    files.keep_part(write_part(files.folder, plan.partitions[1], [later]), plan)
    with pytest.raises(SnapshotError, match="lacks 1 of 2 partitions of batch natt-1"):
        place.write(out)


def test_batch_that_retention_has_emptied_is_named(place: Site, out: Path) -> None:
    place.stage(RED)
    batches.execute(place.store, schema.batch_partition.delete())
    with pytest.raises(SnapshotError, match="batch natt-1 no longer has posts: retention has removed them"):
        place.write(out)


def test_parts_that_an_earlier_plan_left_are_not_read(place: Site, out: Path) -> None:
    place.stage(*[RED] * 12)
    place.stage(*[RED] * 3)
    assert len(list((place.snapshots / BATCH).glob("part-*.parquet"))) == 3
    assert place.write(out).rows == 3


def test_columns_fit_the_widest_number_of_points() -> None:
    assert workbook.HEADER_ROW == 2
    assert sum(workbook._WIDTHS.values()) < 260


def test_rows_of_many_units_are_set_aside_in_several_files(
    place: Site, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waitlist.reports.worklist.rows._POSTS_OF_A_FILE", 2)
    units = [UNIT, UNIT_LIVE, UNIT_CHILD_HEALTH, UNIT_WITHOUT_GO_LIVE, UNIT_UNLISTED]
    place.stage(*({"enhet_hsa_id": units[number % 5], **RED} for number in range(20)))
    assert place.write(out).rows == 20
    for number, unit in enumerate(units):
        assert sorted(post_ids_of(book_of(out, unit))["Åtgärda i PMO"]) == [number + 1 + 5 * turn for turn in range(4)]
        assert counts_of(book_of(out, unit))["Summa"] == 4


def test_no_text_of_a_list_has_two_full_stops(place: Site, out: Path) -> None:
    book = written(place, out, {"boka_from": None}, {"boka_fore": None}, RED)
    assert not [
        text for row in sheets_of(book)["Åtgärda i PMO"] for text in row.values() if re.search(r"\.\.", str(text))
    ]


def test_command_says_why_it_fails(place: Site, out: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "waitlist.reports.worklist", "--staging", str(place.store.engine.url)),
            *("--snapshots", str(place.snapshots), "--out", str(out)),
        ],
        cwd=paths.PROJECT / "include", capture_output=True, encoding="utf-8", check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "no dry run has been verified yet" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
