"""``bokningsbegaran.csv``: chapter 6's columns by their Swedish names.

UTF-8 with a byte order mark and commas, so that spreadsheets show it as it is. Values are not changed: a receiver that
opens the file in a spreadsheet must read every column as text.
"""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from waitlist.judge.request_columns import COLUMNS
from waitlist.release.handoff.content import Content, Handed, Row

FILE: Final = "bokningsbegaran.csv"

_MARK: Final = "sekretess"
_COLUMNS: Final = tuple(column for column in COLUMNS if column.name != _MARK)
HEADER: Final = {"post_id": "Post-id", **{column.name: column.label for column in _COLUMNS}, _MARK: "Sekretess"}
"""The file's columns in their order, by their names in staging."""


def profile(_content: Content) -> Handed:
    """Return the file."""
    return Handed(FILE, _lines, b"\xef\xbb\xbf" + _written([tuple(HEADER.values())]))


def _lines(rows: Sequence[Row]) -> bytes:
    return _written(
        [row["post_id"], *(row[column.name] for column in _COLUMNS), "Ja" if row[_MARK] else "Nej"] for row in rows
    )


def _written(lines: Any) -> bytes:  # noqa: ANN401 - cells of any type, as csv takes them
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(lines)
    return text.getvalue().encode()
