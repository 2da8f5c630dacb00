"""Work lists as CSV: what a spreadsheet makes of each text."""

import csv
import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from tests.support.posts import official
from tests.support.worklists import csv_of, file_of

from waitlist.messages import WORK_LIST_COLUMNS
from waitlist.worklist.csv_file import COLUMNS, harmless, write_csv
from waitlist.worklist.rows import ROWS

BORN = dt.date(1980, 7, 7)


@pytest.mark.parametrize(
    "text", ["=1+1", "+46", "-", "@SUM(A1)", "\tx", "\rx", "\nx", " =1+1", "=cmd|' /C calc'!A0", "＝1+1", "＠x"]
)
def test_formula_gets_an_apostrophe(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("digits", [official(BORN, separator=""), f"19{official(BORN, separator='')}", "007"])
def test_number_of_digits_alone_keeps_its_first_zeros(digits: str) -> None:
    assert harmless(digits) == f"'{digits}"


@pytest.mark.parametrize("text", ["Åsa Öberg", official(BORN), "a=b", "2025-01-20", "• Rätta; sedan", '"citat"'])
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert harmless(text) == text


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


def test_every_cell_stands_in_quotes(tmp_path: Path) -> None:
    path = file_of(tmp_path, suffix="csv")
    write_csv(path, ROWS.empty_table())
    assert all(cell.startswith('"') for cell in path.read_text(encoding="utf-8-sig").strip().split(";"))
    assert csv.Sniffer().sniff(path.read_text(encoding="utf-8-sig")).delimiter == ";"
