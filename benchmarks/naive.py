"""A simple script: everything in memory, row by row. It is a baseline, not an example to follow.

It does the pipeline's work, since a comparison needs the same work: every rule on every post, one disposition for each
post, the booking requests with their hashes, three tables written. It leaves out what makes a run safe: snapshot,
contract, suites, reconciliation, reruns, and the details of findings.
"""

import datetime as dt
import hashlib
import re
import unicodedata
import warnings
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import pandas as pd
import pyodbc
import sqlalchemy as sa

from waitlist.facts.mappings import Mappings, Unit, category_key, list_key, load_mappings
from waitlist.judge.rules import BUILT_IN_SEVERITIES, DISPOSITIONS
from waitlist.settings import Settings
from waitlist.source.pmo.query import Scope, SourceQuery

_SHAPE = re.compile(r"[0-9]{6}(?:[0-9]{2})?[-+]?[0-9A-Za-z]{4}")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?")
_TEXTS = ("patient", "orsak", "planerade_atgarder", "anvandare")
_WEEKS = dt.timedelta(days=28)


def luhn(ten: str) -> bool:
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(ten))
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def identity(number: str | None, as_of: dt.date) -> tuple[str, str, dt.date | None]:  # noqa: PLR0911
    """Return the kind of a number, its twelve digits, and the birth date."""
    text = (number or "").strip(" \xa0")
    if not text:
        return "ID_MISSING", "", None
    if not _SHAPE.fullmatch(text):
        return "ID_INVALID", "", None
    date, last = re.sub("[-+]", "", text)[:-4], text[-4:]
    sign = text[-5] if text[-5] in "-+" else ""
    if not last.isdigit():
        return "ID_RESERVE_NUMBER", "", None
    if (len(date) == 6 and not sign) or (len(date) == 8 and sign == "+"):
        return "ID_INVALID", "", None
    day = int(date[-2:])
    if (date.startswith("99") and len(date) == 8) or 32 <= day <= 59:
        return "ID_RESERVE_NUMBER", "", None
    if day >= 60:
        sound = day <= 91 and luhn(date[-6:] + last) and last[:3] != "000"
        return ("ID_COORDINATION_NUMBER" if sound else "ID_INVALID"), "", None
    year = int(date[:-4])
    if len(date) == 6:
        year = as_of.year - (as_of.year - year) % 100 - (100 if sign == "+" else 0)
    try:
        born = dt.date(year, int(date[-4:-2]), day)
    except ValueError:
        return "ID_INVALID", "", None
    if born > as_of or year < as_of.year - 199 or not luhn(date[-6:] + last) or last[:3] == "000":
        return "ID_INVALID", "", None
    return "", f"{year:04}{date[-4:]}{last}", born


def day_of(text: str | None) -> dt.date | None:
    text = (text or "").strip(" ")
    try:
        return dt.date.fromisoformat(text[:10]) if _TIMESTAMP.fullmatch(text) else None
    except ValueError:
        return None


def clean(text: str | None) -> str:
    kept = (sign for sign in text or "" if unicodedata.category(sign) != "Cc" or sign in "\t\r\n")
    return " ".join("".join(kept).split())


def fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).split())


def months(born: dt.date, on: dt.date) -> int:
    return (on.year - born.year) * 12 + on.month - born.month - (on.day < born.day)


@dataclass(frozen=True)
class Facts:
    """The tables in which the script looks things up."""

    mappings: Mappings
    as_of: dt.date

    @cached_property
    def lists(self) -> dict[str, int]:
        return {list_key(row.sdv_lista): at for at, row in enumerate(self.mappings.sdv_lists)}

    @cached_property
    def base(self) -> dict[tuple[str, str | None], int]:
        named = ((category_key(row.kategori), row) for row in self.mappings.base_categories if row.kategori)
        return {(key, row.kontaktform): self.lists[list_key(row.sdv_lista)] for key, row in named}

    def places(self, row: Any) -> tuple[int | None, int | None]:
        """Return the SDV list that a post is on, and the one that it should be on."""
        own = self.lists.get(list_key(row.kategori or ""))
        if own is not None:
            return own, own
        key = category_key(row.kategori or "")
        return None, self.base.get((key, row.kontaktform), self.base.get((key, None)))

    def unit(self, row: Any) -> Unit | None:
        return self.mappings.units.get(row.enhet_hsa_id)


