"""What `make bench` has started ends with it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from benchmarks import persons
from tests.support.airflow_home import ROOT

from waitlist.simulator.persons import check_digit

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


def test_the_numbers_that_are_asked_about_are_nobodys() -> None:
    numbers = persons.numbers(0, 250_000)
    assert len(set(numbers)) == 250_000
    assert [number for number in numbers if check_digit(number[2:11]) == number[11]] == []


def test_the_producers_limit_is_shared_by_the_callers() -> None:
    row = {"asked": 5_000, "calls": 12, "callers": 4}
    assert persons.floor(row) == pytest.approx((5_000 * 0.02 + 10 * 0.1) / 4)


def _started_by(pid: int) -> psutil.Process:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for process in psutil.Process(pid).children():
            # Before it listens, the benchmark may still be starting it.
            if process.net_connections("tcp"):
                return process
        time.sleep(0.05)
    raise AssertionError("the benchmark has started nothing that listens")
