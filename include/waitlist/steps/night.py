"""The steps from PMO to a verified batch, in their order; the nightly dry run and a migration share them.

Each step is idempotent: a rerun replaces its earlier results.
"""

import datetime as dt
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Final

import pyarrow as pa
from rich.console import Console

from waitlist import quality
from waitlist.columns import forms
from waitlist.columns.dates import day_in_stockholm
from waitlist.exceptions import PersonServiceError, ReconciliationError, SettingsError, SnapshotError
from waitlist.judge.assess import Assessment, assess
from waitlist.judge.duplicates import COLUMNS as DUPLICATE_COLUMNS
from waitlist.judge.duplicates import find as find_duplicates
from waitlist.quality import Outcome, QualityResult, Suite
from waitlist.release import gates
from waitlist.reports import readiness
from waitlist.reports.notices import (
    Notice,
    certificate_expires,
    gates_turned_red,
    persons_after_release,
    turned_red,
)
from waitlist.schema import POSTS, PostIds
from waitlist.source.batch_files import Plan
from waitlist.source.pmo import Selection
from waitlist.source.pu import asking
from waitlist.source.replay import SnapshotSource
from waitlist.source.snapshot import SnapshotPart, read_part
from waitlist.staging import IMMUTABLE, Batch, BatchKind, changes, persons
from waitlist.staging.reconcile import PartitionEvidence, reconcile
from waitlist.steps import looked_at
from waitlist.steps.run import Record, Request, Run, Steps
from waitlist.tls import WITHOUT_TLS

log = logging.getLogger(__name__)


_LOG_WIDTH: Final = 100


_FIRST_DAY: Final = dt.date(2000, 1, 1)


_CERTIFICATE_DAYS: Final = (30, 14, 7, 3, 2, 1, 0)
"""Days before our certificate for the person service expires, at each of which the leads get a message."""


_HASHED: Final = ("post_id", "row_hash")


def _is_past(as_of: dt.date, now: dt.datetime) -> bool:
    return as_of < day_in_stockholm(now) - dt.timedelta(1)


