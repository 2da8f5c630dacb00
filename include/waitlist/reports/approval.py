"""The text that an approver reads before a wave is released or withdrawn: Swedish Markdown, counts only.

It has the gates, what happens to the posts that are not released, the posts by unit and disposition, and the changes
since the latest dry run of the same units. The step that asks adds the moment until which it waits.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from urllib.parse import quote, urlencode

from waitlist.facts.gates import BY_SETTING, SHARES, Gate
from waitlist.facts.mappings import Mappings
from waitlist.judge.rules import OF_PERSONS, RULES, Disposition
from waitlist.quality import FailureSeverity, Outcome, QualityResult
from waitlist.release.decisions import SHORTEST_REASON
from waitlist.release.gates import GateResult, off, stored
from waitlist.release.sample.state import State
from waitlist.reports.readiness import Readiness, UnitReadiness, read_readiness
from waitlist.reports.sample_words import state_sentence
from waitlist.staging import Batch, StagingStore
from waitlist.staging.database import refusals_named
from waitlist.staging.dry_runs import posts_by_disposition
from waitlist.swedish.formats import moment, number, percent
from waitlist.swedish.words import (
    DISPOSITION_LABELS,
    DISPOSITION_TEXTS,
    GATE_LABELS,
    OUTCOME_LABELS,
    PERSONS_NOT_ASKED,
    PERSONS_SUITE_NOT_APPLICABLE,
    UNKNOWN_UNIT_NAME,
    rule_label,
)

_WORST_FIRST: Final = (Outcome.ERROR, Outcome.FAILED, Outcome.PASSED, Outcome.NOT_APPLICABLE)
_MOMENT: Final = "\n### Svar behövs senast "
PAGES: Final = "migrering/"
"""The dashboard below Airflow's address, to which Airflow's own pages resolve a relative link."""
_MARKDOWN: Final = re.compile(r"([\\`*_\[\]<>|~#&])")


@dataclass(frozen=True, slots=True)
class Question:
    """A question to an approver; made only from the database."""

    subject: str
    body: str
    """The facts to decide by, as Markdown."""
    message: str
    """The text, besides the question, of the message that says that an answer is awaited."""
    entry: int
    """The audit trail's entry that an answer is bound to: the approval request, or the release to withdraw."""
    state: str = ""
    """What may change while the question waits, as Markdown; it is no part of what an answer is bound to."""


def summary(
    store: StagingStore, batch_id: str, mappings: Mappings, previous: str | None, *, sample: State | None = None
) -> str:
    """Return a description of what is to be approved, as Swedish Markdown without personal data.

    Args:
        store: the staging database.
        batch_id: a batch that counts for readers; its gates are shown after approval was asked for.
        mappings: names, waves and go-lives of the units.
        previous: the dry run to compare with (``gates.latest_dry_run``), or None.
        sample: the posts that people compare; None where the gate is off.

    Raises:
        StagingError: one of the batches is unknown, or does not count for readers.
    """
    readiness = read_readiness(store, batch_id, mappings)
    results = store.quality_results(batch_id)
    parts = [*_heading(readiness, results), *_gates(stored(store, batch_id)), *_critical(results)]
    parts += _sample(batch_id, sample) if sample else []
    parts += [*_left(readiness), *_units(readiness), *_changes(store, readiness.batch, previous)]
    return "\n".join(parts) + "\n"


def withdrawal(batch: Batch, *, after_load: bool = False) -> str:
    """Return a description of what would be withdrawn, as Swedish Markdown.

    Args:
        batch: a batch that is released.
        after_load: whether a receiver may have its posts.
    """
    wave = f"våg {_escaped(batch.wave)}, " if batch.wave else ""
    page = f"{PAGES}korningar/{quote(batch.batch_id, safe='')}/aterlamning"
    consequence = (
        "Millennium har eller kan ha läst in den. Den återtas **efter inläsning**: en post blir fri först när "
        "mottagaren har bekräftat att den är avbokad eller avvisad. Bokade och obesvarade poster förblir överförda. "
        f"[Vad som ska tillbaka, enhet för enhet]({page})"
        if after_load
        else "Återta den bara om RevenueCycle inte har läst in den: annars ska frågan ställas med *Inläst*. Posterna "
        "blir fria för en senare körning."
    )
    return (
        f"Körning `{batch.batch_id}`, {wave}per {batch.as_of}: **{number(batch.posts_staged or 0)} poster** överfördes "
        f"{moment(batch.released_at)}.\n\n{consequence}\n"
    )


