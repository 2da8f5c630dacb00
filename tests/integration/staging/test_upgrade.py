"""An upgrade with data in place: no migration since an earlier release changes a row that was there.

The rows are those of ``tests/faults/data/earlier_release.tar.xz``: three nights and a pilot of 300 posts, as an earlier
release wrote them at revision 0003. A released wave is made of the last night by SQL. Release 0.2.0 ended with 0008.
"""

import sqlite3
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from tests.faults.test_earlier_release import ARCHIVE
from tests.support import batches
from tests.support.postgres import PostgresServer

from waitlist.exceptions import StagingError
from waitlist.staging import StagingStore, migrate, schema
from waitlist.staging.chain_check import check
from waitlist.staging.migrate import Standing, standing

FIRST, RELEASE_BEFORE = "0003", "0008"
SCRIPTS = sorted(script.revision for script in ScriptDirectory(str(migrate._SCRIPTS)).walk_revisions())
AFTER = [revision for revision in SCRIPTS if revision > FIRST]
WAVE = "migration-vecka-1"
OF_A_BATCH = ("batch_partition", "bokningsbegaran", "disposition", "finding", "quality_result", "unit_summary")

Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The earlier release's database, with a released wave."""
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(ARCHIVE) as packed:
        packed.extractall(folder, filter="data")
    with sqlite3.connect(folder / "staging.sqlite") as database:
        release_last_night(database)
    database.close()
    return folder / "staging.sqlite"


def release_last_night(database: sqlite3.Connection) -> None:
    """Copy the last night to a migration that is released, as the earlier release would have."""
    night = database.execute("SELECT batch_id FROM batch WHERE kind = 'dry_run' ORDER BY as_of DESC").fetchone()[0]
    told = {
        "batch_id": f"'{WAVE}'", "kind": "'migration'", "wave": "'vecka-1'", "state": "'released'",
        "approved_by": "'lead'", "approved_at": "finished_at",
        "released_at": "finished_at", "run_id": "'manual__vecka-1'",
    }  # fmt: skip
    for table in ("batch", *OF_A_BATCH):
        names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(
            (told if table == "batch" else {"batch_id": f"'{WAVE}'"}).get(name, f'"{name}"') for name in names
        )
        columns = ", ".join(f'"{name}"' for name in names)
        database.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} WHERE batch_id = ?", [night])
    database.execute(
        "INSERT INTO released_post (post_id, batch_id, row_hash, released_at)"
        f" SELECT post_id, batch_id, row_hash, '2024-10-01 04:30:00' FROM bokningsbegaran WHERE batch_id = '{WAVE}'"
        " AND post_id NOT IN (SELECT post_id FROM released_post)"
    )
    database.execute(
        f"DELETE FROM bokningsbegaran WHERE batch_id = '{WAVE}'"
        f" AND post_id IN (SELECT post_id FROM released_post WHERE batch_id <> '{WAVE}')"
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, archive: Path, tmp_path: Path) -> Iterator[StagingStore]:
    """A staging database at the first revision with all rows of the earlier release."""
    if request.param == "sqlite":
        (tmp_path / "staging.sqlite").write_bytes(archive.read_bytes())
        made = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        made = StagingStore(server.libpq(server.create_database()))
        migrate.migrate(made.database, FIRST)
        fill(made, archive)
    yield made
    made.engine.dispose()


def fill(store: StagingStore, archive: Path) -> None:
    """Copy every row of the archive into a database at the same revision."""
    tables = reflected(store)
    source = sa.create_engine(f"sqlite:///{archive}")
    read = sa.MetaData()
    read.reflect(source)
    with source.connect() as old, store.engine.begin() as connection:
        for table in read.sorted_tables:
            if table.name == schema.VERSION_TABLE:
                continue
            kinds = {column.name: column.type for column in tables[table.name].columns}
            rows = [dict(row) for row in old.execute(sa.select(table)).mappings()]
            for row in rows:
                for name, kind in kinds.items():
                    if isinstance(kind, sa.Boolean) and row[name] is not None:
                        row[name] = bool(row[name])
            if rows:
                connection.execute(tables[table.name].insert(), rows)
    source.dispose()


