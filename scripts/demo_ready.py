"""Wait until the demo's Airflow answers, and let a wave wait for its approval, once.

    python scripts/demo_ready.py URL PASSWORDS FOLDER PID...

Ends with 1 when one of the processes has ended, or when Airflow has not answered in five minutes.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Final

import httpx

DEADLINE_SECONDS: Final = 300
MIGRATION: Final = "waitlist_migration"
WAVE: Final = {"wave": "1", "as_of": "2024-10-01"}


def main(url: str, passwords: Path, folder: Path, components: list[int]) -> int:
    """Wait, then trigger the migration of the first wave where that has not been done before."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    login = {"username": "lead", "password": json.loads(passwords.read_text(encoding="utf-8"))["lead"]}
    with httpx.Client(base_url=url, timeout=60) as client:
        while not _ready(client, login):
            if time.monotonic() > deadline or not all(map(_runs, components)):
                return 1
            time.sleep(1)
        asked = folder / "asked"
        if not asked.exists():
            client.patch(f"/api/v2/dags/{MIGRATION}", json={"is_paused": False}).raise_for_status()
            run = {"logical_date": None, "conf": WAVE}
            client.post(f"/api/v2/dags/{MIGRATION}/dagRuns", json=run).raise_for_status()
            asked.touch()
    return 0


def _ready(client: httpx.Client, login: dict[str, str]) -> bool:
    """Log in, and return whether Airflow has read the DAG."""
    try:
        answer = client.post("/auth/token", json=login)
        if not answer.is_success:
            return False
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        # The tasks' API builds itself at its first request.
        return client.get("/execution/health").is_success and client.get(f"/api/v2/dags/{MIGRATION}").is_success
    except httpx.TransportError:
        return False


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), [int(pid) for pid in sys.argv[4:]]))
