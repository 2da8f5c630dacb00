"""``CHANGED_SINCE_RELEASE``: posts that were changed or closed in PMO after their release to Millennium.

Between freeze and go-live a unit still works in PMO. Its changes there are not transferred to Millennium. So every
later run compares each released booking request with the one that its post would give now, and reports the names of
the columns that differ, never their values. Staff correct Millennium by hand.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from waitlist.columns.forms import formed, hsa_id
from waitlist.judge import booking_request
from waitlist.judge.persons import Persons
from waitlist.judge.posts import Posts, RuleContext
from waitlist.judge.request_columns import COLUMNS, NAMES
from waitlist.judge.rules import OF_PERSONS, RULES, Code, Severity, severity
from waitlist.schema import POSTS, PostIds
from waitlist.staging import StagingStore, schema
from waitlist.staging.database import refusals_named
from waitlist.staging.held import read_held_numbers, row_of
from waitlist.staging.loading import KeyRange

CODE: Final = "CHANGED_SINCE_RELEASE"
"""The public name of the report."""

CHANGED: Final = "changed"
"""The post gives another booking request now, or no booking request, or is at another unit."""
GONE: Final = "gone"
"""The post is no longer on the waiting list: closed in PMO, or removed."""

SCHEMA: Final = pa.schema(
    [
        pa.field("post_id", pa.int64(), nullable=False),
        pa.field("change", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("columns", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    ]
)
"""One row per post that differs, in the order of ``post_id``; ``columns`` as in the table ``released_change``."""

PERSONS: Final = tuple(sorted(code.value for code in (*OF_PERSONS, Code.PROTECTED_IDENTITY)))
"""Among the changed columns, what the person service says of a patient since the release: a rule that blocks, or a new
mark of protection. Such a post comes first."""

UNIT: Final = "enhet"
"""The name among the changed columns of a post that has moved to another unit."""

Search = Callable[[PostIds], tuple[PostIds, PostIds]]
"""Takes posts that a run over some units has not read; returns those that PMO still has, and those that are gone."""

_RELEASED: Final = pa.schema(
    [
        *(booking_request.SCHEMA.field(name) for name in ("post_id", *NAMES)),
        pa.field("enhet_hsa_id", pa.string()),
        pa.field("row_hash_version", pa.int32()),
    ]
)
_INSERTED_AT_A_TIME: Final = 5_000


@dataclass(frozen=True, slots=True)
class ReadRange:
    """Keys ``[lower, upper)`` (None: an open end), and the posts that the run read in that range, in chunks.

    The tables have the columns of ``schema.POSTS``, in the order of ``post_id``.
    """

    lower: int | None
    upper: int | None
    posts: Iterable[pa.Table]
    persons: Persons | None = None
    """What the person service answered about the posts' persons; None where it is not to be asked."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of released posts that differ."""

    changed: int
    gone: int


def compare(
    posts: pa.Table,
    released: pa.Table,
    context: RuleContext,
    units: frozenset[str] | None,
    persons: Persons | None = None,
) -> pa.Table:
    """Compare released booking requests with those that their posts would give now, with any disposition.

    Args:
        posts: the posts read in a range of keys, with the columns of ``schema.POSTS``, in the order of ``post_id``.
        released: some of the requests released in that range, in the order of ``post_id``: the columns of
            ``booking_request.SCHEMA`` but for ``row_hash``, the unit ``enhet_hsa_id`` and the ``row_hash_version``.
        context: as-of date, mappings and rule settings of the run.
        units: HSA-ids that the run read, None for all. A released post of another unit does not count as missing.
        persons: what the person service answered; None where it is not to be asked.

    Returns:
        A table of ``SCHEMA``. A column also counts as changed if the post no longer gives a usable value for it. The
        columns include ``vantar_pa_besok`` if the post gives no request because no patient waits any more, ``nybesok``
        if it has become a first visit, and ``enhet`` if it has moved to another unit.
    """
    stays = pc.is_in(released["post_id"], posts["post_id"].combine_chunks())
    before = released.filter(stays)
    read = Posts(posts.filter(pc.is_in(posts["post_id"], before["post_id"].combine_chunks())), context, persons=persons)
    now = booking_request.build(read, np.ones(len(read), dtype=np.bool_))
    # A released request has the columns of its version of the hash; a later column is not a change in PMO.
    version = before["row_hash_version"]
    differs = {
        column.name: pc.and_(_differs(before[column.name], now[column.name]), pc.greater_equal(version, column.since))
        for column in COLUMNS
    }
    differs["vantar_pa_besok"] = pa.chunked_array([pa.array(~read.waits)])
    differs["nybesok"] = pa.chunked_array([pa.array(read.flag("nybesok"))])
    differs[UNIT] = _moved(before["enhet_hsa_id"], read.column("enhet_hsa_id"))
    if persons is not None:
        differs |= _of_persons(read, before, now)
    changed = _changed_posts(before["post_id"], differs)
    missing = released.filter(pc.invert(stays))
    if units is not None:
        # Requests that an earlier version of this project released are compared as they were written then.
        unit = formed(missing["enhet_hsa_id"].combine_chunks(), hsa_id)
        missing = missing.filter(pc.is_in(unit, pa.array(sorted(units), pa.string())))
    gone = _change_table(missing["post_id"], GONE, pa.repeat("", missing.num_rows))
    return pa.concat_tables([changed, gone]).unify_dictionaries().sort_by("post_id")


