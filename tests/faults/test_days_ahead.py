"""Runs of a day to come, through Airflow itself: they read nothing, replace nothing and remove nothing."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import batches
from tests.support.airflow_home import AirflowHome, odbc_sqlite, sqlite_connection

from waitlist.columns.dates import STOCKHOLM
from waitlist.staging import StagingStore, schema

NOW = dt.datetime.now(dt.UTC)
BATCHES = {
    "old-dry-run": ("dry_run", "verified", NOW - dt.timedelta(days=31)),
    "dry-run": ("dry_run", "verified", NOW - dt.timedelta(days=10)),
    "latest-dry-run": ("dry_run", "verified", NOW - dt.timedelta(days=1)),
    "undecided": ("migration", "awaiting_approval", NOW - dt.timedelta(days=1_000)),
    "released": ("migration", "released", NOW - dt.timedelta(days=80)),
}


@dataclass(frozen=True)
class Site:
    home: AirflowHome
    store: StagingStore

    def held(self) -> set[str]:
        """The batches that still have rows and files."""
        with self.store.engine.connect() as connection:
            found = set(connection.scalars(sa.select(schema.bokningsbegaran.c.batch_id).distinct()))
        assert found == {path.parent.name for path in (self.home.folder / "snapshots").rglob("*.parquet")}
        return found

    def run(self, dag: str, *logical_date: str, **params: object) -> str:
        done = self.home.test(dag, *logical_date, check=False, **params)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    store = StagingStore(f"sqlite:///{folder / 'staging.sqlite'}")
    store.migrate()
    batches.put_verified(store, *BATCHES)
    for batch_id, (kind, state, at) in BATCHES.items():
        told = {"kind": kind, "state": state, "as_of": at.date(), "started_at": at, "finished_at": at}
        released = {"approved_at": at, "released_at": at} if state == "released" else {}
        update = schema.batch.update().where(schema.batch.c.batch_id == batch_id)
        batches.execute(store, update.values({**told, **released}))
        snapshot = folder / "airflow" / "snapshots" / batch_id / "part-00000.parquet"
        snapshot.parent.mkdir(parents=True)
        snapshot.write_bytes(b"patient")
    given = {
        "AIRFLOW_CONN_PMO": odbc_sqlite(folder / "nobody-opens-it.sqlite"),
        "AIRFLOW_CONN_MILLENNIUM_STAGING": sqlite_connection(folder / "staging.sqlite"),
    }
    return Site(AirflowHome(folder / "airflow", given), store)


def test_retention_of_2124_removes_what_is_old_today_and_nothing_else(site: Site) -> None:
    assert "removed in all: {'batches': 1," in site.run("waitlist_retention", "2124-01-01", keep_days=30)
    assert site.held() == set(BATCHES) - {"old-dry-run"}


def test_a_dry_run_as_of_tomorrow_is_refused_and_says_why(site: Site) -> None:
    tomorrow = dt.datetime.now(STOCKHOLM).date() + dt.timedelta(days=1)
    said = site.run("waitlist_dry_run", as_of=str(tomorrow))
    assert f"SettingsError: as of {tomorrow}: a list is read as of a day from 2000-01-01 to today" in said
    assert set(BATCHES) == {row["batch_id"] for row in batches.rows(site.store, schema.batch)}


def test_a_run_with_the_last_logical_date_there_is_fails_without_an_error_of_python(site: Site) -> None:
    said = site.run("waitlist_dry_run", "9999-12-30T23:59:59")
    assert "SettingsError: " in said
    assert "unexpected" not in said
    assert set(BATCHES) == {row["batch_id"] for row in batches.rows(site.store, schema.batch)}


def test_no_file_was_made_in_place_of_pmo(site: Site) -> None:
    assert not Path(site.home.folder.parent / "nobody-opens-it.sqlite").exists()
