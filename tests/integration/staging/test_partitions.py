"""On PostgreSQL a part is loaded into its own tables: how they replace the old ones, and what the functions refuse."""

import threading
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import sqlalchemy as sa
from tests.support import batches
from tests.support.batches import chunks

from waitlist.exceptions import RefusedError, StagingError
from waitlist.staging import StagingStore, schema
from waitlist.staging.events import entry
from waitlist.staging.states import EventName

LOCK_NOT_AVAILABLE = "55P03"
READS_SECONDS = 1.5
"""Longer than a rerun tries to replace partitions before it replaces rows inside of them."""


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path) -> StagingStore:
    request.param = "postgresql"
    return batches.empty_store(request, tmp_path)


def leaves(store: StagingStore) -> dict[str, str]:
    """Return the partitions of the dispositions, and the tables that are not attached yet, with their bounds."""
    with store.engine.connect() as connection:
        return dict(
            connection.exec_driver_sql(
                "SELECT relname, coalesce(pg_get_expr(relpartbound, oid), 'alone') FROM pg_class"
                " WHERE relkind = 'r' AND relname ~ '^disposition_row_'"
            ).all()
        )


def alone(store: StagingStore) -> list[str]:
    """Return the tables of rows that are not attached."""
    row_table = "relkind = 'r' AND relname ~ '_row_[0-9]+_[0-9]+$'"
    query = f"SELECT relname FROM pg_class WHERE {row_table} AND NOT relispartition"
    with store.engine.connect() as connection:
        return list(connection.exec_driver_sql(query).scalars())


def numbers(store: StagingStore) -> dict[str, int]:
    with store.engine.connect() as connection:
        return dict(connection.execute(sa.select(schema.batch.c.batch_id, schema.batch.c.batch_no)).all())


def bounds(store: StagingStore) -> list[str]:
    return sorted(bound.removeprefix("FOR VALUES ") for bound in leaves(store).values())


def test_a_batch_has_a_partition_for_each_part_and_a_rerun_replaces_it(store: StagingStore) -> None:
    batches.stage_all(store)
    before = leaves(store)
    assert bounds(store) == [
        "FROM (1, '100') TO (1, '200')", "FROM (1, '200') TO (1, MAXVALUE)", "FROM (1, MINVALUE) TO (1, '100')",
    ]  # fmt: skip
    store.stage_partition("natt-1", 100, 200, chunks(range(100, 150)))
    assert bounds(store) == sorted(bound.removeprefix("FOR VALUES ") for bound in before.values())
    assert len(before.keys() & leaves(store).keys()) == 2


def test_the_database_numbers_the_batches_and_a_number_stays(store: StagingStore) -> None:
    batches.open_batch(store, "natt-1")
    copied = [column for column in schema.batch.columns if column.name not in {"batch_id", "batch_no"}]
    copy = sa.select(sa.literal("natt-2"), sa.literal(7), *copied).where(schema.batch.c.batch_id == "natt-1")
    names = ["batch_id", "batch_no", *(column.name for column in copied)]
    with store.engine.begin() as connection:
        connection.execute(schema.batch.insert().from_select(names, copy))
    assert numbers(store) == {"natt-1": 1, "natt-2": 2}
    with pytest.raises(sa.exc.DBAPIError) as refused, store.engine.begin() as connection:
        connection.execute(schema.batch.update().values(batch_no=schema.batch.c.batch_no + 10))
    assert refused.value.orig.sqlstate == "P0W01"


def test_two_batches_that_are_opened_at_the_same_time_get_two_numbers(store: StagingStore) -> None:
    batches.open_batch(store, "natt-1")
    copied = [column for column in schema.batch.columns if column.name not in {"batch_id", "batch_no"}]
    copy = sa.select(sa.literal("natt-2"), *copied).where(schema.batch.c.batch_id == "natt-1")
    with store.engine.begin() as first:
        first.execute(schema.batch.insert().from_select(["batch_id", *(column.name for column in copied)], copy))
        second = threading.Thread(target=batches.open_batch, args=(store, "natt-3"))
        second.start()
        second.join(1)
        assert second.is_alive(), "it does not wait for its number"
    second.join(30)
    assert numbers(store) == {"natt-1": 1, "natt-2": 2, "natt-3": 3}


