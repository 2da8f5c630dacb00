"""The simulated person service, as a test runs it and as a client reaches it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from waitlist.simulator.person_service import Certificates, Person, PersonService
from waitlist.source.pu import Address, Credentials


def address(service: PersonService, certificates: Certificates, **other: Any) -> Address:
    """The service as a consumer knows it; ``other`` replaces a file."""
    credentials = Credentials(certificates.client, certificates.client_key, certificates.authority)
    return Address(service.url, replace(credentials, **other))


@contextmanager
def serving(certificates: Certificates, *people: Person, **more: Any) -> Iterator[PersonService]:
    """Run the service for some people."""
    with PersonService(people, certificates, **more) as service:
        yield service
