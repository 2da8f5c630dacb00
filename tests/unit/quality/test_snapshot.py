"""The suites over a snapshot: their results, the sums over chunks, and that no value gets out."""

import datetime as dt
import gc
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.support.posts import (
    AS_OF,
    UNIT_CHILD_HEALTH,
    UNIT_LIVE,
    UNIT_UNLISTED,
    UNIT_WITHOUT_GO_LIVE,
    context,
    luhn,
    official,
    table,
)

from waitlist import paths
from waitlist.exceptions import ContractBrokenError, SuiteError
from waitlist.judge.persons import ANSWERS, Persons
from waitlist.judge.posts import Posts
from waitlist.judge.rules import OF_PERSONS, RULES
from waitlist.quality import (
    CONTRACT,
    FailureSeverity,
    Looks,
    Outcome,
    QualityResult,
    Suite,
    check_snapshot,
    load_suites,
    merge,
    over_some_units,
    require_contract,
)
from waitlist.quality import engine as quality_engine
from waitlist.quality.suites import NOT_IN_A_CHUNK
from waitlist.schema import POSTS

SUITES = load_suites(paths.EXPECTATIONS)
OVER_SNAPSHOT = [suite for suite in SUITES.values() if suite.looks is Looks.SNAPSHOT]
CONTRACT_SUITE = SUITES[CONTRACT]
MOMENT = dt.datetime(2024, 10, 2)  # noqa: DTZ001 - PMO's timestamps are naive
"""00:00 of the day after the as-of date."""

# One post for each kind of fault, and the clean one.
POSTS_AT_FAULT = (
    {},
    {"personnummer": None},
    {"personnummer": "   "},
    {"personnummer": official(dt.date(1985, 3, 14))[:-1] + "x"},
    {"personnummer": "1985-03-14"},
    {"personnummer": f"850374-238{luhn('850374238')}"},
    {"patient": " "},
    {"patient": None},
    {"nybesok": True},
    {"vantar_pa_besok": False},
    {"boka_from": None},
    {"boka_fore": "snart"},
    {"boka_from": "2025-04-01"},
    {"boka_fore": "2024-09-30"},
    {"boka_from": "2024-12-01", "boka_fore": "2024-12-16"},
    {"boka_from": "2024-12-16", "boka_fore": "2025-01-16"},
    {"enhet_hsa_id": UNIT_UNLISTED},
    {"enhet_hsa_id": UNIT_WITHOUT_GO_LIVE},
    {"enhet_hsa_id": UNIT_LIVE},
    {"enhet_hsa_id": UNIT_CHILD_HEALTH},
    {"enhet_hsa_id": None},
    {"kategori": "Diabetesmottagning"},
    {"kategori": "Diabetes"},
    {"kategori": None},
    {"kategori": "SDV Pv Läk Telefon Återbesök"},
    {"kategori": "SDV Bhv Ssk Återbesök (3 mån)"},
    {"kontaktform": "brev"},
    {"kontaktform": None},
    {"har_bilaga": True, "orsak": None, "planerade_atgarder": None},
    {"filial": "Västerby"},
    {"orsak": "å" * 300},
    {"orsak": "a\x07b"},
    {"sekretess": True},
    {"personnummer": "121212-1212"},
    {"personnummer": "240930-2383"},
    {"boka_from": "2024-09-01", "boka_fore": "2024-11-17"},
)


def check(*suites: Suite, posts: pa.Table | None = None, **given: Any) -> dict[tuple[str, str], QualityResult]:
    results = check_snapshot(suites, [table(*POSTS_AT_FAULT) if posts is None else posts], context(), **given)
    return {(result.expectation, result.column): result for result in results}


def suite_of(*rules: str, threshold: float = 1.0) -> Suite:
    """Return a suite with one expectation for each rule."""
    pattern = SUITES["dates"].expectations[0]
    expectations = [
        replace(pattern, name=code, columns=RULES[code].columns, kwargs={"rule": code}, threshold=threshold)
        for code in rules
    ]
    return replace(SUITES["dates"], expectations=tuple(expectations))


