"""Beslutsunderlag: what a board decides on and an inspector reads, one document for a wave, without patients.

It is about the batch that awaits a decision or was released, and before there is one about the latest dry run of the
wave's units. The same database gives the same document: nothing in it depends on when it is read.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import sqlalchemy as sa

from waitlist import __version__
from waitlist.deployment import asks_persons
from waitlist.facts.mappings import Mappings
from waitlist.facts.risks import Risk
from waitlist.judge.rules import OF_PERSONS
from waitlist.quality import FailureSeverity, Outcome, QualityResult
from waitlist.release.gates import GateResult, read_gates
from waitlist.release.receipts.account import Account, approved_posts, in_use, read_account
from waitlist.reports.pages.history import TrendPoint, counts_by_unit, dry_runs, unit_name
from waitlist.reports.pages.reading import UnknownError
from waitlist.reports.pages.released import ReleasedBatch
from waitlist.reports.pages.wave import WavePage
from waitlist.reports.readiness import Progress, UnitReadiness, progress_of, waves_of
from waitlist.reports.risks import ShownRisk, with_evidence
from waitlist.staging import Batch, BatchState, EventName, checkpoints, schema
from waitlist.staging.checkpoints import Checkpoint
from waitlist.staging.events import read_events
from waitlist.staging.store import find_batch, read_quality_results
from waitlist.swedish.formats import swedish

SHOWN_REHEARSALS: Final = 12
"""Dry runs in the table, evenly over time; the chart has all of them."""
_BASES: Final = frozenset({BatchState.AWAITING_APPROVAL, BatchState.RELEASED})
_RED: Final = (Outcome.FAILED.value, Outcome.ERROR.value)


@dataclass(frozen=True, slots=True)
class SuiteCount:
    """The requirements of a suite, counted by outcome."""

    name: str
    passed: int
    failed: int
    """Those that are not fulfilled, or could not be evaluated."""
    critical: int
    """Of these, the critical ones."""
    not_applicable: int


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A dry run of the wave's units."""

    point: TrendPoint
    red_checks: int
    """Requirements that were not fulfilled in the whole dry run."""


@dataclass(frozen=True, slots=True)
class Beslutsunderlag:
    """The document."""

    wave: str
    go_live: date | None
    batch: Batch
    """What it is about: a batch of the wave, or a dry run."""
    is_final: bool
    """Whether approval was asked for the batch; a dry run gives a draft."""
    rows_hash: str | None
    """The digest of the rows that approval was asked for; None for a dry run."""
    progress: Progress
    units: tuple[UnitReadiness, ...]
    """In Swedish order; the posts without a known unit last."""
    gates: tuple[GateResult, ...]
    sample: str | None
    """What the side-by-side sample shows now, in words; None for a dry run."""
    suites: tuple[SuiteCount, ...]
    asked_persons: bool
    persons: Mapping[str, int]
    """Posts by rule about what the person service answered."""
    batches: tuple[ReleasedBatch, ...]
    """Every batch of the wave for which approval was asked, with every decision, the latest first."""
    account: Account | None
    """What the receiver has said; None before the release, or where nobody answers."""
    risks: tuple[ShownRisk, ...]
    trend: tuple[TrendPoint, ...]
    rehearsals: tuple[Rehearsal, ...]
    version: str
    """Of the software that shows it."""
    checkpoint: Checkpoint | None
    """The ends of the chains: the one in the batch's manifest, before there is one the last; None before the first."""
    last_checkpoint: Checkpoint | None
    """The last one; None before the first."""

    @property
    def failed_gates(self) -> tuple[GateResult, ...]:
        """The gates that have not passed."""
        return tuple(result for result in self.gates if not result.passed)


def basis_of(page: WavePage) -> str:
    """Return the batch that a wave's document is about."""
    return next((batch.batch_id for batch in page.batches if batch.state in _BASES), page.latest.batch_id)


