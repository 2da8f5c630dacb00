"""What a monitor asks: the staging schema, the age of the last night, and whether PMO lets us log in."""

import datetime as dt
import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import batches
from upath import UPath

from waitlist import paths
from waitlist.settings import Settings
from waitlist.staging import StagingStore, schema
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.upkeep import Health
from waitlist_airflow import health

NO_PMO = "Driver={SQLite3};Database=/nowhere/pmo.sqlite"
VERIFIED = batches.NOW + dt.timedelta(hours=5)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    return batches.store_of_its_own(request, tmp_path)


def look(store: StagingStore, now: dt.datetime, pmo: str | None = None) -> Health:
    url = store.engine.url.render_as_string(hide_password=False)
    steps = Pipeline(Settings(), snapshots=UPath(paths.PROJECT), pmo=lambda: pmo or "", staging=lambda: url)
    return steps.health(now=now, ask_pmo=pmo is not None)


def test_before_the_first_night_all_is_well(store: StagingStore) -> None:
    assert look(store, batches.NOW) == Health("current", None, True, "not asked", ())


def test_the_age_of_the_last_night_is_a_fault_after_26_hours(store: StagingStore) -> None:
    batches.put_verified(store)
    finished = schema.batch.update().values(finished_at=VERIFIED)
    batches.execute(store, finished)
    assert look(store, VERIFIED + dt.timedelta(hours=7.5)) == Health("current", 7.5, True, "not asked", ())
    late = look(store, VERIFIED + dt.timedelta(hours=27))
    assert (late.night_hours, len(late.faults)) == (27.0, 1)
    assert "no night was verified since 2024-10-02" in late.faults[0]


def test_another_schema_is_a_fault(store: StagingStore) -> None:
    version = sa.table(schema.VERSION_TABLE, sa.column("version_num"), schema=store.database.schema)
    for revision, name in (("0003", "older"), ("9999", "newer")):
        batches.execute(store, version.update().values(version_num=revision))
        found = look(store, batches.NOW)
        assert (found.schema, found.faults[0]) == (name, f"the staging schema is not this release's: {name}")


def test_staging_that_does_not_answer_is_a_fault() -> None:
    nowhere = StagingStore("postgresql://waitlist:hemligt@127.0.0.1:1/staging")
    found = look(nowhere, batches.NOW)
    assert (found.schema, found.night_hours, len(found.faults)) == ("unreachable", None, 1)
    assert "hemligt" not in found.faults[0]


def test_a_login_to_pmo_reads_nothing_and_its_failure_is_a_fault(store: StagingStore, tmp_path: Path) -> None:
    pmo = tmp_path / "empty.sqlite"
    pmo.touch()
    assert look(store, batches.NOW, f"Driver={{SQLite3}};Database={pmo}").pmo == "reachable"
    found = look(store, batches.NOW, NO_PMO)
    assert (found.pmo, len(found.faults)) == ("unreachable", 1)


def test_the_command_prints_one_line_and_ends_with_one_where_there_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "staging.sqlite"
    StagingStore(f"sqlite:///{file}").migrate()
    monkeypatch.setenv("AIRFLOW_CONN_MILLENNIUM_STAGING", json.dumps({"conn_type": "sqlite", "host": str(file)}))
    monkeypatch.setenv("WAITLIST_SNAPSHOT_URL", f"file://{tmp_path}")
    assert health.main([]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "current"
    monkeypatch.setenv("AIRFLOW_CONN_PMO", json.dumps({"conn_type": "odbc", "extra": {"driver": "SQLite3"}}))
    assert health.main(["--pmo"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["pmo"] == "unreachable"
    monkeypatch.delenv("AIRFLOW_CONN_MILLENNIUM_STAGING")
    assert health.main([]) == 1
    assert "AIRFLOW_CONN_MILLENNIUM_STAGING" in json.loads(capsys.readouterr().out)["faults"][0]
