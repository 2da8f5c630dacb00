"""The house rules that every DAG keeps."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.airflow_home import ROOT, AirflowHome

DAG_FILES = sorted((ROOT / "dags").glob("*.py"))
TAGS = {"waitlist", "dry-run", "migration", "retention"}


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = AirflowHome(tmp_path_factory.mktemp("airflow"), {})
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / "describe_dags.py", ROOT / "dags"],
        env=home.env,
        text=True,
        capture_output=True,
        check=True,
    )
    described = next(line for line in done.stdout.splitlines() if line.startswith("DAGS"))
    return dict(json.loads(described.removeprefix("DAGS")))


def test_every_dag_file_parses(bag: dict[str, Any]) -> None:
    assert bag["errors"] == {}
    assert set(bag["dags"]) == {path.stem for path in DAG_FILES}


def test_every_dag_says_what_it_does_and_how_to_rerun_it(bag: dict[str, Any]) -> None:
    for dag in bag["dags"].values():
        assert "Rerun" in dag["doc"]
        assert "docs/errors.md" in dag["doc"]


def test_the_swedish_handbook_says_what_to_do_when_any_step_has_failed(bag: dict[str, Any]) -> None:
    handbook = (ROOT / "docs" / "handbok.md").read_text(encoding="utf-8")
    section = handbook.split("## När ett steg har misslyckats")[1].split("\n## ")[0]
    steps = {task for dag in bag["dags"].values() for task in dag["tasks"]}
    assert [step for step in sorted(steps) if not re.search(rf"^\|[^|]*`{step}`", section, re.MULTILINE)] == []


def test_every_dag_has_known_tags_and_no_catch_up(bag: dict[str, Any]) -> None:
    for dag in bag["dags"].values():
        assert dag["tags"]
        assert set(dag["tags"]) <= TAGS
        assert not dag["catchup"]


def test_every_task_has_an_owner_retries_and_a_timeout(bag: dict[str, Any]) -> None:
    for dag in bag["dags"].values():
        for task in dag["tasks"].values():
            assert task["owner"] == "migreringsledningen"
            assert task["retries"] >= 1 or task["asks_a_human"]
            assert task["ends"]


def test_every_dag_sends_a_message_when_a_run_fails(bag: dict[str, Any]) -> None:
    for name, dag in bag["dags"].items():
        # The watch runs every hour, and sends one message for an outage.
        assert dag["tells"] is (name != "waitlist_watch")


def test_every_run_has_a_timeout_and_a_night_ends_before_the_next(bag: dict[str, Any]) -> None:
    longest = {name: dag["longest_hours"] for name, dag in bag["dags"].items()}
    assert all(longest.values()), longest
    assert longest["waitlist_dry_run"] < 24
    assert longest["waitlist_migration"] > longest["waitlist_withdrawal"] > 72


def test_params_are_described_in_the_trigger_form(bag: dict[str, Any]) -> None:
    for dag in bag["dags"].values():
        assert all(dag["params"].values()), dag["params"]


def test_the_dry_run_is_nightly_in_swedish_time_with_a_data_interval(bag: dict[str, Any]) -> None:
    schedule = bag["dags"]["waitlist_dry_run"]["schedule"]
    assert schedule == "CronDataIntervalTimetable(expression='0 4 * * *', timezone='Europe/Stockholm')"


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.name)
def test_a_dag_file_only_connects_steps(path: Path) -> None:
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    # The names that Airflow shows come from the message catalogue.
    assert imported <= {"datetime", "typing", "airflow.sdk", "waitlist_airflow", "waitlist.swedish.steps"}
