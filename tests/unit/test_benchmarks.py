"""What `make bench` has started ends with it."""

import ctypes
import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from benchmarks import history, persons
from tests.support import batches, releases
from tests.support.airflow_home import ROOT
from tests.support.batches import AS_OF, UNITS

from waitlist.simulator.persons import check_digit

_ADOPTS_ORPHANS = 36
"""``PR_SET_CHILD_SUBREAPER`` of Linux."""
_WORK = """
import psutil
from benchmarks.observe import end_on_signals, run
end_on_signals()
run(["http.server", "--bind", "127.0.0.1", "0"], psutil.Process())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_sent_to_the_benchmark_alone_ends_the_work_that_it_measures(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    benchmark = subprocess.Popen(
        [sys.executable, "-c", _WORK], cwd=ROOT, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        work = _started_by(benchmark.pid)
        benchmark.send_signal(number)
        assert benchmark.wait(20) != 0
        psutil.wait_procs([work], timeout=20)
        assert not work.is_running()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(benchmark.pid, signal.SIGKILL)


@contextmanager
def _adopting() -> Iterator[Callable[[], list[psutil.Process]]]:
    """Yield a function that returns every process started since, also one whose parent has ended.

    Linux hands orphans to this process meanwhile, in whatever session they run and whatever title they have. A process
    that one of the others starts, as the PostgreSQL of the tests starts its autovacuum workers, is not counted.
    """
    here = psutil.Process()
    others = {process.pid for process in here.children()}

    def started() -> list[psutil.Process]:
        found = []
        for child in here.children():
            if child.pid in others:
                continue
            with suppress(psutil.NoSuchProcess):
                found += [child, *child.children(recursive=True)]
        return [process for process in found if _runs(process)]

    libc = ctypes.CDLL(None)
    libc.prctl(_ADOPTS_ORPHANS, 1, 0, 0, 0)
    try:
        yield started
    finally:
        for process in started():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        libc.prctl(_ADOPTS_ORPHANS, 0, 0, 0, 0)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _commands(processes: list[psutil.Process]) -> list[str]:
    told = []
    for process in processes:
        with suppress(psutil.Error, OSError):
            told.append(" ".join(process.cmdline()))
    return told


@pytest.mark.parametrize(
    ("what", "running", "number"),
    [
        ("naive", "benchmarks.work naive", signal.SIGINT),
        pytest.param("naive", "benchmarks.work naive", signal.SIGTERM, marks=pytest.mark.attack),
        pytest.param("airflow", "airflow scheduler", signal.SIGINT, marks=pytest.mark.attack),
        pytest.param("airflow", "airflow scheduler", signal.SIGTERM, marks=pytest.mark.attack),
    ],
)
def test_a_signal_sent_to_the_script_alone_leaves_no_process_behind(
    what: str, running: str, number: signal.Signals
) -> None:
    given = {"WHAT": what, "SIZES": "40000", "DATABASES": "sqlite"}
    with _adopting() as started:
        script = subprocess.Popen(
            ["scripts/bench.sh"],
            cwd=ROOT,
            env={**os.environ, **given},
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 240
        while not any(running in command for command in _commands(started())):
            assert script.poll() is None, "the benchmark has ended by itself"
            assert time.monotonic() < until, "the benchmark has not come so far"
            time.sleep(0.1)
        assert any("postgres" in command for command in _commands(started()))
        script.send_signal(number)
        time.sleep(0.5)
        with suppress(ProcessLookupError):
            script.send_signal(number)  # an impatient person sends it twice
        assert script.wait(90) != 0
        psutil.wait_procs(started(), timeout=5)
        assert _commands(started()) == []


def test_the_numbers_that_are_asked_about_are_nobodys() -> None:
    numbers = persons.numbers(0, 250_000)
    assert len(set(numbers)) == 250_000
    assert [number for number in numbers if check_digit(number[2:11]) == number[11]] == []


def test_the_producers_limit_is_shared_by_the_callers() -> None:
    row = {"asked": 5_000, "calls": 12, "callers": 4}
    assert persons.floor(row) == pytest.approx((5_000 * 0.02 + 10 * 0.1) / 4)


def test_nights_and_pages_that_have_become_too_slow_are_named() -> None:
    nights = [
        {"night": number, "us_per_post": 100.0 + slower, "database_cpu_seconds": 2.0, "cpu_seconds": 3.0,
         "database_bytes": number * 2**20, "dead_rows": 0, "removed": int(number > 6), "retention_seconds": number / 10}
        for number, slower in enumerate([900, 0, 0, 50, 0, 0, 0, 12, 12, 0, 12, 12], 1)
    ]  # fmt: skip
    pages = {
        2: [{"page": "/", "posts": 1_000, "seconds": 0.2}, {"page": "/enhet", "posts": 8, "seconds": 0.01}],
        12: [
            {"page": "/", "posts": 1_550, "seconds": 0.31}, {"page": "/enhet", "posts": 8, "seconds": 0.09},
            {"page": "/sok", "posts": 8, "seconds": 1.0},
        ],
    }  # fmt: skip
    told = history.summary(nights, pages, keep=6).splitlines()
    assert "| µs a post | 100.0 | 112.0 | 1.12 (missed) |" in told
    assert "| database CPU s | 2.0 | 2.0 | 1.00 |" in told
    assert "| database, MB: night 6 and the last | 6 | 12 | 2.00 |" in told
    assert "Retention of a night: 0.95 s, at most 1.20 s." in told
    assert told[-2:] == [
        "| / | 1,000 | 1,550 | 200 | 310 | 1.55 (missed) | 1.00 |",
        "| /enhet | 8 | 8 | 10 | 90 | 9.00 | 9.00 |",
    ]


def test_both_ends_are_measured_on_the_unit_with_the_most_posts(tmp_path: Path) -> None:
    store = batches.migrated_file(tmp_path / "staging.sqlite")
    before = AS_OF - dt.timedelta(days=1)
    of_no_unit, of_the_second, of_the_first = [2, 5, 8, 11], [1, 4, 7], [3, 6, 9, 12]
    releases.verified(store, "natt-1", [*of_no_unit, *of_the_second], kind="dry_run", as_of=before)
    releases.verified(store, "natt-2", of_the_first, kind="dry_run", as_of=AS_OF)
    assert history.largest_unit(store, before.isoformat()) == UNITS[1]
    assert history.largest_unit(store, AS_OF.isoformat()) == UNITS[0]


def _started_by(pid: int) -> psutil.Process:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for process in psutil.Process(pid).children():
            # Before it listens, the benchmark may still be starting it.
            if process.net_connections("tcp"):
                return process
        time.sleep(0.05)
    raise AssertionError("the benchmark has started nothing that listens")