def judge(row: Any, facts: Facts) -> list[str]:  # noqa: C901, PLR0912, PLR0915 - as such scripts are
    """Return the rules that fire for a post."""
    fired: list[str] = []
    own, target = facts.places(row)
    unit = facts.unit(row)
    first, last = day_of(row.boka_from), day_of(row.boka_fore)
    kind, twelve, born = identity(row.personnummer, facts.as_of)
    texts = {name: clean(getattr(row, name)) for name in _TEXTS}
    if any(re.fullmatch(person.nummer.text, twelve) for person in facts.mappings.test_persons):
        fired.append("TEST_PERSON")
    if not row.vantar_pa_besok:
        fired += ["NOT_WAITING"] + ["NOT_WAITING_ON_SDV_LIST"] * (own is not None)
    if kind:
        fired += [kind] + ["ID_UNSAFE_ON_SDV_LIST"] * (own is not None)
    if not texts["patient"]:
        fired.append("NAME_MISSING")
    if row.nybesok:
        fired.append("FIRST_VISIT")
    if first is None or last is None:
        fired.append("DATE_MISSING")
    elif first > last:
        fired.append("DATE_INVERTED")
    if last is not None and last < facts.as_of:
        fired.append("DATE_EXPIRED")
    go_live = unit.driftstart if unit else None
    if go_live is None:
        fired.append("UNIT_UNPLANNED")
    elif facts.as_of >= go_live:
        fired.append("UNIT_ALREADY_LIVE")
    if go_live and first and last and facts.as_of <= last and first <= last and first <= go_live + _WEEKS:
        if last < go_live:
            fired.append("ENDS_BEFORE_GO_LIVE")
        else:
            fired += ["WITHIN_CUTOFF"] + ["STRADDLES_CUTOFF"] * (last > go_live + _WEEKS)
    if own is not None and not {"FIRST_VISIT", "WITHIN_CUTOFF", "ENDS_BEFORE_GO_LIVE"}.isdisjoint(fired):
        fired.append("NOT_ELIGIBLE_ON_SDV_LIST")
    if target is None:
        fired.append("CATEGORY_UNKNOWN")
    else:
        wanted = facts.mappings.sdv_lists[target]
        if own is None:
            fired.append("CATEGORY_NOT_MOVED")
        if unit and wanted.vardomrade not in unit.vardomraden:
            fired.append("LIST_OUTSIDE_CARE_AREA")
        by_sign = re.fullmatch(r"\d{6}-\d{4}", (row.personnummer or "").strip(" \xa0"))
        if born and by_sign and months(born, facts.as_of) < 24 and wanted.vardomrade != "Bhv":
            fired.append("AGE_IMPLAUSIBLE")
        if wanted.kontaktform and wanted.kontaktform != row.kontaktform:
            fired.append("CONTACT_FORM_MISMATCH")
    if row.filial and row.filial.strip():
        sought = fold(row.filial)
        if not any(sought in fold(texts[name]) for name in ("orsak", "planerade_atgarder")):
            fired.append("BRANCH_NOT_IN_TEXT")
    if row.har_bilaga:
        fired.append("ATTACHMENT_NOT_MIGRATED")
        if not texts["orsak"] and not texts["planerade_atgarder"]:
            fired.append("ATTACHMENT_WITHOUT_TEXT")
    if own is not None and born and first and last and first <= last:
        bounds = facts.mappings.sdv_lists[own]
        too_old = bounds.alder_till_man is not None and months(born, first) > bounds.alder_till_man
        too_young = bounds.alder_fran_man is not None and months(born, last) < bounds.alder_fran_man
        if too_old or too_young:
            fired.append("AGE_MISMATCH")
    if row.kontaktform not in {"besok", "telefon", "video", "hembesok"}:
        fired.append("CONTACT_FORM_UNKNOWN")
    if len(describe(row)) > 255:
        fired.append("DESCRIPTION_OVER_LIMIT")
    if any(
        unicodedata.category(sign) == "Cc" and sign not in "\t\r\n" for t in _TEXTS for sign in getattr(row, t) or ""
    ):
        fired.append("TEXT_CLEANED")
    if row.sekretess:
        fired.append("PROTECTED_IDENTITY")
    return fired


