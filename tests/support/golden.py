"""The result of a dry run over posts with every fault, as digests that a faster way must not change.

``python -m tests.support.golden``, from the repository's root, writes them again: after an intended change of a rule, a
mapping file or the synthetic PMO, never to make a faster way pass.
"""

import datetime as dt
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.support.runs import AS_OF, dry_run, pipeline, request
from waitlist import demo
from waitlist.settings import Settings
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.source.pmo import PmoSource, Selection
from waitlist.staging import StagingStore, schema
from waitlist.steps.pipeline import Pipeline

FILE = Path(__file__).parents[1] / "integration" / "data" / "golden.json"
SUITE_POSTS, ATTACK_POSTS = 20_000, 100_000
"""The suite compares the smaller run, which has every finding and every disposition; `make attacks` the larger too."""
_ROWS = 10_000

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "disposition": ("post_id", "enhet_hsa_id", "kategori", "disposition", "recommended_list", "driftstart"),
    "finding": ("post_id", "rule", "severity", "detail"),
    "bokningsbegaran": (
        "post_id", "person_id", "begard_plats", "patientnamn", "begart_startdatum", "begart_slutdatum", "besokstyp",
        "vardinrattning", "beskrivning", "sekretess", "row_hash",
    ),
    "quality_result": (
        "suite", "expectation", "column", "severity", "evaluated", "unexpected", "threshold", "outcome",
    ),
    "unit_summary": ("enhet_hsa_id", "disposition", "posts"),
    "released_change": ("post_id", "change", "columns"),
}  # fmt: skip
"""The staged tables and the columns that are compared; a column that is added later is not."""

_KEYED_BY_TEXT = {"quality_result", "unit_summary"}
_COUNTED = {"disposition": "disposition", "finding": "rule"}


def order(posts: int) -> Order:
    """Return the order for a synthetic PMO of so many posts."""
    return Order(posts, seed=5, as_of=AS_OF)


def settings(posts: int) -> dict[str, int]:
    """Return the settings of the run: four partitions, the last of them not full."""
    return {"partition_posts": posts * 3 // 10}


def prepare(folder: Path, posts: int, *, pmo: str, staging: str) -> Pipeline:
    """Release the pilot of the synthetic PMO in a folder, and return a pipeline over both."""
    store = StagingStore(staging)
    store.migrate()
    demo.release_pilot(PmoSource(pmo, Settings()), store, folder)
    return pipeline(folder, pmo=pmo, staging=staging, mappings=folder / MAPPINGS, **settings(posts))


def extracted(pmo: str, posts: int) -> dict[str, object]:
    """Digest the posts that are read: when this differs, the synthetic PMO has changed; other digests say nothing."""
    source, selection = PmoSource(pmo, Settings(**settings(posts))), Selection(AS_OF)
    rows = (
        row
        for partition in source.plan(selection)
        for table in source.read(selection, partition)
        for row in zip(*(column.to_pylist() for column in table.columns), strict=True)
    )
    return _digest(rows)


def staged(store: StagingStore, batch_id: str) -> dict[str, Any]:
    """Digest every table of a batch, and count dispositions and findings so that a difference can be located."""
    found: dict[str, Any] = {}
    tables = {table.name: table for table in schema.READ}
    with store.database.connected() as connection:
        streaming = connection.execution_options(stream_results=True)
        for name, columns in COLUMNS.items():
            table = tables[name]
            key = [column for column in table.primary_key.columns if column.name != "batch_id"]
            query = sa.select(*(table.c[column] for column in columns)).where(table.c.batch_id == batch_id)
            rows = (tuple(row) for part in streaming.execute(query.order_by(*key)).partitions(_ROWS) for row in part)
            # Databases order texts by their own collation.
            found[name] = _digest(sorted(rows) if name in _KEYED_BY_TEXT else rows)
        for name, column in _COUNTED.items():
            table = tables[name]
            query = sa.select(table.c[column], sa.func.count()).where(table.c.batch_id == batch_id)
            counts = connection.execute(query.group_by(table.c[column]).order_by(table.c[column]))
            found[f"posts by {name}"] = {row[0]: row[1] for row in counts}
    return found


def _digest(rows: Iterable[tuple[Any, ...]]) -> dict[str, object]:
    digest, count = hashlib.sha256(), 0
    for row in rows:
        plain = [value.isoformat() if isinstance(value, dt.date) else value for value in row]
        digest.update(json.dumps(plain, ensure_ascii=False).encode() + b"\n")
        count += 1
    return {"rows": count, "sha256": digest.hexdigest()}


def measure(folder: Path, posts: int) -> dict[str, Any]:
    """Make the synthetic PMO in a folder, run the dry run over SQLite, and return the digests."""
    generate(order(posts), folder, sqlite=folder / "pmo.sqlite")
    pmo = f"Driver={{SQLite3}};Database={folder / 'pmo.sqlite'}"
    steps = prepare(folder, posts, pmo=pmo, staging=f"sqlite:///{folder / 'staging.sqlite'}")
    return {"extract": extracted(pmo, posts), "staged": staged(steps.store, dry_run(steps, request()))}


def expected(posts: int) -> dict[str, Any]:
    """Return the stored digests of the run over so many posts."""
    return dict(json.loads(FILE.read_text(encoding="utf-8"))[f"{posts} posts"])


if __name__ == "__main__":
    found = {}
    for size in (SUITE_POSTS, ATTACK_POSTS):
        with tempfile.TemporaryDirectory() as made:
            found[f"{size} posts"] = measure(Path(made), size)
    FILE.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"{FILE} was written\n")
