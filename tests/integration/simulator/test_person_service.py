"""The simulated person service: valid by the schema, as strict as the real one, and true to what it knows."""

import datetime as dt
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from lxml import etree
from tests.support.person_schema import TRIMMED, faults_by_schema
from tests.support.person_service import address, serving

from waitlist.exceptions import PersonServiceError
from waitlist.paths import PROJECT
from waitlist.simulator import PEOPLE as FILE_OF_PEOPLE
from waitlist.simulator import Order, generate
from waitlist.simulator.person_service import (
    Certificates,
    Person,
    PersonId,
    PersonService,
    Switch,
    make_certificates,
    read_people,
    write_people,
)
from waitlist.simulator.person_service.cases import CASES, ODD, PEOPLE, Case
from waitlist.simulator.person_service.people import PERSONNUMMER
from waitlist.simulator.persons import digits, official
from waitlist.source.pu import MemoryRest, PersonServiceClient, PersonStatus, Reason

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
PERSON = "urn:riv:strategicresourcemanagement:persons:person:5"
RESPONDER = "urn:riv:strategicresourcemanagement:persons:person:GetPersonsForProfileResponder:5"
NAMES = {"s": SOAP, "r": RESPONDER, "p": PERSON}
ACTION = f'"{RESPONDER}:GetPersonsForProfile"'
XS = "{http://www.w3.org/2001/XMLSchema}"
ONE = CASES[Case.PROFILES].asked


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def service(certificates: Certificates) -> Iterator[PersonService]:
    with serving(certificates, *PEOPLE, odd=ODD) as service:
        yield service


