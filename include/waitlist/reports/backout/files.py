"""The workbook and the CSV file of a back-out: a row for each post, with its patient; a protected identity is masked.

The patient is as the booking request has it. The same rows give the same bytes.
"""

import csv
import datetime as dt
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import xlsxwriter
from upath import UPath
from xlsxwriter.worksheet import Worksheet

from waitlist.exceptions import RefusedError, WorkListError, reason_of
from waitlist.files import make_folder, writing_aside
from waitlist.judge.rules import Code
from waitlist.release.backout import BackOut, Return, ToDo, read_backout
from waitlist.reports.worklist.csv_file import harmless
from waitlist.reports.worklist.folder import in_ascii
from waitlist.staging import Batch, StagingStore, schema
from waitlist.staging.database import refusals_named
from waitlist.swedish.words import (
    BACK_OUT_ANSWERS,
    BACK_OUT_COLUMNS,
    BACK_OUT_GONE,
    BACK_OUT_HOW_TO_READ,
    BACK_OUT_TO_DO,
    REQUEST_LABELS,
    UNKNOWN_UNIT_NAME,
    WORK_LIST_MASKED,
)

Recording = Callable[[str, Mapping[int, str]], None]
"""Called with a unit's HSA-id, and the number of each patient that the files name, by post id."""
Progress = Callable[[str, int, int], None]

_AT_ONCE: Final = 1_000
_MOST_ROWS: Final = 1_000_000
"""Excel allows some more on a sheet."""
_DATES: Final = frozenset({"boka_from", "boka_fore", "booked_for"})
_WIDTHS: Final = {
    "to_do": 24, "unit": 28, "post_id": 10, "person_id": 14, "patient": 24, "besokstyp": 34, "boka_from": 11,
    "boka_fore": 11, "answer": 18, "booked_for": 11, "changed": 40,
}  # fmt: skip
_FORMATS: Final[Mapping[str, Mapping[str, Any]]] = {
    "plain": {"num_format": "@", "text_wrap": True},
    "date": {"num_format": "yyyy-mm-dd"},
    "heading": {"bold": True, "bg_color": "#E8EDF2", "bottom": 1},
    "title": {"bold": True, "font_size": 14},
}
_SUMMARY: Final = "Sammanfattning"
_A4: Final = 9


@dataclass(frozen=True, slots=True)
class Content:
    """The two files, and whom they name."""

    name: str
    """The files' name, without the kind of file."""
    workbook: bytes
    csv: bytes
    posts: int
    """Rows."""
    patients: Mapping[str, Mapping[int, str]]
    """By unit, the number of each patient that is named, by post id."""


def make_files(
    store: StagingStore,
    batch: Batch,
    names: Callable[[str], str],
    *,
    units: Collection[str] = (),
    progress: Progress = lambda _what, _done, _of: None,
) -> tuple[BackOut, Content]:
    """Make the files in memory.

    Args:
        store: the staging database.
        batch: the batch.
        names: returns the name of a unit by its HSA-id.
        units: HSA-ids of the units; without any, every unit of the batch.
        progress: called with the progress.

    Raises:
        RefusedError: no receiver has the batch, retention has removed its rows, or a unit has no post in it.
        StagingError: the database refused.
    """
    with (
        refusals_named(f"reading what must return of batch {batch.batch_id}"),
        store.database.connected() as connection,
    ):
        found = read_backout(connection, batch)
        if missing := sorted(set(units) - {post.unit for post in found.posts}):
            raise RefusedError("\n".join(f"unit {unit} has no post in batch {batch.batch_id}" for unit in missing))
        posts = [post for post in found.posts if not units or post.unit in units]
        rows = [*_named_rows(connection, batch, posts, names, progress)]
    named = {
        unit: {row["post_id"]: row["person_id"] for row in some if row["person_id"] != WORK_LIST_MASKED}
        for unit, some in groupby(rows, lambda row: row["hsa_id"])
    }
    of_unit = f"-{in_ascii(next(iter(units)))}" if len(units) == 1 else ""
    name = f"aterlamning-{in_ascii(batch.batch_id)}{of_unit}"
    return found, Content(name, _workbook(found, rows, names, units), _csv(rows), len(rows), named)


def write_files(content: Content, out: Path, *, replace: bool, recording: Recording) -> Sequence[Path]:
    """Write the two files, readable by their owner alone; when this fails, none has got its name.

    Args:
        content: the files.
        out: the folder, made where it is missing.
        replace: whether earlier files of the same names may be replaced.
        recording: called with each unit before a file gets its name; where it raises, none does.

    Raises:
        WorkListError: a file is there already, or the disk refused.
    """
    paths = [out / f"{content.name}.{kind}" for kind in ("xlsx", "csv")]
    if not replace and any(path.exists() for path in paths):
        raise WorkListError(f"{out} has earlier files of this batch: --replace replaces them")
    try:
        make_folder(UPath(out))
        with ExitStack() as files:
            for path, written in zip(paths, (content.workbook, content.csv), strict=True):
                files.enter_context(writing_aside(UPath(path))).write(written)
            for unit, patients in content.patients.items():
                recording(unit, patients)
    except OSError as error:
        raise WorkListError(f"{out} cannot be written to: {reason_of(error)}") from None
    return paths


