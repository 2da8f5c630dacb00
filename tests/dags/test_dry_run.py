"""The dry-run DAG as Airflow runs it: its results, its errors, and the data that it never shows."""

import datetime as dt
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.airflow_home import AirflowHome, odbc_sqlite, sqlite_connection
from tests.support.posts import luhn, official

from waitlist import paths
from waitlist.judge.request_columns import COLUMNS
from waitlist.reports.worklist.__main__ import main as work_lists
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.steps.order import NIGHT
from waitlist_airflow import lineage_guard

AS_OF = dt.date(2024, 10, 1)
PERSON = official(dt.date(1987, 6, 5))
MARKERS = {
    "patient": "Zebramarkör, Ärla",
    "orsak": "Orsaksmarkör xyzzy",
    "planerade_atgarder": "Åtgärdsmarkör plugh",
    "anvandare": "Användarmarkör Öst",
    "kategori": "Kategorimarkör kväll",
    "filial": "Filialmarkör norr",
    "boka_from": "datummarkör",
}
"""Planted in the synthetic PMO; each may be in the snapshot and in staging, and nowhere else."""
EVENTS = "lineage.ndjson"


@dataclass(frozen=True)
class Site:
    home: AirflowHome
    pmo: Path
    staging: Path

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        with sqlite3.connect(self.staging) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    pmo, staging = folder / "pmo.sqlite", folder / "staging.sqlite"
    generate(Order(600, seed=3, as_of=AS_OF), folder, sqlite=pmo)
    _plant(pmo)
    to = {"type": "file", "log_file_path": str(folder / "airflow" / EVENTS), "append": True}
    given = {
        "AIRFLOW_CONN_PMO": odbc_sqlite(pmo),
        "AIRFLOW_CONN_MILLENNIUM_STAGING": sqlite_connection(staging),
        "WAITLIST_MAPPINGS_DIR": str(folder / MAPPINGS),
        "WAITLIST_PARTITION_POSTS": "200",
        # Its events are in the folder that is searched for planted texts.
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": lineage_guard.TRANSPORT, "to": to}),
        "AIRFLOW__OPENLINEAGE__EXECUTE_IN_THREAD": "True",
    }
    return Site(AirflowHome(folder / "airflow", given), pmo, staging)


def _plant(pmo: Path) -> None:
    """Give one patient a name of our own, and one of his posts texts of our own."""
    with sqlite3.connect(pmo) as connection:
        post_id, patient_id = connection.execute(
            "SELECT max(post_id), patient_id FROM vantelistepost WHERE avslutad IS NULL AND registrerad < '2024-09-01'"
        ).fetchone()
        connection.execute(
            "UPDATE patient SET namn = ?, personnummer = ? WHERE patient_id = ?",
            (MARKERS["patient"], PERSON, patient_id),
        )
        for column in MARKERS.keys() - {"patient"}:
            connection.execute(f"UPDATE vantelistepost SET {column} = ? WHERE post_id = ?", (MARKERS[column], post_id))


@pytest.fixture(scope="module")
def first_run(site: Site) -> str:
    return site.home.dry_run(as_of=AS_OF.isoformat()).stdout


def test_the_run_reads_checks_stages_and_verifies(site: Site, first_run: str) -> None:
    ((state, as_of, extracted, staged),) = site.ask("SELECT state, as_of, posts_extracted, posts_staged FROM batch")
    assert (state, as_of) == ("verified", "2024-10-01")
    assert site.ask("SELECT count(*) FROM disposition") == [(extracted,)]
    assert site.ask("SELECT count(*) FROM bokningsbegaran") == [(staged,)]
    assert site.ask("SELECT count(*) FROM bokningsbegaran_released") == [(0,)]
    assert site.ask("SELECT count(*) > 1 FROM batch_partition") == [(1,)]


def test_every_suite_leaves_its_results(site: Site, first_run: str) -> None:
    suites = site.ask("SELECT suite, count(*) FROM quality_result GROUP BY suite")
    assert {suite for suite, _ in suites} == {
        "extract_contract", "identity", "dates", "categories", "booking_requests",
    }  # fmt: skip
    stopping = "suite = 'extract_contract' AND severity = 'critical'"
    assert site.ask(f"SELECT DISTINCT outcome FROM quality_result WHERE {stopping}") == [("passed",)]


