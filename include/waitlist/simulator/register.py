"""What the national person service says of the patients of the synthetic PMO (chapter 8).

Each patient with a personnummer has a record. Most are in order; a few persons are planted, each with another answer.
A person is planted by one ordinary post of the first chunk that would migrate, or by one that the pilot has released;
all posts of the person in that chunk wait. No post is made for it, and no post is changed: without the service the
synthetic PMO is what it was. All posts of a planted person get the answer, and the truth says so of each.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from waitlist.simulator import persons, texts
from waitlist.simulator.components import Components
from waitlist.simulator.orders import Order
from waitlist.simulator.people import People, Pool
from waitlist.simulator.person_service.people import Person
from waitlist.simulator.persons import Identity

Numbers = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]
Mask = npt.NDArray[np.bool_]


class Answer(StrEnum):
    """What is planted: the answers that differ from an ordinary record."""

    DECEASED = "deceased"
    FOUND_DEAD = "found dead"
    """With a date alone, and no reason."""
    NUMBER_CHANGED = "number changed"
    NUMBER_NOT_PRESENT = "number not the present one"
    """Not deregistered: only the mark says so."""
    PRESENT_NUMBER = "present number, with a former one"
    """It refers to the former one, and is in order."""
    EMIGRATED = "emigrated"
    DEREGISTERED = "deregistered otherwise"
    """For one of the other reasons, or for none."""
    UNKNOWN = "unknown"
    PROTECTED_PERSON = "sekretessmarkering in the register alone"
    PROTECTED_RECORD = "skyddad folkbokföring in the register alone"
    SOMEBODY_ELSE = "name of somebody else"
    NEW_SURNAME = "new surname"
    NEW_SURNAME_BESIDE = "new surname, PMO's surname as middle name"
    NO_SURNAME = "no surname"
    TEST_PERSON = "test indicator"
    DEAD_AFTER_RELEASE = "dead after the release"
    """Of a post of the pilot: between the release and the as-of date."""
    DIES_LATER = "dies after the as-of date"
    """Of a post of the first wave, which is released before."""


_TIMES: Final[Mapping[Answer, int]] = {
    Answer.DECEASED: 6,
    Answer.DEAD_AFTER_RELEASE: 4,
    Answer.UNKNOWN: 4,
    Answer.NUMBER_CHANGED: 4,
    Answer.EMIGRATED: 4,
    Answer.PROTECTED_PERSON: 4,
    Answer.PROTECTED_RECORD: 4,
    Answer.SOMEBODY_ELSE: 4,
    Answer.NEW_SURNAME: 6,
    Answer.DIES_LATER: 3,
    Answer.DEREGISTERED: 5,
    Answer.FOUND_DEAD: 3,
    Answer.NUMBER_NOT_PRESENT: 3,
    Answer.TEST_PERSON: 3,
    Answer.PRESENT_NUMBER: 3,
    Answer.NEW_SURNAME_BESIDE: 4,
    Answer.NO_SURNAME: 3,
}
"""How many persons of a chunk of 20,000 posts; at least one, as far as there are posts."""
_OF: Final = 20_000
_WITH_TWO_NUMBERS: Final = (Answer.NUMBER_CHANGED, Answer.NUMBER_NOT_PRESENT, Answer.PRESENT_NUMBER)
_OTHER_REASONS: Final = ("AN", "FI", "OB", "TA", "")
_DIED_AFTER_RELEASE: Final = 12
"""Days before the as-of date: the pilot was released a month before it."""
_DIES_IN: Final = 3
"""Days after the as-of date."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where persons may be planted: facts about the posts of the first chunk, shape (n,)."""

    person: Numbers
    """Rows in ``People``."""
    would_migrate: Mask
    """The post is in an extract, and migrates without the service."""
    in_first_wave: Mask


