"""A real Airflow whose staging database stops answering while many pages are requested: Airflow's own pages go on."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import httpx
import pytest
from tests.support import posts, worklists
from tests.support.postgres import PostgresServer
from tests.support.running_airflow import RunningAirflow, running_airflow
from tests.support.silence import SilentProxy, silent_proxy

MANY = 40
PATIENCE_SECONDS = 8.0
"""Three, and more for a busy machine: before, both kinds of pages waited until the database answered."""
PAGES = ("", f"enhet/{posts.UNIT}", "korningar", "regler", "api/oversikt", "overfort")
OF_AIRFLOW = ("/api/v2/version", "/api/v2/dags", "/api/v2/monitor/health", "/execution/health")


@dataclass(frozen=True)
class Service:
    """Airflow, and the proxy before its staging database."""

    airflow: RunningAirflow
    proxy: SilentProxy

    def ask(self, client: httpx.Client, path: str) -> tuple[httpx.Response, float]:
        """Return an answer and the seconds it took."""
        begun = time.monotonic()
        answer = client.get(path)
        return answer, time.monotonic() - begun


@pytest.fixture
def service(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("silent")
    name = postgres.create_database()
    site = worklists.site(folder, url=postgres.libpq(name))
    site.stage({}, {"kategori": "Diabetesmottagning"})
    site.store.engine.dispose()
    with silent_proxy(postgres.port) as proxy:
        staging = {
            "conn_type": "postgres", "host": "127.0.0.1", "port": proxy.port, "schema": name, "login": "postgres",
            "password": postgres.password,
        }  # fmt: skip
        given = {"AIRFLOW_CONN_MILLENNIUM_STAGING": json.dumps(staging), "WAITLIST_PERSON_READERS": "lead"}
        own = postgres.libpq(postgres.create_database())
        with running_airflow(folder / "airflow", own, given, runs_tasks=False) as airflow:
            yield Service(airflow, proxy)


def test_airflows_pages_go_on_while_many_ask_a_dashboard_whose_database_is_silent(
    service: Service, attack_table: Callable[..., None]
) -> None:
    with closing(service.airflow.as_user("lead")) as client:
        for path in PAGES:
            assert client.get(f"/migrering/{path}").status_code == 200
        service.proxy.be_silent()
        done = threading.Event()

        def ask_airflow() -> list[float]:
            took = []
            while not done.is_set():
                for path in OF_AIRFLOW:
                    answer, seconds = service.ask(client, path)
                    assert answer.status_code == 200
                    took.append(seconds)
            return took

        with ThreadPoolExecutor(MANY + 1) as clients:
            beside = clients.submit(ask_airflow)
            paths = [f"/migrering/{PAGES[number % len(PAGES)]}" for number in range(MANY)]
            pages = list(clients.map(lambda path: service.ask(client, path), paths * 2))
            done.set()
            took = beside.result()
        told = [answer.status_code == 503 and seconds < PATIENCE_SECONDS for answer, seconds in pages]
        print(f"pages: {max(s for _, s in pages):.1f} s at most; Airflow's: {max(took):.2f} s at most of {len(took)}")
        assert max(took) < PATIENCE_SECONDS
        assert "Databasen svarar inte" in pages[0][0].text
        attack_table("dashboard: asked while staging is silent", tries=len(told), held=told.count(True))

        service.proxy.speak_again()
        until = time.monotonic() + PATIENCE_SECONDS
        while client.get("/migrering/").status_code != 200 and time.monotonic() < until:
            time.sleep(0.2)
        assert {client.get(f"/migrering/{path}").status_code for path in PAGES} == {200}
