"""After a release, every later run reports what PMO has changed, closed or lost since, on both databases."""

import datetime as dt
import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support.batches import execute
from tests.support.dump import dump
from tests.support.postgres import PostgresServer
from tests.support.posts import official
from tests.support.runs import AS_OF, NOW, assessed, pipeline, request

from waitlist.exceptions import StagingError
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.staging import StagingStore, schema
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Request, Run

WAVE = Request("waitlist_migration", "wave", "migration", AS_OF)
OTHER_PERSON = official(dt.date(1991, 2, 3))


@dataclass(frozen=True)
class Site:
    """A synthetic PMO whose posts that migrate were all released, and a pipeline over it."""

    pmo: Path
    steps: Pipeline
    released: tuple[int, ...]

    def change(self, sql: str, *values: object) -> None:
        with sqlite3.connect(self.pmo) as connection:
            connection.execute(sql, values)

    def run(self, asked: Request) -> dict[int, tuple[str, str]]:
        """Take a run's steps up to the report, and return its entries by post."""
        run, _ = assessed(self.steps, asked)
        counts = self.steps.find_changes(run)
        reported = self.reported(run.batch_id)
        assert sum(counts.values()) == len(reported)
        return reported

    def reported(self, batch_id: str) -> dict[int, tuple[str, str]]:
        table = schema.released_change
        query = sa.select(table.c.post_id, table.c.change, table.c.columns).where(table.c.batch_id == batch_id)
        with self.steps.store.database.connected() as connection:
            return {post_id: (change, columns) for post_id, change, columns in connection.execute(query)}

    def units(self) -> dict[int, str]:
        """Return the unit of every post of the wave."""
        table = schema.disposition
        query = sa.select(table.c.post_id, table.c.enhet_hsa_id).where(table.c.batch_id == WAVE.batch_id)
        with self.steps.store.database.connected() as connection:
            return {row.post_id: row.enhet_hsa_id for row in connection.execute(query)}


def release(store: StagingStore, batch_id: str) -> tuple[int, ...]:
    """Write the rows of a release, without its gates and its approval."""
    wanted, post = schema.bokningsbegaran, schema.released_post
    rows = sa.select(wanted.c.post_id, wanted.c.batch_id, wanted.c.row_hash, sa.literal(NOW, schema.UtcDateTime))
    names = ["post_id", "batch_id", "row_hash", "released_at"]
    execute(store, post.insert().from_select(names, rows.where(wanted.c.batch_id == batch_id)))
    execute(store, schema.batch.update().where(schema.batch.c.batch_id == batch_id).values(state="released"))
    return tuple(store.released_post_ids(None, None).tolist())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    out = tmp_path_factory.mktemp("pmo")
    generate(Order(900, seed=5, as_of=AS_OF), out, sqlite=out / "pmo.sqlite")
    staging = f"sqlite:///{out / 'staging.sqlite'}"
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        staging = server.libpq(server.create_database())
    steps = pipeline(
        out,
        pmo=f"Driver={{SQLite3}};Database={out / 'pmo.sqlite'}",
        staging=staging,
        mappings=out / MAPPINGS,
        partition_posts=300,
        chunk_posts=100,
    )
    site = Site(out / "pmo.sqlite", steps, ())
    assert site.run(WAVE) == {}
    yield replace(site, released=release(steps.store, WAVE.batch_id))
    steps.store.engine.dispose()


@dataclass(frozen=True)
class Night:
    reported: dict[int, tuple[str, str]]
    changed: int
    closed: int
    lost: int
    unusable: int


@pytest.fixture(scope="module")
def night(site: Site) -> Night:
    """The night after staff changed a booking window, closed a post, deleted one and lost a personnummer."""
    assert site.run(request("untouched")) == {}
    changed, closed, lost, unusable = site.released[3], site.released[7], site.released[-1], site.released[11]
    later = "boka_fore = date(boka_fore, '+1 day'), orsak = 'Ändrad av personalen'"
    site.change(f"UPDATE vantelistepost SET {later} WHERE post_id = ?", changed)
    site.change("UPDATE vantelistepost SET avslutad = '2024-10-01 10:00:00' WHERE post_id = ?", closed)
    site.change("DELETE FROM vantelistepost WHERE post_id = ?", lost)
    site.change(
        "INSERT INTO patient (patient_id, personnummer, namn, sekretess) VALUES (999999, NULL, 'Ny, Patient', 0)"
    )
    site.change("UPDATE vantelistepost SET patient_id = 999999, kategori = 'Okänd lista' WHERE post_id = ?", unusable)
    return Night(site.run(request("night")), changed, closed, lost, unusable)


