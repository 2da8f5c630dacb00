"""A backup is whole or not made, and a restore gives back what there was: rows, guards and files. The nights go on."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support.dump import dump
from tests.support.postgres import PostgresServer
from tests.support.runs import AS_OF, NOW, assessed, pipeline, request, verified
from upath import UPath

from waitlist.exceptions import RefusedError, SnapshotError, StagingError, WaitlistError
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.staging import StagingStore, schema
from waitlist.staging.chain_check import check
from waitlist.steps.backup import MANIFEST, Manifest, back_up, read_manifest, restore
from waitlist.steps.pipeline import Pipeline


@dataclass
class Site:
    """A PMO, a verified dry run, and the place of a staging database that is lost and made again."""

    folder: Path
    staging: str
    batch_id: str = ""

    @property
    def steps(self) -> Pipeline:
        pmo = f"Driver={{SQLite3}};Database={self.folder / 'pmo.sqlite'}"
        return pipeline(
            self.folder, pmo=pmo, staging=self.staging, mappings=self.folder / MAPPINGS, partition_posts=100
        )

    @property
    def store(self) -> StagingStore:
        return StagingStore(self.staging)

    @property
    def snapshots(self) -> Path:
        return self.folder / "snapshots"

    def back_up(self, name: str = "backup") -> Manifest:
        return back_up(self.store, UPath(self.snapshots), self.folder / name, made_at=NOW, tell=print)

    def restore(self, name: str = "backup") -> Manifest:
        return restore(self.store, UPath(self.snapshots), self.folder / name, tell=print)

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.snapshots)): path.read_bytes() for path in self.snapshots.rglob("*.*")}

    def lose_everything(self) -> None:
        shutil.rmtree(self.snapshots)
        self.lose_the_database()

    def lose_the_database(self) -> None:
        if self.store.database.dialect == "sqlite":
            Path(str(self.store.engine.url.database)).unlink()
            return
        with self.store.engine.begin() as connection:
            connection.execute(sa.text(f"DROP SCHEMA {schema.SCHEMA} CASCADE"))


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    generate(Order(150, seed=3, as_of=AS_OF), tmp_path, sqlite=tmp_path / "pmo.sqlite")
    staging = f"sqlite:///{tmp_path / 'staging.sqlite'}"
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        staging = server.libpq(server.create_database())
    made = Site(tmp_path, staging)
    made.batch_id = _night(made, "natt-1")
    return made


def _night(site: Site, run_id: str) -> str:
    run, _ = assessed(site.steps, request(run_id))
    verified(site.steps, site.folder, run)
    return run.batch_id


def test_what_was_lost_is_restored_and_the_nights_go_on(site: Site) -> None:
    before, files = dump(site.store), site.files()
    manifest = site.back_up()
    site.lose_everything()
    assert site.restore() == manifest
    assert dump(site.store) == before
    assert site.files() == files
    found = check(site.store.database, key=None, manifests={}, tell=print)
    assert (found.faults, found.links > 0) == ([], True), "a restored trail is as it was"
    # The restored batch is as guarded as it was, and the next night builds on it.
    with pytest.raises(WaitlistError), site.store.database.writing() as connection:
        _change_the_trail(site, connection)
    assert _night(site, "natt-2") != site.batch_id


def _change_the_trail(site: Site, connection: sa.Connection) -> None:
    try:
        connection.execute(sa.update(schema.batch_event).values(actor="någon annan"))
    except sa.exc.DBAPIError:
        raise StagingError("refused") from None


def test_only_its_owner_can_read_a_backup(site: Site) -> None:
    site.back_up()
    for path in [site.folder / "backup", *(site.folder / "backup").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_file_that_is_not_the_listed_one_stops_the_backup_and_all_are_named(site: Site) -> None:
    first, second = sorted((site.snapshots / site.batch_id).glob("*.parquet"))[:2]
    first.unlink()
    second.write_bytes(second.read_bytes() + b"x")
    with pytest.raises(SnapshotError) as refused:
        site.back_up()
    assert first.name in str(refused.value)
    assert second.name in str(refused.value)
    assert [path.name for path in site.folder.iterdir() if "backup" in path.name] == []


def test_a_backup_that_is_not_whole_is_not_restored_and_every_fault_is_named(site: Site) -> None:
    site.back_up()
    site.lose_everything()
    backup = site.folder / "backup"
    first, second = sorted(backup.rglob("*.parquet"))[:2]
    first.unlink()
    second.write_bytes(b"something else")
    with pytest.raises(SnapshotError) as refused:
        site.restore()
    assert first.name in str(refused.value)
    assert second.name in str(refused.value)
    assert not site.snapshots.exists()


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "snapshots/../../x", "snapshots/a/b/c", "snapshots//x", "x"])
def test_a_manifest_leads_to_no_place_outside_the_backup(tmp_path: Path, path: str) -> None:
    files = [{"path": "staging.sqlite", "size": 1, "sha256": ""}, {"path": path, "size": 1, "sha256": ""}]
    told = {"format": 1, "made_at": "", "dialect": "sqlite", "revision": "", "rows": {}, "files": files}
    (tmp_path / MANIFEST).write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(SnapshotError, match="paths that no backup has"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("written", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "files": [{}]}', "{"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, written: str) -> None:
    (tmp_path / MANIFEST).write_text(written, encoding="utf-8")
    with pytest.raises(SnapshotError, match=MANIFEST):
        read_manifest(tmp_path)


def test_nothing_that_is_there_is_overwritten(site: Site) -> None:
    site.back_up()
    with pytest.raises(RefusedError, match="exists"):
        site.back_up()
    with pytest.raises(RefusedError, match="empty database"):
        site.restore()
    site.lose_the_database()
    part = next((site.snapshots / site.batch_id).glob("*.parquet"))
    part.write_bytes(b"of a later night")
    with pytest.raises(SnapshotError, match=part.name):
        site.restore()
    assert part.read_bytes() == b"of a later night"


def test_a_restore_that_was_ended_half_way_is_begun_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dump(site.store)
    site.back_up()
    site.lose_everything()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("waitlist.steps.backup._filled", die)
        with pytest.raises(KeyboardInterrupt):
            site.restore()
    site.restore()
    assert dump(site.store) == before
