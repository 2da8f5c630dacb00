"""One unit's work list as an Excel workbook, for reading on a screen and for printing on A4, landscape.

Every text is written as a text, in cells whose format is text. So a name that begins with ``=`` stays a name, also
after an edit of the cell. There are no formulas. The same rows give the same bytes: the document's date of creation is
the as-of date.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.utility import xl_pixel_width
from xlsxwriter.worksheet import Worksheet

from waitlist.exceptions import WorkListError
from waitlist.facts.mappings import SdvList
from waitlist.judge.rules import Disposition
from waitlist.reports.worklist.advice import Sheet
from waitlist.reports.worklist.posts import UNKNOWN, UnitFacts
from waitlist.reports.worklist.rows import SHEETS
from waitlist.staging import Batch, BatchKind
from waitlist.swedish.words import (
    CONTACT_FORM_LABELS,
    DISPOSITION_LABELS,
    DISPOSITION_TEXTS,
    UNKNOWN_UNIT_NAME,
    WORK_LIST_ASK,
    WORK_LIST_COLUMNS,
    WORK_LIST_FIX_WHEN_LIVE,
    WORK_LIST_HOW_TO_READ,
    WORK_LIST_LIST_COLUMNS,
    WORK_LIST_MASKED,
    WORK_LIST_OWED_MEANING,
    WORK_LIST_OWN_LISTS,
    WORK_LIST_SAY_OUTCOME,
    WORK_LIST_TEXTS,
)

SUMMARY: Final = "Sammanfattning"
HEADER_ROW: Final = 2
"""The row of the column names on every sheet of posts, counted from 0."""

_WIDTHS: Final[Mapping[str, float]] = {
    "done": 9.5,
    "post_id": 8.5,
    "personnummer": 13,
    "patient": 15,
    "kategori": 17,
    "boka_from": 10.5,
    "boka_fore": 10.5,
    "unit_in_pmo": 20,
    "recommended_list": 19,
    "label": 15,
    "action": 41,
    "note": 13,
    "since": 10.5,
    "kontaktform": 10.5,
    "anvandare": 16.5,
}
"""The columns of a sheet of posts, in their order. The branch is in the column of the action about it."""
LAST_PRINTED: Final = "note"
"""The columns up to this one fit on A4, landscape, at about their own size; the others are for the screen."""
_FROZEN: Final = "patient"
_DATES: Final = {"boka_from": "from_day", "boka_fore": "fore_day", "since": "since"}
_MASKED: Final = ("personnummer", "patient")

OWN_LISTS: Final = "SDV-listor"
"""The title of the sheet with the unit's own SDV lists."""
_LIST_WIDTHS: Final = (44, 20, 34, 14, 26)
_SUMMARY_WIDTHS: Final = (34, 12, 52, 62, 28)
_SUMMARY_ORDER: Final = (
    Disposition.FIX_IN_PMO,
    Disposition.MOVE_TO_SDV_LIST,
    Disposition.BOOK_IN_PMO,
    Disposition.BOOK_IN_MILLENNIUM,
    Disposition.HANDLE_MANUALLY,
    Disposition.PLAN_UNIT,
    Disposition.MIGRATE,
    Disposition.LEAVE,
    Disposition.ALREADY_RELEASED,
)
"""Dispositions that need an action come first."""
_SIDE_SHEETS: Final = {
    Disposition.PLAN_UNIT: ((Sheet.PLAN_UNIT, "varav att rätta redan nu"),),
    Disposition.MIGRATE: ((Sheet.CHECK, "varav att kontrollera"),),
    Disposition.LEAVE: ((Sheet.TAKE_OFF_SDV_LIST, "varav på en SDV-väntelista"),),
    Disposition.ALREADY_RELEASED: (
        (Sheet.REJECTED_BY_MILLENNIUM, "varav avvisade av Millennium"),
        (Sheet.CORRECT_IN_MILLENNIUM, "varav att rätta i Millennium"),
    ),
}
"""Dispositions of which only some posts are on a sheet."""

_FIRST_DAY_OF_EXCEL: Final = dt.date(1900, 1, 1)
_EXACT_NUMBERS: Final = 10**15
_HEADER_PART: Final = 60
_ROWS_AT_A_TIME: Final = 2_000
_A4: Final = 9
_LINE_POINTS: Final = 12.5
_MOST_POINTS: Final = 400.0
_SPACE: Final = 3

