"""``python -m benchmarks.dashboard``: each page of the dashboard beside its own SQL, on a large site.

The site: 300,000 posts at 150 units, two dry runs with all their rows made by the pipeline, and the counts of 198
earlier nights put in beside them, as retention leaves them. The pilot is withdrawn after its load, wave 2 is released
and partly answered by its receiver, and wave 1 awaits approval. ``dashboard_pages`` asks for the pages.
"""

import argparse
import csv
import datetime as dt
import json
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import make_url
from tests.support.airflow_home import ROOT, AirflowHome, sqlite_connection
from tests.support.batches import unguarded
from tests.support.postgres import running_postgres
from tests.support.runs import assessed, pipeline
from upath import UPath

from benchmarks.observe import end_on_signals
from waitlist import demo
from waitlist.facts.gates import Gate
from waitlist.release import decisions
from waitlist.release.gates import GateResult
from waitlist.release.receipts import files
from waitlist.release.sample.state import measure as measure_sample
from waitlist.settings import Settings
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.source.pmo import PmoSource
from waitlist.staging import PIPELINE, StagingStore, schema
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Request

AS_OF: Final = dt.date(2024, 10, 1)
GOAL: Final = 10.0
"""A page takes less than so many times its SQL, or ..."""
AT_ONCE: Final = 0.1
"""... so few seconds: where SQL takes a millisecond, writing the page takes longer than that."""
RELEASED: Final = "2"
"""The wave that is released."""
WAITING: Final = "1"
"""The wave that awaits approval."""
LEAD: Final = "lead"
REASON: Final = "Avstämt med enheterna"
DATABASES: Final = ("postgresql", "sqlite")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, write JSON; 1 when a page misses the goal."""
    given = _parser().parse_args(arguments)
    end_on_signals()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="waitlist-dashboard-") as folder, running_postgres() as server:
        site = Path(folder)
        build_pmo(site, given.posts, given.units)
        for database in given.databases:
            url = (
                f"sqlite:///{site / 'staging.sqlite'}"
                if database == "sqlite"
                else server.libpq(server.create_database())
            )
            build_staging(site, url, given.runs)
            rows += measure(site, database, url)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    about = {"posts": given.posts, "units": given.units, "runs": given.runs, "goal": GOAL}
    given.out.write_text(json.dumps({"about": about, "pages": rows}, indent=2) + "\n", encoding="utf-8")
    print(f"{table(rows)}\n\nAll of it: {given.out}")
    return int(any(missed(row) for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description="Measure the dashboard.")
    parser.add_argument("--posts", type=int, default=300_000)
    parser.add_argument("--units", type=int, default=150)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--out", type=Path, default=ROOT / ".demo" / "dashboard-benchmark.json")
    return parser


def build_pmo(site: Path, posts: int, units: int) -> None:
    """Make a synthetic PMO, and merge its many units into fewer larger ones."""
    generate(Order(posts, as_of=AS_OF), site, sqlite=site / "pmo.sqlite")
    with closing(sqlite3.connect(site / "pmo.sqlite")) as connection, connection:
        connection.execute("UPDATE vantelistepost SET enhet_id = (enhet_id - 1) % ? + 1", (units,))
        kept = {row[0] for row in connection.execute("SELECT hsa_id FROM enhet WHERE enhet_id <= ?", (units,))}
    path = site / MAPPINGS / "units.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row for row in rows if row["hsa_id"] in kept)


def build_staging(site: Path, url: str, runs: int) -> None:
    """Release the pilot, run the last two nights, and put the counts of those before in."""
    pmo = f"Driver={{SQLite3}};Database={site / 'pmo.sqlite'};StepAPI=1"
    steps = pipeline(site, pmo=pmo, staging=url, mappings=site / MAPPINGS)
    steps.store.migrate()
    demo.release_pilot(PmoSource(pmo, Settings.read()), steps.store, site)
    decisions.withdraw(steps.store, demo.BATCH, LEAD, REASON, _at(AS_OF - dt.timedelta(days=20)), loaded=True)
    released = put_to_approval(steps, RELEASED, AS_OF - dt.timedelta(days=3))
    decisions.release(steps.store, released, LEAD, REASON, _at(AS_OF - dt.timedelta(days=2)))
    take_receipts(steps.store, site, released, _at(AS_OF - dt.timedelta(days=1)))
    for nights_ago in (1, 0):
        day = AS_OF - dt.timedelta(days=nights_ago)
        latest = night(steps, Request("waitlist_dry_run", f"night-{day}", "dry_run", day))
    put_to_approval(steps, WAITING, AS_OF)
    put_in_nights(steps.store, latest, [AS_OF - dt.timedelta(days=number) for number in range(runs - 1, 1, -1)])
    put_in_looks(steps.store, latest)
    analyze(steps.store)


def put_to_approval(steps: Pipeline, wave: str, day: dt.date) -> str:
    """Take the steps of a wave's migration up to its question, the sample's gate included."""
    batch_id = night(steps, Request("waitlist_migration", f"wave-{wave}", "migration", day, waves=(wave,)))
    passed = [GateResult(gate, 0.0, 0.0, passed=True) for gate in Gate if gate is not Gate.SAMPLE]
    missing = measure_sample(steps.store, batch_id)
    sample = GateResult(Gate.SAMPLE, float(missing), 0.0, passed=missing == 0)
    decisions.request_approval(steps.store, batch_id, [*passed, sample], PIPELINE, _at(day))
    return batch_id


def take_receipts(store: StagingStore, site: Path, batch_id: str, at: dt.datetime) -> None:
    """Let the receiver answer: of ten posts six are booked, two accepted and one rejected; one gets no answer."""
    post = schema.bokningsbegaran.c
    with store.engine.connect() as connection:
        posts = connection.scalars(
            sa.select(post.post_id).where(post.batch_id == batch_id).order_by(post.post_id)
        ).all()
    folder = site / f"receipts-{store.database.dialect}"
    folder.mkdir()
    booked_for = AS_OF + dt.timedelta(days=150)
    with (folder / "receipts.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(schema.RECEIPT_COLUMNS)
        for number, post_id in enumerate(posts):
            if number % 10 < 6:
                writer.writerow([batch_id, post_id, "booked", at.isoformat(), f"m{post_id}", "", booked_for])
            elif number % 10 < 8:
                writer.writerow([batch_id, post_id, "accepted", at.isoformat(), f"m{post_id}", "", ""])
            elif number % 10 == 8:
                writer.writerow([batch_id, post_id, "rejected", at.isoformat(), "", "Platsen är okänd", ""])
    files.take(store, UPath(folder), {}, at + dt.timedelta(hours=1))


def night(steps: Pipeline, asked: Request) -> str:
    """Take every step of a run, and update the database's statistics in between, as the server itself would."""
    assert asked.as_of is not None
    day = asked.as_of
    run, _ = assessed(steps, asked)
    analyze(steps.store)
    steps.check_contract(run)
    steps.find_changes(run)
    steps.check_snapshot(run)
    steps.reconcile(run, now=_at(day))
    steps.verify(run, now=_at(day))
    if asked.kind == "dry_run":
        steps.watch_gates(run, lambda _: None)
    return run.batch_id


