"""Small ready-made Arrow tables, as the assessment returns them, and batches staged from them."""

import datetime as dt
import functools
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy.sql import visitors

from tests.support.official_numbers import number
from tests.support.postgres import PostgresServer
from waitlist.judge.booking_request import row_hashes
from waitlist.judge.request_columns import COLUMNS
from waitlist.staging import StagingStore, chain, schema
from waitlist.staging.reconcile import PartitionEvidence, Reconciliation, reconcile

NOW = dt.datetime(2024, 10, 1, 22, 30, tzinfo=dt.UTC)
AS_OF = dt.date(2024, 10, 1)
GO_LIVE = dt.date(2024, 11, 4)
BEGIN = dt.date(2025, 1, 1)
"""The earliest Boka fr.o.m."""
UNITS = ("SE162321000000-DEMO1", "SE162321000000-DEMO2", None)
DISPOSITIONS = (
    "migrate", "migrate", "move_to_sdv_list", "fix_in_pmo", "migrate", "book_in_millennium", "leave", "handle_manually",
)  # fmt: skip
"""Of posts 0, 1, 2, ...; then from the beginning."""

_FIRST_BIRTH = dt.date(1990, 2, 1)
_BIRTHS = 3_900


@dataclass(frozen=True)
class Chunk:
    """The assessment of some posts."""

    dispositions: pa.Table
    findings: pa.Table
    bokningsbegaran: pa.Table


