"""What a newcomer types: a command that lacks a connection says so at once, and the demo's nights have their logs."""

import importlib.util
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from waitlist.paths import PROJECT

BOTH = "set AIRFLOW_CONN_PMO and AIRFLOW_CONN_MILLENNIUM_STAGING (docs/settings.md#connections has examples)"


def check(home: Path, **given: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "WAITLIST"))}
    return subprocess.run(
        [PROJECT / "scripts" / "dry_run.sh", "check"],
        env={**known, "AIRFLOW_HOME": str(home), **given}, text=True, capture_output=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_dry_run_without_connections_says_in_one_line_what_to_set(tmp_path: Path) -> None:
    for home in (tmp_path / "none", airflow_with(tmp_path)):
        done = check(home)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"{BOTH}; make demo needs none\n"
    done = check(tmp_path, AIRFLOW_CONN_PMO="{}")
    assert done.stderr.startswith("set AIRFLOW_CONN_MILLENNIUM_STAGING (")


@pytest.mark.parametrize(
    "given",
    [
        {"AIRFLOW_CONN_PMO": "{}", "AIRFLOW_CONN_MILLENNIUM_STAGING": "{}"},
        {"AIRFLOW__SECRETS__BACKEND": "vault"},
        {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://airflow"},
    ],
)
def test_a_dry_run_whose_connections_may_be_known_goes_on(tmp_path: Path, given: dict[str, str]) -> None:
    assert check(tmp_path, **given).returncode == 0


def test_a_dry_run_whose_connections_airflow_has_goes_on(tmp_path: Path) -> None:
    assert check(airflow_with(tmp_path, "pmo", "millennium_staging")).returncode == 0
    (tmp_path / "airflow.db").unlink()
    (tmp_path / "airflow.cfg").write_text("[state_store]\nbackend = x\n[secrets]\nbackend = vault\n", encoding="utf-8")
    assert check(tmp_path).returncode == 0


def airflow_with(home: Path, *connections: str) -> Path:
    database = f"[database]\nsql_alchemy_conn = sqlite:///{home}/airflow.db\n"
    sections = f"{database}[state_store]\nbackend = x\n[secrets]\nbackend =\n"
    (home / "airflow.cfg").write_text(sections, encoding="utf-8")
    with closing(sqlite3.connect(home / "airflow.db")) as database, database:
        database.execute("CREATE TABLE connection (conn_id TEXT)")
        database.executemany("INSERT INTO connection VALUES (?)", [(name,) for name in connections])
    return home


@pytest.fixture
def history() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_history", PROJECT / "scripts" / "demo_history.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_each_step_of_a_night_has_its_log_where_airflow_looks_for_it(history: ModuleType, tmp_path: Path) -> None:
    begins = "2024-10-01T02:00:00Z [info] [DAG TEST] running task <TaskInstance: waitlist_dry_run."
    run = "manual__2024-09-20T04:00:00+02:00"
    lines = [
        "creating dag run",
        f"{begins}plan_extract {run} [TaskInstanceState.SCHEDULED] ti_id=1> loc=dag.py:1",
        "no such table: bilaga",
        f"{begins}extract {run} map_index=1 [TaskInstanceState.SCHEDULED] ti_id=2> loc=dag.py:1",
        "read 200 posts",
    ]
    history.keep_step_logs("\n".join(lines), tmp_path)
    found = {path.relative_to(tmp_path).as_posix(): path.read_text("utf-8") for path in tmp_path.rglob("*.log")}
    folder = f"dag_id=waitlist_dry_run/run_id={run}"
    assert found == {
        f"{folder}/task_id=plan_extract/attempt=1.log": "no such table: bilaga\n",
        f"{folder}/task_id=extract/map_index=1/attempt=1.log": "read 200 posts\n",
    }