def test_rows_outside_of_the_range_stay_where_partitions_are_cut(store: StagingStore) -> None:
    batches.stage_all(store)
    store.stage_partition("natt-1", 50, 150, chunks(range(60, 70)))
    posts = [row["post_id"] for row in batches.rows(store, schema.disposition)]
    assert posts == [*range(1, 50), *range(60, 70), *range(150, 260)]
    assert "FROM (1, '50') TO (1, '150')" in bounds(store)


@pytest.mark.parametrize(("lower", "upper", "kept"), [(101, 200, 100), (100, 199, 199)])
def test_a_single_row_outside_of_the_range_stays(store: StagingStore, lower: int, upper: int, kept: int) -> None:
    batches.stage_all(store)
    store.stage_partition("natt-1", lower, upper, chunks(range(120, 125)))
    posts = [row["post_id"] for row in batches.rows(store, schema.disposition)]
    assert posts == sorted([*range(1, 100), kept, *range(120, 125), *range(200, 260)])


def test_a_reader_neither_waits_for_a_rerun_nor_sees_half_of_it(store: StagingStore) -> None:
    batches.stage_all(store)
    rows = sa.select(sa.func.count()).select_from(schema.disposition)
    with store.engine.connect() as reader:
        assert reader.scalar(rows) == batches.POSTS
        rerun = threading.Thread(target=store.stage_partition, args=("natt-1", 100, 200, chunks(range(100, 110))))
        rerun.start()
        rerun.join(30)
        assert not rerun.is_alive(), "it waits for a reader"
        reader.rollback()
        assert reader.scalar(rows) == batches.POSTS - 90
    assert not alone(store)


@pytest.mark.parametrize(("lower", "upper"), [(40, 60), (90, 110), (20, 110)])
def test_a_rerun_of_other_bounds_waits_for_a_reader(store: StagingStore, lower: int, upper: int) -> None:
    batches.open_batch(store)
    store.stage_partition("natt-1", 50, 100, chunks(range(50, 100)))
    with store.engine.connect() as reader:
        reader.scalar(sa.select(sa.func.count()).select_from(schema.disposition))
        done = threading.Timer(READS_SECONDS, reader.rollback)
        done.start()
        store.stage_partition("natt-1", lower, upper, chunks(range(lower, upper)))
        done.join()
    posts = [row["post_id"] for row in batches.rows(store, schema.disposition)]
    assert posts == sorted({*range(50, 100), *range(lower, upper)})


def test_two_loads_of_one_part_wait_for_each_other_and_leave_one(store: StagingStore) -> None:
    batches.stage_all(store)
    before = leaves(store)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[batches.Chunk]:
        yield batches.chunk(range(100, 120))
        begun.set()
        assert go_on.wait(30)

    first = threading.Thread(target=store.stage_partition, args=("natt-1", 100, 200, slow()))
    first.start()
    assert begun.wait(30)
    second = threading.Thread(target=store.stage_partition, args=("natt-1", 100, 200, chunks(range(130, 140))))
    second.start()
    second.join(1)
    assert second.is_alive(), "it did not wait"
    go_on.set()
    first.join(30)
    second.join(30)
    posts = [row["post_id"] for row in batches.rows(store, schema.disposition)]
    assert posts == [*range(1, 100), *range(130, 140), *range(200, 260)]
    assert bounds(store) == sorted(bound.removeprefix("FOR VALUES ") for bound in before.values())