def reflected(store: StagingStore) -> Mapping[str, sa.Table]:
    found = sa.MetaData()
    found.reflect(store.engine, schema=store.database.schema)
    return {table.name: table for table in found.sorted_tables if table.name != schema.VERSION_TABLE}


def rows(store: StagingStore, like: Mapping[str, sa.Table]) -> Rows:
    """Return the rows of tables as they were reflected, in a fixed order: columns that came later are left out."""
    found: Rows = {}
    with store.engine.connect() as connection:
        for name, table in like.items():
            keys = list(table.primary_key.columns)
            found[name] = [tuple(row) for row in connection.execute(sa.select(table).order_by(*keys))]
    return found


def released(store: StagingStore) -> bytes:
    """Return what the receiver's load reads, as bytes."""
    view = schema.bokningsbegaran_released
    asked = sa.select(*view.c).order_by(view.c.batch_id, view.c.post_id)
    with store.database.connected() as connection:
        return "\n".join(repr(tuple(row)) for row in connection.execute(asked)).encode()


def guards(store: StagingStore) -> list[tuple[Any, ...]]:
    """Return every trigger and function of the schema with its text."""
    statement = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name"
    if store.database.dialect == "postgresql":
        statement = """
            SELECT relname || '.' || tgname AS name, pg_get_triggerdef(t.oid) AS made
            FROM pg_trigger AS t INNER JOIN pg_class AS c ON t.tgrelid = c.oid
            WHERE NOT tgisinternal AND NOT relispartition AND relnamespace = 'millennium_staging'::regnamespace
            UNION ALL
            SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'millennium_staging'::regnamespace
            UNION ALL
            SELECT viewname, definition FROM pg_views WHERE schemaname = 'millennium_staging'
            ORDER BY 1, 2
            """
    with store.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]


def test_every_migration_leaves_the_rows_and_the_released_view_as_they_were(
    store: StagingStore, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    shown = released(store)
    assert shown.count(b"\n") > 100
    assert RELEASE_BEFORE in AFTER
    for revision in AFTER:
        tables = reflected(store)
        before = rows(store, tables)
        migrate.migrate(store.database, revision)
        after = rows(store, tables)
        assert [name for name in before if after[name] != before[name]] == [], f"rows changed by {revision}"
        assert released(store) == shown, revision
    assert standing(store.database) is Standing.CURRENT
    assert check(store.database, key=None, manifests={}, tell=lambda _: None).faults == []
    fresh = StagingStore(f"sqlite:///{tmp_path / 'fresh.sqlite'}")
    if store.database.dialect == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        fresh = StagingStore(server.libpq(server.create_database()))
    fresh.migrate()
    assert guards(store) == guards(fresh), "an upgraded database has other guards than a new one"
    nights(store)


def nights(store: StagingStore) -> None:
    """Take up work: a new night, and the old wave stays as it was released."""
    shown = released(store)
    batches.verified(store)
    assert released(store) == shown
    batch = store.batch(WAVE)
    with pytest.raises(StagingError, match="immutable"):
        store.require_changeable(batch.batch_id)


def test_an_upgrade_that_fails_changes_nothing_and_goes_through_once_the_cause_is_gone(store: StagingStore) -> None:
    migrate.migrate(store.database, RELEASE_BEFORE)
    shown, tables = released(store), reflected(store)
    before = rows(store, tables)
    prefix = f"{store.database.schema}." if store.database.schema else ""
    with store.engine.begin() as connection:
        # The last of the tables that an upgrade of today makes.
        connection.exec_driver_sql(f"CREATE TABLE {prefix}wave_closing (in_the_way integer)")
    with pytest.raises(StagingError):
        store.migrate()
    assert standing(store.database) is Standing.OLDER
    assert set(reflected(store)) == {*tables, "wave_closing"}
    assert (rows(store, tables), released(store)) == (before, shown)
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {prefix}wave_closing")
    store.migrate()
    assert (rows(store, tables), released(store)) == (before, shown)


def test_no_migration_goes_back_since_a_backup_is_the_way_back() -> None:
    scripts = ScriptDirectory(str(migrate._SCRIPTS)).walk_revisions()
    assert [script.revision for script in scripts if hasattr(script.module, "downgrade")] == []
