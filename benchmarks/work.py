"""``python -m benchmarks.work NAME SITE``: one piece of work in a process of its own; prints what it took, as JSON.

Starting Python and importing modules is not measured: a long-running worker does that once.
"""

import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import arrow_odbc
from tests.support.runs import NOW, request
from upath import UPath

from benchmarks.naive import script
from benchmarks.site import AS_OF, Site
from waitlist.settings import Settings
from waitlist.source.pmo import PmoSource, Selection
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Run

Steps = dict[str, float]
Work = Callable[[], tuple[int, Steps]]
"""Does the work, once everything is ready; returns the number of posts, and seconds by step."""


def raw(site: Site) -> Work:
    """Read PMO by arrow-odbc, by the statements that the extract sends, and throw everything away."""
    settings = Settings(mappings_dir=site.mappings)
    # SQLite's driver keeps a whole result in memory, so one chunk at a time is selected; PostgreSQL's driver streams.
    at_a_time = settings.chunk_posts if site.database == "sqlite" else settings.partition_posts
    source = PmoSource(site.pmo, Settings(mappings_dir=site.mappings, partition_posts=at_a_time))
    selection = Selection(AS_OF)
    partitions = source.plan(selection)
    connection_string, statements, options = source.bulk_read(selection, partitions)

    def read() -> tuple[int, Steps]:
        connection = arrow_odbc.connect(connection_string)
        readers = (
            connection.read_arrow_batches(statement.sql, parameters=statement.parameters, **options)
            for statement in statements
        )
        return sum(batch.num_rows for reader in readers for batch in reader), {}

    return read


def naive(site: Site) -> Work:
    """Run the simple script."""
    return lambda: (script(site.pmo, site.staging, Settings(mappings_dir=site.mappings), AS_OF), {})


def one_process(site: Site) -> Work:
    """Extract, assess and load, one partition after the other."""
    return lambda: _direct(site, None)


def two_processes(site: Site) -> Work:
    """Extract, assess and load, two partitions at a time, as two worker slots do."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["waitlist.steps.pipeline", "adbc_driver_postgresql.dbapi"])
    pool = ProcessPoolExecutor(2, mp_context=context)
    list(pool.map(time.sleep, [0.2, 0.2]))  # both processes are started before the time is measured
    return lambda: _direct(site, pool)


def _pipeline(site: Site) -> Pipeline:
    return Pipeline(
        Settings(mappings_dir=site.mappings),
        snapshots=UPath(site.folder / "snapshots"),
        pmo=lambda: site.pmo,
        staging=lambda: site.staging,
    )


def _extract(site: Site, run: Run, number: int) -> int:
    return int(_pipeline(site).extract(run, number)["posts"])


def _assess(site: Site, run: Run, number: int) -> int:
    return int(_pipeline(site).assess(run, number, now=NOW)["posts"])


def _direct(site: Site, pool: Executor | None) -> tuple[int, Steps]:
    steps: Steps = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        steps[name] = round(time.monotonic() - begun, 2)

    def in_all_partitions(work: Callable[..., Any], run: Run, items: Sequence[Any]) -> list[Any]:
        return list((pool.map if pool else map)(work, [site] * len(items), [run] * len(items), items))

    pipeline = _pipeline(site)
    with step("open"):
        run = pipeline.open_batch(request(), now=NOW)
    with step("plan"):
        numbers = pipeline.plan_extract(run)
    with step("extract"):
        in_all_partitions(_extract, run, numbers)
    with step("duplicates"):
        pipeline.find_duplicates(run)
    with step("assess and load"):
        posts = sum(in_all_partitions(_assess, run, numbers))
    if pool:
        pool.shutdown()
    return posts, steps


WORK: dict[str, Callable[[Site], Work]] = {
    "raw": raw,
    "naive": naive,
    "direct-1": one_process,
    "direct-2": two_processes,
}


def main(name: str, about: str) -> None:
    """Do one piece of work and print what it took."""
    told = json.loads(about)
    work = WORK[name](Site(**{**told, "folder": Path(told["folder"])}))
    cpu, begun = _cpu(), time.monotonic()
    posts, steps = work()
    seconds = time.monotonic() - begun
    print(json.dumps({"posts": posts, "seconds": seconds, "cpu_seconds": _cpu() - cpu, "steps": steps}))


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


if __name__ == "__main__":
    main(*sys.argv[1:])