class Consumer:
    """Asks with no code of ours, for numbers of any kind."""

    def __init__(self, service: PersonService, certificates: Certificates) -> None:
        self._context = address(service, certificates).credentials.context()
        self._url = service.url

    def ask(
        self, ids: Sequence[PersonId], profile: str = "P1", *, ignore: bool = True, **headers: str
    ) -> httpx.Response:
        asked = "".join(
            f"<r:personId><p:root>{one.root}</p:root><p:extension>{one.extension}</p:extension></r:personId>"
            for one in ids
        )
        body = (
            f'<s:Envelope xmlns:s="{SOAP}" xmlns:r="{RESPONDER}" xmlns:p="{PERSON}"><s:Header>'
            '<LogicalAddress xmlns="urn:riv:itintegration:registry:1">SE0000000000-1</LogicalAddress></s:Header>'
            f"<s:Body><r:GetPersonsForProfile>{asked}<r:profile>{profile}</r:profile>"
            f"<r:ignoreReferredIdentity>{str(ignore).lower()}</r:ignoreReferredIdentity>"
            "</r:GetPersonsForProfile></s:Body></s:Envelope>"
        )
        sent = {"SOAPAction": ACTION, "Content-Type": "text/xml; charset=utf-8"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(self._url, content=body, headers=sent, verify=self._context, trust_env=False)

    def records(self, ids: Sequence[PersonId], profile: str = "P1", *, ignore: bool = True) -> list[etree._Element]:
        """The records of an answer that is valid by the schema."""
        answer = self.ask(ids, profile, ignore=ignore)
        assert answer.status_code == 200
        assert faults_by_schema(answer.content) == []
        return etree.fromstring(answer.content).findall(".//r:requestedPersonRecord", NAMES)


@pytest.fixture(scope="module")
def consumer(service: PersonService, certificates: Certificates) -> Consumer:
    return Consumer(service, certificates)


@pytest.fixture
def client(service: PersonService, certificates: Certificates) -> PersonServiceClient:
    return PersonServiceClient(address(service, certificates), MemoryRest())


def ids_of(case: Case) -> list[str]:
    return [one.extension for one in CASES[case].asked]


class TestCases:
    """The sixteen of the consumer's declaration."""

    def test_are_sixteen(self) -> None:
        assert len(Case) == 16
        assert set(CASES) == set(Case)

    def test_hold_published_numbers_or_what_is_nobodys(self) -> None:
        published = {digits(birth, int(serial)) for birth, serial in zip(*official(), strict=True)}
        own = {one.extension for example in CASES.values() for one in example.asked if one.root == PERSONNUMMER}
        assert own <= published

    @pytest.mark.parametrize("case", [case for case in Case if CASES[case].switch is None])
    @pytest.mark.parametrize("profile", ["P1", "P2", "P3", "P4", "P5"])
    def test_are_valid_by_the_schema_in_every_profile(self, consumer: Consumer, case: Case, profile: str) -> None:
        records = consumer.records(CASES[case].asked, profile)
        asked = [record.findtext("p:requestedPersonalIdentity/p:extension", namespaces=NAMES) for record in records]
        assert asked == ids_of(case)
        known = [
            record.findtext("p:personRecord/p:personalIdentity/p:extension", namespaces=NAMES) for record in records
        ]
        assert known == [person.extension for person in CASES[case].people] or case is Case.NOT_EXISTING

    def test_a_higher_profile_tells_more(self, consumer: Consumer) -> None:
        told = [
            {element.tag for element in consumer.records(ONE, profile)[0].iter()}
            for profile in ("P1", "P2", "P3", "P4", "P5")
        ]
        assert all(less < more for less, more in itertools.pairwise(told))
        assert f"{{{PERSON}}}addressInformation" not in told[0]

    @pytest.mark.parametrize("case", [Case.SAMORDNINGSNUMMER, Case.NATIONAL_RESERVE, Case.LOCAL_RESERVE])
    def test_a_number_of_another_kind_is_known_by_its_kind_alone(self, consumer: Consumer, case: Case) -> None:
        (record,) = consumer.records([PersonId(ids_of(case)[0])])
        assert record.find("p:personRecord", NAMES) is None

    def test_an_aggregated_person_names_the_other_identity(self, consumer: Consumer) -> None:
        (record,) = consumer.records(CASES[Case.AGGREGATED].asked)
        assert record.findtext(".//p:linkedIdentity/p:primaryIdentity", namespaces=NAMES) == "false"
        assert record.findtext("p:personRecord/p:primaryIdentity", namespaces=NAMES) == "true"

    def test_both_numbers_of_one_person_refer_to_each_other(self, consumer: Consumer) -> None:
        path = "p:personRecord/p:referredPersonalIdentities/p:referredPersonalIdentity/p:extension"
        records = consumer.records(CASES[Case.REFERRED].asked)
        assert [record.findtext(path, namespaces=NAMES) for record in records] == ids_of(Case.REFERRED)[::-1]

    def test_an_old_number_gives_the_present_record_to_whom_asks_for_it(self, consumer: Consumer) -> None:
        old, present = CASES[Case.REFERRED].asked
        (record,) = consumer.records([old], ignore=False)
        path = "p:personRecord/p:personalIdentity/p:extension"
        assert record.findtext(path, namespaces=NAMES) == present.extension

    def test_every_field_of_the_contract_is_in_the_longest_record(self, consumer: Consumer) -> None:
        (record,) = consumer.records(CASES[Case.LONGEST].asked)
        there = {
            "/".join(etree.QName(one).localname for one in (*reversed(list(element.iterancestors())), element))
            for element in record.iter()
            if etree.QName(element).namespace == PERSON
        }
        there = {path.partition("requestedPersonRecord/")[2] for path in there}
        assert fields_of_the_contract() - there == set()


def fields_of_the_contract() -> set[str]:
    """Every path below ``requestedPersonRecord`` that the schema knows."""
    schema = etree.parse(TRIMMED / "person.xsd").getroot()
    types = {one.get("name"): one for one in schema.findall(f"{XS}complexType")}
    found: set[str] = set()

    def walk(type_name: str, path: str) -> None:
        for element in types[type_name].iter(f"{XS}element"):
            here = f"{path}{element.get('name')}"
            found.add(here)
            inner = element.get("type").removeprefix("tns:")
            if inner in types:
                walk(inner, here + "/")

    walk("RequestedPersonRecordType", "")
    return found


class TestWhatTheClientReads:
    """Of each case that a consumer meets who asks for personnummer alone."""

    def ask(self, client: PersonServiceClient, case: Case) -> list[PersonStatus]:
        return list(client.ask(ids_of(case)))

    @pytest.mark.parametrize("case", [Case.PROFILES, Case.AGGREGATED, Case.SEVERAL])
    def test_an_ordinary_person(self, client: PersonServiceClient, case: Case) -> None:
        for status, person in zip(self.ask(client, case), CASES[case].people, strict=True):
            assert (status.found, status.primary, status.deregistered, status.protected) == (True, True, False, False)
            assert status.name is not None
            assert status.name.occur_in(f"Test {person.surname}")

    def test_a_changed_number(self, client: PersonServiceClient) -> None:
        former, present = self.ask(client, Case.REFERRED)
        assert (former.number_changed, former.reason, present.number_changed) == (True, Reason.OLD_NUMBER, False)

    def test_a_fault(self, client: PersonServiceClient) -> None:
        with pytest.raises(PersonServiceError, match="HTTP 500, fault Server, VP009"):
            self.ask(client, Case.FAULT)

    def test_an_empty_answer(self, client: PersonServiceClient) -> None:
        with pytest.raises(PersonServiceError, match="1 of 1 persons have no record"):
            self.ask(client, Case.EMPTY)

    def test_somebody_who_does_not_exist(self, client: PersonServiceClient) -> None:
        assert [status.found for status in self.ask(client, Case.NOT_EXISTING)] == [False]

    def test_both_marks_of_protection(self, client: PersonServiceClient) -> None:
        (record,) = self.ask(client, Case.PROTECTED_RECORD)
        (person,) = self.ask(client, Case.PROTECTED_PERSON)
        assert (record.protected_record, record.protected_person) == (True, False)
        assert (person.protected_record, person.protected_person, person.name) == (False, True, None)

    def test_who_has_died_and_who_has_left(self, client: PersonServiceClient) -> None:
        (dead,) = self.ask(client, Case.DECEASED)
        (gone,) = self.ask(client, Case.EMIGRATED)
        assert (dead.reason, dead.deceased, dead.found_dead) == (Reason.DECEASED, True, True)
        assert (gone.reason, gone.deceased, gone.deregistered) == (Reason.EMIGRATED, False, True)

    def test_who_is_made_for_tests(self, client: PersonServiceClient) -> None:
        assert [status.test_person for status in self.ask(client, Case.TEST_INDICATOR)] == [True, False]

    def test_the_longest_record(self, client: PersonServiceClient) -> None:
        (status,) = self.ask(client, Case.LONGEST)
        assert (status.reason, status.protected, status.deceased) == (Reason.UNKNOWN, False, True)
        assert status.name is not None
        assert status.name.occur_in("Å" * 80)


class TestStrictness:
    @pytest.mark.parametrize(
        "headers", [{"SOAPAction": '"another"'}, {"SOAPAction": ACTION.strip('"')}, {"Content_Type": "text/plain"}]
    )
    def test_headers_of_another_kind_get_a_fault(self, consumer: Consumer, headers: dict[str, str]) -> None:
        answer = consumer.ask(ONE, **headers)
        assert answer.status_code == 500
        assert b"soap:Client" in answer.content

    @pytest.mark.parametrize(("ids", "profile"), [([], "P1"), (ONE, "P6"), (ONE, ""), ([ONE[0]] * 501, "P1")])
    def test_a_request_that_is_not_the_contracts_gets_a_fault(
        self, consumer: Consumer, ids: list[PersonId], profile: str
    ) -> None:
        assert consumer.ask(ids, profile).status_code == 500

    def test_calls_within_five_minutes_of_a_failure_are_counted(self, certificates: Certificates) -> None:
        with serving(certificates, *PEOPLE) as service:
            consumer = Consumer(service, certificates)
            consumer.ask(ONE)
            service.switch = Switch.FAULT
            consumer.ask(ONE)
            assert service.too_early == 0
            service.switch = None
            consumer.ask(ONE)
            assert service.too_early == 1

    def test_it_takes_its_time_as_the_producer_may(self, certificates: Certificates) -> None:
        with serving(certificates, *PEOPLE, call_seconds=0.2, record_seconds=0.1) as service:
            begun = time.monotonic()
            Consumer(service, certificates).ask(CASES[Case.SEVERAL].asked)
            assert 0.4 <= time.monotonic() - begun < 3


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> list[Person]:
    """Every record of a synthetic PMO that is not an ordinary one, and a few that are."""
    out = tmp_path_factory.mktemp("truth")
    generate(Order(1_000), out, sqlite=out / "pmo.sqlite")
    people = read_people(out / FILE_OF_PEOPLE)
    odd = [one for one in people if replace(one, extension="", surname="", given_name="") != Person("", test=False)]
    return list(dict.fromkeys([*odd, *people[:20]]))


class TestPeopleOfTheTruth:
    """The records that a synthetic PMO comes with, over the wire."""

    def test_are_valid_by_the_schema(self, certificates: Certificates, planted: list[Person]) -> None:
        with serving(certificates, *planted) as service:
            records = Consumer(service, certificates).records([person.id for person in planted])
        assert len(records) == len(planted) > 40

    @pytest.mark.parametrize("day", [dt.date(2024, 9, 18), dt.date(2024, 9, 19), dt.date(2024, 10, 4)])
    def test_are_read_by_the_client_as_they_are_on_the_day(
        self, certificates: Certificates, planted: list[Person], day: dt.date
    ) -> None:
        with serving(certificates, *planted, today=lambda: day) as service:
            client = PersonServiceClient(address(service, certificates), MemoryRest())
            statuses = list(client.ask([person.extension for person in planted]))
        for person, status in zip(planted, statuses, strict=True):
            told = not person.since or person.since <= day.isoformat()
            assert status.deceased is (told and (person.reason == "AV" or bool(person.found_dead_at)))
            assert status.deregistered is (
                told and bool(person.reason or person.deregistered_at or person.found_dead_at)
            )
            assert status.number_changed is (person.reason == "GN" or not person.primary)
            assert (status.protected_person, status.protected_record) == (
                person.protected_person,
                person.protected_record,
            )
            assert (status.test_person, status.name is None) == (
                person.test,
                person.protected_person or not person.surname,
            )


def test_people_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_people(PEOPLE, tmp_path / "people.parquet")
    assert tuple(read_people(tmp_path / "people.parquet")) == PEOPLE


def test_keys_are_their_owners_alone_and_made_anew(tmp_path: Path) -> None:
    first = make_certificates(tmp_path).client_key.read_bytes()
    made = make_certificates(tmp_path)
    assert made.client_key.read_bytes() != first
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_the_command_serves_and_a_check_by_what_it_prints_is_answered(tmp_path: Path) -> None:
    extra = Person(ids_of(Case.NOT_EXISTING)[0], surname="Ny", reason="AV", since="2024-09-19")
    day = tmp_path / "day"

    def check(environ: dict[str, str], on: str, *ids: str) -> str:
        day.write_text(f"{on}\n")
        command = [sys.executable, "-m", "waitlist.source.pu", "--rest", tmp_path / "rest", "--check", *ids]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, env=environ, check=True).stdout

    day.write_text("2024-09-18")
    patient = Person(ids_of(Case.FAULT)[0], surname="Patientsson", test=False)
    write_people([extra, patient], tmp_path / "people.parquet")
    simulator = subprocess.Popen(
        [sys.executable, "-m", "waitlist.simulator.person_service", "--out", tmp_path / "made",
         "--people", tmp_path / "people.parquet", "--day", day],
        cwd=PROJECT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        lines = [simulator.stdout.readline().removeprefix("export ").strip() for _ in range(4)]
        told = os.environ | dict(line.split("=", 1) for line in lines)
        before = check(told, "2024-09-18", *ids_of(Case.DECEASED), extra.extension)
        later = check(told, "2024-09-19", extra.extension, patient.extension)
        deceased = simulator.stdout.readline()
    finally:
        simulator.terminate()
        assert simulator.wait(20) == 0
        simulator.stdout.close()
    assert "found, test person, deceased, found dead, deregistered (AV), has a surname" in before
    assert f"{extra.extension[8:]}: found, test person, has a surname" in before
    assert f"{extra.extension[8:]}: found, test person, deceased, deregistered (AV), has a surname" in later
    assert f"{dt.datetime.now(dt.UTC).year + 1}-" in before
    assert f"{patient.extension[8:]}: found, has a surname" in later, "a patient counts, and not a case of this number"
    assert deceased == f"export DECEASED_TEST_PERSON={ids_of(Case.DECEASED)[0]}\n"
