"""Reads pages in threads of their own, so that a page that waits does not block Airflow's own pages.

An api-server has 40 threads for all blocking work, including Airflow's pages and its tasks' API. So pages are read in
a few additional threads. When all of them are busy, a request waits for a short time in a queue, and is then refused.

A separate check tells whether the staging database answers; all requests share one check at a time. While the
database does not answer, no request waits for it: neither new ones nor those that are being read. A thread that is
still in a driver then is given up, and a new thread replaces it.
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
"""How many pages are read at a time; each uses at most two of its store's 15 connections."""
_LINE: Final = 32
_LINE_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.5
"""For so long, the result of a check is used again."""
_SILENT_SECONDS: Final = 2.0
"""A check that takes longer means that the database does not answer."""
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
    """The threads in which one app's pages are read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free = THREADS
        self._line: deque[_Job] = deque()
        self._written_off = 0
        self._pulse = _Pulse()

    async def run(self, work: Callable[[], T], *, answers: Callable[[], bool] | None = None, seconds: float) -> T:
        """Do blocking work, and give it up after a time.

        Args:
            work: the work, which runs in a thread.
            answers: tells whether the staging database answers; it runs in a thread as well. None for work that does
                not use the database.
            seconds: the most time that the work may take.

        Raises:
            HTTPException: 503: ``staging``, the database does not answer; ``busy``, too many requests are waiting;
                ``slow``, the work takes too long.
        """
        if answers is not None and not await self._pulse.beats(answers):
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
                if answers is not None and not await self._pulse.beats(answers) and not answer.done():
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
        # A daemon, so that a waiting thread does not keep the api-server from ending.
        threading.Thread(target=self._serve, args=(job,), name="migrering", daemon=True).start()

    def _serve(self, job: _Job) -> None:
        if job.answer.set_running_or_notify_cancel():
            try:
                done = job.context.run(job.work)
            except BaseException as error:  # noqa: BLE001 - raised again where the answer is awaited
                job.answer.set_exception(error)
            else:
                job.answer.set_result(done)
        with self._lock:
            if job.written_off:
                self._written_off -= 1
            else:
                self._pass_on()

    def _write_off(self, job: _Job) -> None:
        """Give up a job that no request waits for, and let another take its place, even if its thread still runs."""
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
    """Whether a database answers; all requests share the checks."""

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
        except Exception as error:  # noqa: BLE001 - the page itself will report the error better
            log.warning("a check of the staging database failed: %s", type(error).__name__)
            found = True
        with self._lock:
            self._under_way -= 1
            look.ended = time.monotonic()
        look.answer.set_result(found)
