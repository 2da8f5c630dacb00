"""The staging database: booking requests, dispositions and findings of each batch, until and after its release.

``StagingStore`` is what the pipeline's steps use; ``schema`` names the tables for those who read
them; ``states`` says what a batch may turn into. The statements lie in ``sql/staging``.
"""

from waitlist.staging.events import PIPELINE, Event
from waitlist.staging.loading import AssessedChunk, StagedPartition
from waitlist.staging.states import (
    DECIDED,
    FOLLOWED,
    IMMUTABLE,
    READABLE,
    WITHDRAWN,
    Batch,
    BatchFile,
    BatchKind,
    BatchState,
    EventName,
    StagedRange,
)
from waitlist.staging.store import StagingStore

__all__ = [
    "DECIDED",
    "FOLLOWED",
    "IMMUTABLE",
    "PIPELINE",
    "READABLE",
    "WITHDRAWN",
    "AssessedChunk",
    "Batch",
    "BatchFile",
    "BatchKind",
    "BatchState",
    "Event",
    "EventName",
    "StagedPartition",
    "StagedRange",
    "StagingStore",
]
