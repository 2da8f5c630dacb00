"""Reads the service's answer piece by piece, and takes of it what ``status`` holds.

The answer comes from outside. There is no document type, no entity and nothing fetched; no tree is built, so that
memory stays flat however long an answer is. An element that is not read is skipped with all that is in it, as the
contract demands of a consumer. What is read must be there as often as the contract says, and there must be one record
for each person that was asked for and none for anybody else: anything else is no answer at all.
"""

import datetime as dt
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lxml import etree

from waitlist.source.pu.messages import PERSON, PERSONNUMMER_ROOT, RESPONDER, SOAP
from waitlist.source.pu.status import NameWords, PersonStatus, Reason

MOST_BYTES: Final = 64 * 2**20
"""Far beyond 500 records with every field at its longest."""
_MOST_FAULT_BYTES: Final = 64 * 2**10
_LONGEST_TEXT: Final = 400
"""Characters of a field that is read; the longest that the contract allows has 80."""
_TRUE: Final = {"true": True, "1": True, "false": False, "0": False}
_XML_SPACE: Final = " \t\r\n"


class AnswerError(Exception):
    """An answer is not as agreed; the text says how, and quotes nothing of it."""


@dataclass(frozen=True)
class _Place:
    """An element that is read, and those in it that are."""

    name: str = ""
    inner: Mapping[str, "_Place"] = field(default_factory=dict)
    is_text: bool = False


def _within(namespace: str, **places: _Place) -> dict[str, _Place]:
    return {f"{{{namespace}}}{tag}": place for tag, place in places.items()}


def _text(name: str) -> _Place:
    return _Place(name, is_text=True)


_RECORD: Final = _Place("requestedPersonRecord", _within(
    PERSON,
    requestedPersonalIdentity=_Place("requested", _within(
        PERSON, root=_text("requested root"), extension=_text("requested extension"),
    )),
    personRecord=_Place("record", _within(
        PERSON,
        personalIdentity=_Place("identity", _within(PERSON, root=_text("root"), extension=_text("extension"))),
        protectedPersonIndicator=_text("protectedPersonIndicator"),
        protectedPopulationRecord=_text("protectedPopulationRecord"),
        testIndicator=_text("testIndicator"),
        primaryIdentity=_text("primaryIdentity"),
        name=_Place("name", _within(PERSON, surname=_text("surname"), middleName=_text("middleName"))),
        deregistration=_Place("deregistration", _within(
            PERSON,
            deregistrationReasonCode=_text("deregistrationReasonCode"),
            foundDeadAtDate=_Place("foundDeadAtDate"),
        )),
    )),
))  # fmt: skip
_RESPONSE: Final = _Place("response", _within(RESPONDER, requestedPersonRecord=_RECORD))
_ANSWER: Final = _Place("", _within(SOAP, Envelope=_Place("envelope", _within(SOAP, Body=_Place("body", {
    **_within(SOAP, Fault=_Place("fault")),
    **_within(RESPONDER, GetPersonsForProfileResponse=_RESPONSE),
})))))  # fmt: skip
_IN_A_RECORD: Final = 5
"""Elements that are open while one of a record begins."""

_FAULT: Final = _Place("", _within(SOAP, Envelope=_Place("envelope", _within(SOAP, Body=_Place("body", _within(
    SOAP, Fault=_Place("fault", {"faultcode": _text("faultcode"), "faultstring": _text("faultstring")}),
))))))  # fmt: skip
_FAULT_CODES: Final = ("Client", "Server", "VersionMismatch", "MustUnderstand")
_PLATFORM_CODE: Final = re.compile(r"(?<![A-Za-z0-9])VP[0-9]{3}(?![A-Za-z0-9])")
"""How the national platform numbers its faults; what may stand around it is never told."""


class _Reading:
    """The events that lxml reports while it reads a document; one object for each answer."""

    def __init__(self, root: _Place) -> None:
        self._open: list[_Place | None] = [root]
        self._text: list[str] | None = None
        self._length = 0
        self.found: dict[str, str] = {}

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:  # noqa: ARG002 - as lxml calls it
        """An element begins."""
        parent = self._open[-1]
        place = None if parent is None else parent.inner.get(tag)
        self._open.append(place)
        if place is not None:
            self.begin(place)
            if place.is_text:
                self._text, self._length = [], 0

    def data(self, text: str) -> None:
        """A piece of text."""
        place = self._open[-1]
        if self._text is None or place is None or not place.is_text:
            return
        self._length += len(text)
        if self._length > _LONGEST_TEXT:
            self.too_long()
        else:
            self._text.append(text)

    def end(self, tag: str) -> None:  # noqa: ARG002 - as lxml calls it
        """An element ends."""
        place = self._open.pop()
        if place is None:
            return
        if place.is_text:
            self.found[place.name] = "".join(self._text or ()).strip(_XML_SPACE)
            self._text = None
        self.finish(place)

    def doctype(self, name: str | None, public: str | None, system: str | None) -> None:  # noqa: ARG002
        """A document type: SOAP forbids it, and everything dangerous in XML begins with it."""
        raise AnswerError("it has a document type")

    def close(self) -> None:
        """The parser is done, by the document's end or by an error: lxml wants this method."""

    def begin(self, place: _Place) -> None:
        """An element that is read begins."""

    def finish(self, place: _Place) -> None:
        """An element that is read has ended."""

    def too_long(self) -> None:
        """A text is longer than anything that the contract allows; no more of it is kept."""

    def complete(self) -> None:
        """The document has ended as it should."""


