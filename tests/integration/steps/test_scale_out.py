"""What ``make scale-out`` compares: two runs of the same posts are equal, and a row that differs is seen."""

from pathlib import Path

import pytest
from benchmarks.scale_out import contents_of
from benchmarks.site import Site
from tests.support import batches
from tests.support.runs import AS_OF, assessed, pipeline, request, verified

from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.staging import schema

RUNS = ("first", "second")


def test_two_runs_on_one_database_are_equal_until_a_row_differs(postgres, tmp_path: Path) -> None:
    generate(Order(400, seed=3, as_of=AS_OF), tmp_path, sqlite=tmp_path / "pmo.sqlite")
    pmo, staging = f"Driver={{SQLite3}};Database={tmp_path / 'pmo.sqlite'}", postgres.libpq(postgres.create_database())
    steps = pipeline(tmp_path, pmo=pmo, staging=staging, mappings=tmp_path / MAPPINGS)
    for run_id in RUNS:
        run, _ = assessed(steps, request(run_id))
        verified(steps, tmp_path, run)
        steps.watch_gates(run, pytest.fail if run_id == "second" else lambda _: None)
    site = Site("postgresql", 400, tmp_path, pmo, staging)
    first, second = (contents_of(site, run_id) for run_id in RUNS)
    assert first == second
    assert {name for name, (rows, _) in first.items() if rows} >= {"batch", "batch_file", "disposition", "finding"}
    row = schema.finding_row
    batches.execute(steps.store, row.update().where(row.c.batch_no == 2).values(detail="annat"))
    changed = [contents_of(site, run_id) for run_id in RUNS]
    assert {name for name in first if changed[0][name] != changed[1][name]} == {"finding"}
