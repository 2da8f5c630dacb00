"""The gates that a verified batch is measured by before a person may release it, and their limits.

A gate measures one figure of a batch and passes when the figure is not above its limit in ``gates.csv``. A gate that
cannot be measured has not passed: the lead decides, in writing. No person can override the gate of the accounts:
when they do not add up, the rows are not what the assessment produced.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from waitlist.exceptions import SnapshotError
from waitlist.facts.gates import BY_SETTING, OPTIONAL, Gate
from waitlist.facts.mappings import Mappings
from waitlist.judge.rules import Code, Disposition
from waitlist.quality import FailureSeverity, Outcome, Suite
from waitlist.release.references import missing_references
from waitlist.release.sample import state as sample
from waitlist.source.batch_files import BatchFiles
from waitlist.staging import Batch, BatchKind, StagingStore, dry_runs, schema
from waitlist.staging.database import refusals_named
from waitlist.staging.dry_runs import posts_by_disposition
from waitlist.staging.queries import read_sql

HANDLED: Final = frozenset(
    {Disposition.MIGRATE, Disposition.ALREADY_RELEASED, Disposition.LEAVE, Disposition.BOOK_IN_MILLENNIUM}
)
"""Dispositions that leave nothing to do in PMO before the release."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """One row of ``gate_result``."""

    gate: Gate
    measured: float | None
    """None where it could not be measured."""
    threshold: float
    """The highest figure that passes."""
    passed: bool


def evaluate(
    store: StagingStore,
    batch_id: str,
    thresholds: Mapping[Gate, float],
    *,
    mappings: Mappings,
    suites: Iterable[Suite],
) -> list[GateResult]:
    """Measure a batch by every gate that is on, in the gates' order; nothing is stored.

    Args:
        store: the staging database.
        batch_id: a batch that has been reconciled.
        thresholds: the limits; a gate without one is off.
        mappings: go-lives of the units, and references of the receiver.
        suites: every suite that the batch must have been checked with.

    Raises:
        StagingError: there is no such batch.
    """
    with refusals_named(f"measuring the gates of batch {batch_id}"), store.database.connected() as connection:
        scope = _Scope.read(store, connection, batch_id)
    before = latest_dry_run(store, batch_id)
    measures: dict[Gate, Callable[[], float | None]] = {
        Gate.CRITICAL_SUITES: lambda: _critical(store, batch_id, suites),
        Gate.ACCOUNTING: lambda: _unaccounted(store, batch_id),
        **_of_units(store, scope, before, mappings),
        Gate.PERSONS_NOT_ASKED: lambda: _not_asked(store, batch_id),
        Gate.TARGET_REFS_MISSING: lambda: len(missing_references(store, batch_id, mappings.references)),
    }
    if scope.batch.kind is BatchKind.MIGRATION:
        # Nobody decides about a dry run, so its posts are not compared.
        measures[Gate.SAMPLE] = lambda: sample.measure(store, batch_id)
    return [
        _result(gate, measures[gate](), thresholds[gate]) for gate in Gate if gate in thresholds and gate in measures
    ]


def evaluate_units(
    store: StagingStore,
    batch_id: str,
    thresholds: Mapping[Gate, float],
    units: Collection[str],
    *,
    mappings: Mappings,
) -> list[GateResult]:
    """Measure some units of a dry run by the gates that depend on the units, in the gates' order; nothing is stored.

    The other gates are about the batch as a whole: its suites and its accounts.

    Args:
        store: the staging database.
        batch_id: a batch that counts for readers.
        thresholds: the limits.
        units: HSA-ids.
        mappings: go-lives of the units.

    Raises:
        StagingError: there is no such batch.
    """
    with refusals_named(f"measuring the gates of batch {batch_id}"), store.database.connected() as connection:
        whole = _Scope.read(store, connection, batch_id)
    posts = {hsa_id: counts for hsa_id, counts in whole.posts.items() if hsa_id in units}
    scope = _Scope(replace(whole.batch, units=tuple(sorted(units))), posts)
    measures = _of_units(store, scope, latest_dry_run(store, batch_id), mappings)
    return [_result(gate, measure(), thresholds[gate]) for gate, measure in measures.items() if gate in thresholds]


def off(results: Iterable[GateResult]) -> list[Gate]:
    """Return the gates that a batch was not measured by: they were off."""
    measured = {result.gate for result in results}
    return [gate for gate in Gate if gate in OPTIONAL | BY_SETTING and gate not in measured]


def stored(store: StagingStore, batch_id: str) -> list[GateResult]:
    """Return the gates' results as they were when approval was asked for; empty where it was not asked for."""
    with refusals_named(f"gates of batch {batch_id}"), store.database.connected() as connection:
        return read_gates(connection, batch_id)


