"""Answers: strict about what counts, tolerant of everything else, and silent about what they say."""

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.support import official_numbers
from tests.support.errors import texts_of

from waitlist.paths import PROJECT
from waitlist.source.pu.answers import AnswerError, read_answer, read_fault
from waitlist.source.pu.status import PersonStatus, Reason

NOW = dt.datetime(2024, 10, 1, tzinfo=dt.UTC)
A, B = (official_numbers.number(dt.date(1985, 5, day), 238) for day in (1, 2))
OPENING = (
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:r="urn:riv:strategicresourcemanagement:persons:person:GetPersonsForProfileResponder:5"'
    ' xmlns="urn:riv:strategicresourcemanagement:persons:person:5" xmlns:x="urn:x"><s:Body>'
)
CLOSING = "</s:Body></s:Envelope>"
FLAGS = (
    "<protectedPersonIndicator>false</protectedPersonIndicator>"
    "<testIndicator>0</testIndicator><primaryIdentity>1</primaryIdentity>"
)
SECRET = "Hemligsson"


def identity(tag: str, number: str, root: str = "1.2.752.129.2.1.3.1") -> str:
    return f"<{tag}><root>{root}</root><extension>{number}</extension></{tag}>"


def record(number: str = A, inner: str = "", flags: str = FLAGS, about: str | None = None) -> str:
    person = f"<personRecord>{identity('personalIdentity', about or number)}{flags}{inner}</personRecord>"
    return requested(number, person)


def requested(number: str, person: str = "", root: str = "1.2.752.129.2.1.3.1") -> str:
    asked = identity("requestedPersonalIdentity", number, root)
    return f"<r:requestedPersonRecord>{asked}{person}</r:requestedPersonRecord>"


def answer(*records: str) -> bytes:
    inner = "".join(records)
    wrapped = f"<r:GetPersonsForProfileResponse>{inner}</r:GetPersonsForProfileResponse>"
    return f"<?xml version='1.0' encoding='UTF-8'?>{OPENING}{wrapped}{CLOSING}".encode()


def read(content: bytes, *asked: str, piece: int = 5) -> list[PersonStatus]:
    """Read an answer that comes in pieces, so that none of them is anything whole."""
    pieces = (content[place : place + piece] for place in range(0, len(content), piece))
    return read_answer(pieces, asked or (A,), NOW)


def refused(content: bytes, *asked: str) -> str:
    with pytest.raises(AnswerError) as caught:
        read(content, *asked)
    assert caught.value.__context__ is None, "what the parser said could be written to a log with this"
    told = texts_of(caught.value)
    assert not any(secret in told for secret in (A, B, SECRET))
    return str(caught.value)


class TestWhatIsTaken:
    def test_a_person_of_whom_nothing_is_to_be_said(self) -> None:
        assert read(answer(record())) == [PersonStatus(A, NOW, found=True)]

    def test_a_person_who_is_not_known(self) -> None:
        assert read(answer(requested(A))) == [PersonStatus(A, NOW, found=False)]

    def test_the_marks(self) -> None:
        flags = (
            "<protectedPersonIndicator> 1 </protectedPersonIndicator><testIndicator>true</testIndicator>"
            "<primaryIdentity>false</primaryIdentity>"
        )
        inner = "<protectedPopulationRecord>true</protectedPopulationRecord>"
        (status,) = read(answer(record(flags=flags, inner=inner)))
        assert status.protected_person
        assert status.protected_record
        assert status.test_person
        assert not status.primary

    @pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.UNKNOWN])
    def test_each_reason(self, reason: Reason) -> None:
        inner = f"<deregistration><deregistrationReasonCode>{reason}</deregistrationReasonCode></deregistration>"
        (status,) = read(answer(record(inner=inner)))
        assert (status.deregistered, status.reason) == (True, reason)

    def test_a_reason_that_the_contract_does_not_name_is_not_kept(self) -> None:
        inner = f"<deregistration><deregistrationReasonCode>{SECRET}</deregistrationReasonCode></deregistration>"
        (status,) = read(answer(record(inner=inner)))
        assert (status.deregistered, status.reason) == (True, Reason.UNKNOWN)

    def test_a_deregistration_without_a_reason(self) -> None:
        (status,) = read(answer(record(inner="<deregistration/>")))
        assert (status.deregistered, status.reason, status.deceased) == (True, None, False)

    @pytest.mark.parametrize("date", ["2024", "2024-05", "2024-05-00", "0000-00-00"])
    def test_a_date_at_which_the_person_was_found_dead_however_exact(self, date: str) -> None:
        found = f"<foundDeadAtDate><format>YYYY</format><value>{date}</value></foundDeadAtDate>"
        (status,) = read(answer(record(inner=f"<deregistration>{found}</deregistration>")))
        assert status.deceased

    def test_a_name_to_compare_with(self) -> None:
        inner = "<name><givenName>Anna</givenName><middleName>Mellan</middleName><surname>Ek</surname></name>"
        (status,) = read(answer(record(inner=inner)))
        assert status.name is not None
        assert status.name.occur_in("Anna Mellan")
        assert status.name.occur_in("Anna Ek")
        assert not status.name.occur_in("Anna Lind")

    @pytest.mark.parametrize(
        "inner", ["", "<name/>", "<name><middleName>Ek</middleName></name>", "<name><surname> </surname></name>"]
    )
    def test_no_name_where_there_is_no_surname(self, inner: str) -> None:
        (status,) = read(answer(record(inner=inner)))
        assert status.name is None

    def test_the_order_is_that_of_the_asking(self) -> None:
        assert [status.person_id for status in read(answer(record(B), record(A)), A, B)] == [A, B]

    def test_nothing_is_carried_from_one_record_to_the_next(self) -> None:
        dead = "<deregistration><deregistrationReasonCode>AV</deregistrationReasonCode></deregistration>"
        first = record(A, dead + "<name><surname>Ek</surname></name>")
        (_, second) = read(answer(first, record(B)), A, B)
        assert second == PersonStatus(B, NOW, found=True)
        assert second.name is None


