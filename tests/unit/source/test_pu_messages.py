"""The request: valid by the schema, and what the contract demands beyond it."""

import datetime as dt

from lxml import etree
from tests.support import official_numbers
from tests.support.person_schema import faults_by_schema

from waitlist.source.pu.messages import HEADERS, MOST_IDS, is_person_id, write_request

IDS = [official_numbers.number(dt.date(1985, 5, 1) + dt.timedelta(days), 238) for days in range(MOST_IDS)]
NAMES = {
    "s": "http://schemas.xmlsoap.org/soap/envelope/",
    "reg": "urn:riv:itintegration:registry:1",
    "r": "urn:riv:strategicresourcemanagement:persons:person:GetPersonsForProfileResponder:5",
    "p": "urn:riv:strategicresourcemanagement:persons:person:5",
}


def test_is_valid_by_the_schema_for_one_and_for_five_hundred() -> None:
    for ids in (IDS[:1], IDS):
        assert faults_by_schema(write_request(ids, "P1", "SE0000000000-1")) == []


def test_asks_for_each_number_as_a_personnummer_and_for_its_own_record() -> None:
    request = etree.fromstring(write_request(IDS[:3], "P2", "SE0000000000-1"))
    asked = request.findall("s:Body/r:GetPersonsForProfile/r:personId", NAMES)
    assert [one.findtext("p:extension", namespaces=NAMES) for one in asked] == IDS[:3]
    assert {one.findtext("p:root", namespaces=NAMES) for one in asked} == {"1.2.752.129.2.1.3.1"}
    assert request.findtext("s:Body/r:GetPersonsForProfile/r:profile", namespaces=NAMES) == "P2"
    assert request.findtext("s:Body/r:GetPersonsForProfile/r:ignoreReferredIdentity", namespaces=NAMES) == "true"
    assert request.findtext("s:Header/reg:LogicalAddress", namespaces=NAMES) == "SE0000000000-1"


def test_the_action_is_the_contracts() -> None:
    assert HEADERS["SOAPAction"] == f'"{NAMES["r"]}:GetPersonsForProfile"'
    assert HEADERS["Content-Type"] == "text/xml; charset=utf-8"


def test_a_person_id_is_twelve_ascii_digits_and_nothing_more() -> None:
    assert is_person_id(IDS[0])
    for text in (IDS[0][2:], f"{IDS[0]}\n", f" {IDS[0]}", f"{IDS[0][:8]}-{IDS[0][8:]}", "１" * 12, ""):
        assert not is_person_id(text)
