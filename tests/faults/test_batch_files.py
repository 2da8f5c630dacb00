"""The files of a batch's folder: files of another batch or an earlier try, and irregular files, are refused."""

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support.batches import execute, set_state
from tests.support.runs import AS_OF, NOW, assessed, pipeline, request, verified
from upath import UPath

from waitlist.exceptions import OutdatedFileError, RefusedError, SettingsError, SnapshotError
from waitlist.reports.worklist import find_snapshot
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.source.batch_files import BatchFiles
from waitlist.source.earlier_files import files_of
from waitlist.source.snapshot import file_name
from waitlist.staging import schema
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Run

POSTS = 400


@dataclass(frozen=True)
class Site:
    """A synthetic PMO, a staging database and the snapshots of two nights."""

    out: Path

    def steps(self, *, partition_posts: int = 150) -> Pipeline:
        return pipeline(
            self.out,
            pmo=f"Driver={{SQLite3}};Database={self.out / 'pmo.sqlite'}",
            staging=f"sqlite:///{self.out / 'staging.sqlite'}",
            mappings=self.out / MAPPINGS,
            partition_posts=partition_posts,
            chunk_posts=60,
        )

    @property
    def run(self) -> Run:
        return self.steps().opened(request("night").batch_id)

    @property
    def folder(self) -> Path:
        return self.out / "snapshots" / request("night").batch_id

    @property
    def other(self) -> Path:
        return self.out / "snapshots" / request("other").batch_id

    @property
    def files(self) -> BatchFiles:
        return BatchFiles(self.steps().store, UPath(self.out / "snapshots"), request("night").batch_id)

    def ask_pmo(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.out / "pmo.sqlite") as connection:
            return connection.execute(sql, values).fetchall()

    def waiting(self) -> set[int]:
        """The posts on the list as of the night."""
        end = "2024-10-02 00:00:00"
        sql = "SELECT post_id FROM vantelistepost WHERE registrerad < ? AND coalesce(nullif(avslutad, ''), '9') >= ?"
        return {post_id for (post_id,) in self.ask_pmo(sql, end, end)}

    def staged(self) -> set[int]:
        table = schema.disposition.c
        query = sa.select(table.post_id).where(table.batch_id == request("night").batch_id)
        with self.steps().store.database.connected() as connection:
            return set(connection.scalars(query))

    def settle(self, **setting: int) -> list[int]:
        """Take every step from the plan until readers see the batch, as after clearing the whole run."""
        steps = self.steps(**setting)
        run, numbers = assessed(steps, request("night"))
        verified(steps, self.out, run)
        return numbers


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    generate(Order(POSTS, seed=2, as_of=AS_OF), out, sqlite=out / "pmo.sqlite")
    site = Site(out)
    shutil.copy(out / "pmo.sqlite", out / "whole.sqlite")
    site.ask_pmo("DELETE FROM vantelistepost WHERE post_id % 2 = 0")
    assessed(site.steps(), request("other"))
    shutil.move(out / "whole.sqlite", out / "pmo.sqlite")
    site.settle()
    return out


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Site:
    shutil.copytree(made, tmp_path / "site")
    return Site(tmp_path / "site")


@pytest.fixture(autouse=True)
def nothing_waits_for_ever() -> Iterator[None]:
    """Opening a FIFO waits until somebody writes to it."""

    def wake(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, wake)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


READERS: dict[str, tuple[str, Callable[[Site], Any]]] = {
    "extract": ("plan.json", lambda site: site.steps().extract(site.run, 0)),
    "check_contract": ("part-00001.parquet", lambda site: site.steps().check_contract(site.run)),
    "find_duplicates": ("part-00001.parquet", lambda site: site.steps().find_duplicates(site.run)),
    "assess": ("part-00001.parquet", lambda site: site.steps().assess(site.run, 1, now=NOW)),
    "assess, duplicates": ("duplicates.parquet", lambda site: site.steps().assess(site.run, 1, now=NOW)),
    "find_changes": ("part-00001.parquet", lambda site: site.steps().find_changes(site.run)),
    "check_snapshot": ("part-00001.parquet", lambda site: site.steps().check_snapshot(site.run)),
    "reconcile": ("part-00001.parquet", lambda site: site.steps().reconcile(site.run, now=NOW)),
    "reconcile, hashes": ("row_hashes-00001.parquet", lambda site: site.steps().reconcile(site.run, now=NOW)),
    "gates": ("gates.json", lambda site: site.files.gates()),
    "replay": ("plan.json", lambda site: assessed(site.steps(), replay())),
    "replay, parts": ("part-00001.parquet", lambda site: assessed(site.steps(), replay())),
    "work lists": ("part-00001.parquet", lambda site: list(shown(site).chunks())),
}