class TestWhatIsSomebodyElses:
    """Elements of the same names occur in other places of a record, and concern other persons there."""

    @pytest.mark.parametrize(
        "inner",
        [
            "<relationship><deregistration><deregistrationReasonCode>AV</deregistrationReasonCode></deregistration>"
            "<name><surname>Ek</surname></name></relationship>",
            "<linkedIdentity><primaryIdentity>false</primaryIdentity></linkedIdentity>",
            "<x:deregistration/>",
            "<x:more><deregistration/><primaryIdentity>false</primaryIdentity></x:more>",
            "<later><personRecord><deregistration/></personRecord></later>",
        ],
    )
    def test_does_not_count(self, inner: str) -> None:
        (status,) = read(answer(record(inner=inner)))
        assert status == PersonStatus(A, NOW, found=True)
        assert status.name is None

    def test_a_record_within_an_element_that_is_not_known_is_none(self) -> None:
        assert "1 of 1 persons have no record" in refused(answer(f"<x:more>{record()}</x:more>"))


class TestUnknownElements:
    def test_are_tolerated_everywhere(self) -> None:
        more = f"<x:more a='b'>text<x:inner>{SECRET}</x:inner></x:more>"
        content = answer(more, record(inner=more + "<birth><dateOfBirth/></birth>"), more)
        content = content.replace(b"<s:Body>", f"<s:Header>{more}</s:Header><s:Body>".encode())
        assert read(content) == [PersonStatus(A, NOW, found=True)]

    def test_comments_and_instructions_divide_nothing(self) -> None:
        content = answer(record()).replace(A.encode(), f"{A[:6]}<!-- x --><?x y?>{A[6:]}".encode())
        assert read(content) == [PersonStatus(A, NOW, found=True)]


class TestOneRecordForEach:
    def test_none(self) -> None:
        assert refused(answer(record(A)), A, B) == "1 of 2 persons have no record"
        assert refused(answer(), A, B) == "2 of 2 persons have no record"

    def test_two(self) -> None:
        assert refused(answer(record(A), record(B), record(A)), A, B) == "there are two records for one person"

    def test_one_for_somebody_else(self) -> None:
        assert refused(answer(record(A), record(B)), A) == "there is a record for a person who was not asked for"

    def test_one_whose_number_is_of_another_kind(self) -> None:
        assert "not asked for" in refused(answer(requested(A, root="1.2.752.129.2.1.3.3")))

    def test_one_without_a_number(self) -> None:
        assert "not asked for" in refused(answer("<r:requestedPersonRecord/>"))

    def test_one_that_is_about_somebody_else(self) -> None:
        assert "about another person" in refused(answer(record(A, about=B)))


class TestARecordMust:
    @pytest.mark.parametrize("name", ["protectedPersonIndicator", "testIndicator", "primaryIdentity"])
    @pytest.mark.parametrize("value", [None, "", "ja", "TRUE", SECRET])
    def test_have_each_mark(self, name: str, value: str | None) -> None:
        before, _, rest = FLAGS.partition(f"<{name}>")
        after = rest.partition(f"</{name}>")[2]
        flags = before + ("" if value is None else f"<{name}>{value}</{name}>") + after
        assert refused(answer(record(flags=flags))) == f"a record has no {name} that is true or false"

    @pytest.mark.parametrize("twice", [FLAGS, "<name/><name/>", "<deregistration/><deregistration/>"])
    def test_have_nothing_twice(self, twice: str) -> None:
        assert "a record has two elements" in refused(answer(record(inner=twice)))

    def test_have_no_field_without_end(self) -> None:
        inner = f"<name><surname>{SECRET * 1_000}</surname></name>"
        assert refused(answer(record(inner=inner))) == "a field is longer than the contract allows"


