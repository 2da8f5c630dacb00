"""The register of risks with the evidence of one batch: what each control found there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from waitlist.facts.gates import Gate
from waitlist.facts.risks import Control, ControlKind, Risk, read_risks
from waitlist.judge.rules import RULES
from waitlist.quality import SUITES, Outcome, QualityResult
from waitlist.release.gates import GateResult
from waitlist.swedish.formats import number
from waitlist.swedish.words import GATE_LABELS, OUTCOME_LABELS, RISK_EVIDENCE, SUITE_LABELS, rule_label

_KNOWN: Final = {
    ControlKind.GATE: tuple(gate.value for gate in Gate),
    ControlKind.RULE: tuple(code.value for code in RULES),
    ControlKind.SUITE: tuple(SUITES),
}
_BAD: Final = (Outcome.ERROR, Outcome.FAILED)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a control has shown in one batch."""

    control: Control
    label: str
    """Its Swedish name."""
    text: str
    """What it found, in Swedish."""
    good: bool | None
    """Whether it holds; None for what is no requirement: a rule sorts posts out, and a test belongs to the release."""


@dataclass(frozen=True, slots=True)
class ShownRisk:
    """A risk and the evidence of its controls, in the register's order."""

    risk: Risk
    evidence: tuple[Evidence, ...]


def read_register(folder: Path) -> tuple[tuple[Risk, ...], list[str]]:
    """Read the register of a folder of mapping files, and every fault of it (``facts.risks.read_risks``)."""
    return read_risks(folder, _KNOWN)


def with_evidence(
    risks: Iterable[Risk],
    *,
    gates: Iterable[GateResult],
    found: Mapping[str, int],
    results: Iterable[QualityResult],
    asked_persons: bool,
) -> tuple[ShownRisk, ...]:
    """Return risks with what a batch showed.

    Args:
        risks: of the register.
        gates: as measured on the batch.
        found: the number of posts that each rule found in it; a rule that is left out found none.
        results: of its suites.
        asked_persons: whether the person service had to be asked.
    """
    measured = {result.gate.value: result for result in gates}
    by_suite: dict[str, list[Outcome]] = {}
    for result in results:
        by_suite.setdefault(result.suite, []).append(result.outcome)

    def of(control: Control) -> Evidence:
        match control.kind:
            case ControlKind.GATE:
                return _of_gate(control, measured.get(control.name))
            case ControlKind.RULE:
                posts = found.get(control.name, 0)
                said = RISK_EVIDENCE["posts"].format(posts=number(posts)) if posts else RISK_EVIDENCE["no_posts"]
                asked = asked_persons or not control.name.startswith("PU_")
                return Evidence(control, rule_label(control.name), said if asked else RISK_EVIDENCE["not_asked"], None)
            case ControlKind.SUITE:
                return _of_suite(control, by_suite.get(control.name, []))
            case ControlKind.TEST:
                return Evidence(control, control.name, RISK_EVIDENCE["test"], None)

    return tuple(ShownRisk(risk, tuple(of(control) for control in risk.kontroller)) for risk in risks)


def _of_gate(control: Control, result: GateResult | None) -> Evidence:
    label = GATE_LABELS[Gate(control.name)]
    if result is None:
        return Evidence(control, label, RISK_EVIDENCE["gate_off"], None)
    return Evidence(control, label, RISK_EVIDENCE["gate_passed" if result.passed else "gate_failed"], result.passed)


def _of_suite(control: Control, outcomes: list[Outcome]) -> Evidence:
    label = RISK_EVIDENCE["suite"].format(suite=SUITE_LABELS.get(control.name, control.name))
    applying = [outcome for outcome in outcomes if outcome is not Outcome.NOT_APPLICABLE]
    if not applying:
        return Evidence(control, label, OUTCOME_LABELS[Outcome.NOT_APPLICABLE], None)
    bad = sum(outcome in _BAD for outcome in applying)
    said = RISK_EVIDENCE["suite_counts"].format(good=number(len(applying) - bad), every=number(len(applying)))
    return Evidence(control, label, said, not bad)
