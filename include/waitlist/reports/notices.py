"""The messages that migration leads get without looking at the dashboard: in Swedish, with counts, no personal data.

A message reports only news: a gate that was already red gives no message.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from waitlist.facts.gates import Gate
from waitlist.facts.mappings import Mappings
from waitlist.release.decisions import SHORTEST_REASON
from waitlist.release.gates import GateResult
from waitlist.release.receipts.account import Open
from waitlist.reports.approval import figure
from waitlist.staging import Batch, BatchState
from waitlist.swedish.formats import moment, number
from waitlist.swedish.words import GATE_LABELS, UNKNOWN_UNIT_NAME

RUN_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "waitlist_dry_run": "Torrkörningen av väntelistorna",
        "waitlist_migration": "Migreringen av väntelistor",
        "waitlist_withdrawal": "Återtagandet av en överföring",
        "waitlist_retention": "Gallringen av väntelistornas uppgifter",
        "waitlist_watch": "Bevakningen av torrkörningarna",
        "waitlist_receipts": "Inläsningen av kvittenser",
    }
)
"""The Swedish name of each DAG's runs."""


HANDBOOK: Final = "handboken (Handbok under Migrering i Airflow, docs/handbok.md)"
"""The Swedish document that tells a migration lead what to do."""

_DECIDED: Final[Mapping[BatchState, str]] = MappingProxyType(
    {
        BatchState.RELEASED: "en våg är överförd till Millennium",
        BatchState.REJECTED: "överföringen är avslagen",
        BatchState.WITHDRAWN: "överföringen är återtagen",
        BatchState.WITHDRAWN_AFTER_LOAD: "överföringen är återtagen efter inläsning",
    }
)


@dataclass(frozen=True, slots=True)
class Notice:
    """A message; the sender adds the link."""

    subject: str
    text: str


def run_failed(dag_id: str, steps: Sequence[str] = (), state: str | None = None) -> Notice:
    """Return the message that a run has failed.

    Args:
        dag_id: the DAG.
        steps: the steps that failed, as far as they are known.
        state: a sentence on the state of its batch (``state_sentence``).
    """
    which = f"Steget {steps[0]}" if len(steps) == 1 else f"Stegen {', '.join(steps)}"
    sentences = [f"{which} misslyckades."] if steps else []
    sentences += [state] if state else []
    sentences += [f"Loggen säger varför. Vad som ska göras när ett steg har misslyckats står i {HANDBOOK}."]
    return Notice(f"{RUN_LABELS.get(dag_id, dag_id)} misslyckades", " ".join(sentences))


