"""Work lists of the synthetic PMO: each cell against PMO and staging, read without the code that wrote it."""

import csv
import datetime as dt
import io
import json
import os
import re
import sqlite3
import subprocess
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import psycopg
import pytest
import sqlalchemy as sa
from openpyxl.worksheet.worksheet import Worksheet
from tests.support import batches, posts, worklists
from tests.support.postgres import PostgresServer
from tests.support.runs import AS_OF, assessed, pipeline, verified
from tests.support.runs import request as asked
from tests.support.worklists import counts_of, csv_of, post_ids_of
from upath import UPath

from waitlist import paths
from waitlist.exceptions import StagingError
from waitlist.reports.worklist.__main__ import main
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.staging import schema
from waitlist.staging.retention import Places, read_batches, survey
from waitlist.steps.pipeline import Pipeline
from waitlist.swedish.words import WORK_LIST_MASKED, finding_text, rule_label

POSTS = 3_000

IN_PMO = """
    SELECT post_id, personnummer, patient.namn, sekretess, hsa_id, kategori, kontaktform, boka_from, boka_fore,
           anvandare
    FROM vantelistepost JOIN patient USING (patient_id) JOIN enhet USING (enhet_id)
"""
FORMS = {"besok": "Besök", "telefon": "Telefon", "video": "Video", "hembesok": "Hembesök"}
TITLES = {
    "fix_in_pmo": "Åtgärda i PMO",
    "move_to_sdv_list": "Flytta till SDV-väntelista",
    "book_in_pmo": "Bokas i PMO före driftstart",
    "book_in_millennium": "Bokas direkt i Millennium",
    "handle_manually": "Hanteras manuellt",
}


