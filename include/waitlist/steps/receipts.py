"""The steps after a release: receipts, what is followed until it is booked, and the closing ledger."""

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import asdict

from waitlist.columns.dates import day_in_stockholm
from waitlist.facts.receipt_columns import load_receipt_columns
from waitlist.release import ledger
from waitlist.release.receipts import account, files, follow, inbox
from waitlist.reports.notices import Notice, not_booked, receipts_refused
from waitlist.staging import schema
from waitlist.staging.database import refusals_named
from waitlist.staging.dry_runs import latest_for_everybody, read_dry_runs
from waitlist.steps.run import Record, Run, Steps

log = logging.getLogger(__name__)


class Receipts(Steps):
    """Receipts and follow-up."""

    def take_receipts(self, send: Callable[[Notice], object], *, now: dt.datetime) -> Record:
        """Take the receipts of every file in the folder, and of every row in the inbox.

        Args:
            send: sends a message to the leads.
            now: the moment, aware.

        Raises:
            MappingError: ``receipt_columns.csv`` is at fault.
            StagingError: the database refused.
            ReceiptError: the folder cannot be read or written.
        """
        self.store.migrate()
        renamed = load_receipt_columns(self._settings.mappings_dir, schema.RECEIPT_COLUMNS)
        taken = files.Taken(0, 0, 0, 0)
        if self._receipts is not None:
            taken = files.take(self.store, self._receipts, renamed, now)
        rows, faulty = inbox.take(self.store, now)
        if taken.refused or faulty:
            send(receipts_refused(taken.refused, faulty))
        log.info("receipts: %d files, %d refused; inbox: %d rows, %d faulty", taken.files, taken.refused, rows, faulty)
        return {
            "files": taken.files,
            "files_refused": taken.refused,
            "receipts": taken.receipts,
            "inbox_rows": rows,
            "inbox_faulty": faulty,
        }

    def watch_receipts(self, send: Callable[[Notice], object], *, now: dt.datetime) -> Record:
        """Store the day's counts, and tell the leads how many posts are unanswered, open, late and without outcome.

        There is a message when a post is unanswered or late, or lacks an outcome after the last go-live of its wave.

        Args:
            send: sends a message to the leads.
            now: the moment, aware.

        Raises:
            StagingError: the database refused.
        """
        self.store.migrate()
        today = day_in_stockholm(now)
        late_from = self._late_from(today)
        with refusals_named("counting unanswered posts"), self.store.database.writing() as connection:
            lacking = ledger.count_missing(connection)
            unanswered, units = [], []
            if self._receipts is not None or account.in_use(connection):
                before = now - dt.timedelta(hours=self._settings.receipt_hours)
                unanswered = account.read_unanswered(connection, before)
                units = account.read_open(connection, late_from)
                follow.keep_day(connection, today, follow.count(connection, late_from))
        late = sum(unit.late for unit in units)
        overdue = any(self._has_gone_live(wave, today) for wave in lacking)
        if unanswered or late or overdue:
            send(not_booked(unanswered, self._settings.receipt_hours, units, lacking, self.facts.mappings))
        return {
            "unanswered": sum(posts for _, posts in unanswered),
            "open": sum(unit.posts for unit in units),
            "late": late,
            "without_outcome": sum(lacking.values()),
        }

    def note_outcomes(self, run: Run, *, now: dt.datetime) -> Record:
        """Write the outcomes of posts that the night's run sees; nothing unless it is the run that pages show.

        Args:
            run: a verified dry run.
            now: the moment, aware.

        Raises:
            StagingError: the database refused, or somebody wrote about the same post at the same moment.
        """
        with refusals_named("reading dry runs"), self.store.database.connected() as connection:
            latest = latest_for_everybody(read_dry_runs(connection))
        if latest is None or latest.batch_id != run.batch_id:
            log.info("batch %s is not the latest dry run: it says nothing of the closing ledger", run.batch_id)
            return {}
        noted = ledger.note_outcomes(self.store.database, latest, now)
        log.info("closing ledger: %s", noted)
        return asdict(noted)

    def _has_gone_live(self, wave: str | None, day: dt.date) -> bool:
        """Tell whether every unit of a wave is live on a day."""
        days = (unit.driftstart for unit in self.facts.mappings.units.values() if unit.vag == wave)
        return all(driftstart is not None and driftstart <= day for driftstart in days)

    def _late_from(self, today: dt.date) -> dt.date:
        return today + dt.timedelta(days=self._settings.late_days)
