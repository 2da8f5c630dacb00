"""PMO's waiting list: counted, divided into partitions, read, and written as a snapshot.

The plan's count is used only to divide the work. A partition is counted and read in one transaction that sees one
state of the database, in the order of its keys, a chunk at a time. arrow-odbc fetches whole columns into buffers of
fixed width and refuses a text that does not fit; such a chunk is read once more with larger buffers. If arrow-odbc
cannot read some rows at all, the whole partition is read again row by row with pyodbc, which accepts any text. Both
ways select the same texts and use ``contract.to_posts``, so the result is the same. Only one chunk is in memory: a
database that streams its result gets one statement per partition, any other gets one per chunk.
"""

import logging
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyodbc  # type: ignore[import-not-found]  # mypy does not find its stub
from upath import UPath

from waitlist.columns import forms
from waitlist.exceptions import SourceError
from waitlist.schema import POSTS, PostIds
from waitlist.settings import Settings
from waitlist.source.pmo.connection import BulkReadError, Dialect, OdbcSource, TextTooLongError
from waitlist.source.pmo.contract import BOOKING_DATES, KINDS, NAMED_IDS, ValueFaults, check_columns, to_posts
from waitlist.source.pmo.pace import Pace
from waitlist.source.pmo.query import FILE_NAME, KEY_MAX, Scope, Selection, SourceQuery, Statement
from waitlist.source.pmo.reading import OCTETS, Reading, Row, Way, bulk_options, by_column, by_row
from waitlist.source.snapshot import Partition, SnapshotPart, write_part

log: Final = logging.getLogger(__name__)

_WIDER: Final = 4
"""The factor by which the text buffers grow at each try."""
_WIDEST_BYTES: Final = 2**20
"""The largest buffer for a text; a longer text makes the partition be read row by row. Each column has a buffer."""
_LONG_TEXTS: Final = 3
"""Long texts in a partition after which its rest is read with large buffers: each long text costs another query."""
_READ_TRIES: Final = 3
_SEARCHED: Final = 500
"""Keys in one statement: every database binds at least a thousand values."""
_FLAG_TYPES: Final = {"bit": bool, "boolean": bool}
"""Column types that psqlODBC describes as text, and the type of their values."""
_PROBED_POSTS: Final = 1_000
_BUCKETS: Final = 100
"""Buckets that a partition is counted in; the sizes of partitions differ by at most one bucket."""


Ask: TypeAlias = Callable[[Statement], list[Row]]


class ReadAgainError(SourceError):
    """PMO changed while a partition was read, and cannot be read in one transaction: read the partition again."""


@dataclass(frozen=True)
class _Shape:
    """How this source's columns are selected."""

    dialect: Dialect
    by_column: str
    by_row: str
    typed_dates: tuple[str, ...]


@dataclass(frozen=True)
class _Counted:
    """A partition as its transaction sees it."""

    scope: Scope
    posts: int


