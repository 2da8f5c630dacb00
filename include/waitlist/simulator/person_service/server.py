"""The server: HTTPS with client certificates, and switches for real faults."""

import datetime as dt
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from lxml import etree

from waitlist.simulator.person_service import answers
from waitlist.simulator.person_service.certificates import Certificates
from waitlist.simulator.person_service.people import Person, PersonId

PATH: Final = "/strategicresourcemanagement/persons/person/GetPersonsForProfile/5/rivtabp21"
MOST_IDS: Final = 500
_LOGICAL_ADDRESS: Final = "{urn:riv:itintegration:registry:1}LogicalAddress"
_ACTION: Final = f'"{answers.RESPONDER}:GetPersonsForProfile"'
_ASKED: Final = f"{{{answers.RESPONDER}}}GetPersonsForProfile"
_MOST_BYTES: Final = 1_000_000
_IDLE_SECONDS: Final = 60
_REST_SECONDS: Final = 300
_POLL_SECONDS: Final = 0.05
_GARBAGE: Final = b"<html><body>Sidan kunde inte visas</body>"


class Switch(StrEnum):
    """The faults."""

    SLOW = "slow"
    """The answer is late."""
    DRIP = "drip"
    """The answer comes byte by byte and never ends."""
    FAULT = "fault"
    """HTTP 500 with a SOAP fault that quotes the person."""
    HALF = "half"
    """The connection ends in the middle of the answer."""
    SHORT = "short"
    """The answer is whole, and one record is not in it."""
    EMPTY = "empty"
    """The answer is whole, and no record is in it."""
    TWO = "two"
    """One person has two records."""
    WRONG = "wrong"
    """One record is for a person that was not requested."""
    GARBAGE = "garbage"
    """The answer is not XML."""
    DROPPED = "dropped"
    """The connection ends before any answer."""
    EXPIRED = "expired"
    """The server's certificate has expired."""


@dataclass(frozen=True)
class Call:
    """A call that reached the server.

    Attributes:
        at: seconds on the machine's monotonic clock.
        persons: how many persons were requested.
        answered: whether the answer was complete.
    """

    at: float
    persons: int
    answered: bool


@dataclass(frozen=True)
class _Request:
    ids: list[PersonId]
    profile: str
    ignores_referred: bool


class _RequestError(Exception):
    """A request does not follow the contract."""


class PersonService:
    """The service, from ``start`` or ``with`` until it is closed.

    Args:
        people: its persons.
        certificates: both sides' certificates.
        port: 0 for a free port.
        odd: the fault when one of these ids is requested.
        call_seconds: the time that a call takes at least.
        record_seconds: the additional time for each record.
        today: the day as of which a call is answered; None: what is known at the end of all days.

    Attributes:
        switch: the fault of every call from now on; None: no fault.
        slow_seconds: the delay of an answer under ``Switch.SLOW``.
        garbage: the answer under ``Switch.GARBAGE``.
        calls: the calls so far.
    """

    def __init__(
        self,
        people: Iterable[Person],
        certificates: Certificates,
        *,
        port: int = 0,
        odd: Mapping[PersonId, Switch] | None = None,
        call_seconds: float = 0,
        record_seconds: float = 0,
        today: Callable[[], dt.date | None] = lambda: None,
    ) -> None:
        self.switch: Switch | None = None
        self.slow_seconds = 60.0
        self.garbage = _GARBAGE
        self.calls: list[Call] = []
        self._people = {person.id: person for person in people}
        self._odd = dict(odd or {})
        self._seconds = (call_seconds, record_seconds)
        self._today = today
        self._contexts = {
            expired: _context(certificates, expired=expired) for expired in (False, True)
        }  # fmt: skip
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="person service", daemon=True
        )

    @property
    def port(self) -> int:
        """The port of the server."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address of the service."""
        return f"https://localhost:{self.port}{PATH}"

    @property
    def too_early(self) -> int:
        """How many calls came within five minutes of one that failed: none may."""
        failed, early = float("-inf"), 0
        for call in self.calls:
            early += call.at - failed < _REST_SECONDS
            failed = failed if call.answered else call.at
        return early

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Stop the service; waiting calls get no answer. A second call does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self) -> None:
        """Wait until the service is closed, or for an interrupt."""
        while not self._closing.wait(1):
            pass

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def secure(self, plain: socket.socket) -> ssl.SSLSocket:
        """Do the TLS handshake; a consumer without a certificate of our authority is refused."""
        return self._contexts[self.switch is Switch.EXPIRED].wrap_socket(plain, server_side=True)

    def pause(self, seconds: float) -> None:
        """Wait, unless the service is being closed."""
        if seconds > 0:
            self._closing.wait(seconds)

    def answer(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes, Switch | None]:
        """Return the status and the body of an answer, and its fault."""
        try:
            request = _read(headers, body)
        except _RequestError as error:
            self._note(0, answered=False)
            return 500, answers.envelope(answers.fault("Client", str(error))), None
        begun, (call_seconds, record_seconds) = time.monotonic(), self._seconds
        switch = self.switch or next((self._odd[one] for one in request.ids if one in self._odd), None)
        status, body = self._answered(request, switch)
        # A producer's own work is part of the time that it may take.
        self.pause(begun + call_seconds + record_seconds * len(request.ids) - time.monotonic())
        self._note(len(request.ids), answered=switch is None)
        return status, body, switch

    def _answered(self, request: _Request, switch: Switch | None) -> tuple[int, bytes]:
        if switch is Switch.FAULT:
            # The worst kind of fault: it quotes the person.
            person = self._people.get(request.ids[0], Person(request.ids[0].extension))
            text = f"VP009 No contact with producer for {person.extension} {person.given_name} {person.surname}"
            return 500, answers.envelope(answers.fault("Server", text))
        if switch is Switch.GARBAGE:
            return 200, self.garbage
        return 200, answers.envelope(answers.response(self._records(request, switch)))

    def _records(self, request: _Request, switch: Switch | None) -> list[Any]:
        ids = {
            Switch.SHORT: request.ids[1:],
            Switch.EMPTY: [],
            Switch.TWO: [request.ids[0], *request.ids],
            Switch.WRONG: [PersonId("201212121212"), *request.ids[1:]],
        }.get(switch, request.ids) if switch else request.ids  # fmt: skip
        today = self._today()
        known = ((one, self._known(one, request)) for one in ids)
        return [answers.requested(one, person and person.on(today), request.profile) for one, person in known]

    def _known(self, asked: PersonId, request: _Request) -> Person | None:
        person = self._people.get(asked)
        if person is None or person.primary or request.ignores_referred:
            return person
        return self._people.get(PersonId(person.referred, person.root), person)

    def _note(self, persons: int, *, answered: bool) -> None:
        self.calls.append(Call(time.monotonic(), persons, answered))


