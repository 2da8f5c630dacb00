"""Answers of the service as XML, valid by the contract's schema."""

import re
from collections.abc import Sequence
from typing import Any, Final

from lxml import etree
from lxml.builder import ElementMaker

from waitlist.simulator.person_service.longest import FIELDS, UNKNOWN
from waitlist.simulator.person_service.people import Person, PersonId

SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
PERSON: Final = "urn:riv:strategicresourcemanagement:persons:person:5"
RESPONDER: Final = "urn:riv:strategicresourcemanagement:persons:person:GetPersonsForProfileResponder:5"
_LATER: Final = "urn:example:not-of-the-contract"
"""Of elements that a consumer must tolerate."""

Element = Any
"""Of lxml, which has no types."""

_E: Final = ElementMaker(namespace=PERSON, nsmap={"p": PERSON})
_R: Final = ElementMaker(namespace=RESPONDER, nsmap={"r": RESPONDER, "p": PERSON})
_S: Final = ElementMaker(namespace=SOAP, nsmap={"soap": SOAP})
_OWN: Final = (
    "personalIdentity", "protectedPersonIndicator", "testIndicator", "primaryIdentity", "protectedPopulationRecord",
)  # fmt: skip
_L: Final = ElementMaker(namespace=_LATER, nsmap={"later": _LATER})


def envelope(*inner: Element) -> bytes:
    """Wrap what is answered in SOAP."""
    return bytes(etree.tostring(_S.Envelope(_S.Body(*inner)), xml_declaration=True, encoding="UTF-8"))


def response(records: Sequence[Element]) -> Element:
    """Make an answer of its records."""
    return _R.GetPersonsForProfileResponse(*records)


def fault(code: str, text: str) -> Element:
    """Make a SOAP fault; ``Client`` or ``Server``."""
    made = _S.Fault()
    for tag, said in (("faultcode", f"soap:{code}"), ("faultstring", text)):
        etree.SubElement(made, tag).text = said
    return made


def requested(asked: PersonId, person: Person | None, profile: str) -> Element:
    """Make the record for an id that was asked for; without a person where the service knows none."""
    made = _R.requestedPersonRecord(_identity("requestedPersonalIdentity", asked))
    if person is None:
        return made
    fields = _fields(person, int(profile.removeprefix("P")))
    if person.longest:
        fields = {**FIELDS, **{tag: fields[tag] for tag in _OWN if tag in fields}}
    record = _element("personRecord", fields)
    if person.longest:
        record.append(_element("more", UNKNOWN, _L))
    made.append(record)
    return made


def _fields(person: Person, profile: int) -> dict[str, Any]:
    """Return the fields of a person, in the schema's order; a higher profile has all fields of a lower one."""
    hidden = person.protected_person
    fields: dict[str, Any] = {
        "personalIdentity": {"root": person.root, "extension": person.extension},
        "protectedPersonIndicator": person.protected_person,
        "testIndicator": person.test,
        "primaryIdentity": person.primary,
        "version": "20240102030405",
    }
    names = {"givenName": person.given_name, "middleName": person.middle_name, "surname": person.surname}
    if any(names.values()) and not hidden:
        fields["name"] = {tag: text for tag, text in names.items() if text}
    if person.linked:
        linked = {"root": person.linked_root, "extension": person.linked}
        # The other number's mark, and the opposite of the person's own.
        fields["linkedIdentity"] = {
            "referredPersonalIdentity": linked, "assuranceLevel": "1", "primaryIdentity": not person.primary,
        }  # fmt: skip
    if person.referred:
        fields["referredPersonalIdentities"] = {
            "referredPersonalIdentity": {"root": person.root, "extension": person.referred}
        }
    fields |= _of_profile(person, profile, hidden=hidden)
    if person.protected_record:
        fields["protectedPopulationRecord"] = True
    return fields


def _of_profile(person: Person, profile: int, *, hidden: bool) -> dict[str, Any]:
    """Return the fields of some profiles, and the deregistration, which all profiles have."""
    born = re.match("([0-9]{4})([0-9]{2})([0-9]{2})", person.extension)
    address = {"postalAddress2": "Provgatan 1", "postalCode": "10000", "city": "Provstad"}
    told: list[tuple[int, bool, str, Any]] = [
        (4, True, "birth", {"dateOfBirth": _date("-".join(born.groups()) if born else "1900")}),
        (2, False, "populationRegistrationLocality", {"countyCode": "12", "municipalityCode": "80"}),
        (5, False, "populationRegistrationRecord", {"historicalRecords": {"historicalAddress": address}}),
        (2, False, "addressInformation", {"residentialAddress": address}),
        (3, False, "contactInformation", {"contactType": "phone", "value": "000-000 00 00"}),
        (1, True, "deregistration", _deregistration(person)),
        (4, False, "maritalStatus", {"maritalStatusCode": "Ä", "maritalStatusDate": _date("2019")}),
        (4, False, "relationship", _SPOUSE),
    ]
    return {
        tag: value
        for from_profile, even_hidden, tag, value in told
        if value and profile >= from_profile and (even_hidden or not hidden)
    }


def _deregistration(person: Person) -> dict[str, Any]:
    parts = {
        "deregistrationReasonCode": person.reason,
        "deregistrationDate": _date(person.deregistered_at),
        "foundDeadAtDate": _date(person.found_dead_at),
    }
    return {tag: value for tag, value in parts.items() if value}


def _date(value: str) -> dict[str, str]:
    return {"format": {4: "YYYY", 7: "YYYY-MM"}.get(len(value), "YYYY-MM-DD"), "value": value} if value else {}


_SPOUSE: Final = {
    "relationshipId": {"dateOfBirth": _date("1900")},
    "relationshipType": "M",
    "name": {"surname": "Anhörigsson"},
    "deregistration": {"deregistrationReasonCode": "AV", "foundDeadAtDate": _date("2020-00-00")},
}
"""Somebody else, who is dead."""


def _identity(tag: str, person: PersonId) -> Element:
    return _element(tag, {"root": person.root, "extension": person.extension})


def _element(tag: str, value: Any, maker: ElementMaker = _E) -> Element:  # noqa: ANN401 - a text, a mark or elements
    if isinstance(value, bool):
        return maker(tag, str(value).lower())
    if isinstance(value, str):
        return maker(tag, value)
    inner = [
        _element(name, one, maker)
        for name, several in value.items()
        for one in (several if isinstance(several, Sequence) and not isinstance(several, str) else [several])
    ]
    return maker(tag, *inner)
