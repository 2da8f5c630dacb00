"""The closing ledger: every post that a wave left behind must get an outcome.

The view ``closing_ledger`` decides which posts these are, and whether each has an outcome, so that a page, a closing
and somebody with SQL count the same posts. People give most outcomes (``staging.post_outcomes``). The nightly run gives
two: a later batch has released the post, or PMO has closed it. It takes them back when they are no longer true.
"""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from waitlist.judge.rules import Disposition
from waitlist.staging import PIPELINE, BatchState, schema
from waitlist.staging.database import Database, refusals_named
from waitlist.staging.dry_runs import DryRun
from waitlist.staging.post_outcomes import Entry, add_all, current, read_of_posts
from waitlist.staging.states import PostOutcome

OWES_NOTHING: Final = (Disposition.MIGRATE, Disposition.ALREADY_RELEASED, Disposition.LEAVE)
"""Dispositions of posts that need no outcome: released here, released before, or nobody waits."""
REJECTED: Final = "rejected"
"""Why a post is in the ledger that was released; any other reason is a disposition."""

_BY_PIPELINE: Final = frozenset({PostOutcome.RELEASED_LATER, PostOutcome.CLOSED_IN_PMO})
# SQL Server takes 2,100 values in a statement.
_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Line:
    """The ledger of a unit in a batch."""

    batch_id: str
    wave: str | None
    unit: str
    """HSA-id; empty for posts of no known unit."""
    posts: int
    """Posts that must get an outcome."""
    missing: int
    """Of these, posts without one."""
    rejected: int
    """Of the posts, those that the receiver rejected."""
    rejected_missing: int


@dataclass(frozen=True, slots=True)
class Owed:
    """A post that must get an outcome."""

    post_id: int
    why: str
    """A disposition, or ``REJECTED``."""
    boka_fore: dt.date | None
    has_outcome: bool
    since: dt.datetime | None
    """The moment since which an outcome counts: of a rejected post that of its release; None for any moment."""


@dataclass(frozen=True, slots=True)
class Closing:
    """One row of ``wave_closing``."""

    wave: str
    closing_no: int
    at: dt.datetime
    actor: str
    reason: str | None
    """Why it was closed although something was missing."""
    details: Mapping[str, Any]
    """Counts of posts, and ``batches``."""

    @property
    def batches(self) -> tuple[str, ...]:
        """The batches that were released then."""
        return tuple(self.details["batches"])


@dataclass(frozen=True, slots=True)
class Outside:
    """Posts that wait at a unit that is in no wave."""

    unit: str
    posts: int


@dataclass(frozen=True, slots=True)
class Noted:
    """What a nightly run wrote into the ledger."""

    released_later: int = 0
    closed_in_pmo: int = 0
    undone: int = 0
    """Outcomes of earlier nights that are no longer true."""


def keep_posts(connection: sa.Connection, batch_id: str) -> None:
    """Store the posts that a batch leaves behind, in the transaction that releases it."""
    post, table = schema.disposition.c, schema.ledger_post
    unit = sa.func.coalesce(post.enhet_hsa_id, "")
    posts = sa.select(post.batch_id, post.post_id, unit, post.disposition, post.boka_fore)
    owed = post.disposition.not_in([disposition.value for disposition in OWES_NOTHING])
    posts = posts.where(post.batch_id == batch_id, owed)
    connection.execute(table.insert().from_select([column.name for column in table.columns], posts))


def count_of_wave(wave: str) -> sa.Select[Any]:
    """Return the query that proves how many posts of a wave have an outcome, by unit.

    The page of the wave shows it, so it is written for readers: with the wave's name and without anything else.
    """
    table = schema.closing_ledger.c
    return _counts().where(table.wave == wave)


def as_text(query: sa.Select[Any], connection: sa.Connection) -> str:
    """Return a query as SQL that somebody can run on the same database, values included."""
    # Without the driver's way to write values, which doubles a percent sign.
    made: type[Any] = type(connection.dialect)
    dialect: sa.Dialect = made(paramstyle="named")
    shown = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    text = str(shown)
    return text if schema.schema_of(connection.engine) else text.replace(f"{schema.SCHEMA}.", "")


