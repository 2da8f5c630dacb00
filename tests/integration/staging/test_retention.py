"""Removing personal data for real: rows in both databases, files on disk, and processes that are killed meanwhile."""

import datetime as dt
import functools
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
import sqlalchemy as sa
from tests.support import batches, effort
from tests.support.batches import execute, rows
from upath import UPath

from waitlist import paths
from waitlist.exceptions import SettingsError
from waitlist.facts.mappings import load_mappings
from waitlist.judge.persons import ANSWERS
from waitlist.judge.rules import BUILT_IN_SEVERITIES
from waitlist.reports.pages.history import dry_runs
from waitlist.reports.pages.reading import reading
from waitlist.reports.readiness import LATEST, read_readiness
from waitlist.settings import LEAST_LOG_DAYS, Settings
from waitlist.staging import EventName, StagingStore, access_log, persons, retention, schema
from waitlist.staging.retention import Places, read_batches, remove, survey
from waitlist.steps.pipeline import Pipeline

BEGUN = batches.NOW
ON = BEGUN.date() + dt.timedelta(days=40)
NOW = dt.datetime.combine(ON, dt.time(5), dt.UTC)
ROWS = (schema.bokningsbegaran, schema.disposition, schema.finding, schema.released_change, schema.receipt_reason)
KEPT = (schema.batch, schema.unit_summary, schema.quality_result, schema.gate_result, schema.released_post)


@dataclass(frozen=True)
class Site:
    """A staging database with an old dry run, its files, and the latest dry run."""

    store: StagingStore
    folder: Path

    @property
    def places(self) -> Places:
        return Places(UPath(self.folder / "snapshots"), UPath(self.folder / "work_lists"))

    def pipeline(self, **settings: object) -> Pipeline:
        url = self.store.engine.url.render_as_string(hide_password=False)
        chosen = Settings(worklists_dir=self.folder / "work_lists", **settings)
        return Pipeline(chosen, snapshots=UPath(self.folder / "snapshots"), pmo=str, staging=lambda: url)

    def clean(
        self, *, keep_days: int | None = None, only_tell: bool = False, on: dt.date = ON, **settings: object
    ) -> dict[str, int]:
        return self.pipeline(**settings).remove_expired(on, keep_days=keep_days, only_tell=only_tell, now=NOW)

    def files(self) -> set[str]:
        return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()}

    def held(self, batch_id: str) -> dict[str, int]:
        return {table.name: sum(row["batch_id"] == batch_id for row in rows(self.store, table)) for table in ROWS}

    def purges(self, batch_id: str) -> list[dict[str, object]]:
        return [dict(event.details) for event in self.store.events(batch_id) if event.event is EventName.PURGED]

    def add_files(self, batch_id: str) -> None:
        for place, name in (
            ("snapshots", "part-00000.parquet"),
            ("snapshots", "plan.json"),
            ("work_lists", "arbetslista-SE2120009999-DEMO1-2024-10-01.xlsx"),
        ):
            path = self.folder / place / batch_id / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"patient")


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    store = batches.empty_store(request, tmp_path)
    put(store, "old", "latest")
    change = schema.released_change
    execute(store, change.insert().values(batch_id="old", post_id=7, change="gone", columns=""))
    execute(store, schema.receipt_reason.insert().values(batch_id="old", receipt_key="0" * 64, reason="x"))
    site = Site(store, tmp_path)
    site.add_files("old")
    site.add_files("latest")
    yield site
    store.engine.dispose()


def put(store: StagingStore, *batch_ids: str) -> None:
    """Put verified dry runs in place of what is there; ``latest`` is of yesterday."""
    batches.put_verified(store, *batch_ids)
    touch(store, "latest", as_of=ON - dt.timedelta(days=1), started_at=NOW, finished_at=NOW)


def touch(store: StagingStore, batch_id: str, **values: object) -> None:
    execute(store, schema.batch.update().where(schema.batch.c.batch_id == batch_id).values(values))