def read_gates(connection: sa.Connection, batch_id: str) -> list[GateResult]:
    """Return a batch's rows of ``gate_result``, in the order of the gates."""
    table = schema.gate_result.c
    query = sa.select(table.gate, table.measured, table.threshold, table.passed).where(table.batch_id == batch_id)
    rows = {row.gate: row for row in connection.execute(query)}
    return [GateResult(gate, *rows[gate][1:]) for gate in Gate if gate in rows]


def write_measured(files: BatchFiles, results: Iterable[GateResult]) -> None:
    """Write the gates' results of a dry run to its folder: they depend on other batches too, so they are not staged.

    Raises:
        SnapshotError: the folder cannot be written to.
    """
    files.write_gates(asdict(result) for result in results)


def read_measured(files: BatchFiles) -> list[GateResult]:
    """Read the results that ``write_measured`` wrote; an empty list where there is no file.

    Raises:
        SnapshotError: the file cannot be read, or is not such a file.
    """
    try:
        return [GateResult(**{**row, "gate": Gate(row["gate"])}) for row in files.gates()]
    except (KeyError, TypeError, ValueError):
        raise SnapshotError(f"the file of gate results in {files.folder} is damaged: remove it") from None


def measured_again(result: GateResult, measured: float | None) -> GateResult:
    """Return the result of a gate with another figure and the same limit."""
    return _result(result.gate, measured, result.threshold)


def write_gates(connection: sa.Connection, batch_id: str, results: Iterable[GateResult]) -> None:
    """Replace a batch's rows of ``gate_result``."""
    table = schema.gate_result
    connection.execute(table.delete().where(table.c.batch_id == batch_id))
    for result in results:
        connection.execute(
            table.insert().values(
                batch_id=batch_id,
                gate=result.gate.value,
                measured=result.measured,
                threshold=result.threshold,
                passed=result.passed,
            )
        )


def latest_dry_run(store: StagingStore, batch_id: str) -> Batch | None:
    """Return the dry run that a batch is compared with (``dry_runs.latest_before``).

    Raises:
        StagingError: there is no such batch.
    """
    with refusals_named(f"dry runs beside batch {batch_id}"), store.database.connected() as connection:
        found = dry_runs.latest_before(dry_runs.read_dry_runs(connection), store.batch(batch_id))
    return None if found is None else store.batch(found.batch_id)


def is_overtaken(store: StagingStore, batch_id: str) -> bool:
    """Tell whether a dry run as of a later day has read all the units of a batch (``dry_runs.is_overtaken``).

    Raises:
        StagingError: there is no such batch.
    """
    with refusals_named(f"dry runs beside batch {batch_id}"), store.database.connected() as connection:
        return dry_runs.is_overtaken(dry_runs.read_dry_runs(connection), store.batch(batch_id))