_TEXT: Final = {"num_format": "@"}
_DATE: Final = {"num_format": "yyyy-mm-dd", "align": "left"}
_COUNT: Final = {"num_format": "# ##0", "align": "right", "indent": 1}
_BOX: Final = {"border": 1, "border_color": "#BFBFBF"}
_WRAPPED: Final = {**_BOX, "text_wrap": True}
_SUM: Final = {**_BOX, "bold": True, "bg_color": "#E7E6E6"}
_RED: Final = {"bold": True, "font_color": "#C00000"}
_DARK: Final = "#1F3864"
_FORMATS: Final[Mapping[str, Mapping[str, object]]] = {
    "plain": _TEXT,
    "bold": {**_TEXT, "bold": True},
    "title": {**_TEXT, "bold": True, "font_size": 15, "font_color": _DARK},
    "lead": {**_TEXT, "text_wrap": True, "valign": "vcenter"},
    "plain_date": _DATE,
    "heading": {**_BOX, "bold": True, "font_color": "white", "bg_color": _DARK, "valign": "vcenter"},
    "text": {**_TEXT, **_WRAPPED},
    "masked": {**_TEXT, **_WRAPPED, **_RED},
    "date": {**_DATE, **_BOX},
    "passed": {**_DATE, **_BOX, **_RED},
    "number": {**_BOX, "num_format": "0", "align": "left"},
    "count": {**_COUNT, **_BOX},
    "part": {**_TEXT, **_WRAPPED, "italic": True, "align": "left", "indent": 1},
    "part_count": {**_COUNT, **_BOX, "italic": True},
    "sum": {**_TEXT, **_SUM},
    "sum_count": {**_COUNT, **_SUM},
    "link": {**_TEXT, **_WRAPPED, "font_color": "#0563C1", "underline": 1},
}


def write_workbook(
    file: IO[bytes], batch: Batch, unit: UnitFacts, rows: pa.Table, *, beside: Path | None = None
) -> None:
    """Write a unit's work list.

    Args:
        file: an empty file, or memory.
        batch: the batch.
        unit: the unit, with its counts.
        rows: its rows of ``rows.ROWS``, sheet after sheet.
        beside: a folder for temporary files, which contain personal data and have names; None for memory instead, about
            8 KB for each row.

    Raises:
        WorkListError: a sheet has more posts than Excel allows.
        OSError, XlsxWriterException: the disk refused.
    """
    how = {"in_memory": True} if beside is None else {"constant_memory": True, "tmpdir": str(beside)}
    book = xlsxwriter.Workbook(file, how)
    try:
        layout = _Layout(book, batch, unit)
        layout.write_summary()
        for place, sheet in enumerate(SHEETS):
            of_sheet = rows.filter(pc.equal(rows["sheet"], place))
            if of_sheet.num_rows:
                layout.write_posts(sheet, of_sheet)
        layout.write_lists()
    finally:
        # This closes its temporary files too.
        book.close()