class TestRules:
    def test_each_rule_expectation_agrees_with_the_assessments_predicate(self) -> None:
        posts = table(*POSTS_AT_FAULT)
        codes = [code for code in RULES if code not in NOT_IN_A_CHUNK | OF_PERSONS]

        found = check(suite_of(*codes), posts=posts)

        for code in codes:
            fires = int(RULES[code].predicate(Posts(posts, context())).sum())
            result = found[code, ", ".join(RULES[code].columns)]
            assert fires, f"no post here is at fault by {code}"
            assert (result.evaluated, result.unexpected) == (len(POSTS_AT_FAULT), fires), code

    def test_the_shipped_suites_say_what_the_rules_say(self) -> None:
        posts = table(*POSTS_AT_FAULT)
        fires = {code: int(rule.predicate(Posts(posts, context())).sum()) for code, rule in RULES.items()}

        found = check(*OVER_SNAPSHOT, posts=posts)

        for (name, _), result in found.items():
            if name in RULES:
                assert result.unexpected == fires[name], name

    def test_only_the_columns_of_the_rules_are_needed(self) -> None:
        suite = SUITES["dates"]

        found = check(suite, posts=table(*POSTS_AT_FAULT).select(suite.columns))

        assert not [key for key, result in found.items() if result.outcome is Outcome.ERROR]


class TestOwnExpectations:
    def test_a_personnummer_is_judged_where_there_is_a_number(self) -> None:
        result = check(SUITES["identity"])["expect_column_values_to_be_personnummer", "personnummer"]

        # Null is no number; white space, a reserve number, a date and a samordningsnummer are no personnummer.
        assert (result.evaluated, result.unexpected) == (len(POSTS_AT_FAULT) - 1, 4)

    def test_an_sdv_list_is_judged_by_the_catalogue_and_its_matching(self) -> None:
        posts = table(
            {"kategori": "SDV Bhv Ssk Återbesök (3 mån)"},
            {"kategori": "  sdv  BVC ssk återbesök(3 mån) "},
            {"kategori": "Diabetesmottagning"},
            {"kategori": None},
        )
        result = check(SUITES["categories"], posts=posts)["expect_column_values_to_be_sdv_lists", "kategori"]

        assert (result.evaluated, result.unexpected) == (3, 1)


