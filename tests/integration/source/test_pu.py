"""The client and the service over real TLS: the requests, the failures, and their messages."""

import datetime as dt
import itertools
import logging
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
from tests.support import official_numbers
from tests.support.errors import texts_of
from tests.support.person_service import address, serving

from waitlist.exceptions import PersonServiceError, PersonServiceRestError, PersonServiceSetupError
from waitlist.paths import PROJECT
from waitlist.settings import PersonServiceSettings
from waitlist.simulator.person_service import Certificates, Person, PersonService, Switch, make_certificates
from waitlist.source.pu import Address, Credentials, MemoryRest, PersonServiceClient, Reason
from waitlist.source.pu import __main__ as command
from waitlist.staging import StagingStore, persons

NUMBERS = [official_numbers.number(dt.date(1984, 3, 1) + dt.timedelta(days), 239) for days in range(1_200)]
SURNAME = "Hemligsson"
PEOPLE = [Person(number, given_name="Dold", surname=SURNAME) for number in NUMBERS]
MINUTES_5 = dt.timedelta(minutes=5)
QUICK = PersonServiceSettings.model_construct(pu_seconds=2)


class Clock:
    """The present moment, as a test has it."""

    def __init__(self) -> None:
        self.moment = dt.datetime.now(dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.moment


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def service(certificates: Certificates) -> Iterator[PersonService]:
    with serving(certificates, *PEOPLE) as service:
        yield service


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rest() -> MemoryRest:
    return MemoryRest()


@pytest.fixture
def client(service: PersonService, certificates: Certificates, rest: MemoryRest, clock: Clock) -> PersonServiceClient:
    return PersonServiceClient(address(service, certificates), rest, QUICK, clock)


@pytest.fixture
def failed(
    client: PersonServiceClient,
    service: PersonService,
    rest: MemoryRest,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> Callable[..., str]:
    """Ask, and return what the client says of what went wrong; nothing of a person is in it, nor in any log."""

    def ask(switch: Switch | None = None) -> str:
        service.switch = switch
        caplog.set_level(logging.DEBUG)
        with pytest.raises(PersonServiceError) as caught:
            list(client.ask(NUMBERS[:3]))
        assert type(caught.value) is PersonServiceError
        assert caught.value.__context__ is None, "what was caught could be written to a log with this"
        assert rest.until() == clock.moment + MINUTES_5
        written = texts_of(caught.value) + "\n".join(
            record.getMessage() + str(record.args) for record in caplog.records
        )
        for secret in (*NUMBERS[:3], SURNAME, "Dold", "producer", "Sidan"):
            assert secret not in written
        return str(caught.value)

    return ask


def answer_by(
    respond: Callable[[BaseHTTPRequestHandler], None], service: PersonService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the service answer each call in a way of the test's own."""
    handler = type("Handler", (service._server.RequestHandlerClass,), {"do_POST": respond})
    monkeypatch.setattr(service._server, "RequestHandlerClass", handler)


class TestAsking:
    def test_one_call_for_each_five_hundred_and_answers_in_the_order_of_the_asking(
        self, client: PersonServiceClient, service: PersonService
    ) -> None:
        statuses = list(client.ask([*reversed(NUMBERS), NUMBERS[0]]))
        assert [status.person_id for status in statuses] == NUMBERS[::-1]
        assert [call.persons for call in service.calls] == [500, 500, 200]
        assert all(status.found and status.name.occur_in(f"Dold {SURNAME}") for status in statuses)

    def test_a_call_is_made_when_its_first_answer_is_taken(
        self, client: PersonServiceClient, service: PersonService
    ) -> None:
        statuses = client.ask(NUMBERS)
        assert service.calls == []
        next(statuses)
        assert len(service.calls) == 1

    def test_what_is_said_of_a_person(
        self, certificates: Certificates, rest: MemoryRest, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        dead = Person(NUMBERS[0], surname=SURNAME, test=False, reason="AV", deregistered_at="2024-05")
        hidden = Person(NUMBERS[1], surname=SURNAME, protected_person=True, protected_record=True)
        with serving(certificates, dead, hidden) as service:
            client = PersonServiceClient(address(service, certificates), rest, QUICK, clock)
            first, second, third = client.ask(NUMBERS[:3])
        assert (first.reason, first.deceased, first.test_person, first.protected) == (
            Reason.DECEASED,
            True,
            False,
            False,
        )
        assert (second.protected_person, second.protected_record, second.name) == (True, True, None)
        assert (third.found, third.asked_at) == (False, clock.moment)
        assert rest.until() is None
        written = "\n".join(record.getMessage() for record in caplog.records)
        assert "answered for 3 persons" in written
        assert not any(secret in written for secret in (*NUMBERS[:3], SURNAME))

    def test_nobody_is_asked_for_by_anything_but_twelve_digits(
        self, client: PersonServiceClient, service: PersonService
    ) -> None:
        with pytest.raises(PersonServiceSetupError, match="1 of 2 numbers") as caught:
            client.ask([NUMBERS[0], NUMBERS[1][2:]])
        assert NUMBERS[1][2:] not in texts_of(caught.value)
        assert service.calls == []

    def test_nobody_at_all(self, client: PersonServiceClient, service: PersonService) -> None:
        assert list(client.ask([])) == []
        assert service.calls == []


class TestWhatGoesWrong:
    @pytest.mark.parametrize(
        ("switch", "told"),
        [
            (Switch.SLOW, r"did not answer within 2 s \(WAITLIST_PU_SECONDS\)"),
            (Switch.DRIP, r"did not answer within 2 s \(WAITLIST_PU_SECONDS\)"),
            (Switch.FAULT, "refused the call: HTTP 500, fault Server, VP009"),
            (Switch.HALF, "could not be reached, or broke off: "),
            (Switch.SHORT, "not as agreed: 1 of 3 persons have no record"),
            (Switch.EMPTY, "not as agreed: 3 of 3 persons have no record"),
            (Switch.TWO, "not as agreed: there are two records for one person"),
            (Switch.WRONG, "not as agreed: there is a record for a person who was not asked for"),
            (Switch.GARBAGE, "not as agreed: it is no whole and well-formed XML"),
            (Switch.DROPPED, "could not be reached, or broke off: "),
            (Switch.EXPIRED, r"its certificate is not accepted: OpenSSL's code 10 \(certificate has expired\)"),
        ],
    )
    def test_is_told_without_a_word_of_it(self, failed: Callable[..., str], switch: Switch, told: str) -> None:
        begun = time.monotonic()
        assert re.search(told, failed(switch))
        assert time.monotonic() - begun < 6

    def test_every_switch_is_tried(self) -> None:
        (mark,) = TestWhatGoesWrong.test_is_told_without_a_word_of_it.pytestmark
        assert {switch for switch, _ in mark.args[1]} == set(Switch)

    def test_a_document_type_from_the_service(self, failed: Callable[..., str], service: PersonService) -> None:
        service.garbage = b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a>&e;</a>'
        assert "it has a document type" in failed(Switch.GARBAGE)

    def test_a_server_that_is_not_there(self, failed: Callable[..., str], service: PersonService) -> None:
        service.close()
        assert "broke off: ConnectError" in failed()

    def test_a_status_line_and_headers_that_name_a_person(
        self, failed: Callable[..., str], service: PersonService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def respond(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(403, f"{SURNAME} {NUMBERS[0]}")
            handler.send_header("X-Person", f"{SURNAME} {NUMBERS[0]}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        answer_by(respond, service, monkeypatch)
        assert "refused the call: HTTP 403" in failed()

    @pytest.mark.parametrize("location", ["https://localhost/", "http://localhost/"])
    def test_a_redirection_is_not_followed(
        self, failed: Callable[..., str], service: PersonService, monkeypatch: pytest.MonkeyPatch, location: str
    ) -> None:
        def respond(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(307)
            handler.send_header("Location", location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        answer_by(respond, service, monkeypatch)
        assert "refused the call: HTTP 307" in failed()

    def test_an_answer_that_is_compressed(
        self, failed: Callable[..., str], service: PersonService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def respond(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Encoding", "gzip")
            handler.send_header("Content-Length", "4")
            handler.end_headers()
            handler.wfile.write(b"abcd")

        answer_by(respond, service, monkeypatch)
        assert "not as agreed: it is compressed" in failed()

    def test_an_error_of_our_own_is_withheld_too(
        self, failed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise KeyError(NUMBERS[0])

        monkeypatch.setattr("waitlist.source.pu.client.read_answer", broken)
        assert "could not be asked: KeyError" in failed()

    def test_nothing_of_a_call_that_failed_is_handed_on(
        self, client: PersonServiceClient, service: PersonService
    ) -> None:
        statuses = client.ask(NUMBERS)
        taken = list(itertools.islice(statuses, 500))
        service.switch = Switch.SHORT
        with pytest.raises(PersonServiceError):
            next(statuses)
        assert [status.person_id for status in taken] == NUMBERS[:500]
        assert [call.persons for call in service.calls] == [500, 500]


class TestRest:
    def test_nobody_asks_for_five_minutes_after_a_failure(
        self, failed: Callable[..., str], client: PersonServiceClient, service: PersonService, clock: Clock
    ) -> None:
        failed(Switch.FAULT)
        service.switch = None
        clock.moment += MINUTES_5 - dt.timedelta(seconds=1)
        with pytest.raises(PersonServiceRestError, match="failed just now: nobody asks it before 20"):
            list(client.ask(NUMBERS[:1]))
        assert len(service.calls) == 1
        clock.moment += dt.timedelta(seconds=1)
        assert len(list(client.ask(NUMBERS[:1]))) == 1

    def test_a_failure_elsewhere_counts_between_two_calls(
        self, client: PersonServiceClient, service: PersonService, rest: MemoryRest, clock: Clock
    ) -> None:
        statuses = client.ask(NUMBERS)
        next(statuses)
        rest.rest_until(clock.moment + MINUTES_5)
        with pytest.raises(PersonServiceRestError):
            list(statuses)
        assert len(service.calls) == 1

    def test_what_was_never_sent_begins_no_rest(
        self, service: PersonService, certificates: Certificates, rest: MemoryRest, clock: Clock
    ) -> None:
        where = address(service, certificates, certificate=certificates.expired_client)
        with pytest.raises(PersonServiceSetupError, match=r"our certificate .* expired at 20.* UTC: order a new one"):
            list(PersonServiceClient(where, rest, QUICK, clock).ask(NUMBERS[:1]))
        assert rest.until() is None
        assert service.calls == []


class TestCertificates:
    def test_one_that_expires_while_a_client_is_used(
        self, client: PersonServiceClient, service: PersonService, clock: Clock
    ) -> None:
        statuses = client.ask(NUMBERS)
        next(statuses)
        clock.moment = client.certificate_ends
        with pytest.raises(PersonServiceSetupError, match="expired"):
            list(statuses)
        assert len(service.calls) == 1

    def test_one_that_is_not_valid_yet(self, client: PersonServiceClient, clock: Clock) -> None:
        clock.moment -= dt.timedelta(days=3)
        with pytest.raises(PersonServiceSetupError, match="is valid from"):
            list(client.ask(NUMBERS[:1]))

    def test_the_service_takes_no_consumer_of_another_authority(
        self, service: PersonService, certificates: Certificates, rest: MemoryRest
    ) -> None:
        where = address(service, certificates, certificate=certificates.stranger)
        with pytest.raises(PersonServiceError, match=r"TLS, [A-Z0-9_]+|broke off: [A-Za-z]+Error"):
            list(PersonServiceClient(where, rest, QUICK).ask(NUMBERS[:1]))
        assert service.calls == []

    def test_the_service_takes_nobody_without_a_certificate(
        self, service: PersonService, certificates: Certificates
    ) -> None:
        trusting = ssl.create_default_context(cafile=certificates.authority)
        with pytest.raises(httpx.TransportError), httpx.Client(verify=trusting, trust_env=False) as nobody:
            nobody.post(service.url, content=b"x")
        assert service.calls == []

    def test_the_client_takes_no_service_of_another_authority(
        self, service: PersonService, certificates: Certificates, rest: MemoryRest
    ) -> None:
        where = address(service, certificates, authorities=certificates.stranger)
        with pytest.raises(PersonServiceError, match="its certificate is not accepted"):
            list(PersonServiceClient(where, rest, QUICK).ask(NUMBERS[:1]))
        assert service.calls == []

    def test_the_client_takes_no_service_of_another_name(self, rest: MemoryRest, tmp_path: Path) -> None:
        others = make_certificates(tmp_path, host="other.example")
        with serving(others) as service:
            with pytest.raises(PersonServiceError, match="its certificate is not accepted: OpenSSL's code 62"):
                list(PersonServiceClient(address(service, others), rest, QUICK).ask(NUMBERS[:1]))
            assert service.calls == []

    @pytest.mark.parametrize("which", ["certificate", "key", "authorities"])
    def test_a_file_that_is_missing_or_something_else_is_named_by_what_it_is_for(
        self, service: PersonService, certificates: Certificates, rest: MemoryRest, tmp_path: Path, which: str
    ) -> None:
        other = tmp_path / "other.pem"
        where = address(service, certificates, **{which: other})
        with pytest.raises(PersonServiceSetupError, match="cannot be read: No such file"):
            PersonServiceClient(where, rest)
        other.write_text("something else")
        with pytest.raises(PersonServiceSetupError, match="do not fit"):
            PersonServiceClient(where, rest)

    def test_a_key_with_a_password(
        self, service: PersonService, certificates: Certificates, rest: MemoryRest, tmp_path: Path
    ) -> None:
        locked = tmp_path / "locked.pem"
        subprocess.run(
            ["openssl", "pkey", "-aes256", "-passout", "pass:hemlig", "-in", certificates.client_key, "-out", locked],
            check=True,
        )
        with pytest.raises(PersonServiceSetupError, match="do not fit"):
            PersonServiceClient(address(service, certificates, key=locked), rest)
        where = address(service, certificates, key=locked, key_password="hemlig")
        assert "hemlig" not in repr(where)
        assert len(list(PersonServiceClient(where, rest, QUICK).ask(NUMBERS[:1]))) == 1

    @pytest.mark.parametrize(
        "url", ["http://localhost/", "https://", "https://user:hemlig@localhost/", "localhost", ""]
    )
    def test_only_https_and_no_password_in_the_address(
        self, certificates: Certificates, rest: MemoryRest, url: str
    ) -> None:
        files = Credentials(certificates.client, certificates.client_key, certificates.authority)
        with pytest.raises(PersonServiceSetupError, match="must be https") as caught:
            PersonServiceClient(Address(url, files), rest)
        assert "hemlig" not in texts_of(caught.value)


class TestCommand:
    def arguments(self, service: PersonService, certificates: Certificates, folder: Path) -> list[str]:
        return [
            *("--url", service.url, "--certificate", str(certificates.client), "--key", str(certificates.client_key)),
            *("--authorities", str(certificates.authority), "--rest", str(folder / "rest")),
        ]

    def test_check_says_what_counts_and_shows_neither_name_nor_number(
        self, certificates: Certificates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        dead = Person(NUMBERS[0], surname=SURNAME, reason="AV")
        hidden = Person(NUMBERS[1], surname=SURNAME, protected_person=True)
        with serving(certificates, dead, hidden) as service:
            given = self.arguments(service, certificates, tmp_path)
            assert command.main(["--check", *NUMBERS[:3], *given]) == 0
            told = capsys.readouterr().out
            assert command.main(["--check", NUMBERS[1], *given]) == 0
        assert f"********{NUMBERS[0][8:]}: found, test person, deceased, deregistered (AV), has a surname\n" in told
        assert f"********{NUMBERS[1][8:]}: found, test person, sekretessmarkering\n" in told
        assert f"********{NUMBERS[2][8:]}: not found\n" in told
        assert "A deceased person was seen" in told
        assert not any(secret in told for secret in (*NUMBERS[:3], SURNAME))
        assert "No deceased person was seen" in capsys.readouterr().out

    def test_a_deceased_person_is_recorded_in_the_staging_database_and_so_is_a_failure(
        self, certificates: Certificates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}")
        given = ["--staging", store.engine.url.render_as_string()]
        with serving(certificates, Person(NUMBERS[0], reason="AV"), Person(NUMBERS[1])) as service:
            arguments = [*self.arguments(service, certificates, tmp_path), *given]
            assert command.main(["--check", NUMBERS[1], *arguments]) == 0
            assert persons.deceased_seen_at(store.database, "P1") is None
            assert command.main(["--check", NUMBERS[0], *arguments[:-2]]) == 0
            assert persons.deceased_seen_at(store.database, "P1") is None
            assert command.main(["--check", NUMBERS[0], *arguments]) == 0
            assert persons.deceased_seen_at(store.database, "P1") is not None
            service.switch = Switch.FAULT
            assert command.main(["--check", NUMBERS[0], *arguments]) == 1
        told = capsys.readouterr().out
        assert "Not recorded: give the staging database" in told
        assert "Recorded: WAITLIST_PU may be required with the profile P1" in told
        assert persons.DatabaseRest(store.database).until() is not None

    def test_two_checks_after_a_failure_make_one_call(
        self, service: PersonService, certificates: Certificates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        service.switch = Switch.FAULT
        given = self.arguments(service, certificates, tmp_path)
        assert [command.main(["--check", NUMBERS[0], *given]) for _ in range(2)] == [1, 1]
        assert len(service.calls) == 1
        first, second = capsys.readouterr().err.splitlines()
        assert "refused the call" in first
        assert "nobody asks it before" in second

    def test_the_request_is_shown_and_nothing_sent(self) -> None:
        shown = subprocess.run(
            [sys.executable, "-m", "waitlist.source.pu", "--show-request", NUMBERS[0]],
            cwd=PROJECT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert f"extension>{NUMBERS[0]}</" in shown
        assert ">P1</" in shown

    def test_what_is_missing_is_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            command.main(["--check", NUMBERS[0]])
        told = capsys.readouterr().err
        assert "WAITLIST_PU_URL, WAITLIST_PU_CERTIFICATE, WAITLIST_PU_KEY, WAITLIST_PU_AUTHORITIES" in told
