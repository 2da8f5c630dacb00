"""The watch over the nightly dry runs: when the last one was verified, and the message that says that none was.

A small record goes from one run of the watch to the next, so that one message is sent for each outage. Nothing here
reads the clock.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from waitlist.columns.dates import day_in_stockholm
from waitlist.reports.notices import Notice, no_night
from waitlist.staging.dry_runs import DryRun

LONGEST: Final = dt.timedelta(hours=26)
"""The longest time between two verified nights: a day, and two hours for a night that takes longer."""


@dataclass(frozen=True, slots=True)
class Nights:
    """The state of the nights according to the staging database."""

    verified: dt.datetime | None = None
    """When the last night was verified."""
    begun: dt.datetime | None = None
    """When the first night began, verified or not. Before it no night is due."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The record of the last check."""

    since: dt.datetime
    """When a night was last verified, or when the first one began where none has been verified."""
    told: bool = False
    """Whether a message was sent about the outage that began then."""

    @classmethod
    def look(cls, record: object, nights: Nights, now: dt.datetime) -> Self | None:
        """Return the record after another check; None where no night was due yet.

        Args:
            record: the result of ``to_record`` after the check before. With any other value, or a moment in the
                future, this is a first check.
            nights: the state of the nights; empty where the database could not be queried.
            now: the moment.
        """
        first = nights.verified or nights.begun
        begin = None if first is None else cls(min(first, now))
        try:
            before = cls(dt.datetime.fromisoformat(record["since"]), record["told"] is True)  # type: ignore[index]
            is_known = before.since <= now
        except (KeyError, TypeError, ValueError):
            return begin
        if not is_known or (nights.verified is not None and min(nights.verified, now) > before.since):
            return begin
        return before

    def to_record(self) -> dict[str, Any]:
        """Return the record as JSON values, for Airflow to store."""
        return {"since": self.since.isoformat(), "told": self.told}

    def notice(self, now: dt.datetime) -> Notice | None:
        """Return the message that is due; None where a night was verified in time, or the message was already sent."""
        return no_night(self.since, LONGEST) if not self.told and now - self.since > LONGEST else None


def last_verified(runs: Iterable[DryRun]) -> dt.datetime | None:
    """Return when the last night was verified: a dry run over every unit, as of its own day or the day before.

    A run of an earlier day does not count as a night, and neither does a run over some units.
    """
    moments = (
        run.finished_at
        for run in runs
        if run.units is None and run.finished_at is not None and _is_night(run.as_of, run.finished_at)
    )
    return max(moments, default=None)


def first_begun(begun: Iterable[tuple[dt.date, dt.datetime]]) -> dt.datetime | None:
    """Return when the first night began.

    Args:
        begun: as-of date and start of dry runs over every unit.
    """
    return min((moment for as_of, moment in begun if _is_night(as_of, moment)), default=None)


def _is_night(as_of: dt.date, moment: dt.datetime) -> bool:
    return as_of >= day_in_stockholm(moment) - dt.timedelta(days=1)