def _named_rows(
    connection: sa.Connection,
    batch: Batch,
    posts: Sequence[Return],
    names: Callable[[str], str],
    progress: Progress,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the files, in the order of the posts."""
    table = schema.bokningsbegaran.c
    columns = (table.person_id, table.patientnamn, table.sekretess, table.besokstyp, table.begart_startdatum)
    for first in range(0, len(posts), _AT_ONCE):
        some = posts[first : first + _AT_ONCE]
        query = sa.select(table.post_id, *columns).where(
            table.batch_id == batch.batch_id, table.post_id.in_([post.post_id for post in some])
        )
        requests = {row.post_id: row for row in connection.execute(query)}
        if len(requests) != len(some):
            raise RefusedError(
                f"batch {batch.batch_id}: retention has removed its rows, so its patients cannot be named; the page of "
                "what must return has the post ids"
            )
        for post in some:
            request = requests[post.post_id]
            # Protected since the release, too.
            hidden = request.sekretess or Code.PROTECTED_IDENTITY.value in post.changed
            yield {
                "hsa_id": post.unit,
                "to_do": BACK_OUT_TO_DO[post.to_do],
                "kind": post.to_do,
                "unit": names(post.unit) or UNKNOWN_UNIT_NAME,
                "post_id": post.post_id,
                "person_id": WORK_LIST_MASKED if hidden else request.person_id,
                "patient": WORK_LIST_MASKED if hidden else " ".join(request.patientnamn.split()),
                "besokstyp": request.besokstyp,
                "boka_from": request.begart_startdatum,
                "boka_fore": post.boka_fore,
                "answer": BACK_OUT_ANSWERS[post.answer],
                "booked_for": post.booked_for,
                "changed": changed_text(post),
            }
        progress("posts read", first + len(some), len(posts))


def changed_text(post: Return) -> str:
    """Return what PMO has changed of a post, in words."""
    if post.gone:
        return BACK_OUT_GONE
    return ", ".join(REQUEST_LABELS.get(name, name) for name in post.changed)


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";", quoting=csv.QUOTE_ALL)
    writer.writerow([BACK_OUT_COLUMNS[name] for name in _WIDTHS])
    for row in rows:
        writer.writerow([_csv_cell(name, row[name]) for name in _WIDTHS])
    return text.getvalue().encode("utf-8-sig")


def _csv_cell(name: str, value: Any) -> str:  # noqa: ANN401 - a cell
    if value is None:
        return ""
    if name in _DATES:
        return str(value.isoformat())
    return str(value) if name == "post_id" else harmless(str(value))


def _workbook(
    found: BackOut, rows: Sequence[Mapping[str, Any]], names: Callable[[str], str], units: Collection[str]
) -> bytes:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True})
    # Otherwise it would have the moment at which it is made.
    book.set_properties({"created": dt.datetime.combine(found.batch.as_of, dt.time())})
    forms = {
        name: book.add_format({"font_name": "Calibri", "font_size": 10, "valign": "top", **form})
        for name, form in _FORMATS.items()
    }
    page = _page(book, _SUMMARY, found)
    page.set_column(0, 0, 40)
    page.set_column(1, 6, 16)
    page.write_string(0, 0, f"Vad som ska tillbaka ur Millennium, körning {found.batch.batch_id}", forms["title"])
    lines = [*BACK_OUT_HOW_TO_READ, _compared(found)]
    for place, line in enumerate(lines, start=1):
        page.write_string(place, 0, line)
    top = len(lines) + 2
    headings = ["Enhet", *(BACK_OUT_TO_DO[kind] for kind in ToDo), "Ändrade i PMO"]
    for column, text in enumerate(headings):
        page.write_string(top, column, text, forms["heading"])
    chosen = [unit for unit in found.units if not units or unit.unit in units]
    for place, unit in enumerate(chosen, start=top + 1):
        page.write_string(place, 0, names(unit.unit) or UNKNOWN_UNIT_NAME)
        for column, kind in enumerate(ToDo, start=1):
            page.write_number(place, column, unit.to_do.get(kind, 0))
        page.write_number(place, len(headings) - 1, unit.changed)
    for kind in ToDo:
        of_kind = [row for row in rows if row["kind"] is kind]
        for part in range(0, len(of_kind), _MOST_ROWS):
            title = BACK_OUT_TO_DO[kind] if not part else f"{BACK_OUT_TO_DO[kind]} {part // _MOST_ROWS + 1}"
            _write_posts(_page(book, title, found), of_kind[part : part + _MOST_ROWS], forms)
    book.close()
    return file.getvalue()


def _compared(found: BackOut) -> str:
    run = found.compared_with
    if run is None:
        return "Vad PMO har ändrat är inte känt: ingen torrkörning har läst PMO sedan överföringen."
    return f"Vad PMO har ändrat sedan överföringen är enligt torrkörningen per {run.as_of}."


def _page(book: xlsxwriter.Workbook, title: str, found: BackOut) -> Worksheet:
    page: Worksheet = book.add_worksheet(title[:31])
    page.set_landscape()
    page.set_paper(_A4)
    page.fit_to_pages(1, 0)
    page.set_header(f"&L{found.batch.batch_id}&C&A")
    page.set_footer("&LInnehåller personuppgifter&CSida &P av &N")
    return page


def _write_posts(page: Worksheet, rows: Sequence[Mapping[str, Any]], forms: Mapping[str, Any]) -> None:
    for column, (name, width) in enumerate(_WIDTHS.items()):
        page.set_column(column, column, width)
        page.write_string(0, column, BACK_OUT_COLUMNS[name], forms["heading"])
    for place, row in enumerate(rows, start=1):
        for column, name in enumerate(_WIDTHS):
            value = row[name]
            if value is None:
                page.write_blank(place, column, None, forms["plain"])
            elif name in _DATES:
                page.write_datetime(place, column, dt.datetime.combine(value, dt.time()), forms["date"])
            elif name == "post_id":
                page.write_number(place, column, value)
            else:
                page.write_string(place, column, str(value), forms["plain"])
    page.autofilter(0, 0, len(rows), len(_WIDTHS) - 1)
    page.freeze_panes(1, 0)
    page.repeat_rows(0)
