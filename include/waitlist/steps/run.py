"""A run's request, the run as its batch was opened, and what every step needs.

A step takes and returns small values (numbers, counts), never rows: those go through the snapshot and the staging
schema. The steps use neither Airflow nor the clock.
"""

import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from upath import UPath

from waitlist import quality
from waitlist.columns.dates import day_in_stockholm
from waitlist.deployment import Facts
from waitlist.exceptions import OutdatedFileError, PersonServiceSetupError, SettingsError
from waitlist.judge.persons import Persons
from waitlist.judge.posts import RuleContext
from waitlist.release import closing, gates
from waitlist.reports.notices import (
    state_sentence,
)
from waitlist.settings import Settings
from waitlist.source.batch_files import BatchFiles, Plan
from waitlist.source.earlier_files import files_of
from waitlist.source.pmo import PmoSource, Selection
from waitlist.source.pu import Address, PersonServiceClient, PersonStatus, asking
from waitlist.source.replay import SnapshotSource
from waitlist.source.snapshot import SnapshotPart, read_part
from waitlist.staging import IMMUTABLE, StagingStore, persons
from waitlist.staging.database import refusals_named
from waitlist.staging.migrate import Standing, standing
from waitlist.staging.signing import Signer
from waitlist.steps import looked_at

log = logging.getLogger(__name__)


Record = dict[str, Any]


def batch_id_of(kind: str, dag_id: str, run_id: str) -> str:
    """Return the batch id of a run: every rerun has the same, and no other run has it."""
    digest = hashlib.sha256(f"{dag_id}\0{run_id}".encode()).hexdigest()
    return f"{kind}-{digest[:16]}"


