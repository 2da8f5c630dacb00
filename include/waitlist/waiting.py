"""Time limits for calls that wait for another system.

A driver waits in C code, which neither a signal nor an exception interrupts, and hardly any driver has a time limit for
every call. So a timer shuts down the sockets of the call: the driver sees a lost connection and returns at once. This
works without the other system, which may have stopped or be unreachable.
"""

import os
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any, Final, ParamSpec, Self, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

WATCHER: Final = "waitlist-watch"
"""The name of the threads of ``Watch.items``."""

_GRACE_SECONDS: Final = 1.0
"""Added to the limit, since another system that works ends the call at the same limit and reports the reason."""
_DESCRIPTORS: Final = Path("/proc/self/fd")

_Socket = tuple[int, int]
"""A file descriptor and its inode: the number of a closed descriptor is reused, its inode is not."""


class WaitedError(Exception):
    """A time limit was exceeded; the message is safe to log."""


class SilentError(WaitedError):
    """Another system did not answer in time."""

    def __init__(self, who: str, seconds: float) -> None:
        super().__init__(f"{who} did not answer for {seconds:g} s (WAITLIST_ANSWER_SECONDS)")


class LockedError(WaitedError):
    """Another session did not release a lock in time."""

    def __init__(self, who: str, seconds: float) -> None:
        super().__init__(f"another session of {who} did not release a lock for {seconds:g} s (WAITLIST_LOCK_SECONDS)")


class Watch:
    """The sockets of one connection, and the time limit for each call on it.

    Args:
        seconds: the time limit.
        silent: returns the error for a call that exceeded the limit.
        port: the port of the other system, if it is known; sockets to other ports are ignored.
    """

    def __init__(self, seconds: float, silent: Callable[[], Exception], port: int | None = None) -> None:
        self._seconds = seconds
        self._silent = silent
        self._port = port
        self._sockets: Callable[[], set[_Socket]] = set
        self._waits = False
        self._expired = False

    @classmethod
    def over(cls, descriptor: int, seconds: float, silent: Callable[[], Exception]) -> Self:
        """Watch the connection of one socket."""
        watch = cls(seconds, silent)
        watch._sockets = {(descriptor, os.fstat(descriptor).st_ino)}.copy
        return watch

    def connect(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that connects; the sockets that are opened meanwhile are taken as those of the connection.

        Another thread may open a socket at the same time; if the port is known, it can only lead to the same system.

        Raises:
            Exception: the error of ``silent``, if the call exceeded the limit.
        """
        before = _sockets()

        def opened() -> set[_Socket]:
            return {one for one in _sockets() - before if _leads_to(self._port, one)}

        self._sockets = opened
        result = self.call(function, *args, **kwargs)
        self._sockets = opened().copy
        return result

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that waits for an answer; the limit of an outer call includes the calls within it.

        Raises:
            Exception: the error of ``silent``, if this call or an earlier one exceeded the limit.
        """
        if self._waits:
            return function(*args, **kwargs)
        timer = Timer(self._seconds + _GRACE_SECONDS, self._end)
        timer.daemon = True
        timer.start()
        try:
            return self._wait_for(function, *args, **kwargs)
        finally:
            timer.cancel()

    def items(self, iterator: Iterator[R]) -> Iterator[R]:
        """Yield an iterator's items; the limit is for one item.

        One thread watches all of them. A timer for each of PMO's small batches takes a seventh of the time of the read.

        Raises:
            Exception: the error of ``silent``, if this item or an earlier call exceeded the limit.
        """
        limit = self._seconds + _GRACE_SECONDS
        asked: float | None = None
        done = Event()

        def watch() -> None:
            left = limit
            while not done.wait(left):
                # The limit of an item that is asked for during the wait ends after the wait.
                since = asked
                left = limit if since is None else since + limit - time.monotonic()
                if left <= 0:
                    self._end()
                    return

        Thread(target=watch, name=WATCHER, daemon=True).start()
        try:
            while True:
                asked = time.monotonic()
                try:
                    item = self._wait_for(next, iterator)
                except StopIteration:
                    return
                asked = None
                yield item
        finally:
            done.set()

    def _wait_for(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        self._waits = True
        try:
            return function(*args, **kwargs)
        except StopIteration:
            raise
        except Exception:
            if self._expired:
                raise self._silent() from None
            raise
        finally:
            self._waits = False

    def _end(self) -> None:
        self._expired = True
        self.hang_up()

    def hang_up(self) -> None:
        """Shut down the sockets, so that a call that uses them returns at once."""
        for descriptor, inode in self._sockets():
            # On a duplicate: between the check and the shutdown, the number could be reused for another file.
            with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
                if os.fstat(copy.fileno()).st_ino == inode:
                    copy.shutdown(socket.SHUT_RDWR)


class Watched:
    """A driver's object; every call of it has the time limit, and so do the objects that it returns.

    Args:
        inner: the object.
        watch: the watch of its connection.
        kinds: classes of the driver; objects of these classes are watched too when a call returns them.
    """

    __slots__ = ("_inner", "_kinds", "_watch")

    def __init__(self, inner: object, watch: Watch, kinds: tuple[type, ...]) -> None:
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_watch", watch)
        object.__setattr__(self, "_kinds", kinds)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the object has it
        found = self._watch.call(getattr, self._inner, name)
        if not callable(found):
            return found
        return lambda *args, **kwargs: self._watched(self._watch.call(found, *args, **kwargs))

    def __setattr__(self, name: str, value: object) -> None:
        self._watch.call(setattr, self._inner, name, value)

    def __enter__(self) -> Self:
        self._watch.call(self._inner.__enter__)
        return self

    def __exit__(self, *error: object) -> None:
        self._watch.call(self._inner.__exit__, *error)

    def __iter__(self) -> Iterator[Any]:
        yield from self._watch.items(self._watch.call(iter, self._inner))

    def __del__(self) -> None:
        # Some objects send a message to their server when they are deleted. While the interpreter shuts down no thread
        # can be started, and starting one would block forever, so nothing is sent then.
        with suppress(Exception):
            if sys.is_finalizing():
                self._watch.hang_up()
            else:
                self._watch.call(object.__setattr__, self, "_inner", None)

    def _watched(self, given: object) -> Any:  # noqa: ANN401 - as the object gives it
        if given is self._inner:
            return self
        return Watched(given, self._watch, self._kinds) if isinstance(given, self._kinds) else given


def _sockets() -> set[_Socket]:
    found = set()
    for name in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - names alone
        with suppress(OSError):
            described = os.fstat(int(name))
            if stat.S_ISSOCK(described.st_mode):
                found.add((int(name), described.st_ino))
    return found


def _leads_to(port: int | None, one: _Socket) -> bool:
    if port is None:
        return True
    try:
        with socket.socket(fileno=os.dup(one[0])) as copy:
            peer = copy.getpeername()
    except OSError:
        return False
    # The path of a local socket also ends with the port.
    return bool(peer[1] == port) if isinstance(peer, tuple) else str(peer).endswith(f".{port}")