class Night(Steps):
    """The steps of a night."""

    def open_batch(self, request: Request, *, now: dt.datetime) -> Run:
        """Check settings, mapping files and suites, bring the staging schema up to date, and open the batch.

        Args:
            request: what the run was asked for.
            now: the moment, for the audit trail. A run that reads PMO cannot be as of a later day.

        Raises:
            SettingsError, MappingError, SuiteError: with every fault of its kind. The person service must be asked, and
                the settings do not allow it.
            SnapshotError: there is no such snapshot to reuse.
            RefusedError: the batch is immutable, or the database is of a newer release.
        """
        facts = self.facts
        selection = self._asked(request, day_in_stockholm(now))
        run = Run(request.batch_id, selection.as_of, selection.units, facts.version, request.reuse_snapshot)
        self.store.migrate()
        if facts.rules.asks_persons:
            self._require_person_service(request, run.as_of, now)
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
            without_tls=self._settings.connections.plain_peers,
        )
        for peer in self._settings.connections.plain_peers:
            log.warning("%s lets %s be reached without TLS", WITHOUT_TLS, peer)
        log.info("batch %s opened as of %s", run.batch_id, run.as_of)
        return run

    def plan_extract(self, run: Run) -> list[int]:
        """Count the posts at the source and divide them into partitions; the plan is stored with the batch.

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
        selection = run.selection
        partitions = self._source(run).plan(selection)
        files.write_plan(Plan(selection, tuple(partitions)))
        log.info("about %d posts in %d partitions", sum(partition.posts for partition in partitions), len(partitions))
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
        """Check the snapshot with the contract suite.

        Raises:
            ContractBrokenError: an expectation that stops the run does not hold.
        """
        suites = [self._same_facts(run).suites[quality.CONTRACT]]
        parts = self._files(run).parts(self._plan(run))
        results = self._check_snapshot(run, suites, parts)
        if run.units is not None:
            results = quality.over_some_units(results)
        outcome = self._keep(run, suites, looked_at.of_parts(parts, run.rules_version), results)
        self._write_data_docs(run)
        quality.require_contract(results)
        return outcome

    def find_duplicates(self, run: Run) -> Record:
        """Find the posts that have a duplicate in the whole batch, and store their ids beside the snapshot.

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

    def check_persons(self, run: Run, number: int, *, now: dt.datetime) -> Record:
        """Ask the person service about everybody of a partition who waits, and store the answers beside the snapshot.

        Nobody is asked where ``WAITLIST_PU`` is off. A dry run asks about those whose answer is old or whose turn it
        is, and goes on without an answer. A run as of a day before yesterday uses what was answered by its day, and a
        replay what the older batch used. A migration asks about everybody, and fails without an answer.

        Args:
            run: what the run is.
            number: the partition's number in the plan.
            now: the moment; it decides whether the run is as of a past day.

        Returns:
            Counts: the persons, those asked about, and those without an answer.

        Raises:
            PersonServiceError: a migration has not got every answer.
            RefusedError: the batch is immutable.
            SnapshotError: the part is damaged, or the older batch has no such answers.
        """
        if not self._same_facts(run).rules.asks_persons:
            return {}
        files, plan = self._files(run), self._plan(run)
        part = files.parts(plan)[plan.partition(number).number]
        files.require_changeable()
        wanted = self._wanted(run, part)
        if run.reuse_snapshot is not None:
            found = asking.Gathered(self._answers_of(run.reuse_snapshot, part.partition, wanted), 0, None)
        else:
            found = self._gather(run, part, wanted, now)
        missing = asking.count_without_answer(wanted, found.used)
        if self.store.batch(run.batch_id).kind is BatchKind.MIGRATION:
            if found.fault is not None:
                raise found.fault
            if missing:
                raise PersonServiceError(f"{missing} of {len(wanted.numbers)} persons have no answer")
        if found.fault is not None:
            log.warning("partition %d: %s; the run goes on without these answers", part.partition, found.fault)
        files.write_answers(part, found.used, run.rules_version)
        counts = {"persons": len(wanted.numbers), "asked": found.asked, "without_answer": missing}
        log.info("partition %d: %s", part.partition, counts)
        return counts

    def assess(self, run: Run, number: int, *, now: dt.datetime) -> Record:
        """Assess one partition, replace it in staging, and store the hashes of its rows beside the snapshot.

        Args:
            run: what the run is.
            number: the partition's number in the plan.
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
        # A rerun of a past night gives that night's result, so it ignores later releases. A migration ignores none: it
        # must not release a post that another wave has released.
        up_to = batch.as_of if batch.kind is BatchKind.DRY_RUN else None
        released = self.store.released_post_ids(part.lower, part.upper, up_to=up_to)
        answered = self._persons(run, part)
        hashes: list[pa.Table] = []

        def chunks() -> Iterator[Assessment]:
            for table in read_part(files.folder, part):
                assessed = assess(table, context, duplicates=duplicates, released=released, persons=answered)
                hashes.append(assessed.bokningsbegaran.select(_HASHED))
                yield assessed

        staged = self.store.stage_partition(
            run.batch_id, part.lower, part.upper, chunks(), part_sha256=part.sha256, now=now
        )
        files.write_hashes(part, hashes, staged.requests_digest, run.rules_version)
        log.info("partition %d: %d posts, %d booking requests", part.partition, staged.posts, staged.staged)
        return {"posts": staged.posts, "staged": staged.staged, "findings": staged.findings}

    def find_changes(self, run: Run) -> Record:
        """Find the released posts that have since been changed or closed in PMO.

        A run over some units looks up in PMO the posts that it does not find: they may have moved to another unit.

        Raises:
            SourceError, WindowClosedError: PMO cannot be queried.
            SnapshotError: a part is missing or damaged.
            SettingsError: the facts have changed since the batch was opened.
        """
        context, files = self._context(run), self._files(run)
        parts = files.parts(self._plan(run))
        ranges = (
            changes.ReadRange(part.lower, part.upper, read_part(files.folder, part), self._persons(run, part))
            for part in parts
        )
        source, selection = self._source(run), run.selection
        found = changes.find_changes(
            self.store, ranges, context, run.units, lambda posts: source.search(selection, posts)
        )
        counts = changes.replace_changes(self.store, run.batch_id, found)
        log.info("%s: %d released posts changed in PMO, %d gone", changes.CODE, counts.changed, counts.gone)
        return asdict(counts)

    def check_snapshot(self, run: Run) -> Record:
        """Run the suites that check the snapshot, and the answers about its persons, and never stop a run.

        Raises:
            SnapshotError: a part, or the answers about it, is missing or damaged.
        """
        self._same_facts(run)
        suites = [suite for suite in self._looking_at(quality.Looks.SNAPSHOT) if suite.name != quality.CONTRACT]
        parts = self._files(run).parts(self._plan(run))
        results = self._check_snapshot(run, suites, parts)
        counts = self._keep(run, suites, looked_at.of_parts(parts, run.rules_version), results)
        suites = self._looking_at(quality.Looks.ANSWERS)
        if not suites:
            return counts
        seen = looked_at.of_answers(self._files(run), parts, run.rules_version)
        results = self._check_answers(run, suites, parts)
        more = self._keep(run, suites, seen, results)
        return {outcome: count + more[outcome] for outcome, count in counts.items()}

    def reconcile(self, run: Run, *, now: dt.datetime) -> Record:
        """Prove that source, snapshot and staging add up, and run the suites that check the staged booking requests.

        Both look at the rows that are read back from the database. What the suites say never stops a run.

        Raises:
            SnapshotError: a part, or the assessment's file for it, is missing or from an earlier try.
            ReconciliationError: with every check that failed and the post ids; the suites have been run.
            SettingsError: the facts have changed since the batch was opened.
        """
        context, suites = self._context(run), self._looking_at(quality.Looks.STAGED)
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
        planned, counted = sum(partition.posts for partition in plan.partitions), sum(part.counted for part in parts)
        log.info("%d posts were counted when the work was divided, %d when they were read", planned, counted)
        staged = looked_at.of_staged(self.store.staged_ranges(run.batch_id), run.rules_version)
        check = quality.StagedCheck(suites, run.batch_id, context)

        def keep_apart() -> Record:
            results = quality.check_staged(suites, self.store.database, run.batch_id, context)
            return self._keep(run, suites, staged, results)

        try:
            result = reconcile(
                self.store, run.batch_id, source_posts=counted, evidence=evidence, now=now, look=check.look
            )
        except ReconciliationError:
            keep_apart()
            raise
        log.info("batch %s adds up: %d posts, %d booking requests", run.batch_id, result.posts, result.staged)
        saw_all = check.rows == result.staged
        outcomes = self._keep(run, suites, staged, check.results(self.store.database)) if saw_all else keep_apart()
        return {"posts": result.posts, "staged": result.staged, "findings": result.findings, **outcomes}

    def verify(self, run: Run, *, now: dt.datetime) -> None:
        """Make the batch visible to readers, after it has added up and every suite has been run.

        Raises:
            RefusedError: it has not been reconciled since it was staged, or a suite looked at other rows than it holds.
            SettingsError: the facts have changed since the batch was opened.
        """
        self._require_looked_at(run)
        self.store.mark_verified(run.batch_id, now)
        log.info("batch %s is verified", run.batch_id)

    def report(self, run: Run, publish: Callable[[readiness.Readiness], object]) -> None:
        """Log the readiness table, write the Data Docs of all suites, and publish the figures.

        Args:
            run: the run.
            publish: sends the figures to whatever keeps metrics.
        """
        self._write_data_docs(run)
        found = readiness.read_readiness(self.store, run.batch_id, self.facts.mappings)
        publish(found)
        console = Console(file=io.StringIO(), width=_LOG_WIDTH)
        with console.capture() as told:
            console.print(readiness.render(found))
        for line in told.get().splitlines():
            log.info("%s", line)

    def watch_gates(self, run: Run, send: Callable[[Notice], object]) -> Record:
        """Measure the gates of a dry run, and send a message when one has turned red.

        No message is sent about a gate that was already red, in the dry run before this one or when this one was
        measured before. Where those results can no longer be read, every red gate is sent. No message is sent either
        about a past day that is run again, or about a replay of a snapshot. The results are stored beside the
        snapshot: they depend on other batches, so they are not staged.

        Raises:
            MappingError: a mapping file is at fault.
            SettingsError: the facts have changed since the batch was opened.
            SnapshotError: the results cannot be written.
            StagingError: the batch is unknown.
        """
        measured = self._measure_gates(run)
        before = gates.latest_dry_run(self.store, run.batch_id)
        watched = [run.batch_id, *([before.batch_id] if before else [])]
        known = {gate for batch_id in watched for gate in self._known_as_red(batch_id)}
        turned = turned_red(measured, known)
        asked_for = run.reuse_snapshot is not None or gates.is_overtaken(self.store, run.batch_id)
        if turned and not asked_for:
            send(gates_turned_red(self.store.batch(run.batch_id), turned))
        if run.reuse_snapshot is None and not asked_for:
            self._tell_of_persons(run, before, send)
        failed = [result.gate.value for result in measured if not result.passed]
        gates.write_measured(self._files(run), measured)
        log.info("gates that failed: %s; new among them: %d", ", ".join(failed) or "none", len(turned))
        return {"gates_failed": failed, "turned_red": [result.gate.value for result in turned]}

    def mark_failed(self, request: Request, *, failed: Sequence[str], now: dt.datetime) -> None:
        """Close the request's batch as failed; readers no longer see it.

        Nothing happens where no batch was opened. A batch that awaits approval stays so: clear that step to ask again.

        Args:
            request: what the run was asked for.
            failed: the steps that have failed, for the audit trail.
            now: the moment, for the audit trail.
        """
        if self.store.knows(request.batch_id) and self.store.batch(request.batch_id).state not in IMMUTABLE:
            self.store.mark_failed(request.batch_id, now, reason=f"failed: {', '.join(failed)}" if failed else None)

    def _asked(self, request: Request, today: dt.date) -> Selection:
        """Return which posts the run reads, and its as-of date.

        Raises:
            SettingsError: params are at fault, or do not fit the snapshot to reuse.
        """
        units = self._selected_units(request)
        if request.reuse_snapshot is not None:
            self.store.migrate()  # the database lists the files of the older batch
            return SnapshotSource(self._files_of(request.reuse_snapshot)).select(request.as_of, units)
        if request.as_of is None:
            raise SettingsError("no as-of date: only a run that reuses a snapshot may leave it open")
        if not _FIRST_DAY <= request.as_of <= today:
            raise SettingsError(
                f"as of {request.as_of}: a list is read as of a day from {_FIRST_DAY} to today, {today}; "
                "one of a future day would count as the latest until then"
            )
        return Selection(request.as_of, units)

    def _require_person_service(self, request: Request, as_of: dt.date, now: dt.datetime) -> None:
        """Raise where a run that has to ask the person service could not, or may not rely on it.

        Raises:
            SettingsError: with every fault.
        """
        settings, faults = self._settings.person_service, list[str]()
        if settings.pu_name_key is None:
            faults.append("WAITLIST_PU_NAME_KEY: is missing; set it to a secret of at least 32 characters")
        if persons.deceased_seen_at(self.store.database, settings.pu_profile) is None:
            faults.append(
                f"WAITLIST_PU_PROFILE: nobody has seen that {settings.pu_profile} tells of deaths; ask for a deceased "
                "test person with `python -m waitlist.source.pu --check ID --staging URL`"
            )
        if request.kind == BatchKind.MIGRATION:
            if not self._may_ask(as_of, now):
                faults.append(f"as_of: a migration asks about everybody, and {as_of} is before yesterday")
            try:
                self._client().require_valid_certificate()
            except PersonServiceError as error:
                faults.append(f"connection pu: {error}")
        if faults:
            raise SettingsError("WAITLIST_PU is required, and:\n  " + "\n  ".join(faults))

    def _known_as_red(self, batch_id: str) -> set[str]:
        try:
            found = gates.read_measured(self._files_of(batch_id))
        except SnapshotError as error:
            # A night must not fail because the files of the night before are lost.
            log.warning("the gates of batch %s are not known: %s", batch_id, error)
            return set()
        return {result.gate.value for result in found if not result.passed}

    def _tell_of_persons(self, run: Run, before: Batch | None, send: Callable[[Notice], object]) -> None:
        """Send the messages about the person service: on released patients, and on a certificate that ends."""
        if not self.facts.rules.asks_persons:
            return
        known = changes.find_persons(self.store, before.batch_id) if before else set[int]()
        new = changes.find_persons(self.store, run.batch_id) - known
        batch = self.store.batch(run.batch_id)
        if new:
            send(persons_after_release(batch, len(new)))
        try:
            ends = self._client().certificate_ends
        except PersonServiceError as error:
            log.warning("our certificate for the person service was not looked at: %s", error)
            return
        left = (day_in_stockholm(ends) - day_in_stockholm(batch.started_at)).days
        left_before = None if before is None else (day_in_stockholm(ends) - day_in_stockholm(before.started_at)).days
        if any(left <= days and (left_before is None or left_before > days) for days in _CERTIFICATE_DAYS):
            send(certificate_expires(ends, left))

    def _may_ask(self, as_of: dt.date, now: dt.datetime) -> bool:
        return self._settings.person_service.pu_ask_past or not _is_past(as_of, now)

    def _gather(self, run: Run, part: SnapshotPart, wanted: asking.Wanted, now: dt.datetime) -> asking.Gathered:
        """Return the answers by which a run of PMO judges."""
        batch, days = self.store.batch(run.batch_id), self._settings.person_service.pu_max_age_days
        database, key = self.store.database, self._name_key
        if batch.kind is BatchKind.MIGRATION:
            return asking.gather(wanted, database, asking.Terms.since_moment(batch.started_at), self._ask_service, key)
        if self._may_ask(run.as_of, now):
            terms = (
                asking.Terms.of_a_past_night(run.as_of, days)
                if _is_past(run.as_of, now)
                else asking.Terms.of_a_night(day_in_stockholm(batch.started_at), days, batch.started_at)
            )
            return asking.gather(wanted, database, terms, self._ask_service, key)
        found = asking.gather(wanted, database, asking.Terms.of_the_past(run.as_of, days), None, key)
        # What the batch used at its time may have been asked for again since, and a rerun says the same.
        before = self._files(run).earlier_answers(part.partition, asking.USED.empty_table())
        return asking.Gathered(asking.joined(before, found.used, wanted), 0, None)

    def _answers_of(self, batch_id: str, number: int, wanted: asking.Wanted) -> pa.Table:
        """Return what an older batch used of the answers about some persons."""
        files = self._files_of(batch_id)
        plan = files.plan()
        part = files.parts(plan)[plan.partition(number).number]
        if not files.has_answers(part):
            return asking.USED.empty_table()
        used = files.answers(part, self.store.batch(batch_id).rules_version)
        return asking.about(wanted, used)

    def _selected_units(self, request: Request) -> tuple[str, ...] | None:
        """Return the requested units; None for all, including unknown ones.

        Raises:
            SettingsError: with every wave and unit that is not in ``units.csv``.
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

    def _tables(self, run: Run, parts: Iterable[SnapshotPart], columns: Sequence[str]) -> Iterator[pa.Table]:
        for part in parts:
            yield from read_part(self._files(run).folder, part, columns)

    def _post_ids(self, run: Run, part: SnapshotPart) -> Iterator[PostIds]:
        for table in read_part(self._files(run).folder, part, ["post_id"]):
            yield table.column("post_id").to_numpy()

    def _row_hashes(self, run: Run, part: SnapshotPart) -> Iterator[pa.Table]:
        yield self._files(run).hashes(part, run.rules_version)

    def _check_snapshot(self, run: Run, suites: Sequence[Suite], parts: Sequence[SnapshotPart]) -> list[QualityResult]:
        context = self._context(run)
        total = sum(part.posts for part in parts)
        return quality.check_snapshot(
            suites,
            self._tables(run, parts, quality.columns_needed(suites)),
            context,
            names=POSTS.names,  # reading a part has compared them with the file's
            progress=lambda posts: log.info("suites have seen %d of %d posts", posts, total),
        )

    def _check_answers(self, run: Run, suites: Sequence[Suite], parts: Iterable[SnapshotPart]) -> list[QualityResult]:
        """Check the answers about each part by themselves, so that those of one part are in memory at a time."""
        context, columns = self._context(run), quality.columns_needed(suites)
        of_parts = (
            quality.check_snapshot(
                suites, self._tables(run, [part], columns), context, persons=self._persons(run, part), names=POSTS.names
            )
            for part in parts
        )
        return quality.merge(suites, of_parts)

    def _looking_at(self, looks: quality.Looks) -> list[Suite]:
        return [suite for suite in self.facts.suites.values() if suite.looks is looks]

    def _keep(self, run: Run, suites: Iterable[Suite], seen: str, results: Sequence[QualityResult]) -> Record:
        """Store the results with the digest of what was looked at, and count their outcomes."""
        for suite in suites:
            self._files(run).keep_results(suite.name, seen, [row for row in results if row.suite == suite.name])
        return {outcome.value: sum(row.outcome is outcome for row in results) for outcome in Outcome}
