"""Decides which sheet of the work list a post is on, and which instructions its unit gets.

A post has one disposition and any number of findings, and the text of each finding was written without regard to the
others. If one post had both "Boka patienten direkt i Millennium" and "Flytta posten till SDV-väntelistan", the patient
would be booked twice. So for a post that leaves the migration, only two kinds of findings come with their
instruction: the ones that decided, and the ones that must be undone. All others are only named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from waitlist.exceptions import WorkListError
from waitlist.judge.rules import DISPOSITIONS, RULES, Code, Disposition, Severity
from waitlist.staging.changes import PERSONS
from waitlist.swedish.words import (
    PERSON,
    REQUEST_LABELS,
    WORK_LIST_CHANGES,
    WORK_LIST_OWED_MIGRATES,
    WORK_LIST_REASON,
    WORK_LIST_REJECTED,
    WORK_LIST_SAY_OUTCOME,
    WORK_LIST_TEXTS,
    WORK_LIST_WITHHELD,
    finding_text,
    rule_label,
)


class Sheet(StrEnum):
    """The kinds of action, in the order of the workbook's sheets."""

    FIX_IN_PMO = "fix_in_pmo"
    MOVE_TO_SDV_LIST = "move_to_sdv_list"
    BOOK_IN_PMO = "book_in_pmo"
    BOOK_IN_MILLENNIUM = "book_in_millennium"
    HANDLE_MANUALLY = "handle_manually"
    CHECK = "check"
    """Posts that migrate with a finding that should be checked."""
    TAKE_OFF_SDV_LIST = "take_off_sdv_list"
    """Administrative posts that are on an SDV list."""
    REJECTED_BY_MILLENNIUM = "rejected_by_millennium"
    """Released posts that the receiver has rejected."""
    CORRECT_IN_MILLENNIUM = "correct_in_millennium"
    """Released posts that have since been changed or closed in PMO."""
    PLAN_UNIT = "plan_unit"
    """Posts of a unit without go-live that can be corrected meanwhile."""
    OWED = "owed"
    """Posts for whose outcome the closing ledger waits, and about which nothing else has to be done."""


class Withheld(StrEnum):
    """Why a receiver's reason is not in the text of a row."""

    PROTECTED = "protected"
    """The patient's identity is protected."""
    WITHOUT_PERSONS = "without_persons"
    """It may name a person, and this page has no persons."""
    REMOVED = "removed"
    """Retention has removed it."""


class Finding(NamedTuple):
    """A row of ``finding``."""

    rule: str
    severity: str
    detail: str | None


@dataclass(frozen=True, slots=True)
class Advice:
    """The texts of a post's row."""

    sheet: Sheet
    label: str
    """The finding that decided the sheet, in a few words."""
    action: str
    """What to do, one line for each action."""
    others: str
    """The names of the other findings."""
    recommends: bool
    """Whether the row shows the SDV list that the mapping recommends."""
    names_branch: bool
    """Whether the branch must be written in the post's texts."""
    comes_first: bool = False
    """Whether the row comes before all others of its sheet."""
    rule: Code | None = None
    """The rule of the finding that decided the sheet; None for a post that PMO changed after its release."""


_ALWAYS: Final = {
    Disposition.FIX_IN_PMO: Sheet.FIX_IN_PMO,
    Disposition.MOVE_TO_SDV_LIST: Sheet.MOVE_TO_SDV_LIST,
    Disposition.BOOK_IN_PMO: Sheet.BOOK_IN_PMO,
    Disposition.BOOK_IN_MILLENNIUM: Sheet.BOOK_IN_MILLENNIUM,
    Disposition.HANDLE_MANUALLY: Sheet.HANDLE_MANUALLY,
}
_UNPLANNED: Final = Code.UNIT_UNPLANNED
_ON_SDV_LIST: Final = Code.NOT_WAITING_ON_SDV_LIST
_BRANCH: Final = Code.BRANCH_NOT_IN_TEXT
_LIVE: Final = Code.UNIT_ALREADY_LIVE
_DECEASED: Final = Code.PU_DECEASED
_DEREGISTERED: Final = Code.PU_DEREGISTERED
# Its severity is information, but its text asks for a check (policy "migrate").
_STRADDLES: Final = Code.STRADDLES_CUTOFF
_LEAVING: Final = frozenset(
    {Sheet.BOOK_IN_PMO, Sheet.BOOK_IN_MILLENNIUM, Sheet.HANDLE_MANUALLY, Sheet.TAKE_OFF_SDV_LIST}
)

_PLACE: Final[Mapping[str, int]] = {code: place for place, code in enumerate(RULES)}
_GRAVITY: Final = {severity.value: gravity for gravity, severity in enumerate(Severity)}


