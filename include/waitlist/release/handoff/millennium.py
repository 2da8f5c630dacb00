"""``millennium.ndjson``: what the public create of Millennium's FHIR R4 interface takes, one post a line.

Millennium answers 422 to any element that it does not know, and has ids of its own for places and visit types
(``millennium_refs.csv``). The sender fills in the patient's id, which only Millennium can look up by the number.
"""

from collections.abc import Sequence
from typing import Any, Final

from waitlist.facts.mappings import PLACE, VISIT_TYPE
from waitlist.release.handoff import fhir
from waitlist.release.handoff.content import Content, Handed, Row

FILE: Final = "millennium.ndjson"

_PATIENT: Final = "Patient/{{id}}"


def profile(content: Content) -> Handed:
    """Return the file, which cannot be written while a reference is missing."""

    def lines(rows: Sequence[Row]) -> bytes:
        return fhir.ndjson([_line(row, content) for row in rows])

    return Handed(FILE, None if content.missing else lines)


def _line(row: Row, content: Content) -> dict[str, Any]:
    system, code = content.references[VISIT_TYPE, row["besokstyp"]].split("|")
    place = content.references[PLACE, row["begard_plats"]]
    return {
        "post_id": row["post_id"],
        "personnummer": row["person_id"],
        "sekretess": row["sekretess"],
        "resource": fhir.proposed(
            row,
            service_type={"coding": [{"system": system, "code": code}]},
            participants=({"reference": _PATIENT}, {"reference": f"Location/{place}"}),
        ),
    }