class _Layout:
    """The sheets of one workbook."""

    def __init__(self, book: xlsxwriter.Workbook, batch: Batch, unit: UnitFacts) -> None:
        self._book = book
        self._batch = batch
        self._unit = unit
        self._live = unit.go_live is not None and unit.go_live <= batch.as_of
        self._name = unit.name if unit.key != UNKNOWN else UNKNOWN_UNIT_NAME
        self._formats: dict[str, Format] = {
            name: book.add_format({"font_name": "Calibri", "font_size": 10, "valign": "top", **form})
            for name, form in _FORMATS.items()
        }
        created = dt.datetime.combine(batch.as_of, dt.time())
        book.set_properties({"title": f"Arbetslista {self._name}", "created": created})

    def write_summary(self) -> None:
        """Write the first sheet: what the list is, what happens with the posts, and how to read the list."""
        page = self._page(SUMMARY, _SUMMARY_WIDTHS)
        self._text(page, 0, 0, f"Arbetslista: {self._name}", "title")
        row = 1
        for name, value in self._facts():
            row += 1
            self._text(page, row, 0, name, "bold")
            if isinstance(value, dt.date):
                self._date(page, row, 1, value, "plain_date")
            else:
                self._text(page, row, 1, value, "plain")
        row = self._write_counts(page, row + 2)
        self._text(page, row + 2, 0, "Så läser du listan", "bold")
        for place, line in enumerate(WORK_LIST_HOW_TO_READ, start=row + 3):
            self._text(page, place, 0, f"• {line}", "plain")

    def write_posts(self, sheet: Sheet, rows: pa.Table) -> None:
        """Write a sheet of posts."""
        text = WORK_LIST_TEXTS[sheet]
        columns = columns_of(sheet, rows)
        last = len(columns) - 1
        page = self._page(text.title, [_WIDTHS[name] for name in columns])
        self._text(page, 0, 0, f"{text.title}: {self._name}", "title")
        printed = columns.index(LAST_PRINTED)
        page.set_row(1, 30)
        page.merge_range(1, 0, 1, printed, "", self._formats["lead"])
        self._text(page, 1, 0, self._lead(sheet), "lead")
        page.set_row(HEADER_ROW, 18)
        for place, name in enumerate(columns):
            self._text(page, HEADER_ROW, place, WORK_LIST_COLUMNS[name], "heading")
        for number, row in enumerate(_records(rows), start=HEADER_ROW + 1):
            texts = {name: _cell_text(name, row) for name in columns}
            page.set_row(number, _height((words, _WIDTHS[name]) for name, words in texts.items()))
            for place, name in enumerate(columns):
                self._cell(page, (number, place), name, texts[name], row)
        page.autofilter(HEADER_ROW, 0, HEADER_ROW + rows.num_rows, last)
        page.freeze_panes(HEADER_ROW + 1, columns.index(_FROZEN) + 1)
        page.repeat_rows(HEADER_ROW)
        page.print_area(0, 0, HEADER_ROW + rows.num_rows, printed)
        if "recommended_list" in columns and self._unit.lists:
            place = columns.index("recommended_list")
            choice = f"='{OWN_LISTS}'!$A${HEADER_ROW + 2}:$A${HEADER_ROW + 1 + len(self._unit.lists)}"
            # A hint and no bar: staff may write what they have agreed on.
            rule = {"validate": "list", "source": choice, "error_type": "information"}
            page.data_validation(HEADER_ROW + 1, place, HEADER_ROW + rows.num_rows, place, rule)

    def write_lists(self) -> None:
        """Write the last sheet: the SDV lists of the unit's own care areas, to choose from."""
        page = self._page(OWN_LISTS, _LIST_WIDTHS)
        self._text(page, 0, 0, f"Enhetens SDV-väntelistor: {self._name}", "title")
        self._text(page, 1, 0, WORK_LIST_OWN_LISTS, "plain")
        for place, heading in enumerate(WORK_LIST_LIST_COLUMNS):
            self._text(page, HEADER_ROW, place, heading, "heading")
        for number, row in enumerate(self._unit.lists, start=HEADER_ROW + 1):
            form = CONTACT_FORM_LABELS.get(row.kontaktform or "", "")
            cells = (row.sdv_lista, row.yrkeskategori, row.vardkontaktsorsak, form, for_whom(row))
            for place, text in enumerate(cells):
                self._text(page, number, place, text, "text")
        page.freeze_panes(HEADER_ROW + 1, 0)
        page.repeat_rows(HEADER_ROW)

    def _page(self, title: str, widths: Iterable[float]) -> Worksheet:
        page: Worksheet = self._book.add_worksheet(title)
        for place, width in enumerate(widths):
            page.set_column(place, place, width, self._formats["plain"])
        page.set_landscape()
        page.set_paper(_A4)
        page.fit_to_pages(1, 0)
        page.set_margins(left=0.4, right=0.4, top=0.7, bottom=0.6)
        page.hide_gridlines(2)
        as_of = self._batch.as_of.isoformat()
        page.set_header(f'&L&"Calibri,Bold"{_in_header(self._name)}&C&A&RLäget per {as_of}')
        page.set_footer(f"&LInnehåller personuppgifter&CSida &P av &N&R{_in_header(self._unit.key)}")
        page.set_row(0, 24)
        return page

    def _facts(self) -> Iterator[tuple[str, str | dt.date]]:
        batch, unit = self._batch, self._unit
        yield "Läget per", batch.as_of
        if unit.key != UNKNOWN:
            yield "HSA-id", unit.key
            yield "Våg", unit.wave or "saknas"
            yield "Driftstart", unit.go_live or "saknas"
        if unit.go_live:
            left = str((unit.go_live - batch.as_of).days)
            yield "Dagar kvar till driftstart", "i drift" if self._live else left
        if unit.cutoff and not self._live:
            yield "Bokas direkt i Millennium t.o.m.", unit.cutoff
        if unit.addresses:
            yield "Frågor", f"{WORK_LIST_ASK} {' eller '.join(unit.addresses)}"
        kind = "Migrering" if batch.kind is BatchKind.MIGRATION else "Torrkörning"
        yield "Körning", f"{kind} {batch.batch_id}"

    def _write_counts(self, page: Worksheet, row: int) -> int:
        """Write the counts of all the unit's posts, starting at a row; return the last row."""
        unit = self._unit
        for place, heading in enumerate(
            ("Vad händer med posterna?", "Poster", "Vad det betyder", "Vad ni gör", "Flik")
        ):
            self._text(page, row, place, heading, "heading")
        for disposition in _SUMMARY_ORDER:
            posts = unit.posts.get(disposition, 0)
            if not posts and disposition is not Disposition.MIGRATE:
                continue
            explained = DISPOSITION_TEXTS[disposition]
            if self._live and disposition is Disposition.FIX_IN_PMO:
                explained = WORK_LIST_FIX_WHEN_LIVE
            sides = _SIDE_SHEETS.get(disposition, ())
            row += 1
            sheet = None if sides else Sheet(disposition.value)
            self._line(page, row, (DISPOSITION_LABELS[disposition], posts, explained.meaning, explained.action), sheet)
            for side, part in sides:
                if some := self._rows_of(side):
                    row += 1
                    self._line(page, row, (part, some, "", WORK_LIST_TEXTS[side].action), side, form="part")
        row += 1
        self._line(page, row, ("Summa", sum(unit.posts.values()), "", ""), None, form="sum")
        if unit.gone:
            row += 1
            sheet = Sheet.CORRECT_IN_MILLENNIUM
            meaning = "Överförda poster som har avslutats eller tagits bort i PMO. De ingår inte i summan."
            self._line(page, row, ("Finns inte längre i PMO", unit.gone, meaning, WORK_LIST_TEXTS[sheet].action), sheet)
        if unit.owed:
            row += 1
            text, rows = WORK_LIST_TEXTS[Sheet.OWED], unit.rows.get(Sheet.OWED, 0)
            self._line(
                page,
                row,
                (text.title, len(unit.owed), WORK_LIST_OWED_MEANING, WORK_LIST_SAY_OUTCOME),
                Sheet.OWED if rows else None,
            )
        return row

    def _rows_of(self, sheet: Sheet) -> int:
        """Return how many rows of a sheet are among the unit's posts."""
        gone = self._unit.gone if sheet is Sheet.CORRECT_IN_MILLENNIUM else 0
        return self._unit.rows.get(sheet, 0) - gone

    def _line(
        self, page: Worksheet, row: int, cells: tuple[str, int, str, str], sheet: Sheet | None, *, form: str = "text"
    ) -> None:
        """Write a line of counts; ``form`` is the format of its name."""
        name, posts, meaning, action = cells
        rest = "sum" if form == "sum" else "text"
        page.set_row(row, _height(zip((name, "", meaning, action, ""), _SUMMARY_WIDTHS, strict=True)))
        self._text(page, row, 0, name, form)
        page.write_number(row, 1, posts, self._formats["count" if form == "text" else f"{form}_count"])
        self._text(page, row, 2, meaning, rest)
        self._text(page, row, 3, action, rest)
        if sheet is None:
            self._text(page, row, 4, "", rest)
        else:
            title = WORK_LIST_TEXTS[sheet].title
            page.write_url(row, 4, f"internal:'{title}'!A1", self._formats["link"], title)

    def _lead(self, sheet: Sheet) -> str:
        action = WORK_LIST_TEXTS[sheet].action
        if sheet is not Sheet.FIX_IN_PMO:
            return action
        if self._live:
            return WORK_LIST_FIX_WHEN_LIVE.action
        cutoff = self._unit.cutoff
        return f"{action} Gränsen går efter {cutoff.isoformat()}." if cutoff else action

    def _cell(self, page: Worksheet, at: tuple[int, int], name: str, text: str, row: Mapping[str, Any]) -> None:
        day = row[_DATES[name]] if name in _DATES else None
        if day is not None and day >= _FIRST_DAY_OF_EXCEL:
            passed = name == "boka_fore" and day < self._batch.as_of
            self._date(page, *at, day, "passed" if passed else "date")
        elif name == "post_id" and abs(row[name]) < _EXACT_NUMBERS:
            _require_room(page.write_number(*at, row[name], self._formats["number"]))
        else:
            masked = name in _MASKED and text == WORK_LIST_MASKED
            self._text(page, *at, text, "masked" if masked else "text")

    def _date(self, page: Worksheet, row: int, place: int, day: dt.date, form: str) -> None:
        _require_room(page.write_datetime(row, place, dt.datetime.combine(day, dt.time()), self._formats[form]))

    def _text(self, page: Worksheet, row: int, place: int, text: str, form: str) -> None:
        # An empty text is a blank cell: Excel's filter then counts it as empty.
        if text:
            _require_room(page.write_string(row, place, text, self._formats[form]))
        else:
            _require_room(page.write_blank(row, place, None, self._formats[form]))