def read_lines(connection: sa.Connection, *, wave: str | None = None, batch_id: str | None = None) -> tuple[Line, ...]:
    """Return the ledger by unit, by their ids; of every wave, of one wave, or of one batch.

    Args:
        connection: of the staging database.
        wave: the wave.
        batch_id: the batch.
    """
    table = schema.closing_ledger.c
    query = _counts() if wave is None else count_of_wave(wave)
    if batch_id is not None:
        query = query.where(table.batch_id == batch_id)
    found = (Line(*row[:3], *map(int, row[3:])) for row in connection.execute(query))
    return tuple(sorted(found, key=lambda line: (line.unit, line.batch_id)))


def read_owed(connection: sa.Connection, unit: str, also: int | None = None) -> dict[int, Owed]:
    """Return the posts of a unit that have no outcome, by post id; those of closed waves are left out.

    Args:
        connection: of the staging database.
        unit: HSA-id; empty for posts of no known unit.
        also: a post that is returned with an outcome too.
    """
    table = schema.closing_ledger.c
    found = _read_owed(connection, table.enhet_hsa_id == unit, sa.or_(table.has_outcome == 0, table.post_id == also))
    return {owed.post_id: owed for _, owed in found}


def read_every_owed(connection: sa.Connection) -> dict[str, dict[int, Owed]]:
    """Return what ``read_owed`` returns, of every unit with such posts, by unit."""
    found: dict[str, dict[int, Owed]] = {}
    for unit, owed in _read_owed(connection, schema.closing_ledger.c.has_outcome == 0):
        found.setdefault(unit, {})[owed.post_id] = owed
    return found


def is_missing(connection: sa.Connection) -> bool:
    """Return whether a post has no outcome in a wave that is not closed."""
    return bool(count_missing(connection))


def count_missing(connection: sa.Connection) -> dict[str | None, int]:
    """Return how many posts of each wave that is not closed have no outcome; waves without such posts are left out."""
    found = Counter[str | None]()
    for line in read_lines(connection):
        found[line.wave] += line.missing
    closed = read_closed(connection) if found else {}
    missing = sorted(found.items(), key=lambda wave: wave[0] or "")
    return {wave: posts for wave, posts in missing if posts and wave not in closed}


def read_closed(connection: sa.Connection) -> dict[str, Closing]:
    """Return the waves that are closed.

    A closing is of the batches that were released then. A later release or withdrawal opens the ledger again.
    """
    table, released = schema.wave_closing, released_batches(connection)
    found: dict[str, Closing] = {}
    for row in connection.execute(sa.select(table).order_by(table.c.wave, table.c.closing_no)).mappings():
        found[row["wave"]] = Closing(**row)
    return {wave: closing for wave, closing in found.items() if set(closing.batches) == set(released.get(wave, ()))}


