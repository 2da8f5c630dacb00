"""The watch over the nights: one message for each outage, to a real webhook; once by Airflow, then step by step."""

import datetime as dt
import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import airflow.sdk
import pytest
from airflow.sdk.exceptions import AirflowException
from tests.support import batches
from tests.support.airflow_home import AirflowHome, sqlite_connection
from tests.support.mail import Webhook, serving

from waitlist import paths
from waitlist.staging import StagingStore, schema
from waitlist.swedish.formats import moment

NOW = dt.datetime.now(dt.UTC)
HOUR = dt.timedelta(hours=1)
KEPT = "waitlist_watch"


@dataclass
class Variables:
    """A replacement for Airflow's variables."""

    kept: dict[str, str] = field(default_factory=dict)

    def set(self, key: str, value: object, *, serialize_json: bool = False) -> None:
        self.kept[key] = json.dumps(value) if serialize_json else str(value)

    def get(self, key: str, default: str | None = None, *, deserialize_json: bool = False) -> str | None:
        assert not deserialize_json
        return self.kept.get(key, default)


@dataclass(frozen=True)
class Site:
    folder: Path
    store: StagingStore
    webhook: Webhook
    environment: dict[str, str]
    look: Callable[[], object]
    variables: Variables = field(default_factory=Variables)

    def night(self, ago: dt.timedelta, *, state: str = "verified") -> dt.datetime:
        """Store one night that began and ended so long ago."""
        if not batches.rows(self.store, schema.batch):
            batches.put_verified(self.store)
        at = NOW - ago
        told = {"as_of": at.date(), "started_at": at, "finished_at": at, "state": state}
        batches.execute(self.store, schema.batch.update().values(told))
        return at

    def remember(self, ago: dt.timedelta) -> None:
        """Store that the watch saw a night so long ago, and has sent no message since."""
        self.variables.kept[KEPT] = json.dumps({"since": (NOW - ago).isoformat(), "told": False})

    def go_live(self, day: dt.date) -> None:
        """Give one unit a go-live, and the others none."""
        header = (paths.MAPPINGS / "units.csv").read_text(encoding="utf-8").splitlines()[0]
        told = {
            "hsa_id": "SE2120009999-DEMO1", "enhet": "Demo", "vardomraden": "Pv", "driftstart": day.isoformat(),
            "vag": "1",
        }  # fmt: skip
        row = ",".join(told.get(column, "") for column in header.split(","))
        (self.folder / "mappings" / "units.csv").write_text(f"{header}\n{row}\n", encoding="utf-8")

    def subjects(self, run: Callable[[], object]) -> list[str]:
        """Return the subjects of the messages that were sent during the run."""
        before = len(self.webhook.posts)
        run()
        return [str(body["subject"]) for _, _, body in self.webhook.posts[before:]]

    def run(self) -> list[str]:
        """Let the watch look once; return the subjects of its messages."""
        return self.subjects(self.look)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    for file in paths.MAPPINGS.glob("*.csv"):
        (mappings / file.name).write_bytes(file.read_bytes())
    store = batches.migrated_file(tmp_path / "staging.sqlite")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    with serving(Webhook()) as webhook:
        given = {
            "AIRFLOW_CONN_MILLENNIUM_STAGING": sqlite_connection(tmp_path / "staging.sqlite"),
            "AIRFLOW_CONN_WAITLIST_MESSAGES": json.dumps({"conn_type": "http", "host": webhook.address}),
            "WAITLIST_MAPPINGS_DIR": str(mappings),
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        steps = importlib.import_module("waitlist_airflow.steps")
        site = Site(tmp_path, store, webhook, given, steps.watch_nights.function)
        monkeypatch.setattr(airflow.sdk, "Variable", site.variables)
        site.go_live(NOW.date() + dt.timedelta(days=90))
        yield site


def test_as_airflow_runs_it_an_outage_gives_one_message_and_is_kept_in_a_variable(site: Site) -> None:
    home = AirflowHome(site.folder / "airflow", site.environment)
    last = site.night(28 * HOUR)
    (subject,) = site.subjects(lambda: home.test("waitlist_watch"))
    assert subject == f"Väntelistorna: ingen torrkörning är klar sedan {moment(last)}"
    assert site.webhook.posts[-1][2]["link"].endswith("/dags/waitlist_dry_run")
    assert site.subjects(lambda: home.test("waitlist_watch")) == []
    ((kept,),) = home.query(f"SELECT count(*) FROM variable WHERE key = '{KEPT}'")
    assert kept == 1


def test_the_next_outage_gives_a_message_again(site: Site) -> None:
    for ago, told in [(28, 1), (28, 0), (1, 0), (1, 0)]:
        site.night(ago * HOUR)
        assert len(site.run()) == told
    assert json.loads(site.variables.kept[KEPT])["told"] is False
    site.remember(27 * HOUR)
    site.night(27 * HOUR)
    assert len(site.run()) == 1


def test_it_is_silent_before_the_first_dry_run_began(site: Site) -> None:
    assert site.run() == []
    assert site.variables.kept == {}


def test_a_first_dry_run_that_never_ends_gives_one_message(site: Site) -> None:
    site.night(20 * HOUR, state="open")
    assert site.run() == []
    site.variables.kept.clear()
    site.night(30 * HOUR, state="open")
    assert len(site.run()) == 1
    site.night(27 * HOUR, state="failed")
    assert site.run() == []


def test_a_message_that_could_not_be_sent_is_sent_the_next_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.night(40 * HOUR)
    with monkeypatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAITLIST_MESSAGES", '{"conn_type": "http", "host": "http://127.0.0.1:9"}')
        assert site.run() == []
    assert len(site.run()) == 1
    assert site.run() == []


def test_a_message_is_sent_also_when_staging_cannot_be_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> None:
        with pytest.raises(AirflowException, match="WAITLIST_CHUNK_POSTS"):
            site.look()

    monkeypatch.setenv("WAITLIST_CHUNK_POSTS", "0")
    assert site.subjects(look) == []
    site.remember(40 * HOUR)
    assert len(site.subjects(look)) == 1
    assert site.subjects(look) == []


def test_after_the_last_go_live_it_is_silent(site: Site) -> None:
    site.night(9 * 24 * HOUR)
    site.remember(9 * 24 * HOUR)
    site.go_live(NOW.date() - dt.timedelta(days=1))
    assert site.run() == []
    site.go_live(NOW.date() + dt.timedelta(days=90))
    site.variables.kept.clear()
    assert len(site.run()) == 1