def test_a_change_is_reported_by_its_columns_and_a_post_that_left_the_list_as_gone(site: Site, night: Night) -> None:
    assert night.reported == {
        night.changed: ("changed", "begart_slutdatum, beskrivning"),
        night.closed: ("gone", ""),
        night.lost: ("gone", ""),
        night.unusable: ("changed", "besokstyp, patientnamn, person_id"),
    }


def test_a_rerun_leaves_the_same_report_and_its_log_counts_without_values(
    site: Site, night: Night, caplog: pytest.LogCaptureFixture
) -> None:
    before = dump(site.steps.store)
    with caplog.at_level(logging.INFO, "waitlist"):
        assert site.run(request("night")) == night.reported
    assert dump(site.steps.store) == before
    assert "CHANGED_SINCE_RELEASE: 2 released posts changed in PMO, 2 gone" in caplog.text
    assert "personalen" not in caplog.text


def test_a_rerun_after_pmo_was_put_right_replaces_the_report(site: Site, night: Night) -> None:
    assert len(site.run(request("mended"))) == 4
    site.change("UPDATE vantelistepost SET avslutad = NULL WHERE post_id = ?", night.closed)
    try:
        assert night.closed not in site.run(request("mended"))
    finally:
        site.change("UPDATE vantelistepost SET avslutad = '2024-10-01 10:00:00' WHERE post_id = ?", night.closed)


def test_a_run_over_some_units_reports_only_their_posts_as_gone(site: Site, night: Night) -> None:
    unit_of = site.units()
    own = unit_of[night.lost]
    assert site.run(request("unit", units=(own,)))[night.lost] == ("gone", "")
    others = {unit_of[post_id] for post_id in site.released} - {own}
    found = site.run(request("others", units=tuple(sorted(others))))
    assert night.lost not in found
    assert {unit_of[post_id] for post_id in found} <= others


def test_a_post_that_moved_to_another_unit_is_changed_and_never_gone_whatever_a_run_reads(
    site: Site, night: Night
) -> None:
    unit_of = site.units()
    moved = site.released[5]
    own = unit_of[moved]
    other = next(unit for post, unit in unit_of.items() if unit != own and post in site.released)
    place = "(SELECT enhet_id FROM enhet WHERE hsa_id = ?)"
    site.change(f"UPDATE vantelistepost SET enhet_id = {place} WHERE post_id = ?", other, moved)
    try:
        left = site.run(request("left", units=(own,)))
        assert left[moved] == ("changed", "enhet")
        came, everywhere = site.run(request("came", units=(other,))), site.run(request("everywhere"))
        assert came[moved] == everywhere[moved]
        assert (came[moved][0], "enhet" in came[moved][1].split(", ")) == ("changed", True)
        replays = {
            "whole": Request(
                "waitlist_dry_run", "r1", "dry_run", None, units=(own,), reuse_snapshot=request("everywhere").batch_id
            ),
            "partial": Request("waitlist_dry_run", "r2", "dry_run", None, reuse_snapshot=request("left").batch_id),
        }
        assert site.run(replays["whole"])[moved] == ("changed", "enhet")
        # A snapshot of the unit alone cannot tell.
        assert moved not in site.run(replays["partial"])
        gone = {post for post, (change, _) in left.items() if change == "gone"}
        assert gone == {post for post in (night.closed, night.lost) if unit_of[post] == own}
    finally:
        site.change(f"UPDATE vantelistepost SET enhet_id = {place} WHERE post_id = ?", own, moved)


def test_a_run_as_of_a_day_before_the_release_compares_nothing(site: Site, night: Night) -> None:
    assert site.run(request("yesterday", as_of=AS_OF - dt.timedelta(days=1))) == {}


def test_a_batch_that_may_not_be_changed_keeps_its_report(site: Site, night: Night) -> None:
    with pytest.raises(StagingError, match="released and immutable"):
        site.steps.find_changes(Run(WAVE.batch_id, AS_OF, None, site.steps.facts.version))


def test_posts_of_a_withdrawn_batch_are_not_reported_as_changed(site: Site, night: Night) -> None:
    execute(site.steps.store, schema.released_post.delete())
    assert site.run(request("night")) == {}
