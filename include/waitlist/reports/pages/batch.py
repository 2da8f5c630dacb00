"""Körning: one batch, from the posts in PMO to the rows in staging; every post is accounted for."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Final

import sqlalchemy as sa

from waitlist.deployment import asks_persons
from waitlist.judge.rules import Disposition
from waitlist.quality import FailureSeverity, Looks, Outcome, QualityResult, Suite
from waitlist.release.gates import GateResult, read_gates
from waitlist.release.receipts.account import Account, approved_posts, in_use, read_account, read_open
from waitlist.release.receipts.holding import may_be_loaded
from waitlist.reports.diff import Difference, read_difference
from waitlist.reports.pages.paging import Paging
from waitlist.reports.pages.reading import UnknownError, reading
from waitlist.reports.pages.settling import Settling, read_settling
from waitlist.staging import FOLLOWED, READABLE, Batch, BatchKind, BatchState, EventName, StagingStore, schema
from waitlist.staging.dry_runs import DryRun, comparable, read_again, read_dry_runs
from waitlist.staging.events import WITHOUT_TLS, Event, read_events
from waitlist.staging.handoffs import HandOff, read_latest
from waitlist.staging.store import find_batch, read_quality_results

ROWS: Final = 30
"""Batches on a page of the list."""
OFFERED: Final = 60
"""How many other batches the page offers for comparison, the latest first."""

TREND: Final = 60
"""How many dry runs are read back to find since when a check is red."""

_Key = tuple[str, str, str]
"""Suite, expectation and column."""
_RED: Final = frozenset({Outcome.FAILED, Outcome.ERROR})
_WORST_FIRST: Final = (Outcome.ERROR, Outcome.FAILED, None, Outcome.PASSED, Outcome.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True)
class Listed:
    """A batch in the list."""

    batch_id: str
    kind: BatchKind
    wave: str | None
    as_of: date
    state: BatchState
    posts: int | None
    """Posts read; None before the batch was reconciled."""
    staged: int | None
    started_at: datetime
    finished_at: datetime | None
    replay: bool
    """It judged another batch's snapshot again and did not read PMO."""
    asked_persons: bool
    """The person service had to be asked."""
    read_again: bool
    """Its date had been read before, so it is no part of the trend."""


@dataclass(frozen=True, slots=True)
class BatchList:
    """Every batch, also failed ones, the latest first."""

    batches: tuple[Listed, ...]
    paging: Paging


@dataclass(frozen=True, slots=True)
class Stream:
    """Posts that got one disposition."""

    disposition: str
    posts: int


@dataclass(frozen=True, slots=True)
class Accounting:
    """The account of every post of a batch."""

    read: int | None
    """Posts read from PMO, reconciled with PMO's count; None before the batch was reconciled."""
    streams: tuple[Stream, ...]
    """Every disposition that occurs, in the domain's order; their sum is all posts."""
    staged: int | None
    """Booking requests in staging; None before the batch was reconciled."""
    released: int
    """Posts that Millennium can read from this batch."""
    migrate: int
    """Posts that migrate."""
    adds_up: bool
    """Every post read has one disposition, and the posts that migrate are as many as the staged requests."""


@dataclass(frozen=True, slots=True)
class Check:
    """An expectation and its result."""

    expectation: str
    column: str
    text: str
    """What it requires, in Swedish; its name where the suite no longer has it."""
    severity: FailureSeverity
    evaluated: int
    unexpected: int
    threshold: float
    """Share of rows, 0 to 1, that must fulfil it."""
    outcome: Outcome | None
    """None where the expectation has not been run."""
    since: date | None = None
    """The as-of date of the first dry run since which it has failed in each; None where it has not failed here."""


@dataclass(frozen=True, slots=True)
class CheckedSuite:
    """A suite and its results, the worst first."""

    name: str
    text: str
    outcome: Outcome | None
    """The worst of its checks; None where one has not been run and nothing worse was found."""
    checks: tuple[Check, ...]
    """Empty where the suite is not applicable: the person service had not to be asked."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the run and how long it took."""

    name: str
    """The task; where Airflow no longer has the run, the event that the step ended with."""
    began: datetime
    seconds: float | None
    """From the start of its first part to the end of its last; None while it runs."""
    parts: int
    """The number of partitions that it was divided into; 1 for an undivided step."""
    state: str
    """As Airflow names it: ``success``, ``failed``, ``skipped`` and others."""


@dataclass(frozen=True, slots=True)
class FollowedUnit:
    """A unit with open posts: received, and neither booked nor cancelled."""

    hsa_id: str
    """Empty for posts without a unit."""
    name: str
    posts: int
    late: int
    """Of these, posts whose Boka före has passed or is near."""


