"""The sixteen cases that the service's own declaration of a consumer lists.

A region declares for each of them how its consumer behaves. Every number is a published test number, or is made from
one so that it cannot belong to anybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from waitlist.simulator.person_service.people import (
    NATIONAL_RESERVE,
    SAMORDNINGSNUMMER,
    STOCKHOLM_RESERVE,
    Person,
    PersonId,
)
from waitlist.simulator.person_service.server import Switch
from waitlist.simulator.persons import Identity, at_fault, check_digit, digits


class Case(StrEnum):
    """The cases of the declaration."""

    PROFILES = "profiles"
    SAMORDNINGSNUMMER = "samordningsnummer"
    NATIONAL_RESERVE = "national reserve number"
    LOCAL_RESERVE = "local reserve number"
    AGGREGATED = "aggregated"
    SEVERAL = "several ids"
    REFERRED = "referred"
    FAULT = "SOAP fault"
    NOT_EXISTING = "not existing"
    EMPTY = "empty answer"
    PROTECTED_RECORD = "protectedPopulationRecord"
    PROTECTED_PERSON = "sekretessmarkering"
    DECEASED = "AV"
    EMIGRATED = "UV"
    TEST_INDICATOR = "testIndicator"
    LONGEST = "all fields at their longest"


@dataclass(frozen=True)
class Example:
    """A case: the ids to ask for, and the service's records.

    Attributes:
        asked: the ids of one call.
        people: the records.
        switch: the fault when the first id is asked for.
    """

    asked: tuple[PersonId, ...]
    people: tuple[Person, ...] = ()
    switch: Switch | None = None


def _number(place: int) -> str:
    """Return a published test number of its own for each place, a man's."""
    return digits(np.datetime64("1984-03-01", "D") + np.timedelta64(place, "D"), 239)


def _reserve(fault: Identity) -> str:
    number = at_fault(fault, _number(0), _number(0), 12)
    assert number is not None  # noqa: S101 - for what is asked here there is one
    return number


def _coordination(place: int) -> str:
    number = _number(place)
    head = f"{number[:6]}{int(number[6:8]) + 60}{number[8:11]}"
    return head + check_digit(head[2:])


def _of(*people: Person) -> Example:
    return Example(tuple(person.id for person in people), people)


def _person(place: int, **facts: object) -> Person:
    """Make a person with a number and a name of its own."""
    named = {"given_name": "Test", "surname": f"Provsson{chr(ord('a') + place)}", **facts}
    return Person(_number(place), **named)  # type: ignore[arg-type]


_FORMER: Final = _person(6, primary=False, reason="GN", deregistered_at="2023-04", referred=_number(7))
_PRESENT: Final = _person(7, referred=_number(6))

CASES: Final[Mapping[Case, Example]] = {
    Case.PROFILES: _of(_person(1, middle_name="Mellan")),
    Case.SAMORDNINGSNUMMER: _of(Person(_coordination(2), SAMORDNINGSNUMMER, "Test", surname="Samordnad")),
    Case.NATIONAL_RESERVE: _of(Person(_reserve(Identity.NATIONAL_RESERVE), NATIONAL_RESERVE, "Test", surname="Reserv")),
    Case.LOCAL_RESERVE: _of(Person(_reserve(Identity.STOCKHOLM), STOCKHOLM_RESERVE, "Test", surname="Lokal")),
    Case.AGGREGATED: _of(_person(3, linked=_reserve(Identity.NATIONAL_RESERVE), linked_root=NATIONAL_RESERVE)),
    Case.SEVERAL: _of(_person(4), _person(5, middle_name="Mellan")),
    Case.REFERRED: _of(_FORMER, _PRESENT),
    Case.FAULT: Example((PersonId(_number(8)),), (_person(8),), Switch.FAULT),
    Case.NOT_EXISTING: Example((PersonId(_number(9)),)),
    Case.EMPTY: Example((PersonId(_number(10)),), (_person(10),), Switch.EMPTY),
    Case.PROTECTED_RECORD: _of(_person(11, protected_record=True)),
    Case.PROTECTED_PERSON: _of(_person(12, protected_person=True)),
    Case.DECEASED: _of(_person(13, reason="AV", deregistered_at="2024-05-06", found_dead_at="2024-05-00")),
    Case.EMIGRATED: _of(_person(14, reason="UV", deregistered_at="2022")),
    Case.TEST_INDICATOR: _of(_person(15), _person(16, test=False)),
    Case.LONGEST: _of(_person(17, longest=True)),
}  # fmt: skip

PEOPLE: Final = tuple(person for example in CASES.values() for person in example.people)
"""All persons of all cases."""
ODD: Final = {example.asked[0]: example.switch for example in CASES.values() if example.switch is not None}
"""The ids whose calls have a fault."""