def make_migration(site: Site, state: str, **moments: dt.datetime) -> None:
    """Turn the old dry run into a migration in a state."""
    touch(site.store, "old", kind="migration", state=state, **moments)


def test_rows_and_files_of_an_old_dry_run_go_and_its_counts_stay(site: Site) -> None:
    before = site.held("old")
    assert min(before.values()) > 0
    kept = {table.name: rows(site.store, table) for table in KEPT}
    done = site.clean()
    assert done == {"batches": 1, "rows": sum(before.values()), "snapshot_files": 2, "work_list_files": 1}
    assert set(site.held("old").values()) == {0}
    assert {name for name in site.files() if "/old/" in name} == set()
    assert {table.name: rows(site.store, table) for table in KEPT} == kept


def test_what_was_removed_is_recorded_with_counts(site: Site) -> None:
    before = site.held("old")
    site.clean()
    (event,) = [entry for entry in site.store.events("old") if entry.event is EventName.PURGED]
    assert dict(event.details) == {**before, "snapshot_files": 2, "work_list_files": 1}
    assert (event.actor, event.at) == ("waitlist_retention", NOW)
    assert event.reason == f"older than 30 days on {ON}"


def test_other_batches_keep_every_row_and_file(site: Site) -> None:
    held = site.held("latest")
    files = {name for name in site.files() if "/latest/" in name}
    site.clean()
    assert site.held("latest") == held
    assert {name for name in site.files() if "/latest/" in name} == files
    assert site.purges("latest") == []


def test_a_second_time_nothing_is_removed_or_logged(site: Site) -> None:
    site.clean()
    events = site.store.events("old")
    assert site.clean() == {"batches": 0, "rows": 0, "snapshot_files": 0, "work_list_files": 0}
    assert site.store.events("old") == events


def test_batches_that_lost_their_data_long_ago_cost_no_further_statement(site: Site) -> None:
    asked: list[int] = []
    for many in (2, 5):
        put(site.store, *(f"old-{number}" for number in range(many)), "latest")
        assert site.clean()["batches"] == many
        with effort.statements(sa.Engine) as sent:
            assert site.clean()["batches"] == 0
        asked.append(len(sent))
    assert asked[0] == asked[1] > 0


@pytest.mark.parametrize("left", [table.name for table in ROWS])
def test_an_old_batch_of_which_one_kind_of_row_is_left_is_not_forgotten(site: Site, left: str) -> None:
    for table in ROWS:
        stored = schema.ROWS_OF.get(table)
        if table.name == left:
            continue
        if stored is None:
            execute(site.store, table.delete().where(table.c.batch_id == "old"))
        else:
            execute(site.store, stored.delete().where(stored.c.batch_no == schema.number_of("old")))
    for place in ("snapshots", "work_lists"):
        shutil.rmtree(site.folder / place / "old")
    assert [name for name, count in site.held("old").items() if count] == [left]
    assert site.clean()["batches"] == 1


def test_listing_alone_removes_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    before, files = batches.contents(site.store), site.files()
    with caplog.at_level(logging.INFO, "waitlist"):
        told = site.clean(only_tell=True)
    assert (batches.contents(site.store), site.files()) == (before, files)
    assert "batch old is older than 30 days on" in caplog.text
    assert "would remove" in caplog.text
    assert told == site.clean()


def test_the_param_decides_how_long_a_dry_run_is_kept(site: Site) -> None:
    assert site.clean(keep_days=40)["batches"] == 0
    assert site.clean(keep_days=39)["batches"] == 1


def test_a_replay_does_not_take_the_place_of_the_dry_run_that_is_always_kept(site: Site) -> None:
    touch(site.store, "latest", started_at=BEGUN, finished_at=BEGUN)
    batches.open_batch(site.store, "what-if", as_of=ON, started_at=NOW, reuse_snapshot="latest")
    batches.set_state(site.store, "verified", "what-if")
    kept = site.held("latest")
    assert site.clean()["batches"] == 1
    assert site.held("latest") == kept
    assert any(kept.values())


