"""Calls that wait for another system, ended when it does not answer.

A driver waits in C, where neither a signal nor an exception reaches it, and hardly any has a limit of its own for every
call. So a timer shuts down the sockets under the call: to the driver the connection is lost, and it returns at once.
Nothing is asked of the other system for that, which may have stopped, or be gone behind a firewall.
"""

import os
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any, Final, ParamSpec, Self, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_GRACE_SECONDS: Final = 1.0
"""So much longer than it is told: another system that lives ends a call by the same limit, and says why."""
_DESCRIPTORS: Final = Path("/proc/self/fd")

_Socket = tuple[int, int]
"""A descriptor and its inode: the number is given away again once it is closed, the inode is not."""


class WaitedError(Exception):
    """Something was waited for until its limit; the text is safe to log."""


class SilentError(WaitedError):
    """Another system did not answer."""

    def __init__(self, who: str, seconds: float) -> None:
        super().__init__(f"{who} did not answer for {seconds:g} s (WAITLIST_ANSWER_SECONDS)")


class LockedError(WaitedError):
    """Another session kept what was needed."""

    def __init__(self, who: str, seconds: float) -> None:
        super().__init__(f"another session of {who} did not release a lock for {seconds:g} s (WAITLIST_LOCK_SECONDS)")


class Watch:
    """The sockets of one connection, and how long each call over it may wait.

    Args:
        seconds: that a call may wait.
        silent: makes the error of a call that was ended.
        port: of the other system, where it is known: a socket that leads elsewhere is let be.
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
        """Call what connects, and take the sockets that are opened meanwhile for the connection's.

        Another thread may open one at the same moment; where the port is known, it could only lead to the same system.

        Raises:
            Exception: of ``silent``: the call failed because it waited too long.
        """
        before = _sockets()

        def opened() -> set[_Socket]:
            return {one for one in _sockets() - before if _leads_to(self._port, one)}

        self._sockets = opened
        result = self.call(function, *args, **kwargs)
        self._sockets = opened().copy
        return result

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what waits for an answer; a call within a call is covered by the outer one.

        Raises:
            Exception: of ``silent``: the call failed because it, or an earlier one, waited too long.
        """
        if self._waits:
            return function(*args, **kwargs)
        timer = Timer(self._seconds + _GRACE_SECONDS, self._end)
        timer.daemon = True
        self._waits = True
        timer.start()
        try:
            return function(*args, **kwargs)
        except StopIteration:
            raise
        except Exception:
            if self._expired:
                raise self._silent() from None
            raise
        finally:
            timer.cancel()
            self._waits = False

    def _end(self) -> None:
        self._expired = True
        self.hang_up()

    def hang_up(self) -> None:
        """Shut down the sockets, so that a call over them returns at once."""
        for descriptor, inode in self._sockets():
            # On a copy: between the look and the shutdown the number could become another file's.
            with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
                if os.fstat(copy.fileno()).st_ino == inode:
                    copy.shutdown(socket.SHUT_RDWR)


class Watched:
    """A driver's object whose every call is watched, as are the objects that it gives.

    Args:
        inner: the object.
        watch: its connection's.
        kinds: classes of the driver whose objects are watched when a call gives one.
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

    def __iter__(self) -> "Watched":
        return Watched(self._watch.call(iter, self._inner), self._watch, self._kinds)

    def __next__(self) -> Any:  # noqa: ANN401 - as the object gives it
        return self._watch.call(next, self._inner)

    def __del__(self) -> None:
        # Some objects talk to their server as they go. At the interpreter's end no thread starts any more, and whoever
        # starts one waits for ever; nothing is said to a server then.
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
    # The path of a local socket ends with the port as well.
    return bool(peer[1] == port) if isinstance(peer, tuple) else str(peer).endswith(f".{port}")
