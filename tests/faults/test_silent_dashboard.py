"""A staging database that stops answering while many pages are requested: every page says so, and soon."""

import inspect
import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from tests.support import dashboards, posts, worklists
from tests.support.dashboards import Answer, Server
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.silence import SilentProxy, silent_proxy
from tests.support.waits import locked_tables, stopped_postgres

from waitlist.settings import CONNECTION_DEFAULTS
from waitlist.staging import StagingStore
from waitlist_airflow.web import own_threads
from waitlist_airflow.web import site as site_module
from waitlist_airflow.web.app import create_app

MANY = 40
PATIENCE_SECONDS = 8.0
"""Three, and more for a busy machine: before, all pages waited until the database answered."""
ROOM = own_threads.THREADS + own_threads._LINE
"""Of more requests at once, some are refused: where pages are fast, all arrive before the first is answered."""
OF_BATCHES = ("", f"enhet/{posts.UNIT}", "korningar", "api/oversikt")
PATHS = (*OF_BATCHES, "regler", "overfort", "atkomstlogg", "vad-hander-om?dagar=9")
LOOKS = (f"enhet/{posts.UNIT}/personer", f"enhet/{posts.UNIT}/arbetslista")


@dataclass(frozen=True)
class TimedAnswer:
    """An answer, and how long it took."""

    answer: Answer
    seconds: float

    @property
    def said(self) -> str:
        """The title of the page, or of the error."""
        found = re.search(r"<h1>(.*?)</h1>|\"title\": *\"(.*?)\"", self.answer.text)
        return f"{self.answer.status} {found[1] or found[2] if found else ''}"


class Site(dashboards.Site):
    """A deployment with the product's own stores: pooled, and with their limits."""

    def __init__(self, url: str, snapshots: Path) -> None:
        super().__init__(site_module._store(url, CONNECTION_DEFAULTS, 60), snapshots)
        self.url = url

    def answers(self) -> bool:
        return site_module.reading.answers(site_module._looked_at(self.url, CONNECTION_DEFAULTS))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PostgresServer, str, Path]]:
    """A server of this file's own, since it is stopped, with one dry run."""
    with running_postgres() as server:
        name = server.create_database()
        folder = tmp_path_factory.mktemp("silent")
        site = worklists.site(folder, url=server.libpq(name))
        site.stage({}, {"kategori": "Diabetesmottagning"})
        site.store.engine.dispose()
        yield server, name, folder


@dataclass(frozen=True)
class Page:
    """The dashboard beside a page of Airflow's, with the proxy before its database."""

    server: Server
    proxy: SilentProxy
    database: str

    def ask(self, path: str) -> TimedAnswer:
        begun = time.monotonic()
        answer = self.server.ask(path, {"Authorization": "Bearer lead"})
        return TimedAnswer(answer, time.monotonic() - begun)

    def ask_many(
        self, paths: Sequence[str] = PATHS, *, many: int = MANY, meanwhile: Callable[[], None] = lambda: None
    ) -> list[TimedAnswer]:
        """Send many requests at once."""
        with ThreadPoolExecutor(many) as clients:
            waiting = [clients.submit(self.ask, paths[number % len(paths)]) for number in range(many)]
            meanwhile()
            return [future.result() for future in waiting]

    def heals(self) -> None:
        """Require that a page is shown again, soon."""
        until = time.monotonic() + PATIENCE_SECONDS
        while (told := self.ask("")).answer.status != 200 and time.monotonic() < until:
            time.sleep(0.2)
        assert told.answer.status == 200, told.said

    def heals_for_many(self) -> None:
        """Require that pages are shown again, soon, and all of them."""
        self.heals()
        until = time.monotonic() + PATIENCE_SECONDS
        while (refused := self._refused()) and time.monotonic() < until:
            time.sleep(0.2)
        assert refused == []

    def _refused(self) -> list[str]:
        return [told.said for told in self.ask_many(many=ROOM) if told.answer.status != 200]


