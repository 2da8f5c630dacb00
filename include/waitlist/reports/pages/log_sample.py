"""Månadens stickprov: some entries of the access log, drawn by a rule, with what the readers of the log say of each."""

from dataclasses import dataclass

import sqlalchemy as sa

from waitlist.facts.mappings import Mappings
from waitlist.reports.pages.access_log import Access, as_access
from waitlist.staging import schema
from waitlist.staging.log_verdicts import Judged, read_verdicts, sampled


@dataclass(frozen=True, slots=True)
class Sampled:
    """An entry of the sample."""

    entry_id: str
    access: Access
    verdicts: tuple[Judged, ...]
    """The first one first; the last one counts."""

    def is_of(self, login: str) -> bool:
        """Tell whether the entry is about what a user did; nobody judges that of themselves."""
        return self.access.user_id.strip().casefold() == login.strip().casefold()


@dataclass(frozen=True, slots=True)
class LogSample:
    """The page."""

    month: str
    latest_month: str
    """The last month that is over."""
    entries: tuple[Sampled, ...]
    """The earliest first."""

    @property
    def judged(self) -> int:
        """How many entries have a verdict."""
        return sum(bool(entry.verdicts) for entry in self.entries)


def read_log_sample(connection: sa.Connection, mappings: Mappings, month: str, latest_month: str) -> LogSample:
    """Read a month's sample.

    Args:
        connection: a connection from ``reading``.
        mappings: names of the units.
        month: a month that is over, as ``2026-10``.
        latest_month: the last one that is over.
    """
    drawn = sampled(connection, month)
    verdicts = read_verdicts(connection, drawn)
    table = schema.access_log
    query = sa.select(table).where(table.c.entry_id.in_(drawn)).order_by(table.c.at, table.c.entry_id)
    entries = tuple(
        Sampled(row.entry_id, as_access(row, mappings), tuple(verdicts[row.entry_id]))
        for row in connection.execute(query)
    )
    return LogSample(month, latest_month, entries)
