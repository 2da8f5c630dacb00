"""A task keeps its connections to the staging database until it ends, and nothing else keeps one."""

import time
from collections.abc import Callable

import psycopg
import pytest

from waitlist.exceptions import StagingError
from waitlist_airflow import runs
from waitlist_airflow.guard import guarded

Count = Callable[[], int]
DEADLINE_SECONDS = 30


@pytest.fixture
def count(postgres, monkeypatch: pytest.MonkeyPatch) -> Count:
    """Return a function that counts the connections to an empty staging database, which the environment names."""
    name = postgres.create_database()
    monkeypatch.setenv("AIRFLOW_CONN_MILLENNIUM_STAGING", postgres.libpq(name).replace("postgresql:", "postgres:"))
    monkeypatch.setenv("WAITLIST_WITHOUT_TLS", "staging")

    def connected() -> int:
        with psycopg.connect(postgres.libpq("postgres")) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state IS NOT NULL"
            (found,) = connection.execute(query, (name,)).fetchone()
            return int(found)

    return connected


def assert_all_closed(count: Count) -> None:
    # The server ends a session a moment after its client has left.
    until = time.monotonic() + DEADLINE_SECONDS
    while count() and time.monotonic() < until:
        time.sleep(0.05)
    assert count() == 0


def test_a_task_uses_one_connection_again_and_closes_it_at_its_end(count: Count) -> None:
    def ask() -> int:
        pipeline = runs.pipeline()
        assert [pipeline.store.knows("natt-1") for _ in range(3)] == [False] * 3
        return count()

    assert guarded(ask)() == 1
    assert_all_closed(count)


def test_a_task_that_fails_closes_its_connections(count: Count) -> None:
    def fail() -> None:
        runs.pipeline().store.knows("natt-1")
        runs.pipeline().store.knows("natt-1")
        assert count() == 2
        raise StagingError("batch natt-1")

    with pytest.raises(Exception, match="StagingError: batch natt-1"):
        guarded(fail)()
    assert_all_closed(count)


def test_a_pipeline_outside_a_task_keeps_no_connection(count: Count) -> None:
    guarded(lambda: None)()
    assert not runs.pipeline().store.knows("natt-1")
    assert_all_closed(count)