@dataclass(frozen=True)
class Deployment:
    """A synthetic PMO, its dry run, and the work lists of it."""

    folder: Path
    staging: str
    pmo: Mapping[int, tuple[Any, ...]]
    steps: Pipeline
    batch_id: str

    @property
    def lists(self) -> Path:
        return self.folder / "listor"

    @property
    def arguments(self) -> list[str]:
        snapshots, mappings = str(self.folder / "snapshots"), str(self.folder / MAPPINGS)
        return ["--snapshots", snapshots, "--mappings", mappings]

    def rows(self, table: sa.Table) -> list[Any]:
        with self.steps.store.database.connected() as connection:
            query = sa.select(table).where(table.c.batch_id == self.batch_id).order_by(*table.primary_key.columns)
            return list(connection.execute(query))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    out = tmp_path_factory.mktemp("pmo")
    order = Order(POSTS, seed=3, as_of=AS_OF)
    if request.param == "sqlite":
        generate(order, out, sqlite=out / "pmo.sqlite")
        pmo, staging = f"Driver={{SQLite3}};Database={out / 'pmo.sqlite'}", f"sqlite:///{out / 'staging.sqlite'}"
        database: Any = sqlite3.connect(out / "pmo.sqlite")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        source, target = server.create_database(), server.create_database()
        generate(order, out, postgres=server.libpq(source))
        pmo, staging = server.odbc(source), server.libpq(target)
        database = psycopg.connect(server.libpq(source))
    with closing(database):
        in_pmo = {row[0]: row for row in database.cursor().execute(IN_PMO).fetchall()}
    steps = pipeline(out, pmo=pmo, staging=staging, mappings=out / MAPPINGS, partition_posts=1_000, chunk_posts=300)
    run, _ = assessed(steps, asked())
    verified(steps, out, run)
    made = Deployment(out, staging, in_pmo, steps, run.batch_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAITLIST_STAGING_URL", staging)
        patch.setenv("WAITLIST_ACTOR", "anna")
        assert main([*made.arguments, "--out", str(made.lists), "--csv"]) == 0
        yield made
    steps.store.engine.dispose()


def shown(text: object) -> str | None:
    """Return a text as a cell shows it."""
    kept = "".join(sign for sign in str(text or "") if unicodedata.category(sign) != "Cc" or sign in "\t\r\n")
    return " ".join(kept.split()) or None


def date_shown(written: object) -> object:
    """Return a date as a cell shows it: real where it is one."""
    text = str(written or "")
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d([ T][\d:.]+)?", text):
            return dt.datetime.fromisoformat(text[:10])
    except ValueError:
        pass
    return shown(written)


@dataclass(frozen=True)
class Listed:
    """A row of a workbook and its position."""

    unit: str
    title: str
    row: Mapping[str, Any]


def lines(page: Worksheet) -> Iterator[dict[str, Any]]:
    header, *rows = page.iter_rows(min_row=3, values_only=True)
    yield from (dict(zip(header, row, strict=True)) for row in rows)


@pytest.fixture(scope="module")
def books(deployment: Deployment) -> dict[str, openpyxl.Workbook]:
    found = {}
    for file in deployment.lists.glob("*.xlsx"):
        unit = re.fullmatch(r"arbetslista-(?:.+--)?(.+)-2024-10-01\.xlsx", file.name)
        assert unit
        found[unit[1]] = openpyxl.load_workbook(file)
    return found


@pytest.fixture(scope="module")
def listed(books: dict[str, openpyxl.Workbook]) -> dict[int, Listed]:
    rows = [
        Listed(unit, page.title, row)
        for unit, book in books.items()
        for page in book.worksheets[1:-1]
        for row in lines(page)
    ]
    by_post = {line.row["Post-id"]: line for line in rows}
    assert len(by_post) == len(rows), "a post stands on two sheets"
    return by_post


@pytest.fixture(scope="module")
def findings(deployment: Deployment) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in deployment.rows(schema.finding):
        found.setdefault(row.post_id, []).append(row)
    return found


def test_every_post_is_listed_where_it_belongs_or_counted(
    deployment: Deployment, listed: dict[int, Listed], findings: dict[int, list[Any]]
) -> None:
    expected: dict[int, str] = {}
    for row in deployment.rows(schema.disposition):
        found = findings.get(row.post_id, [])
        rules = {finding.rule for finding in found}
        concerns = {finding.rule for finding in found if finding.severity != "info"}
        if row.disposition in TITLES:
            expected[row.post_id] = TITLES[row.disposition]
        elif row.disposition == "migrate" and (concerns or "STRADDLES_CUTOFF" in rules):
            expected[row.post_id] = "Migreras - kontrollera"
        elif row.disposition == "leave" and "NOT_WAITING_ON_SDV_LIST" in rules:
            expected[row.post_id] = "Ta bort från SDV-väntelista"
        elif row.disposition == "plan_unit" and concerns > {"UNIT_UNPLANNED"}:
            expected[row.post_id] = "Enhet saknar driftstart"
    assert {post_id: line.title for post_id, line in listed.items()} == expected
    assert len(set(expected.values())) == 8


def test_every_cell_is_as_in_pmo(deployment: Deployment, listed: dict[int, Listed]) -> None:
    wrong = {}
    for post_id, line in listed.items():
        _, number, name, protected, unit, category, form, begin, end, user = deployment.pmo[post_id]
        expected = {
            "Klart": None,
            "Personnummer": "Sekretess" if protected else shown(number),
            "Namn": "Sekretess" if protected else shown(name),
            "Kategori i PMO": shown(category),
            "Kontaktform": FORMS.get(form, shown(form)),
            "Boka fr.o.m.": date_shown(begin),
            "Boka före": date_shown(end),
            "Användare": shown(user),
            "Anteckning": None,
        }
        told = {column: line.row[column] for column in expected}
        if (line.unit, told) != (unit, expected):
            wrong[post_id] = [column for column in expected if told[column] != expected[column]] or line.unit
    assert wrong == {}


def test_every_finding_is_explained_or_named(
    deployment: Deployment, listed: dict[int, Listed], findings: dict[int, list[Any]]
) -> None:
    missing = []
    for post_id, line in listed.items():
        action = line.row["Gör så här"]
        for found in findings[post_id]:
            said = finding_text(found.rule, found.detail) in action
            named = rule_label(found.rule) in action.partition("Övrigt: ")[2]
            on_sheet = (line.title, found.rule) == ("Enhet saknar driftstart", "UNIT_UNPLANNED")
            if said + named + on_sheet != 1:
                missing.append((post_id, found.rule))
    assert missing == []


def test_recommended_list_is_staged_with_the_post(deployment: Deployment, listed: dict[int, Listed]) -> None:
    recommended = {row.post_id: row.recommended_list for row in deployment.rows(schema.disposition)}
    moving = {post: line.row["Flytta till"] for post, line in listed.items() if "Flytta till" in line.row}
    assert moving
    assert moving == {post: recommended[post] for post in moving}


def test_counts_are_stagings_and_add_up(deployment: Deployment, books: dict[str, openpyxl.Workbook]) -> None:
    summary: dict[str, int] = {}
    for row in deployment.rows(schema.unit_summary):
        summary[row.enhet_hsa_id] = summary.get(row.enhet_hsa_id, 0) + row.posts
    assert {unit: counts_of(book)["Summa"] for unit, book in books.items()} == summary
    for book in books.values():
        counts = counts_of(book)
        parts = {name: posts for name, posts in counts.items() if not name.startswith("varav")}
        assert sum(parts.values()) == 2 * counts["Summa"]
        for title, post_ids in post_ids_of(book).items():
            if title in counts and title != "Enhet saknar driftstart":
                assert counts[title] == len(post_ids)


def test_rows_go_by_urgency(books: dict[str, openpyxl.Workbook]) -> None:
    def urgency(row: dict[str, Any]) -> tuple[object, ...]:
        begin, end = row["Boka fr.o.m."], row["Boka före"]
        dated = [isinstance(value, dt.datetime) for value in (begin, end)]
        never = dt.datetime(1, 1, 1)  # noqa: DTZ001 - cells have no zone
        return (all(dated), end if dated[1] else never, begin if dated[0] else never, row["Post-id"])

    for book in books.values():
        for page in book.worksheets[1:-1]:
            rows = list(lines(page))
            assert rows == sorted(rows, key=urgency)


def test_csv_holds_the_same_posts_in_the_same_order(
    deployment: Deployment, books: dict[str, openpyxl.Workbook]
) -> None:
    for unit, book in books.items():
        rows = csv_of(deployment.lists, unit)
        expected = [(title, str(post)) for title, post_ids in post_ids_of(book).items() for post in post_ids]
        assert [(row["Lista"], row["Post-id"]) for row in rows] == expected


def test_protected_identities_leave_no_trace_in_any_file(
    deployment: Deployment, books: dict[str, openpyxl.Workbook]
) -> None:
    protected = {shown(row[1]) for row in deployment.pmo.values() if row[3]} - {None}
    others = {shown(row[1]) for row in deployment.pmo.values() if not row[3]}
    told = {
        cell.value for book in books.values() for page in book.worksheets for row in page.iter_rows() for cell in row
    }
    assert protected - others
    assert told & (protected - others) == set()


# The command


def test_command_writes_the_same_bytes_again_and_says_what(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ut"
    assert main([*deployment.arguments, "--out", str(out), "--csv", "--batch", deployment.batch_id]) == 0
    units = len(list(deployment.lists.glob("*.xlsx")))
    assert f"{units} work lists of batch {deployment.batch_id} as of 2024-10-01" in capsys.readouterr().out
    first, second = ({file.name: file.read_bytes() for file in lists.iterdir()} for lists in (deployment.lists, out))
    assert first == second


def test_command_without_a_name_is_refused_and_writes_nothing(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WAITLIST_ACTOR", "  ")
    assert main([*deployment.arguments, "--out", str(tmp_path / "ut")]) == 1
    assert "set WAITLIST_ACTOR to your login name" in capsys.readouterr().err
    assert not (tmp_path / "ut").exists()


def test_command_writes_an_entry_for_each_patient_that_a_list_names(deployment: Deployment) -> None:
    entries = batches.rows(deployment.steps.store, schema.access_log)
    assert {(entry["user_id"], entry["action"]) for entry in entries} == {("anna", "work_list_file")}
    listed = {
        (int(row["Post-id"]), row["Personnummer"])
        for file in deployment.lists.glob("*.csv")
        for row in csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8-sig")), delimiter=";")
    }
    assert {entry["post_id"] for entry in entries} == {post for post, number in listed if number != WORK_LIST_MASKED}


def test_command_moves_no_list_where_the_access_log_cannot_be_written(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StagingError("writing to the access log: refused")

    monkeypatch.setattr("waitlist.reports.worklist.__main__.record", refuse)
    assert main([*deployment.arguments, "--out", str(tmp_path / "ut")]) == 1
    assert list((tmp_path / "ut").iterdir()) == []


def test_command_names_every_fault_at_once_and_writes_nothing(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ut"
    out.mkdir()
    (out / "annat.txt").touch()
    arguments = ["--snapshots", "okand://borta", "--out", str(out)]
    assert main([*arguments, "--mappings", str(tmp_path / "saknas"), "--unit", "SE2120009999-NONE"]) == 1
    told = capsys.readouterr().err
    for fault in (
        "has 1 other files",
        "mapping files at fault",
        f"unit SE2120009999-NONE has no posts in batch {deployment.batch_id}",
        "--snapshots is not a folder, and not a URL of a kind that can be read here",
    ):
        assert fault in told
    assert [file.name for file in out.iterdir()] == ["annat.txt"]


def test_command_refuses_an_unknown_batch_and_a_folder_of_lists(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*deployment.arguments, "--out", str(deployment.lists), "--batch", "natt-9"]) == 1
    told = capsys.readouterr().err
    assert "batch natt-9 is unknown" in told
    assert "earlier work lists of these units: --replace replaces them" in told


def test_without_a_folder_the_lists_are_written_where_retention_finds_them(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITLIST_WORKLISTS_DIR", str(tmp_path))
    assert main(deployment.arguments) == 0
    assert "When the batch's retention period is over, retention removes them." in capsys.readouterr().out
    (batch,) = [found for found in read_batches(deployment.steps.store) if found.batch_id == deployment.batch_id]
    held = survey(deployment.steps.store, batch, Places(UPath(tmp_path / "none"), UPath(tmp_path)))
    assert held.files["work_list_files"] == len(list(deployment.lists.glob("*.xlsx")))


def test_the_command_says_when_retention_does_not_find_the_lists(
    deployment: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITLIST_WORKLISTS_DIR", str(tmp_path / "listor"))
    assert main([*deployment.arguments, "--out", str(tmp_path / "annat")]) == 0
    assert "you must remove these yourself" in capsys.readouterr().out


def test_without_a_folder_or_the_setting_nothing_is_written(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAITLIST_WORKLISTS_DIR", raising=False)
    assert main(deployment.arguments) == 1
    assert "name a folder: --out, or WAITLIST_WORKLISTS_DIR" in capsys.readouterr().err


def test_make_target_reads_the_environments_connection(tmp_path: Path) -> None:
    place = worklists.site(tmp_path)
    place.stage({"boka_fore": None})
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW_CONN_MILLENNIUM_STAGING": json.dumps(
            {"conn_type": "sqlite", "host": str(tmp_path / "staging.sqlite")}
        ),
        "WAITLIST_SNAPSHOT_URL": (tmp_path / "snapshots").as_uri(),
        "WAITLIST_ACTOR": "anna",
        "OUT": str(tmp_path / "mina listor"),
        "UNIT": posts.UNIT,
        "CSV": "1",
    }
    script = paths.PROJECT / "scripts" / "worklists.sh"
    done = subprocess.run([script], env=environment, capture_output=True, encoding="utf-8", check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "mina listor").iterdir())) == 2