def test_the_log_has_the_readiness_table_in_swedish(first_run: str) -> None:
    assert "vad kan migreras, och vad återstår?" in first_run
    assert "Flytta till SDV-väntelista" in first_run


def test_personal_data_is_in_the_snapshot_and_in_staging_alone(site: Site, first_run: str) -> None:
    sought = [PERSON, PERSON.replace("-", ""), *MARKERS.values()]
    forms = {form for text in sought for form in (text, json.dumps(text)[1:-1], text.split(",")[0])}
    assert site.ask("SELECT count(*) FROM disposition WHERE kategori = 'Kategorimarkör kväll'") == [(1,)]
    searched = 0
    for path in sorted(site.home.folder.rglob("*")):
        assert not any(form in path.name for form in forms), "a file name"
        if path.is_file() and "snapshots" not in path.relative_to(site.home.folder).parts:
            content = path.read_bytes()
            for form in forms:
                for encoding in ("utf-8", "utf-16-le", "latin-1"):
                    assert form.encode(encoding) not in content, f"{path.name} holds planted text"
            searched += 1
    assert searched > 5
    assert site.home.query("SELECT count(*) FROM xcom WHERE task_id = 'extract'")[0][0] > 1
    assert (site.home.folder / "data_docs").is_dir()


def test_the_events_say_which_column_of_pmo_each_field_of_a_request_comes_from(site: Site, first_run: str) -> None:
    lines = (site.home.folder / EVENTS).read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    ended = {event["job"]["name"]: event for event in events if event["eventType"] == "COMPLETE"}
    # Nobody is asked about persons here.
    steps = {step.name for step in NIGHT} - {"check_persons"}
    assert {f"waitlist_dry_run.{step}" for step in steps} | {"waitlist_dry_run"} <= set(ended)
    assert {event["run"]["facets"]["parent"]["job"]["name"] for event in events if "." in event["job"]["name"]} == {
        "waitlist_dry_run"
    }
    read, assessed = ended["waitlist_dry_run.extract"], ended["waitlist_dry_run.assess"]
    assert [(one["namespace"], one["name"]) for one in read["inputs"]] == [("pmo", "waitlist")]
    (snapshot,) = read["outputs"]
    (requests,) = (one for one in assessed["outputs"] if one["name"] == "bokningsbegaran")
    found = {field: _origins(requests, field, snapshot) for field in requests["facets"]["columnLineage"]["fields"]}
    assert {column.name: found[column.name] for column in COLUMNS} == {
        column.name: {("pmo", "waitlist", name) for name in column.sources} for column in COLUMNS
    }
    columns = {field["name"] for field in requests["facets"]["schema"]["fields"]}
    assert columns == {name for _, name, *_ in site.ask('PRAGMA table_info("bokningsbegaran")')}
    assert columns - set(found) == {"batch_id", "batch_no"}


def _origins(requests: dict[str, Any], field: str, snapshot: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Follow a field through the snapshot; the mapping files are left out."""
    before = requests["facets"]["columnLineage"]["fields"][field]["inputFields"]
    in_snapshot = [one["field"] for one in before if one["namespace"] == snapshot["namespace"]]
    assert in_snapshot
    columns = snapshot["facets"]["columnLineage"]["fields"]
    origins = (origin for name in in_snapshot for origin in columns[name]["inputFields"])
    return {(origin["namespace"], origin["name"], origin["field"]) for origin in origins}


def test_in_staging_personal_data_is_in_the_tables_for_it_alone(
    site: Site, first_run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose data somebody has seen is in the access log, by number and without a name or a text."""
    monkeypatch.setenv("WAITLIST_ACTOR", "anna")
    places = ["--staging", f"sqlite:///{site.staging}", "--snapshots", str(site.home.folder / "snapshots")]
    assert work_lists([*places, "--mappings", str(site.pmo.parent / MAPPINGS), "--out", str(tmp_path / "lists")]) == 0
    sought = {PERSON.replace("-", ""), *(text.split(",")[0] for text in MARKERS.values())}
    found = set()
    for (table,) in site.ask("SELECT name FROM sqlite_master WHERE type = 'table'"):
        for _, column, *_ in site.ask(f'PRAGMA table_info("{table}")'):
            told = site.ask(f'SELECT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL')
            found |= {(table, column, text) for text in sought for (value,) in told if text in str(value)}
    requests = {place for place in found if place[0] == "bokningsbegaran_row"}
    assert found - requests == {
        ("access_log", "person_id", PERSON.replace("-", "")),
        ("disposition_row", "kategori", MARKERS["kategori"]),
    }


def test_only_their_owner_can_read_snapshots(site: Site, first_run: str) -> None:
    files = [path for path in (site.home.folder / "snapshots").rglob("*") if path.is_file()]
    assert files
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)