def read_beslutsunderlag(
    connection: sa.Connection, mappings: Mappings, page: WavePage, risks: Sequence[Risk]
) -> Beslutsunderlag:
    """Read the document.

    Args:
        connection: a connection from ``reading``.
        mappings: names, waves and go-lives of the units.
        page: the wave's page, with its gates; it must have a name.
        risks: the register.

    Raises:
        UnknownError: the wave has no name.
    """
    if page.card.wave is None:
        raise UnknownError("units without a wave have nothing to decide on together")
    batch = find_batch(connection, basis_of(page))
    if batch is None:
        raise UnknownError("the batch has been removed")
    final = batch.batch_id != page.latest.batch_id
    counts = counts_by_unit(connection, batch.batch_id, mappings)
    if not final:
        wanted = {unit.key for unit in page.card.units}
        counts = {key: posts for key, posts in counts.items() if key in wanted}
    progress = progress_of(counts.values())
    events = read_events(connection, batch.batch_id)
    asked = [event for event in events if event.event is EventName.AWAITING_APPROVAL]
    results = read_quality_results(connection, batch.batch_id)
    gates = tuple(read_gates(connection, batch.batch_id)) if final else (*page.gates, *page.shared_gates)
    found = _found(connection, batch.batch_id, None if final else counts.keys())
    asks = asks_persons(batch.facts)
    last_checkpoint = checkpoints.latest(connection)
    answers = batch.state is BatchState.RELEASED and in_use(connection)
    purged = any(event.event is EventName.PURGED for event in events)
    return Beslutsunderlag(
        wave=page.card.wave,
        go_live=page.card.go_live,
        batch=batch,
        is_final=final,
        rows_hash=asked[-1].details["rows_hash"] if asked else None,
        progress=progress,
        units=_units(counts, mappings, batch.as_of),
        gates=gates,
        sample=page.samples.get(batch.batch_id),
        suites=_suites(results),
        asked_persons=asks,
        persons={code.value: found.get(code.value, 0) for code in OF_PERSONS} if asks else {},
        batches=page.batches,
        account=read_account(connection, batch, approved_posts(events), purged=purged) if answers else None,
        risks=with_evidence(risks, gates=gates, found=found, results=results, asked_persons=asks),
        trend=page.card.trend,
        rehearsals=_rehearsals(connection, page.card.trend),
        version=__version__,
        checkpoint=checkpoints.of_batch(connection, batch.batch_id) or last_checkpoint,
        last_checkpoint=last_checkpoint,
    )


def _units(counts: Mapping[str, Mapping[str, int]], mappings: Mappings, as_of: date) -> tuple[UnitReadiness, ...]:
    found = [unit for wave in waves_of(counts, mappings, as_of) for unit in wave.units]
    named = [(unit, unit_name(unit.hsa_id, mappings)) for unit in found]
    ordered = sorted(named, key=lambda pair: (not pair[0].hsa_id, swedish(pair[1])))
    return tuple(
        UnitReadiness(unit.hsa_id, name, unit.go_live, unit.days_left, unit.progress) for unit, name in ordered
    )


def _suites(results: Sequence[QualityResult]) -> tuple[SuiteCount, ...]:
    names = dict.fromkeys(result.suite for result in results)
    return tuple(_suite(name, [result for result in results if result.suite == name]) for name in names)


def _suite(name: str, results: Sequence[QualityResult]) -> SuiteCount:
    outcomes = Counter(result.outcome for result in results)
    red = [result for result in results if result.outcome in {Outcome.FAILED, Outcome.ERROR}]
    critical = sum(result.severity is FailureSeverity.CRITICAL for result in red)
    return SuiteCount(name, outcomes[Outcome.PASSED], len(red), critical, outcomes[Outcome.NOT_APPLICABLE])


def _found(connection: sa.Connection, batch_id: str, units: Collection[str] | None) -> dict[str, int]:
    """Return how many findings each rule has, in some units or in all."""
    finding, post = schema.finding, schema.disposition
    query = sa.select(finding.c.rule, sa.func.count()).where(finding.c.batch_id == batch_id).group_by(finding.c.rule)
    if units is not None:
        same = sa.and_(post.c.batch_id == finding.c.batch_id, post.c.post_id == finding.c.post_id)
        query = query.join(post, same).where(post.c.enhet_hsa_id.in_(tuple(units)))
    return {rule: int(posts) for rule, posts in connection.execute(query)}


def _rehearsals(connection: sa.Connection, trend: Sequence[TrendPoint]) -> tuple[Rehearsal, ...]:
    """Return some of the dry runs, the first and the latest among them."""
    last = len(trend) - 1
    steps = min(SHOWN_REHEARSALS, len(trend)) - 1
    places = sorted({round(step * last / steps) if steps else last for step in range(steps + 1)})
    runs = {run.as_of: run.batch_id for run in dry_runs(connection)}
    table = schema.quality_result.c
    query = (
        sa.select(table.batch_id, sa.func.count())
        .where(table.batch_id.in_([runs[trend[place].as_of] for place in places]), table.outcome.in_(_RED))
        .group_by(table.batch_id)
    )
    red = {batch_id: int(checks) for batch_id, checks in connection.execute(query)}
    return tuple(Rehearsal(trend[place], red.get(runs[trend[place].as_of], 0)) for place in places)