def describe(row: Any) -> str:
    parts = [("Användare", row.anvandare), ("Orsak", row.orsak), ("Planerade åtgärder", row.planerade_atgarder)]
    return " | ".join(f"{label}: {clean(text)}" for label, text in parts if clean(text))


def decide(fired: list[str]) -> str:
    return next((value.value for value, codes in DISPOSITIONS if not set(codes).isdisjoint(fired)), "migrate")


def duplicates(posts: pd.DataFrame, facts: Facts) -> set[int]:
    """Return the posts of one person, unit and list whose windows overlap."""
    about = posts[["post_id", "enhet_hsa_id"]].copy()
    about["person"] = posts.personnummer.apply(lambda number: identity(number, facts.as_of)[1] or None)
    about["list"] = posts.apply(lambda row: facts.places(row)[1], axis=1)
    about["first"], about["last"] = posts.boka_from.apply(day_of), posts.boka_fore.apply(day_of)
    about = about[posts.vantar_pa_besok.astype(bool)].dropna(subset=["person", "list", "first", "last"])
    about = about[about["first"] <= about["last"]]
    found: set[int] = set()
    for _, group in about.groupby(["person", "enhet_hsa_id", "list"], dropna=False):
        for one, other in combinations(group.itertuples(), 2):
            if one.first <= other.last and other.first <= one.last:
                found |= {one.post_id, other.post_id}
    return found


def script(pmo: str, staging: str, settings: Settings, as_of: dt.date) -> int:
    """Read everything, judge row by row, write everything; returns the posts."""
    statement = SourceQuery.load(settings.sql_dir).select(Scope(as_of), "q.*")
    warnings.filterwarnings("ignore", "pandas only supports SQLAlchemy", UserWarning)
    with pyodbc.connect(pmo, autocommit=True) as connection:
        posts = pd.read_sql(statement.sql, connection, params=list(statement.parameters))
    posts = posts.astype(object).where(posts.notna() & (posts != ""), None)
    outer = " \t\u00a0\u2007\u202f"
    posts["enhet_hsa_id"] = posts.enhet_hsa_id.apply(lambda text: text and (text.strip(outer).upper() or None))
    posts["kontaktform"] = posts.kontaktform.apply(lambda text: text and (text.strip(outer).casefold() or None))
    facts = Facts(load_mappings(settings.mappings_dir, raisable=BUILT_IN_SEVERITIES), as_of)

    posts["rule"] = posts.apply(lambda row: judge(row, facts), axis=1)
    twice = duplicates(posts, facts)
    posts["rule"] = posts.apply(lambda row: row.rule + ["DUPLICATE_POST"] * (row.post_id in twice), axis=1)
    posts["disposition"] = posts.rule.apply(decide)
    findings = posts[["post_id", "rule"]].explode("rule").dropna()
    findings["severity"] = findings.rule.map(dict(BUILT_IN_SEVERITIES))

    moving = posts[posts.disposition == "migrate"].copy()
    requests = pd.DataFrame({"post_id": moving.post_id})
    requests["person_id"] = moving.personnummer.apply(lambda number: identity(number, as_of)[1])
    requests["begard_plats"] = moving.apply(lambda row: facts.unit(row).begard_plats or clean(row.enhet), axis=1)
    requests["patientnamn"] = moving.patient.apply(clean)
    requests["begart_startdatum"] = moving.boka_from.apply(day_of)
    requests["begart_slutdatum"] = moving.boka_fore.apply(day_of)
    requests["besokstyp"] = moving.apply(lambda row: facts.mappings.sdv_lists[facts.places(row)[0]].visit_type, axis=1)
    requests["vardinrattning"] = moving.apply(lambda row: facts.unit(row).vardinrattning or clean(row.enhet), axis=1)
    requests["beskrivning"] = moving.apply(describe, axis=1)
    requests["sekretess"] = moving.sekretess.astype(int)
    requests["row_hash"] = requests.apply(
        lambda row: hashlib.sha256("\x1f".join(map(str, row)).encode()).hexdigest(), axis=1
    )

    engine = sa.create_engine(staging)
    written = {
        "naive_disposition": posts[["post_id", "enhet_hsa_id", "kategori", "disposition"]],
        "naive_finding": findings,
        "naive_bokningsbegaran": requests,
    }
    for name, frame in written.items():
        frame.to_sql(name, engine, index=False, if_exists="replace", chunksize=10_000)
    return len(posts)
