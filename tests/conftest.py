"""Fixtures that more than one kind of test needs."""

from collections.abc import Callable, Iterator

import pytest

from tests.support import attacks
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.servers import ObjectStore, running_object_store


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
