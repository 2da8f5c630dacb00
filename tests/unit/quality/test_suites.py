"""The suites' files: their required content, and each of their faults by name."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import mssql

from waitlist import paths
from waitlist.exceptions import SuiteError
from waitlist.judge.rules import OF_PERSONS, RULES, Code
from waitlist.quality import CONTRACT, SUITES, FailureSeverity, Looks, columns_needed, digest, load_suites
from waitlist.quality.suites import COLUMN_LENGTH, STAGED_COLUMNS
from waitlist.schema import POSTS
from waitlist.staging.schema import bokningsbegaran, quality_result

SHIPPED = load_suites(paths.EXPECTATIONS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(paths.EXPECTATIONS, tmp_path / "expectations")


def edit(folder: Path, suite: str, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / f"{suite}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def faults(folder: Path) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load_suites(folder)
    first, *rest = str(caught.value).split("\n  ")
    assert first == f"faults in the expectation suites of {folder}:"
    return rest


def test_every_concern_has_its_suite() -> None:
    assert list(SHIPPED) == list(SUITES)
    assert all(suite.expectations and suite.text and suite.note for suite in SHIPPED.values())


def test_every_rule_is_in_a_suite_or_is_named_as_one_that_needs_none() -> None:
    checked = {expectation.name for suite in SHIPPED.values() for expectation in suite.expectations} & RULES.keys()
    assert RULES.keys() - checked == {
        Code.NOT_WAITING, Code.FIRST_VISIT, Code.WITHIN_CUTOFF, Code.BRANCH_NOT_IN_TEXT, Code.ATTACHMENT_NOT_MIGRATED,
        Code.ATTACHMENT_WITHOUT_TEXT, Code.DUPLICATE_POST, Code.DESCRIPTION_OVER_LIMIT, Code.TEXT_CLEANED,
        Code.ALREADY_RELEASED, Code.PROTECTED_IDENTITY,
    }  # fmt: skip


def test_the_contract_names_the_columns_of_the_snapshot() -> None:
    first = SHIPPED[CONTRACT].expectations[0]

    assert first.type == "expect_table_columns_to_match_ordered_list"
    assert first.kwargs["column_list"] == POSTS.names


def test_an_unknown_contact_form_never_stops_the_run() -> None:
    on_contact_form = [it for it in SHIPPED[CONTRACT].expectations if it.column == "kontaktform"]

    assert [it.severity for it in on_contact_form] == [FailureSeverity.WARNING]


def test_every_expectation_has_a_swedish_text_for_a_lead() -> None:
    assert all(expectation.text for suite in SHIPPED.values() for expectation in suite.expectations)


def test_the_staged_columns_are_those_of_the_staging_schema() -> None:
    # The batch's number is there for the database's planner, and says nothing of a post.
    assert tuple(column.name for column in bokningsbegaran.columns if column.name != "batch_no") == STAGED_COLUMNS


def test_keys_are_unique_and_fit_the_columns_of_the_staging_schema() -> None:
    keys = [(suite.name, *it.key) for suite in SHIPPED.values() for it in suite.expectations]

    assert len(set(keys)) == len(keys)
    room = dict(zip(("suite", "expectation", "column"), zip(*keys, strict=True), strict=True))
    for column, values in room.items():
        assert max(map(len, values)) <= quality_result.columns[column].type.dialect_impl(mssql.dialect()).length
    assert quality_result.columns["column"].type.dialect_impl(mssql.dialect()).length == COLUMN_LENGTH


def test_columns_needed_are_those_that_the_suites_look_at() -> None:
    assert columns_needed([SHIPPED["dates"]]) == [
        "post_id", "enhet_hsa_id", "kategori", "kontaktform", "nybesok", "boka_from", "boka_fore"
    ]  # fmt: skip
    assert set(POSTS.names) - set(columns_needed([SHIPPED["dates"], SHIPPED[CONTRACT]])) == {
        "enhet", "orsak", "planerade_atgarder", "anvandare", "tidsatgang_min", "filial"
    }  # fmt: skip


def test_reading_suites_does_not_import_great_expectations() -> None:
    code = "import sys, waitlist.quality as q; q.load_suites(q.suites.Path(sys.argv[1])); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code, paths.EXPECTATIONS],
        check=True, capture_output=True, text=True, env={"PYTHONPATH": str(paths.PROJECT / "include")},
    ).stdout.split()  # fmt: skip

    assert "waitlist.quality.suites" in loaded
    assert not {"great_expectations", "pandas", "waitlist.staging"}.intersection(loaded)


def test_a_lead_edits_a_threshold(folder: Path) -> None:
    edit(folder, "dates", lambda suite: suite["expectations"][0]["kwargs"].update(mostly=0.5))

    edited = load_suites(folder)

    assert edited["dates"].expectations[0].threshold == 0.5
    assert {name for name in SHIPPED if digest(edited[name]) != digest(SHIPPED[name])} == {"dates"}


def test_white_space_and_key_order_do_not_change_the_digest(folder: Path) -> None:
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text("\ufeff" + json.dumps(content, indent=8, sort_keys=True), encoding="utf-8")

    assert list(map(digest, load_suites(folder).values())) == list(map(digest, SHIPPED.values()))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="no folder of expectation suites"):
        load_suites(tmp_path / "nowhere")


def test_a_missing_suite_and_an_unknown_one_are_named(folder: Path) -> None:
    (folder / "dates.json").rename(folder / "date.json")

    assert faults(folder) == [
        "dates.json: no such file; the suite is required",
        "date.json: no such suite; known are extract_contract, identity, dates, categories, persons, booking_requests",
    ]


def test_all_faults_of_all_files_are_reported_at_once(folder: Path) -> None:
    (folder / "identity.json").write_text('{"name": ', encoding="utf-8")
    edit(folder, "dates", lambda suite: suite.update(name="datum"))
    edit(folder, "categories", lambda suite: suite["expectations"].pop())

    count = len(SHIPPED["categories"].expectations)
    lost = f"says {count}, the file has {count - 1}; put back what was lost, or correct the count"
    assert faults(folder) == [
        "identity.json: not JSON: Expecting value at line 1, column 10",
        "dates.json: name: is 'datum', but the file is named 'dates'",
        f"categories.json: meta.expectations: {lost}",
    ]


def test_a_file_in_another_encoding_is_named(folder: Path) -> None:
    path = folder / "dates.json"
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))

    assert faults(folder) == ["dates.json: not UTF-8"]


def test_a_suite_of_100_000_brackets_is_named(folder: Path) -> None:
    (folder / "dates.json").write_text("[" * 100_000, encoding="utf-8")

    assert faults(folder) == ["dates.json: nested too deeply"]


def test_a_key_that_occurs_twice_is_named(folder: Path) -> None:
    path = folder / "dates.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"mostly": 0.98', '"mostly": 0.98, "mostly": 0.1', 1),
        encoding="utf-8",
    )

    assert faults(folder) == ["dates.json: the same key twice in one object: mostly"]


SNAPSHOT_TYPES = (
    "expect_column_pair_values_a_to_be_greater_than_b, expect_column_to_hold_dates, "
    "expect_column_value_lengths_to_be_between, "
    "expect_column_value_lengths_to_equal, expect_column_values_to_be_before_as_of, "
    "expect_column_values_to_be_in_set, expect_column_values_to_be_personnummer, "
    "expect_column_values_to_be_sdv_lists, expect_column_values_to_be_unique, "
    "expect_column_values_to_match_regex, expect_column_values_to_not_be_before_as_of, "
    "expect_column_values_to_not_be_null, expect_compound_columns_to_be_unique, expect_posts_to_pass_rule, "
    "expect_protection_to_be_known, expect_table_columns_to_match_ordered_list, expect_table_row_count_to_be_between"
)


def of_type(name: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{name}", "kwargs": kwargs}


def of_rule(rule: str, **kwargs: Any) -> dict[str, Any]:
    return {"kwargs": {"rule": rule, **kwargs}}


def not_allowed(name: str) -> str:
    return f"type: 'expect_{name}' is not for the snapshot; allowed are {SNAPSHOT_TYPES}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        # Types that report values in any result format.
        (of_type("column_distinct_values_to_be_in_set"), not_allowed("column_distinct_values_to_be_in_set")),
        (of_type("column_max_to_be_between"), not_allowed("column_max_to_be_between")),
        # A type for the staged rows.
        (of_type("column_values_to_be_visit_types"), not_allowed("column_values_to_be_visit_types")),
        ({"severity": "blocks"}, "severity: is 'blocks', must be one of critical, warning, info"),
        (of_rule("DATE_LOST"), "kwargs.rule: no rule is called 'DATE_LOST'"),
        (
            of_rule("DUPLICATE_POST"),
            "kwargs.rule: DUPLICATE_POST needs more than the posts themselves; no expectation can check it",
        ),
        (of_rule("DATE_MISSING", mostly=1.01), "kwargs.mostly: Input should be less than or equal to 1"),
        (of_rule("DATE_MISSING", mostly=-0.1), "kwargs.mostly: Input should be greater than or equal to 0"),
        (of_rule("DATE_MISSING", mostly="0.9"), "kwargs.mostly: Input should be a valid number"),
        (of_rule("DATE_MISSING", row_condition="1=1"), "kwargs.row_condition: Extra inputs are not permitted"),
        ({"kwargs": {}}, "kwargs.rule: Field required"),
        (of_type("column_values_to_not_be_null", column="boka"), "kwargs.column: the snapshot has no column 'boka'"),
        (
            of_type("column_values_to_match_regex", column="filial", regex="("),
            "kwargs.regex: missing ), unterminated subpattern at position 0",
        ),
        (
            of_type("column_value_lengths_to_be_between", column="filial"),
            "kwargs.min_value: this or max_value must be given",
        ),
        (
            of_type("column_value_lengths_to_be_between", column="filial", min_value=3, max_value=2),
            "kwargs.min_value: is above max_value",
        ),
    ],
    ids=str,
)
def test_a_fault_is_reported_with_its_place(folder: Path, change: dict[str, Any], told: str) -> None:
    edit(folder, "dates", lambda suite: suite["expectations"][0].update(change))

    assert faults(folder) == [f"dates.json: expectations[0].{told}"]


def test_more_columns_than_a_result_can_store_are_refused(folder: Path) -> None:
    many = of_type("compound_columns_to_be_unique", column_list=POSTS.names)
    edit(folder, "dates", lambda suite: suite["expectations"][0].update(many))

    assert faults(folder) == [
        "dates.json: expectations[0].kwargs.column_list: the names have 238 characters, a result can store 100"
    ]


def test_an_expectation_that_occurs_twice_is_named(folder: Path) -> None:
    edit(folder, "dates", lambda suite: suite["expectations"][0].update(of_rule("DATE_INVERTED", mostly=0.1)))

    assert faults(folder) == ["dates.json: expectations: DATE_INVERTED on boka_from, boka_fore is there 2 times"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda suite: suite.pop("expectations"), "expectations: Field required"),
        (lambda suite: suite.update(notes="x"), "notes: Extra inputs are not permitted"),
        (lambda suite: suite["meta"].pop("text"), "meta.text: Field required"),
        (lambda suite: suite["expectations"][1].pop("severity"), "expectations[1].severity: Field required"),
        (
            lambda suite: suite["expectations"][1]["meta"].update(text=""),
            "expectations[1].meta.text: String should have at least 1 character",
        ),
    ],
    ids=["no expectations", "unknown key", "no text", "no severity", "empty text"],
)
def test_a_wrong_shape_is_reported_with_its_place(
    folder: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    edit(folder, "dates", change)

    assert faults(folder) == [f"dates.json: {told}"]


def test_an_array_instead_of_a_suite_is_reported(folder: Path) -> None:
    (folder / "dates.json").write_text("[]", encoding="utf-8")

    assert faults(folder) == ["dates.json: file: Input should be an object"]


def test_what_is_critical_in_the_contract_cannot_be_loosened(folder: Path) -> None:
    edit(folder, CONTRACT, lambda suite: suite["expectations"][2]["kwargs"].update(mostly=0.999))

    assert faults(folder) == [
        "extract_contract.json: expectations[2].kwargs.mostly: "
        "a critical expectation of the contract must hold for every post"
    ]


def test_the_staged_suite_takes_no_rule(folder: Path) -> None:
    rule = {"type": "expect_posts_to_pass_rule", "kwargs": {"rule": "DATE_MISSING"}}
    edit(folder, "booking_requests", lambda suite: suite["expectations"][0].update(rule))

    (told,) = faults(folder)
    assert told.startswith(
        "booking_requests.json: expectations[0].type: 'expect_posts_to_pass_rule' is not for the staged"
    )


def test_suites_look_at_one_thing_each() -> None:
    assert {name for name, suite in SHIPPED.items() if suite.looks is Looks.STAGED} == {"booking_requests"}
    assert {name for name, suite in SHIPPED.items() if suite.looks is Looks.ANSWERS} == {"persons"}


def test_the_suite_on_the_answers_has_an_expectation_for_each_rule_of_persons_and_nothing_else() -> None:
    assert {expectation.name for expectation in SHIPPED["persons"].expectations} == OF_PERSONS


def test_a_rule_of_persons_and_any_other_are_refused_in_the_wrong_suite(folder: Path) -> None:
    edit(folder, "dates", lambda suite: suite["expectations"][0].update(of_rule("PU_DECEASED")))
    edit(folder, "persons", lambda suite: suite["expectations"][0].update(of_rule("DATE_MISSING")))

    assert faults(folder) == [
        "dates.json: expectations[0].kwargs.rule: PU_DECEASED is not for the snapshot",
        "persons.json: expectations[0].kwargs.rule: DATE_MISSING is not for the answers of the person service",
    ]