@dataclass(frozen=True, slots=True)
class BatchPage:
    """The page."""

    batch: Batch
    units: tuple[str, ...] | None
    """HSA-ids that the batch was opened for; None for all."""
    reuse_snapshot: str | None
    """The batch whose snapshot it judged again; None where it read PMO."""
    without_tls: tuple[str, ...]
    """What the settings let be reached without TLS when the batch was last opened."""
    read_again: bool
    """Its date had been read before, so it is no part of the trend."""
    accounting: Accounting
    suites: tuple[CheckedSuite, ...]
    gates: tuple[GateResult, ...]
    """As measured when approval was asked for, or at the end of the dry run; empty where there is neither."""
    events: tuple[Event, ...]
    steps: tuple[Step, ...]
    same_rules: int
    """Batches that were judged by the same rules, this one included."""
    others: tuple[Listed, ...]
    """Batches that this one can be compared with, the latest first; may be empty."""
    compared: Difference | None
    purged: bool
    """Retention has removed its posts; the counts stay."""
    docs: bool
    """Its Data Docs are there."""
    handed: HandOff | None = None
    """The last hand-off; None where it was not handed off."""
    hands_off: bool = False
    """The settings name a place for hand-offs."""
    withdrawing: bool = False
    """A run that asks whether to withdraw it is under way."""
    account: Account | None = None
    """What the receiver has said of the posts; None for a batch that no receiver has, or where nobody answers."""
    settling: Settling | None = None
    """What there is to decide about posts, and what was decided."""
    fault: str | None = None
    """Why a lead's decision was not kept, as in ``LEAD_DECISION_FAULTS``."""
    after_load: bool = False
    """A receiver may have it, so that a withdrawal is one after the load."""
    followed: tuple[FollowedUnit, ...] = ()
    """Units with open posts, those with late ones first."""


def read_batches(store: StagingStore, page: int) -> BatchList:
    """Read a part of the list.

    Raises:
        NoBatchError, StagingError: see ``reading``.
    """
    with reading(store, "listing batches") as connection:
        again = read_again(read_dry_runs(connection))
        rows = connection.scalar(sa.select(sa.func.count()).select_from(schema.batch)) or 0
        paging = Paging.of(page, ROWS, rows)
        return BatchList(_listed(connection, again=again, limit=ROWS, offset=paging.offset), paging)


def run_of(store: StagingStore, batch_id: str) -> tuple[str, str]:
    """Return the DAG and the run of a batch.

    Raises:
        UnknownError: there is no such batch.
        NoBatchError, StagingError: see ``reading``.
    """
    with reading(store, f"reading batch {batch_id}") as connection:
        batch = _batch(connection, batch_id)
    return batch.dag_id, batch.run_id


def batch_of_run(store: StagingStore, dag_id: str, run_id: str) -> str:
    """Return the batch of a run of Airflow.

    Raises:
        UnknownError: the run has no batch.
        NoBatchError, StagingError: see ``reading``.
    """
    table = schema.batch.c
    query = sa.select(table.batch_id).where(table.dag_id == dag_id, table.run_id == run_id)
    with reading(store, "looking for the batch of a run") as connection:
        found: str | None = connection.scalar(query.limit(1))
    if found is None:
        raise UnknownError(f"run {run_id} of {dag_id} has no batch")
    return found


