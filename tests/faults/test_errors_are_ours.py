"""Every step, while each of its dependencies fails: it ends with an error of our own, or does not need it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.integration.steps import test_killed_steps as wave
from tests.support import attacks
from tests.support.postgres import PostgresServer, free_port
from tests.support.silence import silent_proxy

from waitlist import paths
from waitlist.exceptions import WaitlistError

STEPS = (*wave.LINE, *wave.ASIDE)
JUNK = b"\x00\xff\xfe junk \xe5" * 400
DEEP = b"[" * 100_000


@dataclass
class Steps:
    """A wave, and the state before each of its steps."""

    folder: Path
    server: PostgresServer
    handed: dict[str, list[int]]

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def before(self, name: str) -> str:
        """Put files and database back to where a step begins; return the database."""
        kept = wave.ASIDE.get(name, name)
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.folder / "kept" / kept, self.work)
        return self.server.copy_database(f"kept_{kept}", f"{kept}_again")

    def take(self, name: str, staging: str) -> Any:
        return wave.take(self.folder, staging, name, self.handed[wave.ASIDE.get(name, name)])


@pytest.fixture(scope="module")
def steps(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Steps]:
    folder = tmp_path_factory.mktemp("wave")
    (folder / "work").mkdir()
    database = postgres.create_database()
    staging = postgres.libpq(database)
    wave.make_pmo(folder)
    with wave.serve(folder):
        wave.prepare(folder, staging)
        walked = Steps(folder, postgres, {})
        numbers: list[int] = []
        for name in wave.LINE:
            shutil.copytree(walked.work, folder / "kept" / name)
            postgres.copy_database(database, f"kept_{name}")
            walked.handed[name] = numbers
            returned = wave.take(folder, staging, name, numbers)
            if name == "plan_extract":
                numbers = returned
        yield walked


Failing = Callable[[Steps, str, pytest.MonkeyPatch], Any]
FAILING: dict[str, Callable[..., Any]] = {}


def failing(function: Callable[..., Iterator[str | None]]) -> Callable[..., Any]:
    """Name a way in which something fails; gives the URL of staging where it is another one."""
    made = contextmanager(function)
    FAILING[function.__name__.replace("_", " ")] = made
    return made


@failing
def staging_is_gone(steps: Steps, database: str, patch: pytest.MonkeyPatch) -> Iterator[str | None]:
    yield replace(steps.server, port=free_port()).libpq(database)


@failing
def staging_is_silent(steps: Steps, database: str, patch: pytest.MonkeyPatch) -> Iterator[str | None]:
    patch.setenv("WAITLIST_ANSWER_SECONDS", "1")
    with silent_proxy(steps.server.port) as proxy:
        proxy.be_silent_after(b"millennium_staging")
        yield replace(steps.server, port=proxy.port).libpq(database)


@failing
def staging_hangs_up(steps: Steps, database: str, patch: pytest.MonkeyPatch) -> Iterator[str | None]:
    with silent_proxy(steps.server.port) as proxy:
        proxy.hang_up_after(b"millennium_staging")
        yield replace(steps.server, port=proxy.port).libpq(database)


@failing
def staging_hangs_up_in_the_middle_of_rows(
    steps: Steps, database: str, patch: pytest.MonkeyPatch
) -> Iterator[str | None]:
    with silent_proxy(steps.server.port) as proxy:
        proxy.hang_up_after(b"COPY (", 60)
        yield replace(steps.server, port=proxy.port).libpq(database)


@failing
def staging_refuses_the_password(steps: Steps, database: str, patch: pytest.MonkeyPatch) -> Iterator[str | None]:
    yield replace(steps.server, password="fel").libpq(database)


@failing
def staging_has_lost_its_tables(steps: Steps, database: str, patch: pytest.MonkeyPatch) -> Iterator[str | None]:
    with psycopg.connect(steps.server.libpq(database)) as connection:
        connection.execute("DROP SCHEMA millennium_staging CASCADE; CREATE SCHEMA millennium_staging")
    yield None


def spoilt(folder: Path, content: bytes | None) -> None:
    """Spoil every file below a folder; without a content, replace each file by a folder."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.unlink()
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)


