"""Every post has exactly one disposition, and the posts that migrate are exactly the rows."""

import datetime as dt
import hashlib
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.posts import (
    CUTOFF,
    PERSON,
    PERSON_ID,
    UNIT,
    UNIT_CHILD_HEALTH,
    UNIT_LIVE,
    UNIT_UNLISTED,
    UNIT_WITHOUT_GO_LIVE,
    context,
    table,
    unit,
)

from waitlist.judge import booking_request
from waitlist.judge.assess import DISPOSITION_SCHEMA, FINDING_SCHEMA, assess
from waitlist.judge.rules import DISPOSITIONS, RULES, Disposition

BASE = "Diabetesmottagning"
RELEASED: dict[str, Any] = {"released": True}


def disposition(post: dict[str, Any], **settings: Any) -> str:
    post = dict(post)
    released = [1] if post.pop("released", False) else []
    (row,) = assess(table(post), context(**settings), released=released).dispositions.to_pylist()
    return str(row["disposition"])


LADDER: list[tuple[dict[str, Any], Disposition]] = [
    (RELEASED, Disposition.ALREADY_RELEASED),
    ({"vantar_pa_besok": False}, Disposition.LEAVE),
    ({"personnummer": None}, Disposition.HANDLE_MANUALLY),
    (
        {"boka_from": "2024-08-01", "boka_fore": "2024-11-17", "enhet_hsa_id": UNIT},
        Disposition.BOOK_IN_PMO,
    ),
    ({"nybesok": True}, Disposition.BOOK_IN_MILLENNIUM),
    ({"boka_fore": None}, Disposition.FIX_IN_PMO),
    ({"enhet_hsa_id": UNIT_WITHOUT_GO_LIVE}, Disposition.PLAN_UNIT),
    ({"enhet_hsa_id": UNIT_LIVE}, Disposition.BOOK_IN_MILLENNIUM),
    ({"filial": "Åkarp"}, Disposition.FIX_IN_PMO),
    ({"kategori": BASE}, Disposition.MOVE_TO_SDV_LIST),
    ({}, Disposition.MIGRATE),
]


@pytest.mark.parametrize("rung", range(len(LADDER)), ids=lambda rung: LADDER[rung][1].value)
def test_the_first_row_that_holds_decides(rung: int) -> None:
    spoilt: dict[str, Any] = {}
    for faults, _ in reversed(LADDER[rung:]):
        spoilt |= faults
    assert disposition(spoilt) == LADDER[rung][1]


@pytest.mark.parametrize(
    ("post", "expected"),
    [
        ({"patient": None}, "handle_manually"),
        ({"personnummer": PERSON + "x"}, "handle_manually"),
        ({"personnummer": "121212-1212"}, "handle_manually"),
        ({"boka_from": "2024-08-01", "boka_fore": "2024-10-01"}, "book_in_pmo"),
        ({"boka_from": "2024-08-01", "boka_fore": "2024-11-17", "kategori": "Finns inte"}, "book_in_pmo"),
        ({"boka_from": "2024-08-01", "boka_fore": "2024-11-17", "personnummer": "121212-1212"}, "handle_manually"),
        ({"boka_from": "2024-08-01", "boka_fore": "2024-11-18"}, "book_in_millennium"),
        ({"boka_from": "2025-04-01"}, "fix_in_pmo"),
        ({"boka_from": "2024-01-01", "boka_fore": "2024-09-30"}, "fix_in_pmo"),
        ({"boka_from": "2024-11-20", "boka_fore": CUTOFF.isoformat()}, "book_in_millennium"),
        ({"kategori": "Finns inte"}, "fix_in_pmo"),
        ({"har_bilaga": True, "orsak": "", "planerade_atgarder": ""}, "fix_in_pmo"),
        ({"enhet_hsa_id": UNIT_UNLISTED}, "plan_unit"),
        ({"enhet_hsa_id": UNIT_LIVE, "boka_fore": "2024-09-30"}, "fix_in_pmo"),
        ({"enhet_hsa_id": UNIT_CHILD_HEALTH}, "migrate"),
        ({"sekretess": True, "har_bilaga": True, "kontaktform": "brev"}, "migrate"),
    ],
)
def test_findings_lead_to_dispositions(post: dict[str, Any], expected: str) -> None:
    assert disposition(post) == expected


def test_a_warning_that_a_lead_has_raised_is_fixed_in_pmo_unless_something_above_holds() -> None:
    raised = {"ATTACHMENT_NOT_MIGRATED": "blocks"}
    attached = {"har_bilaga": True}
    assert disposition(attached, raised=raised) == "fix_in_pmo"
    assert disposition(attached | {"kategori": BASE}, raised=raised) == "fix_in_pmo"
    assert disposition(attached | {"enhet_hsa_id": UNIT_LIVE}, raised=raised) == "book_in_millennium"
    (row,) = assess(table(attached), context(raised=raised)).findings.to_pylist()
    assert row["severity"] == "blocks"