def test_a_connection_that_is_killed_while_it_loads_leaves_the_old_part(store: StagingStore) -> None:
    batches.stage_all(store)
    before, content = leaves(store), batches.contents(store)

    def killed() -> Iterator[batches.Chunk]:
        yield batches.chunk(range(100, 120))
        with store.engine.begin() as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            assert connection.exec_driver_sql(f"{others} AND datname = current_database()").scalars().all() == [True]

    with pytest.raises(StagingError):
        store.stage_partition("natt-1", 100, 200, killed())
    assert leaves(store) == before
    assert batches.contents(store) == content


def test_a_load_that_ends_in_an_error_leaves_no_table(store: StagingStore) -> None:
    batches.stage_all(store)
    before = leaves(store)

    def breaking() -> Iterator[batches.Chunk]:
        yield batches.chunk(range(100, 120))
        raise StagingError("the snapshot is damaged")

    with pytest.raises(StagingError, match="damaged"):
        store.stage_partition("natt-1", 100, 200, breaking())
    assert leaves(store) == before


def test_a_table_that_was_left_is_dropped_by_the_next_load(store: StagingStore) -> None:
    batches.stage_all(store)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("SELECT millennium_staging.create_part('natt-1', 1, 5)")
    assert len(alone(store)) == len(schema.ROWS_OF)
    store.stage_partition("natt-1", None, 100, chunks(range(1, 100)))
    assert not alone(store)


def test_a_query_of_a_batch_is_planned_for_its_partitions_alone(store: StagingStore) -> None:
    batches.put_verified(store, "natt-1", "natt-2")
    view = schema.disposition.c
    asked = {
        "by the number": sa.select(view.post_id).where(view.batch_id == "natt-2"),
        "by the id": sa.text(f"SELECT post_id FROM {schema.disposition.fullname} WHERE batch_id = 'natt-2'"),
    }
    store.refresh_statistics()
    for how, query in asked.items():
        text = str(query.compile(store.engine, compile_kwargs={"literal_binds": True}))
        with store.engine.connect() as connection:
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN (ANALYZE) {text}").scalars())
        read = [line for line in plan.splitlines() if "disposition_row_1_" in line and "never executed" not in line]
        assert read == [], f"{how}: {plan}"


def test_a_post_of_a_batch_is_looked_up_by_its_number_and_its_key(store: StagingStore) -> None:
    batches.open_batch(store)
    store.stage_partition("natt-1", None, None, chunks(range(1, 2_001)))
    store.refresh_statistics()
    view, other = schema.disposition.c, schema.bokningsbegaran.c
    same = sa.and_(view.batch_id == other.batch_id, view.post_id == other.post_id)
    text = sa.select(other.post_id).join_from(schema.bokningsbegaran, schema.disposition, same).compile(store.engine)
    with store.engine.connect() as connection:
        for way in ("hashjoin", "mergejoin", "seqscan", "bitmapscan"):
            connection.exec_driver_sql(f"SET enable_{way} = off")
        plan = list(connection.exec_driver_sql(f"EXPLAIN {text}").scalars())
    looked_up = [line for line in plan if "Index Cond" in line and "batch_no =" in line]
    assert any("post_id =" in line for line in looked_up), "\n".join(plan)


def test_the_columns_that_queries_choose_rows_by_are_counted_and_no_others(store: StagingStore) -> None:
    batches.stage_all(store)
    store.refresh_statistics()
    asked = "SELECT DISTINCT attname FROM pg_stats WHERE tablename ~ '_row_[0-9]+_[0-9]+$'"
    with store.engine.connect() as connection:
        assert set(connection.exec_driver_sql(asked).scalars()) == {
            "batch_no", "post_id", "enhet_hsa_id", "kategori", "disposition", "boka_fore", "rule",
        }  # fmt: skip


def test_the_keys_of_a_loaded_part_fill_their_pages(store: StagingStore) -> None:
    batches.stage_all(store)
    asked = "SELECT reloptions FROM pg_class WHERE relkind = 'i' AND relname ~ '_row_[0-9]+_[0-9]+_pkey$'"
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql(asked).scalars().all() == [["fillfactor=100"]] * 9


