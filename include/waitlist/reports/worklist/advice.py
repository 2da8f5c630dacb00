"""Which sheet a post stands on, and what its unit is told about it.

A post has one disposition and any number of findings, and each finding's text was written for itself. Shown side by
side, "Boka patienten direkt i Millennium" and "Flytta posten till SDV-väntelistan" would have a patient booked
twice. So where a post leaves the migration, only what led there and what must be undone is said in full; everything
else is named without an instruction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from waitlist.exceptions import WorkListError
from waitlist.judge.rules import DISPOSITIONS, RULES, Code, Disposition, Severity
from waitlist.swedish.words import REQUEST_LABELS, WORK_LIST_CHANGES, finding_text, rule_label


class Sheet(StrEnum):
    """What somebody has to do, in the order of the workbook's sheets."""

    FIX_IN_PMO = "fix_in_pmo"
    MOVE_TO_SDV_LIST = "move_to_sdv_list"
    BOOK_IN_PMO = "book_in_pmo"
    BOOK_IN_MILLENNIUM = "book_in_millennium"
    HANDLE_MANUALLY = "handle_manually"
    CHECK = "check"
    """Posts that migrate with a finding that somebody should look at."""
    TAKE_OFF_SDV_LIST = "take_off_sdv_list"
    """Administrative posts that lie on an SDV list."""
    CORRECT_IN_MILLENNIUM = "correct_in_millennium"
    """Released posts that PMO has changed or closed since."""
    PLAN_UNIT = "plan_unit"
    """Posts of a unit without go-live that can be corrected meanwhile."""


class Finding(NamedTuple):
    """A row of ``finding``."""

    rule: str
    severity: str
    detail: str | None


@dataclass(frozen=True, slots=True)
class Advice:
    """What is said about a post."""

    sheet: Sheet
    label: str
    """The one thing that put it there, in a few words."""
    action: str
    """What to do, a line each."""
    others: str
    """What else was found, named only."""
    recommends: bool
    """Whether the SDV list that the mapping recommends may be acted upon."""
    names_branch: bool
    """Whether the branch is to be written in the post's texts."""


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
# For the record, yet its text asks somebody to look (policy "migrate").
_STRADDLES: Final = Code.STRADDLES_CUTOFF
_LEAVING: Final = frozenset(
    {Sheet.BOOK_IN_PMO, Sheet.BOOK_IN_MILLENNIUM, Sheet.HANDLE_MANUALLY, Sheet.TAKE_OFF_SDV_LIST}
)

_PLACE: Final[Mapping[str, int]] = {code: place for place, code in enumerate(RULES)}
_GRAVITY: Final = {severity.value: gravity for gravity, severity in enumerate(Severity)}


@lru_cache(maxsize=10_000)
def advise(disposition: Disposition, findings: tuple[Finding, ...]) -> Advice | None:
    """Return what to say about a post, None when nobody has to do anything.

    What decided comes first, then what blocks, errors, warnings and what is for the record, each in the order of
    the rules.

    Raises:
        WorkListError: nothing that was found explains the disposition.
    """
    sheet = _sheet(disposition, findings)
    if sheet is None:
        return None
    deciding = _deciding(disposition, {each.rule for each in findings})
    # The sheet itself says that the unit is not planned, and its staff cannot do anything about it.
    left = [each for each in findings if sheet is not Sheet.PLAN_UNIT or each.rule != _UNPLANNED]
    ordered = sorted(left, key=lambda each: (each.rule not in deciding, _GRAVITY[each.severity], _PLACE[each.rule]))
    live = any(each.rule == _LIVE for each in findings)
    leaves = sheet in _LEAVING or (sheet is Sheet.FIX_IN_PMO and live)
    said = [each for each in ordered if not leaves or _in_full(disposition, each, deciding)]
    if not said:
        raise WorkListError(f"a post is {disposition} and no finding says why: the batch's detail is not whole")
    return Advice(
        sheet,
        label=rule_label(said[0].rule),
        action=_lines(finding_text(each.rule, each.detail) for each in said),
        others="; ".join(rule_label(each.rule) for each in ordered if each not in said),
        recommends=not leaves,
        names_branch=any(each.rule == _BRANCH for each in said),
    )


def _sheet(disposition: Disposition, findings: tuple[Finding, ...]) -> Sheet | None:
    if disposition in _ALWAYS:
        return _ALWAYS[disposition]
    rules = {each.rule for each in findings}
    if disposition is Disposition.LEAVE and _ON_SDV_LIST in rules:
        return Sheet.TAKE_OFF_SDV_LIST
    concerns = {each.rule for each in findings if each.severity != Severity.INFO} | rules & {_STRADDLES}
    if disposition is Disposition.MIGRATE and concerns:
        return Sheet.CHECK
    if disposition is Disposition.PLAN_UNIT and concerns - {_UNPLANNED}:
        return Sheet.PLAN_UNIT
    return None


def _deciding(disposition: Disposition, rules: set[str]) -> frozenset[str]:
    """Return the rules of the row that decided; none where a lead has raised a warning."""
    rows = (rules.intersection(codes) for each, codes in DISPOSITIONS if each is disposition)
    return frozenset(next(filter(None, rows), ()))


def _in_full(disposition: Disposition, finding: Finding, deciding: frozenset[str]) -> bool:
    """Tell whether a finding of a post that leaves the migration is said with its instruction."""
    if disposition is Disposition.LEAVE:
        # The other errors speak of a patient to be booked.
        return finding.rule == _ON_SDV_LIST
    booked_there = disposition is Disposition.FIX_IN_PMO and finding.rule == _LIVE
    return booked_there or finding.rule in deciding or finding.severity == Severity.ERROR


def advise_change(change: str, columns: str) -> Advice:
    """Return what to say about a released post that PMO has changed since.

    Args:
        change: ``changed`` or ``gone``, and
        columns: the names of the columns, as in ``released_change``.
    """
    text = WORK_LIST_CHANGES[change]
    named = ", ".join(REQUEST_LABELS.get(name, name) for name in columns.split(", ") if name)
    said = text.with_detail.format(detail=named) if text.with_detail and named else text.action
    return Advice(Sheet.CORRECT_IN_MILLENNIUM, text.label, said, "", recommends=False, names_branch=False)


def _lines(texts: Iterable[str]) -> str:
    lines = list(texts)
    return lines[0] if len(lines) == 1 else "\n".join(f"• {line}" for line in lines)
