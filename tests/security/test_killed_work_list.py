"""An api-server that is killed while it makes work lists leaves none of them on its disk."""

import multiprocessing
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.support import dashboards, posts, worklists
from tests.support.dashboards import Server

POSTS = 60
CLIENTS = 3


def serve(folder: Path, temporary: Path, told: Connection) -> None:
    """Run an api-server over a site in a folder, until it is killed."""
    os.environ |= dashboards.RIGHTS
    tempfile.tempdir = str(temporary)
    with dashboards.serving(dashboards.over(worklists.open_site(folder))) as server:
        told.send(server.port)
        signal.pause()


def ask_on(server: Server, taken: list[int]) -> None:
    """Request the work list again and again, until the server no longer answers."""
    with suppress(OSError):
        while True:
            answer = server.ask(f"enhet/{posts.UNIT}/arbetslista", {"Authorization": "Bearer lead"})
            taken.append(answer.status)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    worklists.site(tmp_path).stage(*({"kategori": "Diabetesmottagning"} for _ in range(POSTS)))
    (tmp_path / "temporary").mkdir()
    return tmp_path


def kill_one(folder: Path, moment: float) -> set[str]:
    """Kill an api-server some seconds after its first work list; returns every file seen from there on, and after."""
    temporary = folder / "temporary"
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(target=serve, args=(folder, temporary, there))
    process.start()
    server = Server(here.recv())
    taken: list[int] = []
    clients = [threading.Thread(target=ask_on, args=(server, taken)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    while not taken:
        time.sleep(0.01)
    seen: set[str] = set()
    until = time.monotonic() + moment
    while time.monotonic() < until:
        seen |= {str(path) for path in temporary.rglob("*")}
    process.kill()
    process.join()
    for client in clients:
        client.join()
    assert set(taken) == {200}
    return seen | {str(path) for path in temporary.rglob("*")}


def test_an_api_server_that_is_killed_leaves_no_work_list(folder: Path) -> None:
    assert kill_one(folder, 1.0) == set()


@pytest.mark.attack
def test_an_api_server_that_is_killed_at_any_moment_leaves_no_work_list(
    folder: Path, attack_table: Callable[..., None]
) -> None:
    moments = random.Random(11)
    left = [kill_one(folder, moments.random()) for _ in range(12)]
    assert left == [set()] * len(left)
    attack_table("dashboard: killed while it makes work lists", tries=len(left), held=left.count(set()))
