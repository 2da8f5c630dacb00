"""Work lists as CSV: how a spreadsheet reads each text."""

import csv
import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.posts import official
from tests.support.worklists import csv_of, file_of

from waitlist.reports.worklist.csv_file import COLUMNS, harmless, write_csv
from waitlist.reports.worklist.rows import ROWS
from waitlist.swedish.words import WORK_LIST_COLUMNS

BORN = dt.date(1980, 7, 7)


@pytest.mark.parametrize(
    "text", ["=1+1", "+46", "-", "@SUM(A1)", "\tx", "\rx", "\nx", " =1+1", "=cmd|' /C calc'!A0", "＝1+1", "＠x"]
)
def test_formula_gets_an_apostrophe(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("digits", [official(BORN, separator=""), f"19{official(BORN, separator='')}", "007"])
def test_number_of_digits_alone_keeps_its_first_zeros(digits: str) -> None:
    assert harmless(digits) == f"'{digits}"


@pytest.mark.parametrize(
    "text",
    [
        "1E23", "1e5", "2E+10", "3-4", "3/4", "3.4", "1/2", "1 1/2", "12:30", "12:30:15", "3 pm", "3p", "12 000",
        "12\u00a0000", "1,5", "5 %", "5%", "(5)", "100 kr", "kr 100", "$3", "€ 5", "3 maj", "3 Maj 2024", "maj-24",
        "MARS1", "SEPT2", "DEC1", "okt 3", "2025-01-20", "20250120", "2025-02", "1-2384", "fre 3 maj", "½", "²",
        "１２３", "SANT", "sant", "Falskt", " TRUE ", "#N/A", "#SAKNAS!", "9223372036854775807", "1.2.3",
        "1'000", "0x10", "1_000",
    ],
)  # fmt: skip
def test_text_that_a_spreadsheet_makes_a_value_of_gets_an_apostrophe(text: str) -> None:
    assert harmless(text) == f"'{text}"


MONTHS = ["jan", "feb", "mars", "apr", "maj", "juni", "aug", "sept", "okt", "december", "May", "OCT", "March"]
SIGNS = st.sampled_from([" ", "-", "/", ".", ",", ":", "%", "\u00a0", " $", " kr "])
NUMBERS = st.integers(0, 99_999).map(str) | st.from_regex(r"[0-9]{1,3}[eE][+-]?[0-9]{1,3}", fullmatch=True)


@given(NUMBERS, st.lists(st.tuples(SIGNS, NUMBERS | st.sampled_from(MONTHS)), max_size=4))
def test_no_number_date_time_or_amount_is_left_to_a_spreadsheet(first: str, rest: list[tuple[str, str]]) -> None:
    text = first + "".join(sign + part for sign, part in rest)
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize(
    "text",
    [
        "Åsa Öberg", official(BORN), f"19{official(BORN)}", "a=b", "• Rätta; sedan", '"citat"', "BVC 10 mån",
        "Läkare – kö 2", "24-timmars blodtrycksmätning", "5-6 år", "SDV Bhv Ssk Återbesök (2,5 år)", "May",
        "Maj Jonsson", "SE2120009999-DEMO0001", "Sant och sådant",
    ],
)  # fmt: skip
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.parametrize(
    ("post_id", "written"),
    [
        (7, "7"),
        (99_999_999_999, "99999999999"),
        (100_000_000_000, "'100000000000"),
        (2**63 - 1, "'9223372036854775807"),
        (-(2**63), "'-9223372036854775808"),
    ],
)
def test_a_post_id_is_shown_with_all_its_digits(tmp_path: Path, post_id: int, written: str) -> None:
    row = dict.fromkeys(ROWS.names) | {"unit": 0, "sheet": 0, "undated": False, "post_id": post_id, "action": "Rätta."}
    write_csv(file_of(tmp_path, suffix="csv"), pa.Table.from_pylist([row], schema=ROWS))
    assert csv_of(tmp_path)[0]["Post-id"] == written


def test_a_booking_date_is_a_date_there_too_and_another_text_stays_as_written(tmp_path: Path) -> None:
    row = dict.fromkeys(ROWS.names) | {
        "unit": 0, "sheet": 0, "undated": True, "post_id": 7, "action": "Rätta.", "boka_from": "3-4",
        "boka_fore": "2025-01-20 00:00:00", "fore_day": dt.date(2025, 1, 20),
    }  # fmt: skip
    write_csv(file_of(tmp_path, suffix="csv"), pa.Table.from_pylist([row], schema=ROWS))
    (read,) = csv_of(tmp_path)
    assert (read["Boka fr.o.m."], read["Boka före"]) == ("'3-4", "2025-01-20")


def test_no_text_is_an_empty_cell() -> None:
    assert (harmless(None), harmless("")) == ("", "")


def test_file_is_what_swedish_excel_opens(tmp_path: Path) -> None:
    row = dict.fromkeys(ROWS.names) | {
        "unit": 0, "sheet": 0, "undated": False, "post_id": 7, "patient": 'Öberg; "Åsa"', "action": "• Ett\n• Två",
    }  # fmt: skip
    path = file_of(tmp_path, suffix="csv")
    write_csv(path, pa.Table.from_pylist([row], schema=ROWS))
    raw = path.read_bytes()
    assert raw.startswith(b'\xef\xbb\xbf"Lista";"Klart";"Post-id"')
    assert raw.count(b"\r\n") == 2
    assert path.stat().st_mode & 0o777 == 0o600
    (read,) = csv_of(tmp_path)
    assert list(read) == [WORK_LIST_COLUMNS[name] for name in COLUMNS]
    assert (read["Lista"], read["Namn"], read["Gör så här"]) == ("Åtgärda i PMO", 'Öberg; "Åsa"', "• Ett • Två")


def test_every_cell_is_in_quotes(tmp_path: Path) -> None:
    path = file_of(tmp_path, suffix="csv")
    write_csv(path, ROWS.empty_table())
    assert all(cell.startswith('"') for cell in path.read_text(encoding="utf-8-sig").strip().split(";"))
    assert csv.Sniffer().sniff(path.read_text(encoding="utf-8-sig")).delimiter == ";"
