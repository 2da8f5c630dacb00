"""What watches a connection must not hold the process itself."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from waitlist import waiting
from waitlist.waiting import Watch

_ENDS = """
import socket
from waitlist.waiting import Watch, Watched
here, there = socket.socketpair()
class Kept: pass
kept = Kept()
kept.itself = kept
kept.watched = Watched(object(), Watch.over(here.fileno(), 60, RuntimeError), ())
"""


def test_a_process_ends_whose_last_error_keeps_a_connection() -> None:
    """In a cycle of references, as a traceback makes them, it goes when no thread can start any more."""
    done = subprocess.run([sys.executable, "-c", _ENDS], timeout=30, check=True, capture_output=True)

    assert done.stderr == b""


class TestItemsThatAreWaitedFor:
    @pytest.fixture
    def here(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
        """Yield a socket; the other end, ``self.there``, says nothing by itself."""
        monkeypatch.setattr(waiting, "_GRACE_SECONDS", 0.0)
        here, self.there = socket.socketpair()
        with here, self.there:
            yield here

    def test_an_item_that_does_not_come_in_time_is_given_up(self, here: socket.socket) -> None:
        self.there.sendall(b"ab")
        items = Watch.over(here.fileno(), 0.8, RuntimeError).items(iter(lambda: _read(here), b""))

        assert [next(items), next(items)] == [b"a", b"b"]
        begun = time.monotonic()
        with pytest.raises(RuntimeError):
            next(items)
        assert time.monotonic() - begun < 5
        assert _have_ended()

    @pytest.mark.parametrize(("by_the_peer", "between"), [(0.0, 0.9), (0.25, 0.0)])
    def test_neither_the_time_between_items_nor_that_of_all_items_counts(
        self, here: socket.socket, by_the_peer: float, between: float
    ) -> None:
        def answers() -> Iterator[int]:
            for number in range(4):
                time.sleep(by_the_peer)
                yield number
            raise ConnectionError("would be another error if the limit had been exceeded")

        items = Watch.over(here.fileno(), 0.8, RuntimeError).items(answers())
        for number in range(4):
            assert next(items) == number
            time.sleep(between)
        with pytest.raises(ConnectionError):
            next(items)
        assert _have_ended()

    def test_nothing_watches_an_iterator_that_is_left_early(self, here: socket.socket) -> None:
        items = Watch.over(here.fileno(), 60, RuntimeError).items(iter(range(3)))
        assert next(items) == 0
        assert len(_watchers()) == 1

        del items
        assert _have_ended()


def _read(connection: socket.socket) -> bytes:
    read = connection.recv(1)
    if not read:
        raise ConnectionError
    return read


def _watchers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == waiting.WATCHER]


def _have_ended() -> bool:
    until = time.monotonic() + 10
    while _watchers() and time.monotonic() < until:
        time.sleep(0.01)
    return not _watchers()
