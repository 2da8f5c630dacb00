"""The life of a batch and what it may turn into.

``open -> staged -> verified -> (awaiting_approval -> released -> withdrawn | rejected)``, or ``failed``.
A batch counts for readers from ``verified`` on; from ``awaiting_approval`` on nobody may change it.
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
    """Where a batch stands."""

    OPEN = "open"
    """Partitions are being loaded; nobody reads it."""
    STAGED = "staged"
    """Every partition is loaded; nothing has been compared yet."""
    VERIFIED = "verified"
    """Everything adds up: readers see it."""
    AWAITING_APPROVAL = "awaiting_approval"
    """Shown to a human, who releases or rejects exactly what is shown."""
    RELEASED = "released"
    """RevenueCycle's load reads it."""
    WITHDRAWN = "withdrawn"
    """Was released and has been taken back."""
    REJECTED = "rejected"
    """A human said no."""
    FAILED = "failed"
    """Something did not add up; a rerun may mend it."""


class EventName(StrEnum):
    """What ``batch_event`` tells of a batch: the state that it came to, or what else was decided or done."""

    OPEN = "open"
    STAGED = "staged"
    VERIFIED = "verified"
    FAILED = "failed"
    AWAITING_APPROVAL = "awaiting_approval"
    OVERRIDE = "override"
    """An approver let the batch through in spite of failed gates, and wrote why."""
    RELEASED = "released"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    KEPT = "kept"
    """An approver was asked to take the batch back, and let it stand."""
    PURGED = "purged"
    """Retention removed its rows and files; the counts stay."""


IMMUTABLE: Final = frozenset(
    {BatchState.AWAITING_APPROVAL, BatchState.RELEASED, BatchState.WITHDRAWN, BatchState.REJECTED}
)
"""States in which a batch refuses every change of its rows."""

DECIDED: Final = IMMUTABLE - {BatchState.AWAITING_APPROVAL}
"""States that an approver has brought a batch to."""

READABLE: Final = IMMUTABLE | {BatchState.VERIFIED}
"""States in which a batch counts for readers; the view ``readable_batch`` holds the same list."""


NOT_RECONCILED: Final = MappingProxyType({"posts_extracted": None, "posts_staged": None})
"""What a batch says of its counts until it is reconciled, and again after anything that ends that."""


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
    """Posts that have a disposition; empty until the batch has been reconciled."""
    posts_staged: int | None
    """Booking requests; empty until the batch has been reconciled."""
    rules_version: str
    started_at: datetime
    finished_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    released_at: datetime | None
    units: tuple[str, ...] | None
    """HSA-ids of the units that are read, sorted; None for all."""
    reuse_snapshot: str | None
    """The batch whose snapshot is judged anew: what would be, and no news of PMO; None where PMO is read.

    Whatever asks for the latest dry run leaves those out.
    """
    facts: Mapping[str, str] | None = None
    """Digests of the files and values of the settings that it was opened with; None: an earlier release opened it."""
    row_hash_version: int = 1
    """The version of ``row_hash`` by which its booking requests are hashed."""


@dataclass(frozen=True, slots=True)
class BatchFile:
    """One row of ``batch_file``: a file of a batch's folder as it was written."""

    name: str
    size: int
    """In bytes."""
    sha256: str
    """Of its bytes, lower-case hex."""
    made_of: str
    """Digest of what the step that wrote it had read; empty where it read nothing that may be written again."""
    about: Mapping[str, Any]
    """Counts, keys and digests; never a value of a post."""


@dataclass(frozen=True, slots=True)
class StagedRange:
    """Keys of a batch that were staged as one partition, ``[lower, upper)``; None is an open end."""

    lower: int | None
    upper: int | None
    posts: int
    digest: str
    """Of the rows that were staged."""
    part_sha256: str | None
    """Of the snapshot's part that they were made from; None: an earlier release staged them."""