def released_batches(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    """Return the batches of each wave that are released now, by their ids."""
    batch = schema.batch.c
    query = sa.select(batch.wave, batch.batch_id).where(
        batch.state == BatchState.RELEASED.value, batch.wave.is_not(None)
    )
    found: dict[str, tuple[str, ...]] = {}
    for wave, batch_id in connection.execute(query.order_by(batch.batch_id)):
        found[wave] = (*found.get(wave, ()), batch_id)
    return found


def outside(counts: Mapping[str, Mapping[str, int]], waves: Mapping[str, str | None]) -> tuple[Outside, ...]:
    """Return how many posts wait at units of no wave, the most first: the ledger of no wave has them.

    Args:
        counts: the posts of a dry run by unit and disposition.
        waves: the wave of each unit in ``units.csv``.
    """
    found = []
    for unit, by_disposition in counts.items():
        posts = sum(posts for name, posts in by_disposition.items() if Disposition(name) not in OWES_NOTHING)
        if posts and waves.get(unit) is None:
            found.append(Outside(unit, posts))
    return tuple(sorted(found, key=lambda line: (-line.posts, line.unit)))


def note_outcomes(database: Database, run: DryRun, now: dt.datetime) -> Noted:
    """Write the outcomes that a nightly run sees, and undo those of earlier nights that are no longer true.

    A post that a later batch has released is ``released_later``. One that no longer waits in PMO is ``closed_in_pmo``:
    only a run over every unit can say so, and only about batches that were released before it began.

    Args:
        database: the staging database.
        run: the latest verified dry run.
        now: the moment, aware.

    Raises:
        StagingError: the database refused, or somebody wrote about the same post at the same moment; nothing was
            written, and a rerun writes it.
    """
    with refusals_named("writing outcomes of posts"), database.writing() as connection:
        owed = _owed(connection)
        later = _left_and_released(connection) | _released_elsewhere(connection, owed)
        closed = _closed(connection, owed, run) - later
        false = _no_longer_true(connection, run)
        entries = _entries(connection, run.batch_id, now, later=later, closed=closed, false=false)
        add_all(connection, entries)
    said = Counter(entry.outcome for entry in entries)
    return Noted(said[PostOutcome.RELEASED_LATER], said[PostOutcome.CLOSED_IN_PMO], said[PostOutcome.UNDONE])


_Key = tuple[int, str]
"""Post and unit."""


def _read_owed(connection: sa.Connection, *which: sa.ColumnElement[bool]) -> list[tuple[str, Owed]]:
    """Return some posts of the ledger with their units; those without outcome of closed waves are left out."""
    table = schema.closing_ledger.c
    names = ("enhet_hsa_id", "post_id", "why", "boka_fore", "has_outcome", "since", "wave")
    rows = connection.execute(sa.select(*(table[name] for name in names)).where(*which)).all()
    closed = read_closed(connection) if rows else {}
    return [
        (row.enhet_hsa_id, Owed(row.post_id, row.why, row.boka_fore, bool(row.has_outcome), row.since))
        for row in rows
        if row.has_outcome or row.wave not in closed
    ]


def _counts() -> sa.Select[Any]:
    table = schema.closing_ledger.c
    missing, rejected = 1 - table.has_outcome, sa.case((table.why == REJECTED, 1), else_=0)
    key = (table.batch_id, table.wave, table.enhet_hsa_id)
    return sa.select(
        *key,
        sa.func.count().label("posts"),
        sa.func.sum(missing).label("missing"),
        sa.func.sum(rejected).label("rejected"),
        # A database looks for the outcome of a post where it is named: here of rejected ones alone.
        sa.func.sum(sa.case((table.why == REJECTED, missing), else_=0)).label("rejected_missing"),
    ).group_by(*key)


def _left_and_released(connection: sa.Connection) -> set[_Key]:
    """Return the posts that a batch left behind and a later one has released, with an outcome or without.

    The ledger of a unit is that of its latest batch. So a post of an earlier one is looked up by itself.
    """
    post, released = schema.ledger_post.c, schema.released_post.c
    batch = schema.batch.c
    moments = sa.select(batch.batch_id, batch.released_at).where(batch.state == BatchState.RELEASED.value)
    released_at = {row.batch_id: row.released_at for row in connection.execute(moments)}
    query = sa.select(
        post.post_id, post.enhet_hsa_id, post.batch_id.label("left_by"), released.batch_id.label("released_by")
    ).join_from(schema.ledger_post, schema.released_post, released.post_id == post.post_id)
    return {
        (row.post_id, row.enhet_hsa_id)
        for row in connection.execute(query)
        if row.left_by in released_at
        and row.released_by in released_at
        and released_at[row.left_by] < released_at[row.released_by]
    }


def _owed(connection: sa.Connection) -> list[tuple[_Key, str]]:
    """Return the posts of the ledger without outcome, each with its batch."""
    table = schema.closing_ledger.c
    query = sa.select(table.post_id, table.enhet_hsa_id, table.batch_id).where(table.has_outcome == 0)
    return [((post_id, unit), batch_id) for post_id, unit, batch_id in connection.execute(query)]


def _released_elsewhere(connection: sa.Connection, owed: Sequence[tuple[_Key, str]]) -> set[_Key]:
    """Return those of some posts that another batch has released."""
    released, batch = schema.released_post.c, schema.batch.c
    found: dict[int, str] = {}
    for some in _some(sorted({post_id for (post_id, _), _ in owed})):
        query = (
            sa.select(released.post_id, released.batch_id)
            .join(schema.batch, batch.batch_id == released.batch_id)
            .where(released.post_id.in_(some), batch.state == BatchState.RELEASED.value)
        )
        found.update((row.post_id, row.batch_id) for row in connection.execute(query))
    return {key for key, batch_id in owed if found.get(key[0], batch_id) != batch_id}


def _closed(connection: sa.Connection, owed: Sequence[tuple[_Key, str]], run: DryRun) -> set[_Key]:
    """Return those of some posts that a run over every unit did not find waiting in PMO."""
    if run.units is not None:
        return set()
    batch, post = schema.batch.c, schema.disposition.c
    before = sa.select(batch.batch_id).where(batch.as_of <= run.as_of, batch.released_at < run.started_at)
    seen_since = set(connection.scalars(before))
    there: set[int] = set()
    for some in _some(sorted({post_id for (post_id, _), _ in owed})):
        query = sa.select(post.post_id).where(_waits_in(run), post.post_id.in_(some))
        there |= set(connection.scalars(query))
    return {key for key, batch_id in owed if batch_id in seen_since and key[0] not in there}


def _waits_in(run: DryRun) -> sa.ColumnElement[bool]:
    """Return the condition that a run found somebody waiting: PMO closes a post also by saying that nobody waits."""
    post = schema.disposition.c
    return sa.and_(post.batch_id == run.batch_id, post.disposition != Disposition.LEAVE.value)


def _no_longer_true(connection: sa.Connection, run: DryRun) -> set[_Key]:
    """Return the posts about which the pipeline has said what is not true any more."""
    told, released, found, batch = schema.post_outcome.c, schema.released_post, schema.disposition, schema.batch
    in_use = sa.exists().where(
        released.c.post_id == told.post_id,
        batch.c.batch_id == released.c.batch_id,
        batch.c.state == BatchState.RELEASED.value,
    )
    there = sa.exists().where(_waits_in(run), found.c.post_id == told.post_id)
    wrong = sa.or_(
        sa.and_(told.outcome == PostOutcome.RELEASED_LATER.value, ~in_use),
        sa.and_(told.outcome == PostOutcome.CLOSED_IN_PMO.value, there),
    )
    query = sa.select(told.post_id, told.enhet_hsa_id).distinct().where(told.actor == PIPELINE, wrong)
    return {(row.post_id, row.enhet_hsa_id) for row in connection.execute(query)}


def _entries(
    connection: sa.Connection,
    batch_id: str,
    now: dt.datetime,
    *,
    later: Collection[_Key],
    closed: Collection[_Key],
    false: Collection[_Key],
) -> list[Entry]:
    """Return the rows to add, each with the next number of its post."""
    wanted = sorted({*later, *closed, *false})
    before = _read(connection, sorted({post_id for post_id, _ in wanted}))
    last = {post_id: max((entry.entry_no for entry in rows), default=0) for post_id, rows in before.items()}
    entries = []

    def add(key: _Key, outcome: PostOutcome, undoes: int | None = None) -> None:
        post_id, unit = key
        last[post_id] = last.get(post_id, 0) + 1
        entries.append(Entry(post_id, last[post_id], unit, batch_id, now, PIPELINE, outcome, undoes))

    for key in wanted:
        holds = current(entry for entry in before.get(key[0], ()) if entry.unit == key[1]).outcome
        if key in false and holds is not None and holds.outcome in _BY_PIPELINE and holds.actor == PIPELINE:
            add(key, PostOutcome.UNDONE, holds.entry_no)
            holds = None
        if holds is None and key in later:
            add(key, PostOutcome.RELEASED_LATER)
        elif holds is None and key in closed:
            add(key, PostOutcome.CLOSED_IN_PMO)
    return entries


def _read(connection: sa.Connection, post_ids: Sequence[int]) -> dict[int, tuple[Entry, ...]]:
    found: dict[int, tuple[Entry, ...]] = {}
    for some in _some(post_ids):
        found |= read_of_posts(connection, some)
    return found


def _some(values: Sequence[int]) -> Iterable[Sequence[int]]:
    return (values[first : first + _AT_ONCE] for first in range(0, len(values), _AT_ONCE))
