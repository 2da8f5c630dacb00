"""What is taken of the service's answer about one person.

A name is needed for one comparison, and must go nowhere else. So it never is a text here: it is a set of words that can
be asked whether one of them occurs in another name, that shows nothing of itself and cannot be pickled.
"""

import datetime as dt
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NoReturn, Self

from waitlist.columns.texts import fold

_WORD: Final = re.compile(r"[\w']+")
"""Hyphens and commas stand between words, an apostrophe within one."""


class Reason(StrEnum):
    """Why a person was taken off the population register, by the register's codes."""

    DECEASED = "AV"
    EMIGRATED = "UV"
    OLD_NUMBER = "GN"
    OTHER = "AN"
    FALSE_IDENTITY = "FI"
    DISAPPEARED = "OB"
    TECHNICAL = "TA"
    UNKNOWN = "?"
    """A code that the contract does not name; what the service wrote is not kept."""


class NameWords:
    """The words of a surname and a middle name, for a comparison and nothing else.

    Args:
        surname: as the register has it; must not be empty.
        middle_name: empty where the register has none.
    """

    __slots__ = ("_words",)

    def __init__(self, surname: str, middle_name: str = "") -> None:
        self._words = _words(surname) | _words(middle_name)

    def occur_in(self, name: str) -> bool:
        """Tell whether any of the words is a whole word of a name, whatever their case."""
        return not self._words.isdisjoint(_words(name))

    def __repr__(self) -> str:
        return "NameWords(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a name of the person service is kept nowhere")


def _words(name: str) -> frozenset[str]:
    return frozenset(_WORD.findall(fold(name).replace("\u2019", "'")))


@dataclass(frozen=True, slots=True)
class PersonStatus:
    """The service's answer about one person.

    Attributes:
        person_id: the twelve digits that were asked for.
        asked_at: when the call began.
        found: the service has a record; without one nothing below says anything.
        protected_person: the person has sekretessmarkering.
        protected_record: the person has skyddad folkbokföring.
        test_person: the record is made for tests.
        primary: the number is the person's present one.
        deregistered: the person is no longer on the population register.
        reason: why; None where the service does not say.
        found_dead: there is a date at which the person was found dead, with any reason.
        name: the record's name for a comparison; None where it has no surname.
    """

    person_id: str = field(repr=False)
    asked_at: dt.datetime
    found: bool
    protected_person: bool = False
    protected_record: bool = False
    test_person: bool = False
    primary: bool = True
    deregistered: bool = False
    reason: Reason | None = None
    found_dead: bool = False
    name: NameWords | None = field(default=None, repr=False, compare=False)

    @property
    def deceased(self) -> bool:
        """Whether the person is dead, by the reason or by the date."""
        return self.found_dead or self.reason is Reason.DECEASED

    @property
    def number_changed(self) -> bool:
        """Whether the person has another number now."""
        return not self.primary or self.reason is Reason.OLD_NUMBER

    @property
    def protected(self) -> bool:
        """Whether either mark of protection is set."""
        return self.protected_person or self.protected_record

    def without_name(self) -> Self:
        """Return what may be kept."""
        return replace(self, name=None)
