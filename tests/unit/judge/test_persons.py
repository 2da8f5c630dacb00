"""The rules of the person service: each fires by what was answered, and none where nobody is to be asked."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.support.posts import PERSON, PERSON_ID, context, official, table

from waitlist.judge import persons
from waitlist.judge.assess import Assessment, assess, decide
from waitlist.judge.persons import ANSWERS, Persons
from waitlist.judge.rules import OF_PERSONS, RULES, Code, Disposition
from waitlist.settings import PersonsForTests
from waitlist.source.pu.status import Reason
from waitlist.swedish.words import finding_text

OTHER = official(dt.date(1990, 2, 1))
OTHER_ID = "19" + OTHER.replace("-", "")
KNOWN: Mapping[str, Any] = {
    "person_id": PERSON_ID,
    "found": True,
    "protected_person": False,
    "protected_record": False,
    "test_person": False,
    "is_primary": True,
    "deregistered": False,
    "reason": None,
    "found_dead": False,
}
UNKNOWN = {**KNOWN, "found": False}


def answered(*answers: Mapping[str, Any], other_name: tuple[int, ...] = ()) -> Persons:
    rows = [{**KNOWN, **answer} for answer in answers]
    return Persons(pa.Table.from_pylist(rows, schema=ANSWERS), np.array(other_name, np.int64))


def assessed(found: Persons | None, *posts: Mapping[str, Any], **settings: Any) -> Assessment:
    return assess(table(*(posts or ({},))), context(**settings), persons=found)


def findings(found: Persons | None, *posts: Mapping[str, Any], **settings: Any) -> dict[str, str | None]:
    rows = assessed(found, *posts, **settings).findings.to_pylist()
    return {row["rule"]: row["detail"] for row in rows if row["post_id"] == 1}


def dispositions(found: Persons | None, *posts: Mapping[str, Any], **settings: Any) -> list[str]:
    return assessed(found, *posts, **settings).dispositions.column("disposition").to_pylist()


ANSWERED: list[tuple[Mapping[str, Any], set[str]]] = [
    ({}, set()),
    ({"deregistered": True, "reason": "AV"}, {"PU_DECEASED"}),
    ({"found_dead": True}, {"PU_DECEASED"}),
    ({"deregistered": True, "reason": "UV", "found_dead": True}, {"PU_DECEASED", "PU_DEREGISTERED"}),
    ({"is_primary": False}, {"PU_NUMBER_CHANGED"}),
    ({"deregistered": True, "reason": "GN"}, {"PU_NUMBER_CHANGED"}),
    ({"deregistered": True, "reason": None}, {"PU_DEREGISTERED"}),
    *(({"deregistered": True, "reason": code}, {"PU_DEREGISTERED"}) for code in ("UV", "AN", "FI", "OB", "TA", "?")),
    ({"found": False}, {"PU_NOT_FOUND"}),
    ({"found": False, "is_primary": False}, {"PU_NOT_FOUND"}),
    ({"test_person": True}, {"PU_TEST_PERSON"}),
    ({"protected_person": True}, {"PROTECTED_IDENTITY"}),
    ({"protected_record": True}, {"PROTECTED_IDENTITY"}),
]


@pytest.mark.parametrize(("answer", "fired"), ANSWERED)
def test_a_rule_fires_by_what_was_answered(answer: Mapping[str, Any], fired: set[str]) -> None:
    assert findings(answered(answer)).keys() == fired
    blocks = fired - {"PROTECTED_IDENTITY"}
    assert dispositions(answered(answer)) == [Disposition.HANDLE_MANUALLY if blocks else Disposition.MIGRATE]


def test_an_answer_is_about_its_own_person() -> None:
    found = answered({"person_id": OTHER_ID, "found_dead": True}, {"found": True})
    assert findings(found, {}, {"personnummer": OTHER}) == {}
    assert dispositions(found, {}, {"personnummer": OTHER}, {"personnummer": OTHER_ID}) == [
        Disposition.MIGRATE,
        Disposition.HANDLE_MANUALLY,
        Disposition.HANDLE_MANUALLY,
    ]


def test_every_post_by_which_a_person_waits_gets_the_finding() -> None:
    rows = assessed(answered({"found_dead": True}), {}, {}, {"vantar_pa_besok": False}).findings.to_pylist()
    assert [row["post_id"] for row in rows if row["rule"] == "PU_DECEASED"] == [1, 2]


@pytest.mark.parametrize(
    ("post", "fires"),
    [
        ({}, True),
        ({"vantar_pa_besok": False}, False),
        ({"personnummer": None}, False),
        ({"personnummer": "850314-T238"}, False),
    ],
)
def test_who_waits_and_has_a_personnummer_should_have_been_asked_about(post: Mapping[str, Any], *, fires: bool) -> None:
    found = findings(answered({"person_id": OTHER_ID}), post)
    assert ("PU_NOT_ASKED" in found) is fires
    assert found.keys() & OF_PERSONS <= {"PU_NOT_ASKED"}


def test_somebody_without_an_answer_migrates_with_a_finding() -> None:
    assert findings(answered()) == {"PU_NOT_ASKED": None}
    assert dispositions(answered()) == [Disposition.MIGRATE]


def test_another_name_is_a_warning_to_the_posts_that_have_it() -> None:
    found = answered({}, other_name=(1,))
    posts = ({}, {"patient": "Åkesson, Åsa"})
    rows = assessed(found, *posts).findings.to_pylist()
    assert [(row["post_id"], row["rule"], row["severity"]) for row in rows if row["rule"] in OF_PERSONS] == [
        (1, "PU_NAME_MISMATCH", "warning")
    ]
    assert dispositions(found, *posts) == [Disposition.MIGRATE] * 2
    raised = {"PU_NAME_MISMATCH": "blocks"}
    assert dispositions(found, *posts, raised=raised) == [Disposition.FIX_IN_PMO, Disposition.MIGRATE]


def test_a_person_for_tests_is_let_through_where_a_setting_says_so() -> None:
    assert findings(answered({"test_person": True}), pu_test_persons=PersonsForTests.ALLOW) == {}


@pytest.mark.parametrize(
    ("sekretess", "answer", "detail"),
    [
        (True, {}, "PMO"),
        (False, {"protected_person": True}, "PU"),
        (False, {"protected_record": True}, "PU"),
        (True, {"protected_person": True, "protected_record": True}, "PMO, PU"),
    ],
)
def test_a_mark_of_either_goes_along_and_the_finding_names_whose_it_is(
    sekretess: bool, answer: Mapping[str, Any], detail: str
) -> None:
    found = assessed(answered(answer), {"sekretess": sekretess})
    assert [(row["rule"], row["detail"]) for row in found.findings.to_pylist()] == [("PROTECTED_IDENTITY", detail)]
    assert found.bokningsbegaran.column("sekretess").to_pylist() == [True]


def test_a_mark_that_neither_has_does_not_go_along() -> None:
    assert assessed(answered({})).bokningsbegaran.column("sekretess").to_pylist() == [False]


def test_where_nobody_is_to_be_asked_no_rule_fires_and_no_mark_is_named() -> None:
    posts = ({}, {"sekretess": True}, {"personnummer": None}, {"vantar_pa_besok": False})
    rows = assessed(None, *posts).findings.to_pylist()
    assert not {row["rule"] for row in rows} & OF_PERSONS
    assert [row["detail"] for row in rows if row["rule"] == "PROTECTED_IDENTITY"] == [None]
    assert assessed(None, *posts).bokningsbegaran.column("sekretess").to_pylist() == [False, True]


@pytest.mark.parametrize("answer", [answer for answer, fired in ANSWERED if fired])
def test_a_post_whose_patient_does_not_wait_is_judged_without_the_answer_of_another_post(
    answer: Mapping[str, Any],
) -> None:
    """Or its findings would depend on which posts were read in one partition."""
    alone = findings(answered(), {"vantar_pa_besok": False})
    assert findings(answered(answer, other_name=(1,)), {"vantar_pa_besok": False}) == alone


def test_a_disposition_alone_is_decided_by_the_same_answers() -> None:
    posts, found = table({}, {"personnummer": OTHER}), answered({"found_dead": True}, {"person_id": OTHER_ID})
    whole = assess(posts, context(), persons=found).dispositions.column("disposition").to_pylist()
    places = decide(posts, context(), persons=found)
    assert [list(Disposition)[place] for place in places] == whole == ["handle_manually", "migrate"]


def test_only_the_emigrated_are_told_why() -> None:
    assert findings(answered({"deregistered": True, "reason": "UV"})) == {"PU_DEREGISTERED": "utvandrad"}
    assert findings(answered({"deregistered": True, "reason": "FI"})) == {"PU_DEREGISTERED": None}


def test_the_reasons_are_those_of_the_service() -> None:
    assert (persons.DECEASED, persons.EMIGRATED, persons.OLD_NUMBER) == (
        Reason.DECEASED,
        Reason.EMIGRATED,
        Reason.OLD_NUMBER,
    )


def test_what_was_answered_prints_no_number() -> None:
    assert PERSON_ID not in repr(answered({}))
    assert PERSON not in repr(answered({}))


def test_the_text_about_the_dead_is_the_one_that_was_agreed() -> None:
    agreed = "Patienten är avliden enligt folkbokföringen. Ta bort posten i PMO. Skicka ingen kallelse."
    assert finding_text("PU_DECEASED", None) == f"{agreed} (Instruktionen, kapitel 8)"


def test_a_rule_of_persons_is_every_rule_that_is_named_so() -> None:
    assert {code for code in RULES if code.startswith("PU_")} == OF_PERSONS
    assert tuple(Code)[-len(OF_PERSONS) :] == tuple(code for code in Code if code in OF_PERSONS)