@dataclass(frozen=True, slots=True)
class _Scope:
    """A batch, and its posts by unit and disposition."""

    batch: Batch
    posts: Mapping[str, Mapping[str, int]]

    @classmethod
    def read(cls, store: StagingStore, connection: sa.Connection, batch_id: str) -> "_Scope":
        return cls(store.batch(batch_id), posts_by_disposition(connection, batch_id, None))

    @property
    def total(self) -> int:
        return sum(sum(counts.values()) for counts in self.posts.values())


def _of_units(
    store: StagingStore, scope: _Scope, before: Batch | None, mappings: Mappings
) -> dict[Gate, Callable[[], float | None]]:
    """Return the measures that depend on the units of a batch, in the gates' order."""
    return {
        Gate.EXTRACT_DEVIATION: lambda: None if before is None else _deviation(store, scope, before),
        Gate.UNITS_WITHOUT_GO_LIVE: lambda: _without_go_live(scope, mappings),
        Gate.UNHANDLED_SHARE: lambda: _unhandled(scope),
        Gate.DRY_RUN_AGE_DAYS: lambda: None if before is None else (scope.batch.as_of - before.as_of).days,
    }


def _result(gate: Gate, measured: float | None, limit: float) -> GateResult:
    figure = None if measured is None else float(measured)
    return GateResult(gate, figure, limit, figure is not None and figure <= limit)


def _critical(store: StagingStore, batch_id: str, suites: Iterable[Suite]) -> int:
    critical = FailureSeverity.CRITICAL
    wanted = {(suite.name, *it.key) for suite in suites for it in suite.expectations if it.severity is critical}
    results = {(result.suite, result.expectation, result.column): result for result in store.quality_results(batch_id)}
    wanted |= {key for key, result in results.items() if result.severity is critical}
    good = {Outcome.PASSED, Outcome.NOT_APPLICABLE}
    return sum(key not in results or results[key].outcome not in good for key in wanted)


def _unaccounted(store: StagingStore, batch_id: str) -> int | None:
    counting = "count_pairs.postgresql" if store.database.dialect == "postgresql" else "count_pairs"
    counts, paired = (
        sa.text(read_sql(name, store.database.schema)).bindparams(batch_id=batch_id)
        for name in ("measure_accounting", counting)
    )
    with refusals_named(f"accounts of batch {batch_id}"), store.database.connected() as connection:
        row: Any = connection.execute(counts).one()
        pairs = connection.execute(paired).scalar_one()
    if row.posts_extracted is None:
        return None
    differences = (
        row.posts_extracted - row.dispositions,
        row.posts_staged - row.requests,
        row.posts_extracted - row.summarised,
        row.migrating - pairs,
        row.requests - pairs,
    )
    return sum(abs(int(difference)) for difference in differences)


def _deviation(store: StagingStore, scope: _Scope, before: Batch) -> float | None:
    with refusals_named(f"posts of batch {before.batch_id}"), store.database.connected() as connection:
        counts = posts_by_disposition(connection, before.batch_id, scope.batch.units)
    then = sum(sum(count.values()) for count in counts.values())
    return abs(scope.total - then) / then if then else None


def _not_asked(store: StagingStore, batch_id: str) -> int:
    table = schema.finding.c
    query = sa.select(sa.func.count()).where(table.batch_id == batch_id, table.rule == Code.PU_NOT_ASKED.value)
    with refusals_named(f"findings of batch {batch_id}"), store.database.connected() as connection:
        return connection.scalar(query) or 0


def _without_go_live(scope: _Scope, mappings: Mappings) -> int:
    # Posts without a unit have the empty name: they count as unhandled, not as a unit.
    opened_for = mappings.units if scope.batch.units is None else scope.batch.units
    units = {*opened_for, *scope.posts} - {""}
    return sum(hsa_id not in mappings.units or mappings.units[hsa_id].driftstart is None for hsa_id in units)


def _unhandled(scope: _Scope) -> float | None:
    left = sum(
        posts for counts in scope.posts.values() for disposition, posts in counts.items() if disposition not in HANDLED
    )
    return left / scope.total if scope.total else None
