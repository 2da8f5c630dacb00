"""A dry run's gates are measured, and a message is sent only about a gate that has turned red."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.support import batches
from tests.support.batches import execute
from upath import UPath

from waitlist.facts.gates import Gate
from waitlist.release.gates import GateResult, read_measured, write_measured
from waitlist.reports.notices import Notice
from waitlist.settings import Settings
from waitlist.source.batch_files import BatchFiles
from waitlist.staging import StagingStore, schema
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Run

TUESDAY = batches.AS_OF + dt.timedelta(days=1)
# The ready-made batch has no suite results, its units are not planned, and a part of its posts is left to do.
RED = {Gate.CRITICAL_SUITES, Gate.UNITS_WITHOUT_GO_LIVE, Gate.UNHANDLED_SHARE}


@dataclass(frozen=True)
class Site:
    store: StagingStore
    snapshots: Path

    def watch(
        self, batch_id: str, tell: Callable[[Notice], None] | None = None, *, reuse_snapshot: str | None = None
    ) -> list[Notice]:
        told: list[Notice] = []
        url = self.store.engine.url.render_as_string(hide_password=False)
        steps = Pipeline(Settings(), snapshots=UPath(self.snapshots), pmo=str, staging=lambda: url)
        run = Run(batch_id, self.store.batch(batch_id).as_of, None, steps.facts.version, reuse_snapshot)
        steps.watch_gates(run, tell or told.append)
        return told

    def measured(self, batch_id: str) -> Path:
        return self.snapshots / batch_id / "gates.json"

    def red(self, batch_id: str) -> set[Gate]:
        return {result.gate for result in self.gates(batch_id) if not result.passed}

    def gates(self, batch_id: str) -> list[GateResult]:
        return read_measured(self.files(batch_id))

    def files(self, batch_id: str) -> BatchFiles:
        return BatchFiles(self.store, UPath(self.snapshots), batch_id)


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    store = batches.empty_store(request, tmp_path)
    batches.put_verified(store, "monday", "tuesday")
    change(store, "tuesday", as_of=TUESDAY, state="open")
    return Site(store, tmp_path / "snapshots")


def change(store: StagingStore, batch_id: str, **values: object) -> None:
    table = schema.batch
    execute(store, table.update().where(table.c.batch_id == batch_id).values(values))


def test_the_first_night_sends_every_red_gate_that_could_be_measured(site: Site) -> None:
    (told,) = site.watch("monday")
    assert told.subject == "Väntelistorna: 3 grindar har blivit röda"
    assert "Andel poster som ännu inte är hanterade" in told.text
    assert site.red("monday") >= RED
    assert "Dagar sedan föregående torrkörning" not in told.text


def test_the_next_night_with_the_same_gates_sends_nothing(site: Site) -> None:
    site.watch("monday")
    assert site.watch("tuesday") == []
    assert site.red("tuesday") >= RED


def test_a_gate_that_was_green_the_night_before_is_sent_alone(site: Site) -> None:
    site.watch("monday")
    green = [replace(gate, passed=gate.gate not in RED - {Gate.UNHANDLED_SHARE}) for gate in site.gates("monday")]
    write_measured(site.files("monday"), green)
    (told,) = site.watch("tuesday")
    assert told.subject == "Väntelistorna: en grind har blivit röd"
    assert "Andel poster" in told.text
    assert "Enheter utan driftstart" not in told.text


def test_a_past_day_that_is_run_again_is_no_news(site: Site) -> None:
    change(site.store, "tuesday", state="verified")
    assert site.watch("monday") == []
    assert site.red("monday") >= RED


def test_a_snapshot_that_is_judged_again_is_no_news(site: Site) -> None:
    assert site.watch("monday", reuse_snapshot="sunday") == []


def test_watching_changes_no_result_and_a_second_watch_sends_nothing(site: Site) -> None:
    before = batches.contents(site.store)
    site.watch("monday")
    assert site.watch("monday") == []
    after = batches.contents(site.store)
    assert [(row["batch_id"], row["name"]) for row in after["batch_file"]] == [("monday", "gates.json")]
    assert {**after, "batch_file": []} == before


def test_a_message_that_could_not_be_sent_is_sent_the_next_time(site: Site) -> None:
    def fall(_: Notice) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site.watch("monday", fall)
    assert len(site.watch("monday")) == 1


def test_only_its_owner_can_read_the_list_of_red_gates(site: Site) -> None:
    site.watch("monday")
    assert site.measured("monday").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("{"), lambda path: path.unlink()], ids=["bad", "lost"])
@pytest.mark.parametrize("night", ["monday", "tuesday"])
def test_a_night_whose_earlier_results_cannot_be_read_sends_every_red_gate(
    site: Site, caplog: pytest.LogCaptureFixture, night: str, spoil: Callable[[Path], object]
) -> None:
    site.watch("monday")
    spoil(site.measured("monday"))
    (told,) = site.watch(night)
    assert told.subject == "Väntelistorna: 3 grindar har blivit röda"
    assert "the gates of batch monday are not known: gates.json" in caplog.text
    assert site.red(night) >= RED
