"""A faulty setting never removes the DAGs from Airflow: a run fails and names the setting."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.airflow_home import ROOT, AirflowHome

FAULTS = {
    "WAITLIST_APPROVAL_HOURS": "99999999999999",
    "WAITLIST_PMO_READERS": "-1",
    "WAITLIST_KEEP_DAYS": "9" * 40,
    "WAITLIST_STRADDLE_POLICY": "hemligt",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> AirflowHome:
    return AirflowHome(tmp_path_factory.mktemp("airflow"), {"WAITLIST_APPROVERS": "lead", **FAULTS})


def dags_of(home: AirflowHome) -> dict[str, Any]:
    script: list[str | Path] = [sys.executable, ROOT / "tests" / "support" / "describe_dags.py", ROOT / "dags"]
    done = subprocess.run(script, env=home.env, text=True, capture_output=True, check=True)
    described = next(line for line in done.stdout.splitlines() if line.startswith("DAGS"))
    return dict(json.loads(described.removeprefix("DAGS")))


def test_every_dag_is_still_there(home: AirflowHome) -> None:
    described = dags_of(home)
    assert described["errors"] == {}
    assert set(described["dags"]) == {path.stem for path in (ROOT / "dags").glob("*.py")}


def test_a_run_fails_at_its_first_step_and_names_every_setting_but_no_value(home: AirflowHome) -> None:
    done = home.test("waitlist_retention", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "settings at fault" in said
    for name, value in FAULTS.items():
        assert name in said
        assert len(value) < 5 or value not in said
