"""A whole dry run whose PMO or staging database stops answering: it fails, says why, and the next run succeeds."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support import attacks, batches
from tests.support.airflow_home import ROOT, AirflowHome
from tests.support.pmo import AS_OF, official_number, postgres_pmo, posts
from tests.support.postgres import PostgresServer
from tests.support.silence import silent_proxy

from waitlist.staging import StagingStore, schema

POSTS = 1_500
REASON = "Orsaksmarkör xyzzy, "
LIMITS = {"WAITLIST_CONNECT_SECONDS": "2", "WAITLIST_LOCK_SECONDS": "2", "WAITLIST_ANSWER_SECONDS": "2"}
STEPS = {"plan_extract", "extract", "assess", "find_changes"}
NAME = "Zebramarkör Ärla"
LIMIT_SECONDS = 90.0
"""For a run: some waits of two seconds, and its other steps on a busy machine."""
PATIENCE_SECONDS = 300.0
"""For all runs together."""


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    state: str
    failed: list[str]
    seconds: float
    log: str


def run_all(home: AirflowHome, runs: list[dict[str, Any]]) -> list[Ended]:
    """Run dry runs one after the other; return those that ended in time."""
    log = home.folder / "runs.log"
    command = [sys.executable, ROOT / "tests/support/run_dags.py", ROOT / "dags", "waitlist_dry_run", json.dumps(runs)]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, env=home.env, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as running,
    ):
        try:
            running.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
    told = [part.partition("\nENDED") for part in log.read_text(encoding="utf-8").split("\nRUN ")[1:]]
    return [Ended(**json.loads(ended.splitlines()[0]), log=said) for said, _, ended in told if ended]


@pytest.mark.attack
def test_a_run_ends_when_a_peer_goes_silent_and_the_next_one_heals(postgres: PostgresServer, tmp_path: Path) -> None:
    pmo = postgres_pmo(postgres, posts(range(1, POSTS + 1), orsak=REASON * 40, namn=NAME))
    staging = postgres.create_database()

    def to_pmo(port: int) -> dict[str, str]:
        extra = dict(pair.split("=", 1) for pair in pmo.odbc.split(";"))
        extra |= {"driver": extra.pop("Driver").strip("{}"), "Port": str(port)}
        return {"AIRFLOW_CONN_PMO": json.dumps({"conn_type": "odbc", "extra": extra})}

    def to_staging(port: int) -> dict[str, str]:
        url = postgres.libpq(staging).replace(str(postgres.port), str(port))
        return {"AIRFLOW_CONN_MILLENNIUM_STAGING": url}

    home = AirflowHome(tmp_path / "airflow", LIMITS)
    real = to_pmo(postgres.port) | to_staging(postgres.port)
    with ExitStack() as stack:
        planning, reading, loading = (stack.enter_context(silent_proxy(postgres.port)) for _ in range(3))
        planning.be_silent_after(b"vantelistepost")
        reading.be_silent_after(b"vantelistepost", 300_000)
        loading.be_silent_after(b"COPY ")
        given = [
            real | to_pmo(planning.port), real | to_pmo(reading.port), real | to_staging(loading.port), real
        ]  # fmt: skip
        conf = {"as_of": AS_OF.isoformat()}
        ended = run_all(home, [{"environment": environment, "conf": conf} for environment in given])
    assert [(one.state, set(one.failed) & STEPS) for one in ended] == [
        ("failed", {"plan_extract"}), ("failed", {"extract"}), ("failed", {"assess"}), ("success", set())
    ]  # fmt: skip
    assert ["PMO did not answer for 2 s" in one.log for one in ended] == [True, True, False, False]
    assert "the staging database did not answer for 2 s" in ended[2].log
    said = (home.folder / "runs.log").read_text(encoding="utf-8")
    assert not [text for text in (NAME, REASON, official_number(), official_number().replace("-", "")) if text in said]
    store = StagingStore(postgres.libpq(staging))
    told = [(batch["state"], batch["posts_extracted"]) for batch in batches.rows(store, schema.batch)]
    assert [one for one in told if one[0] == "verified"] == [("verified", POSTS)]
    print([round(one.seconds, 1) for one in ended])
    held = sum(one.seconds < LIMIT_SECONDS for one in ended)
    attacks.record("a whole dry run: PMO or staging goes silent", tries=4, held=held)
