"""What migration leads are told when nobody is looking: in Swedish, with counts and no personal data.

Only what is new is told: a gate that was red already is not.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from waitlist.facts.gates import Gate
from waitlist.release.gates import GateResult
from waitlist.reports.approval import figure
from waitlist.staging import Batch, BatchState
from waitlist.swedish.formats import moment, number
from waitlist.swedish.words import GATE_LABELS

RUN_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "waitlist_dry_run": "Torrkörningen av väntelistorna",
        "waitlist_migration": "Migreringen av väntelistor",
        "waitlist_withdrawal": "Återtagandet av en överföring",
        "waitlist_retention": "Gallringen av väntelistornas uppgifter",
        "waitlist_watch": "Bevakningen av torrkörningarna",
    }
)
"""What the runs of a DAG are called."""


HANDBOOK: Final = "handboken (Handbok under Migrering i Airflow, docs/handbok.md)"
"""Where a migration lead reads what to do, in Swedish."""

_DECIDED: Final[Mapping[BatchState, str]] = MappingProxyType(
    {
        BatchState.RELEASED: "en våg är överförd till Millennium",
        BatchState.REJECTED: "överföringen är avslagen",
        BatchState.WITHDRAWN: "överföringen är återtagen",
    }
)


@dataclass(frozen=True, slots=True)
class Notice:
    """A message; where it leads to is added on the way."""

    subject: str
    text: str


def run_failed(dag_id: str, steps: Sequence[str] = (), standing: str | None = None) -> Notice:
    """Tell that a run has failed.

    Args:
        dag_id: the DAG.
        steps: those that failed, as far as it is known.
        standing: where its batch stands, a sentence (``standing_of``).
    """
    which = f"Steget {steps[0]}" if len(steps) == 1 else f"Stegen {', '.join(steps)}"
    said = [f"{which} misslyckades."] if steps else []
    said += [standing] if standing else []
    said += [f"Loggen säger varför. Vad som ska göras när ett steg har misslyckats står i {HANDBOOK}."]
    return Notice(f"{RUN_LABELS.get(dag_id, dag_id)} misslyckades", " ".join(said))


def no_night(since: dt.datetime, longest: dt.timedelta) -> Notice:
    """Tell that no night has been verified.

    Args:
        since: when the last one was, or when the first one began.
        longest: how long that may be.
    """
    hours = int(longest.total_seconds() // 3600)
    return Notice(
        f"Väntelistorna: ingen torrkörning är klar sedan {moment(since)}",
        f"Ingen torrkörning av alla enheter har blivit klar på mer än {hours} timmar. Nyare siffror än så finns inte. "
        "Se i Airflow om waitlist_dry_run är pausad, om en körning misslyckades, står still eller väntar på en annan, "
        f"och om schemaläggaren går. Vad som ska göras står i {HANDBOOK}. Detta avbrott meddelas inte igen.",
    )


def run_ended_untruly(dag_id: str, standing: str) -> Notice:
    """Tell that Airflow shows a run as a success which has not done what it is for.

    Args:
        dag_id: the DAG.
        standing: where its batch stands, a sentence (``standing_of``).
    """
    return Notice(
        f"{RUN_LABELS.get(dag_id, dag_id)} står som lyckad men är inte klar",
        f"{standing} Någon har markerat steg som klara i Airflow. Vad som ska göras står i {HANDBOOK}.",
    )


def decision_taken(batch: Batch, *, stands: bool = False) -> Notice:
    """Tell what an approver has decided.

    Args:
        batch: a batch that was released, rejected or withdrawn.
        stands: whether it was asked about its withdrawal, and its release stands.
    """
    what = "överföringen står kvar" if stands else _DECIDED[batch.state]
    return Notice(f"Väntelistorna: {what}", standing_of(batch))


def standing_of(batch: Batch | None) -> str:
    """Return where a batch stands, as a sentence; None is one that was never opened."""
    if batch is None:
        return "Ingen körning har öppnats: inget är läst och inget är överfört."
    what = f"våg {batch.wave}, per {batch.as_of}" if batch.wave else f"per {batch.as_of}"
    posts = f"{number(batch.posts_staged or 0)} poster"
    return {
        BatchState.RELEASED: f"Överfört till Millennium: {posts}, {what}.",
        BatchState.WITHDRAWN: f"Överföringen är återtagen: {posts}, {what}.",
        BatchState.REJECTED: f"Avslaget: {what}. Inget är överfört.",
        BatchState.AWAITING_APPROVAL: f"Inget är överfört: {what} väntar på beslut.",
        BatchState.VERIFIED: f"Siffrorna gäller ({what}). Inget är överfört.",
    }.get(batch.state, f"Siffrorna räknas inte ({what}), och inget är överfört.")


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
    lines = [
        f"Torrkörningen per {batch.as_of} underkänns av grindar som inte var röda förut:",
        *map(_line, turned),
        f"Vad som ska göras vid varje grind står i {HANDBOOK}.",
    ]
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