class Register:
    """The records of the patients of the synthetic PMO.

    Args:
        order: its seed decides who is planted, and its as-of date when persons die.
        people: the patients.
    """

    def __init__(self, order: Order, people: People) -> None:
        self._order = order
        self._people = people
        self._planted: dict[int, Answer] = {}

    def plant(self, parts: Components, placed: Placed) -> None:
        """Choose the persons by the posts of the first chunk, before any answer is asked for."""
        random = np.random.default_rng([self._order.seed, 5])
        adult = (parts.pool == Pool.ADULTS) & (parts.identity == Identity.TRUE)
        # A person who waits nowhere is not asked about: no other post of a planted one is of that kind.
        adult &= ~np.isin(placed.person, placed.person[~parts.waiting])
        of_pilot = np.unique(placed.person[adult & parts.released])
        ordinary = adult & placed.would_migrate & (parts.scenario < 0)
        ordinary &= ~self._people.protected[placed.person] & ~np.isin(placed.person, placed.person[parts.released])
        pools = {
            Answer.DEAD_AFTER_RELEASE: random.permutation(of_pilot),
            Answer.DIES_LATER: random.permutation(np.unique(placed.person[ordinary & placed.in_first_wave])),
        }
        others = random.permutation(np.unique(placed.person[ordinary]))
        for answer, times in _TIMES.items():
            free = [person for person in pools.get(answer, others).tolist() if person not in self._planted]
            for person in free[: max(1, times * len(placed.person) // _OF)]:
                self._planted[person] = answer

    def of_posts(self, parts: Components, person: Numbers) -> Texts:
        """Return the planted answer about each post's person; None where it is ordinary, or where nobody is known."""
        answers = np.full(len(person), None, dtype=object)
        planted = np.isin(person, list(self._planted)) & (parts.identity == Identity.TRUE)
        answers[planted] = [self._planted[row] for row in person[planted].tolist()]
        answers[parts.identity == Identity.TEST_PERSON] = Answer.TEST_PERSON
        return answers

    def records(self) -> Iterator[Person]:
        """Yield the service's records: of every patient, of their other numbers, and of the test patient."""
        people = self._people
        others = self._unused_numbers()
        for row in range(len(people.twelve)):
            given, surname = str(people.name[row]).split(maxsplit=1)
            hidden = row < people.listed and bool(people.protected[row])
            person = Person(
                str(people.twelve[row]), given_name=given, surname=surname, protected_person=hidden, test=False
            )
            answer = self._planted.get(row)
            if answer is None:
                yield person
            elif answer in _WITH_TWO_NUMBERS:
                yield from self._both_numbers(person, next(others), answer)
            elif answer is not Answer.UNKNOWN:
                yield replace(person, **self._changes(person, answer, row))
        # Posts have the test patient's number with any name.
        yield Person(persons.TEST_PERSON, given_name="Tolvan")

    def _changes(self, person: Person, answer: Answer, row: int) -> dict[str, Any]:
        """Return how a planted record differs from an ordinary one."""
        if answer is Answer.DEREGISTERED:
            place = [one for one, of in self._planted.items() if of is answer].index(row)
            return {"reason": _OTHER_REASONS[place % len(_OTHER_REASONS)], "deregistered_at": self._day(-200)}
        family = next(
            name for name in texts.FAMILIES[row % len(texts.FAMILIES) :] + texts.FAMILIES if _differs(name, person)
        )
        found: dict[Answer, dict[str, Any]] = {
            Answer.DECEASED: {"reason": "AV", "deregistered_at": self._day(-40)},
            Answer.FOUND_DEAD: {"found_dead_at": f"{self._day(-60)[:8]}00"},
            Answer.EMIGRATED: {"reason": "UV", "deregistered_at": self._day(-500)[:4]},
            Answer.PROTECTED_PERSON: {"protected_person": True},
            Answer.PROTECTED_RECORD: {"protected_record": True},
            Answer.SOMEBODY_ELSE: {"given_name": "Någon", "surname": family},
            Answer.NEW_SURNAME: {"surname": family},
            Answer.NEW_SURNAME_BESIDE: {"surname": family, "middle_name": person.surname},
            Answer.NO_SURNAME: {"surname": ""},
            Answer.TEST_PERSON: {"test": True},
            Answer.DEAD_AFTER_RELEASE: self._died(-_DIED_AFTER_RELEASE),
            Answer.DIES_LATER: self._died(_DIES_IN),
        }
        return found[answer]

    def _both_numbers(self, person: Person, other: str, answer: Answer) -> Iterator[Person]:
        """Yield the records of the person's two numbers; each refers to the other."""
        here, there = replace(person, referred=other), replace(person, extension=other, referred=person.extension)
        former, present = (there, here) if answer is Answer.PRESENT_NUMBER else (here, there)
        yield present
        if answer is not Answer.NUMBER_NOT_PRESENT:
            former = replace(former, reason="GN", deregistered_at=self._day(-400)[:7])
        yield replace(former, primary=False)

    def _died(self, days: int) -> dict[str, str]:
        return {"reason": "AV", "deregistered_at": self._day(days), "since": self._day(days)}

    def _day(self, days: int) -> str:
        return (self._order.as_of + dt.timedelta(days=days)).isoformat()

    def _unused_numbers(self) -> Iterator[str]:
        """Yield published test numbers that no patient has, born before the as-of date."""
        used = set(self._people.twelve.tolist()) | set(self._people.not_yet_born.tolist())
        births, serials = persons.official()
        for birth, serial in zip(births, serials.tolist(), strict=True):
            twelve = persons.digits(birth, serial)
            if twelve not in used:
                yield twelve


def _differs(family: str, person: Person) -> bool:
    """Whether a family name shares no word with a person's name, hyphens as spaces."""
    own = f"{person.given_name} {person.surname}".casefold().replace("-", " ").split()
    return set(family.casefold().replace("-", " ").split()).isdisjoint(own)