class TestContract:
    def fails(self, *posts: Mapping[str, Any]) -> set[tuple[str, str]]:
        found = check(CONTRACT_SUITE, posts=table({}, *posts))
        assert Outcome.ERROR not in {result.outcome for result in found.values()}
        return {
            key
            for key, result in found.items()
            if result.outcome is Outcome.FAILED and result.severity is FailureSeverity.CRITICAL
        }

    def test_posts_with_faults_of_their_own_keep_the_contract(self) -> None:
        assert self.fails(*POSTS_AT_FAULT) == set()

    def test_a_repeated_key_breaks_it(self) -> None:
        assert self.fails({"post_id": 1}) == {("expect_column_values_to_be_unique", "post_id")}

    def test_a_post_registered_at_the_moment_itself_breaks_it(self) -> None:
        before = MOMENT - dt.timedelta(microseconds=1)

        assert self.fails({"registrerad": before}) == set()
        assert self.fails({"registrerad": MOMENT}) == {("expect_column_values_to_be_before_as_of", "registrerad")}

    def test_a_post_closed_before_the_moment_breaks_it(self) -> None:
        before = MOMENT - dt.timedelta(microseconds=1)

        assert self.fails({"avslutad": MOMENT}, {"avslutad": None}) == set()
        assert self.fails({"avslutad": before}) == {("expect_column_values_to_not_be_before_as_of", "avslutad")}

    @pytest.mark.parametrize("flag", ["vantar_pa_besok", "nybesok", "har_bilaga"])
    def test_a_flag_without_a_value_breaks_it(self, flag: str) -> None:
        posts = table({}, {})
        column = pa.array([True, None])
        posts = posts.set_column(POSTS.get_field_index(flag), pa.field(flag, pa.bool_()), column)

        found = check(CONTRACT_SUITE, posts=posts)

        assert found["expect_column_values_to_not_be_null", flag].outcome is Outcome.FAILED

    def test_a_mark_of_protection_may_be_missing_where_no_person_is_named(self) -> None:
        nobody = {"sekretess": None, "personnummer": None, "patient": None}
        breach = {("expect_protection_to_be_known", "personnummer, patient, sekretess")}

        assert self.fails(nobody) == set()
        assert self.fails({**nobody, "personnummer": "x"}) == self.fails({**nobody, "patient": "x"}) == breach

    @pytest.mark.parametrize("column", ["boka_from", "boka_fore"])
    def test_a_column_of_dates_without_valid_dates_breaks_it(self, column: str) -> None:
        none, nothing = [{column: "05/11/2024"}] * 20, [{column: None}] * 100

        def outcome(*posts: Mapping[str, Any], units: bool = False) -> tuple[Outcome, FailureSeverity]:
            # Four chunks are looked at together, and 16 posts are too few to fail alone: the result is of the sum.
            tables = [table(*posts[start : start + 4]) for start in range(0, len(posts), 4)]
            found = check_snapshot([CONTRACT_SUITE], tables, context(), chunk_posts=4)
            found = over_some_units(found) if units else found
            (held,) = (row for row in found if (row.expectation, row.column) == ("expect_column_to_hold_dates", column))
            return held.outcome, held.severity

        assert outcome(*none, *nothing) == (Outcome.FAILED, FailureSeverity.CRITICAL)
        assert outcome(*none, units=True) == (Outcome.FAILED, FailureSeverity.WARNING)
        assert outcome(*none[1:], *nothing)[0] is Outcome.PASSED
        assert outcome(*none, {column: "2024-11-05T23:30:00Z"})[0] is Outcome.PASSED
        assert outcome(*nothing)[0] is Outcome.NOT_APPLICABLE

    @pytest.mark.parametrize(
        "posts",
        [
            table({}).drop_columns(["filial"]),
            table({}).append_column("extra", pa.array([1])),
            table({}).select(POSTS.names[::-1]),
            table({}).rename_columns([*POSTS.names[:-1], "avslutat"]),
        ],
        ids=["missing", "extra", "in another order", "renamed"],
    )
    def test_other_columns_break_it(self, posts: pa.Table) -> None:
        found = check(CONTRACT_SUITE, posts=posts)

        assert found["expect_table_columns_to_match_ordered_list", ""].outcome is Outcome.FAILED

    def test_an_unknown_contact_form_is_a_warning(self) -> None:
        result = check(CONTRACT_SUITE)["expect_column_values_to_be_in_set", "kontaktform"]

        assert (result.outcome, result.severity) == (Outcome.FAILED, FailureSeverity.WARNING)
        require_contract([result])

    def test_a_broken_contract_stops_the_run_and_says_why(self) -> None:
        found = check(CONTRACT_SUITE, posts=table({}, {"post_id": 1, "registrerad": MOMENT}))

        with pytest.raises(ContractBrokenError) as caught:
            require_contract(found.values())
        assert str(caught.value).split("\n  ") == [
            "the extract breaks its contract, so nothing was assessed:",
            "expect_column_values_to_be_unique on post_id: 2 of 2 do not fulfil it",
            "expect_column_values_to_be_before_as_of on registrerad: 1 of 2 do not fulfil it",
        ]

    def test_an_empty_extract_stops_the_run(self) -> None:
        for nothing in ([], [table()]):
            results = check_snapshot([CONTRACT_SUITE], nothing, context())

            with pytest.raises(ContractBrokenError, match="expect_table_row_count_to_be_between"):
                require_contract(results)

    def test_a_contract_that_could_not_be_judged_stops_the_run(self) -> None:
        found = check(CONTRACT_SUITE, posts=table({}).drop_columns(["nybesok"]))

        assert found["expect_column_values_to_not_be_null", "nybesok"].outcome is Outcome.ERROR
        with pytest.raises(ContractBrokenError, match="not_be_null on nybesok: could not be evaluated"):
            require_contract(found.values())

    def test_what_fails_outside_the_contract_stops_nothing(self) -> None:
        found = check(SUITES["dates"])

        assert (
            found["NOT_ELIGIBLE_ON_SDV_LIST", ", ".join(RULES["NOT_ELIGIBLE_ON_SDV_LIST"].columns)].outcome
            is Outcome.FAILED
        )
        require_contract(found.values())


