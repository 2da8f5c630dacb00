"""The staging schema: the migrations make exactly the tables that the code declares, in every database."""

import datetime as dt
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import mssql
from sqlalchemy.schema import BLANK_SCHEMA, CreateTable
from tests.support import batches

from waitlist import paths
from waitlist.exceptions import StagingError
from waitlist.release.receipts import store as receipts
from waitlist.release.receipts.rows import Receipt
from waitlist.release.receipts.words import Outcome, Word
from waitlist.staging import READABLE, BatchState, EventName, StagingStore, schema
from waitlist.staging.events import entry
from waitlist.staging.migrate import Standing, migrate, standing
from waitlist.staging.queries import read_sql


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, tmp_path: Path) -> StagingStore:
    if request.param == "sqlite":
        return StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}")
    server = request.getfixturevalue("postgres")
    return StagingStore(server.libpq(server.create_database()))


@pytest.fixture
def store(empty: StagingStore) -> StagingStore:
    empty.migrate()
    return empty


def test_migrations_make_exactly_the_tables_of_the_metadata(store: StagingStore) -> None:
    name = store.database.schema
    wanted = sa.MetaData(naming_convention=schema.METADATA.naming_convention)
    for table in schema.METADATA.sorted_tables:
        table.to_metadata(wanted, schema=name, referred_schema_fn=lambda *_: name or BLANK_SCHEMA)
    options = {
        "version_table": schema.VERSION_TABLE,
        "version_table_schema": name,
        "include_schemas": name is not None,
        "include_name": lambda found, kind, _: kind != "schema" or found == name,
        "compare_server_default": True,
    }
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), wanted) == []
        inspector = sa.inspect(connection)
        for table in schema.METADATA.sorted_tables:
            key = inspector.get_pk_constraint(table.name, schema=name)
            assert key["constrained_columns"] == [column.name for column in table.primary_key.columns]
            assert {constraint["name"] for constraint in inspector.get_check_constraints(table.name, schema=name)} == {
                constraint.name for constraint in wanted.tables[table.key if name else table.name].constraints
                if isinstance(constraint, sa.CheckConstraint)
            }  # fmt: skip


def test_row_tables_and_their_views_have_their_columns_in_the_order_that_is_declared(store: StagingStore) -> None:
    inspector = sa.inspect(store.engine)
    for table in (*schema.ROWS_OF, *schema.ROWS_OF.values(), schema.bokningsbegaran_released):
        found = [column["name"] for column in inspector.get_columns(table.name, schema=store.database.schema)]
        assert found == table.columns.keys(), table.name
    assert schema.disposition_row.columns.keys()[:5] == ["post_id", "batch_no", "driftstart", "boka_from", "boka_fore"]


def test_a_row_hash_is_stored_as_bytes_and_shown_as_its_hex_digits(store: StagingStore) -> None:
    batches.stage_all(store)
    made = [row for _, _, posts in batches.PARTITIONS for row in batches.chunk(posts).bokningsbegaran.to_pylist()]
    wanted = [row["row_hash"] for row in made]
    request, shown = schema.bokningsbegaran_row, schema.bokningsbegaran
    batches.execute(store, schema.released_post.insert().from_select(
        ["post_id", "batch_id", "row_hash", "released_at"],
        sa.select(shown.c.post_id, shown.c.batch_id, shown.c.row_hash, sa.literal(batches.NOW, schema.UtcDateTime)),
    ))  # fmt: skip
    batches.set_state(store, "released")
    with store.engine.connect() as connection:
        stored = connection.scalars(sa.select(request.c.row_hash).order_by(request.c.post_id)).all()
        assert [bytes(value).hex() for value in stored] == wanted
        for view in (shown, schema.bokningsbegaran_released):
            assert connection.scalars(sa.select(view.c.row_hash).order_by(view.c.post_id)).all() == wanted


def test_contract_tables_have_the_columns_that_others_rely_on(store: StagingStore) -> None:
    with store.engine.connect() as connection:
        inspector = sa.inspect(connection)
        found = {
            name: {column["name"] for column in inspector.get_columns(name, schema=store.database.schema)}
            for name in ("disposition", "finding", "unit_summary", "bokningsbegaran_released")
        }
    assert found["disposition"] == {
        "batch_id", "post_id", "enhet_hsa_id", "kategori", "disposition", "recommended_list", "driftstart",
        "boka_from", "boka_fore", "batch_no",
    }  # fmt: skip
    assert found["finding"] == {"batch_id", "post_id", "rule", "severity", "detail", "batch_no"}
    assert found["unit_summary"] == {"batch_id", "enhet_hsa_id", "disposition", "posts"}
    assert found["bokningsbegaran_released"] == {
        column.name for column in schema.bokningsbegaran.columns if column.name != "batch_no"
    }