@dataclass(frozen=True)
class Request:
    """What a run was requested to do.

    Attributes:
        dag_id: the DAG.
        run_id: the DAG's run; both together name the batch.
        kind: ``dry_run`` or ``migration``.
        as_of: the date that every rule compares with; None: the date of ``reuse_snapshot``.
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
    """A run as its batch was opened; every later step reads it from the batch."""

    batch_id: str
    as_of: dt.date
    units: tuple[str, ...] | None
    rules_version: str
    reuse_snapshot: str | None = None

    @property
    def selection(self) -> Selection:
        """The posts that the run reads, and their as-of date."""
        return Selection(self.as_of, self.units)


def _differing(facts: Facts, opened_with: Mapping[str, str] | None) -> str:
    if opened_with is None:
        return "an earlier release opened it and did not store the facts file by file"
    return ", ".join(facts.differing(opened_with))


def _nowhere() -> Address:
    raise SettingsError("this deployment has no person service")


class Steps:
    """One deployment: its settings, connections and facts, and what more than one step does with them."""

    def __init__(
        self,
        settings: Settings,
        *,
        snapshots: UPath,
        pmo: Callable[[], str],
        staging: Callable[[], str],
        hand_offs: UPath | None = None,
        person_service: Callable[[], Address] = _nowhere,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        receipts: UPath | None = None,
        signer: Signer | None = None,
        keeps_connections: bool = False,
    ) -> None:
        """Store the settings and connections; nothing is opened before a step needs it.

        Args:
            settings: this deployment's settings.
            snapshots: the folder in which each batch has a folder of its own.
            pmo: returns the ODBC connection string of PMO.
            staging: returns the SQLAlchemy URL of the staging database.
            hand_offs: the folder in which each released batch is handed off; None: nothing is.
            person_service: returns where the person service is, and as whom it is asked.
            clock: the moment of each call of it; nothing else reads a clock.
            receipts: the folder from which receipts are taken; None: only the inbox is read.
            signer: signs the ends of the audit chains; None: they are unsigned.
            keeps_connections: keep connections to the staging database open between uses, until ``close``.
        """
        self._settings = settings
        self._snapshots = snapshots
        self._pmo = pmo
        self._staging = staging
        self._hand_offs = hand_offs
        self._address = person_service
        self._clock = clock
        self._receipts = receipts
        self._signer = signer
        self._keeps_connections = keeps_connections

    @cached_property
    def facts(self) -> Facts:
        """The facts as they are now."""
        return Facts.read(self._settings)

    @cached_property
    def store(self) -> StagingStore:
        """The staging database."""
        connections, keep = self._settings.connections, self._keeps_connections
        return StagingStore(self._staging(), pooled=keep, connections=connections, signer=self._signer)

    def close(self) -> None:
        """Close the connections that were kept."""
        if "store" in self.__dict__:
            self.store.engine.dispose()

    def is_past_last_go_live(self, request: Request, *, now: dt.datetime) -> bool:
        """Tell whether a dry run has no purpose any more.

        Then every planned unit is live, no released post is open, and none lacks an outcome in a wave that is not
        closed.

        It is false for a replay, which has a purpose of its own, and for a future as-of date, which is refused and not
        skipped.
        """
        if request.as_of is None or request.reuse_snapshot is not None or request.as_of > day_in_stockholm(now):
            return False
        return self._is_live_on(request.as_of) and not self._follows()

    def opened(self, batch_id: str) -> Run:
        """Return a run as its batch was opened.

        Raises:
            RefusedError: the batch was never opened.
        """
        batch = self.store.batch(batch_id)
        return Run(batch_id, batch.as_of, batch.units, batch.rules_version, batch.reuse_snapshot)

    def state_text(self, batch_id: str) -> str:
        """Return a Swedish sentence on the state of a batch."""
        return state_sentence(self.store.batch(batch_id) if self.store.knows(batch_id) else None)

    def _source(self, run: Run) -> PmoSource | SnapshotSource:
        if run.reuse_snapshot is not None:
            return SnapshotSource(self._files_of(run.reuse_snapshot))
        return PmoSource(self._pmo(), self._settings)

    def _same_facts(self, run: Run) -> Facts:
        """Return the facts, after a check that the batch was opened with the same ones.

        Raises:
            SettingsError: they have changed; the message names each file and setting that differs.
        """
        facts = self.facts
        if run.rules_version != facts.version:
            batch = self.store.batch(run.batch_id)
            closed = batch.state in IMMUTABLE
            remedy = "reject the wave, and start a new run" if closed else "clear the run from open_batch on"
            raise SettingsError(
                f"batch {run.batch_id} was opened with facts that have changed since: "
                f"{_differing(facts, batch.facts)}; put them back as they were and clear this step, or {remedy}"
            )
        return facts

    def _client(self) -> PersonServiceClient:
        """Return the client of the person service.

        Raises:
            PersonServiceSetupError: there is no such service, or its address or a certificate is at fault.
        """
        try:
            address = self._address()
        except SettingsError as error:
            fault = str(error)
        else:
            rest, settings = persons.DatabaseRest(self.store.database), self._settings.person_service
            return PersonServiceClient(address, rest, settings, self._clock)
        raise PersonServiceSetupError(fault)

    def _ask_service(self, numbers: Sequence[str]) -> Iterable[PersonStatus]:
        """Ask about some persons; the call is made when the first answer is taken."""
        return self._client().ask(numbers)

    @property
    def _name_key(self) -> bytes:
        key = self._settings.person_service.pu_name_key
        if key is None:
            raise SettingsError("WAITLIST_PU_NAME_KEY is missing: WAITLIST_PU is required, and needs it")
        return key.get_secret_value().encode()

    def _wanted(self, run: Run, part: SnapshotPart) -> asking.Wanted:
        """Return the persons of a part who have to be asked about."""
        released = self.store.released_post_ids(part.lower, part.upper)
        read = read_part(self._files(run).folder, part, asking.COLUMNS)
        return asking.Wanted.of(read, self._context(run), released)

    def _persons(self, run: Run, part: SnapshotPart) -> Persons | None:
        """Return what the person service answered about a part's persons; None where it is not to be asked."""
        if not self._same_facts(run).rules.asks_persons:
            return None
        return asking.as_persons(self._files(run).answers(part, run.rules_version))

    def _context(self, run: Run) -> RuleContext:
        facts = self._same_facts(run)
        return RuleContext(run.as_of, facts.mappings, facts.rules)

    def _files_of(self, batch_id: str) -> BatchFiles:
        return files_of(self.store, self._snapshots, batch_id)

    def _files(self, run: Run) -> BatchFiles:
        return BatchFiles(self.store, self._snapshots, run.batch_id)

    def _plan(self, run: Run) -> Plan:
        """Return the plan of the present try.

        Raises:
            SnapshotError: it is missing or damaged.
            OutdatedFileError: it was made for another date or other units than the batch was last opened for.
        """
        plan = self._files(run).plan()
        if plan.selection != run.selection:
            raise OutdatedFileError(
                f"the plan of batch {run.batch_id} was made for another date or other units than the batch has been "
                "opened for since: clear plan_extract and what follows"
            )
        return plan

    def _measure_gates(self, run: Run) -> list[gates.GateResult]:
        facts = self._same_facts(run)
        suites = facts.suites.values()
        return gates.evaluate(self.store, run.batch_id, facts.limits, mappings=facts.mappings, suites=suites)

    def _is_live_on(self, day: dt.date) -> bool:
        planned = [unit.driftstart for unit in self.facts.mappings.units.values() if unit.driftstart is not None]
        return bool(planned) and day > max(planned)

    def _follows(self) -> bool:
        """Return whether something that was released or left behind is not settled yet."""
        if standing(self.store.database) is Standing.NONE:
            return False
        self.store.migrate()
        with refusals_named("looking for open posts"), self.store.database.connected() as connection:
            return closing.is_awaited(connection)

    def _require_looked_at(self, run: Run) -> None:
        """Raise where a suite looked at other rows than the batch holds.

        Raises:
            RefusedError: with each suite, and the step to clear.
            SettingsError: the facts have changed since the batch was opened.
        """
        suites = self._same_facts(run).suites.values()
        staged = self.store.staged_ranges(run.batch_id)
        looked_at.require_same(self._files(run), staged, suites, run.rules_version)

    def _write_data_docs(self, run: Run) -> None:
        if self._settings.data_docs_dir is not None:
            results = self.store.quality_results(run.batch_id)
            quality.write_data_docs(
                self._settings.data_docs_dir, run.batch_id, run.as_of, self.facts.suites.values(), results
            )
