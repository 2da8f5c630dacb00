"""Each rule of the domain fires by its own condition, independent of the others."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from tests.support.posts import (
    AS_OF,
    CUTOFF,
    GO_LIVE,
    PERSON,
    PERSON_ID,
    UNIT_CHILD_HEALTH,
    UNIT_LIVE,
    UNIT_UNLISTED,
    UNIT_WITHOUT_GO_LIVE,
    context,
    luhn,
    official,
    table,
)

from waitlist.facts.mappings import PersonForTests
from waitlist.facts.number_patterns import NumberPattern
from waitlist.judge.assess import assess
from waitlist.judge.posts import Posts
from waitlist.judge.rules import OF_PERSONS, RULES, Disposition
from waitlist.swedish.words import DISPOSITION_LABELS, RULE_TEXTS, finding_text

SDV = "SDV Pv Ssk Återbesök (diabetes)"
BASE = "Diabetesmottagning"
COORDINATION = official(dt.date(1985, 3, 14))[:4] + "74-238"
COORDINATION += luhn(COORDINATION.replace("-", ""))
RESERVE = "850314-D1A0"
INTERIM = "850314-T238"
WRONG_DIGIT = PERSON[:-1] + str((int(PERSON[-1]) + 1) % 10)
BEFORE_GO_LIVE, ON_GO_LIVE = (GO_LIVE - dt.timedelta(1)).isoformat(), GO_LIVE.isoformat()
ON_CUTOFF, AFTER_CUTOFF = CUTOFF.isoformat(), (CUTOFF + dt.timedelta(1)).isoformat()


def findings(post: dict[str, Any], **settings: Any) -> dict[str, str | None]:
    rows = assess(table(post), context(**settings)).findings.to_pylist()
    return {row["rule"]: row["detail"] for row in rows}


def fires(rule: str, post: dict[str, Any], **settings: Any) -> bool:
    return rule in findings(post, **settings)


def test_a_clean_post_has_no_finding() -> None:
    assert findings({}) == {}


FIRING: list[tuple[str, dict[str, Any]]] = [
    ("NOT_WAITING", {"vantar_pa_besok": False, "kategori": BASE}),
    ("NOT_WAITING_ON_SDV_LIST", {"vantar_pa_besok": False}),
    ("ID_MISSING", {"personnummer": None}),
    ("ID_MISSING", {"personnummer": " \u00a0"}),
    ("ID_INVALID", {"personnummer": WRONG_DIGIT}),
    ("ID_INVALID", {"personnummer": PERSON + "\n"}),
    ("ID_COORDINATION_NUMBER", {"personnummer": COORDINATION}),
    ("ID_RESERVE_NUMBER", {"personnummer": RESERVE}),
    ("ID_RESERVE_NUMBER", {"personnummer": INTERIM}),
    ("ID_UNSAFE_ON_SDV_LIST", {"personnummer": None}),
    ("ID_UNSAFE_ON_SDV_LIST", {"personnummer": WRONG_DIGIT}),
    ("ID_UNSAFE_ON_SDV_LIST", {"personnummer": COORDINATION}),
    ("ID_UNSAFE_ON_SDV_LIST", {"personnummer": INTERIM}),
    ("TEST_PERSON", {"personnummer": "121212-1212"}),
    ("TEST_PERSON", {"personnummer": " 20121212-1212\u00a0"}),
    ("TEST_PERSON", {"personnummer": "121212+1212"}),
    ("TEST_PERSON", {"personnummer": "191212121212", "vantar_pa_besok": False}),
    ("NAME_MISSING", {"patient": None}),
    ("NAME_MISSING", {"patient": " \t\u00a0"}),
    ("NAME_MISSING", {"patient": "\x00\x07"}),
    ("FIRST_VISIT", {"nybesok": True}),
    ("DATE_MISSING", {"boka_from": None}),
    ("DATE_MISSING", {"boka_fore": "2025-02-30"}),
    ("DATE_INVERTED", {"boka_from": "2025-03-21"}),
    ("DATE_EXPIRED", {"boka_from": "2024-08-01", "boka_fore": "2024-09-30"}),
    ("DATE_EXPIRED", {"boka_from": None, "boka_fore": "2024-09-30"}),
    ("DATE_EXPIRED", {"boka_from": "2025-01-01", "boka_fore": "2024-09-30"}),
    ("ENDS_BEFORE_GO_LIVE", {"boka_from": "2024-08-01", "boka_fore": BEFORE_GO_LIVE}),
    ("ENDS_BEFORE_GO_LIVE", {"boka_from": "2024-08-01", "boka_fore": AS_OF.isoformat(), "vantar_pa_besok": False}),
    ("WITHIN_CUTOFF", {"boka_from": "2024-08-01", "boka_fore": ON_GO_LIVE}),
    ("WITHIN_CUTOFF", {"boka_from": ON_GO_LIVE, "boka_fore": ON_CUTOFF}),
    ("WITHIN_CUTOFF", {"boka_from": "2024-08-01", "boka_fore": "2024-10-14", "enhet_hsa_id": UNIT_LIVE}),
    ("WITHIN_CUTOFF", {"boka_from": ON_CUTOFF, "boka_fore": AFTER_CUTOFF}),
    ("NOT_ELIGIBLE_ON_SDV_LIST", {"nybesok": True}),
    ("NOT_ELIGIBLE_ON_SDV_LIST", {"boka_from": "2024-11-20", "boka_fore": ON_CUTOFF}),
    ("NOT_ELIGIBLE_ON_SDV_LIST", {"boka_from": "2024-08-01", "boka_fore": BEFORE_GO_LIVE}),
    ("STRADDLES_CUTOFF", {"boka_from": ON_CUTOFF, "boka_fore": AFTER_CUTOFF}),
    ("UNIT_UNPLANNED", {"enhet_hsa_id": UNIT_UNLISTED}),
    ("UNIT_UNPLANNED", {"enhet_hsa_id": UNIT_WITHOUT_GO_LIVE}),
    ("UNIT_UNPLANNED", {"enhet_hsa_id": None}),
    ("UNIT_ALREADY_LIVE", {"enhet_hsa_id": UNIT_LIVE}),
    ("UNIT_ALREADY_LIVE", {"enhet_hsa_id": UNIT_LIVE, "boka_from": None, "boka_fore": None}),
    ("CATEGORY_UNKNOWN", {"kategori": "SDV Pv Ssk Återbesök (diabet)"}),
    ("CATEGORY_UNKNOWN", {"kategori": None}),
    ("CATEGORY_NOT_MOVED", {"kategori": BASE}),
    ("LIST_OUTSIDE_CARE_AREA", {"enhet_hsa_id": UNIT_CHILD_HEALTH}),
    ("LIST_OUTSIDE_CARE_AREA", {"enhet_hsa_id": UNIT_CHILD_HEALTH, "kategori": BASE}),
    ("CONTACT_FORM_MISMATCH", {"kategori": "SDV Pv Läk Telefon Återbesök"}),
    ("CONTACT_FORM_MISMATCH", {"kategori": "SDV Pv Läk Video Återbesök", "kontaktform": "brev"}),
    ("CONTACT_FORM_MISMATCH", {"kategori": "SDV Pv Läk Hembesök", "kontaktform": None}),
    ("BRANCH_NOT_IN_TEXT", {"filial": "Åkarp"}),
    ("BRANCH_NOT_IN_TEXT", {"filial": "Åkarp", "orsak": None, "planerade_atgarder": None}),
    ("ATTACHMENT_NOT_MIGRATED", {"har_bilaga": True}),
    ("ATTACHMENT_WITHOUT_TEXT", {"har_bilaga": True, "orsak": None, "planerade_atgarder": " \n"}),
    ("ATTACHMENT_WITHOUT_TEXT", {"har_bilaga": True, "orsak": "\x07", "planerade_atgarder": ""}),
    ("CONTACT_FORM_UNKNOWN", {"kontaktform": "brev"}),
    ("CONTACT_FORM_UNKNOWN", {"kontaktform": None}),
    ("DESCRIPTION_OVER_LIMIT", {"orsak": "å" * 250}),
    ("TEXT_CLEANED", {"anvandare": "Eva\x00 Öberg"}),
    ("TEXT_CLEANED", {"patient": "Lindqvist,\x1b Åsa"}),
    ("PROTECTED_IDENTITY", {"sekretess": True}),
]

SILENT: list[tuple[str, dict[str, Any]]] = [
    ("NOT_WAITING_ON_SDV_LIST", {"vantar_pa_besok": False, "kategori": BASE}),
    ("ID_UNSAFE_ON_SDV_LIST", {"personnummer": None, "kategori": BASE}),
    ("ID_MISSING", {"personnummer": WRONG_DIGIT}),
    ("ID_INVALID", {"personnummer": COORDINATION}),
    ("DATE_MISSING", {"boka_from": "2025-01-20 00:00:00"}),
    ("DATE_INVERTED", {"boka_from": "2025-03-20"}),
    ("DATE_INVERTED", {"boka_from": None}),
    ("DATE_EXPIRED", {"boka_fore": "2024-10-01"}),
    ("TEST_PERSON", {"personnummer": "121212-1213"}),
    ("TEST_PERSON", {"personnummer": "201212121212x"}),
    ("TEST_PERSON", {"personnummer": None}),
    ("ENDS_BEFORE_GO_LIVE", {"boka_from": "2024-08-01", "boka_fore": ON_GO_LIVE}),
    ("ENDS_BEFORE_GO_LIVE", {"boka_from": "2024-08-01", "boka_fore": "2024-09-30"}),
    ("ENDS_BEFORE_GO_LIVE", {"boka_from": "2024-11-10", "boka_fore": "2024-11-01"}),
    ("ENDS_BEFORE_GO_LIVE", {"boka_from": None, "boka_fore": "2024-11-01"}),
    ("ENDS_BEFORE_GO_LIVE", {"boka_from": "2024-08-01", "boka_fore": "2024-11-01", "enhet_hsa_id": UNIT_LIVE}),
    (
        "ENDS_BEFORE_GO_LIVE",
        {"boka_from": "2024-08-01", "boka_fore": "2024-11-01", "enhet_hsa_id": UNIT_WITHOUT_GO_LIVE},
    ),
    ("WITHIN_CUTOFF", {"boka_from": "2024-08-01", "boka_fore": BEFORE_GO_LIVE}),
    ("NOT_ELIGIBLE_ON_SDV_LIST", {"boka_from": "2024-08-01", "boka_fore": BEFORE_GO_LIVE, "kategori": BASE}),
    ("WITHIN_CUTOFF", {"boka_from": AFTER_CUTOFF, "boka_fore": "2025-01-01"}),
    ("WITHIN_CUTOFF", {"boka_from": None, "boka_fore": ON_CUTOFF}),
    ("WITHIN_CUTOFF", {"boka_from": "2024-12-10", "boka_fore": "2024-11-20"}),
    ("WITHIN_CUTOFF", {"boka_from": "2024-08-01", "boka_fore": "2024-09-30"}),
    (
        "WITHIN_CUTOFF",
        {"enhet_hsa_id": UNIT_WITHOUT_GO_LIVE, "boka_from": "2024-11-20", "boka_fore": ON_CUTOFF},
    ),
    ("NOT_ELIGIBLE_ON_SDV_LIST", {"nybesok": True, "kategori": BASE}),
    ("STRADDLES_CUTOFF", {"boka_from": "2024-11-20", "boka_fore": ON_CUTOFF}),
    ("STRADDLES_CUTOFF", {"boka_from": AFTER_CUTOFF}),
    ("UNIT_UNPLANNED", {"enhet_hsa_id": UNIT_LIVE}),
    ("UNIT_ALREADY_LIVE", {}),
    ("CATEGORY_UNKNOWN", {"kategori": " sdv pv  ssk\u00a0återbesök(diabetes) "}),
    ("CATEGORY_NOT_MOVED", {"kategori": "Finns inte"}),
    ("LIST_OUTSIDE_CARE_AREA", {"enhet_hsa_id": UNIT_UNLISTED}),
    ("LIST_OUTSIDE_CARE_AREA", {"enhet_hsa_id": UNIT_CHILD_HEALTH, "kategori": "Finns inte"}),
    ("CONTACT_FORM_MISMATCH", {"kontaktform": "video"}),
    ("CONTACT_FORM_MISMATCH", {"kategori": "SDV Pv Läk Telefon Återbesök", "kontaktform": "telefon"}),
    ("BRANCH_NOT_IN_TEXT", {"filial": "A\u030akarp", "orsak": "besök i ÅKARP i vår"}),
    ("BRANCH_NOT_IN_TEXT", {"filial": "Stora  Torg", "planerade_atgarder": "vid stora\ntorg"}),
    ("BRANCH_NOT_IN_TEXT", {"filial": " \u00a0"}),
    ("ATTACHMENT_WITHOUT_TEXT", {"har_bilaga": True, "planerade_atgarder": None}),
    ("ATTACHMENT_WITHOUT_TEXT", {"orsak": None, "planerade_atgarder": None}),
    ("TEXT_CLEANED", {"orsak": "rad 1\r\n\trad 2"}),
    ("TEXT_CLEANED", {"filial": "\x07"}),
]


@pytest.mark.parametrize(("rule", "post"), FIRING, ids=lambda value: value if isinstance(value, str) else "")
def test_fires(rule: str, post: dict[str, Any]) -> None:
    assert fires(rule, post)


@pytest.mark.parametrize(("rule", "post"), SILENT, ids=lambda value: value if isinstance(value, str) else "")
def test_stays_silent(rule: str, post: dict[str, Any]) -> None:
    assert not fires(rule, post)


def test_every_rule_has_a_case_that_fires() -> None:
    from_outside = {"DUPLICATE_POST", "ALREADY_RELEASED"}
    by_age = {"AGE_MISMATCH", "AGE_IMPLAUSIBLE"}
    assert {rule for rule, _ in FIRING} | from_outside | by_age == RULES.keys() - OF_PERSONS


@pytest.mark.parametrize(("rule", "post"), FIRING, ids=lambda value: value if isinstance(value, str) else "")
def test_a_predicate_reads_no_column_but_those_it_names(rule: str, post: dict[str, Any]) -> None:
    named = table(post).select(RULES[rule].columns)
    assert RULES[rule].predicate(Posts(named, context())).tolist() == [True]


def test_duplicates_and_released_posts_are_an_input() -> None:
    assessed = assess(table({}, {}, {}), context(), duplicates=[2], released=[3])
    rows = {(row["post_id"], row["rule"]) for row in assessed.findings.to_pylist()}
    assert rows == {(2, "DUPLICATE_POST"), (3, "ALREADY_RELEASED")}


def child(birth: dt.date) -> str:
    """A number of the test list for 2020-01-01..2020-04-19: the serial that makes an even sum with the day."""
    serial = 238 + (birth.toordinal() % 2)
    return f"{birth:%Y%m%d}{serial}{luhn(f'{birth:%y%m%d}{serial}')}"


BORN_2020 = child(dt.date(2020, 3, 31))


@pytest.mark.parametrize(
    ("number", "kategori", "start", "end", "mismatch"),
    [
        (BORN_2020, "SDV Bhv Ssk Återbesök (4 år)", "2025-03-30", "2025-06-01", False),
        (BORN_2020, "SDV Bhv Ssk Återbesök (4 år)", "2025-03-31", "2025-06-01", True),
        (BORN_2020, "SDV Bvc Ssk Återbesök (4 år)", "2025-03-31", "2025-06-01", True),
        (BORN_2020, "SDV Bhv Ssk Återbesök (4 år)", "2023-12-01", "2024-01-31", False),
        (BORN_2020, "SDV Bhv Ssk Återbesök (4 år)", "2023-12-01", "2024-01-30", True),
        (PERSON, "SDV Pv Usk Provtagning Barn", "2003-03-13", "2003-06-01", False),
        (PERSON, "SDV Pv Usk Provtagning Barn", "2003-03-14", "2003-06-01", True),
        (PERSON, "SDV Pv Usk Provtagning Vuxen", "2003-01-01", "2003-03-14", False),
        (PERSON, "SDV Pv Usk Provtagning Vuxen", "2003-01-01", "2003-03-13", True),
        (PERSON, "SDV Pv Usk Provtagning Barn", "2003-06-01", "2003-03-14", False),
        (PERSON, "SDV Pv Usk Provtagning Barn", None, "2003-06-01", False),
        (WRONG_DIGIT, "SDV Pv Usk Provtagning Barn", "2003-03-14", "2003-06-01", False),
    ],
)
def test_age_is_judged_at_both_ends_of_the_window(
    number: str, kategori: str, start: str | None, end: str, mismatch: bool
) -> None:
    post = {"personnummer": number, "kategori": kategori, "boka_from": start, "boka_fore": end}
    assert fires("AGE_MISMATCH", post) is mismatch


def infant(birth: dt.date) -> str:
    """The ten digits and sign of a number of the test list for 2023-03-09..2024-12-31: an odd sum of serial and day."""
    serial = 238 + (birth.toordinal() + 1) % 2
    return f"{birth:%y%m%d}-{serial}{luhn(f'{birth:%y%m%d}{serial}')}"


BABY, TODDLER = infant(dt.date(2024, 9, 30)), infant(dt.date(2023, 3, 9))


@pytest.mark.parametrize(
    ("post", "implausible"),
    [
        ({"personnummer": BABY}, True),
        ({"personnummer": BABY, "kategori": BASE}, True),
        ({"personnummer": f" {TODDLER}\u00a0"}, True),
        ({"personnummer": TODDLER, "enhet_hsa_id": UNIT_CHILD_HEALTH}, True),
        ({"personnummer": f"20{BABY}"}, False),
        ({"personnummer": f"20{BABY.replace('-', '')}"}, False),
        ({"personnummer": BABY, "kategori": "SDV Bhv Ssk Återbesök (3 mån)"}, False),
        ({"personnummer": BABY, "kategori": "Finns inte"}, False),
        ({"personnummer": PERSON}, False),
        ({"personnummer": COORDINATION}, False),
    ],
)
def test_a_child_by_the_sign_alone_on_a_list_for_others_may_be_a_hundred_years_old(
    post: dict[str, Any], *, implausible: bool
) -> None:
    assert fires("AGE_IMPLAUSIBLE", post) is implausible


@pytest.mark.parametrize(("as_of", "implausible"), [(dt.date(2025, 3, 8), True), (dt.date(2025, 3, 9), False)])
def test_a_child_of_two_years_is_plausible(as_of: dt.date, *, implausible: bool) -> None:
    assert fires("AGE_IMPLAUSIBLE", {"personnummer": TODDLER}, as_of=as_of) is implausible


def test_nobody_ends_before_go_live_and_within_the_cutoff() -> None:
    days = [(AS_OF + dt.timedelta(day)).isoformat() for day in range(-2, 90)]
    posts = [{"boka_from": first, "boka_fore": last} for first in days[::7] for last in days]
    chunk = Posts(table(*posts), context())
    before, within, straddles = (
        RULES[code].predicate(chunk) for code in ("ENDS_BEFORE_GO_LIVE", "WITHIN_CUTOFF", "STRADDLES_CUTOFF")
    )
    assert all(mask.any() for mask in (before, within, straddles))
    assert not (before & (within | straddles)).any()


def test_a_test_person_is_one_that_the_file_names() -> None:
    named = replace(context().mappings, test_persons=(PersonForTests(NumberPattern("x", (PERSON_ID,)), "", ""),))
    judged = Posts(table({}, {"personnummer": "121212-1212"}), replace(context(), mappings=named))
    assert RULES["TEST_PERSON"].predicate(judged).tolist() == [True, False]
    nobody = replace(context(), mappings=replace(named, test_persons=()))
    assert not RULES["TEST_PERSON"].predicate(Posts(table({}), nobody)).any()


def test_a_list_without_ages_takes_anyone() -> None:
    assert not fires("AGE_MISMATCH", {"kategori": SDV})


def test_age_concerns_the_list_that_the_post_lies_on_not_the_recommended_one() -> None:
    assert not fires("AGE_MISMATCH", {"kategori": "Lab/provtagning (barn)"})
    assert fires("AGE_MISMATCH", {"kategori": "SDV Pv Usk Provtagning Barn"})


@pytest.mark.parametrize("policy", ["migrate", "review"])
def test_a_straddler_is_within_the_cutoff_only_by_the_policy_book(policy: str) -> None:
    straddler = {"boka_from": ON_CUTOFF, "boka_fore": AFTER_CUTOFF}
    assert fires("WITHIN_CUTOFF", straddler, straddle_policy="book")
    assert not fires("WITHIN_CUTOFF", straddler, straddle_policy=policy)
    assert fires("STRADDLES_CUTOFF", straddler, straddle_policy=policy)


def test_the_days_after_go_live_are_a_setting() -> None:
    post = {"boka_from": "2024-11-20", "boka_fore": "2024-12-01"}
    assert fires("WITHIN_CUTOFF", post)
    assert not fires("WITHIN_CUTOFF", post, cutoff_days=1)


def test_description_length_counts_code_points_and_the_limit_is_a_setting() -> None:
    length = len("Orsak: ") + 20
    post = {"orsak": "😀" * 20, "anvandare": None, "planerade_atgarder": None}
    assert not fires("DESCRIPTION_OVER_LIMIT", post, description_limit=length)
    assert findings(post, description_limit=length - 1) == {"DESCRIPTION_OVER_LIMIT": str(length)}


@pytest.mark.parametrize(
    ("rule", "post", "detail"),
    [
        ("CATEGORY_NOT_MOVED", {"kategori": BASE}, SDV),
        ("CATEGORY_UNKNOWN", {"kategori": "SDV Pv Ssk Återbesök (diabet)"}, f"{SDV}; SDV Pv Läk Återbesök (diabetes)"),
        ("CATEGORY_NOT_MOVED", {"kategori": BASE, "enhet_hsa_id": UNIT_CHILD_HEALTH}, None),
        ("CATEGORY_NOT_MOVED", {"kategori": BASE, "enhet_hsa_id": UNIT_UNLISTED}, SDV),
        ("CATEGORY_UNKNOWN", {"kategori": "SDV Pv Ssk Återbesök (diabet)", "enhet_hsa_id": UNIT_CHILD_HEALTH}, None),
        (
            "CATEGORY_UNKNOWN",
            {"kategori": "Hypertoni"},
            "SDV Pv Ssk Återbesök (hypertoni); SDV Pv Läk Återbesök (hypertoni)",
        ),
        ("CATEGORY_UNKNOWN", {"kategori": "BVC 10 mån"}, None),
        (
            "CATEGORY_UNKNOWN",
            {"kategori": "BVC 10 mån", "enhet_hsa_id": UNIT_CHILD_HEALTH},
            "SDV Bhv Ssk Återbesök (10 mån)",
        ),
        (
            "CATEGORY_UNKNOWN",
            {"kategori": "BVC 10 mån", "enhet_hsa_id": UNIT_UNLISTED},
            "SDV Bhv Ssk Återbesök (10 mån)",
        ),
        ("ENDS_BEFORE_GO_LIVE", {"boka_from": "2024-08-01", "boka_fore": BEFORE_GO_LIVE}, ON_GO_LIVE),
        ("TEST_PERSON", {"personnummer": "121212-1212"}, None),
        ("DATE_MISSING", {"boka_from": ""}, "Boka fr.o.m."),
        ("DATE_MISSING", {"boka_fore": "?"}, "Boka före"),
        ("DATE_MISSING", {"boka_from": "", "boka_fore": "?"}, "Boka fr.o.m. och Boka före"),
        ("WITHIN_CUTOFF", {"boka_from": "2024-11-20", "boka_fore": ON_CUTOFF}, "2024-12-16"),
        ("UNIT_ALREADY_LIVE", {"enhet_hsa_id": UNIT_LIVE}, "2024-10-01"),
        ("LIST_OUTSIDE_CARE_AREA", {"enhet_hsa_id": UNIT_CHILD_HEALTH}, "Pv, enheten till Bhv"),
        ("CONTACT_FORM_MISMATCH", {"kategori": "SDV Pv Läk Telefon Återbesök"}, "telefon"),
        ("ID_RESERVE_NUMBER", {"personnummer": INTERIM}, "interimsnummer"),
        ("ID_INVALID", {"personnummer": WRONG_DIGIT}, None),
        ("NAME_MISSING", {"patient": None}, None),
    ],
)
def test_a_finding_has_what_staff_need_and_no_personal_data(
    rule: str, post: dict[str, Any], detail: str | None
) -> None:
    assert findings(post)[rule] == detail


def test_every_rule_and_disposition_has_its_swedish_text() -> None:
    assert list(RULE_TEXTS) == list(RULES)
    assert list(DISPOSITION_LABELS) == list(Disposition)


def test_a_text_says_what_to_do_and_where_the_instruction_says_so() -> None:
    moved = finding_text("CATEGORY_NOT_MOVED", SDV)
    assert moved == f"Flytta posten till {SDV}. (Instruktionen, kapitel 2 steg 6 och kapitel 4)"
    assert finding_text("DUPLICATE_POST", None).endswith("rätta datumen om båda besöken behövs.")
    outside = finding_text("LIST_OUTSIDE_CARE_AREA", "Pv, enheten till Bhv och Um")
    assert outside.startswith(
        "Välj en SDV-väntelista inom enhetens vårdområde: listan hör till Pv, enheten till Bhv och"
    )
    assert finding_text("CATEGORY_NOT_MOVED", None).startswith(
        "Flytta posten till en SDV-väntelista inom enhetens vårdområde."
    )


@pytest.mark.parametrize(
    "code", ["ENDS_BEFORE_GO_LIVE", "WITHIN_CUTOFF", "FIRST_VISIT", "UNIT_ALREADY_LIVE", "TEST_PERSON", "ID_MISSING"]
)
def test_a_text_about_a_post_that_never_migrates_says_when_its_row_goes_away(code: str) -> None:
    assert "avsluta" in finding_text(code, "2024-11-18")
