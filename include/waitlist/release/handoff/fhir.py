"""What both files of FHIR ``Appointment`` resources have in common."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from waitlist.columns.dates import STOCKHOLM
from waitlist.release.handoff.content import Row

_FIRST: Final = dt.time(0, 0, 0)
_LAST: Final = dt.time(23, 59, 59)


def proposed(row: Row, *, service_type: Mapping[str, Any], participants: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a proposed appointment.

    Args:
        row: the booking request.
        service_type: the visit type, as a ``CodeableConcept``.
        participants: references to the patient and to the place.
    """
    comment = {"comment": row["beskrivning"]} if row["beskrivning"] else {}
    return {
        "resourceType": "Appointment",
        "status": "proposed",
        "serviceType": [service_type],
        **comment,
        "participant": [{"actor": actor, "status": "needs-action"} for actor in participants],
        "requestedPeriod": [
            {
                "start": _moment(row["begart_startdatum"], _FIRST),
                "end": _moment(row["begart_slutdatum"], _LAST),
            }
        ],
    }


def ndjson(values: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a line of JSON for each value, in UTF-8."""
    return b"".join(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for value in values)


def _moment(day: dt.date, time: dt.time) -> str:
    return dt.datetime.combine(day, time, STOCKHOLM).isoformat()