def test_a_list_is_never_recommended_outside_the_unit_s_care_areas() -> None:
    rows = assess(
        table(
            {"kategori": BASE},
            {"kategori": BASE, "enhet_hsa_id": UNIT_CHILD_HEALTH},
            {"kategori": BASE, "enhet_hsa_id": UNIT_UNLISTED},
            {"kategori": BASE, "enhet_hsa_id": None},
        ),
        context(),
    ).dispositions.to_pylist()
    recommended = "SDV Pv Ssk Återbesök (diabetes)"
    assert [row["recommended_list"] for row in rows] == [recommended, None, recommended, recommended]
    assert [row["disposition"] for row in rows] == ["move_to_sdv_list", "move_to_sdv_list", "plan_unit", "plan_unit"]


STRADDLER = {"boka_from": CUTOFF.isoformat(), "boka_fore": (CUTOFF + dt.timedelta(1)).isoformat()}


@pytest.mark.parametrize(
    ("policy", "expected", "severity"),
    [
        ("book", "book_in_millennium", "info"),
        ("migrate", "migrate", "info"),
        ("review", "fix_in_pmo", "blocks"),
    ],
)
def test_the_straddle_policy_decides_what_the_instruction_does_not(policy: str, expected: str, severity: str) -> None:
    assert disposition(STRADDLER, straddle_policy=policy) == expected
    rows = assess(table(STRADDLER), context(straddle_policy=policy)).findings.to_pylist()
    assert {row["severity"] for row in rows if row["rule"] == "STRADDLES_CUTOFF"} == {severity}


def request(post: dict[str, Any], **settings: Any) -> dict[str, Any]:
    (row,) = assess(table(post), context(**settings)).bokningsbegaran.to_pylist()
    return dict(row)


def test_a_booking_request_carries_the_columns_of_chapter_6() -> None:
    row = request({"sekretess": True})
    assert row.pop("row_hash")
    assert row == {
        "post_id": 1,
        "person_id": PERSON_ID,
        "begard_plats": "Vårdcentralen Provet",
        "patientnamn": "Lindqvist, Åsa",
        "begart_startdatum": dt.date(2025, 1, 20),
        "begart_slutdatum": dt.date(2025, 3, 20),
        "besokstyp": "SDV Pv Ssk Återbesök (diabetes)",
        "vardinrattning": "Vårdcentralen Provet",
        "beskrivning": ("Användare: Eva Öberg | Orsak: Årskontroll diabetes | Planerade åtgärder: Fotstatus, HbA1c"),
        "sekretess": True,
    }


def test_the_plan_names_millenniums_place_and_facility() -> None:
    planned = unit(UNIT, dt.date(2024, 11, 18), "Pv", begard_plats="M Plats", vardinrattning="M Inrättning")
    row = request({}, units=(planned,))
    assert (row["begard_plats"], row["vardinrattning"]) == ("M Plats", "M Inrättning")


def test_a_unit_without_a_name_in_the_extract_goes_by_its_name_in_the_plan() -> None:
    assert request({"enhet": " "})["begard_plats"] == "Enligt plan"


def test_the_visit_type_is_the_lists_name_as_the_catalogue_writes_it() -> None:
    assert request({"kategori": " sdv pv ssk återbesök(diabetes)"})["besokstyp"] == "SDV Pv Ssk Återbesök (diabetes)"


@pytest.mark.parametrize(
    ("texts", "beskrivning"),
    [
        ({"anvandare": None}, "Orsak: Årskontroll diabetes | Planerade åtgärder: Fotstatus, HbA1c"),
        ({"anvandare": " ", "orsak": "\x07", "planerade_atgarder": None}, ""),
        (
            {"orsak": "Rad 1\r\n  rad\u00a02\x00 ", "planerade_atgarder": ""},
            "Användare: Eva Öberg | Orsak: Rad 1 rad 2",
        ),
    ],
)
def test_empty_parts_are_left_out_and_white_space_folds(texts: dict[str, Any], beskrivning: str) -> None:
    assert request(texts)["beskrivning"] == beskrivning


def test_tidsatgang_is_left_out_unless_the_setting_asks_for_it() -> None:
    assert request({}, include_duration=True)["beskrivning"].endswith(" | Tidsåtgång: 30 min")
    assert "Tidsåtgång" not in request({"tidsatgang_min": None}, include_duration=True)["beskrivning"]


def test_patient_names_are_cleaned_and_folded() -> None:
    assert request({"patient": " Lindqvist,\x00\n Åsa "})["patientnamn"] == "Lindqvist, Åsa"


def test_the_row_hash_is_sha256_over_the_canonical_texts() -> None:
    row = request({"sekretess": True})
    canonical = "\x1f".join(
        ["1", PERSON_ID, row["begard_plats"], row["patientnamn"], "2025-01-20", "2025-03-20", row["besokstyp"],
         row["vardinrattning"], row["beskrivning"], "1"]
    )  # fmt: skip
    assert row["row_hash"] == hashlib.sha256(canonical.encode()).hexdigest()


def test_a_null_hashes_as_the_empty_text() -> None:
    row = request({})
    rows = pa.Table.from_pylist([row | {"beskrivning": None}, row | {"beskrivning": ""}], schema=booking_request.SCHEMA)
    null, empty = booking_request.row_hashes(rows).to_pylist()
    assert null == empty != row["row_hash"]