def replay() -> Any:
    return request("replay", as_of=None, reuse_snapshot=request("night").batch_id)


def shown(site: Site) -> Any:
    store = site.steps().store
    return find_snapshot(store, store.batch(request("night").batch_id), UPath(site.out / "snapshots"))


def others(site: Site, path: Path) -> None:
    """Replace a file by the other night's file, or by a similar one."""
    there = site.other / path.name
    content = there.read_bytes() if there.exists() else b"[1]\n"
    assert content != path.read_bytes()
    path.write_bytes(content)


def freed(path: Path) -> Path:
    """Move a file away; return its name, which is unused now."""
    path.rename(path.with_name("kept"))
    return path


DAMAGE: dict[str, Callable[[Site, Path], object]] = {
    "another batch's": others,
    "another of this batch": lambda site, path: path.write_bytes((site.folder / "part-00002.parquet").read_bytes()),
    "one bit": lambda _, path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "cut": lambda _, path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda _, path: os.truncate(path, 0),
    "missing": lambda _, path: path.unlink(),
    "vast": lambda _, path: os.truncate(path, 2**40),
    "FIFO": lambda _, path: os.mkfifo(freed(path)),
    "folder": lambda _, path: freed(path).mkdir(),
    "device": lambda _, path: freed(path).symlink_to("/dev/zero"),
    "link": lambda site, path: freed(path).symlink_to(site.other / path.name),
    "link to itself": lambda _, path: freed(path).symlink_to(path.with_name("kept")),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_is_not_the_one_on_the_list_is_refused_at_once(site: Site, reader: str, damage: str) -> None:
    name, read = READERS[reader]
    site.files.write_gates([])
    before = site.staged()
    DAMAGE[damage](site, site.folder / name)
    with pytest.raises(SnapshotError, match=name.replace(".", r"\.")):
        read(site)
    assert site.staged() == before


def test_another_content_of_the_same_size_that_reads_well_is_refused(site: Site) -> None:
    site.files.write_gates([{"gate": "a"}])
    for name, old, new in (("gates.json", b'"a"', b'"b"'), ("plan.json", b"2024-10-01", b"2024-10-02")):
        content = (site.folder / name).read_bytes()
        assert old in content
        (site.folder / name).write_bytes(content.replace(old, new))
        with pytest.raises(SnapshotError, match=f"{name} .* its checksum is not the one that was written"):
            site.files.gates() if name == "gates.json" else site.files.plan()


def test_an_earlier_trys_file_is_refused(site: Site) -> None:
    earlier = {path.name: path.read_bytes() for path in site.folder.iterdir()}
    site.ask_pmo("UPDATE vantelistepost SET orsak = 'En annan orsak'")
    site.settle()
    for name in ("part-00001.parquet", "row_hashes-00001.parquet"):
        now = (site.folder / name).read_bytes()
        (site.folder / name).write_bytes(earlier[name])
        with pytest.raises(SnapshotError, match=f"{name} .* it is damaged or another file"):
            site.steps().reconcile(site.run, now=NOW)
        (site.folder / name).write_bytes(now)


@pytest.mark.parametrize(
    "number", [2**63, 3, -1, True, False, 1.0, None, "1", "../../../x.parquet", {"path": "../../../x.parquet"}, [0]]
)
def test_a_task_is_handed_the_number_of_a_partition_of_the_plan_or_refused(site: Site, number: Any) -> None:
    (site.out / "x.parquet").write_bytes((site.other / "part-00000.parquet").read_bytes())
    before, steps = site.staged(), site.steps()
    for take in (lambda: steps.extract(site.run, number), lambda: steps.assess(site.run, number, now=NOW)):
        with pytest.raises(OutdatedFileError, match="the plan has 3 partitions, and none with the number"):
            take()
    assert site.staged() == before


def test_a_rerun_with_fewer_or_more_partitions_stages_exactly_the_plans_posts(site: Site) -> None:
    waiting = site.waiting()
    assert site.staged() == waiting
    for partition_posts, partitions in ((1_000, 1), (80, 5), (200, 2), (150, 3)):
        assert len(site.settle(partition_posts=partition_posts)) == partitions
        assert site.staged() == waiting
        assert site.steps().store.batch(site.run.batch_id).posts_extracted == len(waiting)
        assert len(shown(site).parts) == partitions


def test_a_rerun_after_posts_have_gone_keeps_none_of_the_partitions_that_are_gone(site: Site) -> None:
    site.ask_pmo("DELETE FROM vantelistepost WHERE post_id > (SELECT min(post_id) + 100 FROM vantelistepost)")
    assert len(site.settle()) == 1
    assert site.staged() == site.waiting()
    assert sum(table.num_rows for table in shown(site).chunks()) == len(site.waiting())


def test_planning_alone_hides_no_result_and_mixes_no_files(site: Site) -> None:
    steps = site.steps(partition_posts=80)
    assert len(steps.plan_extract(site.run)) == 5
    assert steps.store.batch(site.run.batch_id).state == "verified"
    assert sum(table.num_rows for table in shown(site).chunks()) == len(site.waiting())
    for take in (
        lambda: steps.find_duplicates(site.run),
        lambda: steps.assess(site.run, 0, now=NOW),
        lambda: steps.reconcile(site.run, now=NOW),
    ):
        with pytest.raises(SnapshotError, match="clear extract and what follows"):
            take()
    assert site.staged() == site.waiting()
    site.settle(partition_posts=80)
    assert site.staged() == site.waiting()


def test_duplicates_of_parts_that_were_read_again_since_are_refused(site: Site) -> None:
    site.ask_pmo("UPDATE vantelistepost SET orsak = 'En annan orsak'")
    steps = site.steps()
    steps.extract(site.run, 1)
    with pytest.raises(OutdatedFileError, match=r"duplicates\.parquet .* clear find_duplicates and what follows"):
        steps.assess(site.run, 0, now=NOW)
    steps.find_duplicates(site.run)
    steps.assess(site.run, 0, now=NOW)
    with pytest.raises(OutdatedFileError, match=r"row_hashes-00001\.parquet .* clear assess and what follows"):
        steps.reconcile(site.run, now=NOW)


def test_a_part_that_a_rerun_leaves_out_is_an_earlier_read_of_the_same_batch_as_a_whole(site: Site) -> None:
    site.ask_pmo("UPDATE vantelistepost SET orsak = 'En annan orsak'")
    steps, run = site.steps(), site.run
    before = {path.name: path.read_bytes() for path in site.folder.glob("part-*.parquet")}
    *again, left_out = steps.plan_extract(run)
    for number in again:
        steps.extract(run, number)
    steps.find_duplicates(run)
    for number in again:
        steps.assess(run, number, now=NOW)
    verified(steps, site.out, run)
    assert site.staged() == site.waiting()
    after = {path.name: path.read_bytes() for path in site.folder.glob("part-*.parquet")}
    assert {name for name in before if after[name] == before[name]} == {file_name(left_out)}
    assert [part.partition for part in shown(site).parts] == [*again, left_out]


def test_a_plan_for_something_else_than_the_batch_was_opened_for_last_is_refused(site: Site) -> None:
    units = tuple(sorted(site.steps().facts.mappings.units))[:2]
    steps = site.steps()
    run = steps.open_batch(request("night", units=units), now=NOW)
    with pytest.raises(OutdatedFileError, match=r"another date or other units .* clear plan_extract"):
        steps.extract(run, 0)


@pytest.mark.parametrize("state", ["awaiting_approval", "released", "withdrawn", "rejected"])
def test_files_of_a_batch_that_must_not_change_stay_as_they_are(site: Site, state: str) -> None:
    before = {path.name: path.read_bytes() for path in site.folder.iterdir()}
    site.ask_pmo("UPDATE vantelistepost SET orsak = 'En annan orsak'")
    set_state(site.steps().store, state, site.run.batch_id)
    steps = site.steps(partition_posts=80)
    for take in (
        lambda: steps.plan_extract(site.run),
        lambda: steps.extract(site.run, 1),
        lambda: steps.find_duplicates(site.run),
        lambda: steps.assess(site.run, 1, now=NOW),
        lambda: site.files.write_gates([]),
    ):
        with pytest.raises(RefusedError, match="immutable: nothing was changed"):
            take()
    assert {path.name: path.read_bytes() for path in site.folder.iterdir()} == before


@pytest.mark.parametrize("batch_id", ["", ".", "..", "../elsewhere", "a/b", "natt 1", "natt-1\n", "natt\x00"])
def test_a_text_that_is_not_a_batch_id_names_no_folder(site: Site, batch_id: str) -> None:
    with pytest.raises(SettingsError, match="is no batch id"):
        BatchFiles(site.steps().store, UPath(site.out / "snapshots"), batch_id)


# A batch of this release is never read as one of an earlier release, which left descriptions beside its files


def describe(site: Site, folder: Path) -> None:
    """Put the other night's files into a folder, with the descriptions that an earlier release left."""
    folder.mkdir(exist_ok=True)
    other = BatchFiles(site.steps().store, UPath(site.out / "snapshots"), request("other").batch_id)
    plan = other.plan()
    (folder / "plan.json").write_text(json.dumps(plan.to_dict()), encoding="utf-8")
    for part in other.parts(plan):
        name = file_name(part.partition)
        (folder / name).write_bytes((site.other / name).read_bytes())
        (folder / name).with_suffix(".json").write_text(json.dumps({**asdict(part), "path": name}), encoding="utf-8")


def test_descriptions_beside_the_files_make_no_batch_one_of_an_earlier_release(site: Site) -> None:
    store, snapshots = site.steps().store, UPath(site.out / "snapshots")
    describe(site, site.folder)
    with pytest.raises(SnapshotError, match="damaged or another file"):
        assessed(site.steps(), replay())
    with pytest.raises(SnapshotError, match="damaged or another file"):
        list(shown(site).chunks())

    opened = request("opened")
    site.steps().open_batch(opened, now=NOW)
    describe(site, site.out / "snapshots" / opened.batch_id)
    with pytest.raises(SnapshotError, match=r"plan\.json .* is missing"):
        assessed(site.steps(), request("of-opened", as_of=None, reuse_snapshot=opened.batch_id))
    for batch_id in (opened.batch_id, site.run.batch_id):
        assert type(files_of(store, snapshots, batch_id)) is BatchFiles


def test_a_batch_of_an_earlier_release_is_read_and_its_own_steps_are_not(site: Site) -> None:
    store, snapshots, batch_id = site.steps().store, UPath(site.out / "snapshots"), request("other").batch_id
    describe(site, site.other)
    of_batch = {table: table.c.batch_id == batch_id for table in (schema.batch_file, schema.batch_partition)}
    execute(store, schema.batch_file.delete().where(of_batch[schema.batch_file]))
    line = schema.batch_partition
    execute(store, line.update().where(of_batch[line]).values(part_sha256=None))
    files = files_of(store, snapshots, batch_id)
    read = [part.posts for part in find_snapshot(store, store.batch(batch_id), snapshots).parts]
    assert read == [part.posts for part in files.parts(files.plan())]
    assert assessed(site.steps(), request("again", as_of=None, reuse_snapshot=batch_id))[1] == list(range(len(read)))
    with pytest.raises(SnapshotError, match=r"plan\.json .* is missing: clear plan_extract"):
        site.steps().assess(site.steps().opened(batch_id), 0, now=NOW)
    # Once it is planned again, it is a batch of this release.
    site.steps().plan_extract(site.steps().opened(batch_id))
    assert type(files_of(store, snapshots, batch_id)) is BatchFiles