CENTURY_LATER = ON.replace(year=ON.year + 100)


@pytest.mark.parametrize("keep_days", [None, 1, 40])
def test_no_age_is_counted_later_than_today(site: Site, keep_days: int | None) -> None:
    held, files = site.held("old"), site.files()
    today = site.clean(keep_days=keep_days, only_tell=True)
    assert site.clean(keep_days=keep_days, only_tell=True, on=CENTURY_LATER) == today
    touch(site.store, "old", started_at=NOW - dt.timedelta(days=1), finished_at=NOW)
    assert site.clean(keep_days=keep_days, on=CENTURY_LATER)["batches"] == 0
    assert (site.held("old"), site.files()) == (held, files)


@pytest.mark.parametrize("keep_days", [None, 1, 3_653])
@pytest.mark.parametrize(("state", "released_at"), [("awaiting_approval", None), ("released", BEGUN)])
@pytest.mark.parametrize("on", [ON, CENTURY_LATER, dt.date.max])
def test_no_param_makes_retention_touch_a_wave_that_waits_or_is_released(
    site: Site, state: str, released_at: dt.datetime | None, keep_days: int | None, on: dt.date
) -> None:
    make_migration(site, state, released_at=released_at)
    before, files = batches.contents(site.store), site.files()
    assert site.clean(keep_days=keep_days, on=on)["batches"] == 0
    assert (batches.contents(site.store), site.files()) == (before, files)


