"""A responder that speaks TDS 7.4 to a real driver: its sessions, and what each request of theirs is answered."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from tests.support.tds import tokens
from tests.support.tds.answers import Database, ServerError, datatype_info
from tests.support.tds.types import Reader
from tests.support.tds.wire import ATTENTION, BATCH, LOGIN, RPC, TRANSACTION, HungUpError, Wire

DATABASE: Final = "pmo"
USER: Final = "pmo_reader"
PASSWORD: Final = "Läs;a}{bara 1"

_AT_ONCE: Final = 16_384
_OFF, _ON, _NOT_SUPPORTED, _REQUIRED = 0, 1, 2, 3
_EXECUTE_SQL, _PREPARE, _EXECUTE, _PREPARE_EXECUTE, _UNPREPARE = 10, 11, 12, 13, 15
_PROCEDURES: Final = {
    "sp_executesql": _EXECUTE_SQL, "sp_prepare": _PREPARE, "sp_execute": _EXECUTE,
    "sp_prepexec": _PREPARE_EXECUTE, "sp_unprepare": _UNPREPARE,
}  # fmt: skip
_BEGIN, _COMMIT, _ROLLBACK = 5, 7, 8


@dataclass
class TdsServer:
    """Listens at a port of the loopback interface.

    Attributes:
        database: the source of its answers.
        tls: its certificate and key; None: it has no TLS.
        heard: the statements that it has received, in order.
        logins: the users that have tried to log in.
        attentions: how often a client has cancelled a statement.
        replica_port: the port to which a client that only reads is sent (``ApplicationIntent=ReadOnly``).
        password: the one that it accepts.
        hang_up_after: a word of a statement, and the rows after which its session is ended.
        silent_after: the same, but the session gets no more data and is not ended.
    """

    database: Database
    tls: ssl.SSLContext | None = None
    heard: list[str] = field(default_factory=list)
    logins: list["Login"] = field(default_factory=list)
    attentions: int = 0
    replica_port: int | None = None
    password: str = PASSWORD
    hang_up_after: tuple[str, int] | None = None
    silent_after: tuple[str, int] | None = None
    closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.sessions: list[Session] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                session = Session(self, Wire(self._listening.accept()[0]))
                self.sessions.append(session)
                threading.Thread(target=session.serve, daemon=True).start()

    def close(self) -> None:
        """Stop listening, and end every session."""
        self.closed.set()
        # A thread that waits in accept() keeps the socket open otherwise.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.hang_up()
        self.database.close()

    def hang_up(self) -> None:
        """End every session without a word."""
        for session in self.sessions:
            session.hang_up()


@dataclass(frozen=True)
class Login:
    """What a client says of itself (MS-TDS 2.2.6.4)."""

    user: str
    password: str = field(repr=False)
    application: str
    server: str
    database: str
    packet_bytes: int
    read_only: bool
    extensions: frozenset[int]

    @classmethod
    def parse(cls, data: bytes) -> "Login":
        """Read LOGIN7."""
        packet_bytes = struct.unpack_from("<I", data, 8)[0]
        flags = data[24:28]
        places = [struct.unpack_from("<HH", data, 36 + 4 * number) for number in range(9)]

        def part(number: int) -> bytes:
            at, length = places[number]
            return data[at : at + 2 * length]

        # Each half of a byte changed places, after which it was XORed.
        extensions = _extensions(data, places[5][0]) if flags[3] & 0x10 else frozenset()
        password = bytes((byte ^ 0xA5) >> 4 | ((byte ^ 0xA5) & 0x0F) << 4 for byte in part(2))
        user, application, server, database = (part(number).decode("utf-16-le") for number in (1, 3, 4, 8))
        return cls(
            user, password.decode("utf-16-le"), application, server, database, packet_bytes,
            read_only=bool(flags[2] & 0x20), extensions=extensions,
        )  # fmt: skip


def _extensions(data: bytes, at: int) -> frozenset[int]:
    place, found = struct.unpack_from("<I", data, at)[0], set()
    while data[place] != 0xFF:
        found.add(data[place])
        place += 5 + struct.unpack_from("<I", data, place + 1)[0]
    return frozenset(found)


class Session:
    """One client."""

    def __init__(self, server: TdsServer, wire: Wire) -> None:
        self._server = server
        self._wire = wire
        self._prepared: dict[int, str] = {}
        self._transaction = 0

    def hang_up(self) -> None:
        """End the connection without a word."""
        with suppress(OSError):
            self._wire.socket.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        """Answer until the client goes."""
        with suppress(HungUpError, OSError), closing(self._wire.socket):
            if self._greet():
                while True:
                    self._answer(*self._wire.message())

    def _greet(self) -> bool:
        tls = self._server.tls
        strict = self._wire.begins_with_tls()
        if strict:
            if tls is None:
                raise HungUpError
            self._wire.encrypt(tls, packed=False)
        _, prelogin = self._wire.message()
        asked = _encryption(prelogin)
        agreed = _NOT_SUPPORTED if tls is None or strict else _ON if asked in {_ON, _REQUIRED} else _OFF
        options = bytes([0, 0, 21, 0, 6, 1, 0, 27, 0, 1, 2, 0, 28, 0, 1, 4, 0, 29, 0, 1, 0xFF])
        self._wire.send(options + bytes([16, 0, 0x10, 0x4B, 0, 0, agreed, 0, 0]))
        if agreed != _NOT_SUPPORTED and tls is not None:
            self._wire.encrypt(tls)
        kind, data = self._wire.message()
        if kind != LOGIN:
            raise HungUpError
        if agreed == _OFF:
            self._wire.decrypt()
        return self._let_in(Login.parse(data))

    def _let_in(self, login: Login) -> bool:
        self._server.logins.append(login)
        refused = b""
        if (login.user, login.password) != (USER, self._server.password):
            refused = tokens.error(18456, 14, f"Login failed for user '{login.user}'.")
        elif login.database not in {"", DATABASE}:
            text = f'Cannot open database "{login.database}" requested by the login. The login failed.'
            refused = tokens.error(4060, 11, text) + tokens.error(18456, 14, f"Login failed for user '{login.user}'.")
        if refused:
            self._wire.send(refused + tokens.done(tokens.ERROR))
            return False
        moved = self._server.replica_port if login.read_only else None
        self._wire.send(tokens.logged_in(DATABASE, self._wire.packet_bytes, login.extensions, routed_to=moved))
        return moved is None

    def _answer(self, kind: int, data: bytes) -> None:
        if kind == ATTENTION:
            self._server.attentions += 1
            self._wire.send(tokens.done(tokens.ATTENTION))
            return
        request = Reader(data)
        request.take(request.number("I") - 4)
        if kind == BATCH:
            self._batch(request.text((len(data) - request.at) // 2))
        elif kind == RPC:
            self._call(request)
        elif kind == TRANSACTION:
            self._transact(request.number("H"))
        else:
            raise HungUpError

    def _batch(self, sql: str) -> None:
        self._server.heard.append(sql)
        word = sql.strip().upper()
        if word.startswith(("BEGIN TRAN", "ROLLBACK", "COMMIT")):
            self._transact({"B": _BEGIN, "R": _ROLLBACK, "C": _COMMIT}[word[0]])
        else:
            self._send(sql, {}, tokens.done)

    def _transact(self, kind: int) -> None:
        if kind == _BEGIN:
            self._transaction += 1
            change = tokens.transaction(8, self._transaction, 0)
        else:
            change = tokens.transaction(10 if kind == _ROLLBACK else 9, 0, self._transaction)
        self._wire.send(change + tokens.done())

    def _call(self, request: Reader) -> None:
        length = request.number("H")
        name = "" if length == 0xFFFF else request.text(length).lower().rpartition(".")[2].strip("[]")
        procedure = _PROCEDURES.get(name, 0) if name else request.number("H")
        request.take(2)
        parameters: list[tuple[str, object]] = []
        while request:
            name = request.text(request.number("B"))
            request.take(1)
            parameters.append((name, request.value()))
        values = [value for _, value in parameters]
        after = b""
        if procedure == _EXECUTE_SQL:
            sql, bound = str(values[0]), parameters[2:]
        elif procedure == _EXECUTE:
            sql, bound = self._prepared[int(str(values[0]))], parameters[1:]
        elif procedure in {_PREPARE_EXECUTE, _PREPARE}:
            handle = len(self._prepared) + 1
            sql, bound = str(values[2]), parameters[3:] if procedure == _PREPARE_EXECUTE else []
            self._prepared[handle] = sql
            after = tokens.return_value(handle)
        elif procedure == _UNPREPARE:
            self._prepared.pop(int(str(values[0])), None)
            self._wire.send(tokens.return_status() + tokens.done(kind=tokens.DONE_PROCEDURE))
            return
        elif name == "sp_datatype_info_100":
            described, rows = datatype_info(int(str(values[0])))
            found = tokens.columns(described) + b"".join(tokens.row(described, row) for row in rows)
            found += tokens.done_in_procedure(tokens.COUNT, len(rows), more=True) + tokens.return_status()
            self._wire.send(found + tokens.done(kind=tokens.DONE_PROCEDURE))
            return
        else:
            failed = tokens.error(2812, 16, "Could not find stored procedure.")
            self._wire.send(failed + tokens.done(tokens.ERROR, kind=tokens.DONE_PROCEDURE))
            return
        self._server.heard.append(sql)
        named = {name or f"@P{number}": value for number, (name, value) in enumerate(bound, 1)}
        self._send(sql, named, tokens.done_in_procedure, tokens.return_status() + after, procedure != _PREPARE)

    def _send(
        self, sql: str, parameters: dict[str, object], done: tokens.Done, after: bytes = b"", run: bool = True
    ) -> None:
        """Send a statement's result; what the client says meanwhile ends it."""
        kind = tokens.DONE_PROCEDURE if after else tokens.DONE
        buffer, sent = bytearray(), 0
        ends, falls_silent = (
            _rows_before_the_fault(sql, told) for told in (self._server.hang_up_after, self._server.silent_after)
        )
        try:
            columns, rows = self._server.database.ask(sql, parameters)
            buffer += tokens.columns(columns) if columns else b""
            for row in rows if run else ():
                buffer += tokens.row(columns, row)
                sent += 1
                if sent == falls_silent:
                    self._server.closed.wait()
                if sent in {ends, falls_silent}:
                    raise HungUpError
                if len(buffer) > _AT_ONCE:
                    self._wire.send_whole(buffer)
                    if self._wire.is_told():
                        self._wire.send(bytes(buffer) + done(tokens.ERROR))
                        return
        except ServerError as error:
            failed = tokens.error(error.number, error.severity, error.text)
            self._wire.send(bytes(buffer) + failed + tokens.done(tokens.ERROR, kind=kind))
            return
        buffer += done(tokens.COUNT if columns else 0, sent, more=bool(after)) + after
        self._wire.send(bytes(buffer) + (tokens.done(kind=kind) if after else b""))


def _rows_before_the_fault(sql: str, told: tuple[str, int] | None) -> int | None:
    return told[1] if told is not None and told[0] in sql else None


def _encryption(prelogin: bytes) -> int:
    at = 0
    while prelogin[at] != 0xFF:
        option, place, _ = struct.unpack_from(">BHH", prelogin, at)
        if option == 1:
            return prelogin[place]
        at += 5
    return _OFF


@contextmanager
def running_tds(database: Database, tls: ssl.SSLContext | None = None) -> Iterator[TdsServer]:
    """Run a responder for as long as the block takes."""
    server = TdsServer(database, tls)
    try:
        yield server
    finally:
        server.close()