class TestJudging:
    @pytest.mark.parametrize(
        ("missing", "threshold", "outcome"),
        [
            (1, 0.95, Outcome.PASSED),
            (2, 0.95, Outcome.FAILED),
            (0, 1.0, Outcome.PASSED),
            (1, 1.0, Outcome.FAILED),
            (20, 0.0, Outcome.PASSED),
        ],
    )
    def test_the_threshold_is_the_share_that_must_hold(self, missing: int, threshold: float, outcome: Outcome) -> None:
        posts = table(*[{"patient": None}] * missing, *[{}] * (20 - missing))

        (result,) = check(suite_of("NAME_MISSING", threshold=threshold), posts=posts).values()

        assert (result.outcome, result.evaluated, result.unexpected) == (outcome, 20, missing)

    def test_nothing_to_look_at_is_not_applicable(self) -> None:
        found = check(CONTRACT_SUITE, posts=table({}, {}))

        assert found["expect_column_values_to_not_be_before_as_of", "avslutad"].outcome is Outcome.NOT_APPLICABLE

    def test_without_posts_no_rule_is_passed(self) -> None:
        results = check_snapshot([SUITES["dates"]], [], context())

        assert {result.outcome for result in results} == {Outcome.NOT_APPLICABLE}

    def test_thresholds_are_judged_on_the_sums_of_all_chunks(self) -> None:
        # One post of the first twenty has no name: less than 0.96 there, more over all forty.
        chunks = [table({"patient": None}, *[{}] * 19), table(*[{}] * 20)]
        suite = suite_of("NAME_MISSING", threshold=0.96)

        (result,) = check_snapshot([suite], chunks, context(), chunk_posts=20)

        assert (result.evaluated, result.unexpected, result.outcome) == (40, 1, Outcome.PASSED)

    def test_chunks_of_any_size_give_the_same_results(self) -> None:
        whole = table(*POSTS_AT_FAULT)
        parts = [whole.slice(start, 7) for start in range(0, whole.num_rows, 7)]
        seen: list[int] = []

        at_once = check_snapshot(OVER_SNAPSHOT, [whole], context())
        in_parts = check_snapshot(OVER_SNAPSHOT, iter(parts), context(), chunk_posts=14, progress=seen.append)

        assert seen == [14, 28, len(POSTS_AT_FAULT)]
        columns = ("expect_table_columns_to_match_ordered_list", "")
        for one, other in zip(at_once, in_parts, strict=True):
            looks = 3 if (one.expectation, one.column) == columns else one.evaluated
            assert other == replace(one, evaluated=looks)

    def test_a_chunk_is_released_from_memory_before_the_next_is_evaluated(self) -> None:
        held: list[int] = []

        def chunks() -> Iterator[pa.Table]:
            for start in range(0, 30_000, 10_000):
                yield table({}).take([0] * 10_000).set_column(0, "post_id", pa.array(range(start, start + 10_000)))

        gc.collect()
        gc.disable()
        try:
            before = pa.total_allocated_bytes()
            check_snapshot(
                [SUITES["identity"]],
                chunks(),
                context(),
                chunk_posts=10_000,
                progress=lambda _: held.append(pa.total_allocated_bytes() - before),
            )
        finally:
            gc.enable()

        assert held[2] < 1.5 * held[0]

    def test_results_of_partitions_add_up(self) -> None:
        whole = table(*POSTS_AT_FAULT)
        parts = [check_snapshot(OVER_SNAPSHOT, [part], context()) for part in (whole.slice(0, 16), whole.slice(16))]
        through_xcom = [[QualityResult.from_dict(result.to_dict()) for result in part] for part in parts]

        merged = merge(OVER_SNAPSHOT, through_xcom)

        assert merged[1:] == check_snapshot(OVER_SNAPSHOT, [whole], context())[1:]
        assert merged[0].evaluated == 2

    def test_parts_of_other_suites_do_not_add_up(self) -> None:
        part = check_snapshot([SUITES["dates"]], [table({})], context())

        with pytest.raises(SuiteError, match="partition 0 has 7 results for the suites' 8 expectations"):
            merge([SUITES["dates"]], [part[1:]])

    def test_an_error_in_one_partition_is_an_error_of_the_batch(self) -> None:
        part = check_snapshot([SUITES["dates"]], [table({})], context())
        raised = [replace(part[0], outcome=Outcome.ERROR), *part[1:]]

        for parts in ([part, raised], [raised, part]):
            assert [result.outcome for result in merge([SUITES["dates"]], parts)][:2] == [Outcome.ERROR, Outcome.PASSED]


class TestLoss:
    def test_an_expectation_that_great_expectations_does_not_know_stops_the_run(self) -> None:
        lost = replace(SUITES["dates"].expectations[0], type="expect_what_nobody_defined", name="LOST")
        suite = replace(SUITES["dates"], expectations=(lost,))

        with pytest.raises(SuiteError, match=r"dates: Great Expectations does not accept LOST on boka_from, boka_fore"):
            check_snapshot([suite], [table({})], context())

    def test_an_expectation_without_an_answer_stops_the_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = quality_engine.Validator.graph_validate
        monkeypatch.setattr(
            quality_engine.Validator, "graph_validate", lambda *given, **named: whole(*given, **named)[1:]
        )

        with pytest.raises(SuiteError, match="8 expectations were run, 7 gave a result; lost: dates: DATE_MISSING"):
            check_snapshot([SUITES["dates"]], [table({})], context())

    def test_a_suite_over_the_staged_rows_is_refused(self) -> None:
        with pytest.raises(SuiteError, match=r"that do not check the snapshot or the answers of .*: booking_requests"):
            check_snapshot(SUITES.values(), [table({})], context())


