"""The messages to leads: in Swedish, with counts, and only about news."""

import datetime as dt

from waitlist.facts.gates import BY_SETTING, OPTIONAL, Gate
from waitlist.paths import PROJECT
from waitlist.release.gates import GateResult
from waitlist.reports.notices import (
    RUN_LABELS,
    approval_waits,
    gates_turned_red,
    run_ended_untruly,
    run_failed,
    turned_red,
    withdrawal_waits,
)
from waitlist.staging import Batch, BatchKind, BatchState
from waitlist.swedish.words import GATE_LABELS

NOW = dt.datetime(2024, 10, 1, 4, tzinfo=dt.UTC)
BATCH = Batch(
    "migration-0123456789abcdef", "waitlist_migration", "manual", BatchKind.MIGRATION, "2", dt.date(2024, 10, 1),
    BatchState.AWAITING_APPROVAL, 12_345, 6_789, "0" * 64, NOW, NOW, None, None, None, None, None,
)  # fmt: skip


def red(gate: Gate, measured: float | None = 1.0, limit: float = 0.0) -> GateResult:
    return GateResult(gate, measured, limit, passed=False)


def green(gate: Gate) -> GateResult:
    return GateResult(gate, 0.0, 0.0, passed=True)


def test_a_failed_run_is_named_with_its_step() -> None:
    told = run_failed("waitlist_dry_run", ["reconcile"])
    assert told.subject == "Torrkörningen av väntelistorna misslyckades"
    assert told.text.startswith("Steget reconcile misslyckades. Loggen säger varför.")
    assert "Handbok under Migrering i Airflow, docs/handbok.md" in told.text
    assert "Steget" not in run_failed("waitlist_dry_run").text


def test_a_run_that_somebody_marked_as_done_is_told_with_the_handbook() -> None:
    told = run_ended_untruly("waitlist_migration", "Inget är överfört.")
    assert told.subject == "Migreringen av väntelistor står som lyckad men är inte klar"
    assert told.text.startswith("Inget är överfört. Någon har markerat steg som klara i Airflow.")
    assert "docs/handbok.md" in told.text


def test_the_handbook_says_what_to_do_at_every_message_and_every_red_gate() -> None:
    handbook = (PROJECT / "docs" / "handbok.md").read_text(encoding="utf-8")
    subjects = [run_failed(dag).subject for dag in RUN_LABELS]
    assert [subject for subject in subjects if f"| {subject} |" not in handbook] == []
    assert [label for label in GATE_LABELS.values() if f"| {label} |" not in handbook] == []


def test_every_dag_has_a_name_for_messages() -> None:
    assert set(RUN_LABELS) == {path.stem for path in (PROJECT / "dags").glob("*.py")}


def test_a_gate_is_news_until_it_is_known_to_be_red() -> None:
    now = [red(Gate.ACCOUNTING), red(Gate.UNHANDLED_SHARE), green(Gate.CRITICAL_SUITES)]
    assert [result.gate for result in turned_red(now, ())] == [Gate.ACCOUNTING, Gate.UNHANDLED_SHARE]
    assert [result.gate for result in turned_red(now, {"unhandled_share"})] == [Gate.ACCOUNTING]
    assert turned_red(now, {"unhandled_share", "accounting"}) == []


def test_a_gate_that_cannot_be_measured_is_no_news() -> None:
    assert turned_red([red(Gate.EXTRACT_DEVIATION, None)], ()) == []


def test_gates_are_reported_with_the_measured_value_and_the_limit() -> None:
    told = gates_turned_red(BATCH, [red(Gate.UNHANDLED_SHARE, 0.4567, 0.1), red(Gate.UNITS_WITHOUT_GO_LIVE, 3)])
    assert told.subject == "Väntelistorna: 2 grindar har blivit röda"
    assert told.text.splitlines() == [
        "Torrkörningen per 2024-10-01 underkänns av grindar som inte var röda förut:",
        "- Andel poster som ännu inte är hanterade: 45,67 %, högst 10 %",
        "- Enheter utan driftstart: 3, högst 0",
        "Vad som ska göras vid varje grind står i handboken (Handbok under Migrering i Airflow, docs/handbok.md).",
    ]
    assert gates_turned_red(BATCH, [red(Gate.ACCOUNTING)]).subject == "Väntelistorna: en grind har blivit röd"


def test_the_message_about_a_waiting_wave_has_its_counts_and_failed_gates() -> None:
    passed = [green(gate) for gate in Gate if gate not in OPTIONAL | BY_SETTING]
    assert approval_waits(BATCH, passed).splitlines() == [
        "6 789 av 12 345 poster kan överföras till Millennium, per 2024-10-01.",
        f"Alla {len(passed)} grindar är godkända.",
    ]
    failed = [red(Gate.DRY_RUN_AGE_DAYS, 9, 3), *passed[:5]]
    assert approval_waits(BATCH, failed).splitlines()[1:] == [
        "1 av 6 grindar är underkända. Ett godkännande kräver en skriftlig motivering:",
        "- Dagar sedan föregående torrkörning: 9, högst 3",
    ]


def test_the_message_about_a_waiting_withdrawal_has_its_count() -> None:
    assert withdrawal_waits(BATCH).startswith("Det gäller 6 789 poster i våg 2, per 2024-10-01. Ett återtagande kräver")