def test_a_removed_batch_has_no_partition(store: StagingStore) -> None:
    batches.stage_all(store)
    with store.changing("removing", "natt-1") as (connection, _):
        connection.execute(sa.select(sa.func.millennium_staging.drop_parts("natt-1")))
    assert leaves(store) == {}


@pytest.mark.parametrize("state", ["awaiting_approval", "released"])
def test_what_is_fixed_is_refused_by_every_partition_and_function(store: StagingStore, state: str) -> None:
    batches.put_verified(store)
    store.refresh_statistics()
    batches.set_state(store, state)
    before = batches.contents(store)
    (leaf,) = leaves(store)
    name = f"millennium_staging.{leaf}"
    for statement in (
        f"DELETE FROM {name}",
        f"UPDATE {name} SET kategori = 'x'",
        f"INSERT INTO {name} (post_id, disposition) VALUES (9000, 'leave')",
        f"TRUNCATE {name}",
        "SELECT millennium_staging.create_part('natt-1', NULL, NULL)",
        "SELECT millennium_staging.attach_part('natt-1', 1, NULL, NULL)",
        "SELECT millennium_staging.drop_parts('natt-1')",
    ):
        with pytest.raises(sa.exc.DBAPIError) as refused, store.engine.begin() as connection:
            connection.exec_driver_sql(statement)
        assert refused.value.orig.sqlstate == "P0W01", statement
    with pytest.raises(RefusedError):
        store.stage_partition("natt-1", None, None, chunks(range(1, 5)))
    assert batches.contents(store) == before


@pytest.mark.parametrize(("state", "removed"), [("awaiting_approval", False), ("released", True)])
def test_only_the_rows_of_a_decided_batch_go_once_retention_has_said_so(
    store: StagingStore, state: str, removed: bool
) -> None:
    batches.put_verified(store)
    batches.set_state(store, state)
    batches.execute(store, entry("natt-1", EventName.PURGED, at=batches.NOW))
    drop = sa.select(sa.func.millennium_staging.drop_parts("natt-1"))
    with nullcontext() if removed else pytest.raises(sa.exc.DBAPIError), store.engine.begin() as connection:
        connection.execute(drop)
    assert (leaves(store) == {}) is removed


@pytest.mark.parametrize("function", ["attach_part('natt-1', 1, NULL, NULL)", "drop_parts('natt-1')"])
def test_a_batch_that_is_being_decided_is_waited_for(store: StagingStore, function: str) -> None:
    batches.put_verified(store)
    decided = schema.batch.update().where(schema.batch.c.batch_id == "natt-1").values(state="awaiting_approval")
    with store.engine.begin() as deciding:
        deciding.execute(decided)
        with store.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '200ms'")
            with pytest.raises(sa.exc.DBAPIError) as refused:
                connection.exec_driver_sql(f"SELECT millennium_staging.{function}")
            connection.rollback()
    assert refused.value.orig.sqlstate == LOCK_NOT_AVAILABLE
    assert leaves(store)


def test_a_part_is_not_attached_to_another_batch_or_range(store: StagingStore) -> None:
    for batch_id in ("natt-1", "natt-2"):
        batches.open_batch(store, batch_id)
    for forged in (
        "attach_part('natt-2', {part}, 1, 5)",
        "attach_part('natt-1', {part}, 2, 5)",
        "attach_part('natt-1', {part} + 1, 1, 5)",
    ):
        with store.engine.connect() as connection:
            part = connection.exec_driver_sql("SELECT millennium_staging.create_part('natt-1', 1, 5)").scalar_one()
            row = f"INSERT INTO millennium_staging.disposition_row_1_{part} (post_id, disposition) VALUES (1, 'leave')"
            connection.exec_driver_sql(row)
            with pytest.raises(sa.exc.DBAPIError):
                connection.exec_driver_sql(f"SELECT millennium_staging.{forged.format(part=part)}")
    assert leaves(store) == {}
