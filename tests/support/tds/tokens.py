"""The tokens that an answer consists of (MS-TDS 2.2.7)."""

import struct
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from tests.support.tds.types import COLLATION, Type

DONE: Final = 0xFD
DONE_PROCEDURE: Final = 0xFE
DONE_IN_PROCEDURE: Final = 0xFF

MORE: Final = 0x01
ERROR: Final = 0x02
COUNT: Final = 0x10
ATTENTION: Final = 0x20

_VERSION: Final = bytes([0x74, 0, 0, 4])
_PROGRAM: Final = bytes([16, 0, 0x10, 0x4B])

_EXTENSIONS: Final = {0x01: b"", 0x0A: b"\x01"}
"""A session that can be taken up again, texts in UTF-8."""

Column: TypeAlias = tuple[str, Type]
Done: TypeAlias = Callable[..., bytes]


def done(status: int = 0, rows: int = 0, *, more: bool = False, kind: int = DONE) -> bytes:
    """End a statement."""
    return struct.pack("<BHHQ", kind, status | (MORE if more else 0), 0xC1 if status & COUNT else 0, rows)


def done_in_procedure(status: int = 0, rows: int = 0, *, more: bool = False) -> bytes:
    """End a statement within a call."""
    return done(status, rows, more=more, kind=DONE_IN_PROCEDURE)


def error(number: int, severity: int, text: str, *, state: int = 1) -> bytes:
    """Say what is wrong."""
    return _message(0xAA, number, severity, text, state)


def _message(kind: int, number: int, severity: int, text: str, state: int) -> bytes:
    body = (
        struct.pack("<IBB", number, state, severity) + _long(text) + _short("TDS") + _short("") + struct.pack("<I", 1)
    )
    return struct.pack("<BH", kind, len(body)) + body


def logged_in(
    database: str, packet_bytes: int, extensions: Collection[int] = (), *, routed_to: int | None = None
) -> bytes:
    """Answer a login that was let in, or is sent on to another port of this machine."""
    changes = [
        _change(b"\x01" + _short(database) + _short("master")),
        _change(b"\x07" + bytes([5]) + COLLATION + b"\x00"),
        _change(b"\x02" + _short("us_english") + _short("")),
        _change(b"\x04" + _short(str(packet_bytes)) + _short("4096")),
    ]
    said = _message(0xAB, 5701, 0, f"Changed database context to '{database}'.", 2)
    acknowledged = b"\x01" + _VERSION + _short("Microsoft SQL Server") + _PROGRAM
    routed = b""
    if routed_to is not None:
        host = struct.pack("<BHH", 0, routed_to, 9) + "127.0.0.1".encode("utf-16-le")
        routed = _change(b"\x14" + struct.pack("<H", len(host)) + host + bytes(2))
    granted = b"".join(bytes([one]) + _long_bytes(data) for one, data in _EXTENSIONS.items() if one in extensions)
    ack = struct.pack("<BH", 0xAD, len(acknowledged)) + acknowledged
    return b"".join(changes) + said + ack + (b"\xae" + granted + b"\xff" if granted else b"") + routed + done()


def _long_bytes(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def transaction(kind: int, new: int, old: int) -> bytes:
    """Say that a transaction has begun (8), was committed (9) or rolled back (10)."""
    return _change(
        bytes([kind]) + b"".join(struct.pack("<BQ", 8, number) if number else b"\x00" for number in (new, old))
    )


def return_status() -> bytes:
    """Say that a procedure has succeeded."""
    return struct.pack("<Bi", 0x79, 0)


def return_value(value: int) -> bytes:
    """Give a procedure's output: the handle of what it has prepared."""
    return struct.pack("<BHB", 0xAC, 0, 0) + struct.pack("<BIHBBBi", 1, 0, 0, 0x26, 4, 4, value)


def columns(described: Sequence[Column]) -> bytes:
    """Describe the columns of a result; each may be null."""
    found = struct.pack("<BH", 0x81, len(described))
    return found + b"".join(struct.pack("<IH", 0, 0x09) + type_.info + _short(name) for name, type_ in described)


def row(described: Sequence[Column], values: Sequence[object]) -> bytes:
    """Write a row."""
    return b"\xd1" + b"".join(type_.written(value) for (_, type_), value in zip(described, values, strict=True))


def _change(body: bytes) -> bytes:
    return struct.pack("<BH", 0xE3, len(body)) + body


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("utf-16-le")


def _long(text: str) -> bytes:
    return struct.pack("<H", len(text)) + text.encode("utf-16-le")
