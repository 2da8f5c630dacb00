"""Migrations in the state before a release, and releases in processes of their own."""

import datetime as dt
import re
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.support import batches
from waitlist.exceptions import StagingError
from waitlist.facts.gates import Gate
from waitlist.release import decisions as release
from waitlist.release.gates import GateResult
from waitlist.staging import PIPELINE, StagingStore, schema
from waitlist.staging.reconcile import PartitionEvidence, reconcile

NOW = batches.NOW
LATER = NOW + dt.timedelta(hours=1)
POSTS = range(1, 30)
PASSED = tuple(GateResult(gate, 0.0, 0.0, passed=True) for gate in Gate if gate is not Gate.SAMPLE)
"""All gates but the one of the sample, which a release measures itself."""
REASON = "Avstämt med enheten"


def failing(*gates: Gate, measured: float | None = 1.0) -> list[GateResult]:
    """Return all gates, some of them failed."""
    return [
        GateResult(result.gate, measured, 0.0, passed=False) if result.gate in gates else result for result in PASSED
    ]


def verified(
    store: StagingStore, batch_id: str, posts: Collection[int], *, text: str = "Orsak: x", **told: Any
) -> None:
    """Stage, reconcile and verify a migration of some posts; those of another kind are made the same way."""
    batches.open_batch(store, batch_id, **{"kind": "migration", **told})
    store.stage_partition(batch_id, None, None, [batches.chunk(sorted(posts), text=text)] if posts else [])
    store.mark_staged(batch_id, NOW)
    evidence = [PartitionEvidence(None, None, len(posts))]
    reconcile(store, batch_id, source_posts=len(posts), evidence=evidence, now=NOW)
    store.mark_verified(batch_id, NOW)


def awaiting(store: StagingStore, batch_id: str, posts: Collection[int], **told: Any) -> None:
    """Put a migration of some posts before its approver, all gates passed."""
    verified(store, batch_id, posts, **told)
    release.request_approval(store, batch_id, PASSED, PIPELINE, NOW)


def put_awaiting(store: StagingStore) -> None:
    """Bring a store into the state in which one wave, ``vecka-1`` of ``POSTS``, awaits approval, without its steps."""
    batches._fill(store, batches._contents_after(_await, "vecka-1"))


def put_verified(store: StagingStore) -> None:
    """Bring a store into the state in which one wave, ``vecka-1`` of ``POSTS``, is verified, without its steps."""
    batches._fill(store, batches._contents_after(_verify, "vecka-1"))


def _verify(store: StagingStore, batch_id: str) -> None:
    verified(store, batch_id, POSTS)


def _await(store: StagingStore, batch_id: str) -> None:
    awaiting(store, batch_id, POSTS)


def migrating(posts: Collection[int]) -> list[int]:
    """Return those of the ready-made posts that migrate."""
    return [post for post in sorted(posts) if batches.disposition_of(post) == "migrate"]


def shown(store: StagingStore) -> list[tuple[int, str]]:
    """Return post and batch of every row of the released view."""
    view = schema.bokningsbegaran_released.c
    query = sa.select(view.post_id, view.batch_id).order_by(view.post_id, view.batch_id)
    with store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def told(store: StagingStore, batch_id: str) -> list[str]:
    """Return the events of the audit trail."""
    return [event.event.value for event in store.events(batch_id)]


def release_and_say(url: str, batch_id: str, started: Path, said: Path) -> None:
    """Release a batch and write the result; for several processes at once."""
    store = StagingStore(url)
    started.touch()
    try:
        said.write_text(str(release.release(store, batch_id, "Eva Öberg", REASON, LATER)))
    except StagingError as error:
        said.write_text(str(error))


def release_when_told(url: str, batch_id: str, ready: Path, go: Path) -> None:
    """Release a batch, and wait with its commit until a file is there."""
    store = StagingStore(url)

    def hold(_connection: object) -> None:
        if not ready.exists():
            ready.touch()
            _wait(go)

    sa.event.listen(store.engine, "commit", hold)
    release.release(store, batch_id, "Eva Öberg", REASON, LATER)


def begin_anew_and_say(url: str, batch_id: str, started: Path, said: Path) -> None:
    """Open a migration again with other texts, and write the result."""
    store = StagingStore(url)
    started.touch()
    try:
        verified(store, batch_id, POSTS, text="Orsak: ändrad")
        said.write_text("begun anew")
    except StagingError as error:
        said.write_text(f"{type(error).__name__}: {error}")


def stage_when_told(url: str, batch_id: str, ready: Path, go: Path, said: Path) -> None:
    """Stage a migration's posts with other texts, wait before the last of them for a file, and write the result."""

    def held() -> Iterator[batches.Chunk]:
        *first, last = batches.chunks(POSTS, 10, text="Orsak: ändrad")
        yield from first
        ready.touch()
        _wait(go)
        yield last

    try:
        StagingStore(url).stage_partition(batch_id, None, None, held())
        said.write_text("staged")
    except StagingError as error:
        said.write_text(f"{type(error).__name__}: {error}")


def _wait(file: Path) -> None:
    until = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < until, f"{file} never came"
        time.sleep(0.02)


def release_and_halt(url: str, batch_id: str, before: str, ready: Path) -> None:
    """Release a batch and wait for ever before a statement, the commit or the end; for a process to be killed."""
    store = StagingStore(url)

    def halt(*_: object) -> None:
        ready.touch()
        time.sleep(600)

    def halt_at(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if re.match(before, statement):
            halt()

    if before == "commit":
        sa.event.listen(store.engine, "commit", halt)
    else:
        sa.event.listen(store.engine, "before_cursor_execute", halt_at)
    release.release(store, batch_id, "Eva Öberg", REASON, LATER)
    halt()
