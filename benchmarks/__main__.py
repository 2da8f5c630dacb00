"""``python -m benchmarks``: measure everything in one run, print a table, write JSON."""

import argparse
import dataclasses
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from tests.support.postgres import PostgresServer, running_postgres

from benchmarks.airflow_run import airflow_over, dry_run, warm_up
from benchmarks.observe import end_on_signals, run, server_of
from benchmarks.site import DATABASES, Site, build, with_staging

ROOT = Path(__file__).resolve().parents[1]
QUICK = (100_000,)
PATIENCE_SECONDS = 7200
"""The longest that a dry run may take."""
NAMES = {
    "raw": "raw ODBC read",
    "naive": "naive script",
    "direct-1": "extract, assess, load: one process",
    "direct-2": "extract, assess, load: two processes",
    "airflow": "whole dry run in Airflow, two slots",
}
_PACKAGES = (
    "apache-airflow", "great-expectations", "arrow-odbc", "pyodbc", "pyarrow", "adbc-driver-postgresql", "pandas",
    "numpy", "sqlalchemy",
)  # fmt: skip
# Settings as for a server with millions of rows; PostgreSQL's defaults are for very small machines.
SERVER = {
    "shared_buffers": "1GB", "work_mem": "64MB", "max_wal_size": "8GB", "min_wal_size": "8GB",
    "checkpoint_timeout": "15min", "random_page_cost": "1.1",
}  # fmt: skip
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as the command line says."""
    given = _parser().parse_args(arguments)
    end_on_signals()
    with running_postgres(**SERVER) as server, tempfile.TemporaryDirectory(prefix="waitlist-bench-") as folder:
        rows = [
            row
            for database in given.databases
            for posts in given.sizes
            for row in measure(database, posts, Path(folder) / f"{database}-{posts}", server, given)
        ]
    found = {"about": about(), "rows": rows}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"\n{table(rows)}\n\nAll of it, each task included: {given.out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the pipeline.")
    parser.add_argument("--sizes", type=int, nargs="+", default=QUICK, metavar="POSTS")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--what", nargs="+", choices=NAMES, default=(*NAMES, "raw"), help="in this order")
    parser.add_argument("--runs", type=int, default=1, help="runs of each kind of work; the median by time is reported")
    parser.add_argument("--out", type=Path, default=ROOT / ".bench" / "bench.json", metavar="FILE")
    return parser


def measure(database: str, posts: int, folder: Path, server: PostgresServer, given: argparse.Namespace) -> list[Row]:
    """Measure each kind of work on one size; return a row for each.

    The unit is the faster raw read where there are several, since a slow one would flatter the rest.
    """
    folder.mkdir()
    rows = []
    _say(f"{database}, {posts:,} posts: making the synthetic PMO")
    site = build(database, posts, folder, server)
    os.sync()  # otherwise the first measurement would include writing it to disk
    process = server_of(server.port)
    for what in given.what:
        _say(f"{database}, {posts:,} posts: {NAMES[what]}")
        work = _in_airflow if what == "airflow" else _in_a_process
        found = sorted(work(what, site, server, process, given.runs), key=lambda row: float(row["seconds"]))
        row = found[len(found) // 2] | {"all_seconds": [run["seconds"] for run in found]}
        row |= {
            "what": what, "database": database, "size": posts, "load": os.getloadavg()[0],
            "us_per_post": row["seconds"] / row["posts"] * 1e6, "ratio": None,
        }  # fmt: skip
        print(line(row), flush=True)
        rows.append(row)
    unit = min((row["seconds"] for row in rows if row["what"] == "raw"), default=None)
    return [row | {"ratio": row["seconds"] / unit if unit else None} for row in rows]


def _in_a_process(what: str, site: Site, server: PostgresServer, process: psutil.Process, runs: int) -> Iterator[Row]:
    for number in range(1 if what == "naive" else runs):  # it takes minutes, and much longer than the others
        here = with_staging(site, server, f"{what}-{number}")
        about_it = json.dumps({**dataclasses.asdict(here), "folder": str(here.folder)})
        cost = run(["benchmarks.work", what, about_it], process)
        told = json.loads(cost.said.splitlines()[-1])
        yield told | {"database_cpu_seconds": cost.database_cpu_seconds, "peak_bytes": cost.peak_bytes}


def _in_airflow(what: str, site: Site, server: PostgresServer, process: psutil.Process, runs: int) -> Iterator[Row]:
    here = with_staging(site, server, what)
    with airflow_over(here, server, patience=PATIENCE_SECONDS) as airflow:
        warm_up(airflow, here)
        for number in range(runs):
            found = dry_run(airflow, here, process, f"bench-{number}")
            yield dataclasses.asdict(found)


HEAD = (
    "| database | posts | what | seconds | µs a post | raw reads | CPU s | database CPU s | largest process |"
    " staging bytes a post |\n| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def line(row: Row) -> str:
    """Return one row of the table."""
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    bytes_a_post = f"{row['staging_bytes'] / row['posts']:.0f}" if "staging_bytes" in row else ""
    return (
        f"| {row['database']} | {row['posts']:,} | {NAMES[row['what']]} | {row['seconds']:.1f} |"
        f" {row['us_per_post']:.1f} | {ratio} | {row['cpu_seconds']:.1f} | {row['database_cpu_seconds']:.1f} |"
        f" {row['peak_bytes'] / 2**20:,.0f} MB | {bytes_a_post} |"
    )


def table(rows: Sequence[Row]) -> str:
    """Return the table in Markdown, and the time of each task of the largest run in Airflow."""
    parts = [HEAD, *map(line, rows)]
    in_airflow = [row for row in rows if row["what"] == "airflow"]
    if in_airflow:
        largest = max(in_airflow, key=lambda row: (int(row["posts"]), str(row["database"]) == "postgresql"))
        parts += ["", f"Tasks, {largest['database']}, {largest['posts']:,} posts:", ""]
        parts += ["| task | begins at | seconds | CPU s | peak memory |", "| --- | ---: | ---: | ---: | ---: |"]
        parts += [
            f"| {task['task']} | {task['start']:.1f} | {task['end'] - task['start']:.1f} |"
            f" {task['cpu_seconds']:.1f} | {task['peak_bytes'] / 2**20:,.0f} MB |"
            for task in largest["tasks"]
        ]
        parts += [
            f"| ({name}) | | | {took['cpu_seconds']:.1f} | {took['peak_bytes'] / 2**20:,.0f} MB |"
            for name, took in largest["components"].items()
        ]
    return "\n".join(parts)


def about() -> Row:
    """Say on what machine, with what versions and of which commit this was measured."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, text=True, capture_output=True, check=False
    )
    described = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = (entry.partition(":")[2].strip() for entry in described if entry.startswith("model name"))
    processor = next(named, platform.machine())
    return {
        "commit": commit.stdout.strip(),
        "machine": {"processor": processor, "cores": os.cpu_count(), "memory_bytes": psutil.virtual_memory().total},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "load_at_the_end": os.getloadavg(),
    }


def _say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