class _AnswerReading(_Reading):
    """The statuses in an answer.

    Args:
        asked: the persons that were asked for.
        asked_at: when.
    """

    def __init__(self, asked: Collection[str], asked_at: dt.datetime) -> None:
        super().__init__(_ANSWER)
        self._asked_at = asked_at
        self._missing = set(asked)
        self._asked = frozenset(asked)
        self._responses = 0
        self._seen: set[str] = set()
        self.statuses: dict[str, PersonStatus] = {}

    def begin(self, place: _Place) -> None:
        if place.name == "fault":
            raise AnswerError("it is a fault")
        if place is _RESPONSE:
            self._responses += 1
        elif place is _RECORD:
            self._seen.clear()
            self.found.clear()
        elif len(self._open) > _IN_A_RECORD:
            if place.name in self._seen:
                raise AnswerError(f"a record has two elements {place.name}")
            self._seen.add(place.name)

    def finish(self, place: _Place) -> None:
        if place is not _RECORD:
            return
        person_id = self.found.get("requested extension", "")
        if self.found.get("requested root") != PERSONNUMMER_ROOT or person_id not in self._asked:
            raise AnswerError("there is a record for a person who was not asked for")
        if person_id not in self._missing:
            raise AnswerError("there are two records for one person")
        self._missing.remove(person_id)
        self.statuses[person_id] = self._status(person_id)

    def too_long(self) -> None:
        raise AnswerError("a field is longer than the contract allows")

    def complete(self) -> None:
        if self._responses != 1:
            raise AnswerError("it is no answer of GetPersonsForProfile")
        if self._missing:
            raise AnswerError(f"{len(self._missing)} of {len(self._asked)} persons have no record")

    def _status(self, person_id: str) -> PersonStatus:
        if "record" not in self._seen:
            return PersonStatus(person_id, self._asked_at, found=False)
        if (self.found.get("root"), self.found.get("extension")) != (PERSONNUMMER_ROOT, person_id):
            raise AnswerError("a record is about another person than the one it was requested for")
        surname = self.found.get("surname")
        return PersonStatus(
            person_id,
            self._asked_at,
            found=True,
            protected_person=self._flag("protectedPersonIndicator"),
            protected_record="protectedPopulationRecord" in self.found and self._flag("protectedPopulationRecord"),
            test_person=self._flag("testIndicator"),
            primary=self._flag("primaryIdentity"),
            deregistered="deregistration" in self._seen,
            reason=_reason(self.found.get("deregistrationReasonCode")),
            found_dead="foundDeadAtDate" in self._seen,
            name=NameWords(surname, self.found.get("middleName", "")) if surname else None,
        )

    def _flag(self, name: str) -> bool:
        flag = _TRUE.get(self.found.get(name, ""))
        if flag is None:
            raise AnswerError(f"a record has no {name} that is true or false")
        return flag


def _reason(code: str | None) -> Reason | None:
    if not code:
        return None
    try:
        return Reason(code)
    except ValueError:
        return Reason.UNKNOWN


def read_answer(
    pieces: Iterable[bytes], asked: Collection[str], asked_at: dt.datetime, most_bytes: int = MOST_BYTES
) -> list[PersonStatus]:
    """Read an answer to its end.

    Args:
        pieces: of the answer, in order.
        asked: the persons that were asked for, each once.
        asked_at: when the call began.
        most_bytes: that an answer may have.

    Returns:
        one status for each person, in the order in which they were asked for.

    Raises:
        AnswerError: the answer is not as agreed, or not whole. Nothing of it counts then.
    """
    reading = _AnswerReading(asked, asked_at)
    _parse(pieces, reading, most_bytes)
    return [reading.statuses[person_id] for person_id in asked]


def read_fault(pieces: Iterable[bytes]) -> str:
    """Return the parts of a fault that may be reported: codes of closed sets, never its text.

    Returns:
        ``fault Server, VP007``, with the parts that are there; empty where it is no fault.
    """
    reading = _Reading(_FAULT)
    try:
        _parse(pieces, reading, _MOST_FAULT_BYTES)
    except AnswerError:
        return ""
    code = reading.found.get("faultcode", "").rpartition(":")[2]
    told = ["fault " + code if code in _FAULT_CODES else "fault"] if "faultcode" in reading.found else []
    told += _PLATFORM_CODE.findall(reading.found.get("faultstring", ""))[:1]
    return ", ".join(told)


def _parse(pieces: Iterable[bytes], reading: _Reading, most_bytes: int) -> None:
    parser: Any = etree.XMLParser(
        target=reading, resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False
    )
    left = most_bytes
    try:
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                raise AnswerError(f"it is longer than {most_bytes:,} bytes")
            parser.feed(piece)
        parser.close()
    except etree.LxmlError:
        is_xml = False
    else:
        is_xml = True
    # Not raised where the parser's error is caught: that one quotes the answer, and would be kept as the context.
    if not is_xml:
        raise AnswerError("it is no whole and well-formed XML")
    reading.complete()