def test_migrating_again_changes_nothing(store: StagingStore) -> None:
    batches.put_verified(store)
    before = batches.contents(store)
    store.migrate()
    assert batches.contents(store) == before


def test_batches_of_the_release_before_stay_readable_without_dates(empty: StagingStore) -> None:
    migrate(empty.database, "0002")
    verified = batches.verified_contents()
    made = {table.name: table.to_metadata(sa.MetaData()) for table in schema.READ}
    with empty.database.writing() as connection:
        inspector = sa.inspect(connection)
        for name in inspector.get_table_names(schema=empty.database.schema):
            columns = {column["name"] for column in inspector.get_columns(name, schema=empty.database.schema)}
            rows = [{key: row[key] for key in columns} for row in verified.get(name, ())]
            if rows:
                connection.execute(made[name].insert().inline(), rows)
        batches.unchained(connection)
    assert standing(empty.database) is Standing.OLDER
    empty.migrate()
    assert standing(empty.database) is Standing.CURRENT
    after = batches.contents(empty)["disposition"]
    assert after == [{**row, "boka_from": None, "boka_fore": None} for row in verified["disposition"]]
    assert empty.batch("natt-1").state in READABLE


OPENED = {"as_of": "2024-10-01", "kind": "dry_run"}
TRAILS: dict[str, tuple[list[dict[str, Any]], tuple[str, ...] | None, str | None]] = {
    "all": ([{**OPENED, "units": None, "reuse_snapshot": None}], None, None),
    "some": ([{**OPENED, "units": ["B-å", "A"]}, {"partition": "[, 100)", "posts": 3}], ("A", "B-å"), None),
    "fewer": ([{**OPENED, "units": ["A", "B"]}, {**OPENED, "units": ["B"]}], ("B",), None),
    "all-at-last": ([{**OPENED, "units": ["A"]}, {**OPENED, "units": None}], None, None),
    "replay": ([{**OPENED, "units": None, "reuse_snapshot": "all"}, {"partition": "[, )"}], None, "all"),
    "before-units-were-told": ([{}], None, None),
    "never-told": ([], None, None),
}
"""Details of a batch's entries ``open``, and the units and the replayed batch in them."""


def test_what_earlier_batches_were_opened_for_is_taken_from_their_audit_trails(empty: StagingStore) -> None:
    migrate(empty.database, "0003")
    row = {"dag_id": "d", "kind": "dry_run", "as_of": batches.AS_OF, "state": "verified", "rules_version": "0" * 64}
    columns = [sa.column(name) for name in (*row, "batch_id", "run_id", "started_at")]
    batch = sa.table("batch", *columns, schema=empty.database.schema)
    with empty.database.writing() as connection:
        for batch_id, (trail, _, _) in TRAILS.items():
            told = {"batch_id": batch_id, "run_id": batch_id, "started_at": batches.NOW.replace(tzinfo=None)}
            connection.execute(batch.insert().values(**row, **told))
            for details in trail:
                connection.execute(entry(batch_id, BatchState.OPEN, at=batches.NOW, details=details))
        batches.unchained(connection)
    before = batches.rows(empty, schema.batch_event)
    empty.migrate()
    found = {batch_id: empty.batch(batch_id) for batch_id in TRAILS}
    assert {name: (batch.units, batch.reuse_snapshot) for name, batch in found.items()} == {
        name: (units, replayed) for name, (_, units, replayed) in TRAILS.items()
    }
    assert batches.rows(empty, schema.batch_event) == before, "an entry was changed"
    with empty.database.writing() as connection:
        connection.execute(entry("all", EventName.KEPT, at=batches.NOW))
    assert empty.events("all")[-1].event is EventName.KEPT


