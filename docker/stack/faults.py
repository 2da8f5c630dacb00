"""Faults on the running stack, one after the other: after each the law holds, and the next dry run is as before.

python docker/stack/faults.py <url> <file of the admin's password> <as-of date> <wave> [<fault> ...]

Each fault comes while a dry run loads. Then the released rows must be what they were, a run that failed must have shown
nothing, and a run that succeeded, or the next one, must give each post the disposition that it had before. Needs the
environment of `scripts/stack.sh`, which starts it; a restart of the daemon needs root.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from walk import DRY_RUN, LEAD, Stack, require, until, walk

SERVICES = (
    "airflow-worker", "airflow-scheduler", "airflow-apiserver", "airflow-dag-processor", "airflow-triggerer",
    "redis", "metadata-db", "staging-db", "pmo-db",
)  # fmt: skip
NETWORK = f"{os.environ.get('COMPOSE_PROJECT_NAME', '')}_default"
RUNS = f"/api/v2/dags/{DRY_RUN}/dagRuns"
CUT_OFF_SECONDS = 60
BUSY = frozenset({"extract", "assess"})
RELEASED = """
SELECT count(*), md5(string_agg(post_id || row_hash, ',' ORDER BY post_id))
FROM millennium_staging.bokningsbegaran_released
"""
JUDGED = """
SELECT count(*), md5(string_agg(post_id || disposition, ',' ORDER BY post_id))
FROM millennium_staging.disposition JOIN millennium_staging.batch USING (batch_id) WHERE run_id = '{run}'
"""


def command(*words: str) -> str:
    """Run a command; return what it printed."""
    # Our own words alone.
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603


def succeeds(*words: str) -> bool | None:
    """Tell whether a command succeeds, in the way that ``until`` asks."""
    try:
        command(*words)
    except subprocess.CalledProcessError:
        return None
    return True


def container(service: str) -> str:
    """Return the id of a service's container."""
    return command("docker-compose", "ps", "--quiet", service)


def ask_staging(query: str) -> str:
    """Return the one row of a query of the staging database, once it answers."""
    psql = ("psql", "--host=localhost", "--username=waitlist", "--dbname=staging", "--no-align", "--tuples-only")
    inside = f'PGPASSWORD=$(cat /run/secrets/staging_db_password) {" ".join(psql)} --command="$0"'

    def answer() -> str | None:
        try:
            return command("docker-compose", "exec", "-T", "staging-db", "bash", "-c", inside, query)
        except subprocess.CalledProcessError:
            return None

    return until("staging answers", answer)


@contextmanager
def killed(service: str) -> Iterator[None]:
    """Kill a service's processes at once, and start it again."""
    command("docker", "kill", container(service))
    try:
        time.sleep(5)
    finally:
        command("docker", "start", container(service))
    yield


@contextmanager
def restarted(service: str) -> Iterator[None]:
    """Restart a service as an administrator does."""
    command("docker", "restart", "--time", "10", container(service))
    yield


@contextmanager
def cut_off(service: str) -> Iterator[None]:
    """Take a service off the network for a while, without a word to it."""
    name = container(service)
    command("docker", "network", "disconnect", NETWORK, name)
    try:
        time.sleep(CUT_OFF_SECONDS)
    finally:
        command("docker", "network", "connect", "--alias", service, NETWORK, name)
    yield


@contextmanager
def full_volume(service: str) -> Iterator[None]:
    """Fill the volume of the snapshots until the run has ended."""
    file = "/opt/waitlist/snapshots/full"
    fill = f"dd if=/dev/zero of={file} bs=64k 2>/dev/null; df --output=avail /opt/waitlist/snapshots | tail -1"
    free = command("docker-compose", "exec", "-T", service, "bash", "-c", fill)
    require(int(free) == 0, f"the volume is not full: {free} KB are free")
    try:
        yield
    finally:
        command("docker-compose", "exec", "-T", service, "rm", file)


@contextmanager
def daemon_restarted(_: str) -> Iterator[None]:
    """End the Docker daemon, and start it as it was started."""
    pid = int(Path("/var/run/docker.pid").read_text(encoding="utf-8"))
    words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").rstrip("\0").split("\0")
    os.kill(pid, signal.SIGTERM)
    try:
        until("the daemon has ended", lambda: not Path(f"/proc/{pid}").exists() or None)
    finally:
        with Path("/dev/null").open("wb") as nothing:
            subprocess.Popen(words, stdout=nothing, stderr=nothing, start_new_session=True)  # noqa: S603 - as it was started
    until("the daemon answers", lambda: succeeds("docker", "info"))
    # A daemon that ends stops the containers, and one that starts brings back those that ran.
    command("docker-compose", "up", "--detach", "--no-recreate")
    yield