def test_a_wave_that_awaits_its_approval_is_kept_beyond_every_time_and_the_log_says_so(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    make_migration(site, "awaiting_approval")
    with caplog.at_level(logging.INFO, "waitlist"):
        assert site.clean(keep_migration_days=1)["batches"] == 0
    assert "batch old awaits its approval" in caplog.text
    make_migration(site, "rejected")
    assert site.clean(keep_migration_days=1)["batches"] == 1


@pytest.mark.parametrize("keep_days", [0, -1, 3_654, 10**12])
def test_days_out_of_range_remove_nothing(site: Site, keep_days: int) -> None:
    with pytest.raises(SettingsError, match="keep_days"):
        site.clean(keep_days=keep_days)
    assert all(site.held("old").values())


def test_the_latest_dry_run_over_every_unit_is_kept_beside_a_later_one_over_one_unit(site: Site) -> None:
    touch(site.store, "latest", as_of=BEGUN.date(), started_at=BEGUN + dt.timedelta(hours=1), finished_at=BEGUN)
    batches.open_batch(site.store, "of-one-unit", as_of=ON, started_at=NOW, units=[batches.UNITS[0]])
    batches.set_state(site.store, "verified", "of-one-unit")
    mappings = load_mappings(paths.MAPPINGS, raisable=BUILT_IN_SEVERITIES)
    assert read_readiness(site.store, LATEST, mappings).batch.batch_id == "latest"
    with reading(site.store, "reading") as connection:
        assert dry_runs(connection)[-1].batch_id == "latest"
    kept = site.held("latest")
    assert site.clean()["batches"] == 1
    assert site.held("latest") == kept
    assert any(kept.values())


@pytest.mark.parametrize("state", ["awaiting_approval", "released", "withdrawn", "rejected", "verified", "failed"])
def test_a_migration_is_not_touched_before_its_own_longer_time(site: Site, state: str) -> None:
    make_migration(site, state)
    before, files = batches.contents(site.store), site.files()
    assert site.clean(keep_days=1)["batches"] == 0
    assert (batches.contents(site.store), site.files()) == (before, files)


def test_a_released_batch_goes_after_its_time_and_its_posts_stay_released(site: Site) -> None:
    posts = [row["post_id"] for row in rows(site.store, schema.bokningsbegaran) if row["batch_id"] == "old"]
    released = [{"post_id": post, "batch_id": "old", "row_hash": "0" * 64, "released_at": BEGUN} for post in posts]
    execute(site.store, schema.released_post.insert().values(released))
    make_migration(site, "released", released_at=BEGUN + dt.timedelta(days=2))
    assert site.clean(keep_released_days=38)["batches"] == 0
    followed = {"batch_id": "old", "post_id": posts[0], "boka_fore": BEGUN.date()}
    execute(site.store, schema.followed_post.insert().values(followed))
    assert site.clean(keep_released_days=1)["batches"] == 0
    execute(site.store, schema.post_answer.insert().values(_accepted(posts[0])))
    assert site.clean(keep_released_days=37)["batches"] == 1
    assert [row["post_id"] for row in rows(site.store, schema.followed_post)] == posts[:1]
    assert set(site.held("old").values()) == {0}
    assert site.store.batch("old").state == "released"
    assert site.store.released_post_ids(None, None).tolist() == posts


@pytest.mark.parametrize(("answer", "removed"), [("accepted", 0), ("booked", 1), ("cancelled", 1)])
def test_a_batch_that_was_withdrawn_after_the_load_stays_while_a_post_is_at_the_receiver(
    site: Site, answer: str, removed: int
) -> None:
    make_migration(site, "withdrawn_after_load", released_at=BEGUN)
    followed = {"batch_id": "old", "post_id": 1, "boka_fore": BEGUN.date()}
    execute(site.store, schema.followed_post.insert().values(followed))
    execute(site.store, schema.post_answer.insert().values({**_accepted(1), "answer": answer}))
    assert site.clean(keep_released_days=1)["batches"] == removed


def _accepted(post_id: int) -> dict[str, Any]:
    return {"batch_id": "old", "post_id": post_id, "answer": "accepted", "at": BEGUN, "contradictions": ""}


def test_a_rerun_of_a_removed_batch_is_open_until_it_is_whole_again(site: Site) -> None:
    site.clean()
    batches.open_batch(site.store, "old")
    lower, upper, posts = batches.PARTITIONS[0]
    site.store.stage_partition("old", lower, upper, batches.chunks(posts))
    assert site.store.batch("old").state == "open"


def test_a_batch_that_is_opened_again_meanwhile_is_left_alone(site: Site) -> None:
    (judged,) = [batch for batch in read_batches(site.store) if batch.batch_id == "old"]
    batches.open_batch(site.store, "old", started_at=NOW)
    before, files = batches.contents(site.store), site.files()
    assert remove(site.store, judged, site.places, reason="", now=NOW) is None
    assert (batches.contents(site.store), site.files()) == (before, files)


def test_files_of_unknown_batches_are_left_alone(site: Site) -> None:
    site.add_files("somebody-elses")
    site.clean()
    assert len([name for name in site.files() if "/somebody-elses/" in name]) == 3


def test_without_a_folder_for_work_lists_none_is_looked_for(site: Site) -> None:
    (old,) = [batch for batch in read_batches(site.store) if batch.batch_id == "old"]
    held = survey(site.store, old, Places(site.places.snapshots, None))
    assert held.files == {"snapshot_files": 2}


def stop_at(function: str, url: str, folder: Path, ready: Path) -> None:
    """Remove the old batch up to a function of the module, write a file and wait; for a process to be killed."""

    def halt(*_: object, **__: object) -> None:
        ready.touch()
        time.sleep(600)

    site = Site(StagingStore(url), folder)
    (old,) = [batch for batch in read_batches(site.store) if batch.batch_id == "old"]
    with mock.patch.object(retention, function, halt):
        remove(site.store, old, site.places, reason="", now=NOW)


def killed_at(function: str, site: Site) -> None:
    url = site.store.engine.url.render_as_string(hide_password=False)
    ready = site.folder / "ready"
    (process,) = batches.in_processes((functools.partial(stop_at, function), (url, site.folder, ready)))
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.join()
    ready.unlink()


def test_a_kill_before_the_entry_is_written_has_removed_nothing(site: Site) -> None:
    before, files = batches.contents(site.store), site.files()
    killed_at("entry", site)
    assert (batches.contents(site.store), site.files()) == (before, files)
    assert site.clean()["batches"] == 1


def test_a_kill_between_rows_and_files_is_finished_by_the_next_run(site: Site) -> None:
    before = site.held("old")
    killed_at("_clear", site)
    assert set(site.held("old").values()) == {0}
    assert any("/old/" in name for name in site.files())
    assert site.purges("old") == [{**before, "snapshot_files": 2, "work_list_files": 1}]
    assert site.clean() == {"batches": 1, "rows": 0, "snapshot_files": 2, "work_list_files": 1}
    assert not any("/old/" in name for name in site.files())


def test_an_untouched_database_is_brought_up_to_date_first(tmp_path: Path) -> None:
    site = Site(StagingStore(f"sqlite:///{tmp_path / 'new.sqlite'}"), tmp_path)
    assert site.clean()["batches"] == 0
    with site.store.engine.connect() as connection:
        assert sa.inspect(connection).has_table("batch_event")


def test_answers_of_the_person_service_go_after_the_days_of_a_dry_run(site: Site) -> None:
    last = dt.datetime.combine(ON - dt.timedelta(days=30), dt.time(12), dt.UTC)
    for number, moment in (("198503142383", last), ("199002012384", last - dt.timedelta(days=1))):
        answer = dict.fromkeys(ANSWERS.names, False) | {"person_id": number, "reason": None}
        told = pa.Table.from_pylist([answer], schema=ANSWERS)
        persons.keep(site.store.database, told, persons.COMPARISONS.empty_table(), asked_at=moment)
    assert site.clean(only_tell=True)["person_answers"] == 1
    assert len(rows(site.store, schema.person_status)) == 2
    assert site.clean()["person_answers"] == 1
    assert [row["person_id"] for row in rows(site.store, schema.person_status)] == ["198503142383"]
    assert "person_answers" not in site.clean()


def test_faulty_receipts_go_with_age_since_their_reasons_may_name_a_person(site: Site) -> None:
    table, days = schema.receipt_fault, Settings().keep_migration_days
    moments = [NOW - dt.timedelta(days=days + 1), NOW - dt.timedelta(days=days - 1)]
    batches.execute(
        site.store,
        table.insert().values(
            [
                {"row_no": at, "reason": "Anna är flyttad", "faults": "x", "refused_at": moment}
                for at, moment in enumerate(moments)
            ]
        ),
    )
    assert site.clean(only_tell=True)["receipt_faults"] == 1
    assert len(rows(site.store, table)) == 2
    assert site.clean()["receipt_faults"] == 1
    assert [row["row_no"] for row in rows(site.store, table)] == [1]


def test_an_entry_of_the_access_log_stays_for_five_years_and_a_month_whatever_becomes_of_its_batch(site: Site) -> None:
    # The first moment of the day in Stockholm, which is in winter time here as it was then.
    last = dt.datetime.combine(ON, dt.time(), dt.UTC) - dt.timedelta(hours=1, days=LEAST_LOG_DAYS)
    for post_id, at in enumerate((last - dt.timedelta(microseconds=1), last, NOW)):
        access_log.record(
            site.store,
            at=at,
            user_id="lead",
            acting_for="",
            action=access_log.Action.PERSONS,
            batch_id="old",
            unit="",
            patients={post_id: None},
        )
    assert site.clean(only_tell=True, keep_days=1)["access_log_entries"] == 1
    assert len(rows(site.store, schema.access_log)) == 3
    assert "access_log_entries" not in site.clean(keep_log_days=LEAST_LOG_DAYS + 1)
    assert site.held("old")["disposition"] == 0
    far = dt.date(2100, 1, 1)
    assert site.clean(on=far)["access_log_entries"] == 1
    assert sorted(row["post_id"] for row in rows(site.store, schema.access_log)) == [1, 2]
