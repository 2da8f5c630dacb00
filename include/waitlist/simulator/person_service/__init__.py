"""A simulated national person service: a real HTTPS server that requires a client certificate.

It answers only for the persons that it is given. ``people`` has their records, ``cases`` has the cases of the
service's own consumer declaration, ``answers`` writes XML that the contract's schema accepts, ``certificates`` makes
both sides' certificates at the start, and ``server`` has switches for real faults.

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
