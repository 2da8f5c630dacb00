"""The rights of users: the one place that decides about them, for pages, JSON, work lists, downloads and counts.

Users that ``WAITLIST_LEADS``, ``WAITLIST_APPROVERS`` or ``WAITLIST_PERSON_READERS`` name see every unit. Everybody else
sees their own units and no other: those of their rows in ``unit_readers.csv``, and of their roles ``enhet:<HSA-id>``
where the login has roles. No right in Airflow counts.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from waitlist.columns.forms import hsa_id
from waitlist.facts.mappings import is_hsa_id
from waitlist.facts.readers import UnitReaders
from waitlist.settings import Settings

ROLE: Final = "enhet:"
"""How the name of a role begins whose users work at a unit; its HSA-id follows."""


class Need(StrEnum):
    """What a user needs for a page; each page declares one."""

    ANY_RIGHT = "any_right"
    """Some right at all: for what shows neither posts nor counts."""
    A_UNIT = "a_unit"
    """At least one unit: the page shows those that the user sees, and no others."""
    THIS_UNIT = "this_unit"
    """The unit that the address names."""
    THIS_UNITS_PERSONS = "this_units_persons"
    """Patients' names and numbers at the unit that the address names; protected identities stay masked."""
    THIS_UNITS_PROTECTED = "this_units_protected"
    """A protected identity at the unit that the address names."""
    EVERY_UNIT = "every_unit"
    """Figures over all units."""
    EVERY_PERSON = "every_person"
    """Patients' names and numbers at every unit; protected identities stay masked."""
    LOG = "log"
    """The access log."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What one user may see."""

    every_unit: bool = False
    leads: bool = False
    """Sees the posts without a unit too."""
    every_person: bool = False
    """Sees patients' names and numbers at every unit."""
    log: bool = False
    own_units: frozenset[str] = frozenset()
    """The units, by HSA-id, at which the user works."""

    def sees(self, unit: str) -> bool:
        """Tell whether the user sees a unit; the empty key is that of the posts without one."""
        if not unit:
            return self.leads
        return self.every_unit or unit in self.own_units

    def allow(self, need: Need, unit: str | None = None) -> bool:
        """Tell whether the user has what a page needs.

        Args:
            need: what the page needs.
            unit: the unit that the address names, by its key; None where it names none.
        """
        seen = unit is not None and self.sees(unit)
        own = unit is not None and unit in self.own_units
        has_unit = self.every_unit or bool(self.own_units)
        return {
            Need.ANY_RIGHT: has_unit or self.log,
            Need.A_UNIT: has_unit,
            Need.THIS_UNIT: seen,
            Need.THIS_UNITS_PERSONS: seen and (self.every_person or own),
            Need.THIS_UNITS_PROTECTED: own,
            Need.EVERY_UNIT: self.every_unit,
            Need.EVERY_PERSON: self.every_unit and self.every_person,
            Need.LOG: self.log,
        }[need]


def rights_of(user_id: str, login: str, roles: Collection[str], settings: Settings, readers: UnitReaders) -> Rights:
    """Decide what a user may see.

    Args:
        user_id: the user's id, as the settings name it.
        login: the login name, as ``unit_readers.csv`` names it.
        roles: the names of the user's roles.
        settings: they name the users that see every unit, all persons and the access log.
        readers: the units at which users work.
    """
    leads, persons = user_id in settings.lead_ids, user_id in settings.person_reader_ids
    by_role = {hsa_id(role.removeprefix(ROLE)) for role in roles if role.startswith(ROLE)}
    return Rights(
        every_unit=leads or persons or user_id in settings.approver_ids,
        leads=leads,
        every_person=persons,
        log=user_id in settings.log_reader_ids,
        own_units=readers.get(login, frozenset()) | {unit for unit in by_role if is_hsa_id(unit)},
    )