@pytest.fixture
def page(database: tuple[PostgresServer, str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    server, name, folder = database
    for setting, users in dashboards.RIGHTS.items():
        monkeypatch.setenv(setting, users)
    with silent_proxy(server.port) as proxy:
        url = PostgresServer(proxy.port, server.password).libpq(name)
        made = dashboards.over(worklists.Site(StagingStore(url), folder / "snapshots", posts.context()))
        made.dependency_overrides[site_module.site] = lambda: Site(url, folder / "snapshots")
        with dashboards.serving(made) as serving:
            found = Page(serving, proxy, server.libpq(name))
            assert found.ask("").answer.status == 200
            yield found
        # End the connections that still wait.
        site_module._store(url, CONNECTION_DEFAULTS, 60).engine.dispose()


def requires_errors_at_once(told: Sequence[TimedAnswer]) -> None:
    said = Counter(reply.said for reply in told)
    # Some requests arrive while every thread is in use, before the reason is known.
    assert set(said) <= {"503 Databasen svarar inte", "503 Databasen hinner inte svara"}
    assert said["503 Databasen svarar inte"]
    assert max(reply.seconds for reply in told) < PATIENCE_SECONDS


def test_pages_that_come_while_the_database_is_silent_say_so_soon(page: Page) -> None:
    page.proxy.be_silent()
    requires_errors_at_once(page.ask_many())
    requires_errors_at_once(page.ask_many(LOOKS))
    page.proxy.speak_again()
    page.heals_for_many()


def test_pages_that_are_being_read_when_the_database_goes_silent_say_so_soon(page: Page) -> None:
    page.proxy.be_silent_after(b"unit_summary")
    told = page.ask_many()
    assert page.proxy.went_silent.is_set()
    assert {reply.answer.status for reply in told} <= {200, 503}
    assert max(reply.seconds for reply in told) < PATIENCE_SECONDS
    page.proxy.speak_again()
    page.heals_for_many()


def test_pages_that_wait_for_a_lock_say_so_soon(page: Page) -> None:
    with locked_tables(page.database, "millennium_staging.batch"):
        requires_errors_at_once(page.ask_many(OF_BATCHES))
    page.heals_for_many()


def test_pages_of_a_server_that_is_stopped_say_so_soon(page: Page) -> None:
    with stopped_postgres(page.database) as stop:
        stop()
        requires_errors_at_once(page.ask_many())
    page.heals_for_many()


def test_threads_that_never_come_back_do_not_take_the_pages_with_them(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr("waitlist_airflow.web.overview.read_overview", lambda *_, **__: never.wait())
    with monkeypatch.context() as short:
        settings = site_module.Settings.read().model_copy(update={"page_seconds": 3})
        short.setattr(site_module.Settings, "read", lambda: settings)
        for _ in range(2):
            told = page.ask_many([""])
            assert {reply.answer.status for reply in told} == {503}
            assert max(reply.seconds for reply in told) < PATIENCE_SECONDS
    # The time that a page usually has: a loaded machine may need more than three seconds for one that is well.
    told = page.ask("korningar")
    assert told.answer.status == 200, told
    never.set()
    monkeypatch.undo()


def test_nothing_of_the_pages_waits_in_airflows_threads() -> None:
    def calls_of(dependant: Dependant) -> Iterator[Callable[..., Any]]:
        yield dependant.call
        for inner in dependant.dependencies:
            yield from calls_of(inner)

    routes = [route for route in create_app().routes if isinstance(route, APIRoute)]
    calls = {call for route in routes for call in calls_of(route.dependant)}
    ours = [call for call in calls if call.__module__.startswith("waitlist")]
    assert len(ours) > len(dashboards.ROUTES)
    # Of an object FastAPI asks whether its __call__ is a coroutine function.
    asked = [call if inspect.isroutine(call) else type(call).__call__ for call in ours]
    assert [call for call in asked if not inspect.iscoroutinefunction(call)] == []


@pytest.mark.attack
def test_a_page_whose_database_goes_silent_at_any_moment_says_so_soon(
    page: Page, attack_table: Callable[..., None]
) -> None:
    lost, tries = [], 0
    for path, answered in itertools.product((*PATHS, *LOOKS), (0, 1, 30, 100, 300, 1_000, 3_000)):
        page.proxy.be_silent_after(b"SELECT", answered)
        told = page.ask(path)
        page.proxy.speak_again()
        tries += 1
        if told.answer.status not in {200, 503} or told.seconds > PATIENCE_SECONDS:
            lost.append(f"{path} after {answered} bytes: {told.said}, {told.seconds:.1f} s")
        page.heals()
    assert lost == []
    attack_table("dashboard: silent at any moment", tries=tries, held=tries - len(lost))
