"""``appointments.ndjson``: FHIR R4 ``Appointment`` resources for any receiver.

Patients and units have the identifiers of the Swedish base profiles, so the receiver needs no table of ours.
"""

from collections.abc import Sequence
from typing import Any, Final

from waitlist.release.handoff import fhir
from waitlist.release.handoff.content import UNIT, Content, Handed, Row

FILE: Final = "appointments.ndjson"

_PERSON: Final = "http://electronichealth.se/identifier/personnummer"
_HSA: Final = "urn:oid:1.2.752.29.4.19"
_LABELS: Final = "http://hl7.se/fhir/ig/base/CodeSystem/SecurityLabel"
_PROTECTED: Final = "sekretessmarkering"


def profile(content: Content) -> Handed:
    """Return the file."""

    def lines(rows: Sequence[Row]) -> bytes:
        return fhir.ndjson([_appointment(row, content.post_system) for row in rows])

    return Handed(FILE, lines)


def _appointment(row: Row, post_system: str) -> dict[str, Any]:
    proposed = fhir.proposed(
        row,
        service_type={"text": row["besokstyp"]},
        participants=(
            {"type": "Patient", "identifier": {"system": _PERSON, "value": row["person_id"]}},
            {"type": "Location", "identifier": {"system": _HSA, "value": row[UNIT]}},
        ),
    )
    security = {"meta": {"security": [{"system": _LABELS, "code": _PROTECTED}]}} if row["sekretess"] else {}
    identifier = {"identifier": [{"system": post_system, "value": str(row["post_id"])}]}
    return {"resourceType": proposed.pop("resourceType"), **security, **identifier, **proposed}