def for_whom(row: SdvList) -> str:
    """Return the ages that a list is for, in words; empty where it is for any age."""
    youngest, oldest = row.alder_fran_man, row.alder_till_man
    if youngest is None and oldest is None:
        return ""
    if youngest is None:
        return f"till och med {_age(oldest or 0)}"
    return f"från {_age(youngest)}" if oldest is None else f"{_age(youngest)} till {_age(oldest)}"


def _age(months: int) -> str:
    years, rest = divmod(months, 12)
    if months < 24:
        return f"{months} mån"
    return f"{years} år" if not rest else f"{years} år {rest} mån"


def columns_of(sheet: Sheet, rows: pa.Table) -> list[str]:
    """Return the columns of a sheet, in their order.

    Where posts must be moved, the list to move to replaces the finding, which is the same for all of them. The column
    of the unit is there only where the unit is not known.
    """
    left_out = {"label" if sheet is Sheet.MOVE_TO_SDV_LIST else "recommended_list"}
    if rows["unit_in_pmo"].null_count == rows.num_rows:
        left_out.add("unit_in_pmo")
    return [name for name in _WIDTHS if name not in left_out]


def _cell_text(name: str, row: Mapping[str, Any]) -> str:
    """Return the text of a cell."""
    if name == "action":
        branch = f"Filial: {row['filial']}" if row["filial"] else ""
        others = f"Övrigt: {row['others']}" if row["others"] else ""
        return "\n".join(filter(None, (row[name], branch, others)))
    return "" if row[name] is None else str(row[name])


def _height(cells: Iterable[tuple[str, float]]) -> float:
    """Return the height of a row, in points, for its wrapped texts; some programs do not calculate it themselves."""
    lines = max(_lines(text, width) for text, width in cells)
    return min(_MOST_POINTS, lines * _LINE_POINTS + 3)


@lru_cache(maxsize=20_000)
def _lines(text: str, width: float) -> int:
    # The width is measured for letters of 11 points, and they have 10. A part of the difference is kept as margin.
    available = width * 7 * 1.1
    lines = 0
    for paragraph in text.split("\n"):
        lines += 1
        used = 0
        for word in paragraph.split(" "):
            wide = xl_pixel_width(word)
            if used and used + wide > available:
                lines += 1
                used = 0
            lines += max(0, ceil(wide / available) - 1)
            used += wide + _SPACE
    return lines


def _in_header(text: str) -> str:
    return text[:_HEADER_PART].replace("&", "&&")


def _require_room(refused: int) -> None:
    if refused:
        raise WorkListError("a unit has more posts than an Excel sheet can have rows")


def _records(rows: pa.Table) -> Iterator[Mapping[str, Any]]:
    for some in rows.to_batches(max_chunksize=_ROWS_AT_A_TIME):
        yield from some.to_pylist()
