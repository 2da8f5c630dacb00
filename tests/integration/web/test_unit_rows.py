"""A process reads a unit's rows of a night once, and shows no row that the database does not have."""

import datetime as dt
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import batches, effort, releases
from tests.support.batches import AS_OF, NOW, UNITS

from waitlist.reports.pages import unit_rows
from waitlist.reports.pages.unit_rows import Rows, UnitRows
from waitlist.staging import StagingStore, schema
from waitlist.staging.dry_runs import DryRun, read_dry_runs

FIRST = {"units": (UNITS[0],), "with_null": 0}
SECOND = {"units": (UNITS[1],), "with_null": 0}
OF_NONE = {"units": ("",), "with_null": 1}


@pytest.fixture
def store(tmp_path: Path) -> StagingStore:
    """Two nights of twelve posts at three units, one of them unknown."""
    store = batches.migrated_file(tmp_path / "staging.sqlite")
    for days_ago, batch_id in enumerate(("natt-2", "natt-1")):
        day = AS_OF - dt.timedelta(days=days_ago)
        releases.verified(store, batch_id, range(1, 13), kind="dry_run", as_of=day)
    return store


def nights(store: StagingStore) -> tuple[DryRun, ...]:
    """Return the nights, the earliest first."""
    with store.engine.connect() as connection:
        return read_dry_runs(connection)


def rows(store: StagingStore, night: DryRun, units: dict[str, object], there: tuple[DryRun, ...] | None = None) -> Rows:
    """Return a unit's rows in a night, as a page reads them that finds some nights with rows."""
    with store.engine.connect() as connection:
        return UnitRows(connection, nights(store) if there is None else there, units).of(night)


def test_a_row_has_its_post_and_its_findings(store: StagingStore) -> None:
    found = rows(store, nights(store)[-1], FIRST)
    assert [row.post_id for row in found] == [3, 6, 9, 12]
    assert [row.disposition for row in found] == [batches.disposition_of(row.post_id) for row in found]
    # Of posts 1 to 12, only 2, 5 and 10 have findings.
    assert [[finding.rule for finding in row.findings] for row in rows(store, nights(store)[-1], OF_NONE)] == [
        [finding.rule for finding in findings_of(store, post_id)] for post_id in (2, 5, 8, 11)
    ]


def findings_of(store: StagingStore, post_id: int) -> list[sa.Row[tuple[str]]]:
    """Return the rules that were found on a post in the last night."""
    table = schema.finding.c
    query = sa.select(table.rule).where(table.batch_id == "natt-2", table.post_id == post_id).order_by(table.rule)
    with store.engine.connect() as connection:
        return list(connection.execute(query))


def test_a_night_is_read_once_for_each_unit(store: StagingStore) -> None:
    with effort.statements(store.engine, "disposition_row") as sent:
        first = [rows(store, night, FIRST) for night in nights(store)]
        assert len(sent) == 2
        assert [rows(store, night, FIRST) for night in nights(store)] == first
        assert len(sent) == 2
        assert {row.post_id for row in rows(store, nights(store)[0], SECOND)} == {1, 4, 7, 10}
        assert len(sent) == 3


def test_a_night_that_is_run_again_is_read_again(store: StagingStore) -> None:
    assert rows(store, nights(store)[-1], FIRST)[0].kategori == "Diabetes"
    batches.execute(store, schema.disposition.update().values(kategori="Astma"))
    batches.execute(store, schema.batch.update().values(finished_at=NOW + dt.timedelta(minutes=1)))
    assert rows(store, nights(store)[-1], FIRST)[0].kategori == "Astma"


def test_what_retention_has_removed_is_not_kept(store: StagingStore) -> None:
    before, latest = nights(store)
    assert len(rows(store, before, FIRST)) == 4
    batches.execute(store, schema.disposition.delete().where(schema.disposition.c.batch_id == "natt-1"))
    # The next page of any unit finds rows in the last night alone.
    rows(store, latest, SECOND, there=(latest,))
    assert rows(store, before, FIRST) == ()
    assert len(rows(store, latest, FIRST)) == 4


def test_a_night_without_rows_is_not_looked_for_among_those_kept(store: StagingStore) -> None:
    _, latest = nights(store)
    assert len(rows(store, latest, FIRST)) == 4
    batches.execute(store, schema.disposition.delete())
    assert rows(store, latest, FIRST, there=()) == ()


def test_the_rows_that_were_asked_for_longest_ago_are_dropped(
    store: StagingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_rows, "_MOST_POSTS", 8)
    _, latest = nights(store)
    with effort.statements(store.engine, "disposition_row") as sent:
        for units in (FIRST, SECOND, FIRST, OF_NONE):
            rows(store, latest, units)
        assert len(sent) == 3
        rows(store, latest, FIRST)
        assert len(sent) == 3
        rows(store, latest, SECOND)
        assert len(sent) == 4
