"""The steps of a run, in the order in which the DAGs wire them; each is idempotent and passes references only.

A step takes and returns small values (numbers, counts), never rows: those go through the snapshot and
the staging schema. ``Pipeline`` knows neither Airflow nor the clock.
"""

import datetime as dt
import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any, Final

import pyarrow as pa
from rich.console import Console
from upath import UPath

from waitlist import quality
from waitlist.columns import forms
from waitlist.columns.dates import STOCKHOLM
from waitlist.deployment import Facts
from waitlist.exceptions import OutdatedFileError, ReconciliationError, RefusedError, SettingsError
from waitlist.judge.assess import Assessment, assess
from waitlist.judge.duplicates import COLUMNS as DUPLICATE_COLUMNS
from waitlist.judge.duplicates import find as find_duplicates
from waitlist.judge.posts import RuleContext
from waitlist.quality import Outcome, QualityResult, Suite
from waitlist.release import decisions as release
from waitlist.release import gates
from waitlist.reports import approval, nights, readiness
from waitlist.reports.approval import Question
from waitlist.reports.notices import (
    Notice,
    approval_waits,
    decision_taken,
    gates_turned_red,
    run_ended_untruly,
    standing_of,
    turned_red,
    withdrawal_waits,
)
from waitlist.schema import POSTS, PostIds
from waitlist.settings import MOST_DAYS_KEPT, Settings
from waitlist.source.batch_files import BatchFiles, Plan
from waitlist.source.earlier_files import files_of
from waitlist.source.pmo import PmoSource, Selection
from waitlist.source.replay import SnapshotSource
from waitlist.source.snapshot import SnapshotPart, read_part
from waitlist.staging import DECIDED, IMMUTABLE, BatchKind, BatchState, EventName, StagingStore, changes, retention
from waitlist.staging.database import refusals_named
from waitlist.staging.dry_runs import read_begun, read_dry_runs
from waitlist.staging.events import PIPELINE
from waitlist.staging.migrate import Standing, standing
from waitlist.staging.reconcile import PartitionEvidence, reconcile

log = logging.getLogger(__name__)

Record = dict[str, Any]

_LOG_WIDTH: Final = 100
_FIRST_DAY: Final = dt.date(2000, 1, 1)
_HASHED: Final = ("post_id", "row_hash")


def batch_id_of(kind: str, dag_id: str, run_id: str) -> str:
    """Return the batch of a run: the same for every rerun, and no other run's."""
    digest = hashlib.sha256(f"{dag_id}\0{run_id}".encode()).hexdigest()
    return f"{kind}-{digest[:16]}"


@dataclass(frozen=True)
class Request:
    """What a run was asked for.

    Attributes:
        dag_id: the DAG, and
        run_id: its run; together they name the batch.
        kind: ``dry_run`` or ``migration``.
        as_of: the date that every rule compares with; None: the one of ``reuse_snapshot``.
        waves: waves to read; empty: all.
        units: HSA-ids to read; empty: all.
        reuse_snapshot: a batch whose snapshot is read in place of PMO; None: PMO is read.
    """

    dag_id: str
    run_id: str
    kind: str
    as_of: dt.date | None
    waves: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    reuse_snapshot: str | None = None

    @property
    def batch_id(self) -> str:
        """The batch that this run, and every rerun of it, replaces."""
        return batch_id_of(self.kind, self.dag_id, self.run_id)


@dataclass(frozen=True)
class Run:
    """What a run is, as its batch was opened; every later step reads it from there."""

    batch_id: str
    as_of: dt.date
    units: tuple[str, ...] | None
    rules_version: str
    reuse_snapshot: str | None = None


