"""A peer that stops answering: a TCP proxy before a real server, which keeps its connections and forwards nothing."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_PIECE = 65_536


class SilentProxy:
    """Forwards bytes both ways until ``be_silent`` is called or the word of ``be_silent_after`` arrives."""

    def __init__(self, port: int, host: str) -> None:
        self._target = port
        self._listening = socket.create_server((host, 0))
        self.port = int(self._listening.getsockname()[1])
        """The port to connect to."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._sockets: set[socket.socket] = {self._listening}
        self._left_alone: list[tuple[Any, ...]] = []
        self._unconnected: list[socket.socket] = []
        self._word: bytes | None = None
        self._hangs_up = False
        self._left: int | None = None
        self.went_silent = threading.Event()
        """Set once it forwards nothing; connections made later get no answer either."""
        self._done = False
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()

    def be_silent(self) -> None:
        """Forward nothing from now on."""
        self.went_silent.set()

    def be_silent_after(self, word: bytes, answered: int = 0) -> None:
        """Forward nothing once a client has sent a word and received so many bytes after it."""
        self._word, self._left = word, answered

    def speak_again(self) -> None:
        """Forward the bytes that have arrived since, and all that follow."""
        self._word = self._left = None
        self.went_silent.clear()

    def hang_up_after(self, word: bytes, answered: int = 0) -> None:
        """As ``be_silent_after``, but end every connection then, as when a server is killed."""
        self._hangs_up = True
        self.be_silent_after(word, answered)

    def close(self) -> None:
        """Close every connection, so that a client that still waits gets an end."""
        self._done = True
        self._thread.join()
        for connection in self._sockets:
            connection.close()

    def _forward(self) -> None:
        while not self._done:
            if not self.went_silent.is_set():
                self._take_up()
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._listening:
                    self._accept()
                elif not self.went_silent.is_set():
                    self._pass_on(key.fileobj, *key.data)
            if self.went_silent.is_set():
                # Otherwise unread bytes would keep the loop busy.
                for key in list(self._selector.get_map().values()):
                    if key.fileobj is not self._listening:
                        self._selector.unregister(key.fileobj)
                        if self._hangs_up:
                            self._sockets.discard(key.fileobj)
                            key.fileobj.close()
                        else:
                            self._left_alone.append((key.fileobj, *key.data))

    def _take_up(self) -> None:
        """Go on with the connections that were not forwarded."""
        while self._left_alone:
            one, *rest = self._left_alone.pop()
            if one in self._sockets:
                self._selector.register(one, selectors.EVENT_READ, tuple(rest))
        while self._unconnected:
            self._connect(self._unconnected.pop())

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        if self.went_silent.is_set() and self._hangs_up:
            client.close()
            return
        self._sockets.add(client)
        if self.went_silent.is_set():
            self._unconnected.append(client)
        else:
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._target))
        self._sockets.add(server)
        self._selector.register(client, selectors.EVENT_READ, (server, True))
        self._selector.register(server, selectors.EVENT_READ, (client, False))

    def _pass_on(self, one: socket.socket, other: socket.socket, is_client: bool) -> None:
        try:
            data = one.recv(_PIECE)
        except OSError:
            data = b""
        if not data:
            for ended in (one, other):
                with suppress(KeyError, ValueError):
                    self._selector.unregister(ended)
                self._sockets.discard(ended)
                ended.close()
            return
        if is_client:
            if self._word is not None and self._word in data:
                self._word = None
                if not self._left:
                    self.went_silent.set()
        elif self._word is None and self._left is not None:
            data, self._left = data[: self._left], self._left - len(data)
            if self._left <= 0:
                self.went_silent.set()
        with suppress(OSError):
            other.sendall(data)


@contextmanager
def silent_proxy(port: int, host: str = "127.0.0.1") -> Iterator[SilentProxy]:
    """Start a proxy for the server at a port of the loopback interface, at an address of this machine."""
    proxy = SilentProxy(port, host)
    try:
        yield proxy
    finally:
        proxy.close()
