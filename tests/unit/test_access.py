"""The rights of each kind of user, by the one function that decides."""

from typing import Any

import pytest

from waitlist.access import Need, Rights, rights_of
from waitlist.facts.readers import NO_READERS, UnitReaders
from waitlist.settings import Settings

OWN, NEXT, NO_UNIT = "SE2120009999-TEST01", "SE2120009999-TEST02", ""
STAFF = {"staff": frozenset({OWN})}
SETTINGS = Settings.model_construct(
    leads="lead", approvers="approver", person_readers="person", log_readers="log, lead", rules=None
)


def rights(user: str, *roles: str, readers: UnitReaders = STAFF) -> Rights:
    return rights_of(user, user, roles, SETTINGS, readers)


NEEDS_OF_A_UNIT = {Need.THIS_UNIT, Need.THIS_UNITS_PERSONS, Need.THIS_UNITS_PROTECTED}
ALLOWED: dict[str, dict[str, Any]] = {
    "lead": {
        "anywhere": {Need.ANY_RIGHT, Need.A_UNIT, Need.EVERY_UNIT, Need.LOG},
        OWN: {Need.THIS_UNIT}, NEXT: {Need.THIS_UNIT}, NO_UNIT: {Need.THIS_UNIT},
    },
    "approver": {
        "anywhere": {Need.ANY_RIGHT, Need.A_UNIT, Need.EVERY_UNIT},
        OWN: {Need.THIS_UNIT}, NEXT: {Need.THIS_UNIT}, NO_UNIT: set(),
    },
    "person": {
        "anywhere": {Need.ANY_RIGHT, Need.A_UNIT, Need.EVERY_UNIT, Need.EVERY_PERSON},
        OWN: {Need.THIS_UNIT, Need.THIS_UNITS_PERSONS}, NEXT: {Need.THIS_UNIT, Need.THIS_UNITS_PERSONS},
        NO_UNIT: set(),
    },
    "log": {"anywhere": {Need.ANY_RIGHT, Need.LOG}, OWN: set(), NEXT: set(), NO_UNIT: set()},
    "staff": {"anywhere": {Need.ANY_RIGHT, Need.A_UNIT}, OWN: NEEDS_OF_A_UNIT, NEXT: set(), NO_UNIT: set()},
    "nobody": {"anywhere": set(), OWN: set(), NEXT: set(), NO_UNIT: set()},
}  # fmt: skip
"""What each user of a site is allowed, at which unit."""


@pytest.mark.parametrize("user", ALLOWED)
def test_a_user_is_allowed_this_and_nothing_else(user: str) -> None:
    found = rights(user)
    for unit in (OWN, NEXT, NO_UNIT):
        assert {need for need in NEEDS_OF_A_UNIT if found.allow(need, unit)} == ALLOWED[user][unit]
        assert found.sees(unit) is (Need.THIS_UNIT in ALLOWED[user][unit])
    assert {need for need in Need if found.allow(need)} == ALLOWED[user]["anywhere"]


def test_units_of_rows_and_of_roles_are_added_up() -> None:
    found = rights("staff", f"enhet:{NEXT.lower()} ", "enhet:", "enhet:vårdcentralen", "Admin", f"ENHET:{OWN}x", NEXT)
    assert found.own_units == {OWN, NEXT}
    assert rights("nobody", "Admin", "Op", "Viewer", f"enhet{OWN}", f" enhet:{OWN}").own_units == frozenset()


def test_a_lead_that_works_at_a_unit_sees_its_patients_and_no_others() -> None:
    found = rights("lead", readers={"lead": frozenset({OWN})})
    assert found.allow(Need.THIS_UNITS_PROTECTED, OWN)
    assert not found.allow(Need.THIS_UNITS_PERSONS, NEXT)


def test_the_settings_name_ids_and_the_file_names_logins() -> None:
    assert rights_of("7", "staff", (), SETTINGS, STAFF).own_units == {OWN}
    assert rights_of("staff", "7", (), SETTINGS, STAFF) == Rights()
    assert rights_of("7", "lead", (), SETTINGS, STAFF) == Rights()


@pytest.mark.parametrize("user", ["", "LEAD", " lead", "lead,", "lead, approver", "*", "None"])
def test_a_name_that_is_like_another_has_no_rights(user: str) -> None:
    assert rights(user) == Rights()
    nobody = Settings.model_construct(leads=None, approvers=" ,", person_readers="", log_readers=None)
    assert rights_of(user, user, (), nobody, NO_READERS) == Rights()
