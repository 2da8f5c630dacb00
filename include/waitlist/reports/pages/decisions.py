"""The decisions about waves: the ones that are awaited, with their deadlines, and the latest that was made for each."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from waitlist.reports.pages.released import ReleasedBatch
from waitlist.staging import BatchState

_MADE: Final = frozenset(
    {BatchState.RELEASED, BatchState.WITHDRAWN, BatchState.WITHDRAWN_AFTER_LOAD, BatchState.REJECTED}
)


@dataclass(frozen=True, slots=True)
class Awaited:
    """A wave that waits for an approver's answer."""

    batch_id: str
    dag_id: str
    run_id: str
    wave: str | None
    as_of: dt.date
    posts: int | None
    """Booking requests that an approval would release."""
    deadline: dt.datetime | None
    """When the question expires; then nothing has been released."""


@dataclass(frozen=True, slots=True)
class Made:
    """The latest decision about a wave."""

    batch_id: str
    state: BatchState
    at: dt.datetime | None
    posts: int
    """Its posts that Millennium can read now."""


def awaited(batches: Sequence[ReleasedBatch], hours: int) -> tuple[Awaited, ...]:
    """Return the batches that wait for an answer, the nearest deadline first.

    Args:
        batches: as ``decided_batches`` returns them.
        hours: how long a question waits for its answer.
    """
    found = [
        Awaited(
            batch.batch_id,
            batch.dag_id,
            batch.run_id,
            batch.wave,
            batch.as_of,
            batch.posts,
            batch.asked_at + dt.timedelta(hours=hours) if batch.asked_at else None,
        )
        for batch in batches
        if batch.state is BatchState.AWAITING_APPROVAL
    ]
    return tuple(sorted(found, key=lambda batch: (batch.deadline is None, batch.deadline, batch.batch_id)))


def made(batches: Sequence[ReleasedBatch]) -> Mapping[str, Made]:
    """Return the latest decision for each wave.

    Args:
        batches: as ``decided_batches`` returns them.
    """
    latest: dict[str, Made] = {}
    for batch in batches:
        if batch.wave is not None and batch.state in _MADE:
            at = batch.decisions[-1].at if batch.decisions else batch.released_at
            latest.setdefault(batch.wave, Made(batch.batch_id, batch.state, at, batch.shown))
    return latest
