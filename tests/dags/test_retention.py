"""The retention DAG as Airflow runs it: what it removes, and that its log has only counts."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import batches
from tests.support.airflow_home import ROOT, AirflowHome, sqlite_connection

from waitlist.staging import StagingStore, schema
from waitlist.staging.migrate import Standing, standing


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> AirflowHome:
    folder = tmp_path_factory.mktemp("site")
    store = StagingStore(f"sqlite:///{folder / 'staging.sqlite'}")
    store.migrate()
    batches.put_verified(store, "old", "older")
    store.engine.dispose()
    for batch_id in ("old", "older"):
        snapshot = folder / "airflow" / "snapshots" / batch_id / "part-00000.parquet"
        snapshot.parent.mkdir(parents=True)
        snapshot.write_bytes(b"patient")
    given = {"AIRFLOW_CONN_MILLENNIUM_STAGING": sqlite_connection(folder / "staging.sqlite")}
    return AirflowHome(folder / "airflow", given)


def run(home: AirflowHome, **params: object) -> str:
    done = home.test("waitlist_retention", **params)
    return done.stdout + done.stderr


def rows(home: AirflowHome) -> dict[str, int]:
    store = StagingStore(f"sqlite:///{home.folder.parent / 'staging.sqlite'}")
    table = schema.bokningsbegaran.c
    with store.engine.connect() as connection:
        counts = connection.execute(sa.select(table.batch_id, sa.func.count()).group_by(table.batch_id))
        return {row[0]: row[1] for row in counts}


def snapshots(home: AirflowHome) -> list[str]:
    return sorted(path.parent.name for path in Path(home.folder / "snapshots").rglob("*.parquet"))


def test_it_removes_all_but_the_latest_dry_run_and_logs_only_counts(home: AirflowHome) -> None:
    said = run(home, keep_days=7)
    assert "removed in all: {'batches': 1," in said
    assert set(rows(home)) == {"older"}
    assert snapshots(home) == ["older"]
    assert batches.person_id(1) not in said
    assert "Testsson" not in said


def test_the_owner_of_the_tables_migrates_them_by_a_command(home: AirflowHome) -> None:
    store = StagingStore(f"sqlite:///{home.folder.parent / 'new.sqlite'}")
    given = {**home.env, "AIRFLOW_CONN_MILLENNIUM_STAGING": sqlite_connection(home.folder.parent / "new.sqlite")}
    command = [sys.executable, "-m", "waitlist_airflow.migrate"]
    subprocess.run(command, env=given, cwd=ROOT, check=True)
    assert standing(store.database) is Standing.CURRENT
    batches.execute(store, sa.text("UPDATE staging_version SET version_num = '9999'"))
    done = subprocess.run(command, env=given, cwd=ROOT, check=False, text=True, capture_output=True)
    assert (done.returncode, "revision 9999" in done.stderr) == (1, True)


def test_a_backup_and_its_restore_are_commands(home: AirflowHome) -> None:
    folder = home.folder.parent
    for act, file, code in (
        ("back-up", "kept.sqlite", 0),
        ("restore", "other.sqlite", 0),
        ("restore", "other.sqlite", 1),
    ):
        given = {**home.env, "AIRFLOW_CONN_MILLENNIUM_STAGING": sqlite_connection(folder / file)}
        if act == "back-up":
            StagingStore(f"sqlite:///{folder / file}").migrate()
        command = [sys.executable, "-m", "waitlist_airflow.backup", act, str(folder / "backup")]
        done = subprocess.run(command, env=given, cwd=ROOT, check=False, text=True, capture_output=True)
        assert done.returncode == code, done.stderr
    assert "empty database" in done.stderr
    assert standing(StagingStore(f"sqlite:///{folder / 'other.sqlite'}").database) is Standing.CURRENT
