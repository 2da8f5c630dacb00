"""An old snapshot judged again, by new mapping files and without PMO."""

import csv
import datetime as dt
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support.dump import dump
from tests.support.runs import AS_OF, NOW, assessed, pipeline, request
from upath import UPath

from waitlist.columns.dates import STOCKHOLM
from waitlist.exceptions import OutdatedFileError, SettingsError, SnapshotError
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.source.batch_files import BatchFiles
from waitlist.source.snapshot import read_part, write_part
from waitlist.staging import schema
from waitlist.steps.pipeline import Pipeline

NIGHT = request("night")


@dataclass(frozen=True)
class Site:
    """A snapshot that was taken of a synthetic PMO, and pipelines that cannot reach PMO any more."""

    out: Path
    mappings: Path

    @property
    def steps(self) -> Pipeline:
        return pipeline(
            self.out,
            pmo="Driver={SQLite3};Database=/nowhere/pmo.sqlite",
            staging=f"sqlite:///{self.out / 'staging.sqlite'}",
            mappings=self.mappings,
            partition_posts=200,
            chunk_posts=60,
        )

    def replay(self, run_id: str, **asked: object) -> str:
        told = {"as_of": None, "reuse_snapshot": NIGHT.batch_id, **asked}
        run, _ = assessed(self.steps, request(run_id, **told))
        return run.batch_id

    def dispositions(self, batch_id: str) -> dict[int, tuple[str, str]]:
        table = schema.disposition
        query = sa.select(table.c.post_id, table.c.disposition, table.c.enhet_hsa_id)
        with self.steps.store.database.connected() as connection:
            rows = connection.execute(query.where(table.c.batch_id == batch_id))
            return {post_id: (disposition, unit) for post_id, disposition, unit in rows}

    @property
    def files(self) -> BatchFiles:
        return BatchFiles(self.steps.store, UPath(self.out / "snapshots"), NIGHT.batch_id)

    @property
    def snapshot(self) -> Path:
        return self.out / "snapshots" / NIGHT.batch_id


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    out = tmp_path_factory.mktemp("pmo")
    generate(Order(700, seed=2, as_of=AS_OF), out, sqlite=out / "pmo.sqlite")
    reads = pipeline(
        out,
        pmo=f"Driver={{SQLite3}};Database={out / 'pmo.sqlite'}",
        staging=f"sqlite:///{out / 'staging.sqlite'}",
        mappings=out / MAPPINGS,
        partition_posts=200,
        chunk_posts=60,
    )
    assessed(reads, NIGHT)
    (out / "pmo.sqlite").unlink()
    return Site(out, out / MAPPINGS)


@pytest.fixture
def spoilt(site: Site, tmp_path: Path) -> Site:
    """A site whose snapshots a test may spoil."""
    shutil.copytree(site.out, tmp_path / "site")
    return Site(tmp_path / "site", site.mappings)


def test_the_same_facts_give_the_same_result_in_a_batch_of_its_own(site: Site) -> None:
    replayed = site.replay("same")
    assert replayed != NIGHT.batch_id
    assert site.dispositions(replayed) == site.dispositions(NIGHT.batch_id)
    batch = site.steps.store.batch(replayed)
    assert (batch.as_of, batch.kind) == (AS_OF, "dry_run")


def test_the_audit_trail_names_the_snapshot_that_was_judged_again(site: Site) -> None:
    replayed = site.replay("told")
    assert [event.details["reuse_snapshot"] for event in site.steps.store.events(replayed)] == [NIGHT.batch_id]
    assert site.steps.store.batch(replayed).reuse_snapshot == NIGHT.batch_id
    assert site.steps.store.batch(NIGHT.batch_id).reuse_snapshot is None


