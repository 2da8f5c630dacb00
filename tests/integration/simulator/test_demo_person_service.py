"""The demos' person service: it is set up by one function of the scripts, and ends with the script in any way."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from waitlist.paths import PROJECT
from waitlist.simulator.person_service import Person, write_people
from waitlist.staging import StagingStore, persons

DEAD = Person("198503142383", surname="Provsson", reason="AV")
SCRIPT = """
set -euo pipefail
source scripts/env.sh
demo_person_service "$1" 2024-10-01
python - <<'PYTHON'
import json, os
print(json.dumps(dict(os.environ)), flush=True)
PYTHON
echo "$person_service"
read -r ended
stop_person_service
echo stopped
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    write_people([DEAD], tmp_path / "people.parquet")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("WAITLIST_", "AIRFLOW_"))}
    with subprocess.Popen(
        ["bash", "-c", SCRIPT, "demo", tmp_path], cwd=PROJECT, env=environ, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        yield process
        process.kill()


def started(script: subprocess.Popen[str]) -> tuple[dict[str, str], psutil.Process]:
    assert script.stdout is not None
    told = json.loads(script.stdout.readline())
    return told, psutil.Process(int(script.stdout.readline()))


def test_runs_are_set_to_ask_it_and_a_deceased_person_was_seen(script: subprocess.Popen[str], tmp_path: Path) -> None:
    told, service = started(script)
    assert {name: told[name] for name in ("WAITLIST_PU", "WAITLIST_PU_ASK_PAST", "WAITLIST_PU_TEST_PERSONS")} == {
        "WAITLIST_PU": "required",
        "WAITLIST_PU_ASK_PAST": "true",
        "WAITLIST_PU_TEST_PERSONS": "allow",
    }
    assert len(told["WAITLIST_PU_NAME_KEY"]) >= 32
    assert (tmp_path / "pu" / "name_key").stat().st_mode & 0o777 == 0o600
    connection = json.loads(told["AIRFLOW_CONN_PU"])
    assert connection["host"] == told["WAITLIST_PU_URL"]
    assert all(Path(file).is_file() for file in connection["extra"].values())
    assert persons.deceased_seen_at(StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}").database, "P1") is not None
    output, _ = script.communicate("\n", timeout=30)
    assert output == "stopped\n"
    assert not service.is_running()


def test_it_ends_with_the_script_even_where_that_is_killed(script: subprocess.Popen[str]) -> None:
    _, service = started(script)
    script.kill()
    script.wait(20)
    assert psutil.wait_procs([service], timeout=20)[1] == []
