"""The latest dry run: every reader takes the same one, also when several began at the same moment."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import batches, releases

from waitlist.facts.mappings import Mappings
from waitlist.release import gates
from waitlist.reports.pages.history import dry_runs as shown_dry_runs
from waitlist.reports.pages.reading import reading
from waitlist.reports.readiness import LATEST, read_readiness
from waitlist.staging import StagingStore
from waitlist.staging.retention import Periods, expired, read_batches

YEARS_LATER = batches.AS_OF + dt.timedelta(days=3_000)
NO_FACTS = Mappings((), (), {}, (), {}, {})
WAVE = "wave"


def in_readiness(store: StagingStore) -> str:
    return read_readiness(store, LATEST, NO_FACTS).batch.batch_id


def in_the_gates(store: StagingStore) -> str:
    found = gates.latest_dry_run(store, WAVE)
    assert found is not None
    return found.batch_id


def on_the_dashboard(store: StagingStore) -> str:
    with reading(store, "looking") as connection:
        return shown_dry_runs(connection)[-1].batch_id


def kept_by_retention(store: StagingStore) -> str:
    """The latest run over some units is not compared here."""
    batches_of_all = [batch for batch in read_batches(store) if batch.units is None]
    gone = {batch.batch_id for batch in expired(batches_of_all, YEARS_LATER, Periods(30, 30, 30), bool)}
    [kept] = {batch.batch_id for batch in batches_of_all} - gone
    return kept


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


READERS = (in_readiness, in_the_gates, on_the_dashboard, kept_by_retention)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@pytest.mark.parametrize("first", ["natt-1", "natt-2"])
def test_of_several_as_of_the_same_day_and_moment_the_largest_batch_id_counts(
    store: StagingStore, reader: Callable[[StagingStore], str], first: str
) -> None:
    for batch_id in sorted(["natt-1", "natt-2"], reverse=first == "natt-2"):
        releases.verified(store, batch_id, [3], kind="dry_run", wave=None)
    releases.verified(store, WAVE, [3], units=["SE2120009999-DEMO0001"])
    assert reader(store) == "natt-2"


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_a_later_run_over_some_units_does_not_take_the_place_of_the_one_over_every_unit(
    store: StagingStore, reader: Callable[[StagingStore], str]
) -> None:
    releases.verified(store, "every", [3], kind="dry_run", wave=None)
    later = batches.AS_OF + dt.timedelta(days=1)
    releases.verified(store, "some", [3], kind="dry_run", wave=None, as_of=later, units=["SE2120009999-DEMO0002"])
    releases.verified(store, WAVE, [3], as_of=later)
    assert reader(store) == "every"