def sample_now(sample: State) -> str:
    """Return how far the sample has come, to follow the end of a question (``answer_by``).

    Args:
        sample: as it is when the question is asked.
    """
    return f"\n### Stickprovet när frågan ställdes\n\n{state_sentence(sample)}\n"


def answer_by(until: datetime) -> str:
    """Return the end of a question: until when it waits, and what happens without an answer.

    Args:
        until: the moment, aware.
    """
    return (
        f"{_MOMENT}{moment(until)}\n\nSvarar ingen till dess ändras inget: steget misslyckas, och frågan får ställas "
        "igen. Har den ställts igen i samma körning gäller lika lång tid från dess.\n"
    )


def without_moment(body: str | None) -> str:
    """Return a question's text without its end (``answer_by``), which differs each time that it is asked."""
    text = body or ""
    return text.rpartition(_MOMENT)[0] if _MOMENT in text else text


def _heading(readiness: Readiness, results: Iterable[QualityResult]) -> list[str]:
    batch, progress = readiness.batch, readiness.progress
    what = f"Våg {_escaped(batch.wave)}" if batch.wave else "Alla enheter"
    return [
        f"## {what} per {batch.as_of.isoformat()}",
        "",
        f"**{number(progress.ready)} av {number(progress.posts)} poster migreras.** Ett godkännande överför dem till "
        "Millenniums arbetslista. Ett avslag stänger körningen.",
        "",
        f"[Körning `{batch.batch_id}`]({PAGES}korningar/{quote(batch.batch_id, safe='')})"
        + (f" · [Beslutsunderlag]({PAGES}beslutsunderlag?{urlencode({'namn': batch.wave})})" if batch.wave else ""),
        "",
        *_persons(readiness, results),
    ]


def _persons(readiness: Readiness, results: Iterable[QualityResult]) -> list[str]:
    """Return what the person service brought about, or that nobody has asked it."""
    if not readiness.asked_persons:
        nobody = f"**{PERSONS_NOT_ASKED}:** ingen patient är kontrollerad mot folkbokföringen."
        return [f"{nobody} {PERSONS_SUITE_NOT_APPLICABLE}", ""]
    found = [f"{count.label} {number(count.posts)}" for count in readiness.findings if count.rule in OF_PERSONS]
    outcomes = Counter(result.outcome for result in results if result.expectation in OF_PERSONS)
    counted = ", ".join(
        f"{OUTCOME_LABELS[outcome].lower()} {outcomes[outcome]}" for outcome in _WORST_FIRST if outcomes[outcome]
    )
    return [
        f"Antal poster med anmärkning efter kontrollen mot Personuppgiftstjänsten: {', '.join(found) or 'inga'}. "
        f"Krav på Personuppgiftstjänstens svar: {counted or OUTCOME_LABELS[None].lower()}.",
        "",
    ]


def _sample(batch_id: str, sample: State) -> list[str]:
    """Return what the sample is; how far it has come changes while the question waits."""
    page = f"{PAGES}stickprov/{quote(batch_id, safe='')}"
    return [
        f"### Stickprov: minst {number(sample.smallest)} slumpade poster, och riktade poster",
        "",
        f"Posterna jämförs med PMO innan du svarar. [Stickprovet]({page}) visar läget nu. Det mäts när du svarar och "
        "en gång till när vågen överförs. Är det underkänt krävs en skriftlig motivering, annars ställs frågan igen.",
        "",
    ]