def find_changes(
    store: StagingStore,
    ranges: Iterable[ReadRange],
    context: RuleContext,
    units: tuple[str, ...] | None,
    search: Search,
) -> Iterator[pa.Table]:
    """Compare all requests released up to the as-of date with the posts that a run read.

    The memory depends neither on the number of ranges nor on the number of requests. A batch whose rows retention has
    removed is no longer compared.

    Args:
        store: the staging database.
        ranges: the posts that the run read; together the ranges cover every key.
        context: as-of date, mappings and rule settings of the run.
        units: HSA-ids that the run read, None for all.
        search: looks in PMO for posts that a run over some units has not read.

    Yields:
        Tables of ``SCHEMA``, without empty ones.

    Raises:
        StagingError: the database refused.
    """
    chosen = None if units is None else frozenset(units)
    with refusals_named("reading released booking requests"), store.database.reading() as read:
        numbers = read_held_numbers(read)
        for read_range in ranges:
            if not len(store.released_post_ids(read_range.lower, read_range.upper)):
                continue
            for keys, posts in _divided(read_range):
                for released in read(_released(keys, context.as_of, numbers), _RELEASED):
                    found = compare(posts, released, context, chosen, read_range.persons)
                    if chosen is not None:
                        found = _searched(found, search)
                    if found.num_rows:
                        yield found


def replace_changes(store: StagingStore, batch_id: str, found: Iterable[pa.Table]) -> Counts:
    """Replace a batch's report in one transaction.

    Args:
        store: the staging database.
        batch_id: the batch that the run writes.
        found: tables of ``SCHEMA``; all are read before the transaction begins, about 16 bytes per row.

    Raises:
        StagingError: the batch is unknown or immutable, or the database refused. Errors of ``found`` are passed on.
    """
    tables = [SCHEMA.empty_table(), *found]
    table = schema.released_change
    with store.changing("storing the changes since release of batch", batch_id) as (connection, _):
        connection.execute(table.delete().where(table.c.batch_id == batch_id))
        for rows in chain.from_iterable(part.to_batches(max_chunksize=_INSERTED_AT_A_TIME) for part in tables):
            if rows.num_rows:
                connection.execute(table.insert(), [{"batch_id": batch_id, **row} for row in rows.to_pylist()])
    changed, gone = (
        sum(pc.sum(pc.equal(pc.cast(part["change"], pa.string()), kind)).as_py() or 0 for part in tables)
        for kind in (CHANGED, GONE)
    )
    return Counts(changed, gone)


def has_person(columns: str) -> bool:
    """Tell whether the changed columns of a post have something of ``PERSONS``."""
    return not set(columns.split(", ")).isdisjoint(PERSONS)


def find_persons(store: StagingStore, batch_id: str) -> set[int]:
    """Return the released posts of whose patients the person service says something new in a batch.

    Raises:
        StagingError: the database refused.
    """
    table = schema.released_change.c
    query = sa.select(table.post_id, table.columns).where(table.batch_id == batch_id, table.change == CHANGED)
    with refusals_named(f"changes of batch {batch_id}"), store.database.connected() as connection:
        return {row.post_id for row in connection.execute(query) if has_person(row.columns)}


