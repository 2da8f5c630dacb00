"""One unit's work list as CSV for Swedish Excel: UTF-8 with byte order mark, separated by semicolons.

A spreadsheet reads a CSV cell that begins with ``=``, ``+``, ``-`` or ``@`` as a formula, and one of digits alone as
a number whose first zeros go. Such a text gets an apostrophe before it, as OWASP advises against CSV injection, and
every cell stands in quotes.
"""

import csv
import io
import re
from pathlib import Path
from typing import Final

import pyarrow as pa

from waitlist.messages import WORK_LIST_COLUMNS, WORK_LIST_TEXTS
from waitlist.worklist.folder import open_new
from waitlist.worklist.rows import SHEETS

COLUMNS: Final = (
    "sheet", "done", "post_id", "personnummer", "patient", "kategori", "boka_from", "boka_fore", "kontaktform",
    "anvandare", "filial", "unit_in_pmo", "recommended_list", "label", "action", "others", "note",
)  # fmt: skip

_DATES: Final = {"boka_from": "from_day", "boka_fore": "fore_day"}
# The full-width signs too: some input methods turn them into the plain ones.
_FORMULA: Final = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")
_ALL_DIGITS: Final = re.compile(r"\d+")
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
                known = {"sheet": WORK_LIST_TEXTS[SHEETS[row["sheet"]]].title, "done": "", "note": ""}
                days = {name: row[day].isoformat() for name, day in _DATES.items() if row[day] is not None}
                told = {**row, **days, **known, "action": row["action"].replace("\n", " ")}
                writer.writerow([told[name] if name == "post_id" else harmless(told[name]) for name in COLUMNS])


def harmless(text: str | None) -> str:
    """Return a text that a spreadsheet takes for a text."""
    if not text:
        return ""
    return f"'{text}" if _FORMULA.match(text) or _ALL_DIGITS.fullmatch(text) else text
