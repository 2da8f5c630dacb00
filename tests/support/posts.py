"""A clean post that migrates, to be spoilt one column at a time, and the facts it is judged by."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pyarrow as pa

from waitlist import paths
from waitlist.facts.mappings import Mappings, Unit, load_mappings
from waitlist.judge.posts import RuleContext
from waitlist.judge.rules import BUILT_IN_SEVERITIES
from waitlist.schema import POSTS
from waitlist.settings import RuleSettings

AS_OF = dt.date(2024, 10, 1)
GO_LIVE = dt.date(2024, 11, 18)
CUTOFF = dt.date(2024, 12, 16)

UNIT = "SE2120009999-TEST01"
UNIT_WITHOUT_GO_LIVE = "SE2120009999-TEST02"
UNIT_LIVE = "SE2120009999-TEST03"
UNIT_CHILD_HEALTH = "SE2120009999-TEST04"
UNIT_UNLISTED = "SE2120009999-TEST99"


def luhn(nine: str) -> str:
    """Return the check digit of nine digits."""
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(nine))
    return str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def official(birth: dt.date, serial: int = 238, separator: str = "-") -> str:
    """Return a number of the Tax Agency's published test list, for births 1976..2013 and serials 238, 239."""
    date = birth.strftime("%y%m%d")
    return f"{date}{separator}{serial}{luhn(date + str(serial))}"


PERSON = official(dt.date(1985, 3, 14))
PERSON_ID = "19" + PERSON.replace("-", "")

CLEAN: Mapping[str, Any] = {
    "post_id": 1,
    "personnummer": PERSON,
    "patient": "Lindqvist, Åsa",
    "sekretess": False,
    "enhet_hsa_id": UNIT,
    "enhet": "Vårdcentralen Provet",
    "kategori": "SDV Pv Ssk Återbesök (diabetes)",
    "kontaktform": "besok",
    "vantar_pa_besok": True,
    "nybesok": False,
    "har_bilaga": False,
    "boka_from": "2025-01-20",
    "boka_fore": "2025-03-20",
    "orsak": "Årskontroll diabetes",
    "planerade_atgarder": "Fotstatus, HbA1c",
    "anvandare": "Eva Öberg",
    "tidsatgang_min": 30,
    "filial": None,
    "registrerad": dt.datetime(2024, 3, 1, 8, 30),  # noqa: DTZ001 - PMO's timestamps are naive
    "andrad": None,
    "avslutad": None,
}


def table(*posts: Mapping[str, Any]) -> pa.Table:
    """Return posts that differ from the clean one as given; post ids count up from 1 unless given."""
    rows = [{**CLEAN, "post_id": number, **post} for number, post in enumerate(posts, start=1)]
    return pa.Table.from_pylist(rows, schema=POSTS)


def unit(hsa_id: str, driftstart: dt.date | None, *areas: str, **given: Any) -> Unit:
    """Return a row of ``units.csv``."""
    empty = {"begard_plats": None, "vardinrattning": None, "besok_per_vecka": None, "huvudman": None}
    row = {**empty, "vag": "1", "owner": "", "note": "", **given}
    return Unit(hsa_id=hsa_id, enhet="Enligt plan", vardomraden=frozenset(areas), driftstart=driftstart, **row)


@cache
def _facts() -> Mappings:
    return load_mappings(paths.MAPPINGS, raisable=BUILT_IN_SEVERITIES)


def context(
    *,
    as_of: dt.date = AS_OF,
    raised: Mapping[str, str] | None = None,
    units: tuple[Unit, ...] = (),
    **rules: Any,
) -> RuleContext:
    """Return the project's own lists and mapping with the test's units."""
    rows = units or (
        unit(UNIT, GO_LIVE, "Pv"),
        unit(UNIT_WITHOUT_GO_LIVE, None, "Pv"),
        unit(UNIT_LIVE, AS_OF, "Pv"),
        unit(UNIT_CHILD_HEALTH, GO_LIVE, "Bhv"),
    )
    mappings = replace(_facts(), units={row.hsa_id: row for row in rows}, raised=dict(raised or {}))
    return RuleContext(as_of, mappings, RuleSettings(**rules))
