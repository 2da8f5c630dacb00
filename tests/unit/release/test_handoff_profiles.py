"""What each file of a hand-off says of a post, to the letter, and that FHIR's own rules take it."""

import csv
import datetime as dt
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import fhir

from waitlist.release.handoff import PROFILES, appointments, booking_csv, millennium
from waitlist.release.handoff.content import Content

ROW: dict[str, Any] = {
    "post_id": 4711,
    "enhet_hsa_id": "SE2120009999-DEMO1",
    "person_id": "191212121212",
    "begard_plats": "Vårdcentralen Strandvägen",
    "patientnamn": "Tolvan Tolvansson",
    "begart_startdatum": dt.date(2025, 3, 30),
    "begart_slutdatum": dt.date(2025, 10, 26),
    "besokstyp": "SDV Pv Ssk Återbesök (diabetes)",
    "vardinrattning": "Strandvägen",
    "beskrivning": 'Orsak: "kontroll", årlig | =1+1',
    "sekretess": True,
    "protected_by": "PMO",
}
PLAIN = {**ROW, "beskrivning": None, "sekretess": False, "vardinrattning": None}
REFERENCES = {
    ("plats", ROW["begard_plats"]): "21304876",
    ("besokstyp", ROW["besokstyp"]): "https://fhir.example.invalid/codeSet/14249|4047611",
}
CONTENT = Content("urn:waitlist:post", REFERENCES)
PERIOD = {"start": "2025-03-30T00:00:00+01:00", "end": "2025-10-26T23:59:59+01:00"}
"""The clock goes forward on the first day and back on the last: each moment has its own offset."""


def lines(profile: Any, *rows: dict[str, Any], content: Content = CONTENT) -> bytes:
    handed = profile.profile(content)
    assert handed.lines is not None
    return handed.head + handed.lines(rows)


def test_the_csv_has_chapter_6s_columns_and_values_as_they_are() -> None:
    content = lines(booking_csv, ROW, PLAIN)
    assert content.startswith(b"\xef\xbb\xbfPost-id,")
    assert list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)) == [
        ["Post-id", "Person-ID", "Begärd plats", "Patientnamn", "Begärt startdatum", "Begärt slutdatum", "Besökstyp",
         "Vårdinrättning", "Beskrivning", "Sekretess"],
        ["4711", "191212121212", "Vårdcentralen Strandvägen", "Tolvan Tolvansson", "2025-03-30", "2025-10-26",
         "SDV Pv Ssk Återbesök (diabetes)", "Strandvägen", 'Orsak: "kontroll", årlig | =1+1', "Ja"],
        ["4711", "191212121212", "Vårdcentralen Strandvägen", "Tolvan Tolvansson", "2025-03-30", "2025-10-26",
         "SDV Pv Ssk Återbesök (diabetes)", "", "", "Nej"],
    ]  # fmt: skip


def test_an_appointment_for_any_receiver() -> None:
    whole, plain = lines(appointments, ROW, PLAIN).splitlines()
    assert fhir.appointment(whole) == {
        "resourceType": "Appointment",
        "meta": {
            "security": [
                {"system": "http://hl7.se/fhir/ig/base/CodeSystem/SecurityLabel", "code": "sekretessmarkering"}
            ]
        },
        "identifier": [{"system": "urn:waitlist:post", "value": "4711"}],
        "status": "proposed",
        "serviceType": [{"text": ROW["besokstyp"]}],
        "comment": ROW["beskrivning"],
        "participant": [
            {
                "actor": {
                    "type": "Patient",
                    "identifier": {
                        "system": "http://electronichealth.se/identifier/personnummer",
                        "value": "191212121212",
                    },
                },
                "status": "needs-action",
            },
            {
                "actor": {
                    "type": "Location",
                    "identifier": {"system": "urn:oid:1.2.752.29.4.19", "value": "SE2120009999-DEMO1"},
                },
                "status": "needs-action",
            },
        ],
        "requestedPeriod": [PERIOD],
    }
    assert fhir.appointment(plain).keys() == fhir.appointment(whole).keys() - {"meta", "comment"}