def _context(certificates: Certificates, *, expired: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificates.expired_server if expired else certificates.server)
    context.load_verify_locations(cafile=certificates.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _read(headers: Mapping[str, str], body: bytes) -> _Request:
    """Read a request as strictly as a producer does that checks it against the schema."""
    if headers.get("SOAPAction") != _ACTION:
        raise _RequestError("SOAPAction is another")
    if not re.match("text/xml(;|$)", headers.get("Content-Type", "")):
        raise _RequestError("Content-Type is another")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_blank_text=True)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        raise _RequestError("it is no XML") from None
    address = root.findtext(f"{{{answers.SOAP}}}Header/{_LOGICAL_ADDRESS}")
    asked = root.find(f"{{{answers.SOAP}}}Body/{_ASKED}")
    if not address or asked is None:
        raise _RequestError("VP004 no logical address, or another operation")
    *persons, profile, ignore = asked
    ids = [PersonId(one.findtext(f"{{{answers.PERSON}}}extension"), _root(one)) for one in persons]
    tags = [child.tag.removeprefix(f"{{{answers.RESPONDER}}}") for child in asked]
    if tags != [*["personId"] * len(ids), "profile", "ignoreReferredIdentity"] or not ids:
        raise _RequestError("it is not valid by the schema")
    if len(ids) > MOST_IDS:
        raise _RequestError(f"more than {MOST_IDS} persons")
    if profile.text not in {"P1", "P2", "P3", "P4", "P5"} or ignore.text not in {"true", "false"}:
        raise _RequestError("no such profile")
    return _Request(ids, profile.text, ignore.text == "true")


def _root(person: Any) -> str:  # noqa: ANN401 - lxml's
    return str(person.findtext(f"{{{answers.PERSON}}}root"))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], service: PersonService) -> None:
        self.service = service
        super().__init__(address, _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the base class has it
        """Do the handshake in the connection's own thread: a silent consumer must not block the others."""
        request.settimeout(_IDLE_SECONDS)
        with suppress(OSError), self.service.secure(request) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Log nothing: consumers that disconnect are expected here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != PATH or not 0 < length <= _MOST_BYTES:
            self.send_error(404)
            return
        service = self.server.service
        status, body, switch = service.answer(self.headers, self.rfile.read(length))  # type: ignore[arg-type]
        if switch is Switch.DROPPED:
            self.close_connection = True
            return
        if switch is Switch.SLOW:
            service.pause(service.slow_seconds)
        self.send_response(status)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if switch is Switch.DRIP:
            self._drip(body)
        self.wfile.write(body[: len(body) // 2] if switch is Switch.HALF else body)
        self.close_connection = self.close_connection or switch is Switch.HALF

    def _drip(self, body: bytes) -> None:
        for place in range(len(body)):
            self.wfile.write(body[place : place + 1])
            self.wfile.flush()
            self.server.service.pause(0.1)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        """Log nothing: the demo has its own log."""
