"""Closing a wave: its ledger ends, and the follow-up of what is not booked goes on.

A wave can be closed when no outcome and no receipt is missing. Before that only a lead can close it, with a written
reason. The entry is added and never changed. It names the batches that were released then, so that a later release or
a withdrawal opens the ledger again (``ledger.read_closed``).
"""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import sqlalchemy as sa

from waitlist.release import ledger
from waitlist.release.decisions import has_reason
from waitlist.release.ledger import Closing
from waitlist.release.receipts import follow
from waitlist.release.receipts.account import read_open
from waitlist.release.receipts.store import take_turns
from waitlist.staging import schema
from waitlist.staging.database import Database, refusals_named
from waitlist.staging.post_outcomes import has_personal_number

LONGEST_REASON: Final = 2_000
"""The most characters of a reason."""


class ClosingFault(StrEnum):
    """Why a wave is not closed."""

    NO_RELEASE = "no_release"
    """None of its batches is released."""
    ONLY_A_LEAD = "only_a_lead"
    """Something is missing, and the person is no lead."""
    REASON_MISSING = "reason_missing"
    """Something is missing, and a lead has not written why it is closed all the same."""
    REASON_LONG = "reason_long"
    REASON_HAS_NUMBER = "reason_has_number"
    """It has what looks like a personal number."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a wave is waiting for."""

    lines: tuple[ledger.Line, ...]
    """Its ledger, by unit and batch."""
    followed: follow.Counts
    """Its released posts by answer."""
    batches: tuple[str, ...]
    """Its batches that are released now."""
    closed: Closing | None

    @property
    def posts(self) -> int:
        """Posts that must get an outcome."""
        return sum(line.posts for line in self.lines)

    @property
    def missing(self) -> int:
        """Of these, posts without one."""
        return sum(line.missing for line in self.lines)

    @property
    def complete(self) -> bool:
        """Whether no outcome and no receipt is missing."""
        return not self.missing and not self.followed.unanswered


def is_awaited(connection: sa.Connection) -> bool:
    """Return whether the nightly runs have to go on: a released post is open, or one that was left lacks an outcome."""
    return bool(read_open(connection, dt.date.min)) or ledger.is_missing(connection)


def read_standing(connection: sa.Connection, wave: str, late_from: dt.date) -> Standing:
    """Return what a wave is waiting for.

    Args:
        connection: of the staging database.
        wave: the wave.
        late_from: the first day of Boka före on which an open post is not late.
    """
    lines = ledger.read_lines(connection, wave=wave)
    counts = follow.Counts.sum(of_unit.counts for of_unit in follow.count(connection, late_from, wave=wave))
    batches = ledger.released_batches(connection).get(wave, ())
    return Standing(lines, counts, batches, ledger.read_closed(connection).get(wave))


def close(
    database: Database,
    wave: str,
    actor: str,
    reason: str | None,
    now: dt.datetime,
    *,
    late_from: dt.date,
    is_lead: bool,
) -> Closing | ClosingFault:
    """Close a wave, or return its closing where it is closed already, or why nothing was changed.

    Args:
        database: the staging database.
        wave: the wave.
        actor: the user id of the person that closes it.
        reason: that person's reason, in their words; required where something is missing.
        now: the moment, aware.
        late_from: as for ``read_standing``; what is late is kept with the closing.
        is_lead: whether the person is a lead.

    Raises:
        StagingError: the database refused, or somebody closed it at the same moment.
    """
    written = (reason or "").strip() or None
    with refusals_named("closing a wave"), database.writing() as connection:
        # No receipt comes between what is counted and what is kept.
        take_turns(connection)
        found = read_standing(connection, wave, late_from)
        if found.closed is not None:
            return found.closed
        fault = _fault(found, written, is_lead=is_lead)
        if fault is not None:
            return fault
        table = schema.wave_closing
        last = connection.scalar(sa.select(sa.func.max(table.c.closing_no)).where(table.c.wave == wave))
        closing = Closing(wave, (last or 0) + 1, now, actor, written, _details(found))
        connection.execute(
            table.insert().values(
                wave=wave, closing_no=closing.closing_no, at=now, actor=actor, reason=written, details=closing.details
            )
        )
    return closing


def _fault(found: Standing, reason: str | None, *, is_lead: bool) -> ClosingFault | None:
    if not found.batches:
        return ClosingFault.NO_RELEASE
    if not found.complete and not is_lead:
        return ClosingFault.ONLY_A_LEAD
    if not found.complete and not has_reason(reason):
        return ClosingFault.REASON_MISSING
    if reason is not None and len(reason) > LONGEST_REASON:
        return ClosingFault.REASON_LONG
    return ClosingFault.REASON_HAS_NUMBER if reason is not None and has_personal_number(reason) else None


def _details(found: Standing) -> dict[str, object]:
    return {
        "batches": list(found.batches),
        "posts": found.posts,
        "missing": found.missing,
        **{name: getattr(found.followed, name) for name in follow.NAMES if name != "posts"},
        "followed": found.followed.posts,
    }
