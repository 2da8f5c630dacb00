"""Fixtures that more than one kind of test needs."""

import gc
from collections.abc import Callable, Iterator

import pytest

from tests.support import attacks, shared
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.servers import ObjectStore, running_object_store

_AIRFLOW = ("tests.support.airflow_home", "tests.support.running_airflow")


def pytest_configure() -> None:
    """Make the folder of what is shared before the test processes start, so that they have it in common."""
    shared.folder()


def pytest_collection_finish() -> None:
    """Let the collector of garbage look only at what tests make, and less often: it took a sixth of their time.

    What was imported and collected stays until the end, and every look at all objects would go through it again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files whose tests start an Airflow among the others.

    Such a test mostly waits, and is slow while several Airflows run at once. Test processes take the files in this
    order, so that one of them waits for an Airflow while the others work. The last ones are short: no process works
    alone at the end.
    """
    files: dict[object, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    slow = [tests for tests in files.values() if _starts_airflow(tests[0])]
    quick = [tests for tests in files.values() if not _starts_airflow(tests[0])]
    between = len(quick) * 3 // 4 // (len(slow) + 1)
    ordered = []
    for number, tests in enumerate(slow):
        ordered += [tests, *quick[number * between : (number + 1) * between]]
    ordered += quick[len(slow) * between :]
    items[:] = [item for tests in ordered for item in tests]


def _starts_airflow(item: pytest.Item) -> bool:
    """Tell whether the test's file, or one of its fixtures', uses what starts an Airflow."""
    fixtures = getattr(item, "_fixtureinfo").name2fixturedefs.values()  # noqa: B009 - pytest has no public way
    names = [vars(getattr(item, "module", object)), *(defined[-1].func.__globals__ for defined in fixtures)]
    return any(getattr(value, "__module__", None) in _AIRFLOW for module in names for value in list(module.values()))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, one a test process."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """A real S3 server, one a test process."""
    with running_object_store() as store:
        yield store


@pytest.fixture(scope="session")
def attack_table() -> Callable[..., None]:
    """Records an attack: its name, how many tries it made and how many the product withstood."""
    return attacks.record
