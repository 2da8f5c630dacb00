"""Steps of the pipeline in processes that are killed at a chosen moment, without a hook in the product.

A moment is where others could see a step's work: before and after each commit, before each file or folder is renamed
or removed, and when all is done but not yet reported. A process counts these moments, and ends itself by SIGKILL at the
chosen one. None of its code runs after that, as when the machine loses power.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import adbc_driver_manager.dbapi
from sqlalchemy.engine.default import DefaultDialect

from tests.support import batches

Step = Callable[..., Any]

_FILES = {"os.rename": "rename", "os.remove": "remove", "os.rmdir": "remove folder"}


@dataclass(frozen=True)
class Done:
    """A step that ended: its result, and the moments that it passed."""

    returned: Any
    moments: list[str]


class ForkServer:
    """A process that has imported everything once, and forks a child process for each step."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def run(self, step: Step, *arguments: Any, watched: Path) -> Done:
        """Run a step to its end in a process of its own.

        Raises:
            AssertionError: the step did not end.
        """
        status, done = self._run_child(step, arguments, watched, None)
        assert done is not None, f"{step} ended with {status}"
        return done

    def kill(self, step: Step, *arguments: Any, watched: Path, at: int) -> None:
        """Run a step and kill it at the moment of this number.

        Raises:
            AssertionError: the step did not reach that moment.
        """
        status, _ = self._run_child(step, arguments, watched, at)
        assert status == -signal.SIGKILL, f"{step} ended with {status}"

    def _run_child(self, step: Step, arguments: Any, watched: Path, at: int | None) -> tuple[int, Done | None]:
        self._pipe.send((step, arguments, watched, at))
        status, said = self._pipe.recv()
        return status, Done(**json.loads(said)) if said else None


@contextmanager
def fork_server(prepare: Callable[[], None]) -> Iterator[ForkServer]:
    """Start the process that steps are forked from; ``prepare`` imports what they need."""
    ours, theirs = batches.pipe()
    (process,) = batches.in_processes((_fork_on_demand, (theirs, prepare)))
    theirs.close()
    try:
        yield ForkServer(ours)
    finally:
        ours.close()
        process.join(10)


def _fork_on_demand(pipe: Connection, prepare: Callable[[], None]) -> None:
    prepare()
    while True:
        try:
            step, arguments, watched, at = pipe.recv()
        except EOFError:
            return
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            _run_and_exit(step, arguments, watched, at, write)
        os.close(write)
        with os.fdopen(read) as told:
            said = told.read()
        pipe.send((os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said))


def _run_and_exit(step: Step, arguments: Any, watched: Path, at: int | None, told: int) -> None:
    """Run the step and end the process, at the end of the step or at the moment to be killed."""
    moments: list[str] = []

    def reach(moment: str) -> None:
        if len(moments) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        moments.append(moment)

    def on_file(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _FILES:
            return
        path, folder = str(arguments[0]), arguments[-1]
        # A file that is named relative to an open folder belongs to a tree that is being removed.
        if path.startswith(f"{watched}/") or (isinstance(folder, int) and folder >= 0):
            reach(f"before {_FILES[event]}")

    def around(commit: Callable[..., None]) -> Callable[..., None]:
        def committing(*given: Any) -> None:
            reach("before commit")
            commit(*given)
            reach("after commit")

        return committing

    status = 1
    try:
        DefaultDialect.do_commit = around(DefaultDialect.do_commit)  # type: ignore[method-assign]
        bulk = adbc_driver_manager.dbapi.Connection
        bulk.commit = around(bulk.commit)  # type: ignore[method-assign]
        sys.addaudithook(on_file)
        returned = step(*arguments)
        reach("done, and not reported")
        os.write(told, json.dumps({"returned": returned, "moments": moments}).encode())
        status = 0
    except BaseException:  # noqa: BLE001 - a forked process must not go on as its parent
        traceback.print_exc()
    os._exit(status)