class TestPersons:
    def test_without_answers_nothing_is_applicable_and_the_other_suites_are_as_before(self) -> None:
        found = check(SUITES["persons"], SUITES["identity"])

        of_persons = [result for (name, _), result in found.items() if name in OF_PERSONS]
        assert {(result.evaluated, result.unexpected, result.outcome) for result in of_persons} == {
            (0, 0, Outcome.NOT_APPLICABLE)
        }
        assert {key: result for key, result in found.items() if key[0] not in OF_PERSONS} == check(SUITES["identity"])

    def test_no_answer_to_anything_is_said_of_every_post_that_waits_and_has_a_personnummer(self) -> None:
        nothing = Persons(ANSWERS.empty_table(), np.empty(0, np.int64))

        found = check(SUITES["persons"], posts=table(*POSTS_AT_FAULT), persons=nothing)

        posts = Posts(table(*POSTS_AT_FAULT), context())
        expected = int((posts.waits & posts.has_personnummer).sum())
        assert {result.evaluated for result in found.values()} == {len(POSTS_AT_FAULT)}
        assert {name: result.unexpected for (name, _), result in found.items() if result.unexpected} == {
            "PU_NOT_ASKED": expected
        }


MARKER = "Zxqvmarkör"
MARKED = (
    {"personnummer": f"{MARKER}-1", "patient": f"{MARKER} 2", "boka_from": f"{MARKER} 3", "boka_fore": f"{MARKER} 4"},
    {"kategori": f"{MARKER} 5", "kontaktform": f"{MARKER} 6", "enhet_hsa_id": f"{MARKER} 7", "enhet": f"{MARKER} 8"},
    {"orsak": f"{MARKER} 9", "anvandare": f"{MARKER} 10", "filial": f"{MARKER} 11"},
    {"planerade_atgarder": f"{MARKER} 12", "registrerad": MOMENT},
)


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that fails on some posts, and quotes them."""

    def predicate(posts: Posts) -> np.ndarray:
        names = posts.column("patient").to_pylist()
        if any(MARKER in name for name in names):
            raise ValueError(f"cannot read {names}")
        return np.zeros(len(posts), dtype=np.bool_)

    spoilt = {**RULES, "NAME_MISSING": replace(RULES["NAME_MISSING"], predicate=predicate)}
    monkeypatch.setattr("waitlist.quality.expectations.RULES", spoilt)


class TestPrivacy:
    def test_results_and_logs_hold_no_value(
        self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        caplog.set_level(logging.DEBUG)

        results = check_snapshot(OVER_SNAPSHOT, [table(*MARKED)], context())

        assert any(result.unexpected for result in results)
        assert MARKER not in "".join((repr(results), caplog.text, *capfd.readouterr()))
        assert not [record for record in caplog.records if record.name.startswith("great_expectations")]

    @pytest.mark.usefixtures("raising")
    def test_an_expectation_that_raises_is_an_error_without_values(
        self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        caplog.set_level(logging.DEBUG)

        found = check(SUITES["identity"], posts=table(*MARKED))

        assert found["NAME_MISSING", "patient"].outcome is Outcome.ERROR
        assert {result.outcome for key, result in found.items() if key[0] != "NAME_MISSING"}.isdisjoint({Outcome.ERROR})
        assert "identity: NAME_MISSING on patient could not be evaluated: " in caplog.text
        assert "ValueError at test_snapshot.py:" in caplog.text
        assert MARKER not in "".join((repr(found), caplog.text, *capfd.readouterr()))

    @pytest.mark.usefixtures("raising")
    def test_an_error_in_one_chunk_is_an_error_of_the_whole(self) -> None:
        (result,) = check_snapshot([suite_of("NAME_MISSING")], [table(*MARKED), table({})], context(), chunk_posts=1)

        assert result.outcome is Outcome.ERROR

    def test_a_broken_contract_is_reported_without_values(self) -> None:
        found = check(CONTRACT_SUITE, posts=table(*MARKED))

        with pytest.raises(ContractBrokenError) as caught:
            require_contract(found.values())
        assert MARKER not in str(caught.value)


def test_the_as_of_date_decides_not_the_clock() -> None:
    expired = table({"boka_fore": AS_OF.isoformat(), "boka_from": "2024-09-01"})
    results = check_snapshot([suite_of("DATE_EXPIRED")], [expired], context())
    a_day_later = check_snapshot([suite_of("DATE_EXPIRED")], [expired], context(as_of=AS_OF + dt.timedelta(days=1)))

    assert [results[0].unexpected, a_day_later[0].unexpected] == [0, 1]