def person_id(of: int) -> str:
    """Return one of 7,800 official test persons as twelve digits."""
    born = _FIRST_BIRTH + dt.timedelta(days=of % _BIRTHS)
    return number(born, 238 + of // _BIRTHS % 2)


def disposition_of(post_id: int) -> str:
    """Return a post's disposition."""
    return DISPOSITIONS[post_id % len(DISPOSITIONS)]


def chunk(post_ids: Sequence[int], *, text: str = "Orsak: uppföljning åäö") -> Chunk:
    """Return dispositions, findings and booking requests of some posts, always the same for a post and a text."""
    migrating = [post_id for post_id in post_ids if disposition_of(post_id) == "migrate"]
    others = [post_id for post_id in post_ids if disposition_of(post_id) == "move_to_sdv_list"]
    window = [BEGIN + dt.timedelta(days=post_id % 200) for post_id in migrating]
    requests = pa.table(
        {
            "post_id": pa.array(migrating, pa.int64()),
            "person_id": pa.array([person_id(post_id) for post_id in migrating], pa.string()),
            "begard_plats": pa.array(["Vårdcentralen Demo"] * len(migrating), pa.string()),
            "patientnamn": pa.array([f"Test Testsson {post_id}" for post_id in migrating], pa.string()),
            "begart_startdatum": pa.array(window, pa.date32()),
            "begart_slutdatum": pa.array([day + dt.timedelta(days=30) for day in window], pa.date32()),
            "besokstyp": pa.array(["SDV Pv Ssk Återbesök (diabetes)"] * len(migrating), pa.string()),
            "vardinrattning": pa.array(["Demo"] * len(migrating), pa.string()),
            "beskrivning": pa.array([None if post_id % 7 == 0 else text for post_id in migrating], pa.string()),
            "sekretess": pa.array([post_id % 5 == 0 for post_id in migrating], pa.bool_()),
        }
    )
    for column in COLUMNS[len(requests.column_names) - 1 :]:
        requests = requests.append_column(column.name, pa.nulls(len(migrating), column.type))
    findings = [(post_id, "CATEGORY_NOT_MOVED", "blocks", "SDV Pv Ssk Återbesök (diabetes)") for post_id in others]
    findings += [(post_id, "PROTECTED_IDENTITY", "info", None) for post_id in migrating if post_id % 5 == 0]
    columns = zip(*sorted(findings), strict=True) if findings else ([], [], [], [])
    types = (pa.int64(), pa.string(), pa.string(), pa.string())
    return Chunk(
        dispositions=pa.table(
            {
                "post_id": pa.array(post_ids, pa.int64()),
                "enhet_hsa_id": pa.array([UNITS[post_id % 3] for post_id in post_ids], pa.string()),
                "kategori": pa.array(["Diabetes"] * len(post_ids), pa.string()),
                "disposition": pa.array([disposition_of(post_id) for post_id in post_ids], pa.string()),
                "recommended_list": pa.array(
                    ["SDV Pv Ssk Återbesök (diabetes)" if post_id in others else None for post_id in post_ids],
                    pa.string(),
                ),
                "driftstart": pa.array([GO_LIVE if post_id % 3 == 0 else None for post_id in post_ids], pa.date32()),
                "boka_from": pa.array(
                    [None if post_id % 11 == 0 else BEGIN + dt.timedelta(days=post_id % 200) for post_id in post_ids],
                    pa.date32(),
                ),
                "boka_fore": pa.array(
                    [BEGIN + dt.timedelta(days=post_id % 200 + 30) for post_id in post_ids], pa.date32()
                ),
            }
        ),
        findings=pa.table(
            dict(
                zip(
                    ("post_id", "rule", "severity", "detail"),
                    (pa.array(column, form) for column, form in zip(columns, types, strict=True)),
                    strict=True,
                )
            )
        ),
        bokningsbegaran=requests.append_column("row_hash", row_hashes(requests)),
    )


def chunks(post_ids: Sequence[int], size: int = 40, *, text: str = "Orsak: uppföljning åäö") -> Iterator[Chunk]:
    """Yield the posts' chunks, ``size`` posts at a time."""
    for start in range(0, len(post_ids), size):
        yield chunk(post_ids[start : start + size], text=text)


def open_batch(store: StagingStore, batch_id: str = "natt-1", **told: object) -> None:
    """Open a dry-run batch."""
    known = {
        "dag_id": "waitlist_dry_run",
        "run_id": f"manual__{batch_id}",
        "kind": "dry_run",
        "wave": None,
        "as_of": AS_OF,
        "rules_version": "0" * 64,
        "started_at": NOW,
    }
    store.open_batch(batch_id, **{**known, **told})


PARTITIONS: tuple[tuple[int | None, int | None, range], ...] = (
    (None, 100, range(1, 100)),
    (100, 200, range(100, 200)),
    (200, None, range(200, 260)),
)
"""The partitions of the ready-made batch, and the posts in each."""
POSTS = sum(len(posts) for _, _, posts in PARTITIONS)


def stage_all(store: StagingStore, batch_id: str = "natt-1") -> None:
    """Open the ready-made batch and stage its partitions."""
    open_batch(store, batch_id)
    for lower, upper, posts in PARTITIONS:
        store.stage_partition(batch_id, lower, upper, chunks(posts))
    store.mark_staged(batch_id)


def evidence() -> list[PartitionEvidence]:
    """Return the evidence of the steps before the load about the ready-made batch."""
    return [
        PartitionEvidence(
            lower,
            upper,
            len(posts),
            post_ids=lambda posts=posts: iter([np.array(posts, np.int64)]),
            row_hashes=lambda posts=posts: (part.bokningsbegaran for part in chunks(posts, 30)),
        )
        for lower, upper, posts in PARTITIONS
    ]


def reconcile_all(store: StagingStore, batch_id: str = "natt-1") -> Reconciliation:
    """Reconcile the ready-made batch."""
    return reconcile(store, batch_id, source_posts=POSTS, evidence=evidence(), now=NOW)


def empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    """Return a migrated and empty staging database of the kind that the fixture's parameter names."""
    if request.param == "postgresql":
        store = _of_process(request.getfixturevalue("postgres"))
        _fill(store, {})
        return store
    return migrated_file(tmp_path / "staging.sqlite")


def store_of_its_own(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    """Return a migrated staging database of the kind that the fixture's parameter names, which a test may spoil."""
    return store_of_kind(request, tmp_path, request.param)


def store_of_kind(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> StagingStore:
    """Return the same of a kind that is named."""
    if database == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        return StagingStore(server.libpq(server.copy_database(_migrated_database(server))))
    return migrated_file(tmp_path / "staging.sqlite")


def migrated_file(path: Path) -> StagingStore:
    """Return a migrated and empty staging database in a new file: a copy, since migrating takes far longer."""
    path.write_bytes(_migrated())
    path.chmod(0o600)
    return StagingStore(f"sqlite:///{path}")


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        StagingStore(f"sqlite:///{folder}/staging.sqlite").migrate()
        return Path(folder, "staging.sqlite").read_bytes()


@functools.cache
def _migrated_database(server: PostgresServer) -> str:
    name = server.create_database()
    StagingStore(server.libpq(name)).migrate()
    return name


@functools.cache
def _of_process(server: PostgresServer) -> StagingStore:
    # Emptying a database is far quicker than making one, and a connection that stays open than one for each statement.
    return StagingStore(server.libpq(server.copy_database(_migrated_database(server))), pooled=True)


Contents = Mapping[str, Sequence[Mapping[str, Any]]]


def _fill(store: StagingStore, contents: Contents) -> None:
    tables = schema.METADATA.sorted_tables
    numbers = {row["batch_id"]: number for number, row in enumerate(contents.get("batch", ()), 1)}
    with unguarded(store) as connection:
        if connection.dialect.name == "postgresql":
            # One message to the server instead of one for each table.
            dropped = f"SELECT {schema.SCHEMA}.drop_parts(batch_id) FROM {schema.SCHEMA}.batch"
            deleted = (f"DELETE FROM {table.fullname}" for table in reversed(tables))
            thawed = f"UPDATE {schema.SCHEMA}.batch SET state = 'open'"
            made = (f"SELECT {schema.SCHEMA}.new_part({number}, NULL, NULL)" for number in numbers.values())
            connection.exec_driver_sql("; ".join((thawed, dropped, *deleted, *made)))
        else:
            for table in reversed(tables):
                connection.execute(table.delete())
        for table in (table for table in schema.READ if table not in schema.AUDIT):
            if contents.get(table.name):
                added = contents[table.name]
                if table is schema.batch:
                    added = [{**row, "batch_no": numbers[row["batch_id"]]} for row in added]
                connection.execute(table.insert(), added)


@functools.cache
def _contents_after(step: Callable[[StagingStore, str], None], batch_id: str) -> Contents:
    with tempfile.TemporaryDirectory() as folder:
        store = migrated_file(Path(folder, "staging.sqlite"))
        step(store, batch_id)
        return {table.name: rows(store, table) for table in schema.READ}


def put_staged(store: StagingStore) -> None:
    """Bring a store into the state after ``stage_all``, without its steps."""
    _fill(store, _contents_after(stage_all, "natt-1"))


def put_verified(store: StagingStore, *batch_ids: str) -> None:
    """Bring a store into the state after ``verified`` for each batch, without its steps."""
    made = [_contents_after(verified, batch_id) for batch_id in batch_ids or ("natt-1",)]
    _fill(store, {name: [row for content in made for row in content[name]] for name in made[0]})


def verified_contents(batch_id: str = "natt-1") -> Contents:
    """Return every row that there is after ``verified``."""
    return _contents_after(verified, batch_id)


def rows(store: StagingStore, table: sa.Table) -> list[dict[str, Any]]:
    """Return a table's rows in key order."""
    with store.engine.connect() as connection:
        return _rows_in_key_order(connection, table)


def _rows_in_key_order(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    # The number follows from the order in which batches are opened, and nothing follows from it.
    columns = (column for column in table.columns if column.name != "batch_no")
    query = sa.select(*columns).order_by(*table.primary_key.columns)
    return [dict(row) for row in connection.execute(query).mappings()]


def contents(store: StagingStore) -> Contents:
    """Return everything in the staging database except the times at which it was written."""
    with store.engine.connect() as connection:
        return {
            table.name: [
                {name: value for name, value in row.items() if not name.endswith("_at")}
                for row in _rows_in_key_order(connection, table)
            ]
            for table in schema.READ
            # The digests are of the times too.
            if table not in schema.AUDIT
        }


@sa.event.listens_for(sa.Engine, "before_execute", retval=True)
def _change_rows(
    connection: sa.Connection, statement: Any, many: list[dict[str, Any]], one: dict[str, Any], _options: object
) -> tuple[Any, list[dict[str, Any]], dict[str, Any]]:
    """Let a test change the row tables by the views on them, which nothing else does."""
    table = getattr(statement, "table", None)
    if not isinstance(statement, sa.Insert | sa.Update | sa.Delete) or table not in schema.ROWS_OF:
        return statement, many, one
    rows = schema.ROWS_OF[table]
    batch = schema.batch.c
    if isinstance(statement, sa.Insert):
        numbers = {row.batch_id: row.batch_no for row in connection.execute(sa.select(batch.batch_id, batch.batch_no))}
        of_statement = statement._multi_values[0] if statement._multi_values else [statement.compile().params]
        given = [*many, *([one] if one else [])] or [
            {getattr(column, "name", column): value for column, value in row.items()} for row in of_statement
        ]
        told = [{**row, "batch_no": numbers[row["batch_id"]]} for row in given]
        return rows.insert(), [_as_stored({name: row[name] for name in row if name != "batch_id"}) for row in told], {}
    if isinstance(statement, sa.Update):
        for column, told in (statement._values or {}).items():
            if getattr(column, "name", column) == "row_hash":
                stored = sa.literal(bytes.fromhex(told.value), rows.c.row_hash.type)
                statement = statement.values({column: stored})
    whose = sa.select(batch.batch_id).where(batch.batch_no == rows.c.batch_no).scalar_subquery()

    def of_rows(element: Any, **_: object) -> Any:
        if element is table:
            return rows
        if isinstance(element, sa.Column) and element.table is table:
            return whose if element.name == "batch_id" else rows.c[element.name]
        return None

    return visitors.replacement_traverse(statement, {}, of_rows), many, one


def _as_stored(row: dict[str, Any]) -> dict[str, Any]:
    return {name: bytes.fromhex(value) if name == "row_hash" else value for name, value in row.items()}


def execute(store: StagingStore, statement: sa.Executable) -> None:
    """Change the database behind the store's back, as its owner may, who can switch the guards off."""
    with unguarded(store) as connection:
        connection.execute(statement)


@contextmanager
def unguarded(store: StagingStore) -> Iterator[sa.Connection]:
    """Give a transaction in which the database's guards are switched off, and whose rows are in no link."""
    with store.database.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            yield connection
            unchained(connection)
            return
        made = drop_guards(connection)
        yield connection
        unchained(connection)
        # A guard goes with its table.
        tables = sa.inspect(connection).get_table_names()
        for table, guard in made:
            if table in tables:
                connection.exec_driver_sql(guard)


def unchained(connection: sa.Connection) -> None:
    """Leave what a transaction has added and removed out of the chains, as a statement in text would."""
    chain.pending_of(connection).rows.clear()


def drop_guards(connection: sa.Connection) -> list[tuple[str, str]]:
    """Drop the guards of a SQLite database; return the table of each and the statement that makes it again."""
    guards = connection.exec_driver_sql("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'").all()
    for name, *_ in guards:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    return [(table, made) for _, table, made in guards]


def set_state(store: StagingStore, state: str, batch_id: str = "natt-1") -> None:
    """Bring a batch into a state without its steps."""
    execute(store, schema.batch.update().where(schema.batch.c.batch_id == batch_id).values(state=state))


def stage_in_turn(url: str, posts: range, texts: Sequence[str], ready: Path) -> None:
    """Stage all posts as one partition with one text after the other, for ever; for a process to be killed."""
    store = StagingStore(url)
    while True:
        for text in texts:
            store.stage_partition("natt-1", None, None, chunks(posts, 500, text=text))
            ready.touch()


def stage_half(url: str, ready: Path) -> None:
    """Hand over some chunks of a partition, write a file, and never end; for a process to be killed."""
    lower, upper, posts = PARTITIONS[0]

    def halted() -> Iterator[Chunk]:
        yield from chunks(posts[:80], 20, text="Orsak: ändrad")
        ready.touch()
        time.sleep(600)

    StagingStore(url).stage_partition("natt-1", lower, upper, halted())


def stage_when_told(url: str, part: int, go: float) -> None:
    """Stage one partition of the ready-made batch from a moment on; for several processes at once."""
    lower, upper, posts = PARTITIONS[part]
    store = StagingStore(url)
    made = list(chunks(posts, 10))
    time.sleep(max(0.0, go - time.time()))
    store.stage_partition("natt-1", lower, upper, iter(made))


def migrate_when_told(url: str, go: float) -> None:
    """Migrate from a moment on; for several processes at once."""
    store = StagingStore(url)
    time.sleep(max(0.0, go - time.time()))
    store.migrate()


def pipe() -> tuple[Connection, Connection]:
    """Return the two ends of a pipe to one of ``in_processes``."""
    return multiprocessing.get_context("forkserver").Pipe()


def in_processes(*calls: tuple[Callable[..., None], tuple[Any, ...]]) -> list[BaseProcess]:
    """Start real processes, one a call; they share nothing with this one."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])
    started = [server.Process(target=target, args=arguments, daemon=True) for target, arguments in calls]
    # The server must find this module, or each process imports it again, which takes seconds.
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        for process in started:
            process.start()
    return started


def exit_codes(processes: Sequence[BaseProcess]) -> list[int | None]:
    """Wait for processes to end and return their exit codes."""
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def verified(store: StagingStore, batch_id: str = "natt-1") -> None:
    """Stage, reconcile and verify the ready-made batch."""
    stage_all(store, batch_id)
    reconcile_all(store, batch_id)
    store.mark_verified(batch_id, NOW)