@lru_cache(maxsize=10_000)
def advise(disposition: Disposition, findings: tuple[Finding, ...]) -> Advice | None:
    """Return the texts of a post's row, None when nothing has to be done.

    The findings that decided come first. Then come the ones that block, errors, warnings and information, each kind
    in the order of the rules.

    Raises:
        WorkListError: no finding explains the disposition.
    """
    sheet = _sheet(disposition, findings)
    if sheet is None:
        return None
    deciding = _deciding(disposition, {finding.rule for finding in findings})
    # The sheet itself says that the unit is not planned, and its staff cannot do anything about it.
    left = [finding for finding in findings if sheet is not Sheet.PLAN_UNIT or finding.rule != _UNPLANNED]
    ordered = sorted(
        left, key=lambda finding: (finding.rule not in deciding, _GRAVITY[finding.severity], _PLACE[finding.rule])
    )
    live = any(finding.rule == _LIVE for finding in findings)
    leaves = sheet in _LEAVING or (sheet is Sheet.FIX_IN_PMO and live)
    in_full = [finding for finding in ordered if not leaves or _in_full(disposition, finding, deciding)]
    if any(finding.rule == _DECEASED for finding in in_full):
        # A person found dead has no other reason of deregistration, and staff get one instruction.
        in_full = [finding for finding in in_full if finding.rule != _DEREGISTERED]
    if not in_full:
        raise WorkListError(f"a post is {disposition} and no finding explains it: rows of the batch are missing")
    return Advice(
        sheet,
        label=rule_label(in_full[0].rule),
        action=_lines(finding_text(finding.rule, finding.detail) for finding in in_full),
        others="; ".join(rule_label(finding.rule) for finding in ordered if finding not in in_full),
        recommends=not leaves,
        names_branch=any(finding.rule == _BRANCH for finding in in_full),
        rule=Code(in_full[0].rule),
    )


def has_always_a_row(disposition: Disposition) -> bool:
    """Tell whether a disposition alone puts a post on the work list; with the others only a finding does."""
    return disposition in _ALWAYS


def _sheet(disposition: Disposition, findings: tuple[Finding, ...]) -> Sheet | None:
    if disposition in _ALWAYS:
        return _ALWAYS[disposition]
    rules = {finding.rule for finding in findings}
    if disposition is Disposition.LEAVE and _ON_SDV_LIST in rules:
        return Sheet.TAKE_OFF_SDV_LIST
    concerns = {finding.rule for finding in findings if finding.severity != Severity.INFO} | rules & {_STRADDLES}
    if disposition is Disposition.MIGRATE and concerns:
        return Sheet.CHECK
    if disposition is Disposition.PLAN_UNIT and concerns - {_UNPLANNED}:
        return Sheet.PLAN_UNIT
    return None


def _deciding(disposition: Disposition, rules: set[str]) -> frozenset[str]:
    """Return the rules that decided the disposition; empty where a lead has raised a warning."""
    rows = (rules.intersection(codes) for leads_to, codes in DISPOSITIONS if leads_to is disposition)
    return frozenset(next(filter(None, rows), ()))


def _in_full(disposition: Disposition, finding: Finding, deciding: frozenset[str]) -> bool:
    """Tell whether a finding of a post that leaves the migration is shown with its instruction."""
    if disposition is Disposition.LEAVE:
        # The instructions of the other errors assume a patient to be booked.
        return finding.rule == _ON_SDV_LIST
    booked_there = disposition is Disposition.FIX_IN_PMO and finding.rule == _LIVE
    return booked_there or finding.rule in deciding or finding.severity == Severity.ERROR


def advise_change(change: str, columns: str) -> Advice:
    """Return the texts of the row of a released post that PMO has changed since.

    Args:
        change: ``changed`` or ``gone``.
        columns: the names of the columns, as in ``released_change``.
    """
    names = [name for name in columns.split(", ") if name]
    of_person = [name for name in names if name in PERSONS]
    others = [name for name in names if name not in PERSONS]
    told = [_text_of_change(PERSON, of_person)] if of_person else []
    told += [_text_of_change(change, others)] if others or not told else []
    return Advice(
        Sheet.CORRECT_IN_MILLENNIUM,
        WORK_LIST_CHANGES[PERSON if of_person else change].label,
        _lines(told),
        "",
        recommends=False,
        names_branch=False,
        comes_first=bool(of_person),
    )


def _text_of_change(change: str, columns: Iterable[str]) -> str:
    text, named = WORK_LIST_CHANGES[change], ", ".join(REQUEST_LABELS.get(name, name) for name in columns)
    return text.with_detail.format(detail=named) if text.with_detail and named else text.action


def advise_rejected(reason: str, withheld: Withheld | None = None) -> Advice:
    """Return the texts of the row of a released post that the receiver has rejected.

    Args:
        reason: the receiver's reason, personal data; empty where it is not known or not shown.
        withheld: why it is not shown; None where it is.
    """
    text = WORK_LIST_REJECTED
    if withheld is None and not reason:
        withheld = Withheld.REMOVED
    told = WORK_LIST_WITHHELD[withheld.value] if withheld else WORK_LIST_REASON.format(detail=reason)
    action = text.action.format(reason=told)
    return Advice(Sheet.REJECTED_BY_MILLENNIUM, text.label, action, "", recommends=False, names_branch=False)


def advise_owed(*, migrates: bool) -> Advice:
    """Return the texts of the row of a post that is in the list for its outcome alone.

    Args:
        migrates: whether it migrates now, so that a later release will be its outcome.
    """
    text, action = WORK_LIST_TEXTS[Sheet.OWED], WORK_LIST_OWED_MIGRATES if migrates else WORK_LIST_SAY_OUTCOME
    return Advice(Sheet.OWED, text.title, action, "", recommends=False, names_branch=False)


def reason_line(reason: str | None) -> str:
    """Return a receiver's reason on one line; empty for none."""
    return " ".join((reason or "").split())


def _lines(texts: Iterable[str]) -> str:
    lines = list(texts)
    return lines[0] if len(lines) == 1 else "\n".join(f"• {line}" for line in lines)
