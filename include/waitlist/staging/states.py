"""The states of a batch, and the changes between them.

``open -> staged -> verified -> (awaiting_approval -> released -> withdrawn | withdrawn_after_load) | rejected``, or
``failed``. A release that a receiver may have loaded is withdrawn after the load.
Readers see a batch from ``verified`` on. From ``awaiting_approval`` on its rows may not be changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final


class BatchKind(StrEnum):
    """Whether a batch may ever be released."""

    DRY_RUN = "dry_run"
    MIGRATION = "migration"


class BatchState(StrEnum):
    """The state of a batch."""

    OPEN = "open"
    """Partitions are being loaded; readers do not see it."""
    STAGED = "staged"
    """Every partition is loaded; nothing has been compared yet."""
    VERIFIED = "verified"
    """The reconciliation found no difference: readers see it."""
    AWAITING_APPROVAL = "awaiting_approval"
    """It is shown to an approver, who releases or rejects exactly what is shown."""
    RELEASED = "released"
    """RevenueCycle's load reads it."""
    WITHDRAWN = "withdrawn"
    """It was released, and the release was withdrawn before a receiver had loaded it: its posts are free."""
    WITHDRAWN_AFTER_LOAD = "withdrawn_after_load"
    """It was released and may have been loaded, and the release was withdrawn: a post is free when the receiver has
    confirmed that it is not there."""
    REJECTED = "rejected"
    """An approver rejected it."""
    FAILED = "failed"
    """A step failed, or the reconciliation found a difference; a rerun may correct it."""


class EventName(StrEnum):
    """The events in ``batch_event``: the state that a batch reached, or another decision or action."""

    OPEN = "open"
    STAGED = "staged"
    VERIFIED = "verified"
    FAILED = "failed"
    AWAITING_APPROVAL = "awaiting_approval"
    OVERRIDE = "override"
    """An approver released the batch in spite of failed gates, and wrote the reason."""
    RELEASED = "released"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    WITHDRAWN_AFTER_LOAD = "withdrawn_after_load"
    KEPT = "kept"
    """An approver answered a request for withdrawal, and kept the batch released."""
    FREED = "freed"
    """Posts of it are free: later runs judge them again, and may release them."""
    HELD_AGAIN = "held_again"
    """Posts that were free are not any more: the receiver has said something else since."""
    PURGED = "purged"
    """Retention removed its rows and files; the counts remain."""


class PostOutcome(StrEnum):
    """What became of a post, in ``post_outcome``."""

    BOOKED_MILLENNIUM = "booked_millennium"
    BOOKED_PMO = "booked_pmo"
    MOVED = "moved"
    """It was moved to another unit or system."""
    NOT_NEEDED = "not_needed"
    """The patient no longer waits; a word says why."""
    DECEASED = "deceased"
    RELEASED_LATER = "released_later"
    """A later batch released it. Only the pipeline says so."""
    CLOSED_IN_PMO = "closed_in_pmo"
    """PMO no longer has it. Only the pipeline says so."""
    CHECKED = "checked"
    """No outcome but a mark: somebody has looked at what there was to check."""
    UNDONE = "undone"
    """An earlier row of the post no longer holds."""


IMMUTABLE: Final = frozenset(
    {
        BatchState.AWAITING_APPROVAL,
        BatchState.RELEASED,
        BatchState.WITHDRAWN,
        BatchState.WITHDRAWN_AFTER_LOAD,
        BatchState.REJECTED,
    }
)
"""States in which no row of a batch may be changed."""

WITHDRAWN: Final = frozenset({BatchState.WITHDRAWN, BatchState.WITHDRAWN_AFTER_LOAD})
"""States of a release that was withdrawn."""

FOLLOWED: Final = frozenset({BatchState.RELEASED, BatchState.WITHDRAWN_AFTER_LOAD})
"""States in which a receiver may have posts of a batch, so that its words about them count."""

DECIDED: Final = IMMUTABLE - {BatchState.AWAITING_APPROVAL}
"""States that follow from an approver's decision."""

READABLE: Final = IMMUTABLE | {BatchState.VERIFIED}
"""States in which readers see a batch; the view ``readable_batch`` has the same list."""


NOT_RECONCILED: Final = MappingProxyType({"posts_extracted": None, "posts_staged": None})
"""The values of a batch's counts until it is reconciled, and after a change that makes the reconciliation void."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One row of ``batch``; times are aware, in UTC."""

    batch_id: str
    dag_id: str
    run_id: str
    kind: BatchKind
    wave: str | None
    as_of: date
    state: BatchState
    posts_extracted: int | None
    """Posts with a disposition; None until the batch has been reconciled."""
    posts_staged: int | None
    """Booking requests; None until the batch has been reconciled."""
    rules_version: str
    started_at: datetime
    finished_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    released_at: datetime | None
    units: tuple[str, ...] | None
    """HSA-ids of the units that are read, sorted; None for all units."""
    reuse_snapshot: str | None
    """The batch whose snapshot is replayed; None if PMO is read.

    A replay shows what other facts would give, not PMO as it is now, so it is never the latest dry run.
    """
    facts: Mapping[str, str] | None = None
    """Digests of the files, and values of the settings, when it was opened; None: an earlier release opened it."""
    row_hash_version: int = 1
    """The version of ``row_hash`` of its booking requests."""


@dataclass(frozen=True, slots=True)
class BatchFile:
    """One row of ``batch_file``: a file in a batch's folder as it was written."""

    name: str
    size: int
    """The size in bytes."""
    sha256: str
    """SHA-256 of its bytes, lower-case hex."""
    made_of: str
    """Digest of the inputs of the step that wrote it; empty if it has no input that a rerun could write again."""
    about: Mapping[str, Any]
    """Counts, keys and digests; never a value of a post."""


@dataclass(frozen=True, slots=True)
class StagedRange:
    """The keys ``[lower, upper)`` of a batch that were staged as one partition; None is an open end."""

    lower: int | None
    upper: int | None
    posts: int
    digest: str
    """Digest of the staged rows."""
    part_sha256: str | None
    """SHA-256 of the part of the snapshot that they were staged from; None: an earlier release staged them."""
