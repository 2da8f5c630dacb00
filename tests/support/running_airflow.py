"""Airflow as in production: api-server, scheduler and dag-processor, driven over REST."""

import base64
import json
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from tests.support.airflow_home import ROOT, AirflowHome
from tests.support.postgres import free_port

T = TypeVar("T")

DAG = "waitlist_dry_run"
DEADLINE_SECONDS = 240
_POLL_SECONDS = 0.5
_GRACE_SECONDS = 5
_USER = "admin"
USERS = {_USER: "admin", "lead": "op", "other": "op", "editor": "user", "viewer": "viewer"}
"""The users that can log in, and their roles: only the lead may approve a wave and see persons."""
_LOG_TAIL = 4_000
_ENDED = {"success", "failed"}


@dataclass
class RunningAirflow:
    """A running Airflow; methods concern the dry run's DAG unless another is named."""

    home: AirflowHome
    url: str
    passwords: Mapping[str, str]
    patience: float = DEADLINE_SECONDS
    """The longest wait, in seconds."""
    components: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self._client = httpx.Client(base_url=self.url, timeout=120)

    def start(self, *, runs_tasks: bool = True) -> None:
        """Start the components, or the api-server alone, and return once they are ready."""
        others = (["dag-processor"], ["scheduler", "--skip-serve-logs"]) if runs_tasks else ()
        for name, *options in (["api-server"], *others):
            self.start_component(name, [name, *options])
        # The tasks' API builds itself at its first request, and takes longer than a task would wait for it.
        self.until("the api-server answers", lambda: self._answers("/execution/health"))
        self._log_in(self._client, _USER)
        if runs_tasks:
            self.until("the DAG is known", lambda: self._answers(f"/api/v2/dags/{DAG}"))

    def start_component(self, name: str, command: Sequence[str], given: Mapping[str, str] | None = None) -> None:
        """Start an ``airflow`` command as a component, with ``given`` on top of the environment."""
        with self._log(name).open("wb") as log:
            self.components[name] = subprocess.Popen(
                # If the tests themselves are killed, nothing else ends it.
                ["setpriv", "--pdeathsig", "TERM", "airflow", *command],
                env={**self.home.env, **(given or {})},
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Tasks have process groups of their own: only the session contains a component's whole tree.
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """Kill a component and all its processes at once, as when its machine loses power."""
        component = self.components.pop(name)
        for process in _of_sessions({component.pid}):
            process.kill()
        component.wait(_GRACE_SECONDS)

    def component_of(self, pid: int) -> str | None:
        """Return the component to whose tree a process belongs."""
        session = _session(pid)
        return next((name for name, process in self.components.items() if process.pid == session), None)

    def stop(self) -> None:
        """End every process of every component; a process that does not end after SIGTERM is killed.

        Raises:
            AssertionError: something is still running.
        """
        self._client.close()
        for component in self.components.values():
            component.send_signal(signal.SIGTERM)
        psutil.wait_procs(self.processes(), timeout=_GRACE_SECONDS)
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for component in self.components.values():
            component.wait(_GRACE_SECONDS)
        _, left = psutil.wait_procs(self.processes(), timeout=_GRACE_SECONDS)
        assert not left, f"still running: {left}"

    def as_user(self, user: str) -> httpx.Client:
        """Return a client that is logged in as another of ``USERS``."""
        client = httpx.Client(base_url=self.url, timeout=120)
        self._log_in(client, user)
        return client

    def token(self, user: str) -> str:
        """Return the token of a user that is logged in, which is the bearer token and the cookie's value."""
        with closing(self.as_user(user)) as client:
            return str(client.headers["Authorization"].removeprefix("Bearer "))

    def get(self, path: str, *, dag: str = DAG, **query: Any) -> Any:
        """Send a GET for a DAG to the REST API."""
        return self._client.get(f"/api/v2/dags/{dag}{path}", params=query).raise_for_status().json()

    def post(self, path: str, *, dag: str = DAG, **body: Any) -> Any:
        """Send a POST for a DAG to the REST API."""
        answer = self._client.post(f"/api/v2/dags/{dag}{path}", json=body)
        assert answer.is_success, f"POST {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def unpause(self, *, dag: str = DAG) -> None:
        """Let the scheduler run a DAG."""
        self._client.patch(f"/api/v2/dags/{dag}", json={"is_paused": False}).raise_for_status()

    def trigger(self, run_id: str, *, dag: str = DAG, run_after: str | None = None, **params: Any) -> str:
        """Start a run by hand, without a logical date, as the trigger form does when it is left empty."""
        moment = {} if run_after is None else {"run_after": run_after}
        self.post("/dagRuns", dag=dag, dag_run_id=run_id, logical_date=None, conf=params, **moment)
        return run_id

    def clear(
        self, run_id: str, tasks: Sequence[str | tuple[str, int]] = (), *, downstream: bool = False, dag: str = DAG
    ) -> None:
        """Clear tasks of a run, or all of it."""
        if tasks:
            chosen = {"dag_run_id": run_id, "task_ids": tasks, "include_downstream": downstream}
            self.post("/clearTaskInstances", dag=dag, dry_run=False, only_failed=False, **chosen)
        else:
            self.post(f"/dagRuns/{run_id}/clear", dag=dag, dry_run=False, only_failed=False)

    def forge(self, user: str, dag: str, run_id: str, task_id: str, value: Any) -> None:
        """Write a value that a user invents into a task's XCom, or in its place."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        with closing(self.as_user(user)) as client:
            known = client.post(path, json={"key": "return_value", "value": value})
            if known.status_code == httpx.codes.CONFLICT:
                known = client.patch(f"{path}/return_value", json={"value": value})
            known.raise_for_status()

    def mark(self, user: str, dag: str, run_id: str, task_id: str, state: str = "success") -> None:
        """Mark a task as done, as a user."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task_id}"
        with closing(self.as_user(user)) as client:
            client.patch(path, json={"new_state": state}).raise_for_status()

    def task_ids(self) -> list[str]:
        """Return the DAG's tasks."""
        return [task["task_id"] for task in self.get("/tasks")["tasks"]]

    def runs(self, run_type: str) -> list[dict[str, Any]]:
        """Return the runs of a type."""
        return list(self.get("/dagRuns", run_type=run_type)["dag_runs"])

    def tasks(self, run_id: str, *, dag: str = DAG) -> dict[tuple[str, int], dict[str, Any]]:
        """Return a run's task instances by task and map index."""
        found = self.get(f"/dagRuns/{run_id}/taskInstances", dag=dag, limit=100)["task_instances"]
        return {(task["task_id"], task["map_index"]): task for task in found}

    def task(self, run_id: str, task_id: str, map_index: int) -> dict[str, Any]:
        """Return one mapped task instance."""
        return dict(self.get(f"/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}"))

    def knows_ended(self, dag: str, run_id: str, task_id: str, try_number: int, *, times: int = 1) -> bool:
        """Return whether the scheduler has noticed that the processes of a task's try ended, so many times.

        Airflow 3.3 fails a human step that is answered before that, in the second in which it asks its question.
        """
        key = f"dag_id='{dag}', task_id='{task_id}', run_id='{run_id}', try_number={try_number},"
        noticed = f"Received executor event with state success for task instance TaskInstanceKey({key}"
        return self._log("scheduler").read_text(encoding="utf-8").count(noticed) >= times

    def ended(self, run_id: str, *, dag: str = DAG, state: str = "success") -> None:
        """Wait until a run has ended in the expected state.

        Raises:
            AssertionError: it ended in another state; with the logs of the tasks that failed.
        """
        came = self.until(f"run {run_id} ends", lambda: self._ended_as(run_id, dag))
        if came != state:
            failed = [task for task in self.tasks(run_id, dag=dag).values() if task["state"] == "failed"]
            logs = (self.task_log(run_id, task["task_id"], task["map_index"], dag=dag) for task in failed)
            raise AssertionError("\n".join((f"run {run_id} ended as {came}, not {state}", *logs)))

    def task_log(self, run_id: str, task_id: str, map_index: int = -1, *, dag: str = DAG) -> str:
        """Return the logs of all tries of a task."""
        mapped = f"map_index={map_index}/" if map_index >= 0 else ""
        folder = self.home.folder / "logs" / f"dag_id={dag}" / f"run_id={run_id}" / f"task_id={task_id}" / mapped
        return "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("attempt=*.log")))

    def until(self, what: str, tell: Callable[[], T | None]) -> T:
        """Call ``tell`` again and again until it returns an answer, and return that.

        Raises:
            AssertionError: the time is up, or a component has ended; with the tails of the components' logs.
        """
        deadline = time.monotonic() + self.patience
        while (found := tell()) is None or found is False:
            ended = [name for name, process in self.components.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                why = f"{', '.join(ended)} ended" if ended else f"{self.patience:.0f} s are up"
                tails = (f"--- {name}\n{self._log(name).read_text()[-_LOG_TAIL:]}" for name in self.components)
                raise AssertionError("\n".join((f"waiting until {what}: {why}", *tails)))
            time.sleep(_POLL_SECONDS)
        return found

    def _log_in(self, client: httpx.Client, user: str) -> None:
        login = {"username": user, "password": self.passwords[user]}
        token = client.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"

    def _ended_as(self, run_id: str, dag: str) -> str | None:
        state = str(self.get(f"/dagRuns/{run_id}", dag=dag)["state"])
        return state if state in _ENDED else None

    def _answers(self, path: str) -> bool:
        try:
            return self._client.get(path).is_success
        except httpx.TransportError:
            return False

    def _log(self, component: str) -> Path:
        return self.home.folder / f"{component}.log"

    def processes(self) -> list[psutil.Process]:
        """Return every process of every component."""
        return _of_sessions({component.pid for component in self.components.values()})


@contextmanager
def running_airflow(
    folder: Path,
    database: str,
    given: Mapping[str, str],
    *,
    patience: float = DEADLINE_SECONDS,
    runs_tasks: bool = True,
) -> Iterator[RunningAirflow]:
    """Start an Airflow on free ports with a database of its own, its DAGs paused, and end all of it.

    Args:
        folder: the new Airflow's home.
        database: URL of an empty PostgreSQL database, which Airflow has in production.
        given: connections and settings of the project, as environment variables.
        patience: seconds that a run may take.
        runs_tasks: start the scheduler and the dag-processor too.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    passwords, secret = {user: secrets.token_hex() for user in USERS}, secrets.token_hex(32)
    folder.mkdir(parents=True)
    # The components start at once: none may read what another is still writing, with keys that it has invented.
    (folder / "airflow.cfg").touch()
    kept = folder / "passwords.json"
    kept.write_text(json.dumps(passwords), encoding="utf-8")
    settings = {
        "PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'plugins'}:{ROOT}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "3",
        "AIRFLOW__CORE__MP_FORKSERVER_PRELOAD": "waitlist_airflow.warm_workers",
        "AIRFLOW__SCHEDULER__MP_START_METHOD": "forkserver",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        # A worker may notice the end of its task only at the next heartbeat.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # The three belong together: a task finds its way back by the last.
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__SECRET_KEY": secret,
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(kept),
    }
    airflow = RunningAirflow(AirflowHome(folder, {**settings, **given}), url, passwords, patience)
    try:
        airflow.start(runs_tasks=runs_tasks)
        yield airflow
    finally:
        airflow.stop()


def _of_sessions(sessions: set[int]) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _session(process.pid) in sessions]


def _session(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, _parent, _group, session = stat.rpartition(")")[2].split()[:4]
    # A zombie has ended; only its parent has not read its status yet.
    return None if state == "Z" else int(session)