@pytest.mark.parametrize(
    ("protected_by", "marked", "recorded", "codes"),
    [
        ("PMO", False, False, ["sekretessmarkering"]),
        (None, False, False, ["sekretessmarkering"]),
        ("PU", True, False, ["sekretessmarkering"]),
        ("PU", False, True, ["skyddadFolkbokforing"]),
        ("PU", True, True, ["sekretessmarkering", "skyddadFolkbokforing"]),
        ("PMO, PU", False, True, ["sekretessmarkering", "skyddadFolkbokforing"]),
    ],
)
def test_each_kind_of_protection_has_its_label(
    protected_by: str | None, marked: bool, recorded: bool, codes: list[str]
) -> None:
    number = {ROW["person_id"]}
    content = Content("urn:waitlist:post", {}, (), number if marked else set(), number if recorded else set())
    (line,) = lines(appointments, {**ROW, "protected_by": protected_by}, content=content).splitlines()
    assert [label["code"] for label in fhir.appointment(line)["meta"]["security"]] == codes
    (plain,) = lines(appointments, {**PLAIN, "protected_by": protected_by}, content=content).splitlines()
    assert "meta" not in fhir.appointment(plain)


def test_what_millenniums_create_takes_and_nothing_else() -> None:
    whole, plain = map(json.loads, lines(millennium, ROW, PLAIN).splitlines())
    resource = whole.pop("resource")
    assert whole == {"post_id": 4711, "personnummer": "191212121212", "sekretess": True}
    assert fhir.appointment(json.dumps(resource)) == {
        "resourceType": "Appointment",
        "status": "proposed",
        "serviceType": [
            {"coding": [{"system": "https://fhir.example.invalid/codeSet/14249", "code": "4047611"}]}
        ],
        "comment": ROW["beskrivning"],
        "participant": [
            {"actor": {"reference": "Patient/{{id}}"}, "status": "needs-action"},
            {"actor": {"reference": "Location/21304876"}, "status": "needs-action"},
        ],
        "requestedPeriod": [PERIOD],
    }  # fmt: skip
    assert plain["resource"].keys() == resource.keys() - {"comment"}


def test_millenniums_file_waits_for_every_reference() -> None:
    missing = Content("urn:waitlist:post", {}, [("plats", "Vårdcentralen Strandvägen")])
    assert [made(missing).file for made in PROFILES if made(missing).lines is None] == ["millennium.ndjson"]


@pytest.mark.parametrize(
    ("change", "invariant"),
    [
        ({"participant": [{"status": "needs-action"}]}, "app-1"),
        ({"start": "2025-01-01T00:00:00Z"}, "app-2"),
        ({"status": "booked"}, "app-3"),
        ({"cancelationReason": {"text": "x"}}, "app-4"),
    ],
)
def test_the_invariants_refuse_what_breaks_them(change: dict[str, Any], invariant: str) -> None:
    resource = {**json.loads(lines(appointments, ROW)), **change}
    assert fhir.broken(resource) == [invariant]


@given(
    text=st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip),
    first=st.dates(dt.date(2000, 1, 1), dt.date(2199, 12, 31)),
    days=st.integers(0, 400),
)
def test_any_text_and_window_is_one_valid_line(text: str | None, first: dt.date, days: int) -> None:
    row = {**ROW, "beskrivning": text, "begart_startdatum": first, "begart_slutdatum": first + dt.timedelta(days)}
    for profile in (appointments, millennium):
        (line,) = lines(profile, row).split(b"\n")[:-1]
        told = json.loads(line)
        resource = told.get("resource", told)
        fhir.appointment(json.dumps(resource))
        assert resource.get("comment") == (text or None)
    (_, cells) = csv.reader(io.StringIO(lines(booking_csv, row).decode("utf-8-sig"), newline=""), strict=True)
    assert cells[8] == (text or "")
