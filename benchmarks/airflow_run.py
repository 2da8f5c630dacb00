"""The whole dry run in an Airflow as in production: its own scheduler, LocalExecutor with two slots."""

import csv
import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
from sqlalchemy import make_url
from tests.support.airflow_home import odbc_sqlite, sqlite_connection
from tests.support.postgres import PostgresServer
from tests.support.running_airflow import DEADLINE_SECONDS, RunningAirflow, running_airflow

from benchmarks.observe import Watch, cpu_seconds
from benchmarks.site import AS_OF, Site
from waitlist.source.pmo.connection import _PAIR
from waitlist.staging import StagingStore
from waitlist.steps.run import Request

SLOTS = 2


@dataclass(frozen=True)
class DryRun:
    """What one dry run took."""

    posts: int
    seconds: float
    """From its first task's start to its last one's end."""
    cpu_seconds: float
    """Of Airflow's processes, the tasks included."""
    database_cpu_seconds: float
    tasks: list[dict[str, object]]
    """Each task's start and end, in seconds since the first one's, its peak memory and its processor time."""
    components: dict[str, dict[str, float]]
    """The same of Airflow's components around the tasks."""
    peak_bytes: int
    """Of the largest process."""
    staging_bytes: int
    """What it added to the staging database."""


@contextmanager
def airflow_over(
    site: Site, server: PostgresServer, given: Mapping[str, str] | None = None, *, patience: float = DEADLINE_SECONDS
) -> Iterator[RunningAirflow]:
    """Start an Airflow over the site, its DAGs paused but for the dry run; ``given`` are settings on top."""
    home = site.folder / f"airflow-{make_url(site.staging).database.rpartition('/')[2]}"
    settings = {**given_to(site), **(given or {})}
    with running_airflow(home, server.libpq(server.create_database()), settings, patience=patience) as airflow:
        airflow.unpause()
        yield airflow


def given_to(site: Site) -> dict[str, str]:
    """Return the environment variables that describe the site to an Airflow."""
    return {
        "AIRFLOW_CONN_PMO": _pmo(site),
        "AIRFLOW_CONN_MILLENNIUM_STAGING": _staging(site),
        "WAITLIST_MAPPINGS_DIR": str(site.mappings),
        # Two tasks at a time by the pool; a worker whose task has ended is free a moment later.
        "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": str(SLOTS),
        "AIRFLOW__CORE__PARALLELISM": str(2 * SLOTS),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    }


def warm_up(airflow: RunningAirflow, site: Site) -> None:
    """Run the posts of one unit, so that the workers are started, as in production."""
    with (site.mappings / "units.csv").open(encoding="utf-8", newline="") as file:
        unit = next(csv.DictReader(file))["hsa_id"]
    airflow.ended(airflow.trigger("warm-up", as_of=AS_OF.isoformat(), units=[unit]))


def dry_run(
    airflow: RunningAirflow,
    site: Site,
    server: psutil.Process,
    run_id: str,
    meanwhile: Callable[[], object] = lambda: None,
) -> DryRun:
    """Trigger a dry run, do something ``meanwhile``, wait for its end, and return what it took."""
    components = {component.pid: name for name, component in airflow.components.items()}

    size_before = staging_bytes(site)
    before, database_before = _cpu(airflow.processes()), cpu_seconds(server)
    components_before = {name: _cpu_alone(pid) for pid, name in components.items()}
    with Watch(airflow.processes) as watch:
        airflow.trigger(run_id, as_of=AS_OF.isoformat())
        meanwhile()
        airflow.ended(run_id)
    after = _cpu(airflow.processes())
    found = airflow.tasks(run_id)
    starts = {key: _moment(task["start_date"]) for key, task in found.items() if task["start_date"]}
    begun = min(starts.values())
    tasks = sorted(
        (
            {
                "task": task_id if index < 0 else f"{task_id} {index}",
                "start": round(starts[task_id, index] - begun, 2),
                "end": round(_moment(task["end_date"]) - begun, 2),
                "peak_bytes": watch.of(task["pid"]).peak_bytes,
                "cpu_seconds": round(watch.of(task["pid"]).cpu_seconds, 2),
            }
            for (task_id, index), task in found.items()
            if task["state"] == "success"
        ),
        key=lambda task: task["start"],
    )
    return DryRun(
        posts=StagingStore(site.staging).batch(batch_id(run_id)).posts_extracted or 0,
        seconds=max(float(task["end"]) for task in tasks),
        cpu_seconds=after - before,
        database_cpu_seconds=cpu_seconds(server) - database_before,
        tasks=tasks,
        components={
            name: {
                "peak_bytes": watch.of(pid).peak_bytes,
                "cpu_seconds": round(watch.of(pid).cpu_seconds - components_before[name], 2),
            }
            for pid, name in components.items()
        },
        peak_bytes=watch.largest(),
        staging_bytes=staging_bytes(site) - size_before,
    )


def staging_bytes(site: Site) -> int:
    """Return the size of the staging database."""
    size = {
        "postgresql": "SELECT pg_database_size(current_database())",
        "sqlite": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    }
    engine = StagingStore(site.staging).engine
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(size[engine.dialect.name]).scalar_one())


def batch_id(run_id: str) -> str:
    """Return the id of the batch of a run."""
    return Request("waitlist_dry_run", run_id, "dry_run", AS_OF).batch_id


def _cpu_alone(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _cpu(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _moment(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def _pmo(site: Site) -> str:
    if site.database == "sqlite":
        return odbc_sqlite(site.folder / "pmo.sqlite")
    told = {pair["key"]: pair["value"].strip("{}") for pair in _PAIR.finditer(site.pmo)}
    names = {"Server": "host", "Port": "port", "Uid": "login", "Database": "schema"}
    names["Pwd"] = "password"  # pragma: allowlist secret
    connection = {ours: told.pop(theirs) for theirs, ours in names.items()}
    extra = {"driver": told.pop("Driver"), **told}
    return json.dumps({"conn_type": "odbc", **connection, "port": int(connection["port"]), "extra": extra})


def _staging(site: Site) -> str:
    url = make_url(site.staging)
    if site.database == "sqlite":
        return sqlite_connection(url.database)
    return json.dumps(
        {
            "conn_type": "postgres", "host": url.host, "port": url.port, "login": url.username,
            "password": url.password, "schema": url.database,
        }
    )  # fmt: skip