class Pipeline:
    """One deployment's settings, connections and facts, and the steps over them."""

    def __init__(
        self,
        settings: Settings,
        *,
        snapshots: UPath,
        pmo: Callable[[], str],
        staging: Callable[[], str],
    ) -> None:
        """Remember where things are; nothing is opened before a step needs it.

        Args:
            settings: this deployment's settings.
            snapshots: the folder under which each batch has one of its own.
            pmo: gives the ODBC connection string of PMO.
            staging: gives the SQLAlchemy URL of the staging database.
        """
        self._settings = settings
        self._snapshots = snapshots
        self._pmo = pmo
        self._staging = staging

    @cached_property
    def facts(self) -> Facts:
        """The facts as they are now."""
        return Facts.read(self._settings)

    @cached_property
    def store(self) -> StagingStore:
        """The staging database."""
        return StagingStore(self._staging(), connections=self._settings.connections)

    def is_past_last_go_live(self, request: Request, *, now: dt.datetime) -> bool:
        """Tell whether every unit that has a go-live is live, so that there is nothing left to rehearse.

        A replay asks a question of its own, and a run as of a day to come is refused, not skipped.
        """
        if request.as_of is None or request.reuse_snapshot is not None or request.as_of > _today(now):
            return False
        return self._is_live_on(request.as_of)

    def nights(self, *, now: dt.datetime) -> nights.Nights | None:
        """Return what is known of the nights; None where every unit is live, so that none is due.

        Raises:
            MappingError: ``units.csv`` is at fault.
            StagingError: the staging database cannot be asked.
        """
        if self._is_live_on(_today(now)):
            return None
        if standing(self.store.database) is Standing.NONE:
            return nights.Nights()
        with refusals_named("looking for the last night"), self.store.database.connected() as connection:
            verified, begun = read_dry_runs(connection), read_begun(connection)
        return nights.Nights(nights.last_verified(verified), nights.first_begun(begun))

    def _is_live_on(self, day: dt.date) -> bool:
        planned = [unit.driftstart for unit in self.facts.mappings.units.values() if unit.driftstart is not None]
        return bool(planned) and day > max(planned)

    def open_batch(self, request: Request, *, now: dt.datetime) -> Run:
        """Check settings, mapping files and suites, bring the staging schema up to date, and open the batch.

        Args:
            request: what the run was asked for.
            now: the moment, for the audit trail. No run that reads PMO is as of a later day.

        Raises:
            SettingsError, MappingError, SuiteError: with every fault of its kind.
            SnapshotError: there is no such snapshot to reuse.
            RefusedError: the batch is immutable, or the database is of a newer release.
        """
        selection = self._asked(request, _today(now))
        facts = self.facts
        run = Run(request.batch_id, selection.as_of, selection.units, facts.version, request.reuse_snapshot)
        self.store.migrate()
        self.store.open_batch(
            run.batch_id,
            dag_id=request.dag_id,
            run_id=request.run_id,
            kind=request.kind,
            wave=", ".join(request.waves) or None,
            as_of=run.as_of,
            rules_version=run.rules_version,
            facts=facts.digests,
            started_at=now,
            units=run.units,
            reuse_snapshot=run.reuse_snapshot,
        )
        log.info("batch %s opened as of %s", run.batch_id, run.as_of)
        return run

    def opened(self, batch_id: str) -> Run:
        """Return what a run is, as its batch was opened.

        Raises:
            RefusedError: the batch was never opened.
        """
        batch = self.store.batch(batch_id)
        return Run(batch_id, batch.as_of, batch.units, batch.rules_version, batch.reuse_snapshot)

    def plan_extract(self, run: Run) -> list[int]:
        """Count the posts at the source and divide them; the plan stays with the batch, and later steps read it there.

        Returns:
            The numbers of the partitions, from 0.

        Raises:
            RefusedError: the batch is immutable.
            SourceError: PMO cannot be read, is empty, or its query has drifted.
            SnapshotError: the snapshot to reuse is not whole, or the folder of snapshots cannot be written to.
            SettingsError: the facts have changed since the batch was opened.
        """
        self._same_facts(run)
        files = self._files(run)
        files.require_changeable()
        selection = _selection(run)
        partitions = self._source(run).plan(selection)
        files.write_plan(Plan(selection, tuple(partitions)))
        log.info("about %d posts in %d partitions", sum(each.posts for each in partitions), len(partitions))
        return [partition.number for partition in partitions]

    def extract(self, run: Run, number: int) -> Record:
        """Read one partition of the plan into the snapshot.

        Raises:
            RefusedError: the batch is immutable.
            OutdatedFileError: the plan has no such partition.
            SourceError: PMO cannot be read, or gave another number of posts than it counted in the same transaction.
            SnapshotError: the snapshot to reuse is not whole, or the folder of snapshots cannot be written to.
            SettingsError: the facts have changed since the batch was opened.
        """
        self._same_facts(run)
        files, plan = self._files(run), self._plan(run)
        partition = plan.partition(number)
        files.require_changeable()
        part = self._source(run).extract(plan.selection, partition, files.folder)
        files.keep_part(part, plan)
        log.info("partition %d: %d posts", part.partition, part.posts)
        return {"partition": part.partition, "posts": part.posts}

    def check_contract(self, run: Run) -> Record:
        """Hold the contract suite against the snapshot.

        Raises:
            ContractBrokenError: an expectation that stops the run does not hold.
        """
        suites = [self._same_facts(run).suites[quality.CONTRACT]]
        results = self._check_snapshot(run, suites)
        if run.units is not None:
            results = quality.over_some_units(results)
        outcome = self._keep(run, suites, results)
        self._write_data_docs(run)
        quality.require_contract(results)
        return outcome

    def find_duplicates(self, run: Run) -> Record:
        """Find the posts that stand twice, over the whole batch, and keep their ids beside the snapshot.

        Raises:
            RefusedError: the batch is immutable.
            SnapshotError: a part is missing or damaged, or the list cannot be written.
        """
        context, files = self._context(run), self._files(run)
        parts = files.parts(self._plan(run))
        found = find_duplicates(self._tables(run, parts, DUPLICATE_COLUMNS), context)
        files.write_duplicates(found, parts, run.rules_version)
        log.info("%d posts have a duplicate", len(found))
        return {"duplicates": len(found)}

    def assess(self, run: Run, number: int, *, now: dt.datetime) -> Record:
        """Assess one partition and replace it in staging, keeping the hashes of its rows beside the snapshot.

        Args:
            run: what the run is.
            number: the partition's in the plan.
            now: the moment, for the audit trail.

        Raises:
            RefusedError: the batch is immutable.
            SnapshotError: the part is damaged, or what an earlier step leaves beside it is missing.
        """
        context = self._context(run)
        files, plan = self._files(run), self._plan(run)
        partition, parts = plan.partition(number), files.parts(plan)
        part = parts[partition.number]
        duplicates = files.duplicates(parts, run.rules_version)
        batch = self.store.batch(run.batch_id)
        # A past night says what it said, also after a release. No wave releases a post that any other has.
        up_to = batch.as_of if batch.kind is BatchKind.DRY_RUN else None
        released = self.store.released_post_ids(part.lower, part.upper, up_to=up_to)
        hashes: list[pa.Table] = []

        def chunks() -> Iterator[Assessment]:
            for table in read_part(files.folder, part):
                assessed = assess(table, context, duplicates=duplicates, released=released)
                hashes.append(assessed.bokningsbegaran.select(_HASHED))
                yield assessed

        staged = self.store.stage_partition(
            run.batch_id, part.lower, part.upper, chunks(), part_sha256=part.sha256, now=now
        )
        files.write_hashes(part, hashes, staged.requests_digest, run.rules_version)
        log.info("partition %d: %d posts, %d booking requests", part.partition, staged.posts, staged.staged)
        return {"posts": staged.posts, "staged": staged.staged, "findings": staged.findings}

    def find_changes(self, run: Run) -> Record:
        """Report which posts that were released before PMO has changed or closed since.

        A run over some units asks PMO where the posts are that it misses.

        Raises:
            SourceError, WindowClosedError: PMO cannot be asked.
            SnapshotError: a part is missing or damaged.
            SettingsError: the facts have changed since the batch was opened.
        """
        context, files = self._context(run), self._files(run)
        parts = files.parts(self._plan(run))
        stretches = (changes.Stretch(part.lower, part.upper, read_part(files.folder, part)) for part in parts)
        source, selection = self._source(run), _selection(run)
        found = changes.find_changes(
            self.store, stretches, context, run.units, lambda posts: source.search(selection, posts)
        )
        counts = changes.replace_changes(self.store, run.batch_id, found)
        log.info("%s: %d released posts changed in PMO, %d gone", changes.CODE, counts.changed, counts.gone)
        return asdict(counts)

    def check_snapshot(self, run: Run) -> Record:
        """Run the suites that look at the snapshot and stop nothing."""
        suites = [suite for suite in self._looking_at(quality.Looks.SNAPSHOT) if suite.name != quality.CONTRACT]
        return self._keep(run, suites, self._check_snapshot(run, suites))

    def check_staged(self, run: Run) -> Record:
        """Run the suites that look at the staged booking requests."""
        suites = self._looking_at(quality.Looks.STAGED)
        self.store.refresh_statistics()
        results = quality.check_staged(suites, self.store.database, run.batch_id, self._context(run))
        return self._keep(run, suites, results)

    def reconcile(self, run: Run, *, now: dt.datetime) -> Record:
        """Prove that source, snapshot and staging add up.

        Raises:
            SnapshotError: a part, or what the assessment left of it, is missing or of an earlier try.
            ReconciliationError: with every check that failed and the post ids.
            SettingsError: the facts have changed since the batch was opened.
        """
        self._same_facts(run)
        plan, files = self._plan(run), self._files(run)
        parts = files.parts(plan)
        self.store.mark_staged(run.batch_id, now)
        evidence = [
            PartitionEvidence(
                part.lower,
                part.upper,
                part.posts,
                post_ids=partial(self._post_ids, run, part),
                row_hashes=partial(self._row_hashes, run, part),
                requests_digest=partial(files.requests_digest, part, run.rules_version),
            )
            for part in parts
        ]
        planned, counted = sum(each.posts for each in plan.partitions), sum(part.counted for part in parts)
        log.info("%d posts were counted when the work was divided, %d when they were read", planned, counted)
        result = reconcile(self.store, run.batch_id, source_posts=counted, evidence=evidence, now=now)
        log.info("batch %s adds up: %d posts, %d booking requests", run.batch_id, result.posts, result.staged)
        return {"posts": result.posts, "staged": result.staged, "findings": result.findings}

    def verify(self, run: Run, *, now: dt.datetime) -> None:
        """Show the batch to readers, once it adds up and every suite has looked at it.

        Raises:
            RefusedError: it has not been reconciled since it was staged.
            SettingsError: the facts have changed since the batch was opened.
        """
        self._same_facts(run)
        self.store.mark_verified(run.batch_id, now)
        log.info("batch %s is verified", run.batch_id)

    def report(self, run: Run) -> None:
        """Log the readiness table and write the Data Docs of all suites."""
        self._write_data_docs(run)
        found = readiness.read_readiness(self.store, run.batch_id, self.facts.mappings)
        console = Console(file=io.StringIO(), width=_LOG_WIDTH)
        with console.capture() as told:
            console.print(readiness.render(found))
        for line in told.get().splitlines():
            log.info("%s", line)

    def request_approval(self, run: Run, *, now: dt.datetime) -> Record:
        """Measure the gates, fix the batch's rows, and say in Swedish what is to be approved.

        Raises:
            SettingsError: nobody is named who may approve, or the facts have changed since the batch was opened.
            MappingError: a mapping file is at fault.
            RefusedError: the batch cannot be approved at all.
        """
        self._require_approvers()
        measured = self._measure_gates(run)
        release.request_approval(self.store, run.batch_id, measured, PIPELINE, now)
        failed = [result.gate.value for result in measured if not result.passed]
        log.info("batch %s awaits approval; gates that failed: %s", run.batch_id, ", ".join(failed) or "none")
        return {"gates_failed": failed}

    def approval_question(self, run: Run) -> Question | None:
        """Return what an approver is asked of the run's batch; None where it has been decided.

        Raises:
            RefusedError: approval has not been asked for.
        """
        batch = self.store.batch(run.batch_id)
        if batch.state in DECIDED:
            return None
        if batch.state is not BatchState.AWAITING_APPROVAL:
            raise RefusedError(f"batch {run.batch_id} is {batch.state}: request_approval has not fixed it yet")
        before = gates.latest_dry_run(self.store, run.batch_id)
        body = approval.summary(self.store, run.batch_id, self.facts.mappings, before.batch_id if before else None)
        waits = approval_waits(batch, gates.stored(self.store, run.batch_id))
        entry = release.last_entry(self.store, run.batch_id, EventName.AWAITING_APPROVAL)
        return Question(f"Ska våg {batch.wave} släppas till Millennium?", body, waits, entry)

    def release(self, run: Run, person: str, reason: str | None, *, asked: int | None, now: dt.datetime) -> Record:
        """Release the batch's rows as they were approved.

        Args:
            run: what the run is.
            person: who approved.
            reason: why, in the approver's words.
            asked: the ``Question.entry`` of what the approver read; None where that was another question.
            now: the moment, for the audit trail.

        Raises:
            RefusedError: nothing was released, and why.
            SettingsError: the facts have changed since the batch was opened; nothing was released.
        """
        self._require_approver(person)
        self._same_facts(run)
        posts = release.release(self.store, run.batch_id, person, reason, now, asked=_read(asked, run.batch_id, person))
        log.info("batch %s: %d posts released", run.batch_id, posts)
        return {"decided": BatchState.RELEASED.value, "posts": posts}

    def reject(self, run: Run, person: str, reason: str | None, *, now: dt.datetime) -> Record:
        """Close the batch; nothing of it is released.

        Raises:
            RefusedError: nothing was changed, and why.
        """
        self._require_approver(person)
        release.reject(self.store, run.batch_id, person, reason, now)
        return {"decided": BatchState.REJECTED.value}

    def decided(self, batch_id: str) -> BatchState:
        """Return what was decided about a migration.

        Raises:
            RefusedError: nobody has decided.
        """
        state = self.store.batch(batch_id).state
        if state not in DECIDED:
            raise RefusedError(
                f"batch {batch_id} is {_plain(state)}: nobody has approved or rejected it and nothing of it is "
                "released, whatever Airflow says of the run's tasks. Clear the first task that did not do its work, "
                "with what follows it"
            )
        return state

    def verify_released(self, run: Run) -> Record:
        """Prove that the view shows exactly what was approved.

        Raises:
            ReconciliationError: it does not.
        """
        return {"posts": release.verify_released(self.store, run.batch_id)}

    def verify_releases(self) -> Record:
        """Prove of every released batch whose rows are still there that the view shows exactly what was approved.

        Raises:
            ReconciliationError: with every batch of which it does not, and each check that failed.
        """
        self.store.migrate()
        faults, batches, posts = list[str](), 0, 0
        for batch_id in release.provable(self.store):
            try:
                posts += release.verify_released(self.store, batch_id)
            except (ReconciliationError, RefusedError) as error:
                faults.append(str(error))
            batches += 1
        if faults:
            raise ReconciliationError("\n".join(faults))
        log.info("%d released batches are what was approved: %d posts", batches, posts)
        return {"batches": batches, "posts": posts}

    def withdrawal_question(self, batch_id: str) -> Question | None:
        """Return what an approver is asked of a released batch; None where it is withdrawn already.

        Raises:
            SettingsError: nobody is named who may take it back.
            RefusedError: the batch is unknown, or was never released.
        """
        self._require_approvers()
        batch = self.store.batch(batch_id)
        if batch.state is BatchState.WITHDRAWN:
            return None
        if batch.state is not BatchState.RELEASED:
            raise RefusedError(f"batch {batch_id} is {_plain(batch.state)}: only a released one can be withdrawn")
        entry = release.last_entry(self.store, batch_id, EventName.RELEASED)
        body, waits = approval.withdrawal(batch), withdrawal_waits(batch)
        return Question("Ska körningen återtas från Millennium?", body, waits, entry)

    def withdraw(
        self, batch_id: str, person: str, reason: str | None, *, asked: int | None, now: dt.datetime
    ) -> Record:
        """Take a released batch back; its posts are free again.

        Args:
            batch_id: the batch.
            person: who takes it back.
            reason: why, in their words.
            asked: the ``Question.entry`` of what that person read; None where that was another question.
            now: the moment, for the audit trail.

        Raises:
            RefusedError: nothing was withdrawn, and why.
        """
        self._require_approver(person)
        posts = release.withdraw(self.store, batch_id, person, reason, now, asked=_read(asked, batch_id, person))
        return {"decided": BatchState.WITHDRAWN.value, "posts": posts}

    def keep(self, batch_id: str, person: str, reason: str | None, *, asked_by: str, now: dt.datetime) -> Record:
        """Let a release stand, as somebody decided whom a run asked to take it back.

        Raises:
            RefusedError: nothing was changed, and why.
        """
        self._require_approver(person)
        release.keep(self.store, batch_id, person, reason, now, asked_by=asked_by)
        return {"decided": EventName.KEPT.value}

    def decided_withdrawal(self, batch_id: str, *, asked_by: str) -> bool:
        """Tell whether a batch was withdrawn, or else that somebody whom the run asked let it stand.

        Raises:
            RefusedError: the batch is unknown, or nobody has decided.
        """
        state = self.store.batch(batch_id).state
        if state is BatchState.WITHDRAWN:
            return True
        if not release.was_kept(self.store, batch_id, asked_by=asked_by):
            raise RefusedError(
                f"batch {batch_id} is {_plain(state)}: nobody has answered whether to take it back, whatever Airflow "
                "says of the run's tasks. Clear decide with what follows it"
            )
        return False

    def watch_gates(self, run: Run, tell: Callable[[Notice], object]) -> Record:
        """Measure the gates of a dry run, and tell when one has turned red.

        A gate that was red already, in the latest dry run before or when this one was watched before, is no news,
        and neither is a past day that is run again, or a snapshot that somebody judges anew to see what would be.
        What was measured is kept beside the snapshot: it depends on other batches, so it is no result of this one.

        Raises:
            MappingError: a mapping file is at fault.
            SettingsError: the facts have changed since the batch was opened.
            SnapshotError: what was measured cannot be read or kept.
            StagingError: the batch is unknown.
        """
        measured = self._measure_gates(run)
        before = gates.latest_dry_run(self.store, run.batch_id)
        watched = [run.batch_id, *([before.batch_id] if before else [])]
        earlier = [result for batch_id in watched for result in gates.read_measured(self._files_of(batch_id))]
        known = {result.gate.value for result in earlier if not result.passed}
        turned = turned_red(measured, known)
        asked_for = run.reuse_snapshot is not None or gates.is_overtaken(self.store, run.batch_id)
        if turned and not asked_for:
            tell(gates_turned_red(self.store.batch(run.batch_id), turned))
        failed = [result.gate.value for result in measured if not result.passed]
        gates.write_measured(self._files(run), measured)
        log.info("gates that failed: %s; new among them: %d", ", ".join(failed) or "none", len(turned))
        return {"gates_failed": failed, "turned_red": [result.gate.value for result in turned]}

    def remove_expired(self, on: dt.date, *, keep_days: int | None, only_tell: bool, now: dt.datetime) -> Record:
        """Remove what batches hold of persons when their time is up, or only say what would be removed.

        Args:
            on: the day that ages are counted to, or today in Stockholm where that is earlier.
            keep_days: days that a dry run is kept; None: as the settings say.
            only_tell: remove nothing.
            now: the moment, for the audit trail; no age is counted later.

        Raises:
            SettingsError: ``keep_days`` is out of range.
            StagingError, SnapshotError: something could not be removed; a rerun goes on from there.
        """
        if keep_days is not None and not 1 <= keep_days <= MOST_DAYS_KEPT:
            raise SettingsError(f"param keep_days is not between 1 and {MOST_DAYS_KEPT}")
        on = min(on, _today(now))
        self.store.migrate()
        settings = self._settings
        periods = retention.Periods(keep_days or settings.keep_days, settings.keep_migration_days)
        work_lists = None if settings.worklists_dir is None else UPath(settings.worklists_dir)
        places = retention.Places(self._snapshots, work_lists)
        verb = "would remove" if only_tell else "removed"
        total = {"batches": 0, "rows": 0, "snapshot_files": 0, "work_list_files": 0}
        batches = retention.read_batches(self.store)
        for batch in batches:
            if batch.state is BatchState.AWAITING_APPROVAL:
                log.info("batch %s awaits its approval: kept until it is decided", batch.batch_id)
        for batch in retention.expired(batches, on, periods):
            reason = f"older than {periods.of(batch.kind)} days on {on}"
            held = (
                retention.survey(self.store, batch, places)
                if only_tell
                else retention.remove(self.store, batch, places, reason=reason, now=now)
            )
            if held:
                told = {"batches": 1, "rows": sum(held.rows.values()), **held.files}
                log.info("batch %s is %s: %s %s", batch.batch_id, reason, verb, told)
                total = {name: count + told.get(name, 0) for name, count in total.items()}
        log.info("%s in all: %s", verb, total)
        return total

    def mark_failed(self, request: Request, *, failed: Sequence[str], now: dt.datetime) -> None:
        """Close the request's batch as failed; nobody reads it any more.

        A batch that was never opened is none, and one that awaits its approval still does: clear that step to ask
        again.

        Args:
            request: what the run was asked for.
            failed: the steps that have failed, for the audit trail.
            now: the moment, for the audit trail.
        """
        if self.store.knows(request.batch_id) and self.store.batch(request.batch_id).state not in IMMUTABLE:
            self.store.mark_failed(request.batch_id, now, reason=f"failed: {', '.join(failed)}" if failed else None)

    def conclude(self, request: Request, *, now: dt.datetime) -> str | None:
        """Tell from the database how a run has ended, whatever Airflow says of its tasks.

        Args:
            request: what the run was asked for.
            now: the moment; it tells whether there was anything left to rehearse.

        Returns:
            the state of its batch; None where there was nothing to do.

        Raises:
            RefusedError: it has not done what it is for.
        """
        if not self.store.knows(request.batch_id):
            if request.kind == BatchKind.DRY_RUN and self.is_past_last_go_live(request, now=now):
                return None
            raise RefusedError("the run has opened no batch, whatever Airflow says of its tasks: clear all of it")
        if request.kind == BatchKind.MIGRATION:
            return self.decided(request.batch_id)
        state = self.store.batch(request.batch_id).state
        if state is not BatchState.VERIFIED:
            raise RefusedError(
                f"batch {request.batch_id} is {_plain(state)} and not verified: its figures do not count, whatever "
                "Airflow says of the run's tasks. Clear the first task that did not do its work, with what follows it"
            )
        return state

    def standing(self, batch_id: str) -> str:
        """Say in Swedish where a batch stands."""
        return standing_of(self.store.batch(batch_id) if self.store.knows(batch_id) else None)

    def ended(self, request: Request, *, now: dt.datetime) -> Notice | None:
        """Return what is told of a run that Airflow shows as a success; None where it is no news.

        Args:
            request: what the run was asked for.
            now: the moment, as for ``conclude``.
        """
        try:
            state = self.conclude(request, now=now)
        except RefusedError:
            return run_ended_untruly(request.dag_id, self.standing(request.batch_id))
        return decision_taken(self.store.batch(request.batch_id)) if state in DECIDED else None

    def ended_withdrawal(self, dag_id: str, batch_id: str, *, asked_by: str) -> Notice:
        """Return what is told of a withdrawal that Airflow shows as a success."""
        try:
            withdrawn = self.decided_withdrawal(batch_id, asked_by=asked_by)
        except RefusedError:
            return run_ended_untruly(dag_id, self.standing(batch_id))
        return decision_taken(self.store.batch(batch_id), stands=not withdrawn)

    def _require_approver(self, person: str) -> None:
        if person not in self._settings.approver_ids:
            raise RefusedError(f"{person!r} is not named in WAITLIST_APPROVERS; nothing was changed")

    def _require_approvers(self) -> None:
        if not self._settings.approver_ids:
            raise SettingsError("WAITLIST_APPROVERS names nobody who may release a wave or take it back")

    def _measure_gates(self, run: Run) -> list[gates.GateResult]:
        facts = self._same_facts(run)
        suites = facts.suites.values()
        return gates.evaluate(self.store, run.batch_id, facts.limits, mappings=facts.mappings, suites=suites)

    def _source(self, run: Run) -> PmoSource | SnapshotSource:
        if run.reuse_snapshot is not None:
            return SnapshotSource(self._files_of(run.reuse_snapshot))
        return PmoSource(self._pmo(), self._settings)

    def _same_facts(self, run: Run) -> Facts:
        """Return the facts, which are those that the batch was opened with.

        Raises:
            SettingsError: they are others now; the message names each file and setting that differs.
        """
        facts = self.facts
        if run.rules_version != facts.version:
            batch = self.store.batch(run.batch_id)
            closed = batch.state in IMMUTABLE
            remedy = "reject the wave, and start a new run" if closed else "clear the run from open_batch on"
            raise SettingsError(
                f"batch {run.batch_id} was opened with other facts than there are now: {_named(facts, batch.facts)}; "
                f"put them back as they were and clear this step, or {remedy}"
            )
        return facts

    def _context(self, run: Run) -> RuleContext:
        facts = self._same_facts(run)
        return RuleContext(run.as_of, facts.mappings, facts.rules)

    def _asked(self, request: Request, today: dt.date) -> Selection:
        """Return which posts the run is about, as of when.

        Raises:
            SettingsError: params are at fault, or do not fit the snapshot to reuse.
        """
        units = self._selected_units(request)
        if request.reuse_snapshot is not None:
            self.store.migrate()  # the files of the older batch are listed there
            return SnapshotSource(self._files_of(request.reuse_snapshot)).select(request.as_of, units)
        if request.as_of is None:
            raise SettingsError("no as-of date: only a run that reuses a snapshot may leave it open")
        if not _FIRST_DAY <= request.as_of <= today:
            raise SettingsError(
                f"as of {request.as_of}: a list is read as of a day from {_FIRST_DAY} to today, {today}; "
                "of a day to come it would stand as the latest until then"
            )
        return Selection(request.as_of, units)

    def _selected_units(self, request: Request) -> tuple[str, ...] | None:
        """Return the units asked for, None for all, unknown ones included.

        Raises:
            SettingsError: with every wave and unit that ``units.csv`` does not know.
        """
        units = self.facts.mappings.units
        asked = sorted({forms.hsa_id(unit) for unit in request.units})
        waves = {unit.vag for unit in units.values() if unit.vag}
        faults = [f"wave {wave!r} is not in units.csv" for wave in request.waves if wave not in waves]
        faults += [f"unit {unit!r} is not in units.csv" for unit in asked if unit not in units]
        if request.waves:
            faults += [
                f"unit {unit!r} is not in the waves asked for"
                for unit in asked
                if unit in units and units[unit].vag not in request.waves
            ]
        if faults:
            raise SettingsError("params at fault:\n  " + "\n  ".join(faults))
        if asked:
            return tuple(asked)
        if request.waves:
            return tuple(sorted(hsa_id for hsa_id, unit in units.items() if unit.vag in request.waves))
        return None

    def _files_of(self, batch_id: str) -> BatchFiles:
        return files_of(self.store, self._snapshots, batch_id)

    def _files(self, run: Run) -> BatchFiles:
        return BatchFiles(self.store, self._snapshots, run.batch_id)

    def _plan(self, run: Run) -> Plan:
        """Return the plan of this try.

        Raises:
            SnapshotError: it is missing or damaged.
            OutdatedFileError: it was made for something else than the batch was opened for last.
        """
        plan = self._files(run).plan()
        if plan.selection != _selection(run):
            raise OutdatedFileError(
                f"the plan of batch {run.batch_id} was made for another date or other units than the batch has been "
                "opened for since: clear plan_extract and what follows"
            )
        return plan

    def _tables(self, run: Run, parts: Iterable[SnapshotPart], columns: Sequence[str]) -> Iterator[pa.Table]:
        for part in parts:
            yield from read_part(self._files(run).folder, part, columns)

    def _post_ids(self, run: Run, part: SnapshotPart) -> Iterator[PostIds]:
        for table in read_part(self._files(run).folder, part, ["post_id"]):
            yield table.column("post_id").to_numpy()

    def _row_hashes(self, run: Run, part: SnapshotPart) -> Iterator[pa.Table]:
        yield self._files(run).hashes(part, run.rules_version)

    def _looking_at(self, looks: quality.Looks) -> list[Suite]:
        return [suite for suite in self.facts.suites.values() if suite.looks is looks]

    def _check_snapshot(self, run: Run, suites: Sequence[Suite]) -> list[QualityResult]:
        context = self._context(run)
        parts = self._files(run).parts(self._plan(run))
        total = sum(part.posts for part in parts)
        return quality.check_snapshot(
            suites,
            self._tables(run, parts, quality.columns_needed(suites)),
            context,
            names=POSTS.names,  # reading a part has compared them with the file's
            progress=lambda posts: log.info("suites have seen %d of %d posts", posts, total),
        )

    def _keep(self, run: Run, suites: Iterable[Suite], results: Sequence[QualityResult]) -> Record:
        """Store the results and count their outcomes."""
        for suite in suites:
            self.store.replace_quality(run.batch_id, suite.name, [row for row in results if row.suite == suite.name])
        return {outcome.value: sum(row.outcome is outcome for row in results) for outcome in Outcome}

    def _write_data_docs(self, run: Run) -> None:
        if self._settings.data_docs_dir is not None:
            results = self.store.quality_results(run.batch_id)
            quality.write_data_docs(
                self._settings.data_docs_dir, run.batch_id, run.as_of, self.facts.suites.values(), results
            )


def _today(now: dt.datetime) -> dt.date:
    return now.astimezone(STOCKHOLM).date()


def _named(facts: Facts, opened_with: Mapping[str, str] | None) -> str:
    if opened_with is None:
        return "an earlier release opened it, which did not keep them file by file"
    return ", ".join(facts.differing(opened_with))


def _plain(state: BatchState) -> str:
    return state.value.replace("_", " ")


def _read(asked: int | None, batch_id: str, person: str) -> int:
    if asked is None:
        raise RefusedError(
            f"batch {batch_id}: {person} read an older question, which Airflow goes on showing once it is asked, and "
            "which is no longer true; nothing was changed. Start a new run, and answer no to this one"
        )
    return asked


def _selection(run: Run) -> Selection:
    return Selection(run.as_of, run.units)
