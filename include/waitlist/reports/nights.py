"""Whether the nights come: how long ago one was verified, and the one message that says that none was.

What was seen is handed from one look to the next as a small record, so that an outage is told once and the next one
again. Nothing here asks a clock.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from waitlist.columns.dates import STOCKHOLM
from waitlist.reports.notices import Notice, no_night
from waitlist.staging.dry_runs import DryRun

LONGEST: Final = dt.timedelta(hours=26)
"""From one verified night to the next: a day, and two hours for a night that takes longer than the one before."""


@dataclass(frozen=True, slots=True)
class Nights:
    """What the staging database tells of the nights."""

    verified: dt.datetime | None = None
    """When the last one was verified."""
    begun: dt.datetime | None = None
    """When the first one began, whatever became of it. Before it there is nothing to wait for."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What the last look left."""

    since: dt.datetime
    """When a night was last verified, or the first one began where none has been."""
    told: bool = False
    """Whether a message has gone out about the outage that began then."""

    @classmethod
    def look(cls, record: object, nights: Nights, now: dt.datetime) -> Self | None:
        """Return what is known after another look; None where no night was due yet.

        Args:
            record: what ``to_record`` gave after the look before; anything else, or a moment ahead, is a first look.
            nights: what is known of the nights; nothing where they could not be asked about.
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
        """Return plain values for Airflow to keep."""
        return {"since": self.since.isoformat(), "told": self.told}

    def notice(self, now: dt.datetime) -> Notice | None:
        """Return the message that is due; None where a night came in time, or the outage has been told."""
        return no_night(self.since, LONGEST) if not self.told and now - self.since > LONGEST else None


def last_verified(runs: Iterable[DryRun]) -> dt.datetime | None:
    """Return when the last night was verified: a dry run over every unit, as of its own day or the day before.

    A past day that is run again is no night, and neither is a run over some units.
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
        begun: as-of date and beginning of dry runs over every unit.
    """
    return min((moment for as_of, moment in begun if _is_night(as_of, moment)), default=None)


def _is_night(as_of: dt.date, moment: dt.datetime) -> bool:
    return as_of >= moment.astimezone(STOCKHOLM).date() - dt.timedelta(days=1)
