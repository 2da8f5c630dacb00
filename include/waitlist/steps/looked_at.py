"""What the suites looked at: an old result is not taken for one of the posts that a batch holds now.

A suite's results are kept with a digest of what it looked at: the parts of the snapshot, the parts with the answers
about their persons, or the staged partitions, and the facts. A batch is verified, and put before an approver, only
where each suite has looked at what its rows were made from.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from waitlist import quality
from waitlist.exceptions import RefusedError
from waitlist.quality import Looks, Suite
from waitlist.source.batch_files import BatchFiles
from waitlist.source.snapshot import SnapshotPart
from waitlist.staging import StagedRange

_STEPS: Final[Mapping[Looks, str]] = {
    Looks.SNAPSHOT: "check_snapshot",
    Looks.ANSWERS: "check_snapshot",
    Looks.STAGED: "reconcile",
}


def of_parts(parts: Iterable[SnapshotPart], rules_version: str) -> str:
    """Return the digest of the parts of a snapshot and of the facts, for suites that look at the snapshot."""
    return _digest(rules_version, (part.sha256 for part in parts))


def of_answers(files: BatchFiles, parts: Sequence[SnapshotPart], rules_version: str) -> str:
    """Return the digest of parts, of the answers about their persons and of the facts, for suites on the answers."""
    return _digest(rules_version, [*(part.sha256 for part in parts), *files.answers_sha256(parts)])


def of_staged(staged: Iterable[StagedRange], rules_version: str) -> str:
    """Return the digest of the staged partitions and of the facts, for suites that look at the staged rows."""
    return _digest(rules_version, (line.digest for line in staged))


def require_same(files: BatchFiles, staged: Sequence[StagedRange], suites: Iterable[Suite], rules_version: str) -> None:
    """Raise where a suite has not looked at what the batch holds now.

    Args:
        files: the batch's files.
        staged: its partitions, as they are staged.
        suites: every suite that there is.
        rules_version: the version of the facts.

    Raises:
        RefusedError: with each suite, and the step that it belongs to.
    """
    # A part of an earlier release has no checksum here, and no suite has looked at it by this list.
    parts = (line.part_sha256 or "" for line in staged)
    now = {
        Looks.SNAPSHOT: _digest(rules_version, parts),
        Looks.ANSWERS: of_answers(files, files.staged_parts(staged), rules_version),
        Looks.STAGED: of_staged(staged, rules_version),
    }
    seen = files.results_of()
    stale = [suite for suite in suites if seen.get(suite.name) != now[suite.looks]]
    if stale:
        names = ", ".join(suite.name for suite in stale)
        steps = ", ".join(dict.fromkeys(_step_of(suite) for suite in stale))
        raise RefusedError(
            f"batch {files.batch_id}: what these suites looked at is not what it holds now: {names}; "
            f"clear {steps}, and what follows"
        )


def _step_of(suite: Suite) -> str:
    return "check_contract" if suite.name == quality.CONTRACT else _STEPS[suite.looks]


def _digest(rules_version: str, digests: Iterable[str]) -> str:
    return hashlib.sha256("\0".join([rules_version, *digests]).encode()).hexdigest()
