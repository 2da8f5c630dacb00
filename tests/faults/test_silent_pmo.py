"""A PMO that goes silent, stops or holds a lock: every read ends, with an error that says so."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from tests.support.pmo import AS_OF, SmallPmo, postgres_pmo, posts, sqlite_pmo
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.silence import SilentProxy, silent_proxy
from tests.support.waits import locked_sqlite, locked_tables, outcome, outcomes, record_ended, stopped_postgres

from waitlist.exceptions import SourceError
from waitlist.settings import ConnectionSettings, Settings
from waitlist.source.pmo import PmoSource, Selection
from waitlist.source.snapshot import Partition

LIMITS = ConnectionSettings(connect_seconds=2, lock_seconds=1, answer_seconds=2)
PATIENCE_SECONDS = 30
ALL = Selection(AS_OF)
POSTS = 3_000
LONG = "Åtgärd " * 100
SILENT = "PMO did not answer for 2 s"
LOCKED = "another session of PMO did not release a lock for 1 s"


def count(source: PmoSource) -> None:
    source.count(ALL)


def plan(source: PmoSource) -> None:
    source.plan(ALL)


def read(source: PmoSource) -> None:
    list(source.read(ALL, Partition(0, None, None, POSTS)))


READS: Mapping[str, tuple[Callable[[PmoSource], None], dict[str, int]]] = {
    "count": (count, {}),
    "plan": (plan, {}),
    "read by columns": (read, {"chunk_posts": 500}),
    # No text fits, so that every chunk is read by pyodbc.
    "read by rows": (read, {"chunk_posts": 500, "max_text_bytes": 64}),
}

MOMENTS: Mapping[str, Callable[[SilentProxy], None]] = {
    "before the login": SilentProxy.be_silent,
    "after the login": lambda proxy: proxy.be_silent_after(b"DateStyle"),
    "at the first question": lambda proxy: proxy.be_silent_after(b"vantelistepost"),
    "in the middle of an answer": lambda proxy: proxy.be_silent_after(b"vantelistepost", 40),
    "in the middle of the rows": lambda proxy: proxy.be_silent_after(b"vantelistepost", 1_000_000),
    "when a result is closed": lambda proxy: proxy.be_silent_after(b"close "),
}
READS_ROWS = {"read by columns", "read by rows"}


@pytest.fixture(scope="module")
def pmo(postgres: PostgresServer) -> SmallPmo:
    return postgres_pmo(postgres, posts(range(1, POSTS + 1), orsak=LONG))


def through(pmo: SmallPmo, name: str, port: int | None = None) -> PmoSource:
    """Return the source for a read, through a proxy where a port is given."""
    odbc = pmo.odbc
    if port is not None:
        odbc = ";".join(f"Port={port}" if pair.startswith("Port=") else pair for pair in odbc.split(";"))
    return PmoSource(odbc, Settings(connections=LIMITS, **READS[name][1]))


def run_all(sources: Mapping[str, PmoSource]) -> dict[str, BaseException | None]:
    """Begin the reads at once."""
    return outcomes({name: lambda name=name: READS[name][0](sources[name]) for name in sources}, PATIENCE_SECONDS)


hold = partial(record_ended, error=SourceError)


@pytest.mark.parametrize("moment", MOMENTS)
def test_each_read_ends_when_pmo_goes_silent(postgres: PostgresServer, pmo: SmallPmo, moment: str) -> None:
    names = READS_ROWS if "row" in moment else set(READS)
    with ExitStack() as stack:
        proxies = {name: stack.enter_context(silent_proxy(postgres.port)) for name in names}
        for proxy in proxies.values():
            MOMENTS[moment](proxy)
        found = run_all({name: through(pmo, name, proxy.port) for name, proxy in proxies.items()})
        assert {name for name, proxy in proxies.items() if not proxy.went_silent.is_set()} == set()

    if moment == "when a result is closed":
        # The rows are complete then, so there need not be an error.
        found = {name: error for name, error in found.items() if error is not None}
    hold(f"PMO goes silent {moment}", found, "PMO did not answer for 2 s")


def test_each_read_ends_when_another_session_keeps_the_tables(pmo: SmallPmo) -> None:
    with locked_tables(pmo.native, "vantelistepost"):
        found = run_all({name: through(pmo, name) for name in READS})
    hold("PMO's tables are locked", found, LOCKED)


def test_each_read_ends_when_another_process_keeps_the_file(tmp_path: Path) -> None:
    pmo = sqlite_pmo(tmp_path, posts(range(1, 100)))
    with locked_sqlite(Path(pmo.native)):
        found = run_all({name: through(pmo, name) for name in READS})
    hold("PMO's file is locked", found, LOCKED)


@pytest.mark.parametrize("name", sorted(READS_ROWS))
def test_a_read_ends_when_the_server_stops_where_it_stands(name: str) -> None:
    with running_postgres(authentication_timeout="2s") as server:
        pmo = postgres_pmo(server, posts(range(1, POSTS + 1), orsak=LONG))
        source = through(pmo, name)
        with stopped_postgres(server.libpq("postgres")) as stop:

            def begin_and_stop() -> None:
                chunks = source.read(ALL, Partition(0, None, None, POSTS))
                next(chunks)
                stop()
                list(chunks)

            found = {name: outcome(begin_and_stop)}
    hold("PMO's server is stopped while it is read", found, "PMO did not answer for 2 s")