def read_batch(
    store: StagingStore,
    batch_id: str,
    *,
    suites: Iterable[Suite],
    compare_with: str | None = None,
    steps: Sequence[Step] = (),
    measured: Sequence[GateResult] = (),
    docs: bool = False,
    hands_off: bool = False,
    receives: bool = False,
    late_from: date = date.min,
    names: Callable[[str], str] = str,
) -> BatchPage:
    """Read the page.

    Args:
        store: the staging database.
        batch_id: the batch.
        suites: every suite, for its texts and for the expectations that have not been run.
        compare_with: the batch to compare with, as the earlier one; None for no comparison.
        steps: the steps of the run according to Airflow; where they are empty, the page takes them from the audit
            trail.
        measured: the gates' results from the end of a dry run.
        docs: whether its Data Docs are there.
        hands_off: whether the settings name a place for hand-offs.
        receives: whether the settings name a place for receipts.
        late_from: the first day of Boka före on which an open post is not late.
        names: returns the name of a unit by its HSA-id.

    Raises:
        UnknownError: there is no such batch, or the other cannot be compared with it.
        NoBatchError, StagingError: see ``reading``.
    """
    if compare_with is not None:
        with reading(store, f"reading batch {batch_id}") as connection:
            _require_comparable(connection, batch_id, compare_with)
    compared = None if compare_with is None else read_difference(store, compare_with, batch_id)
    with reading(store, f"reading batch {batch_id}") as connection:
        batch = _batch(connection, batch_id)
        events = tuple(read_events(connection, batch_id))
        runs = read_dry_runs(connection)
        offers = _comparable_among(connection, (batch_id,))
        return BatchPage(
            batch=batch,
            units=batch.units,
            reuse_snapshot=batch.reuse_snapshot,
            without_tls=_without_tls(events),
            accounting=_accounting(connection, batch),
            suites=_suites(connection, batch, suites, runs),
            read_again=batch_id in read_again(runs),
            gates=tuple(read_gates(connection, batch_id)) or tuple(measured),
            events=events,
            steps=tuple(steps) or _from_events(events),
            same_rules=_same_rules(connection, batch),
            others=_others(connection, batch_id) if offers else (),
            compared=compared,
            purged=any(event.event is EventName.PURGED for event in events),
            docs=docs,
            account=_account(connection, batch, events, receives=receives),
            settling=read_settling(connection, batch, names),
            after_load=batch.state in FOLLOWED and may_be_loaded(connection, batch_id),
            followed=tuple(
                FollowedUnit(unit.enhet_hsa_id, names(unit.enhet_hsa_id), unit.posts, unit.late)
                for unit in read_open(connection, late_from, batch_id)
            ),
            handed=read_latest(connection, batch_id),
            hands_off=hands_off,
        )


def _without_tls(events: Sequence[Event]) -> tuple[str, ...]:
    opened = [event for event in events if event.event is EventName.OPEN][-1:]
    return tuple(peer for event in opened for peer in event.details.get(WITHOUT_TLS, ()))


def _batch(connection: sa.Connection, batch_id: str) -> Batch:
    found = find_batch(connection, batch_id)
    if found is None:
        raise UnknownError(f"there is no batch {batch_id}")
    return found


def _listed(
    connection: sa.Connection,
    *where: sa.ColumnElement[bool],
    limit: int,
    offset: int = 0,
    again: Collection[str] = (),
) -> tuple[Listed, ...]:
    table = schema.batch.c
    query = sa.select(
        table.batch_id, table.kind, table.wave, table.as_of, table.state, table.posts_extracted, table.posts_staged,
        table.started_at, table.finished_at, table.reuse_snapshot, table.facts,
    )  # fmt: skip
    query = query.where(*where).order_by(table.started_at.desc(), table.batch_id).limit(limit).offset(offset)
    return tuple(
        Listed(
            batch_id=row.batch_id,
            kind=BatchKind(row.kind),
            wave=row.wave,
            as_of=row.as_of,
            state=BatchState(row.state),
            posts=row.posts_extracted,
            staged=row.posts_staged,
            started_at=row.started_at,
            finished_at=row.finished_at,
            replay=row.reuse_snapshot is not None,
            asked_persons=asks_persons(row.facts),
            read_again=row.batch_id in again,
        )
        for row in connection.execute(query)
    )


