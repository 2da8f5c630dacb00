"""``appointments.ndjson``: FHIR R4 ``Appointment`` resources for any receiver.

Patients and units have the identifiers of the Swedish base profiles, so the receiver needs no table of ours.
"""

from collections.abc import Sequence
from typing import Any, Final

from waitlist.release.handoff import fhir
from waitlist.release.handoff.content import PROTECTED_BY, UNIT, Content, Handed, Row

FILE: Final = "appointments.ndjson"

_PERSON: Final = "http://electronichealth.se/identifier/personnummer"
_HSA: Final = "urn:oid:1.2.752.29.4.19"
_LABELS: Final = "http://hl7.se/fhir/ig/base/CodeSystem/SecurityLabel"
_MARKED: Final = "sekretessmarkering"
_RECORDED: Final = "skyddadFolkbokforing"
_PMO: Final = "PMO"


def profile(content: Content) -> Handed:
    """Return the file."""

    def lines(rows: Sequence[Row]) -> bytes:
        return fhir.ndjson([_appointment(row, content) for row in rows])

    return Handed(FILE, lines)


def _appointment(row: Row, content: Content) -> dict[str, Any]:
    proposed = fhir.proposed(
        row,
        service_type={"text": row["besokstyp"]},
        participants=(
            {"type": "Patient", "identifier": {"system": _PERSON, "value": row["person_id"]}},
            {"type": "Location", "identifier": {"system": _HSA, "value": row[UNIT]}},
        ),
    )
    labels = [{"system": _LABELS, "code": code} for code in _codes(row, content)]
    security = {"meta": {"security": labels}} if labels else {}
    identifier = {"identifier": [{"system": content.post_system, "value": str(row["post_id"])}]}
    return {"resourceType": proposed.pop("resourceType"), **security, **identifier, **proposed}


def _codes(row: Row, content: Content) -> list[str]:
    """Return the labels of a protected identity; without a known source it is a sekretessmarkering."""
    if not row["sekretess"]:
        return []
    by_pmo = _PMO in (row[PROTECTED_BY] or "").split(", ")
    recorded = row["person_id"] in content.recorded
    marked = by_pmo or row["person_id"] in content.marked or not recorded
    return [code for code, there in ((_MARKED, marked), (_RECORDED, recorded)) if there]
