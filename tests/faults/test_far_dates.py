"""Dates at the ends of the calendar: a post with one stops no work list, page, suite or run."""

import csv
import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path

import openpyxl
import pytest
import sqlalchemy as sa
from tests.support import worklists
from tests.support.runs import AS_OF, NOW, dry_run, pipeline, request
from upath import UPath

from waitlist.exceptions import MappingError, SettingsError
from waitlist.reports.pages.overview import read_overview
from waitlist.reports.pages.reading import reading
from waitlist.reports.pages.unit import Asked, read_unit
from waitlist.reports.pages.units import UnitsAsked, read_unit_list
from waitlist.reports.pages.what_if import read_what_if
from waitlist.reports.readiness import read_readiness
from waitlist.reports.worklist import OutFolder, find_snapshot, write_work_lists
from waitlist.settings import RuleSettings
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.staging import schema
from waitlist.steps.pipeline import Pipeline

FAR = ("0001-01-01", "1582-10-15", "1899-12-31", "1900-03-01", "1969-12-31", "2262-04-12", "9999-12-31")


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A pipeline whose first and last go-live are as early and as late as allowed."""
    folder: Path = tmp_path_factory.mktemp("far")
    generate(Order(400, seed=4, as_of=AS_OF), folder, sqlite=folder / "pmo.sqlite")
    units = folder / MAPPINGS / "units.csv"
    with units.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0]["driftstart"], rows[1]["driftstart"] = "2199-12-31", "2000-01-01"
    with units.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with closing(sqlite3.connect(folder / "pmo.sqlite")) as connection, connection:
        posts = [post for (post,) in connection.execute("SELECT post_id FROM vantelistepost ORDER BY post_id")]
        pairs = [(first, last) for first in FAR for last in FAR]
        for number, post in enumerate(posts):
            first, last = pairs[number % len(pairs)]
            connection.execute(
                "UPDATE vantelistepost SET boka_from = ?, boka_fore = ?, avslutad = ? WHERE post_id = ?",
                (first, last, "9999-12-31 23:59:59" if number % 3 else None, post),
            )
    return pipeline(
        folder,
        pmo=f"Driver={{SQLite3}};Database={folder / 'pmo.sqlite'}",
        staging=f"sqlite:///{folder / 'staging.sqlite'}",
        mappings=folder / MAPPINGS,
    )


@pytest.fixture(scope="module")
def batch_id(steps: Pipeline) -> str:
    return dry_run(steps, request("far"))


@pytest.mark.parametrize(
    "as_of", [dt.date(1, 1, 1), dt.date(1999, 12, 31), dt.date(2024, 10, 2), dt.date(9999, 12, 31)]
)
def test_a_list_is_read_as_of_a_day_from_2000_to_today(steps: Pipeline, as_of: dt.date) -> None:
    with pytest.raises(SettingsError, match=f"as of {as_of}: a list is read as of a day from 2000-01-01 to today"):
        steps.open_batch(request("too-far", as_of=as_of), now=NOW)
    steps.store.migrate()
    with steps.store.database.connected() as connection:
        opened = connection.execute(sa.select(schema.batch.c.run_id)).scalars().all()
    assert "too-far" not in opened


def test_a_run_over_posts_with_such_dates_is_verified_and_no_expectation_is_an_error(
    steps: Pipeline, batch_id: str
) -> None:
    assert steps.store.batch(batch_id).state == "verified"
    errors = [result for result in steps.store.quality_results(batch_id) if result.outcome == "error"]
    assert errors == []
    column = schema.disposition.c
    with steps.store.database.connected() as connection:
        days = connection.execute(sa.select(sa.func.min(column.boka_from), sa.func.max(column.boka_fore))).one()
    assert tuple(days) == (dt.date(1, 1, 1), dt.date(9999, 12, 31))


def test_every_unit_has_its_work_list_with_each_date_as_a_date_or_as_written(
    steps: Pipeline, batch_id: str, tmp_path: Path
) -> None:
    mappings = steps.facts.mappings
    readiness = read_readiness(steps.store, batch_id, mappings)
    folder = UPath(steps.store.engine.url.database or "").parent / "snapshots"
    snapshot = find_snapshot(steps.store, readiness.batch, folder)
    out = OutFolder(tmp_path / "lists", units=None, replace=False)
    written = write_work_lists(
        steps.store, readiness, snapshot, mappings, out, with_csv=True, recording=worklists.unrecorded
    )
    books = [openpyxl.load_workbook(file) for file in (tmp_path / "lists").glob("*.xlsx")]
    assert len(books) == written.units
    shown = {
        cell.value if isinstance(cell.value, str) else cell.value.date().isoformat()
        for book in books
        for page in book.worksheets[1:-1]
        for column in page.iter_cols(min_row=3)
        if column[0].value == "Boka före"
        for cell in column[1:]
        if cell.value is not None
    }
    assert shown == set(FAR)


def test_every_page_can_be_read(steps: Pipeline, batch_id: str) -> None:
    mappings = steps.facts.mappings
    with reading(steps.store, "reading") as connection:
        overview = read_overview(connection, mappings, now=NOW, approval_hours=72)
        assert overview.latest.batch_id == batch_id
        keys = [unit.key for unit in read_unit_list(connection, mappings, lambda _: True, UnitsAsked()).units]
        assert sum(read_unit(connection, mappings, key, Asked()).unit.posts for key in keys) == overview.posts
    snapshots = UPath(steps.store.engine.url.database or "").parent / "snapshots"
    for day in ("2000-01-01", "2199-12-31"):
        asked = {"enhet": "våg:1", "driftstart": day, "dagar": "366"}
        page = read_what_if(steps.store, snapshots, asked, mappings, RuleSettings())
        assert page.consequences is not None


@pytest.mark.parametrize("day", ["1999-12-31", "2200-01-01", "9999-12-31"])
def test_a_go_live_outside_two_centuries_stops_the_run_and_is_named_with_its_line(
    steps: Pipeline, tmp_path: Path, day: str
) -> None:
    source = Path(steps.store.engine.url.database or "").parent / MAPPINGS
    for file in source.iterdir():
        text = file.read_text(encoding="utf-8").replace("2199-12-31", day)
        (tmp_path / file.name).write_text(text, encoding="utf-8")
    other = pipeline(tmp_path, pmo="", staging=f"sqlite:///{tmp_path / 'staging.sqlite'}", mappings=tmp_path)
    with pytest.raises(
        MappingError, match=rf"units\.csv:2: driftstart: {day} is not between 2000-01-01 and 2199-12-31"
    ):
        other.open_batch(request("bounded"), now=NOW)
