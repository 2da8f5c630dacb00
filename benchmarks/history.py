"""``python -m benchmarks.history``: many nights on one database, with retention at work.

Each night is a dry run of another day by the pipeline's steps, without Airflow: what grows with the nights is in the
staging database. Retention runs after each night, so that it has one batch to remove as soon as enough nights are
kept. The pages are asked for after the second night and after the last one, both times those of the unit that has the
most posts in the second.
"""

import argparse
import datetime as dt
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import sqlalchemy as sa
from tests.support.postgres import running_postgres
from tests.support.runs import request

from benchmarks import dashboard
from benchmarks.__main__ import ROOT, SERVER, about
from benchmarks.observe import cpu_seconds, end_on_signals, server_of
from benchmarks.site import AS_OF, Site, build, with_staging
from benchmarks.work import _pipeline
from waitlist.staging import StagingStore, schema
from waitlist.steps.pipeline import Pipeline

EARLY: Final = 2
"""The night that later ones are compared with: the first one also makes the tables and imports modules."""
SOME: Final = 5
"""Nights whose median is compared, from ``EARLY`` on and up to the last: one alone varies by more than the goal."""
NIGHT_GOAL: Final = 1.1
PAGE_GOAL: Final = 1.5
AT_ONCE: Final = 0.1
"""Seconds of a page whose growth does not matter."""
_STATE: Final = """
SELECT
    pg_database_size(current_database()),
    (SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables),
    (SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'millennium_staging'::regnamespace)
"""
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as the command line says."""
    given = _parser().parse_args(arguments)
    end_on_signals()
    logging.getLogger("waitlist").setLevel(logging.ERROR)  # each night warns that nothing signs its checkpoint
    pages: dict[int, list[Row]] = {}
    with running_postgres(**SERVER) as server, tempfile.TemporaryDirectory(prefix="waitlist-history-") as folder:
        (at := Path(folder) / "site").mkdir()
        _say(f"{given.posts:,} posts: making the synthetic PMO")
        site = with_staging(build("postgresql", given.posts, at, server), server, 1)
        rows = []
        store, unit = StagingStore(site.staging), ""
        print(HEAD, flush=True)
        for row in nights(site, server_of(server.port), given.nights, given.keep):
            print(line(row), flush=True)
            rows.append(row)
            if row["night"] in {EARLY, given.nights}:
                _say(f"asking for the pages after night {row['night']}")
                unit = unit or largest_unit(store, row["as_of"])
                pages[row["night"]] = dashboard.measure(site.folder, site.database, site.staging, unit)
    found = {"about": about(), "posts": given.posts, "keep": given.keep, "nights": rows, "pages": pages}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"\n{summary(rows, pages, given.keep)}\n\nAll of it: {given.out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description="Measure many nights.")
    parser.add_argument("--posts", type=int, default=100_000)
    parser.add_argument("--nights", type=int, default=60)
    parser.add_argument("--keep", type=int, default=30, help="nights that retention keeps")
    parser.add_argument("--out", type=Path, default=ROOT / ".bench" / "history.json", metavar="FILE")
    return parser


def nights(site: Site, server: psutil.Process, count: int, keep: int) -> Iterator[Row]:
    """Yield what each night took, and what it left."""
    for number in range(1, count + 1):
        day = AS_OF - dt.timedelta(count - number)
        pipeline = _pipeline(site)
        with _measured(server) as took:
            batch_id = take(pipeline, day)
        with _measured(server) as retention:
            removed = pipeline.remove_expired(day, keep_days=keep - 1, only_tell=False, now=_at(day))
        posts = pipeline.store.batch(batch_id).posts_extracted or 0
        yield {
            "night": number, "as_of": day.isoformat(), "posts": posts, **took,
            "us_per_post": took["seconds"] / posts * 1e6, "removed": removed["batches"],
            "retention_seconds": retention["seconds"], "load": os.getloadavg()[0],
            **_state(pipeline.store, site.folder),
        }  # fmt: skip


def take(pipeline: Pipeline, day: dt.date) -> str:
    """Take every step of a night, those after ``verify`` included, and return its batch."""
    run = pipeline.take_night(request(f"night-{day}", as_of=day), now=_at(day))
    pipeline.report(run, lambda _: None)
    pipeline.watch_gates(run, lambda _: None)
    pipeline.note_outcomes(run, now=_at(day))
    return run.batch_id


def largest_unit(store: StagingStore, day: str) -> str:
    """Return the unit with the most posts in the dry run of a day."""
    batch, counts = schema.batch.c, schema.unit_summary.c
    query = sa.select(counts.enhet_hsa_id).join(schema.batch, batch.batch_id == counts.batch_id)
    query = query.where(batch.as_of == dt.date.fromisoformat(day), counts.enhet_hsa_id != "")
    largest = query.group_by(counts.enhet_hsa_id).order_by(sa.func.sum(counts.posts).desc(), counts.enhet_hsa_id)
    with store.engine.connect() as connection:
        return connection.scalars(largest.limit(1)).one()


@contextmanager
def _measured(server: psutil.Process) -> Iterator[Row]:
    took: Row = {}
    begun, cpu, database = time.monotonic(), time.process_time(), cpu_seconds(server)
    yield took
    took["seconds"] = time.monotonic() - begun
    took["cpu_seconds"] = time.process_time() - cpu
    took["database_cpu_seconds"] = cpu_seconds(server) - database


def _state(store: StagingStore, folder: Path) -> Row:
    with store.engine.connect() as connection:
        size, dead, tables = connection.execute(sa.text(_STATE)).one()
    files = sum(path.stat().st_size for path in (folder / "snapshots").rglob("*") if path.is_file())
    held = psutil.Process().memory_info().rss
    return {
        "database_bytes": int(size), "dead_rows": int(dead), "tables": int(tables), "snapshot_bytes": files,
        "memory_bytes": held,
    }  # fmt: skip


HEAD: Final = (
    "| night | posts | seconds | µs a post | CPU s | database CPU s | retention s | database | dead rows | tables |"
    " snapshots | memory |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def line(row: Row) -> str:
    """Return a night in Markdown."""
    database, files, memory = (
        f"{row[name] / 2**20:,.0f} MB" for name in ("database_bytes", "snapshot_bytes", "memory_bytes")
    )
    return (
        f"| {row['night']} | {row['posts']:,} | {row['seconds']:.1f} | {row['us_per_post']:.1f} |"
        f" {row['cpu_seconds']:.1f} | {row['database_cpu_seconds']:.1f} | {row['retention_seconds']:.2f} |"
        f" {database} | {row['dead_rows']:,} | {row['tables']} | {files} | {memory} |"
    )


def summary(rows: Sequence[Row], pages: dict[int, list[Row]], keep: int) -> str:
    """Return in Markdown how the last nights compare with the first, and each page with itself."""
    some = min(SOME, len(rows) // 2)
    early, late = rows[EARLY - 1 : EARLY - 1 + some], rows[-some:]
    lines = [f"Medians of {some} nights from night {EARLY} on, and of the last {some}:", ""]
    lines += ["| | first | last | times |", "| --- | ---: | ---: | ---: |"]
    for name, told in (
        ("us_per_post", "µs a post"),
        ("database_cpu_seconds", "database CPU s"),
        ("cpu_seconds", "CPU s"),
    ):
        before, after = (statistics.median(row[name] for row in part) for part in (early, late))
        lines.append(_compared(told, before, after, ".1f", NIGHT_GOAL if name == "us_per_post" else None))
    full = next((row for row in rows if row["night"] == keep), rows[-1])
    for name, told in (("database_bytes", "database, MB"), ("dead_rows", "dead rows")):
        scale = 2**20 if name == "database_bytes" else 1
        with_all = f"{told}: night {full['night']} and the last"
        lines.append(_compared(with_all, full[name] / scale, rows[-1][name] / scale, ",.0f", None))
    removals = [row["retention_seconds"] for row in rows if row["removed"]]
    if removals:
        lines += ["", f"Retention of a night: {statistics.median(removals):.2f} s, at most {max(removals):.2f} s."]
    if len(pages) > 1:
        (first, before_pages), (last, after_pages) = sorted(pages.items())
        lines += [
            "",
            f"| page | posts, night {first} | night {last} | ms, night {first} | night {last} | times | a post |",
        ]
        lines += ["| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
        known = {row["page"]: row for row in before_pages}
        lines += [_page(known[row["page"]], row) for row in after_pages if row["page"] in known]
    return "\n".join(lines)


def _page(before: Row, after: Row) -> str:
    """Return how a page compares with itself: in all, which the goal is for, and for each post that it is about."""
    grown = after["posts"] / before["posts"]
    times = after["seconds"] / before["seconds"]
    missed = " (missed)" if after["seconds"] > AT_ONCE and times > PAGE_GOAL else ""
    return (
        f"| {after['page']} | {before['posts']:,} | {after['posts']:,} | {before['seconds'] * 1e3:,.0f} |"
        f" {after['seconds'] * 1e3:,.0f} | {times:.2f}{missed} | {times / grown:.2f} |"
    )


def _compared(told: str, before: float, after: float, form: str, goal: float | None) -> str:
    times = "" if not before else f"{after / before:.2f}"
    missed = " (missed)" if goal is not None and before and after > goal * before else ""
    return f"| {told} | {before:{form}} | {after:{form}} | {times}{missed} |"


def _at(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(4), dt.UTC)


def _say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
