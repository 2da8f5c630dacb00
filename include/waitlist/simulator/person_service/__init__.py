"""A stand-in for the national person service: a real HTTPS server that demands a client certificate.

It answers for the persons that it is given, and knows nobody else. ``people`` is what it knows, ``cases`` are the ones
that the service's own consumer declaration lists, ``answers`` writes XML that the contract's schema accepts,
``certificates`` makes both sides' certificates when it starts, and ``server`` has switches for what goes wrong in
real life.

It is written from the contract's schema and shares no code with the client (``waitlist.source.pu``): a name that the
client gets wrong is wrong here too only if both were misread.
"""

from waitlist.simulator.person_service.certificates import Certificates, make_certificates
from waitlist.simulator.person_service.people import Person, PersonId, read_people, write_people
from waitlist.simulator.person_service.server import Call, PersonService, Switch

__all__ = [
    "Call",
    "Certificates",
    "Person",
    "PersonId",
    "PersonService",
    "Switch",
    "make_certificates",
    "read_people",
    "write_people",
]
