"""The request: SOAP 1.1, document/literal, and the names of the contract."""

import re
from collections.abc import Sequence
from typing import Final

from lxml import etree

MOST_IDS: Final = 500
"""Persons in one call, by the contract."""
PERSONNUMMER_ROOT: Final = "1.2.752.129.2.1.3.1"

SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
REGISTRY: Final = "urn:riv:itintegration:registry:1"
PERSON: Final = "urn:riv:strategicresourcemanagement:persons:person:5"
RESPONDER: Final = "urn:riv:strategicresourcemanagement:persons:person:GetPersonsForProfileResponder:5"

HEADERS: Final = {
    "Content-Type": "text/xml; charset=utf-8",
    "SOAPAction": f'"{RESPONDER}:GetPersonsForProfile"',
    # What comes compressed could grow without limit while it is unpacked.
    "Accept-Encoding": "identity",
}

_TWELVE_DIGITS: Final = re.compile("[0-9]{12}", re.ASCII)


def is_person_id(text: str) -> bool:
    """Tell whether a text has the form of a number that the service can be asked for."""
    return _TWELVE_DIGITS.fullmatch(text) is not None


def write_request(ids: Sequence[str], profile: str, logical_address: str) -> bytes:
    """Write the request for up to 500 persons.

    Args:
        ids: twelve digits each.
        profile: how much the service is to tell, ``P1`` to ``P5``.
        logical_address: by which the national platform routes the call.
    """
    envelope = etree.Element(f"{{{SOAP}}}Envelope", nsmap={"soap": SOAP, "reg": REGISTRY, "r": RESPONDER, "p": PERSON})
    header = etree.SubElement(envelope, f"{{{SOAP}}}Header")
    etree.SubElement(header, f"{{{REGISTRY}}}LogicalAddress").text = logical_address
    body = etree.SubElement(envelope, f"{{{SOAP}}}Body")
    request = etree.SubElement(body, f"{{{RESPONDER}}}GetPersonsForProfile")
    for person_id in ids:
        asked = etree.SubElement(request, f"{{{RESPONDER}}}personId")
        etree.SubElement(asked, f"{{{PERSON}}}root").text = PERSONNUMMER_ROOT
        etree.SubElement(asked, f"{{{PERSON}}}extension").text = person_id
    etree.SubElement(request, f"{{{RESPONDER}}}profile").text = profile
    # The record of the number that was asked for, and not of the one that it refers to.
    etree.SubElement(request, f"{{{RESPONDER}}}ignoreReferredIdentity").text = "true"
    return bytes(etree.tostring(envelope, xml_declaration=True, encoding="UTF-8"))
