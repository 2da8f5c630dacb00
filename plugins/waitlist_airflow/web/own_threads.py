"""Threads of the pages' own, so that nothing that a page waits for keeps Airflow's own pages waiting.

An api-server has 40 threads for all that may wait, Airflow's pages and its tasks' API included. So pages are read in a
few threads beside those. A request that finds them taken waits in a short line, and then is told so.

Whether the staging database answers is asked beside all that, by one look at a time, which all share. While it does
not, nobody waits for it: neither those who come nor those whose page is being read. A thread that is still in a driver
then is written off, and its place given to another.
"""

import asyncio
import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from fastapi import HTTPException

T = TypeVar("T")

log = logging.getLogger(__name__)

THREADS: Final = 6
"""Pages that are read at a time; each takes at most two of its store's 15 connections."""
_LINE: Final = 32
_LINE_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.5
"""A look at the database is as good as another for so long."""
_SILENT_SECONDS: Final = 2.0
"""A look that takes longer is no answer."""
_LOOK_AGAIN_SECONDS: Final = 10.0
_MOST_WRITTEN_OFF: Final = 100
_MOST_LOOKS: Final = 5


@dataclass(eq=False)
class _Job:
    work: Callable[[], Any]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    answer: Future[Any] = field(default_factory=Future)
    written_off: bool = False


@dataclass(eq=False)
class _Look:
    begun: float
    answer: Future[bool] = field(default_factory=Future)
    ended: float = 0.0


class OwnThreads:
    """What one app's pages are read in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free = THREADS
        self._line: deque[_Job] = deque()
        self._written_off = 0
        self._pulse = _Pulse()

    async def run(self, work: Callable[[], T], *, answers: Callable[[], bool], seconds: float) -> T:
        """Do what may wait, and give up on it in time.

        Args:
            work: what is done, in a thread.
            answers: tells, in a thread as well, whether the staging database answers.
            seconds: that it may take at most.

        Raises:
            HTTPException: 503: ``staging``, the database does not answer; ``busy``, too many are waiting; ``slow``, it
                takes longer than it may.
        """
        if not await self._pulse.beats(answers):
            raise HTTPException(503, "staging")
        job = self._begin(work)
        answer: asyncio.Future[T] = asyncio.wrap_future(job.answer)
        begun = time.monotonic()
        try:
            while not (await asyncio.wait({answer}, timeout=_LOOK_SECONDS))[0]:
                waited = time.monotonic() - begun
                if waited >= _LINE_SECONDS and not job.answer.running():
                    raise HTTPException(503, "busy")
                if waited >= seconds:
                    raise HTTPException(503, "slow")
                if not await self._pulse.beats(answers) and not answer.done():
                    raise HTTPException(503, "staging")
            return answer.result()
        finally:
            if not answer.done():
                answer.cancel()
                self._write_off(job)

    def _begin(self, work: Callable[[], Any]) -> _Job:
        job = _Job(work)
        with self._lock:
            if self._free:
                self._free -= 1
                self._start(job)
            elif len(self._line) < _LINE:
                self._line.append(job)
            else:
                raise HTTPException(503, "busy")
        return job

    def _start(self, job: _Job) -> None:
        # A daemon: whatever it waits for does not keep the api-server from ending.
        threading.Thread(target=self._serve, args=(job,), name="migrering", daemon=True).start()

    def _serve(self, job: _Job) -> None:
        if job.answer.set_running_or_notify_cancel():
            try:
                done = job.context.run(job.work)
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
                job.answer.set_exception(error)
            else:
                job.answer.set_result(done)
        with self._lock:
            if job.written_off:
                self._written_off -= 1
            else:
                self._pass_on()

    def _write_off(self, job: _Job) -> None:
        """Give the place of a job that nobody waits for any more to another, wherever its thread is."""
        with self._lock:
            if job in self._line:
                self._line.remove(job)
            elif not job.answer.done() and self._written_off < _MOST_WRITTEN_OFF:
                job.written_off = True
                self._written_off += 1
                self._pass_on()

    def _pass_on(self) -> None:
        if self._line:
            self._start(self._line.popleft())
        else:
            self._free += 1


class _Pulse:
    """Whether a database answers, by looks that all who ask share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._look: _Look | None = None
        self._under_way = 0

    async def beats(self, answers: Callable[[], bool]) -> bool:
        look = self._current(answers)
        left = look.begun + _SILENT_SECONDS - time.monotonic()
        if not look.answer.done() and left > 0:
            await asyncio.wait({asyncio.wrap_future(look.answer)}, timeout=left)
        return look.answer.done() and look.answer.result()

    def _current(self, answers: Callable[[], bool]) -> _Look:
        with self._lock:
            now, look = time.monotonic(), self._look
            if look is not None:
                fresh = look.ended + _LOOK_SECONDS if look.ended else look.begun + _LOOK_AGAIN_SECONDS
                if now < fresh or self._under_way >= _MOST_LOOKS:
                    return look
            self._look = look = _Look(now)
            self._under_way += 1
        threading.Thread(target=self._take, args=(look, answers), name="migrering-look", daemon=True).start()
        return look

    def _take(self, look: _Look, answers: Callable[[], bool]) -> None:
        try:
            found = answers()
        except Exception as error:  # noqa: BLE001 - whatever it is, the page says it better
            log.warning("a look at the staging database failed: %s", type(error).__name__)
            found = True
        with self._lock:
            self._under_way -= 1
            look.ended = time.monotonic()
        look.answer.set_result(found)