def test_answers_of_before_count_their_words_and_the_next_word_replaces_them(empty: StagingStore) -> None:
    migrate(empty.database, "0016")
    word = Word("0" * 64, Outcome.ACCEPTED, batches.NOW, "m1")
    of_post = {"batch_id": "vecka-1", "post_id": 1}
    told = {"dag_id": "d", "run_id": "r", "kind": "migration", "as_of": batches.AS_OF, "rules_version": "0" * 64}
    moments = {"started_at": batches.NOW, "released_at": batches.NOW}
    with batches.unguarded(empty) as connection:
        connection.execute(schema.batch.insert().values(batch_id="vecka-1", state="released", **told, **moments))
        connection.execute(schema.followed_post.insert().values(**of_post, boka_fore=batches.AS_OF))
        row = {"receipt_key": word.key, "outcome": "accepted", "at": word.at, "millennium_id": "m1"}
        connection.execute(schema.receipt.insert().values(**of_post, **row, received_at=batches.NOW))
        answer = {"answer": "accepted", "at": word.at, "contradictions": "", "receipt_key": word.key}
        connection.execute(schema.post_answer.insert().values(**of_post, **answer))
    empty.migrate()
    assert [row["words"] for row in batches.rows(empty, schema.post_answer)] == [1]
    booked = Word("1" * 64, Outcome.BOOKED, batches.NOW + dt.timedelta(hours=1), "m1", batches.AS_OF)
    with empty.database.writing() as connection:
        receipts.keep(connection, [Receipt("vecka-1", 1, booked, None)], batches.NOW)
    assert [(row["answer"], row["words"]) for row in batches.rows(empty, schema.post_answer)] == [("booked", 2)]


def test_a_schema_is_distinguished_from_none_and_from_a_later_one(store: StagingStore, tmp_path: Path) -> None:
    assert standing(StagingStore(f"sqlite:///{tmp_path / 'none.sqlite'}").database) is Standing.NONE
    version = sa.table(schema.VERSION_TABLE, sa.column("version_num"), schema=store.database.schema)
    batches.execute(store, version.update().values(version_num="9999"))
    assert standing(store.database) is Standing.NEWER


def test_everything_is_in_the_schema_and_nothing_outside_it(postgres) -> None:
    store = StagingStore(postgres.libpq(postgres.create_database()))
    store.migrate()
    with store.engine.connect() as connection:
        inspector = sa.inspect(connection)
        assert schema.VERSION_TABLE in inspector.get_table_names(schema="millennium_staging")
        assert inspector.get_table_names(schema="public") == []


def test_database_of_a_later_release_is_refused(store: StagingStore) -> None:
    version = sa.table(schema.VERSION_TABLE, sa.column("version_num"), schema=store.database.schema)
    batches.execute(store, version.update().values(version_num="9999"))
    with pytest.raises(StagingError, match=r"revision 9999, which this release does not know"):
        store.migrate()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_that_migrate_at_once_do_not_disturb_each_other(kind: str, request, tmp_path: Path) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'staging.sqlite'}"
    else:
        postgres = request.getfixturevalue("postgres")
        url = postgres.libpq(postgres.create_database())
    go = time.time() + 0.5
    processes = batches.in_processes(*[(batches.migrate_when_told, (url, go))] * 3)
    assert batches.exit_codes(processes) == [0, 0, 0]
    batches.verified(StagingStore(url))


def test_sql_server_would_store_unicode_and_can_index_every_key() -> None:
    dialect = mssql.dialect()
    for table in schema.METADATA.sorted_tables:
        ddl = str(CreateTable(table).compile(dialect=dialect))
        assert f"CREATE TABLE millennium_staging.{table.name} (" in ddl
        for column in table.columns:
            written = column.type.compile(dialect=dialect)
            if isinstance(column.type, sa.Unicode):
                assert written.startswith("NVARCHAR("), f"{table.name}.{column.name}: {written}"
            assert "[" not in column.name
        texts = [column.type.dialect_impl(dialect).length for column in table.primary_key.columns
                 if isinstance(column.type, sa.Unicode)]  # fmt: skip
        numbers = len(table.primary_key.columns) - len(texts)
        assert all(texts), f"{table.name}: a key column without a bound"
        assert 2 * sum(texts) + 8 * numbers <= 900, f"{table.name}: SQL Server's index entries take 900 bytes"


def test_view_of_readable_batches_and_the_code_agree_on_states() -> None:
    view = (paths.SQL / "staging" / "create_readable_batch.2.sql").read_text(encoding="utf-8")
    listed = view.rpartition("IN (")[2].partition(")")[0]
    assert {state.strip(" '") for state in listed.split(",")} == {state.value for state in READABLE}


def test_statements_have_no_prefix_where_there_are_no_schemas() -> None:
    assert "millennium_staging.disposition" in read_sql("summarise_units", schema.SCHEMA)
    assert "millennium_staging" not in read_sql("summarise_units", None)
