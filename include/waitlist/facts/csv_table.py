"""CSV files that people edit by hand: every fault is recorded with its line, and nothing is guessed.

The whole file is read, and each cell is checked against the type that it must have. Reading goes on after a fault, also
after one of the encoding or the separator, so that one run reports everything that must be corrected.
"""

import csv
import datetime as dt
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from waitlist import paths
from waitlist.columns.forms import FORMS
from waitlist.facts.number_patterns import DIGITS, NumberPattern, PatternError, numbers_of
from waitlist.files import read_kept

T = TypeVar("T")

EARLIEST: Final = dt.date(2000, 1, 1)
LATEST: Final = dt.date(2199, 12, 31)
"""The earliest and latest date in a mapping file: date arithmetic cannot overflow, and a mistyped year is a fault."""

_ISO_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,4}")
_FITS_NOTHING: Final = re.compile(r"(?!)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Every character of Unicode's category Cc."""
_SHOWN: Final = 40
_AS_EXCEL_SAVES: Final = "cp1252"
_OTHER_SEPARATORS: Final = {";": "semicolons", "\t": "tabs"}


def own_or_projects(directory: Path, name: str) -> Path:
    """Return a folder's mapping file; where it has none, the project's own."""
    own = directory / name
    return own if own.exists() else paths.MAPPINGS / name


class CsvTable:
    """The rows of a file and the faults found in it."""

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        *,
        free_text: Collection[str] = (),
        later: Collection[str] = (),
        content: bytes | None = None,
        renamed: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Read a file.

        Args:
            path: UTF-8 with or without a byte order mark, separated by commas.
            columns: what the header must name, in any order.
            free_text: columns whose cells may have line breaks.
            later: columns that a header from an earlier release lacks; their cells are then empty.
            content: the bytes of the file, where they have been read already; then only the name of the path counts.
            renamed: the name in ``columns`` of each column that the header names otherwise; empty for one that is
                not read.
        """
        self.path = path
        self.rows: list[CsvRow] = []
        self.whole = True
        """Whether every row could be read, with or without faults in its cells."""
        self._columns = columns
        self._free_text = free_text
        self._later = frozenset(later)
        self._renamed = renamed
        self._faults: list[tuple[int, str]] = []
        self._unique: dict[tuple[str, Hashable], int] = {}
        text = self._text() if content is None else self._text_of(content)
        if text is not None:
            self._read(text)

    def faults(self) -> list[str]:
        """Return ``file:line: what is wrong`` in the order of the lines."""
        in_order = sorted(self._faults, key=lambda fault: fault[0])
        return [f"{self.path.name}:{line}: {what}" for line, what in in_order]

    def fault(self, line: int, what: str) -> None:
        """Record a fault."""
        self._faults.append((line, what))

    def without_faults(self, read: Iterable[T]) -> list[T]:
        """Return what was read of the rows that have no fault, given what was read of each row."""
        faulty = {line for line, _ in self._faults}
        return [made for row, made in zip(self.rows, read, strict=True) if row.line not in faulty]

    def first_line(self, name: str, key: Hashable, line: int) -> int:
        """Return the line on which a key of this name first appeared."""
        return self._unique.setdefault((name, key), line)

    def _unreadable(self, line: int, what: str) -> None:
        self.whole = False
        self.fault(line, what)

    def _text(self) -> str | None:
        try:
            content = read_kept(self.path)
        except FileNotFoundError:
            self._unreadable(1, "the file is missing")
            return None
        except OSError as error:
            self._unreadable(1, f"the file cannot be read: {error.strerror}")
            return None
        return self._text_of(content)

    def _text_of(self, content: bytes) -> str:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            return self._decoded(content, content.count(b"\n", 0, error.start) + 1)

    def _decoded(self, content: bytes, first: int) -> str:
        """Return the text of a file that is not UTF-8, so that its other faults are found too."""
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            self._unreadable(1, "not UTF-8")
            return content.decode("utf-16", "replace")
        lines, others = [], 0
        for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
            try:
                lines.append(line.decode("utf-8"))
            except UnicodeDecodeError:
                lines.append(line.decode(_AS_EXCEL_SAVES, "replace"))
                others += 1
        more = f", nor {'is one line' if others == 2 else f'are {others - 1} lines'} below" if others > 1 else ""
        self._unreadable(first, f"not UTF-8{more}")
        return "\n".join(lines)

    def _read(self, text: str, separator: str = ",") -> None:
        header: list[str] | None = None
        for line, cells in self._lines(text, separator):
            if header is None:
                header = [cell.strip() for cell in cells]
                other = next((sign for sign in _OTHER_SEPARATORS if len(header) == 1 and sign in header[0]), None)
                if other is not None and separator == ",":
                    self.fault(line, f"separated by {_OTHER_SEPARATORS[other]} where commas are wanted")
                    self._read(text, other)
                    return
                header = [self._renamed.get(name, name) for name in header]
                if not self._has_columns(line, [name for name in header if name or not self._renamed]):
                    return
            elif len(cells) != len(header):
                self._unreadable(line, f"{len(cells)} fields where the header has {len(header)}")
            else:
                named = ((name, cell) for name, cell in zip(header, cells, strict=True) if name)
                self._add_row(line, {name: _canonical(name, cell) for name, cell in named})
        if header is None and self.whole:
            self._has_columns(1, [])

    def _lines(self, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the fields of each row that is not empty, with the row's first line."""
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        last = 0
        try:
            for cells in reader:
                first, last = last + 1, reader.line_num
                # A spreadsheet writes a row of commas for each row whose cells were emptied.
                if any(cell.strip() for cell in cells):
                    yield first, cells
        except csv.Error as error:
            self._unreadable(last + 1, f"no CSV: {error}")

    def _has_columns(self, line: int, header: Sequence[str]) -> bool:
        faults = {
            "missing": set(self._columns) - self._later - set(header),
            "unknown": set(header) - set(self._columns),
            "repeated": {column for column, times in Counter(header).items() if times > 1},
        }
        found = [f"columns {what}: {', '.join(map(shown, sorted(names)))}" for what, names in faults.items() if names]
        if found:
            self._unreadable(line, "; ".join(found))
        return not found

    def _add_row(self, line: int, cells: dict[str, str]) -> None:
        for column, cell in cells.items():
            if column not in self._free_text and _CONTROL.search(cell):
                self.fault(line, f"{column}: a line break or another control character")
        self.rows.append(CsvRow(self, line, dict.fromkeys(self._later, "") | cells))


class CsvRow:
    """A row's cells by column: trimmed, in Unicode form NFC, HSA-ids and contact forms in their canonical form.

    A method that reads a cell records a fault where the cell is wrong, and then returns a default of the right type.
    """

    def __init__(self, table: CsvTable, line: int, cells: Mapping[str, str]) -> None:
        self._table = table
        self.line = line
        self.cells = cells

    def fault(self, what: str) -> None:
        """Record a fault on the row's first line."""
        self._table.fault(self.line, what)

    def unique(self, name: str, key: Hashable) -> None:
        """Require that no earlier row has the key."""
        first = self._table.first_line(name, key, self.line)
        if first != self.line:
            self.fault(f"{name}: the same as on line {first}")

    def required(self, column: str) -> str:
        """Return a text that must not be empty."""
        if not self.cells[column]:
            self.fault(f"{column}: empty")
        return self.cells[column]

    def optional(self, column: str) -> str | None:
        """Return a text, None for an empty cell."""
        return self.cells[column] or None

    def one_of(self, column: str, values: Sequence[str]) -> str:
        """Return a text that must be one of some values."""
        text = self.required(column)
        if text and text not in values:
            self.fault(f"{column}: {shown(text)} is not one of {', '.join(values)}")
        return text

    def optional_one_of(self, column: str, values: Sequence[str]) -> str | None:
        """Return one of some values, None for an empty cell."""
        return self.one_of(column, values) if self.cells[column] else None

    def some_of(self, column: str, values: Sequence[str]) -> frozenset[str]:
        """Return one or more of some values, separated by semicolons."""
        texts = [text.strip() for text in self.required(column).split(";")]
        unknown = sorted(set(texts) - set(values)) if self.cells[column] else []
        if unknown:
            self.fault(f"{column}: {', '.join(map(shown, unknown))} not among {', '.join(values)}")
        return frozenset(texts)

    def whole_number(self, column: str) -> int | None:
        """Return a number of at most four digits, None for an empty cell."""
        text = self.cells[column]
        if not text:
            return None
        if not _WHOLE_NUMBER.fullmatch(text):
            self.fault(f"{column}: {shown(text)} is no whole number 0-9999")
            return None
        return int(text)

    def date(self, column: str) -> dt.date | None:
        """Return a date written ``YYYY-MM-DD``, from ``EARLIEST`` to ``LATEST``; None for an empty cell."""
        text = self.cells[column]
        if not text:
            return None
        try:
            # The standard library takes other ISO forms too, such as week dates.
            day = dt.date.fromisoformat(text) if _ISO_DATE.fullmatch(text) else None
        except ValueError:
            day = None
        if day is None:
            self.fault(f"{column}: {shown(text)} is no date YYYY-MM-DD")
        elif not EARLIEST <= day <= LATEST:
            self.fault(f"{column}: {day} is not between {EARLIEST} and {LATEST}")
            return None
        return day

    def pattern(self, column: str) -> re.Pattern[str]:
        """Return a regular expression that RE2 accepts too: in RE2 no text can make a match slow."""
        text = self.required(column)
        try:
            compiled = re.compile(text)
            pc.match_substring_regex(pa.array([""]), text)
        except (re.error, OverflowError, RecursionError, pa.ArrowInvalid) as error:
            self.fault(f"{column}: {shown(text)} is no regular expression: {error}")
            return _FITS_NOTHING
        return compiled

    def numbers(self, column: str, most: int) -> NumberPattern:
        """Return a pattern over numbers of twelve digits that matches at least one number and at most ``most``."""
        text = self.required(column)
        try:
            numbers = numbers_of(text, most=most)
        except PatternError as error:
            self.fault(f"{column}: {shown(text)} is no regular expression over digits: {error}")
            numbers = ()
        else:
            if len(numbers) > most:
                self.fault(f"{column}: {shown(text)} matches more than {most} numbers")
            elif text and not numbers:
                self.fault(f"{column}: {shown(text)} matches no number of {DIGITS} digits")
        return NumberPattern(text, numbers)


def shown(text: str) -> str:
    """Return a text as a fault quotes it, shortened."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _canonical(column: str, cell: str) -> str:
    text = unicodedata.normalize("NFC", cell).strip()
    return FORMS[column](text) if column in FORMS else text
