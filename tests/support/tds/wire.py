"""The packets of TDS 7.4, in clear text or under TLS: what MS-TDS 2.2.3 describes."""

import select
import socket
import ssl
import struct
from dataclasses import dataclass, field
from typing import Final

BATCH: Final = 0x01
RPC: Final = 0x03
ANSWER: Final = 0x04
ATTENTION: Final = 0x06
TRANSACTION: Final = 0x0E
LOGIN: Final = 0x10
PRELOGIN: Final = 0x12

_HEADER: Final = struct.Struct(">BBHHBB")
_LAST: Final = 0x01
_HANDSHAKE: Final = b"\x16"
_PIECE: Final = 65_536
PACKET_BYTES: Final = 4_096


class HungUpError(Exception):
    """The client has closed the connection."""


@dataclass
class Wire:
    """One client's connection."""

    socket: socket.socket
    packet_bytes: int = PACKET_BYTES
    _tls: ssl.SSLObject | None = None
    _received: ssl.MemoryBIO = field(default_factory=ssl.MemoryBIO)
    _to_send: ssl.MemoryBIO = field(default_factory=ssl.MemoryBIO)
    _number: int = 0

    def message(self) -> tuple[int, bytes]:
        """Return the next message's type and what its packets hold together."""
        parts = []
        while True:
            kind, status, length, *_ = _HEADER.unpack(self._read(_HEADER.size))
            parts.append(self._read(length - _HEADER.size))
            if status & _LAST:
                return kind, b"".join(parts)

    def send_whole(self, buffer: bytearray) -> None:
        """Send as much of a message as fills packets, and take it out of the buffer."""
        whole = len(buffer) - len(buffer) % (self.packet_bytes - _HEADER.size)
        self.send(bytes(buffer[:whole]), last=False)
        del buffer[:whole]

    def send(self, data: bytes, kind: int = ANSWER, *, last: bool = True) -> None:
        """Send a message, or what fills packets of it, in as many packets as it takes."""
        room = self.packet_bytes - _HEADER.size
        pieces = [data[at : at + room] for at in range(0, len(data), room)] or [b""]
        for number, piece in enumerate(pieces, 1):
            ends = last and number == len(pieces)
            self._number = (self._number + 1) % 256
            header = _HEADER.pack(kind, _LAST if ends else 0, _HEADER.size + len(piece), 0, self._number, 0)
            self._write(header + piece)

    def is_told(self) -> bool:
        """Tell whether the client has sent something that was not read yet."""
        return bool(self._received.pending or select.select([self.socket], [], [], 0)[0])

    def begins_with_tls(self) -> bool:
        """Tell whether the client speaks TLS from its first byte, as TDS 8.0 does (``Encrypt=strict``)."""
        return self.socket.recv(1, socket.MSG_PEEK) == _HANDSHAKE

    def encrypt(self, context: ssl.SSLContext, *, packed: bool = True) -> None:
        """Shake hands; ``packed``: each of TLS's records within a packet of its own, as TDS 7.4 asks."""
        tls = context.wrap_bio(self._received, self._to_send, server_side=True)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send_handshake(packed=packed)
                self._received.write(self.message()[1] if packed else self._some())
            else:
                self._send_handshake(packed=packed)
                self._tls = tls
                return

    def decrypt(self) -> None:
        """Go on in clear text, as after a login when only that was encrypted."""
        self._tls = None

    def _send_handshake(self, *, packed: bool) -> None:
        if self._to_send.pending:
            data = self._to_send.read()
            self.send(data, PRELOGIN) if packed else self.socket.sendall(data)

    def _some(self) -> bytes:
        found = self.socket.recv(_PIECE)
        if not found:
            raise HungUpError
        return found

    def _read(self, length: int) -> bytes:
        found = b""
        while len(found) < length:
            piece = self._read_some(length - len(found))
            if not piece:
                raise HungUpError
            found += piece
        return found

    def _read_some(self, length: int) -> bytes:
        if self._tls is None:
            return self.socket.recv(length)
        while True:
            try:
                return self._tls.read(length)
            except ssl.SSLWantReadError:
                piece = self.socket.recv(_PIECE)
                if not piece:
                    return b""
                self._received.write(piece)
            except ssl.SSLZeroReturnError:
                return b""

    def _write(self, data: bytes) -> None:
        if self._tls is not None:
            self._tls.write(data)
            data = self._to_send.read()
        self.socket.sendall(data)