def _of_persons(read: Posts, before: pa.Table, now: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return where a rule of the person service blocks a released post, and where its mark of protection is new."""
    blocks = (code for code in OF_PERSONS if severity(RULES[code], read) is Severity.BLOCKS)
    fired = {code.value: pa.chunked_array([pa.array(RULES[code].predicate(read))]) for code in blocks}
    protected = pc.and_(pc.fill_null(now["sekretess"], True), pc.invert(pc.fill_null(before["sekretess"], False)))
    return {**fired, Code.PROTECTED_IDENTITY.value: protected}


def _searched(found: pa.Table, search: Search) -> pa.Table:
    """Decide which of the missing posts have moved to a unit that was not read, and which are gone."""
    is_gone = pc.equal(pc.cast(found["change"], pa.string()), GONE)
    missed = found.filter(is_gone)["post_id"].to_numpy()
    if not len(missed):
        return found
    moved, gone = (pa.chunked_array([pa.array(ids, pa.int64())]) for ids in search(missed))
    tables = [
        found.filter(pc.invert(is_gone)),
        _change_table(moved, CHANGED, pa.repeat(UNIT, len(moved))),
        _change_table(gone, GONE, pa.repeat("", len(gone))),
    ]
    return pa.concat_tables(tables).unify_dictionaries().sort_by("post_id")


def _moved(before: pa.ChunkedArray, now: pa.Array) -> pa.ChunkedArray:
    """Return where a post's unit is not the one that it was released at."""
    # An earlier release of this project kept HSA-ids as they were written.
    released_at = formed(before.combine_chunks(), hsa_id)
    return pa.chunked_array(
        [pc.and_(pc.is_valid(released_at), pc.invert(pc.fill_null(pc.equal(released_at, now), False)))]
    )


def _divided(read: ReadRange) -> Iterator[tuple[KeyRange, pa.Table]]:
    """Divide a range after the last key of each table; the range after the last table has no posts."""
    lower = read.lower
    for table in read.posts:
        upper = table["post_id"][-1].as_py() + 1
        yield KeyRange(lower, upper), table
        lower = upper
    if lower is None or lower != read.upper:
        yield KeyRange(lower, read.upper), POSTS.empty_table()


def _released(keys: KeyRange, as_of: dt.date, numbers: Sequence[int]) -> sa.Select[tuple[object, ...]]:
    """Return a statement that selects the requests released in a range; ``numbers`` as ``held_numbers`` returns them.

    Batches as of a later day are left out: compared with older posts, their posts would look changed or gone.
    """
    post, batch, request, unit = schema.released_post, schema.batch, schema.bokningsbegaran_row, schema.disposition_row
    return (
        sa.select(post.c.post_id, *(request.c[name] for name in NAMES), unit.c.enhet_hsa_id, batch.c.row_hash_version)
        .join_from(post, batch, batch.c.batch_id == post.c.batch_id)
        .join(request, row_of(request, post.c.post_id, batch.c.batch_no, numbers))
        .join(unit, row_of(unit, post.c.post_id, batch.c.batch_no, numbers), isouter=True)
        .where(batch.c.as_of <= as_of, keys.holds(post.c.post_id))
        .order_by(post.c.post_id)
    )


def _differs(before: pa.ChunkedArray, now: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return where two columns differ; null and the empty text are equal, as in ``row_hash``."""
    if pa.types.is_string(before.type):
        before, now = pc.fill_null(before, ""), pc.fill_null(now, "")
    return pc.coalesce(pc.not_equal(before, now), pc.xor(pc.is_null(before), pc.is_null(now)))


def _changed_posts(post_ids: pa.ChunkedArray, differs: dict[str, pa.ChunkedArray]) -> pa.Table:
    names = sorted(differs)
    code = np.zeros(len(post_ids), dtype=np.int64)
    for place, name in enumerate(names):
        code |= differs[name].to_numpy().astype(np.int64) << place
    at = np.flatnonzero(code)
    codes, which = np.unique(code[at], return_inverse=True)
    changed = [", ".join(name for place, name in enumerate(names) if bits >> place & 1) for bits in codes.tolist()]
    columns = pc.take(pa.array(changed, pa.string()), pa.array(which))
    return _change_table(post_ids.take(pa.array(at)), CHANGED, columns)


def _change_table(post_ids: pa.ChunkedArray, change: str, columns: pa.Array) -> pa.Table:
    kinds = pa.repeat(change, len(post_ids)).dictionary_encode()
    return pa.table([post_ids, kinds, columns.dictionary_encode()], schema=SCHEMA)
