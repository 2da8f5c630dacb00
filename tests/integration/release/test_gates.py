"""What each gate measures of a batch, on both databases, and what an approver reads of it."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from tests.support import batches, posts, releases
from tests.support.releases import NOW, POSTS

from waitlist import paths
from waitlist.exceptions import StagingError
from waitlist.facts.gates import BY_SETTING, OPTIONAL, Gate
from waitlist.facts.mappings import Mappings
from waitlist.quality import CONTRACT, FailureSeverity, Outcome, QualityResult, Suite, load_suites
from waitlist.release import decisions as release
from waitlist.release import gates
from waitlist.reports.approval import summary
from waitlist.staging import PIPELINE, StagingStore, schema

WAVE = "vecka-1"
FIRST, SECOND, _ = batches.UNITS
GO_LIVE = dt.date(2024, 11, 4)
DAY_BEFORE = batches.AS_OF - dt.timedelta(days=1)
MEASURED = [gate for gate in Gate if gate is not Gate.SAMPLE]
LIMITS: Mapping[Gate, float] = {**dict.fromkeys(MEASURED, 0.0), Gate.EXTRACT_DEVIATION: 0.1, Gate.DRY_RUN_AGE_DAYS: 1.0}
REFERENCES = {("plats", "Vårdcentralen Demo"): "4711", ("besokstyp", "SDV Pv Ssk Återbesök (diabetes)"): "urn:oid:1|x"}
IN_BOTH = [post for post in POSTS if post % 3 != 2]
"""Posts of the two units that have a name; the other posts have no unit."""


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


@cache
def suites() -> tuple[Suite, ...]:
    return tuple(load_suites(paths.EXPECTATIONS).values())


def passed(suite: Suite) -> list[QualityResult]:
    return [
        QualityResult(suite.name, *it.key, it.severity, 10, 0, it.threshold, Outcome.PASSED)
        for it in suite.expectations
    ]


def check_all(store: StagingStore, batch_id: str = WAVE) -> None:
    """Store that every expectation of every suite has passed."""
    for suite in suites():
        store.replace_quality(batch_id, suite.name, passed(suite))


def planned(first: dt.date | None = GO_LIVE, second: dt.date | None = GO_LIVE) -> Mappings:
    mappings = posts.context(units=(posts.unit(FIRST, first, "Pv"), posts.unit(SECOND, second, "Pv"))).mappings
    return dataclasses.replace(mappings, references=REFERENCES)


def measure(store: StagingStore, mappings: Mappings | None = None, batch_id: str = WAVE) -> dict[Gate, float | None]:
    results = gates.evaluate(store, batch_id, LIMITS, mappings=mappings or planned(), suites=suites())
    assert [result.gate for result in results] == MEASURED
    for result in results:
        assert result.threshold == LIMITS[result.gate]
        assert result.passed is (result.measured is not None and result.measured <= result.threshold)
    return {result.gate: result.measured for result in results}


def dry_run(store: StagingStore, batch_id: str, of: list[int], as_of: dt.date = DAY_BEFORE, **told: object) -> None:
    releases.verified(store, batch_id, of, kind="dry_run", as_of=as_of, **told)


def test_wave_that_is_ready_passes_every_gate(store: StagingStore) -> None:
    ready = [post for post in IN_BOTH if batches.disposition_of(post) in {"migrate", "leave", "book_in_millennium"}]
    dry_run(store, "natt", ready)
    releases.verified(store, WAVE, ready, units=[FIRST, SECOND])
    check_all(store)
    assert measure(store) == {
        Gate.CRITICAL_SUITES: 0, Gate.ACCOUNTING: 0, Gate.EXTRACT_DEVIATION: 0, Gate.UNITS_WITHOUT_GO_LIVE: 0,
        Gate.UNHANDLED_SHARE: 0, Gate.DRY_RUN_AGE_DAYS: 1, Gate.TARGET_REFS_MISSING: 0, Gate.PERSONS_NOT_ASKED: 0,
    }  # fmt: skip


def test_unknown_batch_is_refused(store: StagingStore) -> None:
    with pytest.raises(StagingError, match="batch vecka-1 is unknown"):
        measure(store)


# Critical suites


def test_critical_expectation_counts_unless_it_passed_or_had_nothing_to_look_at(store: StagingStore) -> None:
    releases.verified(store, WAVE, POSTS)
    wanted = sum(it.severity is FailureSeverity.CRITICAL for suite in suites() for it in suite.expectations)
    assert measure(store)[Gate.CRITICAL_SUITES] == wanted
    check_all(store)
    assert measure(store)[Gate.CRITICAL_SUITES] == 0
    contract = next(suite for suite in suites() if suite.name == CONTRACT)
    results = passed(contract)
    critical = [place for place, result in enumerate(results) if result.severity is FailureSeverity.CRITICAL]
    for place, outcome in zip(critical, (Outcome.FAILED, Outcome.ERROR, Outcome.NOT_APPLICABLE), strict=False):
        results[place] = dataclasses.replace(results[place], outcome=outcome)
    store.replace_quality(WAVE, CONTRACT, results)
    assert measure(store)[Gate.CRITICAL_SUITES] == 2


def test_failed_warning_does_not_fail_the_gate(store: StagingStore) -> None:
    releases.verified(store, WAVE, POSTS)
    check_all(store)
    dates = next(suite for suite in suites() if suite.name == "dates")
    failed = [
        dataclasses.replace(result, outcome=Outcome.FAILED) if result.severity is FailureSeverity.WARNING else result
        for result in passed(dates)
    ]
    assert any(result.outcome is Outcome.FAILED for result in failed)
    store.replace_quality(WAVE, "dates", failed)
    assert measure(store)[Gate.CRITICAL_SUITES] == 0


# Accounting


def test_every_kind_of_account_that_does_not_add_up_is_measured(store: StagingStore) -> None:
    releases.put_verified(store)
    request, disposition, summary = schema.bokningsbegaran, schema.disposition, schema.unit_summary
    migrating = releases.migrating(POSTS)
    assert measure(store)[Gate.ACCOUNTING] == 0
    spoiling = [
        (request.delete().where(request.c.post_id == migrating[0]), 2),
        (request.insert().values(batch_id=WAVE, **batches.chunk([65]).bokningsbegaran.to_pylist()[0]), 2),
        (disposition.delete().where(disposition.c.post_id == 3), 1),
        (disposition.update().where(disposition.c.post_id == 3).values(disposition="migrate"), 1),
        (summary.update().where(summary.c.disposition == "leave").values(posts=summary.c.posts + 1), 3),
        (schema.batch.update().values(posts_staged=0), len(migrating)),
    ]
    for statement, by in spoiling:
        releases.put_verified(store)
        batches.execute(store, statement)
        assert measure(store)[Gate.ACCOUNTING] == by, str(statement)


def test_batch_that_was_never_reconciled_cannot_be_measured(store: StagingStore) -> None:
    batches.open_batch(store, WAVE, kind="migration")
    store.stage_partition(WAVE, None, None, [batches.chunk(POSTS)])
    found = measure(store)
    assert found[Gate.ACCOUNTING] is None
    assert found[Gate.UNHANDLED_SHARE] is None


# Against the latest dry run


def test_without_a_dry_run_nothing_is_measured(store: StagingStore) -> None:
    releases.put_verified(store)
    found = measure(store)
    assert found[Gate.EXTRACT_DEVIATION] is found[Gate.DRY_RUN_AGE_DAYS] is None


@pytest.mark.parametrize("now", [range(1, 9), range(1, 17)])
def test_deviation_is_a_share_of_the_dry_run_in_either_direction(store: StagingStore, now: range) -> None:
    dry_run(store, "natt", [*range(1, 13)])
    releases.verified(store, WAVE, now)
    assert measure(store)[Gate.EXTRACT_DEVIATION] == pytest.approx(4 / 12)


def test_dry_run_counts_the_same_units_alone(store: StagingStore) -> None:
    dry_run(store, "natt", [*POSTS])
    of_first = [post for post in POSTS if post % 3 == 0]
    releases.verified(store, WAVE, of_first[1:], units=[FIRST])
    assert measure(store)[Gate.EXTRACT_DEVIATION] == pytest.approx(1 / len(of_first))


def test_latest_dry_run_is_by_its_as_of_date_and_not_after_the_batchs(store: StagingStore) -> None:
    later = batches.AS_OF + dt.timedelta(days=1)
    moment = NOW + dt.timedelta(hours=2)
    dry_run(store, "backfill", [*POSTS], DAY_BEFORE - dt.timedelta(days=4), started_at=moment)
    dry_run(store, "natt", [*POSTS], DAY_BEFORE - dt.timedelta(days=1))
    dry_run(store, "natt-again", [*POSTS], DAY_BEFORE - dt.timedelta(days=1), started_at=moment)
    dry_run(store, "next", [*POSTS], later)
    dry_run(store, "failed", [*POSTS])
    store.mark_failed("failed", NOW)
    releases.verified(store, "another-wave", POSTS, as_of=DAY_BEFORE)
    releases.verified(store, WAVE, POSTS)
    found = gates.latest_dry_run(store, WAVE)
    assert found is not None
    assert found.batch_id == "natt-again"
    assert measure(store)[Gate.DRY_RUN_AGE_DAYS] == 2


def test_replay_is_never_the_latest_dry_run(store: StagingStore) -> None:
    dry_run(store, "natt", [*POSTS], DAY_BEFORE)
    dry_run(store, "what-if", [*POSTS][:5], batches.AS_OF, reuse_snapshot="natt")
    releases.verified(store, WAVE, POSTS)
    found = gates.latest_dry_run(store, WAVE)
    assert found is not None
    assert found.batch_id == "natt"
    measured = measure(store)
    assert (measured[Gate.EXTRACT_DEVIATION], measured[Gate.DRY_RUN_AGE_DAYS]) == (0, 1)
    assert not gates.is_overtaken(store, "natt")
    dry_run(store, "next", [*POSTS], batches.AS_OF)
    assert gates.is_overtaken(store, "natt")


def test_replay_is_compared_with_the_dry_run_of_pmo(store: StagingStore) -> None:
    dry_run(store, "natt", [*POSTS], DAY_BEFORE)
    for batch_id in ("what-if", "what-if-again"):
        dry_run(store, batch_id, [*POSTS], DAY_BEFORE, reuse_snapshot="natt")
    found = gates.latest_dry_run(store, "what-if-again")
    assert found is not None
    assert found.batch_id == "natt"


def test_dry_run_must_have_read_all_units_of_the_wave(store: StagingStore) -> None:
    for number, units in enumerate((None, [FIRST, SECOND], [FIRST])):
        as_of = DAY_BEFORE - dt.timedelta(days=3 - number)
        dry_run(store, f"natt-{number}", [3], as_of, units=units)
    found = {}
    for batch_id, units in (("all", None), ("both", [FIRST, SECOND]), ("one", [FIRST]), ("other", [SECOND])):
        releases.verified(store, batch_id, [3], units=units)
        latest = gates.latest_dry_run(store, batch_id)
        found[batch_id] = latest and latest.batch_id
    assert found == {"all": "natt-0", "both": "natt-1", "one": "natt-2", "other": "natt-1"}


# Units and posts


def test_units_without_go_live_are_those_of_the_wave_and_those_met(store: StagingStore) -> None:
    releases.verified(store, WAVE, [3, 6], units=[FIRST])
    assert measure(store, planned(second=None))[Gate.UNITS_WITHOUT_GO_LIVE] == 0
    assert measure(store, planned(first=None))[Gate.UNITS_WITHOUT_GO_LIVE] == 1
    releases.verified(store, WAVE, [3, 4, 5], units=[FIRST])
    unlisted = posts.context(units=(posts.unit(FIRST, GO_LIVE, "Pv"),)).mappings
    assert measure(store, unlisted)[Gate.UNITS_WITHOUT_GO_LIVE] == 1
    releases.verified(store, "vecka-2", [3], units=[FIRST, SECOND])
    assert measure(store, planned(second=None), "vecka-2")[Gate.UNITS_WITHOUT_GO_LIVE] == 1


def test_unhandled_posts_are_those_that_wait_for_staff(store: StagingStore) -> None:
    waiting = {"move_to_sdv_list", "fix_in_pmo", "handle_manually"}
    releases.verified(store, WAVE, POSTS)
    left = sum(batches.disposition_of(post) in waiting for post in POSTS)
    assert measure(store)[Gate.UNHANDLED_SHARE] == pytest.approx(left / len(POSTS))
    released = schema.unit_summary.update().where(schema.unit_summary.c.disposition == "handle_manually")
    batches.execute(store, released.values(disposition="already_released"))
    done = sum(batches.disposition_of(post) == "handle_manually" for post in POSTS)
    assert measure(store)[Gate.UNHANDLED_SHARE] == pytest.approx((left - done) / len(POSTS))


def test_places_and_visit_types_without_a_reference_are_counted(store: StagingStore) -> None:
    releases.verified(store, WAVE, IN_BOTH)
    assert measure(store)[Gate.TARGET_REFS_MISSING] == 0
    one = dataclasses.replace(planned(), references=dict([*REFERENCES.items()][:1]))
    assert measure(store, one)[Gate.TARGET_REFS_MISSING] == 1
    nameless = schema.bokningsbegaran.update().values(begard_plats=None)
    batches.execute(store, nameless.where(schema.bokningsbegaran.c.post_id == releases.migrating(IN_BOTH)[0]))
    assert measure(store)[Gate.TARGET_REFS_MISSING] == 1


# The summary for the approver


def test_summary_has_gates_units_and_changes_in_swedish(store: StagingStore) -> None:
    dry_run(store, "natt", [*POSTS, 30])
    check_all(store, "natt")
    store.replace_quality("natt", "booking_requests", [])
    moved = schema.unit_summary.c
    for disposition, by in (("migrate", 1), ("move_to_sdv_list", -1)):
        here = (moved.batch_id == "natt", moved.enhet_hsa_id == FIRST, moved.disposition == disposition)
        batches.execute(store, schema.unit_summary.update().where(*here).values(posts=moved.posts + by))
    releases.verified(store, WAVE, POSTS, wave="2")
    check_all(store)
    dates = next(suite for suite in suites() if suite.name == "dates")
    failed = [
        dataclasses.replace(result, outcome=Outcome.FAILED, unexpected=3)
        if result.severity is FailureSeverity.CRITICAL else result
        for result in passed(dates)
    ]  # fmt: skip
    store.replace_quality(WAVE, "dates", failed)
    on = {gate: limit for gate, limit in LIMITS.items() if gate not in OPTIONAL | BY_SETTING}
    results = gates.evaluate(store, WAVE, on, mappings=planned(), suites=suites())
    release.request_approval(store, WAVE, results, PIPELINE, NOW)
    named = [posts.unit(FIRST, GO_LIVE, "Pv"), posts.unit(SECOND, GO_LIVE, "Pv")]
    names = ("Vårdcentralen <b>Å|s", "Vårdcentralen Ö")
    units = tuple(dataclasses.replace(unit, enhet=name) for unit, name in zip(named, names, strict=True))
    text = summary(store, WAVE, posts.context(units=units).mappings, "natt")
    assert text.splitlines() == [
        "## Våg 2 per 2024-10-01",
        "",
        "**11 av 29 poster migreras.** Ett godkännande överför dem till Millenniums arbetslista. "
        "Ett avslag stänger körningen.",
        "",
        "[Körning `vecka-1`](migrering/korningar/vecka-1) · [Beslutsunderlag](migrering/beslutsunderlag?namn=2)",
        "",
        "**Personuppgiftstjänsten tillfrågades inte:** ingen patient är kontrollerad mot folkbokföringen. "
        "Kontrollen av Personuppgiftstjänstens svar gäller inte den här körningen.",
        "",
        "### Grindar: 4 av 6 godkända",
        "",
        "| Grind | Uppmätt | Högst | Utfall |",
        "| --- | ---: | ---: | --- |",
        "| Kritiska kontroller som inte är uppfyllda | 1 | 0 | **Underkänd** |",
        "| Poster som inte stämmer i avstämningen | 0 | 0 | Godkänd |",
        "| Skillnad i antal poster mot senaste torrkörningen | 3,33 % | 10 % | Godkänd |",
        "| Enheter utan driftstart | 0 | 0 | Godkänd |",
        "| Andel poster som ännu inte är hanterade | 37,93 % | 0 % | **Underkänd** |",
        "| Dagar sedan föregående torrkörning | 1 | 1 | Godkänd |",
        "",
        "Av, utan gräns i `gates.csv`: Platser och besökstyper utan referens i Millennium.",
        "",
        "Av, utan gräns i `gates.csv`: Stickprovet: poster och fel som återstår.",
        "",
        "**En underkänd grind kräver en skriftlig motivering, minst 10 tecken.** "
        "Den sparas med ditt namn och tidpunkten.",
        "",
        "Kritiska kontroller som inte är uppfyllda:",
        "",
        "- `dates`, Bokas för hand men ligger på SDV-väntelista: 3 av 10 uppfyller inte kravet",
        "",
        "### Det här händer med de 18 som inte överförs",
        "",
        "De står kvar i PMO och får ingen bokningsbegäran i Millennium. Enheten har dem på sin arbetslista, och de kan "
        "överföras i en senare körning när de är åtgärdade. Från driftstarten (2024-11-04) bokas det som är kvar för "
        "hand.",
        "",
        "- **Flytta till SDV-väntelista: 4.** Byt kategori i PMO till den SDV-väntelista som föreslås.",
        "- **Åtgärda i PMO: 4.** Rätta posten i PMO.",
        "- **Bokas direkt i Millennium: 4.** Boka patienten direkt i Millennium, och avsluta posten i PMO när "
        "patienten är bokad.",
        "- **Hanteras manuellt: 3.** Rätta i PMO om det går. Boka annars patienten för hand i Millennium, och avsluta "
        "posten i PMO när patienten är bokad.",
        "- **Ska inte migreras: 3.** Inget, om posten inte ligger på en SDV-väntelista: ta i så fall bort den "
        "därifrån.",
        "",
        "### Poster per enhet",
        "",
        "| Enhet | Driftstart | Poster | Migreras | Ska inte migreras | Hanteras manuellt "
        "| Bokas direkt i Millennium | Åtgärda i PMO | Flytta till SDV-väntelista |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        f"| [Vårdcentralen \\<b\\>Å\\|s](migrering/enhet/{FIRST}) | 2024-11-04 | 9 | 3 | 1 | 1 | 1 | 2 | 1 |",
        f"| [Vårdcentralen Ö](migrering/enhet/{SECOND}) | 2024-11-04 | 10 | 5 | 1 | 1 | 1 | 1 | 1 |",
        "| Okänd enhet | saknas | 10 | 3 | 1 | 1 | 2 | 1 | 2 |",
        "| **Summa** |  | 29 | 11 | 3 | 3 | 4 | 4 | 4 |",
        "",
        "### Sedan torrkörningen per 2024-09-30, samma enheter",
        "",
        "| Utfall | Torrkörningen | Nu | Skillnad |",
        "| --- | ---: | ---: | ---: |",
        "| Migreras | 12 | 11 | −1 |",
        "| Flytta till SDV-väntelista | 3 | 4 | +1 |",
        "| Åtgärda i PMO | 4 | 4 | 0 |",
        "| Bokas direkt i Millennium | 4 | 4 | 0 |",
        "| Hanteras manuellt | 3 | 3 | 0 |",
        "| Ska inte migreras | 4 | 3 | −1 |",
        "| **Summa** | 30 | 29 | −1 |",
        "",
        "Kontroller som har fått ett annat utfall (torrkörningens kan gälla fler enheter):",
        "",
        "- `booking_requests`: inte gjord → uppfyllt",
        "- `dates`: uppfyllt → inte uppfyllt",
    ]


def test_summary_says_when_there_is_no_dry_run_and_when_no_outcome_has_changed(store: StagingStore) -> None:
    releases.put_verified(store)
    text = summary(store, WAVE, planned(), None)
    assert text.startswith("## Alla enheter per 2024-10-01\n")
    assert text.endswith(
        "### Sedan senaste torrkörningen\n\nDet finns ingen torrkörning av samma enheter att jämföra med.\n"
    )
    assert "Grindar" not in text
    assert "motivering" not in text
    dry_run(store, "natt", [*POSTS])
    assert summary(store, WAVE, planned(), "natt").endswith("Ingen kontroll har fått ett annat utfall.\n")


def test_summary_needs_a_verified_batch(store: StagingStore) -> None:
    batches.open_batch(store, WAVE, kind="migration")
    with pytest.raises(StagingError, match="counts only once it is verified"):
        summary(store, WAVE, planned(), None)
