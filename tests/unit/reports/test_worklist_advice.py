"""Work lists: the sheet of each post, and that no text advises a harmful action."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist.exceptions import WorkListError
from waitlist.judge.rules import DISPOSITIONS, RULES, Disposition, Severity
from waitlist.reports.worklist.advice import Advice, Finding, Sheet, advise, advise_change
from waitlist.swedish.words import WORK_LIST_TEXTS, finding_text, rule_label


def finding(rule: str, detail: str | None = None, severity: str | None = None) -> Finding:
    return Finding(rule, severity or RULES[rule].severity.value, detail)


def told(disposition: Disposition, *rules: str | Finding) -> Advice | None:
    return advise(disposition, tuple(finding(rule) if isinstance(rule, str) else rule for rule in rules))


LISTED = "SDV Pv Ssk Återbesök (diabetes)"
MOVE = finding("CATEGORY_NOT_MOVED", LISTED)


# The sheet


@pytest.mark.parametrize(
    ("disposition", "rules", "sheet"),
    [
        (Disposition.FIX_IN_PMO, ["DATE_EXPIRED"], Sheet.FIX_IN_PMO),
        (Disposition.MOVE_TO_SDV_LIST, ["CATEGORY_NOT_MOVED"], Sheet.MOVE_TO_SDV_LIST),
        (Disposition.BOOK_IN_PMO, ["ENDS_BEFORE_GO_LIVE"], Sheet.BOOK_IN_PMO),
        (Disposition.BOOK_IN_MILLENNIUM, ["WITHIN_CUTOFF"], Sheet.BOOK_IN_MILLENNIUM),
        (Disposition.HANDLE_MANUALLY, ["ID_MISSING"], Sheet.HANDLE_MANUALLY),
        (Disposition.MIGRATE, [], None),
        (Disposition.MIGRATE, ["PROTECTED_IDENTITY", "TEXT_CLEANED"], None),
        (Disposition.MIGRATE, ["ATTACHMENT_NOT_MIGRATED"], Sheet.CHECK),
        (Disposition.MIGRATE, ["STRADDLES_CUTOFF"], Sheet.CHECK),
        (Disposition.LEAVE, ["NOT_WAITING"], None),
        (Disposition.LEAVE, ["NOT_WAITING", "NOT_WAITING_ON_SDV_LIST"], Sheet.TAKE_OFF_SDV_LIST),
        (Disposition.PLAN_UNIT, ["UNIT_UNPLANNED"], None),
        (Disposition.PLAN_UNIT, ["UNIT_UNPLANNED", "TEXT_CLEANED"], None),
        (Disposition.PLAN_UNIT, ["UNIT_UNPLANNED", "CATEGORY_NOT_MOVED"], Sheet.PLAN_UNIT),
        (Disposition.ALREADY_RELEASED, ["ALREADY_RELEASED", "NOT_WAITING_ON_SDV_LIST", "DATE_EXPIRED"], None),
    ],
)
def test_post_is_on_the_sheet_for_the_action_that_it_needs(
    disposition: Disposition, rules: list[str], sheet: Sheet | None
) -> None:
    advice = told(disposition, *rules)
    assert (advice.sheet if advice else None) == sheet


def test_every_sheet_has_its_texts_and_a_title_that_excel_takes() -> None:
    assert set(WORK_LIST_TEXTS) == set(Sheet)
    titles = [WORK_LIST_TEXTS[sheet].title for sheet in Sheet]
    assert max(map(len, titles)) <= 31
    assert len({title.casefold() for title in titles}) == len(titles)
    assert not set("[]:*?/\\'") & set("".join(titles))


# The text


def test_one_finding_gives_its_text() -> None:
    advice = told(Disposition.MOVE_TO_SDV_LIST, MOVE)
    assert advice is not None
    assert advice.action == f"Flytta posten till {LISTED}. (Instruktionen, kapitel 2 steg 6 och kapitel 4)"
    assert (advice.label, advice.others, advice.recommends) == ("Inte flyttad till SDV-väntelista", "", True)


def test_what_decided_comes_first_then_what_blocks_then_the_rest_by_gravity() -> None:
    advice = told(
        Disposition.FIX_IN_PMO,
        "ATTACHMENT_NOT_MIGRATED", "BRANCH_NOT_IN_TEXT", "DATE_EXPIRED", "PROTECTED_IDENTITY", MOVE,
    )  # fmt: skip
    assert advice is not None
    assert advice.action.split("\n") == [
        f"• {finding_text(code, detail)}"
        for code, detail in (
            ("DATE_EXPIRED", None),
            ("CATEGORY_NOT_MOVED", LISTED),
            ("BRANCH_NOT_IN_TEXT", None),
            ("ATTACHMENT_NOT_MIGRATED", None),
            ("PROTECTED_IDENTITY", None),
        )
    ]
    assert advice.label == rule_label("DATE_EXPIRED")


def test_a_raised_warning_names_the_row() -> None:
    advice = told(Disposition.FIX_IN_PMO, finding("AGE_MISMATCH", severity="blocks"), "ATTACHMENT_NOT_MIGRATED")
    assert advice is not None
    assert advice.label == rule_label("AGE_MISMATCH")


def test_first_visit_is_booked_and_not_moved() -> None:
    advice = told(Disposition.BOOK_IN_MILLENNIUM, "FIRST_VISIT", MOVE)
    assert advice is not None
    assert advice.action == finding_text("FIRST_VISIT", None)
    assert (advice.others, advice.recommends) == (rule_label("CATEGORY_NOT_MOVED"), False)


def test_post_that_is_booked_directly_is_taken_off_its_sdv_list() -> None:
    advice = told(Disposition.BOOK_IN_MILLENNIUM, finding("WITHIN_CUTOFF", "2024-12-16"), "NOT_ELIGIBLE_ON_SDV_LIST")
    assert advice is not None
    assert advice.action.split("\n") == [
        f"• {finding_text('WITHIN_CUTOFF', '2024-12-16')}",
        f"• {finding_text('NOT_ELIGIBLE_ON_SDV_LIST', None)}",
    ]


def test_first_visit_before_go_live_is_booked_in_pmo_and_nowhere_else() -> None:
    advice = told(
        Disposition.BOOK_IN_PMO,
        "FIRST_VISIT", finding("ENDS_BEFORE_GO_LIVE", "2024-11-18"), "NOT_ELIGIBLE_ON_SDV_LIST", "CATEGORY_UNKNOWN",
    )  # fmt: skip
    assert advice is not None
    assert advice.action.split("\n") == [
        f"• {finding_text('ENDS_BEFORE_GO_LIVE', '2024-11-18')}",
        f"• {finding_text('NOT_ELIGIBLE_ON_SDV_LIST', None)}",
    ]
    assert "i Millennium" not in advice.action
    assert advice.label == rule_label("ENDS_BEFORE_GO_LIVE")


def test_administrative_post_is_taken_off_and_nobody_is_booked() -> None:
    advice = told(
        Disposition.LEAVE,
        "NOT_WAITING", "NOT_WAITING_ON_SDV_LIST", "NOT_ELIGIBLE_ON_SDV_LIST", "WITHIN_CUTOFF",
    )  # fmt: skip
    assert advice is not None
    assert advice.action == finding_text("NOT_WAITING_ON_SDV_LIST", None)


def test_red_date_at_a_live_unit_is_corrected_and_booked_but_never_moved() -> None:
    advice = told(
        Disposition.FIX_IN_PMO, "DATE_EXPIRED", finding("UNIT_ALREADY_LIVE", "2024-09-16"), "CATEGORY_UNKNOWN"
    )
    assert advice is not None
    assert advice.action.split("\n") == [
        f"• {finding_text('DATE_EXPIRED', None)}",
        f"• {finding_text('UNIT_ALREADY_LIVE', '2024-09-16')}",
    ]
    assert (advice.others, advice.recommends) == (rule_label("CATEGORY_UNKNOWN"), False)


def test_missing_go_live_is_explained_once_on_the_sheet_and_not_in_every_row() -> None:
    advice = told(Disposition.PLAN_UNIT, "UNIT_UNPLANNED", MOVE, "DUPLICATE_POST")
    assert advice is not None
    assert rule_label("UNIT_UNPLANNED") not in advice.label + advice.action + advice.others
    assert (advice.label, advice.recommends) == (rule_label("CATEGORY_NOT_MOVED"), True)


def test_branch_is_named_where_it_must_be_written() -> None:
    said, only_named, none = (
        told(Disposition.FIX_IN_PMO, "BRANCH_NOT_IN_TEXT"),
        told(Disposition.BOOK_IN_MILLENNIUM, "FIRST_VISIT", "BRANCH_NOT_IN_TEXT"),
        told(Disposition.MOVE_TO_SDV_LIST, MOVE),
    )
    assert [advice.names_branch for advice in (said, only_named, none) if advice] == [True, False, False]


def test_disposition_that_no_finding_explains_stops_the_list() -> None:
    with pytest.raises(WorkListError, match="a post is fix_in_pmo and no finding explains it"):
        told(Disposition.FIX_IN_PMO)


def test_contact_form_is_named_as_staff_do() -> None:
    advice = told(Disposition.MIGRATE, finding("CONTACT_FORM_MISMATCH", "hembesok"))
    assert advice is not None
    assert "listan gäller hembesök" in advice.action


def test_text_ends_with_one_full_stop() -> None:
    assert finding_text("DATE_MISSING", "Boka fr.o.m.").startswith("Fyll i ett giltigt datum i Boka fr.o.m. (")


# Any findings


def disposed(rules: Iterable[str]) -> Disposition:
    """Return the disposition as the rules decide it."""
    return next((name for name, codes in DISPOSITIONS if set(codes) & set(rules)), Disposition.MIGRATE)


@given(st.sets(st.sampled_from(sorted(RULES)), min_size=1))
def test_every_finding_is_explained_or_named_and_no_advice_contradicts_the_sheet(rules: set[str]) -> None:
    disposition = disposed(rules)
    advice = told(disposition, *sorted(rules))
    if advice is None:
        assert disposition in {
            Disposition.ALREADY_RELEASED,
            Disposition.LEAVE,
            Disposition.MIGRATE,
            Disposition.PLAN_UNIT,
        }
        return
    unsaid = {rule for rule in rules if finding_text(rule, None) not in advice.action}
    named = set(advice.others.split("; ")) - {""}
    assert named == {rule_label(rule) for rule in unsaid} - (
        {rule_label("UNIT_UNPLANNED")} if advice.sheet is Sheet.PLAN_UNIT else set()
    )
    if advice.sheet in {Sheet.BOOK_IN_PMO, Sheet.BOOK_IN_MILLENNIUM, Sheet.HANDLE_MANUALLY, Sheet.TAKE_OFF_SDV_LIST}:
        assert not advice.recommends
        for move in ("CATEGORY_UNKNOWN", "CATEGORY_NOT_MOVED", "LIST_OUTSIDE_CARE_AREA"):
            assert finding_text(move, None) not in advice.action
    if advice.sheet is Sheet.BOOK_IN_PMO:
        assert "i Millennium" not in advice.action
    if advice.sheet is Sheet.TAKE_OFF_SDV_LIST:
        assert "Boka" not in advice.action
    errors = {rule for rule in rules if RULES[rule].severity is Severity.ERROR}
    if advice.sheet is not Sheet.TAKE_OFF_SDV_LIST:
        assert errors & unsaid == set()


# After release


def test_change_after_release_is_reported_by_column_in_millenniums_terms() -> None:
    advice = advise_change("changed", "begart_slutdatum, beskrivning")
    assert advice.sheet is Sheet.CORRECT_IN_MILLENNIUM
    assert advice.action == (
        "Har ändrats i PMO efter överföringen: Begärt slutdatum, Beskrivning. Rätta bokningsbegäran i Millennium."
    )


def test_released_post_that_is_gone_is_reported_as_gone() -> None:
    advice = advise_change("gone", "")
    assert (advice.sheet, advice.label) == (Sheet.CORRECT_IN_MILLENNIUM, "Avslutad i PMO")
    assert "finns inte längre på väntelistan i PMO" in advice.action


def test_somebody_found_dead_without_a_reason_gets_the_one_instruction_of_the_deceased() -> None:
    advice = told(Disposition.HANDLE_MANUALLY, "PU_DECEASED", "PU_DEREGISTERED")
    assert advice is not None
    assert advice.action == finding_text("PU_DECEASED", None)
    assert advice.others == rule_label("PU_DEREGISTERED")


def test_what_the_person_service_says_of_a_released_patient_comes_first_and_is_told_apart() -> None:
    advice = advise_change("changed", "PU_DECEASED, beskrivning")
    assert advice.comes_first
    assert advice.label == "Kontrollera patienten först"
    person, change = advice.action.splitlines()
    assert "Skicka ingen kallelse" in person
    assert rule_label("PU_DECEASED") in person
    assert "Beskrivning" in change
    assert not advise_change("changed", "beskrivning").comes_first