def test_a_post_that_is_not_moved_has_its_recommended_list() -> None:
    rows = assess(table({"kategori": BASE}, {}, {"kategori": "Finns inte"}), context()).dispositions.to_pylist()
    assert [row["recommended_list"] for row in rows] == ["SDV Pv Ssk Återbesök (diabetes)", None, None]


def test_a_usable_date_is_kept() -> None:
    rows = assess(
        table({"boka_from": "2025-02-01", "boka_fore": "2025-01-01"}, {"boka_from": "snarast", "boka_fore": None}),
        context(),
    ).dispositions.to_pylist()
    assert [(row["boka_from"], row["boka_fore"]) for row in rows] == [
        (dt.date(2025, 2, 1), dt.date(2025, 1, 1)),
        (None, None),
    ]


def test_an_empty_chunk_gives_three_empty_tables() -> None:
    assessed = assess(table(), context())
    assert (
        assessed.dispositions.num_rows,
        assessed.findings.num_rows,
        assessed.bokningsbegaran.num_rows,
    ) == (0, 0, 0)


texts = st.none() | st.sampled_from(["", " ", "Åkarp", "x\x00y", "lång " * 80, "rad\nrad"]) | st.text(max_size=8)
days = (
    st.none()
    | st.sampled_from(["", "snarast", "2025-02-30"])
    | st.dates(dt.date(2024, 9, 1), dt.date(2025, 3, 1)).map(str)
)
any_post = st.fixed_dictionaries(
    {
        "personnummer": st.sampled_from([PERSON, None, " ", "850314-T238", "850374-2388", "19990101-0000"])
        | st.text(max_size=13),
        "patient": texts,
        "sekretess": st.booleans(),
        "enhet_hsa_id": st.sampled_from(
            [UNIT, UNIT_WITHOUT_GO_LIVE, UNIT_LIVE, UNIT_CHILD_HEALTH, UNIT_UNLISTED, None]
        ),
        "enhet": texts,
        "kategori": st.sampled_from(
            [BASE, "SDV Pv Ssk Återbesök (diabetes)", "SDV Bvc Ssk Återbesök (4 år)", "Telefontid", None, "?"]
        ),
        "kontaktform": st.sampled_from(["besok", "telefon", "video", "hembesok", "brev", None]),
        "vantar_pa_besok": st.booleans(),
        "nybesok": st.booleans(),
        "har_bilaga": st.booleans(),
        "boka_from": days,
        "boka_fore": days,
        "orsak": texts,
        "planerade_atgarder": texts,
        "anvandare": texts,
        "tidsatgang_min": st.none() | st.integers(0, 600),
        "filial": st.sampled_from([None, "", "Åkarp"]),
    }
)
settings_drawn = st.fixed_dictionaries(
    {
        "straddle_policy": st.sampled_from(["book", "migrate", "review"]),
        "raised": st.sampled_from([{}, {"AGE_MISMATCH": "blocks", "ATTACHMENT_NOT_MIGRATED": "blocks"}]),
        "include_duration": st.booleans(),
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(any_post, max_size=6), settings_drawn)
def test_any_posts_add_up(drawn: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    assessed = assess(table(*drawn), context(**asked), released=[2], duplicates=[1, 3])
    assessed.dispositions.validate(full=True)
    assert assessed.dispositions.schema == DISPOSITION_SCHEMA
    assert assessed.findings.schema == FINDING_SCHEMA
    dispositions = {row["post_id"]: row["disposition"] for row in assessed.dispositions.to_pylist()}
    assert list(dispositions) == list(range(1, len(drawn) + 1))
    staged = {row["post_id"] for row in assessed.bokningsbegaran.to_pylist()}
    assert staged == {post for post, what in dispositions.items() if what == "migrate"}
    blocked = {row["post_id"] for row in assessed.findings.to_pylist() if row["severity"] == "blocks"}
    assert blocked == {post for post, what in dispositions.items() if what != "migrate"}
    for row in assessed.bokningsbegaran.to_pylist():
        needed = ("person_id", "begard_plats", "patientnamn", "besokstyp", "vardinrattning")
        assert all(row[name] and row[name].strip() for name in needed)
        assert row["begart_startdatum"] <= row["begart_slutdatum"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(any_post, min_size=1, max_size=5))
def test_a_posts_result_does_not_depend_on_the_posts_beside_it(drawn: list[dict[str, Any]]) -> None:
    together = assess(table(*drawn), context())
    for number, post in enumerate(drawn, start=1):
        alone = assess(table(post | {"post_id": number}), context())
        for name in ("dispositions", "findings", "bokningsbegaran"):
            rows = [row for row in getattr(together, name).to_pylist() if row["post_id"] == number]
            assert rows == getattr(alone, name).to_pylist()


def test_every_blocking_rule_leads_somewhere() -> None:
    listed = {code for _, codes in DISPOSITIONS for code in codes}
    assert listed == {code for code, rule in RULES.items() if rule.severity == "blocks"}
