"""Snapshots in an S3 store, over HTTP: every step of a dry run, and what other processes have written meanwhile."""

import datetime as dt
from pathlib import Path

import pytest
from tests.support.dump import dump
from tests.support.runs import AS_OF, NOW, assessed, dry_run, pipeline, request
from tests.support.servers import ObjectStore
from upath import UPath

from waitlist.reports.worklist import find_snapshot
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.steps.pipeline import Pipeline

NIGHT = request("night")


@pytest.fixture(scope="module")
def pmo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pmo")
    generate(Order(700, seed=2, as_of=AS_OF), out, sqlite=out / "pmo.sqlite")
    return out


def over(snapshots: Path | UPath, pmo: Path, staging: Path, *, partition_posts: int = 200) -> Pipeline:
    return pipeline(
        snapshots,
        pmo=f"Driver={{SQLite3}};Database={pmo / 'pmo.sqlite'}",
        staging=f"sqlite:///{staging}",
        mappings=pmo / MAPPINGS,
        partition_posts=partition_posts,
        chunk_posts=60,
    )


@pytest.fixture
def bucket(object_store: ObjectStore, tmp_path: Path) -> UPath:
    return UPath(f"s3://{object_store.bucket}/{tmp_path.name}", **object_store.options)


def test_a_dry_run_is_as_from_a_local_folder_and_its_snapshot_goes_when_its_time_is_up(
    pmo: Path, bucket: UPath, tmp_path: Path
) -> None:
    local = over(tmp_path, pmo, tmp_path / "local.sqlite")
    remote = over(bucket, pmo, tmp_path / "remote.sqlite")
    dry_run(local, NIGHT)
    older = dry_run(remote, NIGHT)
    left_out = {"batch_event"}
    assert {table: rows for table, rows in dump(remote.store).items() if table not in left_out} == {
        table: rows for table, rows in dump(local.store).items() if table not in left_out
    }

    dry_run(remote, request("replay", as_of=None, reuse_snapshot=older))
    newer = dry_run(remote, request("next night"), now=NOW + dt.timedelta(days=1))
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=40)
    remote.remove_expired(later.date(), keep_days=30, only_tell=False, now=later)

    files = [path for path in bucket.fs.find(bucket.path) if path.endswith(".parquet")]
    assert {path.split("/")[-2] for path in files} == {newer}


def test_a_long_running_process_sees_the_snapshot_that_another_has_written_again(
    pmo: Path, bucket: UPath, object_store: ObjectStore, tmp_path: Path
) -> None:
    staging = tmp_path / "staging.sqlite"
    first, _ = assessed(over(bucket, pmo, staging), NIGHT)
    snapshots = bucket / "snapshots"
    store = over(bucket, pmo, staging).store
    assert len(find_snapshot(store, store.batch(first.batch_id), snapshots).parts) == 4

    another = UPath(str(bucket), **object_store.options, skip_instance_cache=True)
    assessed(over(another, pmo, staging, partition_posts=300), NIGHT)

    snapshot = find_snapshot(store, store.batch(first.batch_id), snapshots)
    assert len(snapshot.parts) == 3
    assert sum(table.num_rows for table in snapshot.chunks()) == sum(part.posts for part in snapshot.parts)