class TestWhatIsNoAnswer:
    def test_any_beginning_of_one(self) -> None:
        content = answer(record(inner=f"<name><surname>{SECRET}</surname></name>"))
        for length in range(len(content)):
            assert refused(content[:length])

    @pytest.mark.parametrize(
        "content",
        [b"", b"   ", SECRET.encode(), f"<html>{SECRET}</html>".encode(), f"<{SECRET}></a>".encode(), b"\x00\xff"],
    )
    def test_something_else(self, content: bytes) -> None:
        assert refused(content) in {"it is no whole and well-formed XML", "it is no answer of GetPersonsForProfile"}

    def test_two_in_one(self) -> None:
        response = answer(record()).decode().partition("<s:Body>")[2].partition("</s:Body>")[0]
        assert refused(f"{OPENING}{response}{response.replace(A, B)}{CLOSING}".encode(), A, B)

    def test_a_fault(self) -> None:
        fault = f"<s:Fault><faultcode>s:Server</faultcode><faultstring>{SECRET} {A}</faultstring></s:Fault>"
        assert refused(f"{OPENING}{fault}{CLOSING}".encode()) == "it is a fault"

    @pytest.mark.parametrize(
        "doctype",
        [
            "<!DOCTYPE x>",
            '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
            '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY e "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
            '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p.dtd"> %p;]>',
        ],
    )
    def test_one_with_a_document_type(self, doctype: str) -> None:
        content = answer(record(inner="<name><surname>&e;</surname></name>"))
        content = content.replace(b"<s:Envelope", f"{doctype}<s:Envelope".encode(), 1)
        assert refused(content) == "it has a document type"

    def test_one_longer_than_it_may_be(self) -> None:
        with pytest.raises(AnswerError, match="longer than 100 bytes"):
            read_answer([answer(record())], [A], NOW, most_bytes=100)

    def test_nesting_without_end(self) -> None:
        assert refused(answer("<x:a>" * 100_000))


MEMORY = """
import datetime as dt, resource
from tests.unit.source.test_pu_answers import A, NOW, CLOSING, OPENING, record
from waitlist.source.pu.answers import read_answer

def pieces(count):
    start, _, rest = record(A).partition("</personRecord>")
    yield (OPENING + "<r:GetPersonsForProfileResponse>" + start).encode()
    for place in range(count):
        yield b"<attachment a='b'><value>" + b"QUJD" * 4000 + b"</value></attachment>"
    yield ("</personRecord>" + rest + "</r:GetPersonsForProfileResponse>" + CLOSING).encode()

read_answer(pieces(10), [A], NOW)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_answer(pieces(3_900), [A], NOW)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_flat_however_long_an_answer_is() -> None:
    grown = subprocess.run(
        [sys.executable, "-c", MEMORY], cwd=PROJECT, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert int(grown.stdout) < 2_000, "kB more for an answer of 62 MB"


class TestFaults:
    def fault(self, inner: str) -> list[bytes]:
        return [f"{OPENING}<s:Fault>{inner}</s:Fault>{CLOSING}".encode()]

    @pytest.mark.parametrize(
        ("code", "text", "told"),
        [
            ("s:Server", f"VP007 not allowed: {SECRET} {A}", "fault Server, VP007"),
            ("s:Client", f"{SECRET} {A}", "fault Client"),
            (f"s:{SECRET}", f"{A}", "fault"),
            ("s:Server", f"VP{A} XVP007 VP007A VP0071", "fault Server"),
            ("s:Server", f"{SECRET}: (VP009) and VP001", "fault Server, VP009"),
        ],
    )
    def test_only_codes_are_told(self, code: str, text: str, told: str) -> None:
        inner = (
            f"<faultcode xmlns=''>{code}</faultcode><faultstring xmlns=''>{text}</faultstring><detail>{SECRET}</detail>"
        )
        assert read_fault(self.fault(inner)) == told

    @pytest.mark.parametrize("content", [b"", b"<html>", SECRET.encode(), b"<!DOCTYPE a><a/>"])
    def test_of_anything_else_nothing_is(self, content: bytes) -> None:
        assert read_fault([content]) == ""

    def test_one_without_end_is_left(self) -> None:
        def endless() -> Iterator[bytes]:
            yield f"{OPENING}<s:Fault><faultstring>".encode()
            while True:
                yield b"x" * 1_000

        assert read_fault(endless()) == ""