def _gates(measured: Sequence[GateResult]) -> list[str]:
    # The sample has a part of its own: its figure is not the one that will count.
    gates = [result for result in measured if result.gate is not Gate.SAMPLE]
    if not gates:
        return []
    passed = sum(result.passed for result in gates)
    lines = [f"### Grindar: {passed} av {len(gates)} godkända", ""]
    lines += _table(
        ("Grind", "Uppmätt", "Högst", "Utfall"),
        (
            (
                GATE_LABELS[result.gate],
                figure(result.gate, result.measured),
                figure(result.gate, result.threshold),
                "Godkänd" if result.passed else "**Underkänd**",
            )
            for result in gates
        ),
        right=(1, 2),
    )
    lines += [
        f"Av, utan gräns i `gates.csv`: {GATE_LABELS[gate]}.\n" for gate in off(measured) if gate not in BY_SETTING
    ]
    if passed < len(gates):
        lines += [
            f"**En underkänd grind kräver en skriftlig motivering, minst {SHORTEST_REASON} tecken.** "
            "Den sparas med ditt namn och tidpunkten.",
            "",
        ]
    return lines


def _critical(results: Iterable[QualityResult]) -> list[str]:
    lines = []
    for result in results:
        if result.severity is FailureSeverity.CRITICAL and result.outcome is Outcome.FAILED:
            failing = f"{number(result.unexpected)} av {number(result.evaluated)} uppfyller inte kravet"
            lines.append(f"- `{result.suite}`, {_expected(result)}: {failing}")
        elif result.severity is FailureSeverity.CRITICAL and result.outcome is Outcome.ERROR:
            lines.append(f"- `{result.suite}`, {_expected(result)}: {OUTCOME_LABELS[Outcome.ERROR].lower()}")
    return [f"{GATE_LABELS[Gate.CRITICAL_SUITES]}:", "", *lines, ""] if lines else []


def _expected(result: QualityResult) -> str:
    if result.expectation in RULES:
        return rule_label(result.expectation)
    return f"`{result.expectation}`" + (f" för `{result.column}`" if result.column else "")


def _left(readiness: Readiness) -> list[str]:
    progress = readiness.progress
    counts = {what: progress.left.get(what, 0) for what in reversed(Disposition)}
    left = {what: posts for what, posts in counts.items() if posts and what is not Disposition.ALREADY_RELEASED}
    if not left:
        return []
    lines = [
        f"- **{DISPOSITION_LABELS[what]}: {number(posts)}.** {DISPOSITION_TEXTS[what].action}"
        for what, posts in left.items()
    ]
    planned = [unit.go_live for wave in readiness.waves for unit in wave.units if unit.go_live is not None]
    last = f" Från driftstarten ({min(planned).isoformat()}) bokas det som är kvar för hand." if planned else ""
    return [
        f"### Det här händer med de {number(sum(left.values()))} som inte överförs",
        "",
        "De står kvar i PMO och får ingen bokningsbegäran i Millennium. Enheten har dem på sin arbetslista, och de kan "
        f"överföras i en senare körning när de är åtgärdade.{last}",
        "",
        *lines,
        "",
    ]


def _units(readiness: Readiness) -> list[str]:
    units = [unit for wave in readiness.waves for unit in wave.units]
    occurring = [disposition for disposition in Disposition if disposition in readiness.progress.left]
    rows = [(*_unit_cells(unit), *_counts(unit.progress.posts, unit.progress.ready, unit.progress.left, occurring))
            for unit in units]  # fmt: skip
    whole = readiness.progress
    total = ("**Summa**", "", *_counts(whole.posts, whole.ready, whole.left, occurring))
    columns: tuple[str, ...] = ("Enhet", "Driftstart", "Poster", DISPOSITION_LABELS[Disposition.MIGRATE])
    columns += tuple(DISPOSITION_LABELS[disposition] for disposition in occurring)
    return ["### Poster per enhet", "", *_table(columns, [*rows, total], right=range(2, len(columns)))]


