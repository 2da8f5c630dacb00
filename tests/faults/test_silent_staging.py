"""A staging database that stops answering or keeps a lock: every operation ends, with an error that says so."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support import batches, releases
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.runs import never_asked
from tests.support.silence import SilentProxy, silent_proxy
from tests.support.waits import locked_sqlite, locked_tables, outcome, outcomes, record_ended, stopped_postgres

from waitlist import paths, quality
from waitlist.exceptions import StagingError
from waitlist.facts.gates import load_gates
from waitlist.facts.mappings import load_mappings
from waitlist.judge.posts import RuleContext
from waitlist.judge.rules import BUILT_IN_SEVERITIES
from waitlist.release import decisions as release
from waitlist.release import gates
from waitlist.reports.diff import read_difference
from waitlist.reports.readiness import read_readiness
from waitlist.settings import ConnectionSettings, RuleSettings
from waitlist.staging import PIPELINE, StagingStore, access_log, retention, schema
from waitlist.staging.changes import SCHEMA, find_changes, replace_changes

LIMITS = ConnectionSettings(connect_seconds=2, lock_seconds=1, answer_seconds=2)
PATIENCE_SECONDS = 30
ACTION = next(iter(access_log.Action))
BY = ("Eva Öberg", releases.REASON, releases.LATER)
NIGHT, WAVE = "natt-1", "vecka-1"
MAPPINGS = load_mappings(paths.MAPPINGS, raisable=BUILT_IN_SEVERITIES)
SUITES = quality.load_suites(paths.EXPECTATIONS)
CONTEXT = RuleContext(batches.AS_OF, MAPPINGS, RuleSettings())
SILENT = "did not answer for 2 s"
LOCKED = "did not release a lock for 1 s"

# A connection from before the stop must not keep the server running when the test ends.
FORGETFUL = {"authentication_timeout": "2s"}

Operation = Callable[[StagingStore], Any]


@dataclass(frozen=True)
class Changed:
    """A range of keys that a run read."""

    lower: int | None = None
    upper: int | None = None
    posts: Sequence[Any] = ()
    persons: None = None


def is_open(store: StagingStore) -> None:
    batches.put_staged(store)
    batches.set_state(store, "open")


def awaits(store: StagingStore) -> None:
    releases.put_awaiting(store)


def is_released(store: StagingStore) -> None:
    releases.put_awaiting(store)
    release.release(store, WAVE, *BY)


def two_nights(store: StagingStore) -> None:
    batches.put_verified(store, NIGHT, "natt-2")


OPERATIONS: Mapping[str, tuple[Callable[[StagingStore], None], Operation]] = {
    "migrate": (batches.put_verified, StagingStore.migrate),
    "open_batch": (batches.put_verified, batches.open_batch),
    "stage_partition": (
        batches.put_staged,
        lambda store: store.stage_partition(NIGHT, None, 100, batches.chunks(range(1, 100), text="Orsak: ändrad")),
    ),
    "mark_staged": (is_open, lambda store: store.mark_staged(NIGHT)),
    "reconcile": (batches.put_staged, batches.reconcile_all),
    "mark_verified": (batches.put_verified, lambda store: store.mark_verified(NIGHT, batches.NOW)),
    "mark_failed": (batches.put_staged, lambda store: store.mark_failed(NIGHT, batches.NOW)),
    "refresh_statistics": (batches.put_verified, StagingStore.refresh_statistics),
    "batch": (batches.put_verified, lambda store: store.batch(NIGHT)),
    "events": (batches.put_verified, lambda store: store.events(NIGHT)),
    "knows": (batches.put_verified, lambda store: store.knows(NIGHT)),
    "released_post_ids": (is_released, lambda store: store.released_post_ids(None, None)),
    "check_staged": (
        batches.put_verified,
        lambda store: quality.check_staged(
            [suite for suite in SUITES.values() if suite.looks is quality.Looks.STAGED], store.database, NIGHT, CONTEXT
        ),
    ),
    "replace_quality": (batches.put_verified, lambda store: store.replace_quality(NIGHT, "staging", [])),
    "quality_results": (batches.put_verified, lambda store: store.quality_results(NIGHT)),
    "read_readiness": (batches.put_verified, lambda store: read_readiness(store, NIGHT, MAPPINGS)),
    "read_difference": (two_nights, lambda store: read_difference(store, NIGHT, "natt-2")),
    "evaluate gates": (
        batches.put_verified,
        lambda store: gates.evaluate(
            store, NIGHT, load_gates(paths.MAPPINGS), mappings=MAPPINGS, suites=SUITES.values()
        ),
    ),
    "find_changes": (is_released, lambda store: list(find_changes(store, [Changed()], CONTEXT, None, never_asked))),
    "replace_changes": (
        batches.put_verified,
        lambda store: replace_changes(store, NIGHT, [SCHEMA.empty_table()]),
    ),
    "request_approval": (
        releases.put_verified,
        lambda store: release.request_approval(store, WAVE, releases.PASSED, PIPELINE, releases.NOW),
    ),
    "release": (awaits, lambda store: release.release(store, WAVE, *BY)),
    "reject": (awaits, lambda store: release.reject(store, WAVE, *BY)),
    "verify_released": (is_released, lambda store: release.verify_released(store, WAVE)),
    "withdraw": (
        is_released,
        lambda store: release.withdraw(store, WAVE, "Eva Öberg", releases.REASON, releases.LATER),
    ),
    "read_batches": (batches.put_verified, retention.read_batches),
    "access_log": (
        batches.put_verified,
        lambda store: access_log.record(
            store,
            at=batches.NOW,
            user_id="eva",
            action=ACTION,
            batch_id=NIGHT,
            unit="x",
            acting_for="",
            patients={1: None},
        ),
    ),
}
WRITES = {
    "open_batch", "stage_partition", "mark_staged", "reconcile", "mark_verified", "mark_failed", "refresh_statistics",
    "replace_quality", "replace_changes", "request_approval", "release", "reject", "withdraw", "access_log",
}  # fmt: skip

MOMENTS: Mapping[str, Callable[[SilentProxy], None]] = {
    "before the login": SilentProxy.be_silent,
    "at the first question": lambda proxy: proxy.be_silent_after(b"millennium_staging"),
    "in the middle of an answer": lambda proxy: proxy.be_silent_after(b"millennium_staging", 40),
    # The server commits, and no answer arrives.
    "at the commit": lambda proxy: proxy.be_silent_after(b"COMMIT"),
}


@pytest.fixture(scope="module")
def databases(postgres: PostgresServer) -> dict[str, str]:
    """One database for each operation, by its name, in the state in which the operation begins."""
    made = {}
    for name, (prepare, _) in OPERATIONS.items():
        made[name] = postgres.create_database()
        store = StagingStore(postgres.libpq(made[name]))
        store.migrate()
        prepare(store)
    return made


def run_all(stores: Mapping[str, StagingStore]) -> dict[str, BaseException | None]:
    """Begin the operations at once, each on a database of its own."""
    return outcomes({name: partial(OPERATIONS[name][1], store) for name, store in stores.items()}, PATIENCE_SECONDS)


hold = partial(record_ended, error=StagingError)


@pytest.mark.parametrize("moment", MOMENTS)
def test_each_operation_ends_when_the_database_goes_silent(
    postgres: PostgresServer, databases: dict[str, str], moment: str
) -> None:
    names = WRITES if moment == "at the commit" else set(OPERATIONS)
    with ExitStack() as stack:
        proxies = {name: stack.enter_context(silent_proxy(postgres.port)) for name in names}
        for proxy in proxies.values():
            MOMENTS[moment](proxy)
        ports = {name: replace(postgres, port=proxy.port) for name, proxy in proxies.items()}
        found = run_all({name: StagingStore(ports[name].libpq(databases[name]), connections=LIMITS) for name in names})
        assert {name for name, proxy in proxies.items() if not proxy.went_silent.is_set()} == set()

    said = "no answer for 2 s (WAITLIST_CONNECT_SECONDS)" if moment == "before the login" else SILENT
    hold(f"staging goes silent {moment}", found, said)
    for name in names:
        OPERATIONS[name][1](StagingStore(postgres.libpq(databases[name])))


def test_each_operation_ends_when_another_session_keeps_the_tables(
    postgres: PostgresServer, databases: dict[str, str]
) -> None:
    tables = [f"{schema.SCHEMA}.{table.name}" for table in schema.METADATA.sorted_tables]
    with ExitStack() as stack:
        for name in OPERATIONS:
            stack.enter_context(locked_tables(postgres.libpq(databases[name]), *tables))
        # One reads PostgreSQL's own tables first; the other finds nothing to count again.
        names = set(OPERATIONS) - {"migrate", "refresh_statistics"}
        found = run_all({name: StagingStore(postgres.libpq(databases[name]), connections=LIMITS) for name in names})

    hold("staging's tables are locked", found, LOCKED)


def test_each_operation_ends_when_another_process_keeps_the_file(tmp_path: Path) -> None:
    stores = {}
    with ExitStack() as stack:
        for name in WRITES - {"refresh_statistics"}:
            file = tmp_path / f"{name}.sqlite"
            store = StagingStore(f"sqlite:///{file}")
            store.migrate()
            OPERATIONS[name][0](store)
            stack.enter_context(locked_sqlite(file))
            stores[name] = StagingStore(f"sqlite:///{file}", connections=LIMITS)
        found = run_all(stores)

    hold("staging's file is locked", found, LOCKED)


def test_each_operation_ends_when_the_server_stops_where_it_stands() -> None:
    with running_postgres(**FORGETFUL) as server:
        made = {}
        for name in ("stage_partition", "released_post_ids", "check_staged", "release"):
            made[name] = server.create_database()
            store = StagingStore(server.libpq(made[name]))
            store.migrate()
            OPERATIONS[name][0](store)
        stores = {name: StagingStore(server.libpq(made[name]), connections=LIMITS) for name in made}
        with stopped_postgres(server.libpq("postgres")) as stop:
            stop()
            found = run_all(stores)

    hold("staging's server is stopped", found, "no answer for 2 s (WAITLIST_CONNECT_SECONDS)")


def test_a_partition_that_is_being_loaded_ends_when_the_server_stops() -> None:
    with running_postgres(**FORGETFUL) as server:
        url = server.libpq(server.create_database())
        store = StagingStore(url)
        store.migrate()
        batches.put_staged(store)
        with stopped_postgres(server.libpq("postgres")) as stop:

            def chunks() -> Iterator[batches.Chunk]:
                yield batches.chunk(range(1, 50))
                stop()
                yield batches.chunk(range(50, 100))

            waiting = StagingStore(url, connections=LIMITS)
            found = {"load": outcome(lambda: waiting.stage_partition(NIGHT, None, 100, chunks()))}

    hold("staging's server is stopped while it loads", found, SILENT)
