"""DAG files are parsed again and again, also by every task, so they must import very little."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.airflow_home import ROOT, AirflowHome

from waitlist.swedish.steps import DAG_LABELS, STEP_LABELS

FILES = [*sorted((ROOT / "dags").glob("*.py")), *sorted((ROOT / "plugins").glob("*.py"))]
SECONDS = 0.3
"""Of processor time, beyond importing Airflow."""

OURS = {
    "waitlist", "waitlist.exceptions", "waitlist.paths", "waitlist.settings", "waitlist_airflow",
    "waitlist_airflow.approval", "waitlist_airflow.wiring", "waitlist_airflow.guard", "waitlist_airflow.notify",
    "waitlist_airflow.lineage_guard",
    "waitlist_airflow.pu", "waitlist_airflow.runs", "waitlist_airflow.steps", "waitlist.steps", "waitlist.steps.order",
    "waitlist.swedish", "waitlist.swedish.steps",
}  # fmt: skip
"""Modules of this project that parsing may import."""
OTHERS = {"airflow", "argparse", "asgiref", "dotenv", "packaging", "pydantic", "pydantic_settings"}
"""Packages that it may import beyond what Airflow has imported by then."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> AirflowHome:
    return AirflowHome(tmp_path_factory.mktemp("airflow"), {"WAITLIST_PMO_READERS": "3"})


def parse(home: AirflowHome, **given: str) -> dict[str, Any]:
    script: list[str | Path] = [sys.executable, ROOT / "tests" / "support" / "parse_dags.py", *FILES]
    done = subprocess.run(script, env=home.env | given, text=True, capture_output=True, check=True)
    told = next(line for line in done.stdout.splitlines() if line.startswith("PARSED"))
    return dict(json.loads(told.removeprefix("PARSED")))


@pytest.fixture(scope="module")
def parsed(home: AirflowHome) -> dict[str, Any]:
    return parse(home)


def test_nothing_heavy_is_imported(parsed: dict[str, Any]) -> None:
    modules = {name for name in parsed["modules"] if not name.startswith("parsed_")}
    ours = {name for name in modules if name.partition(".")[0] in {"waitlist", "waitlist_airflow"}}
    assert ours - OURS == set()
    assert {name.partition(".")[0] for name in modules - ours} - OTHERS - set(sys.stdlib_module_names) == set()


def test_all_files_together_parse_in_a_moment(home: AirflowHome, parsed: dict[str, Any]) -> None:
    # The least of a few: a busy machine makes any one of them slower, none faster.
    assert min(parsed["seconds"], parse(home)["seconds"], parse(home)["seconds"]) < SECONDS


def test_every_dag_and_step_has_the_same_swedish_name_as_on_the_pages(parsed: dict[str, Any]) -> None:
    labels = parsed["labels"]
    assert {dag: names.pop("dag") for dag, names in labels.items()} == DAG_LABELS
    assert [(dag, task) for dag, names in labels.items() for task in names if names[task] != STEP_LABELS[task]] == []


def test_as_many_tasks_read_pmo_at_a_time_as_are_set(parsed: dict[str, Any]) -> None:
    assert parsed["readers"] == {"waitlist_dry_run": 3, "waitlist_migration": 3}


def test_those_who_ask_the_person_service_share_a_pool_and_wait_after_a_failure(
    home: AirflowHome, parsed: dict[str, Any]
) -> None:
    # Where nobody is asked, a deployment needs no such pool, and a run has no such step.
    assert parsed["asking"] == {"waitlist_migration": {"approve": ["default_pool", 30.0]}}
    required = parse(home, WAITLIST_PU="required")
    assert required["asking"] == {
        "waitlist_dry_run": {"check_persons": ["pu", 360.0]},
        "waitlist_migration": {"approve": ["pu", 30.0], "check_persons": ["pu", 360.0]},
    }
    for dag in ("waitlist_dry_run", "waitlist_migration"):
        before, without = required["after"][dag], parsed["after"][dag]
        assert all("check_persons" in before[task] for task in ("assess", "check_snapshot", "verify"))
        assert {task: {*names} - {"check_persons"} for task, names in before.items() if task != "check_persons"} == {
            task: {*names} for task, names in without.items()
        }


@pytest.mark.parametrize("dag", ["waitlist_dry_run", "waitlist_migration"])
def test_a_batch_is_shown_only_after_every_check_and_no_message_is_sent_before(
    parsed: dict[str, Any], dag: str
) -> None:
    after = parsed["after"][dag]
    checks = {
        "check_contract",
        "assess",
        "find_changes",
        "check_snapshot",
        "reconcile",
    }
    assert checks <= set(after["verify"])
    needs = {"report", "watch_gates", "note_outcomes", "request_approval"}
    assert all("verify" in after[task] for task in needs & after.keys())
    last = {"report", "watch_gates", "note_outcomes", "verify_releases", "watch_receipts", "mark_failed", "conclude"}
    assert set(after["mark_failed"]) >= after.keys() - last


@pytest.mark.parametrize("dag", ["waitlist_dry_run", "waitlist_migration", "waitlist_withdrawal"])
def test_a_run_ends_as_the_database_says_in_any_state_of_the_other_steps(parsed: dict[str, Any], dag: str) -> None:
    after = parsed["after"][dag]
    beside = {"report", "watch_gates", "note_outcomes", "verify_releases", "watch_receipts", "conclude"}
    assert set(after["conclude"]) == after.keys() - beside
    assert parsed["ends"][dag] == {"conclude": "all_done_setup_success"}
