"""What migration leads are told when nobody is looking: in Swedish, with counts and no personal data.

Only what is new is told: a gate that was red already is not.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from waitlist.approval import figure
from waitlist.gates import GATE_LABELS, Gate, GateResult
from waitlist.readiness import number
from waitlist.staging import Batch

RUN_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "waitlist_dry_run": "Torrkörningen av väntelistorna",
        "waitlist_migration": "Migreringen av väntelistor",
        "waitlist_withdrawal": "Återtagandet av en överföring",
        "waitlist_retention": "Gallringen av väntelistornas uppgifter",
    }
)
"""What the runs of a DAG are called."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message; where it leads to is added on the way."""

    subject: str
    text: str


def run_failed(dag_id: str, step: str | None) -> Notice:
    """Tell that a run has failed.

    Args:
        dag_id: the DAG.
        step: the step that failed; None where that is not known.
    """
    label = RUN_LABELS.get(dag_id, dag_id)
    where = f"Steget {step} misslyckades. " if step else ""
    return Notice(
        f"{label} misslyckades",
        f"{where}Loggen säger varför. Vad som ska göras vid varje fel står i docs/runbook.md.",
    )


def turned_red(now: Iterable[GateResult], known: Collection[str]) -> list[GateResult]:
    """Return the gates that failed and are not known to be red; what cannot be measured is no news."""
    return [each for each in now if not each.passed and each.measured is not None and each.gate.value not in known]


def gates_turned_red(batch: Batch, turned: Sequence[GateResult]) -> Notice:
    """Tell which gates a dry run has turned red.

    Args:
        batch: the dry run.
        turned: what ``turned_red`` returned, at least one.
    """
    what = "en grind har blivit röd" if len(turned) == 1 else f"{len(turned)} grindar har blivit röda"
    lines = [f"Torrkörningen per {batch.as_of} underkänns av grindar som inte var röda förut:", *map(_line, turned)]
    return Notice(f"Väntelistorna: {what}", "\n".join(lines))


def approval_waits(batch: Batch, gates: Sequence[GateResult]) -> str:
    """Return what is told of a wave that waits to be approved; the question itself is its subject.

    Args:
        batch: a migration that awaits approval.
        gates: its gates.
    """
    failed = [each for each in gates if not each.passed]
    posts = f"{number(batch.posts_staged or 0)} av {number(batch.posts_extracted or 0)} poster"
    lines = [f"{posts} kan släppas till Millennium, per {batch.as_of}.", _verdict(gates, failed), *map(_line, failed)]
    return "\n".join(lines)


def withdrawal_waits(batch: Batch) -> str:
    """Return what is told of a released batch that somebody wants to take back.

    Args:
        batch: a batch that is released.
    """
    return (
        f"Det gäller {number(batch.posts_staged or 0)} poster i våg {batch.wave}, per {batch.as_of}. "
        "Ett återtagande kräver en skriftlig motivering, och att RevenueCycle inte har läst in posterna."
    )


def _verdict(gates: Sequence[GateResult], failed: Sequence[GateResult]) -> str:
    if not failed:
        return f"Alla {len(gates)} grindar är godkända."
    return f"{len(failed)} av {len(gates)} grindar är underkända. Ett godkännande kräver en skriftlig motivering:"


def _line(result: GateResult) -> str:
    gate: Gate = result.gate
    return f"- {GATE_LABELS[gate]}: {figure(gate, result.measured)}, högst {figure(gate, result.threshold)}"