def _comparable() -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions for a batch that counts for readers and still has its posts."""
    event = schema.batch_event.c
    purged = sa.exists().where(event.batch_id == schema.batch.c.batch_id, event.event == EventName.PURGED.value)
    return schema.batch.c.state.in_([state.value for state in READABLE]), ~purged


def _comparable_among(connection: sa.Connection, batch_ids: Sequence[str]) -> set[str]:
    column = schema.batch.c.batch_id
    return set(connection.scalars(sa.select(column).where(column.in_(batch_ids), *_comparable())))


def _require_comparable(connection: sa.Connection, *batch_ids: str) -> None:
    if _comparable_among(connection, batch_ids) != set(batch_ids) or len(set(batch_ids)) != len(batch_ids):
        raise UnknownError(f"batches {' and '.join(batch_ids)} cannot be compared")


def _others(connection: sa.Connection, batch_id: str) -> tuple[Listed, ...]:
    return _listed(connection, schema.batch.c.batch_id != batch_id, *_comparable(), limit=OFFERED)


def _accounting(connection: sa.Connection, batch: Batch) -> Accounting:
    summary, released = schema.unit_summary.c, schema.released_post
    query = sa.select(summary.disposition, sa.func.sum(summary.posts)).where(summary.batch_id == batch.batch_id)
    posts = {name: int(count) for name, count in connection.execute(query.group_by(summary.disposition))}
    count = sa.select(sa.func.count()).select_from(released).where(released.c.batch_id == batch.batch_id)
    migrate = posts.get(Disposition.MIGRATE, 0)
    return Accounting(
        read=batch.posts_extracted,
        streams=tuple(Stream(name.value, posts[name]) for name in Disposition if posts.get(name)),
        staged=batch.posts_staged,
        # A dry run is never released, so its released posts need no query.
        released=0 if batch.kind is BatchKind.DRY_RUN else int(connection.scalar(count) or 0),
        migrate=migrate,
        adds_up=batch.posts_extracted == sum(posts.values()) and batch.posts_staged == migrate,
    )


def _account(connection: sa.Connection, batch: Batch, events: Sequence[Event], *, receives: bool) -> Account | None:
    if batch.state not in FOLLOWED or not (receives or in_use(connection)):
        return None
    purged = any(event.event is EventName.PURGED for event in events)
    return read_account(connection, batch, approved_posts(events), purged=purged)


def _suites(
    connection: sa.Connection, batch: Batch, suites: Iterable[Suite], runs: Sequence[DryRun]
) -> tuple[CheckedSuite, ...]:
    found = read_quality_results(connection, batch.batch_id)
    results = {(result.suite, result.expectation, result.column): result for result in found}
    since = _red_since(connection, batch, {key for key, result in results.items() if result.outcome in _RED}, runs)
    asked = asks_persons(batch.facts)
    return tuple(
        _checked(suite, results, since)
        if asked or suite.looks is not Looks.ANSWERS
        else CheckedSuite(suite.name, suite.text, Outcome.NOT_APPLICABLE, ())
        for suite in suites
    )


def _red_since(connection: sa.Connection, batch: Batch, red: set[_Key], runs: Sequence[DryRun]) -> dict[_Key, date]:
    """Return since which dry run each red check has been red without a break, as far back as ``TREND`` runs."""
    since = dict.fromkeys(red, batch.as_of)
    before = [run for run in comparable(runs) if run.as_of < batch.as_of][-TREND:]
    if not red or not before or batch.kind is not BatchKind.DRY_RUN:
        return since
    table = schema.quality_result.c
    query = sa.select(table.batch_id, table.suite, table.expectation, table.column).where(
        table.batch_id.in_([run.batch_id for run in before]), table.outcome.in_([outcome.value for outcome in _RED])
    )
    failed: dict[str, set[_Key]] = {}
    for batch_id, *key in connection.execute(query):
        failed.setdefault(batch_id, set()).add((key[0], key[1], key[2]))
    for run in reversed(before):
        red = red & failed.get(run.batch_id, set())
        since |= dict.fromkeys(red, run.as_of)
    return since


def _checked(suite: Suite, results: Mapping[_Key, QualityResult], since: Mapping[_Key, date]) -> CheckedSuite:
    texts = {(suite.name, *expectation.key): expectation.text for expectation in suite.expectations}
    checks = [_check(result, texts.get(key), since.get(key)) for key, result in results.items() if key[0] == suite.name]
    checks += [
        Check(
            expectation.name,
            expectation.column,
            expectation.text,
            expectation.severity,
            0,
            0,
            expectation.threshold,
            None,
        )
        for expectation in suite.expectations
        if (suite.name, *expectation.key) not in results
    ]
    severities = list(FailureSeverity)
    checks.sort(key=lambda check: (_WORST_FIRST.index(check.outcome), severities.index(check.severity), check.text))
    return CheckedSuite(suite.name, suite.text, checks[0].outcome if checks else None, tuple(checks))


def _check(result: QualityResult, text: str | None, since: date | None) -> Check:
    return Check(
        result.expectation,
        result.column,
        text or result.expectation,
        result.severity,
        result.evaluated,
        result.unexpected,
        result.threshold,
        result.outcome,
        since,
    )


def _from_events(events: Sequence[Event]) -> tuple[Step, ...]:
    """Return the steps of the latest attempt from the audit trail: a step lasts from one entry to the next."""
    begun = [place for place, event in enumerate(events) if event.event is EventName.OPEN]
    latest = events[begun[-1] :] if begun else ()
    return tuple(
        Step(
            after.event.value,
            before.at,
            (after.at - before.at).total_seconds(),
            1,
            "failed" if after.event is EventName.FAILED else "success",
        )
        for before, after in pairwise(latest)
        if after.event in {EventName.STAGED, EventName.VERIFIED, EventName.FAILED}
    )


def _same_rules(connection: sa.Connection, batch: Batch) -> int:
    table = schema.batch
    query = sa.select(sa.func.count()).select_from(table).where(table.c.rules_version == batch.rules_version)
    return int(connection.scalar(query) or 0)
