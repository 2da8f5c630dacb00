"""``python -m benchmarks.scale_out``: the dry run on Celery workers that share nothing but URLs.

Three dry runs of the same posts: LocalExecutor with two slots and a local folder; two Celery workers with Redis
and an object store; the same with one worker killed in the middle. Everything in staging must be equal after all three.
"""

import argparse
import dataclasses
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.support.dump import OF_THE_RUN
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.running_airflow import RunningAirflow
from tests.support.servers import ObjectStore, running_object_store, running_redis

from benchmarks.__main__ import ROOT, SERVER, about
from benchmarks.airflow_run import DryRun, airflow_over, batch_id, dry_run
from benchmarks.observe import end_on_signals, server_of
from benchmarks.site import Site, build, with_staging
from waitlist.source.batch_files import GATES
from waitlist.staging import StagingStore, schema

WORKERS = ("worker-1", "worker-2")
LOCAL, CELERY, KILLED = "LocalExecutor", "two-workers", "one-killed"
"""The runs, by their ids."""
_LOST_AFTER_SECONDS = 30
_LONGEST_TASK_SECONDS = 3 * 3600
_WARM = ("waitlist_airflow.warm_workers", "airflow.providers.amazon.aws.fs.s3", "s3fs")
# They belong to a run and not to its result.
_LEFT_OUT = {"batch_event", "access_log"}
_OWN = [*OF_THE_RUN, "batch_id", "run_id"]
Contents = dict[str, tuple[int, str]]
"""Rows of each table, and a digest of what they hold."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all three, print the comparison, and return how many tables differ."""
    given = _parser().parse_args(arguments)
    end_on_signals()
    with running_postgres(**SERVER) as server, tempfile.TemporaryDirectory(prefix="waitlist-scale-out-") as folder:
        _say(f"{given.posts:,} posts: making the synthetic PMO")
        site = build("postgresql", given.posts, Path(folder) / "site", server)
        runs, found = {}, {}
        for name, run, contents in _measure(site, server, given):
            runs[name], found[name] = run, contents
    kept = {"about": about(), "posts": given.posts, "killed_in": given.kill_in}
    kept |= {"runs": {name: dataclasses.asdict(run) for name, run in runs.items()}, "contents": found}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    print(f"\n{table(runs, found)}\n\nAll of it, each task included: {given.out}")
    differ = [name for name in found[LOCAL] if len({contents[name] for contents in found.values()}) > 1]
    print(f"Not equal: {', '.join(differ)}" if differ else "All three are equal.")
    return len(differ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_out", description="Run the dry run on Celery.")
    parser.add_argument("--posts", type=int, default=1_000_000)
    parser.add_argument("--partition", type=int, help="posts a partition, about; by default as the project has it")
    parser.add_argument("--kill-in", choices=("extract", "assess"), default="assess", help="where a worker is killed")
    parser.add_argument("--patience", type=int, default=1800, metavar="SECONDS", help="seconds that a run may take")
    parser.add_argument("--out", type=Path, default=ROOT / ".bench" / "scale-out.json", metavar="FILE")
    return parser


def _measure(site: Site, server: PostgresServer, given: argparse.Namespace) -> Iterator[tuple[str, DryRun, Contents]]:
    settings = {"WAITLIST_PARTITION_POSTS": str(given.partition)} if given.partition else {}
    process = server_of(server.port)

    def run(airflow: RunningAirflow, run_id: str, meanwhile: Callable[[], None]) -> tuple[str, DryRun, Contents]:
        found = dry_run(airflow, here, process, run_id, meanwhile)
        _say(f"{run_id}: {found.posts:,} posts in {found.seconds:.1f} s (load {os.getloadavg()[0]:.1f})")
        return run_id, found, contents_of(here, run_id)

    here = with_staging(site, server, 0)
    _say("LocalExecutor, two slots, snapshots in a local folder")
    with airflow_over(here, server, settings, patience=given.patience) as airflow:
        yield run(airflow, LOCAL, lambda: None)
    here = with_staging(site, server, 1)
    _say(f"CeleryExecutor, {len(WORKERS)} workers, snapshots in an object store")
    with (
        running_redis() as queue,
        running_object_store() as store,
        airflow_over(here, server, settings | celery(queue, store), patience=given.patience) as airflow,
    ):
        for worker in WORKERS:
            start_worker(airflow, worker)
        yield run(airflow, CELERY, lambda: None)
        yield run(airflow, KILLED, lambda: kill_a_worker(airflow, KILLED, given.kill_in))


def celery(queue: str, store: ObjectStore) -> dict[str, str]:
    """Return the settings that every part of Airflow needs, in addition to those of a single machine."""
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__BROKER_URL": queue,
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",
        # Imported before a task's process is forked, as the LocalExecutor's workers have it.
        "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": json.dumps({"imports": _WARM}),
        # Longer than any task: until then Redis gives a message to no other worker.
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(_LONGEST_TASK_SECONDS),
        # A task whose worker has died has no heartbeat; Airflow runs it again.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(_LOST_AFTER_SECONDS),
        "AIRFLOW_CONN_WAITLIST_SNAPSHOTS": store.connection,
        "WAITLIST_SNAPSHOT_URL": f"s3://waitlist_snapshots@{store.bucket}/dry-runs",
    }


