"""The steps outside the runs: the watch over the nights, and retention."""

import datetime as dt
import logging
from dataclasses import dataclass
from functools import partial

from upath import UPath

from waitlist.columns.dates import STOCKHOLM, day_in_stockholm
from waitlist.exceptions import SettingsError, WaitlistError
from waitlist.release.receipts import account, inbox
from waitlist.reports import nights
from waitlist.settings import MOST_DAYS_KEPT
from waitlist.source.pmo import PmoSource
from waitlist.staging import Batch, BatchState, access_log, checkpoints, persons, retention
from waitlist.staging.database import refusals_named
from waitlist.staging.dry_runs import read_begun, read_dry_runs
from waitlist.staging.migrate import Standing, standing
from waitlist.steps.run import Record, Steps

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """What a monitor asks; ``faults`` is empty where all is well."""

    schema: str
    """The name of a ``Standing``, or ``unreachable``."""
    night_hours: float | None
    """Hours since the last night was verified; None where none was, or staging does not answer."""
    night_due: bool
    """Whether nights are due: some unit is not live yet, or something that was released is followed."""
    pmo: str
    faults: tuple[str, ...]


class Upkeep(Steps):
    """Watch, health and retention."""

    def health(self, *, now: dt.datetime, ask_pmo: bool) -> Health:
        """Look at staging and its last night, and whether PMO lets us log in; nothing is changed.

        Args:
            now: the moment.
            ask_pmo: whether to log in to PMO; without a query.
        """
        faults = list[str]()
        schema, hours, due, pmo = "unreachable", None, True, "not asked"
        try:
            found = standing(self.store.database)
            schema = found.name.lower()
            if found is not Standing.CURRENT:
                faults.append(f"the staging schema is not this release's: {schema}")
            seen = self.nights(now=now)
        except WaitlistError as error:
            faults.append(str(error))
        else:
            due = seen is not None
            if seen is not None:
                hours = None if seen.verified is None else round((now - seen.verified).total_seconds() / 3600, 1)
                since = seen.verified or seen.begun
                if since is not None and now - since > nights.LONGEST:
                    faults.append(f"no night was verified since {since.isoformat(timespec='minutes')}")
        if ask_pmo:
            try:
                PmoSource(self._pmo(), self._settings).log_in()
                pmo = "reachable"
            except WaitlistError as error:
                pmo = "unreachable"
                faults.append(str(error))
        return Health(schema, hours, due, pmo, tuple(faults))

    def nights(self, *, now: dt.datetime) -> nights.Nights | None:
        """Return the state of the nights; None where every unit is live and nothing is followed: no night is due.

        Raises:
            MappingError: ``units.csv`` is at fault.
            StagingError: the staging database cannot be queried.
        """
        found = standing(self.store.database)
        if self._is_live_on(day_in_stockholm(now)) and not (found is Standing.CURRENT and self._follows()):
            return None
        if found is Standing.NONE:
            return nights.Nights()
        with refusals_named("looking for the last night"), self.store.database.connected() as connection:
            verified, begun = read_dry_runs(connection), read_begun(connection)
        return nights.Nights(nights.last_verified(verified), nights.first_begun(begun))

    def remove_expired(self, on: dt.date, *, keep_days: int | None, only_tell: bool, now: dt.datetime) -> Record:
        """Remove the personal data of batches whose retention period is over, or only log what would be removed.

        The ends of the audit chains are signed first.

        Args:
            on: the day up to which ages are counted, or today in Stockholm where that is earlier.
            keep_days: days that a dry run is kept; None: the setting's.
            only_tell: remove nothing.
            now: the moment, for the audit trail; ages are never counted beyond it.

        Raises:
            SettingsError: ``keep_days`` is out of range, or the ends of the audit chains could not be signed.
            StagingError, SnapshotError: something could not be removed; a rerun goes on from there.
        """
        if keep_days is not None and not 1 <= keep_days <= MOST_DAYS_KEPT:
            raise SettingsError(f"param keep_days is not between 1 and {MOST_DAYS_KEPT}")
        on = min(on, day_in_stockholm(now))
        self.store.migrate()
        settings = self._settings
        periods = retention.Periods(
            keep_days or settings.keep_days, settings.keep_migration_days, settings.keep_released_days
        )
        work_lists = None if settings.worklists_dir is None else UPath(settings.worklists_dir)
        places = retention.Places(self._snapshots, work_lists, self._hand_offs)
        verb = "would remove" if only_tell else "removed"
        total = {"batches": 0, "rows": 0, "snapshot_files": 0, "work_list_files": 0}
        if not only_tell:
            checkpoints.make(self.store.database, at=now)
        batches = retention.read_batches(self.store)
        for batch in batches:
            if batch.state is BatchState.AWAITING_APPROVAL:
                log.info("batch %s awaits its approval: kept until it is decided", batch.batch_id)
        expired = retention.expired(batches, on, periods, self._has_complete_receipts)
        for batch in retention.holding_data(self.store, expired, places):
            reason = f"older than {periods.of(batch)} days on {on}"
            held = (
                retention.survey(self.store, batch, places)
                if only_tell
                else retention.remove(self.store, batch, places, reason=reason, now=now)
            )
            if held:
                counts = {"batches": 1, "rows": sum(held.rows.values()), **held.files}
                log.info("batch %s is %s: %s %s", batch.batch_id, reason, verb, counts)
                total = {name: count + counts.get(name, 0) for name, count in total.items()}
        midnight = dt.datetime.combine(on, dt.time(), STOCKHOLM)
        of_no_batch = (
            ("person_answers", persons.count_older, persons.remove_older, midnight - dt.timedelta(periods.dry_run)),
            (
                "receipt_faults",
                inbox.count_older,
                inbox.remove_older,
                midnight - dt.timedelta(periods.of_a_migration),
            ),
            # In UTC: a day of 23 hours must not make the period shorter.
            (
                "access_log_entries",
                access_log.count_older,
                partial(access_log.remove_older, now=now),
                midnight.astimezone(dt.UTC) - dt.timedelta(settings.keep_log_days),
            ),
        )
        for name, count_older, remove_older, than in of_no_batch:
            old = (count_older if only_tell else remove_older)(self.store.database, than)
            if old:
                total[name] = old
        log.info("%s in all: %s", verb, total)
        return total

    def _has_complete_receipts(self, batch: Batch) -> bool:
        """Return whether the receiver has answered about every post of a batch that it may have."""
        with refusals_named("counting unanswered posts"), self.store.database.connected() as connection:
            complete = account.is_complete(connection, batch)
        if not complete:
            log.info("batch %s has posts that the receiver has not answered: kept until it has", batch.batch_id)
        return complete
