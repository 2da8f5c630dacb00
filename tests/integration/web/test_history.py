"""The counts of earlier nights: read once, and again when a night has been run again."""

import datetime as dt
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import batches, effort
from tests.support.batches import AS_OF

from waitlist.reports.pages.forecast import WINDOW_DAYS
from waitlist.reports.pages.history import TrendPoint, dry_runs, runs_of_pace, unit_trends
from waitlist.reports.pages.reading import reading
from waitlist.staging import StagingStore, schema

NIGHTS = (AS_OF - dt.timedelta(days=1), AS_OF)
UNITS = {f"SE162321000000-{number:04}": (f"SE162321000000-{number:04}",) for number in range(30)}
FIRST = next(iter(UNITS))


def ended(day: dt.date, hour: int = 4) -> dt.datetime:
    """Return the moment at which a night ended."""
    return dt.datetime.combine(day, dt.time(hour), dt.UTC)


@pytest.fixture
def store(tmp_path: Path) -> StagingStore:
    """Two nights of 30 units with 3 posts each, of which one migrates."""
    made = batches.migrated_file(tmp_path / "staging.sqlite")
    with batches.unguarded(made) as connection:
        for day in NIGHTS:
            night = {"batch_id": f"natt-{day}", "dag_id": "waitlist_dry_run", "run_id": f"natt-{day}", "as_of": day}
            told = {"kind": "dry_run", "state": "verified", "posts_extracted": 90, "rules_version": "0" * 64}
            moments = {"started_at": ended(day, 3), "finished_at": ended(day)}
            connection.execute(schema.batch.insert(), [{**night, **told, **moments}])
            counts = [{"disposition": "migrate", "posts": 1}, {"disposition": "fix_in_pmo", "posts": 2}]
            rows = [{"batch_id": f"natt-{day}", "enhet_hsa_id": unit, **count} for unit in UNITS for count in counts]
            connection.execute(schema.unit_summary.insert(), rows)
    return made


def read(store: StagingStore, units: dict[str, tuple[str, ...]] = UNITS) -> dict[str, tuple[TrendPoint, ...]]:
    """Read the trends of some units."""
    with reading(store, "reading") as connection:
        return unit_trends(connection, dry_runs(connection), units)


def test_the_counts_of_a_night_are_read_once(store: StagingStore) -> None:
    first = read(store)
    assert [(point.posts, point.ready, point.left) for point in first[FIRST]] == [(3, 1, 2)] * 2
    with effort.counted(store) as counted:
        assert read(store) == first
    assert not [statement for statement in counted.of if "unit_summary" in statement]


def test_few_units_are_read_by_themselves_and_are_the_same(store: StagingStore) -> None:
    few = {FIRST: UNITS[FIRST]}
    with effort.counted(store) as counted:
        alone = read(store, few)
    assert [statement for statement in counted.of if "unit_summary" in statement]
    assert alone[FIRST] == read(store)[FIRST]


def test_a_unit_is_the_sum_of_its_spellings_and_zero_where_it_has_no_posts(store: StagingStore) -> None:
    one, other = list(UNITS)[:2]
    found = read(store, {**UNITS, "both": (one, other, "nobody"), "none": ("nobody",)})
    assert [(point.posts, point.ready, point.left) for point in found["both"]] == [(6, 2, 4)] * 2
    assert [(point.posts, point.ready, point.left) for point in found["none"]] == [(0, 0, 0)] * 2


def test_a_night_that_was_run_again_is_read_again(store: StagingStore) -> None:
    read(store)
    summary, batch = schema.unit_summary, schema.batch
    with batches.unguarded(store) as connection:
        connection.execute(summary.update().where(summary.c.disposition == "migrate").values(posts=5))
        again = batch.update().where(batch.c.batch_id == f"natt-{AS_OF}")
        connection.execute(again.values(finished_at=ended(AS_OF, 9)))
    assert [point.posts for point in read(store)[FIRST]] == [3, 7]


def test_a_night_without_an_end_is_read_each_time(store: StagingStore) -> None:
    with batches.unguarded(store) as connection:
        connection.execute(schema.batch.update().values(finished_at=sa.null()))
    read(store)
    with batches.unguarded(store) as connection:
        connection.execute(schema.unit_summary.update().values(posts=4))
    assert [point.posts for point in read(store)[FIRST]] == [8, 8]


def test_a_pace_is_measured_by_the_nights_of_its_weeks(store: StagingStore) -> None:
    with batches.unguarded(store) as connection:
        first = schema.batch.update().where(schema.batch.c.batch_id == f"natt-{NIGHTS[0]}")
        for days, expected in ((WINDOW_DAYS, 2), (WINDOW_DAYS + 1, 1)):
            connection.execute(first.values(as_of=AS_OF - dt.timedelta(days=days)))
            assert len(runs_of_pace(dry_runs(connection))) == expected