def analyze(store: StagingStore) -> None:
    """Let the database update its statistics."""
    with store.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text("ANALYZE"))


def put_in_nights(store: StagingStore, latest: str, days: Sequence[dt.date]) -> None:
    """Copy the counts of a dry run to earlier days, with more work left to do on earlier days."""
    copied = (schema.batch, schema.unit_summary, schema.quality_result, schema.batch_event)
    with unguarded(store) as connection:
        rows = {
            table: [
                dict(row) for row in connection.execute(sa.select(table).where(table.c.batch_id == latest)).mappings()
            ]
            for table in copied
        }
        for number, day in enumerate(days):
            own = {"batch_id": f"dry_run-{day}"}
            moment = {name: _at(day) for name in ("started_at", "finished_at")}
            batch = {**rows[schema.batch][0], **own, "run_id": f"night-{day}", "as_of": day, **moment}
            connection.execute(schema.batch.insert(), [batch])
            connection.execute(
                schema.unit_summary.insert(), _earlier(rows[schema.unit_summary], number / len(days), own)
            )
            connection.execute(schema.quality_result.insert(), [row | own for row in rows[schema.quality_result]])
            events = [row | own | {"at": _at(day)} for row in rows[schema.batch_event]]
            purged = events[-1] | {"event_no": len(events) + 1, "event": "purged", "details": "{}"}
            connection.execute(schema.batch_event.insert(), [*events, purged])


