"""SQL Server's types on the wire: how a column is described, and each value written and read (MS-TDS 2.2.5)."""

import datetime as dt
import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

COLLATION: Final = bytes.fromhex("0b04d00000")
"""Finnish_Swedish_CI_AS: narrow texts are in code page 1252."""
COLLATION_UTF8: Final = bytes.fromhex("0b04d02400")
"""Finnish_Swedish_100_CI_AS_SC_UTF8."""

_MAX: Final = 0xFFFF
_NARROW: Final = "cp1252"
_PLP_NULL: Final = b"\xff" * 8
_PLP_UNKNOWN: Final = b"\xfe" + b"\xff" * 7
_PLP_PIECE: Final = 8_000


@dataclass(frozen=True)
class Type:
    """A column's type.

    Attributes:
        info: TYPE_INFO, as COLMETADATA has it.
        write: makes a value that is not null, its length included.
        null: what is sent instead of one.
    """

    info: bytes
    write: Callable[[object], bytes]
    null: bytes = b"\x00"

    def written(self, value: object) -> bytes:
        """Return a value as a row has it."""
        return self.null if value is None else self.write(value)


def nvarchar(length: int) -> Type:
    """``nvarchar(n)``."""
    return Type(struct.pack("<BH", 0xE7, 2 * length) + COLLATION, lambda v: _short(_wide(v)), b"\xff\xff")


