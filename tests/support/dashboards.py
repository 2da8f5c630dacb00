"""The dashboard over hand-made posts, asked by a client in this process or over HTTP."""

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
import uvicorn
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.common.db.common import _get_session
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from fastapi import FastAPI, HTTPException, Request
from sqlalchemy.orm import Session
from upath import UPath

import waitlist_plugin
from tests.support import batches, posts, worklists
from waitlist.facts import readers
from waitlist.reports.pages import reading
from waitlist.staging import StagingStore, schema
from waitlist_airflow.web import app
from waitlist_airflow.web import site as site_module

RIGHTS = {
    "WAITLIST_LEADS": "lead, viewer",
    "WAITLIST_APPROVERS": "lead",
    "WAITLIST_PERSON_READERS": "reader, lead",
    "WAITLIST_LOG_READERS": "lead",
}
"""What the settings say about the users of tests; ``viewer`` sees every unit and no patient."""
ROUTES = sorted(
    (route.path, tuple(param.alias for param in route.dependant.query_params))
    for room in app.ROOMS
    for route in room.router.routes
    if "GET" in route.methods
)


class Site(site_module.Site):
    """A deployment for one test."""

    unit_readers: readers.UnitReaders = readers.NO_READERS

    def __init__(self, store: StagingStore, snapshots: Path) -> None:
        self.store = store
        self.folder = snapshots
        self.mappings = posts.context().mappings

    @property
    def snapshots(self) -> UPath:
        return UPath(self.folder)

    def answers(self) -> bool:
        return reading.answers(self.store)


def over(staged: worklists.Site) -> FastAPI:
    """Return the app over a site. The header or else the cookie names the user; ``refused`` is refused."""
    made = app.create_app()
    made.dependency_overrides |= {
        get_user: _user,
        site_module.site: lambda: Site(staged.store, staged.snapshots),
        _get_session: _no_task_instances,
    }
    return made


def _user(request: Request) -> SimpleNamespace:
    scheme, _, named = request.headers.get("Authorization", "").partition(" ")
    name = named if scheme.lower() == "bearer" else request.cookies.get(COOKIE_NAME_JWT_TOKEN)
    if name is None:
        raise HTTPException(401)
    if name == "refused":
        raise HTTPException(403)
    return SimpleNamespace(get_id=lambda: name)


def _no_task_instances() -> Iterator[Session]:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    names = ("task_id", "dag_id", "run_id", "map_index", "state", "start_date", "end_date")
    columns = (sa.Column(name, TaskInstance.__table__.c[name].type) for name in names)
    sa.Table("task_instance", sa.MetaData(), *columns).create(engine)
    airflow_runs(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


def airflow_runs(engine: sa.Engine) -> None:
    """Create Airflow's table of runs, as far as the pages read it."""
    columns = (sa.Column(name, DagRun.__table__.c[name].type) for name in ("dag_id", "run_id", "state", "conf"))
    sa.Table("dag_run", sa.MetaData(), *columns).create(engine)


def looks(staged: worklists.Site) -> list[dict[str, Any]]:
    """Return the rows of the access log."""
    return batches.rows(staged.store, schema.access_log)


@dataclass(frozen=True)
class Answer:
    """An answer as it was received."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True)
class Server:
    """The app behind uvicorn, below ``/migrering`` as in Airflow."""

    port: int

    def ask(
        self, target: bytes | str, headers: Mapping[str, str] | Sequence[tuple[str, str]] = (), *, method: str = "GET"
    ) -> Answer:
        """Send a request to an address below ``/migrering`` exactly as it is written."""
        target = target if isinstance(target, bytes) else target.encode()
        given = list(headers.items() if isinstance(headers, Mapping) else headers)
        if not any(name.lower() == "host" for name, _ in given):
            given.insert(0, ("Host", f"127.0.0.1:{self.port}"))
        lines = "".join(f"{name}: {value}\r\n" for name, value in given).encode("latin-1")
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            head = method.encode() + b" /migrering/" + target + b" HTTP/1.1\r\n" + lines
            connection.sendall(head + b"Connection: close\r\n\r\n")
            answer = HTTPResponse(connection, method=method)
            answer.begin()
            return Answer(answer.status, answer.getheaders(), answer.read())


@contextmanager
def serving(made: FastAPI, *, root_path: str = "") -> Iterator[Server]:
    """Serve the app on a free port, as Airflow does."""
    airflow = FastAPI(root_path=root_path)
    airflow.mount(waitlist_plugin.PREFIX, made)
    airflow.add_middleware(waitlist_plugin.SlashAtTheEnd)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(airflow, access_log=False, log_config=None, log_level="critical", lifespan="off")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Server(listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(60)
