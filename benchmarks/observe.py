"""Wall-clock time, CPU time and peak memory of every process that does some work, the database server's included."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Self

import psutil

_EVERY_SECONDS = 0.1


def end_on_signals() -> None:
    """Let an interrupt or SIGTERM end this process by an exception, so that what it started is ended too.

    Further signals are ignored: they would end it before all of that has ended. A shell that runs a script without a
    terminal lets it ignore interrupts, and Python keeps that.
    """

    def end(number: int, _frame: object) -> NoReturn:
        for other in (signal.SIGINT, signal.SIGTERM):
            signal.signal(other, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)


def server_of(port: int) -> psutil.Process:
    """Return the PostgreSQL server that listens on a port."""
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "postgres" and str(port) in (process.info["cmdline"] or []):
            return process
    raise LookupError(f"no PostgreSQL server on port {port}")


def cpu_seconds(server: psutil.Process) -> float:
    """Return the processor time that a server and its processes, ended ones included, have used so far."""
    own = server.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in server.children():
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return float(total)


@dataclass(frozen=True)
class Seen:
    """The memory and processor time of one process."""

    peak_bytes: int = 0
    cpu_seconds: float = 0.0
    """Its own processor time, from its start to the last measurement."""


@dataclass
class Watch:
    """The largest memory of each process, and its processor time, measured several times a second."""

    tree: Callable[[], Iterable[psutil.Process]]
    by_pid: dict[int, Seen] = field(default_factory=dict)

    def of(self, pid: int | None) -> Seen:
        """Return what a process used; zeros if it was never measured."""
        return self.by_pid.get(pid or 0, Seen())

    def largest(self) -> int:
        """Return the most memory that any process held, in bytes."""
        return max((seen.peak_bytes for seen in self.by_pid.values()), default=0)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            for process in self.tree():
                with suppress(psutil.Error, OSError, StopIteration):
                    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
                    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
                    times = process.cpu_times()
                    self.by_pid[process.pid] = Seen(kilobytes * 1024, times.user + times.system)


@dataclass(frozen=True)
class Cost:
    """What some work used."""

    database_cpu_seconds: float
    """Of the PostgreSQL server; 0 with SQLite, which works inside the others."""
    peak_bytes: int
    """Of the largest process."""
    said: str
    """The output of the work."""


def run(arguments: list[str], server: psutil.Process) -> Cost:
    """Run ``python -m <arguments>`` and return what it used besides the time.

    The child prints JSON with ``seconds`` and ``cpu_seconds``, so that starting Python does not count.
    """
    before = cpu_seconds(server)
    child = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True)
    process = psutil.Process(child.pid)

    def tree() -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return [process, *process.children(recursive=True)]
        return []

    with Watch(tree) as watch:
        try:
            said, _ = child.communicate()
        except BaseException:
            # An interrupt may have been sent to this process alone: nothing that it started goes on.
            for started in tree():
                with suppress(psutil.NoSuchProcess):
                    started.kill()
            child.wait()
            raise
    if child.returncode:
        raise RuntimeError(f"{' '.join(arguments[:2])} ended with {child.returncode}")
    return Cost(cpu_seconds(server) - before, watch.largest(), said)