def nchar(length: int) -> Type:
    """``nchar(n)``, padded with spaces."""
    info = struct.pack("<BH", 0xEF, 2 * length) + COLLATION
    return Type(info, lambda v: _short(_wide(v) + _wide(" ") * (length - len(_wide(v)) // 2)), b"\xff\xff")


def varchar(length: int, *, utf8: bool = False) -> Type:
    """``varchar(n)``, in code page 1252 or under a collation of UTF-8."""
    encoding, collation = ("utf-8", COLLATION_UTF8) if utf8 else (_NARROW, COLLATION)
    info = struct.pack("<BH", 0xA7, length) + collation
    return Type(info, lambda v: _short(str(v).encode(encoding)), b"\xff\xff")


def char(length: int) -> Type:
    """``char(n)``, padded with spaces."""
    info = struct.pack("<BH", 0xAF, length) + COLLATION
    return Type(info, lambda v: _short(str(v).encode(_NARROW).ljust(length)), b"\xff\xff")


def _plp(data: bytes) -> bytes:
    """Write in parts what may be long, its length told beforehand as SQL Server does."""
    parts = [data[at : at + _PLP_PIECE] for at in range(0, len(data), _PLP_PIECE)]
    return struct.pack("<Q", len(data)) + b"".join(struct.pack("<I", len(p)) + p for p in parts) + bytes(4)


def _short(data: bytes) -> bytes:
    return struct.pack("<H", len(data)) + data


def _wide(value: object) -> bytes:
    # U+F8FF replaces half a letter (a lone surrogate): SQLite cannot store one, a column of SQL Server can.
    return str(value).encode("utf-16-le").replace(b"\xff\xf8", b"\x3d\xd8")


def _number(form: str) -> Callable[[object], bytes]:
    size = struct.calcsize(form)
    return lambda value: bytes([size]) + struct.pack(form, int(str(value)))


def _days(day: dt.date) -> bytes:
    return (day.toordinal() - 1).to_bytes(3, "little")


def _ticks(text: str) -> tuple[dt.datetime, int]:
    """Return a moment and the 100 nanoseconds of its day: Python has no seventh digit."""
    whole, _, fraction = text.partition(".")
    at = dt.datetime.fromisoformat(whole)
    return at, (at.hour * 3_600 + at.minute * 60 + at.second) * 10**7 + int(fraction[:7].ljust(7, "0"))


def _date(value: object) -> bytes:
    return b"\x03" + _days(dt.date.fromisoformat(str(value)[:10]))


def _datetime(value: object) -> bytes:
    at, ticks = _ticks(str(value))
    days = (at.date() - dt.date(1900, 1, 1)).days
    return b"\x08" + struct.pack("<iI", days, round(ticks * 300 / 10**7))


def _datetime2(scale: int) -> Callable[[object], bytes]:
    size = 3 if scale <= 2 else 4 if scale <= 4 else 5

    def write(value: object) -> bytes:
        at, ticks = _ticks(str(value))
        return bytes([size + 3]) + (ticks // 10 ** (7 - scale)).to_bytes(size, "little") + _days(at.date())

    return write


def _datetimeoffset(value: object) -> bytes:
    text = str(value)
    local, ticks = _ticks(text[:-6].rstrip())
    hours, minutes = int(text[-6:-3]), int(text[-2:])
    offset = hours * 60 + (-minutes if text[-6] == "-" else minutes)
    utc = local - dt.timedelta(minutes=offset)
    of_day = (utc.hour * 3_600 + utc.minute * 60 + utc.second) * 10**7 + ticks % 10**7
    return b"\x0a" + of_day.to_bytes(5, "little") + _days(utc.date()) + struct.pack("<h", offset)


def decimal(precision: int, scale: int) -> Type:
    """``decimal(p, s)``, of at most nine digits."""

    def write(value: object) -> bytes:
        number = int(Decimal(str(value)).scaleb(scale))
        return b"\x05" + bytes([number >= 0]) + abs(number).to_bytes(4, "little")

    return Type(bytes([0x6A, 5, precision, scale]), write)


BIT: Final = Type(b"\x68\x01", _number("<B"))
TINYINT: Final = Type(b"\x26\x01", _number("<B"))
SMALLINT: Final = Type(b"\x26\x02", _number("<h"))
INT: Final = Type(b"\x26\x04", _number("<i"))
BIGINT: Final = Type(b"\x26\x08", _number("<q"))
FLOAT: Final = Type(b"\x6d\x08", lambda value: b"\x08" + struct.pack("<d", float(str(value))))
DATE: Final = Type(b"\x28", _date)
DATETIME: Final = Type(b"\x6f\x08", _datetime)
DATETIMEOFFSET: Final = Type(b"\x2b\x07", _datetimeoffset)
NVARCHAR_MAX: Final = Type(struct.pack("<BH", 0xE7, _MAX) + COLLATION, lambda v: _plp(_wide(v)), _PLP_NULL)


def datetime2(scale: int) -> Type:
    """``datetime2(s)``."""
    return Type(bytes([0x2A, scale]), _datetime2(scale))


class Reader:
    """Reads a request from its first byte to its last."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self._data)

    def take(self, length: int) -> bytes:
        """Return the next bytes."""
        found = self._data[self.at : self.at + length]
        self.at += length
        return found

    def number(self, form: str) -> int:
        """Return a number, ``form`` as ``struct`` calls it."""
        return int(struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0])

    def text(self, length: int) -> str:
        """Return so many characters of UTF-16."""
        return self.take(2 * length).decode("utf-16-le")

    def value(self) -> object:
        """Return a parameter's value, which stands after its TYPE_INFO."""
        kind = self.number("B")
        if kind in {0xE7, 0xEF, 0xA7, 0xAF}:
            longest, collation = self.number("H"), self.take(5)
            data = self._long() if longest == _MAX else self._bounded()
            narrow = "utf-8" if collation[3] & 0x04 else _NARROW
            return None if data is None else data.decode("utf-16-le" if kind in {0xE7, 0xEF} else narrow)
        if kind in {0x26, 0x68}:
            self.number("B")
            return int.from_bytes(self.take(size), "little", signed=size > 1) if (size := self.number("B")) else None
        if kind in {0x30, 0x32, 0x34, 0x38, 0x7F}:
            return int.from_bytes(self.take({0x34: 2, 0x38: 4, 0x7F: 8}.get(kind, 1)), "little", signed=True)
        raise NotImplementedError(f"a parameter of type {kind:#x}")

    def _bounded(self) -> bytes | None:
        length = self.number("H")
        return None if length == _MAX else self.take(length)

    def _long(self) -> bytes | None:
        told = self.take(8)
        if told == _PLP_NULL:
            return None
        found = b""
        while length := self.number("I"):
            found += self.take(length)
        return found
