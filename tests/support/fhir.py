"""Validates FHIR resources by code that is not ours: ``fhir.resources`` (R4B), and invariants by ``fhirpathpy``."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import fhirpathpy
from fhir.resources.R4B.appointment import Appointment
from fhirpathpy.models import models

INVARIANTS: Final = {
    "app-1": "participant.all(type.exists() or actor.exists())",
    "app-2": "start.exists() = end.exists()",
    "app-3": "(start.exists() and end.exists()) or (status in ('proposed' | 'cancelled' | 'waitlist'))",
    "app-4": "cancelationReason.exists() implies (status = 'no-show' or status = 'cancelled')",
}
"""As HL7 writes them (http://hl7.org/fhir/R4/appointment.html), from the resource's root."""


@cache
def _invariant(name: str) -> Any:
    return fhirpathpy.compile(INVARIANTS[name], models["r4"])


def broken(resource: Mapping[str, Any]) -> list[str]:
    """Return the invariants that an appointment breaks."""
    return [name for name in INVARIANTS if _invariant(name)(dict(resource)) != [True]]


def appointment(line: str | bytes) -> dict[str, Any]:
    """Return a line of an NDJSON file as a resource that is valid and keeps every invariant."""
    resource: dict[str, Any] = json.loads(line)
    # Any element that R4B does not have is refused.
    Appointment.model_validate(resource)
    assert broken(resource) == []
    return resource
