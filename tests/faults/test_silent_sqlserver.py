"""A SQL Server that goes silent or hangs up: every read through Microsoft's driver ends, with an error that says so."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.support import attacks
from tests.support.pmo import AS_OF, posts
from tests.support.silence import SilentProxy, silent_proxy
from tests.support.tds.certificates import self_signed
from tests.support.tds.pmo import TdsPmo, connection_string, sqlserver_pmo
from tests.support.waits import HUNG, outcome, outcomes, record_ended

from waitlist.exceptions import SourceError
from waitlist.settings import ConnectionSettings, Settings
from waitlist.source.pmo import PmoSource, Selection, connection
from waitlist.source.pmo.connection import SQL_SERVER
from waitlist.source.snapshot import Partition

LIMITS = ConnectionSettings(connect_seconds=2, lock_seconds=1, answer_seconds=2)
PATIENCE_SECONDS = 30
ALL = Selection(AS_OF)
POSTS = 2_000
READ = "ORDER BY q.post_id"
SILENT = "PMO did not answer for 2 s"


def read(source: PmoSource) -> None:
    list(source.read(ALL, Partition(0, None, None, POSTS)))


def begin_and_leave(source: PmoSource) -> None:
    chunks = source.read(ALL, Partition(0, None, None, POSTS))
    next(chunks)
    chunks.close()


def said(word: str) -> bytes:
    return word.encode("utf-16-le")


ATTENTION = bytes([6, 1, 0, 8])
READS: Mapping[str, Callable[[PmoSource], object]] = {
    "count": lambda source: source.count(ALL),
    "plan": lambda source: source.plan(ALL),
    "read": read,
}
MOMENTS: Mapping[str, tuple[Callable[[SilentProxy], None], set[str]]] = {
    "before the login": (SilentProxy.be_silent, set(READS)),
    "after the login": (lambda proxy: proxy.be_silent_after(said("LOCK_TIMEOUT")), set(READS)),
    "at the first question": (lambda proxy: proxy.be_silent_after(said("vantelistepost")), set(READS)),
    "in the middle of an answer": (lambda proxy: proxy.be_silent_after(said("vantelistepost"), 9), set(READS)),
    "at the transaction": (lambda proxy: proxy.be_silent_after(said("BEGIN TRANSACTION")), {"read"}),
    "in the middle of the rows": (lambda proxy: proxy.be_silent_after(said(READ), 500_000), {"read"}),
}


@pytest.fixture(scope="module")
def pmo() -> Iterator[TdsPmo]:
    with sqlserver_pmo(posts(range(POSTS), orsak="Åtgärd " * 100)) as served:
        yield served


@pytest.fixture(params=["by columns", "by rows"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "by rows":
        forced = replace(SQL_SERVER, by_row="the test asks for it")
        monkeypatch.setattr(connection, "_DIALECTS", {"microsoft sql server": forced})
    return str(request.param)


def source_of(odbc: str) -> PmoSource:
    return PmoSource(odbc, Settings(connections=LIMITS, chunk_posts=200))


hold = partial(record_ended, error=SourceError)


@pytest.mark.parametrize("moment", MOMENTS)
def test_each_read_ends_when_sql_server_goes_silent(pmo: TdsPmo, way: str, moment: str) -> None:
    fall_silent, names = MOMENTS[moment]
    with ExitStack() as stack:
        proxies = {name: stack.enter_context(silent_proxy(pmo.server.port)) for name in names}
        for proxy in proxies.values():
            fall_silent(proxy)
        sources = {name: source_of(pmo.through(proxy.port)) for name, proxy in proxies.items()}
        found = outcomes({name: lambda name=name: READS[name](sources[name]) for name in names}, PATIENCE_SECONDS)
        assert {name for name, proxy in proxies.items() if not proxy.went_silent.is_set()} == set()
    hold(f"SQL Server goes silent {moment}, read {way}", found, SILENT)


def test_a_read_that_is_left_ends_when_nobody_hears_that(pmo: TdsPmo, way: str) -> None:
    """The driver calls the statement off and waits for the answer to that."""
    with silent_proxy(pmo.server.port) as proxy:
        proxy.be_silent_after(ATTENTION)
        source = source_of(pmo.through(proxy.port))
        (error,) = outcomes({"left": lambda: begin_and_leave(source)}, PATIENCE_SECONDS).values()
        assert proxy.went_silent.is_set()
    # What was read is here, so that it need not be an error.
    held = error is None or (type(error) is SourceError and SILENT in str(error))
    assert held or error is HUNG, repr(error)
    attacks.record(f"SQL Server does not hear that a read is left, {way}", tries=1, held=held, hung=error is HUNG)


def test_a_read_ends_when_the_replica_goes_silent_that_it_was_sent_to(way: str) -> None:
    rows = posts(range(POSTS), orsak="Åtgärd " * 100)
    with sqlserver_pmo(rows) as listener, sqlserver_pmo(rows) as replica:
        listener.server.replica_port = replica.server.port
        replica.server.silent_after = (READ, 1_000)
        source = source_of(f"{listener.odbc};ApplicationIntent=ReadOnly")
        found = outcomes({"read": lambda: read(source)}, PATIENCE_SECONDS)
    hold(f"a replica of SQL Server goes silent, read {way}", found, SILENT)


def test_a_read_over_tls_ends_when_sql_server_goes_silent(tmp_path: Path, way: str) -> None:
    tls, _ = self_signed(tmp_path)
    with sqlserver_pmo(posts(range(POSTS), orsak="Åtgärd " * 100), tls=tls) as pmo:
        pmo.server.silent_after = (READ, 1_000)
        source = source_of(connection_string(pmo.server.port, Encrypt="yes", TrustServerCertificate="yes"))
        found = outcomes({"read": lambda: read(source)}, PATIENCE_SECONDS)
    hold(f"SQL Server goes silent under TLS, read {way}", found, SILENT)


@pytest.mark.parametrize("answered", [0, 9, 500_000])
def test_a_read_ends_when_sql_server_is_killed(pmo: TdsPmo, way: str, answered: int) -> None:
    with silent_proxy(pmo.server.port) as proxy:
        proxy.hang_up_after(said(READ), answered)
        found = {"read": outcome(lambda: read(source_of(pmo.through(proxy.port))))}
        assert proxy.went_silent.is_set()
    hold(f"SQL Server hangs up after {answered} bytes, read {way}", found, "the connection to PMO was lost")
