"""One unit's work list as CSV for Swedish Excel: UTF-8 with byte order mark, separated by semicolons.

A spreadsheet reads a CSV cell that begins with ``=``, ``+``, ``-`` or ``@`` as a formula, and makes a number, a date,
a time or a truth value of any text that looks like one: ``1E23``, ``3-4``, ``MARS1``. Such a text gets an apostrophe
before it, as OWASP advises against CSV injection, and every cell is quoted. Booking dates that are real dates stay
unchanged: there a spreadsheet's date is intended.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from waitlist.reports.worklist.folder import open_new
from waitlist.reports.worklist.rows import SHEETS
from waitlist.swedish.words import WORK_LIST_COLUMNS, WORK_LIST_TEXTS

COLUMNS: Final = (
    "sheet", "done", "post_id", "personnummer", "patient", "kategori", "boka_from", "boka_fore", "kontaktform",
    "anvandare", "filial", "unit_in_pmo", "recommended_list", "label", "action", "others", "note", "since",
)  # fmt: skip

_DATES: Final = {"boka_from": "from_day", "boka_fore": "fore_day"}
# Full-width signs too: some input methods turn them into the ASCII ones. A # begins an error value.
_FORMULA: Final = re.compile(r"\s*[=+\-@#＝＋－＠＃]|[\t\r\n]")
_PERSONNUMMER: Final = re.compile(r"(?:\d{2})?\d{6}[-+]\d{4}")
"""Digits with a sign that no spreadsheet converts."""
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_TRUTH_VALUES: Final = frozenset({"true", "false", "sant", "falskt"})
_WORDS_OF_VALUES: Final = frozenset(
    {
        "jan", "januari", "january", "feb", "februari", "february", "mar", "mars", "march", "apr", "april", "maj",
        "may", "jun", "juni", "june", "jul", "juli", "july", "aug", "augusti", "august", "sep", "sept", "september",
        "okt", "oct", "oktober", "october", "nov", "november", "dec", "december",
        "mån", "måndag", "tis", "tisdag", "ons", "onsdag", "tor", "tors", "torsdag", "fre", "fredag", "lör", "lördag",
        "sön", "söndag", "mon", "monday", "tue", "tuesday", "wed", "wednesday", "thu", "thursday", "fri", "friday",
        "sat", "saturday", "sun", "sunday",
        "am", "pm", "fm", "em", "kr", "kronor", "sek", "eur", "usd", "gbp", "nok", "dkk",
    }
)  # fmt: skip
"""Words in dates, times and amounts, in Swedish and English; with any other word a cell stays a text."""
_LONGEST_NUMBER: Final = 10**11
"""A number with more digits is shown as 1E+11, and is stored in that form when the sheet is saved as CSV."""
_ROWS_AT_A_TIME: Final = 2_000


def write_csv(path: Path, rows: pa.Table) -> None:
    """Write a unit's rows of ``rows.ROWS``, sheet after sheet, to a new file.

    Raises:
        OSError: the disk refused.
    """
    with open_new(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        writer = csv.writer(text, delimiter=";", quoting=csv.QUOTE_ALL)
        writer.writerow([WORK_LIST_COLUMNS[name] for name in COLUMNS])
        for some in rows.to_batches(max_chunksize=_ROWS_AT_A_TIME):
            for row in some.to_pylist():
                writer.writerow([_cell(name, row) for name in COLUMNS])


def _cell(name: str, row: Mapping[str, Any]) -> str:
    if name == "sheet":
        return WORK_LIST_TEXTS[SHEETS[row["sheet"]]].title
    if name == "since":
        return "" if row[name] is None else str(row[name].isoformat())
    if name in _DATES and row[_DATES[name]] is not None:
        return str(row[_DATES[name]].isoformat())
    if name == "post_id":
        number = row["post_id"]
        return str(number) if abs(number) < _LONGEST_NUMBER else f"'{number}"
    return harmless(row[name].replace("\n", " ") if name == "action" else row[name])


def harmless(text: str | None) -> str:
    """Return the text in a form that a spreadsheet keeps as a text."""
    if not text:
        return ""
    return f"'{text}" if _FORMULA.match(text) or _becomes_a_value(text) else text


def _becomes_a_value(text: str) -> bool:
    """Tell whether a spreadsheet may make a number, a date, a time, an amount or a truth value of a text."""
    words = [word.casefold() for word in _WORD.findall(unicodedata.normalize("NFKC", text))]
    if not any(sign.isnumeric() for sign in text):
        return len(words) == 1 and words[0] in _TRUTH_VALUES
    return _WORDS_OF_VALUES.issuperset(words) and not _PERSONNUMMER.fullmatch(text)
