"""Operations that wait: each in a thread of its own, so that one that never ends fails only its own test."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.support import attacks

HUNG = TimeoutError("it still waits")


def outcomes(operations: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, BaseException | None]:
    """Run all operations at once.

    Returns:
        By name the exception that each raised, None if it ended well, ``HUNG`` if it has not ended after so long.
    """
    found: dict[str, BaseException | None] = dict.fromkeys(operations, HUNG)

    def run(name: str, operation: Callable[[], Any]) -> None:
        try:
            operation()
        except BaseException as error:  # noqa: BLE001 - the exception is the result
            found[name] = error
        else:
            found[name] = None

    threads = [threading.Thread(target=run, args=told, daemon=True) for told in operations.items()]
    for thread in threads:
        thread.start()
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return dict(found)


def outcome(operation: Callable[[], Any], seconds: float = 20) -> BaseException | None:
    """Return the exception that one operation raised, as ``outcomes`` does."""
    return outcomes({"": operation}, seconds)[""]


@contextmanager
def locked_sqlite(file: Path) -> Iterator[None]:
    """Lock a SQLite file in another process, so that nobody else may read or write."""
    script = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('PRAGMA locking_mode = EXCLUSIVE'); c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); "
        "sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", script, file]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.stdin.close()


@contextmanager
def locked_tables(url: str, *tables: str) -> Iterator[None]:
    """Lock tables in another session of PostgreSQL, so that nobody else may read or write them."""
    with psycopg.connect(url) as holder:
        holder.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        yield
        holder.rollback()


@contextmanager
def stopped_postgres(url: str) -> Iterator[Callable[[], None]]:
    """Give a function that stops all processes of a server on this machine at once; they go on at the end."""
    with psycopg.connect(url) as asking:
        (folder,) = asking.execute("SHOW data_directory").fetchone()
    first = int((Path(folder) / "postmaster.pid").read_text().split()[0])

    def send(number: int) -> None:
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        for pid in (first, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    try:
        yield lambda: send(signal.SIGSTOP)
    finally:
        send(signal.SIGCONT)


def record_ended(what: str, found: Mapping[str, BaseException | None], said: str, *, error: type[Exception]) -> None:
    """Require that every operation ended with an error of a type, whose text has a phrase, and record the attack.

    Args:
        what: the attack.
        found: as ``outcomes`` returns it.
        said: the phrase, which names what did not answer and for how long.
        error: the exact type.
    """
    hung = [name for name, raised in found.items() if raised is HUNG]
    held = [name for name, raised in found.items() if type(raised) is error and said in str(raised)]
    wrong = {name: repr(raised) for name, raised in found.items() if name not in {*hung, *held}}
    assert wrong == {}
    attacks.record(what, tries=len(found), held=len(held), hung=len(hung))