def test_a_drift_of_the_query_fails_the_run_at_once_and_says_what_is_missing(site: Site, tmp_path: Path) -> None:
    query = (paths.SQL / "pmo" / "select_waitlist.sql").read_text(encoding="utf-8")
    (tmp_path / "pmo").mkdir()
    drifted = query.replace("    v.filial,\n", "").replace("v.kontaktform,", "v.kontaktform AS kontakt,")
    (tmp_path / "pmo" / "select_waitlist.sql").write_text(drifted, encoding="utf-8")
    site.home.env["WAITLIST_SQL_DIR"] = str(tmp_path)
    try:
        failed = site.home.dry_run(as_of="2024-09-30", check=False)
    finally:
        del site.home.env["WAITLIST_SQL_DIR"]
    assert failed.returncode == 1
    said = failed.stdout + failed.stderr
    assert "SchemaDriftError" in said
    assert "filial" in said
    assert "kontakt" in said
    assert site.ask("SELECT state FROM batch WHERE as_of = '2024-09-30'") == [("failed",)]
    why = (
        "SELECT event, reason FROM batch_event JOIN batch USING (batch_id) WHERE as_of = '2024-09-30' ORDER BY event_no"
    )
    assert site.ask(why) == [("open", None), ("failed", "failed: plan_extract")]
    assert site.ask("SELECT count(*) FROM readable_batch") == [(1,)]


def test_broken_suites_and_mappings_stop_the_run_before_pmo_is_read(site: Site, tmp_path: Path) -> None:
    for suite in paths.EXPECTATIONS.glob("*.json"):
        content = json.loads(suite.read_text(encoding="utf-8"))
        if suite.stem == "identity":
            content["expectations"].pop()
        (tmp_path / suite.name).write_text(json.dumps(content), encoding="utf-8")
    site.home.env["WAITLIST_EXPECTATIONS_DIR"] = str(tmp_path)
    try:
        failed = site.home.dry_run(as_of="2024-09-29", check=False)
    finally:
        del site.home.env["WAITLIST_EXPECTATIONS_DIR"]
    assert failed.returncode == 1
    assert "identity.json" in failed.stdout + failed.stderr
    assert site.ask("SELECT count(*) FROM batch WHERE as_of = '2024-09-29'") == [(0,)]


def test_params_that_do_not_exist_are_all_named(site: Site) -> None:
    failed = site.home.dry_run(as_of="2024-09-28", check=False, waves=["99"], units=["SE2120009999-FINNSEJ"])
    assert failed.returncode == 1
    said = failed.stdout + failed.stderr
    assert "wave '99' is not in units.csv" in said
    assert "unit 'SE2120009999-FINNSEJ' is not in units.csv" in said


def test_an_error_that_quotes_a_value_is_withheld(site: Site) -> None:
    number = f"{PERSON[:-1]}{luhn(PERSON[:6] + PERSON[7:10])}"
    code = (
        "from waitlist_airflow.guard import guarded\n"
        "@guarded\n"
        "def step():\n"
        f"    raise ValueError('could not convert {number}')\n"
        "try:\n"
        "    step()\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error, error.__cause__, error.__suppress_context__)\n"
    )
    said = site.home.python("-c", code).stdout
    assert "unexpected builtins.ValueError at" in said
    assert number not in said
