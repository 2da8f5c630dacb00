"""The schema of the national person service's interaction, for what is sent and what the simulator answers."""

import os
from functools import cache
from pathlib import Path

from lxml import etree

TRIMMED = Path(__file__).parents[1] / "integration" / "data" / "person_service"
"""What the tests need of the schema."""
ORIGINAL = "PERSON_SERVICE_SCHEMAS"
"""A variable that may name the folder of the unchanged schemas, as Inera publishes them: both must agree then."""
_IN_ORIGINAL = "interactions/GetPersonsForProfileInteraction/GetPersonsForProfileResponder_5.0.xsd"
_SOAP_BODY = "{http://schemas.xmlsoap.org/soap/envelope/}Body"


@cache
def schemas() -> tuple[etree.XMLSchema, ...]:
    """Our part of the schema, and the whole one where it is at hand."""
    folder = os.environ.get(ORIGINAL)
    files = [TRIMMED / "responder.xsd", *([Path(folder) / _IN_ORIGINAL] if folder else [])]
    return tuple(etree.XMLSchema(file=str(file)) for file in files)


def faults_by_schema(envelope: bytes) -> list[str]:
    """What the schema says against the message in a SOAP envelope."""
    (message,) = etree.fromstring(envelope).find(_SOAP_BODY)
    return [str(fault) for schema in schemas() if not schema.validate(message) for fault in schema.error_log]