@dataclass(frozen=True)
class Fault:
    """A fault that comes while a dry run loads."""

    name: str
    inflict: Callable[[str], AbstractContextManager[None]]
    service: str = ""


FAULTS = (
    *(Fault(f"kill-{service}", killed, service) for service in SERVICES),
    *(Fault(f"restart-{service}", restarted, service) for service in ("airflow-worker", "staging-db")),
    *(Fault(f"cut-off-{service}", cut_off, service) for service in ("airflow-worker", "staging-db", "pmo-db")),
    Fault("full-volume", full_volume, "airflow-worker"),
    Fault("restart-daemon", daemon_restarted),
)


class Trial:
    """One stack, what its readers saw before the faults, and the dry runs that must not differ."""

    def __init__(self, stack: Stack, as_of: str) -> None:
        self.stack, self.as_of = stack, as_of
        self.released = ask_staging(RELEASED)
        run = self.begin()
        require(self.ended(run) == "success", "the dry run before the faults failed")
        self.judged = ask_staging(JUDGED.format(run=run))

    def begin(self) -> str:
        """Start a dry run, once Airflow answers; return its id."""

        def begun() -> str | None:
            try:
                answer = self.stack.ask(LEAD, "POST", RUNS, json={"logical_date": None, "conf": {"as_of": self.as_of}})
            except httpx.TransportError:
                return None
            return str(answer.json()["dag_run_id"]) if answer.status_code == 200 else None

        return until("a dry run is begun", begun)

    def read(self, path: str) -> dict[str, Any] | None:
        """Return the JSON of an address, or None where Airflow does not answer just now."""
        try:
            answer = self.stack.ask(LEAD, "GET", path)
        except httpx.TransportError:
            return None
        return dict(answer.json()) if answer.status_code == 200 else None

    def ended(self, run: str) -> str:
        """Wait until a run has ended; return its state."""

        def state() -> str | None:
            found = self.read(f"{RUNS}/{run}")
            return str(found["state"]) if found and found["state"] in {"success", "failed"} else None

        return until("the dry run has ended", state)

    def loads(self, run: str) -> bool | None:
        """Tell whether a step that reads or loads is at work."""
        found = self.read(f"{RUNS}/{run}/taskInstances?limit=100") or {"task_instances": []}
        tasks = ((task["task_id"], task["state"]) for task in found["task_instances"])
        return any(name in BUSY and state == "running" for name, state in tasks) or None

    def holds(self, run: str) -> str:
        """Wait for the end of a run, and require that it showed everything or nothing; return its state."""
        state = self.ended(run)
        require(ask_staging(RELEASED) == self.released, "the released rows are not what they were")
        judged = ask_staging(JUDGED.format(run=run))
        require(state == "failed" or judged == self.judged, f"the run succeeded, and differs: {judged}")
        shown = until("the dashboard answers", lambda: self.read("/migrering/api/oversikt"))["posts"]
        require(str(shown) == self.judged.partition("|")[0], f"the dashboard shows {shown} posts")
        return state

    def bear(self, fault: Fault) -> None:
        """Inflict a fault while a dry run loads; the run or the next one must be as it was before the faults."""
        run = self.begin()
        until("the run loads", lambda: self.loads(run))
        begun = time.monotonic()
        with fault.inflict(fault.service):
            state = self.holds(run)
        sys.stdout.write(f"  the run ended as {state} after {time.monotonic() - begun:.0f} s\n")
        if state == "failed":
            sys.stdout.write(f"  failed: {', '.join(self.stack.failed(DRY_RUN, run))}\n")
            following = self.begin()
            healed = self.holds(following) == "success"
            require(healed, f"the next dry run failed too: {', '.join(self.stack.failed(DRY_RUN, following))}")


def main(url: str, password_file: str, as_of: str, wave: str, *names: str) -> None:
    """Inflict the faults that are named, or all."""
    # So that a fault is undone before the script takes the stack down.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    unknown = set(names) - {fault.name for fault in FAULTS}
    require(not unknown, f"no such fault: {', '.join(sorted(unknown))}")
    trial = Trial(walk(url, password_file, as_of, wave), as_of)
    for number, fault in enumerate(chosen := [fault for fault in FAULTS if not names or fault.name in names], 1):
        sys.stdout.write(f"{number}/{len(chosen)} {fault.name}\n")
        trial.bear(fault)
    sys.stdout.write(f"{len(chosen)} faults, and the law held after each.\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