def put_in_looks(store: StagingStore, latest: str) -> None:
    """Put in an entry of the access log for each post, over the last 25 months, and an outcome for each hundredth."""
    post = schema.disposition.c
    query = sa.select(post.post_id, post.enhet_hsa_id).where(post.batch_id == latest).order_by(post.post_id)
    with unguarded(store) as connection:
        found = connection.execute(query).all()
        days, now = 760, dt.datetime.now(dt.UTC)
        for first in range(0, len(found), 10_000):
            part = list(enumerate(found[first : first + 10_000], first))
            looks = [
                {
                    "entry_id": f"{number:032x}", "at": now - dt.timedelta(days=number % days), "acting_for": "",
                    "user_id": f"user-{number % 97}", "action": "persons", "batch_id": latest, "posts": 1,
                    "enhet_hsa_id": row.enhet_hsa_id or "", "post_id": row.post_id,
                    "person_id": f"1980010{number % 10}{number % 10_000:04}",
                }
                for number, row in part
            ]  # fmt: skip
            said = [
                {
                    "post_id": row.post_id, "entry_no": 1, "enhet_hsa_id": row.enhet_hsa_id, "batch_id": latest,
                    "at": now, "actor": "lead", "outcome": "booked_pmo", "about": "",
                    "request_key": f"key-{number:020}",
                }
                for number, row in part
                if number % 100 == 0 and row.enhet_hsa_id
            ]  # fmt: skip
            connection.execute(schema.access_log.insert(), looks)
            connection.execute(schema.post_outcome.insert(), said)


def _earlier(summary: Sequence[dict[str, Any]], came: float, own: dict[str, str]) -> list[dict[str, Any]]:
    """Return a unit summary as it was when a share of the work had been done; no post is lost."""
    units: dict[str, dict[str, int]] = {}
    for row in summary:
        units.setdefault(row["enhet_hsa_id"], {})[row["disposition"]] = row["posts"]
    rows = []
    for hsa_id, posts in units.items():
        back = int(posts.get("migrate", 0) * (1 - came) * 0.6)
        then = posts | {"migrate": posts.get("migrate", 0) - back}
        then["move_to_sdv_list"] = then.get("move_to_sdv_list", 0) + back
        rows += [{**own, "enhet_hsa_id": hsa_id, "disposition": name, "posts": n} for name, n in then.items() if n]
    return rows


def measure(site: Path, database: str, url: str, *unit: str) -> list[dict[str, Any]]:
    """Ask for the pages in a process that has an Airflow of its own; ``unit`` is the unit whose pages are asked for."""
    at = make_url(url)
    staging = (
        sqlite_connection(Path(at.database or ""))
        if database == "sqlite"
        else json.dumps(
            {
                "conn_type": "postgres",
                "host": at.host,
                "port": at.port,
                "schema": at.database,
                "login": at.username,
                "password": at.password,
            }
        )
    )
    given = {
        "PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'plugins'}:{ROOT}",
        "AIRFLOW_CONN_MILLENNIUM_STAGING": staging,
        "WAITLIST_MAPPINGS_DIR": str(site / MAPPINGS),
        "WAITLIST_SNAPSHOT_URL": f"file://{site / 'snapshots'}",
        "WAITLIST_LEADS": "lead",
        "WAITLIST_PERSON_READERS": "lead",
        "WAITLIST_LOG_READERS": "lead",
    }
    home = AirflowHome(site / f"airflow-{database}", given)
    told = home.python("-m", "benchmarks.dashboard_pages", *unit)
    return [{"database": database, **row} for row in json.loads(told.stdout.splitlines()[-1])]


def missed(row: dict[str, Any]) -> bool:
    """Return whether a page misses the goal; what reads the snapshot or writes a PDF has no goal by its SQL."""
    return not row["other_work"] and row["seconds"] >= max(GOAL * row["sql_seconds"], AT_ONCE)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    lines = ["| database | page | time | its SQL alone | times | statements | size |", "| --- " * 7 + "|"]
    for row in rows:
        ratio = "–" if row["other_work"] else f"{row['seconds'] / row['sql_seconds']:.1f}"
        lines.append(
            f"| {row['database']} | {row['page']} | {row['seconds'] * 1000:.0f} ms"
            f" | {row['sql_seconds'] * 1000:.1f} ms | {ratio}{' (missed)' if missed(row) else ''}"
            f" | {row['statements']} | {row['kilobytes']} kB |"
        )
    return "\n".join(lines)


def _at(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(4), dt.UTC)


if __name__ == "__main__":
    sys.exit(main())
