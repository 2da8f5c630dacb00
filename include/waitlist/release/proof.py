"""What an approval binds, and the proof that a released batch is still what was approved.

The audit trail stores an approval with the hash of the booking requests and with a digest of everything else that the
approver was shown: dispositions, findings, counts, suites and gates, and the list of the files that persons' names
are read from. The database's guards refuse changes of all of them. The proof detects a change that was made in spite
of the guards.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from waitlist.exceptions import ReconciliationError, RefusedError
from waitlist.facts.gates import Gate
from waitlist.release.gates import GateResult, read_gates
from waitlist.release.receipts.holding import count_free, free_posts
from waitlist.staging import Batch, BatchState, Event, EventName, StagingStore, schema
from waitlist.staging.database import Database, Read, refusals_named
from waitlist.staging.digest import ContentDigest
from waitlist.staging.events import read_events
from waitlist.staging.queries import read_sql
from waitlist.staging.reconcile import find_changed_requests
from waitlist.staging.row_hash import lines_of_rows

GATES: Final = schema.gate_result.name
SOFTWARE: Final = "software"
"""In the details of a release: the version of the software that released."""
SAMPLE: Final = "sample"
"""In the details of a release: what the gate ``sample`` measured then."""

_NAMED: Final = 20
_HASHED_KEY: Final = pa.schema({"post_id": pa.int64(), "row_hash": pa.string()})
_BOUND: Final = (
    schema.batch_file,
    schema.batch_partition,
    schema.disposition,
    schema.finding,
    schema.released_change,
    schema.unit_summary,
    schema.quality_result,
)
# An approval by an earlier release has no such column. The column names a line of batch_file, which is bound.
_NOT_BOUND: Final = schema.batch_partition.c.part_sha256.name
# Compared as text, not as the JSON that it contains.
_TEXTS: Final = frozenset({schema.batch_file.c.about.name})
_OPENED: Final = ("kind", "wave", "as_of", "rules_version")


@dataclass(frozen=True, slots=True)
class Rows:
    """The number and the hash of booking requests, as an approval binds them."""

    posts: int
    rows_hash: str
    """Hex SHA-256 over ``post_id``, U+001F, ``row_hash``, line feed of each, by ``post_id``."""


@dataclass(frozen=True, slots=True)
class Approved:
    """Everything that an approval binds."""

    rows: Rows
    contents: Mapping[str, str] = field(default_factory=dict)
    """A digest by table; empty for an approval by an earlier release."""
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The columns by table that the digests cover: a later release may have more."""


def approved(connection: sa.Connection, batch_id: str) -> Approved:
    """Return what the last approval request bound.

    Raises:
        RefusedError: the audit trail has no such entry.
    """
    asked = last_event(read_events(connection, batch_id), EventName.AWAITING_APPROVAL)
    if asked is None:
        raise RefusedError(f"batch {batch_id}: its audit trail has no entry that approval was asked for")
    details = asked.details
    rows = Rows(details["posts"], details["rows_hash"])
    return Approved(rows, details.get("contents", {}), details.get("columns", {}))


def read_rows(read: Read, source: sa.FromClause, batch_id: str) -> Rows:
    """Return a batch's booking requests, from their table or from what a query shows."""
    digest, posts = hashlib.sha256(), 0
    query = sa.select(source.c.post_id, source.c.row_hash).where(source.c.batch_id == batch_id)
    for table in read(query.order_by(source.c.post_id), _HASHED_KEY):
        digest.update(lines_of_rows(table["post_id"].to_pylist(), table["row_hash"].to_pylist()))
        posts += table.num_rows
    return Rows(posts, digest.hexdigest())


def bound_columns() -> dict[str, list[str]]:
    """Return the columns by table that an approval binds now, except requests and gates."""
    return {table.name: schema.arrow_rows(table, but=_NOT_BOUND).names for table in _BOUND}