class PmoSource:
    """PMO behind one ODBC connection string.

    Args:
        connection_string: ODBC connection string with the login; options that a known driver needs are added.
        settings: the folder of the query file, and the sizes of partitions and chunks.
        pace: how fast and at what hours PMO may be read; from the settings if it is None.

    Raises:
        SourceError: the query file is missing or at fault.
    """

    def __init__(self, connection_string: str, settings: Settings, *, pace: Pace | None = None) -> None:
        self._settings = settings
        self._pace = pace or Pace(settings.pmo_read_window, settings.pmo_posts_per_second)
        self._query = SourceQuery.load(settings.sql_dir)
        self._odbc = OdbcSource(connection_string, self._query, settings.connections)

    def log_in(self) -> None:
        """Log in, and ask nothing.

        Raises:
            SourceError: PMO cannot be reached, or refuses the login.
        """
        with self._odbc.rows():
            pass

    def count(self, selection: Selection) -> int:
        """Count the posts of a selection in PMO.

        Raises:
            SourceError: PMO cannot be read.
        """
        with self._odbc.rows() as connection:
            return self._counted(_asking(connection), selection, self._odbc.dialect(connection)).posts

    def plan(self, selection: Selection) -> list[Partition]:
        """Divide all keys into partitions of about ``partition_posts`` posts, of about the same size.

        Returns:
            At least one partition; the first begins at the lowest key, the last ends at the highest.

        Raises:
            SchemaDriftError: the query does not return the contract's columns.
            SourceError: PMO cannot be read, is empty, or has posts whose key is empty or not unique.
            WindowClosedError: PMO may not be read at this hour.
        """
        self._pace.begin()
        with self._odbc.rows() as connection:
            shape = self._check(connection, selection)
            return self._cut(connection, selection, shape.dialect)

    def read(self, selection: Selection, partition: Partition) -> Iterator[pa.Table]:
        """Read a partition chunk by chunk, whole columns at a time, once.

        Yields:
            Tables of schema ``POSTS`` with ``chunk_posts`` rows, in the order of ``post_id``; the last one has the
            remaining rows. After a value that breaks the contract no more tables follow; the rest is only checked.

        Raises:
            SchemaDriftError: columns or values break the contract.
            BulkReadError, ReadAgainError: the tables so far are incomplete; ``extract`` reads the partition again.
            SourceError: PMO cannot be read, or the driver dropped posts.
            WindowClosedError: PMO may not be read at this hour, or the window closed during the read.
        """
        with self._opened(selection, partition, by_column) as (_, tables):
            yield from tables

    def extract(self, selection: Selection, partition: Partition, folder: UPath) -> SnapshotPart:
        """Read a partition into a snapshot file; if reading fails, no file remains.

        Raises:
            SchemaDriftError, SourceError, WindowClosedError: as ``read``.
            SnapshotError: the folder cannot be written to.
        """
        way, tries = by_column, 1
        while True:
            try:
                with self._opened(selection, partition, way) as (counted, tables):
                    return write_part(folder, partition, tables, counted=counted)
            except BulkReadError as error:
                log.info("partition %s: read again row by row, %s", partition.number, error)
                way = by_row
            except ReadAgainError:
                if tries == _READ_TRIES:
                    raise
                log.info("partition %s: PMO changed while it was read, which begins again", partition.number)
                tries += 1

    def search(self, selection: Selection, post_ids: PostIds) -> tuple[PostIds, PostIds]:
        """Look for posts at every unit, as of the selection's date.

        Args:
            selection: the as-of date; its units are ignored.
            post_ids: keys, sorted.

        Returns:
            The keys that PMO has, and those that it does not have, each sorted.

        Raises:
            SourceError: PMO cannot be read.
            WindowClosedError: PMO may not be read at this hour.
        """
        self._pace.begin()
        found: list[int | None] = []
        with self._odbc.rows() as connection:
            as_text = self._odbc.dialect(connection).as_text
            for begin in range(0, len(post_ids), _SEARCHED):
                some = post_ids[begin : begin + _SEARCHED].tolist()
                among = self._query.among(Scope(selection.as_of), some, as_text)
                found += [_key(row[0]) for row in _fetch(connection, among)]
        there = np.isin(post_ids, [post_id for post_id in found if post_id is not None])
        return post_ids[there], post_ids[~there]

    def bulk_read(
        self, selection: Selection, partitions: Sequence[Partition]
    ) -> tuple[str, list[Statement], dict[str, Any]]:
        """Return what arrow-odbc needs to read partitions by itself, for measuring or explaining the reading.

        Returns:
            The connection string; a statement per partition; the options of ``read_arrow_batches``.

        Raises:
            SchemaDriftError, SourceError: as ``plan``.
        """
        with self._odbc.rows() as connection:
            shape = self._check(connection, selection)
            whole = self._counted(_asking(connection), selection, shape.dialect).scope
        scopes = (replace(whole, lower=partition.lower, upper=partition.upper) for partition in partitions)
        statements = [self._query.select(scope, shape.by_column) for scope in scopes]
        options = bulk_options(shape.dialect, self._settings.chunk_posts, self._settings.max_text_bytes)
        return self._odbc.connection_string, statements, options

    def _counted(
        self, ask: Ask, selection: Selection, dialect: Dialect, lower: int | None = None, upper: int | None = None
    ) -> _Counted:
        """Count the posts of a range of keys, and find how PMO writes the HSA-ids of the selected units."""
        scope = Scope(selection.as_of, lower, upper, unit=dialect.unit)
        if selection.units is None:
            ((posts,),) = ask(self._query.count(scope, dialect.as_text))
            return _Counted(scope, int(posts or 0))
        found = {
            written: int(posts or 0)
            for written, posts in ask(self._query.units(scope, dialect.as_text))
            if written is not None and forms.hsa_id(_letters(written, dialect)) in selection.units
        }
        return _Counted(replace(scope, units=tuple(sorted(found))), sum(found.values()))

    def _nothing(self, connection: pyodbc.Connection, selection: Selection, dialect: Dialect) -> SourceError:
        every = self._counted(_asking(connection), Selection(selection.as_of), dialect).posts
        if every and selection.units:
            return SourceError(
                f"PMO has {every} posts as of {selection.as_of}, but none in the units selected "
                f"({', '.join(selection.units)}): check the HSA-ids against PMO's"
            )
        return SourceError(
            f"PMO has no posts as of {selection.as_of}: check the as-of date, the database that the connection "
            f"`pmo` names, what its login may see, and the query {self._query.path}"
        )

    def _cut(self, connection: pyodbc.Connection, selection: Selection, dialect: Dialect) -> list[Partition]:
        most = self._settings.partition_posts
        size = -(-most // _BUCKETS)
        scope = Scope(selection.as_of)
        if selection.units is not None:
            scope = self._counted(_asking(connection), selection, dialect).scope
        if scope.units == ():
            raise self._nothing(connection, selection, dialect)
        buckets = [
            (int(posts), _key(first), int(empty or 0), int(repeated or 0))
            for posts, first, empty, repeated in _fetch(connection, self._query.cut(scope, size, dialect.as_text))
        ]
        if not buckets:
            raise self._nothing(connection, selection, dialect)
        faults = []
        if empty := sum(bucket[2] for bucket in buckets):
            faults.append(f"{empty} posts have no post_id")
        elif any(bucket[1] is None for bucket in buckets):
            faults.append("a post_id is no whole number")
        if repeated := sum(bucket[3] for bucket in buckets):
            faults.append(f"{repeated} posts have another's post_id: {self._repeated(connection, scope, dialect)}")
        if faults:
            raise SourceError(
                f"PMO's query {self._query.path} does not give each post a key of its own: "
                f"{'; '.join(faults)}: correct the query (a join that finds several rows?)"
            )
        partitions = -(-sum(bucket[0] for bucket in buckets) // most)
        together = -(-len(buckets) // partitions)
        groups = [buckets[start : start + together] for start in range(0, len(buckets), together)]
        bounds = [None, *(group[0][1] for group in groups[1:]), None]
        return [
            Partition(number, bounds[number], bounds[number + 1], sum(bucket[0] for bucket in group))
            for number, group in enumerate(groups)
        ]

    def _repeated(self, connection: pyodbc.Connection, scope: Scope, dialect: Dialect) -> str:
        repeated = self._query.repeated(scope, dialect.as_text)
        with closing(connection.cursor()) as cursor:
            rows = cursor.execute(repeated.sql, *repeated.parameters).fetchmany(NAMED_IDS + 1)
        return ", ".join([str(row[0]) for row in rows[:NAMED_IDS]] + ["..."] * (len(rows) > NAMED_IDS))

    def _check(self, connection: pyodbc.Connection, selection: Selection) -> _Shape:
        """Check the query's columns against the contract, and decide how each is selected."""
        dialect = self._odbc.dialect(connection)
        scope = Scope(selection.as_of)
        nothing = self._query.describe(scope)
        with closing(connection.cursor()) as cursor:
            cursor.execute(nothing.sql, *nothing.parameters)
            types = {column[0]: column[1] for column in cursor.description}
            names = [column[0] for column in cursor.description]
        found: dict[str, set[Any]] = {name: {type_} for name, type_ in types.items()}
        known = [name for name in POSTS.names if name in types]
        if dialect.types_in_values:
            probe = self._query.probe(scope, known, _PROBED_POSTS)
            columns = zip(*_fetch(connection, probe), strict=True)
            found = {name: set(values) - {"null"} for name, values in zip(known, columns, strict=False)}
        flags = [name for name in known if KINDS[name] == "0/1" and types[name] is str]
        if dialect.type_of and flags:
            (row,) = _fetch(connection, self._query.types(scope, flags, dialect.type_of))
            found |= {name: {_FLAG_TYPES.get(type_, str)} for name, type_ in zip(flags, row, strict=True)}
        check_columns(names, found, types_in_values=dialect.types_in_values, query=FILE_NAME)
        texts = {name for name in POSTS.names if types[name] is str and KINDS[name] != "0/1"}
        return _Shape(
            dialect,
            by_column=_columns(dialect, texts),
            by_row=_columns(dialect, texts) if dialect.hex is None else _hex_columns(dialect.hex),
            typed_dates=()
            if dialect.types_in_values
            else tuple(name for name in BOOKING_DATES if types[name] is not str),
        )

    @contextmanager
    def _opened(self, selection: Selection, partition: Partition, way: Way) -> Iterator[tuple[int, Iterator[pa.Table]]]:
        """Start to read a partition; yield the number of posts counted in it, and its tables."""
        self._pace.begin()
        with self._odbc.rows() as connection:
            shape = self._check(connection, selection)
        if shape.dialect.by_row and way is by_column:
            log.info("partition %s: read row by row, %s", partition.number, shape.dialect.by_row)
            way = by_row
        with way(self._odbc, shape.dialect, self._settings.chunk_posts) as reading:

            def count() -> _Counted:
                return self._counted(reading.ask, selection, shape.dialect, partition.lower, partition.upper)

            counted = count()
            chunks = (
                self._by_column(reading, counted.scope, shape, partition)
                if way is by_column
                else self._by_row(reading, counted.scope, shape)
            )
            with closing(chunks), closing(self._tables(chunks, counted.posts, shape, partition, count)) as tables:
                yield counted.posts, tables

    def _tables(
        self,
        chunks: Iterable[pa.Table],
        counted: int,
        shape: _Shape,
        partition: Partition,
        count: Callable[[], _Counted],
    ) -> Generator[pa.Table, None, None]:
        faults = ValueFaults(FILE_NAME)
        posts = 0
        for chunk in chunks:
            posts += chunk.num_rows
            table = to_posts(chunk, shape.typed_dates, faults)
            if table is not None:
                yield table
            if posts < counted:
                self._pace.took(chunk.num_rows)
        faults.stop()
        counts = f"partition {partition.number} (post_id {_range(partition)}): {counted} posts were counted"
        if not shape.dialect.begin and not posts == counted == count().posts:
            raise ReadAgainError(
                f"{counts}, {posts} were read: PMO changed while it was read, and reading it again did not help: "
                "rerun when less is written in PMO, or let the database see one state (docs/data-contract.md)"
            )
        if posts != counted:
            raise SourceError(
                f"{counts} and {posts} read in one transaction: the driver dropped posts, or the query does not give "
                "the same posts each time: correct it, and rerun"
            )

    def _by_column(
        self, reading: Reading, scope: Scope, shape: _Shape, partition: Partition
    ) -> Generator[pa.Table, None, None]:
        """Yield a partition's chunks; a chunk with a long text is read again with larger buffers."""
        text_bytes = self._settings.max_text_bytes
        wider, long_texts = 1, 0
        while _has_more(scope):
            rows = 0
            once = wider > 1 and (shape.dialect.page is not None or long_texts < _LONG_TEXTS)
            chunks = reading.chunks(self._statement(scope, shape.by_column, shape.dialect), wider * text_bytes)
            try:
                with closing(chunks):
                    for chunk in islice(chunks, 1 if once else None):
                        yield chunk
                        rows, scope = chunk.num_rows, replace(scope, lower=_next_key(chunk))
            except TextTooLongError as error:
                if wider * text_bytes >= _WIDEST_BYTES:
                    raise
                log.info("partition %s, from post_id %s: more room, %s", partition.number, scope.lower, error)
                long_texts += wider == 1
                wider *= _WIDER
                continue
            if rows < self._settings.chunk_posts:
                return
            if once or shape.dialect.page is not None:
                wider = 1

    def _by_row(self, reading: Reading, scope: Scope, shape: _Shape) -> Generator[pa.Table, None, None]:
        while _has_more(scope):
            rows = 0
            statement = self._statement(scope, shape.by_row, shape.dialect)
            with closing(reading.chunks(statement, self._settings.max_text_bytes)) as chunks:
                for chunk in chunks:
                    yield chunk
                    rows, scope = chunk.num_rows, replace(scope, lower=_next_key(chunk))
            if rows < self._settings.chunk_posts:
                return

    def _statement(self, scope: Scope, columns: str, dialect: Dialect) -> Statement:
        page = (dialect.page or "").replace("{}", str(self._settings.chunk_posts))
        return self._query.select(scope, columns, page)


def _fetch(connection: pyodbc.Connection, statement: Statement) -> list[pyodbc.Row]:
    with closing(connection.cursor()) as cursor:
        rows: list[pyodbc.Row] = cursor.execute(statement.sql, *statement.parameters).fetchall()
    return rows


def _asking(connection: pyodbc.Connection) -> Ask:
    return lambda statement: [tuple(row) for row in _fetch(connection, statement)]


def _columns(dialect: Dialect, texts: Collection[str]) -> str:
    """Return SQL of the contract's columns: texts unchanged, all others converted to text."""
    columns = [
        f"q.{name}" if name in texts else f"{dialect.as_text.replace('{}', f'q.{name}')} AS {name}"
        for name in POSTS.names
    ]
    if dialect.octets:
        octets = " + ".join(f"COALESCE({dialect.octets.replace('{}', f'q.{name}')}, 0)" for name in POSTS.names)
        columns.append(f"{dialect.as_text.replace('{}', octets)} AS {OCTETS}")
    return ", ".join(columns)


def _hex_columns(hex_: str) -> str:
    return ", ".join(f"{hex_.replace('{}', f'q.{name}')} AS {name}" for name in POSTS.names)


def _letters(text: str, dialect: Dialect) -> str:
    """Return a unit's HSA-id as PMO writes it; bytes that are not UTF-8 become U+FFFD, which no HSA-id has."""
    return bytes.fromhex(text).decode(errors="replace") if dialect.hex else text


def _has_more(scope: Scope) -> bool:
    return scope.units != () and (scope.lower is None or scope.lower <= KEY_MAX)


def _key(value: object) -> int | None:
    try:
        return int(Decimal(str(value)))
    except ArithmeticError:
        return None


def _next_key(chunk: pa.Table) -> int:
    """Return the next key to read; beyond every key if the last one is not a number, a fault that is found later."""
    last = _key(chunk.column("post_id")[-1].as_py())
    return KEY_MAX + 1 if last is None else last + 1


def _range(partition: Partition) -> str:
    lowest = "the lowest" if partition.lower is None else partition.lower
    highest = "the highest" if partition.upper is None else partition.upper - 1
    return f"{lowest} to {highest}"