def no_night(since: dt.datetime, longest: dt.timedelta) -> Notice:
    """Return the message that no night has been verified.

    Args:
        since: when the last night was verified, or when the first one began.
        longest: the longest time that this may take.
    """
    hours = int(longest.total_seconds() // 3600)
    return Notice(
        f"Väntelistorna: ingen torrkörning är klar sedan {moment(since)}",
        f"Ingen torrkörning av alla enheter har blivit klar på mer än {hours} timmar. Nyare siffror än så finns inte. "
        "Se i Airflow om waitlist_dry_run är pausad, om en körning misslyckades, står still eller väntar på en annan, "
        f"och om schemaläggaren går. Vad som ska göras står i {HANDBOOK}. Detta avbrott meddelas inte igen.",
    )


def run_ended_untruly(dag_id: str, state: str) -> Notice:
    """Return the message that Airflow shows a run as a success although its work is not done.

    Args:
        dag_id: the DAG.
        state: a sentence on the state of its batch (``state_sentence``).
    """
    return Notice(
        f"{RUN_LABELS.get(dag_id, dag_id)} står som lyckad men är inte klar",
        f"{state} Någon har markerat steg som klara i Airflow. Vad som ska göras står i {HANDBOOK}.",
    )


def decision_taken(batch: Batch, *, kept: bool = False) -> Notice:
    """Return the message about an approver's decision.

    Args:
        batch: a batch that was released, rejected or withdrawn.
        kept: whether the question was about its withdrawal, and the answer was to keep it released.
    """
    what = "överföringen står kvar" if kept else _DECIDED[batch.state]
    return Notice(f"Väntelistorna: {what}", state_sentence(batch))


def state_sentence(batch: Batch | None) -> str:
    """Return a sentence on the state of a batch; None means that no batch was opened."""
    if batch is None:
        return "Ingen körning har öppnats: inget är läst och inget är överfört."
    what = f"våg {batch.wave}, per {batch.as_of}" if batch.wave else f"per {batch.as_of}"
    posts = f"{number(batch.posts_staged or 0)} poster"
    return {
        BatchState.RELEASED: f"Överfört till Millennium: {posts}, {what}.",
        BatchState.WITHDRAWN: f"Överföringen är återtagen: {posts}, {what}.",
        BatchState.WITHDRAWN_AFTER_LOAD: f"Överföringen är återtagen efter inläsning: {posts}, {what}. Posterna finns "
        "kvar hos mottagaren tills den har bekräftat att de är avbokade eller avvisade.",
        BatchState.REJECTED: f"Avslaget: {what}. Inget är överfört.",
        BatchState.AWAITING_APPROVAL: f"Inget är överfört: {what} väntar på beslut.",
        BatchState.VERIFIED: f"Siffrorna gäller ({what}). Inget är överfört.",
    }.get(batch.state, f"Siffrorna räknas inte ({what}), och inget är överfört.")


def turned_red(now: Iterable[GateResult], known: Collection[str]) -> list[GateResult]:
    """Return the failed gates that are not in ``known``, except those that could not be measured."""
    failed = (result for result in now if not result.passed and result.measured is not None)
    return [result for result in failed if result.gate.value not in known]


def gates_turned_red(batch: Batch, turned: Sequence[GateResult]) -> Notice:
    """Return the message about gates that failed in a dry run and were not red before.

    Args:
        batch: the dry run.
        turned: the result of ``turned_red``, at least one gate.
    """
    what = "en grind har blivit röd" if len(turned) == 1 else f"{len(turned)} grindar har blivit röda"
    lines = [
        f"Torrkörningen per {batch.as_of} underkänns av grindar som inte var röda förut:",
        *map(_line, turned),
        f"Vad som ska göras vid varje grind står i {HANDBOOK}.",
    ]
    return Notice(f"Väntelistorna: {what}", "\n".join(lines))


def receipts_refused(files: int, rows: int) -> Notice:
    """Return the message about receipts that could not be taken.

    Args:
        files: how many files were refused.
        rows: how many rows of the inbox were faulty.
    """
    lines = []
    if files:
        lines.append(
            f"Filer som avvisades: {number(files)}. Inget ur dem är taget. De ligger i mappen refused, och felen står "
            "rad för rad i en fil bredvid. Be mottagaren rätta och lämna hela filen igen."
        )
    if rows:
        lines.append(f"Rader ur receipt_inbox med fel: {number(rows)}. De ligger i tabellen receipt_fault med felen.")
    return Notice("Väntelistorna: kvittenser kunde inte tas emot", "\n".join(lines))


def not_booked(
    unanswered: Sequence[tuple[str | None, int]],
    hours: int,
    units: Sequence[Open],
    lacking: Mapping[str | None, int],
    mappings: Mappings,
) -> Notice:
    """Return the nightly message about posts after their release: unanswered, open, late, or without an outcome.

    Args:
        unanswered: the wave of each batch that has unanswered posts, and their number.
        hours: how long ago at least those batches were released.
        units: the open posts by unit.
        lacking: how many posts of each wave that is not closed have no outcome.
        mappings: names of the units.
    """
    silent, late = sum(posts for _, posts in unanswered), sum(unit.late for unit in units)
    open_posts, owed = sum(unit.posts for unit in units), sum(lacking.values())
    parts = [f"obesvarade poster: {number(silent)}"] if silent else []
    parts += [f"sena att bokas: {number(late)}"] if late else []
    parts += [f"utan utfall: {number(owed)}"] if owed else []
    lines = [f"Överförda för mer än {hours} timmar sedan och obesvarade av mottagaren:"] if silent else []
    lines += [f"- {f'våg {wave}' if wave else 'utan våg'}: {number(posts)}" for wave, posts in unanswered]
    lines += (
        ["Öppna, alltså mottagna men inte bokade. Sena är de vars Boka före är nära eller passerat:"] if units else []
    )
    lines += [
        f"- {mappings.name_of(unit.enhet_hsa_id) or UNKNOWN_UNIT_NAME}: {number(unit.posts)}"
        f"{f', varav {number(unit.late)} sena' if unit.late else ''}"
        for unit in units
    ]
    lines += [f"Öppna: totalt {number(open_posts)} poster, varav {number(late)} sena."] if units else []
    lines += (
        ["Poster som en våg lämnade kvar, eller som mottagaren avvisade, och som saknar utfall:"] if lacking else []
    )
    lines += [f"- {f'våg {wave}' if wave else 'utan våg'}: {number(posts)}" for wave, posts in lacking.items()]
    lines.append(f"Vad som ska göras står i {HANDBOOK}.")
    return Notice(f"Väntelistorna: {', '.join(parts)}", "\n".join(lines))


def persons_after_release(batch: Batch, posts: int) -> Notice:
    """Return the message that the person service says something new of released patients.

    Args:
        batch: the dry run.
        posts: how many released posts this is new of, at least one.
    """
    which = "en överförd post" if posts == 1 else f"{number(posts)} överförda poster"
    return Notice(
        f"Väntelistorna: rätta {which} i Millennium",
        f"Personuppgiftstjänsten säger något nytt om patienten på {which}, enligt torrkörningen per {batch.as_of}: "
        "avliden, nytt personnummer, avregistrerad eller skyddade uppgifter. Skicka ingen kallelse förrän "
        "bokningsbegäran i Millennium är rättad. Posterna står först under Överfört och under Rätta i Millennium i "
        "enheternas arbetslistor; de som ingår i en återtagen körning står på sidan Vad som ska tillbaka.",
    )


def certificate_expires(ends: dt.datetime, days: int) -> Notice:
    """Return the message that our certificate for the person service expires soon.

    Args:
        ends: when it expires.
        days: how many days are left; not above zero when it has expired.
    """
    when = (
        f"går ut om {days} dagar" if days > 1 else "går ut i morgon" if days == 1 else "har gått ut eller går ut i dag"
    )
    return Notice(
        f"Väntelistorna: certifikatet för Personuppgiftstjänsten {when}",
        f"Certifikatet gäller till {moment(ends)}. Efter det svarar tjänsten inte, och ingen våg kan överföras. "
        "Beställ ett nytt, och byt filerna som anslutningen pu i Airflow pekar på.",
    )


def approval_waits(batch: Batch, gates: Sequence[GateResult]) -> str:
    """Return the text of the message about a wave that awaits approval; its subject is the question.

    Args:
        batch: a migration that awaits approval.
        gates: its gates.
    """
    failed = [gate for gate in gates if not gate.passed]
    posts = f"{number(batch.posts_staged or 0)} av {number(batch.posts_extracted or 0)} poster"
    lines = [f"{posts} kan överföras till Millennium, per {batch.as_of}.", _verdict(gates, failed), *map(_line, failed)]
    return "\n".join(lines)


def answer_without_reason(message: str) -> str:
    """Return the text of the message about a question that is asked again.

    Args:
        message: the text of the first message about it.
    """
    return (
        f"Svaret som gavs saknade den motivering som krävs, minst {SHORTEST_REASON} tecken. Inget har hänt, och frågan "
        f"är ställd igen.\n{message}"
    )


def withdrawal_waits(batch: Batch, *, after_load: bool = False) -> str:
    """Return the text of the message about a released batch that somebody wants to withdraw.

    Args:
        batch: a batch that is released.
        after_load: whether a receiver may have its posts.
    """
    loaded = (
        "Millennium har eller kan ha läst in posterna: de blir fria först när mottagaren har bekräftat det."
        if after_load
        else "RevenueCycle får inte ha läst in posterna."
    )
    return (
        f"Det gäller {number(batch.posts_staged or 0)} poster i våg {batch.wave}, per {batch.as_of}. "
        f"Ett återtagande kräver en skriftlig motivering. {loaded}"
    )


def _verdict(gates: Sequence[GateResult], failed: Sequence[GateResult]) -> str:
    if not failed:
        return f"Alla {len(gates)} grindar är godkända."
    return f"{len(failed)} av {len(gates)} grindar är underkända. Ett godkännande kräver en skriftlig motivering:"


def _line(result: GateResult) -> str:
    gate: Gate = result.gate
    return f"- {GATE_LABELS[gate]}: {figure(gate, result.measured)}, högst {figure(gate, result.threshold)}"