def test_the_old_posts_are_judged_by_new_go_lives(site: Site, tmp_path: Path) -> None:
    mappings = tmp_path / "mappings"
    shutil.copytree(site.mappings, mappings)
    with (mappings / "units.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    moved = Counter(unit for what, unit in site.dispositions(NIGHT.batch_id).values() if what == "migrate")
    unit = moved.most_common(1)[0][0]
    for row in rows:
        row["driftstart"] = "" if row["hsa_id"] == unit else row["driftstart"]
    with (mappings / "units.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    before = site.dispositions(NIGHT.batch_id)
    after = Site(site.out, mappings).dispositions(Site(site.out, mappings).replay("moved"))
    differing = {post for post in before if before[post] != after[post]}
    assert {before[post][1] for post in differing} == {unit}
    assert {after[post][0] for post in differing} == {"plan_unit"}
    assert len(differing) >= moved[unit]
    assert site.dispositions(NIGHT.batch_id) == before


def test_a_replay_again_leaves_the_same_database(site: Site) -> None:
    site.replay("again")
    before = dump(site.steps.store)
    site.replay("again")
    assert dump(site.steps.store) == before


def test_a_replay_can_be_replayed_when_the_first_snapshot_is_gone(spoilt: Site) -> None:
    first = spoilt.replay("first")
    shutil.rmtree(spoilt.snapshot)
    second = spoilt.replay("second", reuse_snapshot=first)
    assert spoilt.dispositions(second) == spoilt.dispositions(NIGHT.batch_id)


def test_only_the_requested_units_are_judged(site: Site) -> None:
    units = sorted({unit for _, unit in site.dispositions(NIGHT.batch_id).values() if unit})[:2]
    replayed = site.dispositions(site.replay("two", units=tuple(units)))
    whole = site.dispositions(NIGHT.batch_id)
    assert replayed == {post: pair for post, pair in whole.items() if pair[1] in units}
    assert replayed


def test_a_snapshot_of_some_units_is_replayed_as_such_and_has_no_other(site: Site) -> None:
    first, second, *_ = sorted(site.steps.facts.mappings.units)
    part = site.replay("part", units=(first,))
    run, _ = assessed(site.steps, request("of-part", as_of=None, reuse_snapshot=part))
    assert run.units == (first,)
    with pytest.raises(SettingsError, match=f"unit '{second}' is not in it"):
        site.replay("other", units=(first, second), reuse_snapshot=part)


def test_units_without_a_post_in_the_snapshot_are_reported(site: Site, tmp_path: Path) -> None:
    mappings = tmp_path / "mappings"
    shutil.copytree(site.mappings, mappings)
    with (mappings / "units.csv").open("a", encoding="utf-8") as file:
        file.write("SE2120009999-NEW1,Vårdcentralen Ny,Pv,2024-11-04,9,,,,,,\n")
    with pytest.raises(SnapshotError, match="has no post of the requested units"):
        Site(site.out, mappings).replay("none", waves=("9",))


def test_another_date_than_the_snapshots_is_refused(site: Site) -> None:
    assert site.replay("dated", as_of=AS_OF)
    with pytest.raises(SettingsError, match="it was taken as of 2024-10-01: leave as_of empty, or give that date"):
        site.replay("misdated", as_of=AS_OF + dt.timedelta(days=1))


@pytest.mark.parametrize("batch_id", ["../elsewhere", "a/b", "", "natt 1", ".."])
def test_a_text_that_is_not_a_batch_id_reaches_no_folder(site: Site, batch_id: str) -> None:
    with pytest.raises(SettingsError, match="is no batch id"):
        site.replay("astray", reuse_snapshot=batch_id)


def test_a_batch_without_a_snapshot_says_why_there_may_be_none(site: Site) -> None:
    with pytest.raises(SnapshotError, match=r"is missing: it read nothing, or retention has removed it"):
        site.replay("lost", reuse_snapshot="dry_run-0000000000000000")


def test_a_missing_part_is_never_a_smaller_result(spoilt: Site) -> None:
    (spoilt.snapshot / "part-00001.parquet").unlink()
    with pytest.raises(SnapshotError, match=r"part-00001\.parquet .* is missing"):
        spoilt.replay("holed")


def test_a_damaged_part_is_found_by_its_checksum(spoilt: Site) -> None:
    part = spoilt.snapshot / "part-00001.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(SnapshotError, match=r"part-00001\.parquet .* is damaged or another file"):
        spoilt.replay("damaged")


@pytest.mark.parametrize("content", ["", '{"as_of": "2024', "{}"])
def test_a_damaged_plan_is_named(spoilt: Site, content: str) -> None:
    (spoilt.snapshot / "plan.json").write_text(content, encoding="utf-8")
    with pytest.raises(SnapshotError, match=r"plan\.json .* is damaged or another file"):
        spoilt.replay("unreadable")


def test_parts_of_an_earlier_plan_are_not_read_as_those_of_the_last(spoilt: Site) -> None:
    plan = spoilt.files.plan()
    first, second, *rest = plan.partitions
    moved = (replace(first, upper=first.upper + 1), replace(second, lower=first.upper + 1), *rest)
    spoilt.files.write_plan(replace(plan, partitions=moved))
    with pytest.raises(OutdatedFileError, match="clear extract and what follows"):
        spoilt.replay("mixed")


def test_a_plan_that_had_counted_other_posts_than_were_read_is_no_fault(spoilt: Site) -> None:
    plan = spoilt.files.plan()
    first, *rest = plan.partitions
    spoilt.files.write_plan(replace(plan, partitions=(replace(first, posts=first.posts + 1), *rest)))
    assert spoilt.dispositions(spoilt.replay("by-day")) == spoilt.dispositions(NIGHT.batch_id)


def test_a_batch_that_was_read_again_since_the_plan_is_not_mixed(spoilt: Site) -> None:
    run = spoilt.steps.open_batch(request("read-again", as_of=None, reuse_snapshot=NIGHT.batch_id), now=NOW)
    numbers = spoilt.steps.plan_extract(run)
    plan = spoilt.files.plan()
    tables = [table.slice(1) for table in read_part(spoilt.files.folder, spoilt.files.parts(plan)[1])]
    spoilt.files.keep_part(write_part(spoilt.files.folder, plan.partitions[1], tables), plan)
    spoilt.steps.extract(run, numbers[0])
    with pytest.raises(OutdatedFileError, match="has been read again since"):
        spoilt.steps.extract(run, numbers[1])


def test_remaining_parts_of_an_earlier_plan_are_not_read(spoilt: Site) -> None:
    plan = spoilt.files.plan()
    first, *_ = spoilt.files.parts(plan)
    shutil.copy(spoilt.snapshot / "part-00000.parquet", spoilt.snapshot / "part-00009.parquet")
    spoilt.files.keep_part(replace(first, partition=9), plan)
    assert spoilt.dispositions(spoilt.replay("left-over")) == spoilt.dispositions(NIGHT.batch_id)


def test_only_their_owner_can_read_copied_snapshots(site: Site) -> None:
    folder = site.out / "snapshots" / site.replay("own")
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_a_replay_after_the_last_go_live_is_not_skipped(site: Site) -> None:
    late, then = dt.date(2099, 1, 1), dt.datetime(2099, 1, 1, 4, tzinfo=dt.UTC)
    assert site.steps.is_past_last_go_live(request("late", as_of=late), now=then)
    assert not site.steps.is_past_last_go_live(request("late", as_of=late, reuse_snapshot=NIGHT.batch_id), now=then)


def test_a_run_that_reads_pmo_needs_a_date(site: Site) -> None:
    with pytest.raises(SettingsError, match="no as-of date"):
        site.steps.open_batch(request("dateless", as_of=None), now=NOW)


TODAY = NOW.astimezone(STOCKHOLM).date()


@pytest.mark.parametrize("kind", ["dry_run", "migration"])
@pytest.mark.parametrize(
    "day", [TODAY + dt.timedelta(days=1), dt.date(2124, 1, 1), dt.date.max, dt.date.min, dt.date(1999, 12, 31)]
)
def test_no_list_is_read_as_of_a_day_to_come_or_before_there_were_any(site: Site, day: dt.date, kind: str) -> None:
    asked = replace(request("ahead", as_of=day), kind=kind)
    assert not site.steps.is_past_last_go_live(asked, now=NOW) or day < TODAY
    with pytest.raises(SettingsError, match=f"as of {day}: a list is read as of a day from 2000-01-01 to today"):
        site.steps.open_batch(asked, now=NOW)
    assert not site.steps.store.knows(asked.batch_id)


def test_a_list_is_read_as_of_today(site: Site) -> None:
    assert site.steps.open_batch(request("today", as_of=TODAY), now=NOW).as_of == TODAY