def facts(name: str, shipped: Path | None, change: Callable[[Path], None]) -> None:
    """Make a folder of facts fail: a copy of the shipped one, named by its variable, or the wave's own."""

    def fail(steps: Steps, database: str, patch: pytest.MonkeyPatch) -> Iterator[str | None]:
        original = shipped or steps.folder / "mappings"
        aside = steps.folder / "aside"
        shutil.copytree(original, aside)
        if shipped is None:
            change(original)
        else:
            other = steps.folder / "other"
            shutil.copytree(shipped, other)
            change(other)
            patch.setenv(name, str(other))
        try:
            yield None
        finally:
            shutil.rmtree(steps.folder / "other", ignore_errors=True)
            if shipped is None:
                shutil.rmtree(original, ignore_errors=True)
                shutil.copytree(aside, original)
            shutil.rmtree(aside)

    kind = name.removeprefix("WAITLIST_").removesuffix("_DIR").lower()
    FAILING[f"{kind}: {change.__name__}"] = contextmanager(fail)


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def junk(folder: Path) -> None:
    spoilt(folder, JUNK)


def deep(folder: Path) -> None:
    spoilt(folder, DEEP)


def empty(folder: Path) -> None:
    spoilt(folder, b"")


def folders(folder: Path) -> None:
    spoilt(folder, None)


for change in (gone, junk, deep, empty, folders):
    facts("WAITLIST_MAPPINGS_DIR", None, change)
    facts("WAITLIST_EXPECTATIONS_DIR", paths.EXPECTATIONS, change)
    if change is not deep:
        facts("WAITLIST_SQL_DIR", paths.SQL, change)


def snapshots(change: Callable[[Path], None]) -> None:
    """Make the folder of snapshots fail."""

    def fail(steps: Steps, database: str, patch: pytest.MonkeyPatch) -> Iterator[str | None]:
        change(steps.work / "snapshots")
        yield None

    FAILING[f"snapshots: {change.__name__}"] = contextmanager(fail)


for change in (gone, junk, deep, empty, folders):
    snapshots(change)


@failing
def snapshots_is_a_file(steps: Steps, database: str, patch: pytest.MonkeyPatch) -> Iterator[str | None]:
    gone(steps.work / "snapshots")
    (steps.work / "snapshots").write_bytes(JUNK)
    yield None


def pmo(name: str, change: Callable[[Path], Any]) -> None:
    """Make PMO's file fail."""

    def fail(steps: Steps, database: str, patch: pytest.MonkeyPatch) -> Iterator[str | None]:
        file, aside = steps.folder / "pmo.sqlite", steps.folder / "pmo.aside"
        file.replace(aside)
        change(file)
        try:
            yield None
        finally:
            shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
            aside.replace(file)

    FAILING[f"pmo: {name}"] = contextmanager(fail)


pmo("gone", lambda _: None)
pmo("junk", lambda file: file.write_bytes(JUNK))
pmo("empty", lambda file: file.write_bytes(b""))
pmo("folder", Path.mkdir)

IN_CI = ("staging hangs up", "staging hangs up in the middle of rows", "expectations: deep")
"""The others are long, and run with ``make attacks``."""


@pytest.mark.parametrize(
    "what", [name if name in IN_CI else pytest.param(name, marks=pytest.mark.attack) for name in FAILING]
)
def test_a_failing_dependency_gives_an_error_of_our_own(
    steps: Steps, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, ours = {}, {}
    for name in STEPS:
        database = steps.before(name)
        with monkeypatch.context() as patch, FAILING[what](steps, database, patch) as staging:
            try:
                steps.take(name, staging or steps.server.libpq(database))
            except WaitlistError as error:
                ours[name] = error
            except Exception as error:  # noqa: BLE001 - the test looks for exceptions that are not ours
                raw[name] = error
    assert ours, "no step depends on it"
    assert {name: repr(error) for name, error in raw.items()} == {}
    assert not [name for name, error in ours.items() if steps.server.password in str(error)]
    attacks.record(f"each step while {what}", tries=len(STEPS), held=len(STEPS) - len(raw))