def start_worker(airflow: RunningAirflow, name: str) -> None:
    """Start a Celery worker that shares no folder with the others except the one for logs."""
    own = airflow.home.folder / name
    own.mkdir()
    airflow.start_component(
        name,
        ["celery", "worker", "--celery-hostname", name, "--skip-serve-logs"],
        {
            "AIRFLOW_HOME": str(own),
            "TMPDIR": str(own),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(airflow.home.folder / "logs"),
            "WAITLIST_DATA_DOCS_DIR": str(own / "data_docs"),
        },
    )


def kill_a_worker(airflow: RunningAirflow, run_id: str, task: str) -> None:
    """Wait until a worker runs a part of this task, then kill it together with the task's processes."""

    def busy() -> tuple[str, int] | None:
        for (task_id, index), found in airflow.tasks(run_id).items():
            if task_id == task and found["state"] == "running" and found["pid"]:
                worker = airflow.component_of(found["pid"])
                if worker is not None:
                    return worker, index
        return None

    worker, index = airflow.until(f"a worker runs {task}", busy)
    airflow.kill(worker)
    _say(f"killed {worker} in {task} {index}")

    def tried_again() -> bool:
        return bool(airflow.task(run_id, task, index)["try_number"] > 1)

    airflow.until(f"{task} {index} is tried again", tried_again)


def contents_of(site: Site, run_id: str) -> Contents:
    """Return the content of staging for a run, independent of the order of its rows."""
    store, contents = StagingStore(site.staging), {}
    with store.database.connected() as connection:
        for found in schema.READ:
            if found.name in _LEFT_OUT or "batch_id" not in found.columns:
                continue
            # Gates are measured against the dry run before.
            but_gates = f" AND name <> '{GATES}'" if found is schema.batch_file else ""
            statement = sa.text(
                f"SELECT count(*), coalesce(sum(hashtextextended((to_jsonb(t) - :own)::text, 0)), 0)"
                f" FROM {found.fullname} AS t WHERE batch_id = :batch{but_gates}"
            ).bindparams(sa.bindparam("own", _OWN, sa.ARRAY(sa.Text)))
            rows, digest = connection.execute(statement, {"batch": batch_id(run_id)}).one()
            contents[found.name] = int(rows), str(digest)
    store.engine.dispose()
    return contents


def table(runs: Mapping[str, DryRun], found: Mapping[str, Contents]) -> str:
    """Return the comparison in Markdown."""
    lines = [f"| | {' | '.join(runs)} | equal |", f"| --- |{' ---: |' * len(runs)} --- |"]

    def line(what: str, values: Sequence[str], equal: str = "") -> None:
        lines.append(f"| {what} | {' | '.join(values)} | {equal} |")

    line("seconds", [f"{run.seconds:.1f}" for run in runs.values()])
    # The processor time of a killed process is lost.
    line("CPU seconds", ["" if name == KILLED else f"{run.cpu_seconds:.1f}" for name, run in runs.items()])
    line("database CPU seconds", [f"{run.database_cpu_seconds:.1f}" for run in runs.values()])
    line("largest process, MB", [f"{run.peak_bytes / 2**20:,.0f}" for run in runs.values()])
    for name in found[LOCAL]:
        each: list[Any] = [contents[name] for contents in found.values()]
        equal = "yes" if len(set(each)) == 1 else "**no**"
        line(f"rows of {name}", [f"{rows:,}" for rows, _ in each], equal)
    return "\n".join(lines)


def _say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