def _unit_cells(unit: UnitReadiness) -> tuple[str, str]:
    if not unit.hsa_id:
        return UNKNOWN_UNIT_NAME, _day(unit.go_live)
    return f"[{_escaped(unit.name)}]({PAGES}enhet/{quote(unit.hsa_id, safe='')})", _day(unit.go_live)


def _counts(posts: int, ready: int, left: Mapping[str, int], columns: Iterable[str]) -> tuple[str, ...]:
    return (number(posts), number(ready), *(number(left.get(column, 0)) for column in columns))


def _changes(store: StagingStore, batch: Batch, previous: str | None) -> list[str]:
    if previous is None:
        return ["### Sedan senaste torrkörningen", "", "Det finns ingen torrkörning av samma enheter att jämföra med."]
    earlier = store.batch(previous)
    with refusals_named(f"comparing batches {previous} and {batch.batch_id}"), store.database.connected() as connection:
        pair = (previous, batch.batch_id)
        then, now = (_totals(posts_by_disposition(connection, batch_id, batch.units)) for batch_id in pair)
    rows = [
        (
            DISPOSITION_LABELS[disposition],
            number(then.get(disposition, 0)),
            number(now.get(disposition, 0)),
            _signed(now, then, disposition),
        )
        for disposition in reversed(Disposition)
        if disposition in then or disposition in now
    ]
    total = ("**Summa**", number(sum(then.values())), number(sum(now.values())),
             _difference(sum(now.values()) - sum(then.values())))  # fmt: skip
    lines = [f"### Sedan torrkörningen per {earlier.as_of.isoformat()}, samma enheter", ""]
    lines += _table(("Utfall", "Torrkörningen", "Nu", "Skillnad"), [*rows, total], right=(1, 2, 3))
    turned = list(_turned(store.quality_results(previous), store.quality_results(batch.batch_id)))
    lines += ["Kontroller som har fått ett annat utfall (torrkörningens kan gälla fler enheter):", ""] if turned else []
    return [*lines, *(turned or ["Ingen kontroll har fått ett annat utfall."])]


def _totals(posts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for counts in posts.values():
        for disposition, count in counts.items():
            totals[disposition] = totals.get(disposition, 0) + count
    return totals


def _turned(then: Iterable[QualityResult], now: Iterable[QualityResult]) -> Iterable[str]:
    before, after = _by_suite(then), _by_suite(now)
    for suite in sorted(before.keys() | after.keys()):
        was, became = before.get(suite), after.get(suite)
        if was is not became:
            yield f"- `{suite}`: {OUTCOME_LABELS[was].lower()} → {OUTCOME_LABELS[became].lower()}"


def _by_suite(results: Iterable[QualityResult]) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    for result in results:
        worst = outcomes.get(result.suite, result.outcome)
        outcomes[result.suite] = min(worst, result.outcome, key=_WORST_FIRST.index)
    return outcomes


def _signed(now: Mapping[str, int], then: Mapping[str, int], disposition: str) -> str:
    return _difference(now.get(disposition, 0) - then.get(disposition, 0))


def _difference(posts: int) -> str:
    sign = "+" if posts > 0 else "−" if posts else ""
    return f"{sign}{number(abs(posts))}"


def figure(gate: Gate, measured: float | None) -> str:
    """Return a gate's figure, or its limit, in Swedish form."""
    if measured is None:
        return "kan inte mätas"
    if gate not in SHARES:
        return number(int(measured))
    return percent(measured)


def _day(day: date | None) -> str:
    return day.isoformat() if day else "saknas"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[int]) -> list[str]:
    rule = ["---:" if place in right else "---" for place in range(len(columns))]
    return [*(f"| {' | '.join(row)} |" for row in (columns, rule, *rows)), ""]


def _escaped(text: str) -> str:
    """Return Markdown that shows a text unchanged, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