def read_contents(
    database: Database, read: Read, batch_id: str, columns: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Return a digest of a batch's rows in every table that an approval binds, except requests and gates.

    Args:
        database: the staging database.
        read: a reader of that database.
        batch_id: the batch.
        columns: the columns that the approval bound, by table; of a table that is missing here, all present columns.
    """
    found = {}
    for table in _BOUND:
        form = schema.arrow_rows(table, but=_NOT_BOUND)
        form = pa.schema([form.field(name) for name in columns.get(table.name, form.names)])
        read_as = [table.c[name] for name in form.names]
        written = [sa.type_coerce(column, sa.Unicode) if column.name in _TEXTS else column for column in read_as]
        query = sa.select(*written).where(table.c.batch_id == batch_id)
        digest = ContentDigest()
        for rows in read(query.order_by(*_key_order(database, table)), form):
            if rows.num_rows:
                digest.update(table.name, rows)
        found[table.name] = digest.hexdigest()
    return found


def bound_gates(gates: Iterable[GateResult]) -> list[GateResult]:
    """Return the gates that an approval request binds: people go on comparing the sample until the answer."""
    return [result for result in gates if result.gate is not Gate.SAMPLE]


def gates_digest(gates: Iterable[GateResult]) -> str:
    """Return a digest of the gates' results that an approval request binds."""
    lines = [[gate.gate.value, gate.measured, gate.threshold, gate.passed] for gate in bound_gates(gates)]
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def differing(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Name the tables whose digests differ; a table that only one side has is not compared."""
    return [name for name, digest in found.items() if wanted.get(name, digest) != digest]


def changed_requests(store: StagingStore, read: Read, batch_id: str) -> list[int]:
    """Return the posts whose stored booking request no longer matches its ``row_hash``."""
    version = store.batch(batch_id).row_hash_version
    changed = find_changed_requests(store.database, read, batch_id, version)
    return [int(post) for found in changed for post in found]


def find_posts(store: StagingStore, connection: sa.Connection, what: str, batch_id: str) -> list[int]:
    """Run ``sql/staging/find_<what>.sql`` on a batch."""
    statement = sa.text(read_sql(f"find_{what}", store.database.schema)).bindparams(batch_id=batch_id)
    return [int(post) for post in connection.scalars(statement)]


def shown_or_free(batch_id: str) -> sa.FromClause:
    """Return the booking requests of a released batch that the view shows, and those whose posts have been freed."""
    columns = ("batch_id", "post_id", "row_hash")
    view, request, freed = schema.bokningsbegaran_released.c, schema.bokningsbegaran, free_posts(batch_id).subquery()
    shown = sa.select(*(view[name] for name in columns)).where(view.batch_id == batch_id)
    same = sa.and_(request.c.post_id == freed.c.post_id, request.c.row_hash == freed.c.row_hash)
    free = sa.select(*(request.c[name] for name in columns)).join_from(request, freed, same)
    return shown.union_all(free.where(request.c.batch_id == batch_id)).subquery()


def verify_released(store: StagingStore, batch_id: str) -> int:
    """Prove that the view shows exactly what was approved, and no post twice; return the number of posts in it.

    A post that a lead has freed is not in the view; the proof adds it to what the view shows. Everything else that the
    approver was shown, the batch and its audit trail must be unchanged too.

    Raises:
        ReconciliationError: with every check that failed, with counts and post ids.
        RefusedError: the batch is unknown, not released, or retention has removed its rows.
    """
    with refusals_named(f"verifying the release of batch {batch_id}"), store.database.connected() as connection:
        batch = store.batch(batch_id)
        if batch.state is not BatchState.RELEASED:
            raise RefusedError(f"batch {batch_id} is {plain(batch.state)}: only a released one can be verified")
        trail = read_events(connection, batch_id)
        if purged := last_event(trail, EventName.PURGED):
            raise RefusedError(
                f"batch {batch_id}: retention removed its rows on {purged.at:%Y-%m-%d}, so they cannot be verified"
            )
        wanted = approved(connection, batch_id)
        unlike = find_posts(store, connection, "shown_unlike_released", batch_id)
        twice = find_posts(store, connection, "shown_twice", batch_id)
        results = read_gates(connection, batch_id)
        gates = gates_digest(results)
        free = count_free(connection, batch_id)
        with store.database.reading() as read:
            changed = changed_requests(store, read, batch_id)
            shown = read_rows(read, shown_or_free(batch_id), batch_id)
            contents = {**read_contents(store.database, read, batch_id, wanted.columns), GATES: gates}
    checks = {
        "posts that differ between the view and released_post": unlike,
        "posts that another released batch shows too": twice,
        "booking requests that do not match their row_hash": changed,
    }
    faults = [f"{check}: {len(posts)}: {named(posts)}" for check, posts in checks.items() if posts]
    if shown != wanted.rows:
        faults.append(f"approved were {wanted.rows.posts} posts, shown are {shown.posts}, and their hashes differ")
    faults += [f"rows of {name} are not what approval was asked for" for name in differing(contents, wanted.contents)]
    faults += _trail_faults(batch, trail)
    faults += _sample_faults(results, trail)
    if faults:
        raise ReconciliationError("\n  ".join([f"batch {batch_id}: the view is not what was approved:", *faults]))
    return shown.posts - free


def provable(store: StagingStore) -> list[str]:
    """Return the released batches whose rows retention has not removed, by their ids."""
    table, told = schema.batch.c, schema.batch_event.c
    purged = sa.exists().where(told.batch_id == table.batch_id, told.event == EventName.PURGED.value)
    query = sa.select(table.batch_id).where(table.state == BatchState.RELEASED.value, ~purged).order_by(table.batch_id)
    with refusals_named("reading released batches"), store.database.connected() as connection:
        return list(connection.scalars(query))


def named(posts: Sequence[int]) -> str:
    """Return the first of some posts for a message, and how many more there are."""
    more = f" and {len(posts) - _NAMED} more" if len(posts) > _NAMED else ""
    return f"post_id {', '.join(str(post) for post in posts[:_NAMED])}{more}"


def plain(state: BatchState | EventName) -> str:
    """Return a state or an event as words for a sentence."""
    return state.value.replace("_", " ")


def _sample_faults(gates: Iterable[GateResult], trail: Sequence[Event]) -> list[str]:
    """Name the gate of the sample where it is not what the release measured."""
    released = last_event(trail, EventName.RELEASED)
    told = (released.details if released else {}).get(SAMPLE)
    wanted = [] if told is None else [float(told["missing"])]
    found = [result.measured for result in gates if result.gate is Gate.SAMPLE]
    return [] if found == wanted else ["the gate of the sample is not what was measured at the release"]


def _trail_faults(batch: Batch, trail: Sequence[Event]) -> list[str]:
    """Name the facts in which a released batch and its audit trail differ."""
    faults = []
    if [event.event_no for event in trail] != list(range(1, len(trail) + 1)):
        faults.append("entries of its audit trail are missing")
    begun = [event.details for event in trail if event.event is EventName.OPEN and "rules_version" in event.details]
    opened = {"kind": batch.kind.value, "wave": batch.wave, "as_of": batch.as_of.isoformat()}
    opened |= {"rules_version": batch.rules_version}
    if not begun or any(begun[-1].get(name) != opened[name] for name in _OPENED):
        faults.append("its audit trail has another opening")
    verified = last_event(trail, EventName.VERIFIED)
    counts = {"posts": batch.posts_extracted, "staged": batch.posts_staged}
    if verified is None or any(verified.details.get(name) != count for name, count in counts.items()):
        faults.append("its audit trail has other counts")
    asked, released = last_event(trail, EventName.AWAITING_APPROVAL), last_event(trail, EventName.RELEASED)
    if (
        asked is None
        or released is None
        or released.details["rows_hash"] != asked.details["rows_hash"]
        or (batch.approved_by, batch.approved_at, batch.released_at) != (released.actor, released.at, released.at)
    ):
        faults.append("its audit trail has another approval")
    return faults


def last_event(trail: Sequence[Event], name: EventName) -> Event | None:
    """Return the last entry of an event in a batch's audit trail."""
    return next((event for event in reversed(trail) if event.event is name), None)


def _key_order(database: Database, table: sa.Table) -> list[sa.ColumnElement[Any]]:
    """Return a table's key columns, ordered in a way that does not depend on the database's collation."""
    binary = database.dialect == "postgresql"
    return [
        sa.collate(column, "C") if binary and isinstance(column.type, sa.Unicode) else column
        for column in table.primary_key.columns
        if column.name != "batch_id"
    ]
