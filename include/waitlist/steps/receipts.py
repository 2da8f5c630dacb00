"""The steps that take receipts, and that tell the leads what is unanswered and not booked."""

import datetime as dt
import logging
from collections.abc import Callable

from waitlist.columns.dates import day_in_stockholm
from waitlist.facts.receipt_columns import load_receipt_columns
from waitlist.release.receipts import account, files, inbox
from waitlist.reports.notices import Notice, not_booked, receipts_refused
from waitlist.staging import schema
from waitlist.staging.database import refusals_named
from waitlist.steps.run import Record, Steps

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
        """Tell the leads how many posts are unanswered, and how many the receiver has not booked and are late.

        Args:
            send: sends a message to the leads.
            now: the moment, aware.

        Raises:
            StagingError: the database refused.
        """
        self.store.migrate()
        late_from = day_in_stockholm(now) + dt.timedelta(days=self._settings.late_days)
        with refusals_named("counting unanswered posts"), self.store.database.connected() as connection:
            if self._receipts is None and not account.in_use(connection):
                return {}
            before = now - dt.timedelta(hours=self._settings.receipt_hours)
            unanswered = account.read_unanswered(connection, before)
            units = account.read_open(connection, late_from)
        late = sum(unit.late for unit in units)
        if unanswered or late:
            send(not_booked(unanswered, self._settings.receipt_hours, units, self.facts.mappings))
        return {
            "unanswered": sum(posts for _, posts in unanswered),
            "open": sum(unit.posts for unit in units),
            "late": late,
        }
