"""Batches in the staging database: replaced partition by partition, shown only when whole, immutable once released."""

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from tests.support import batches
from tests.support.batches import PARTITIONS, Chunk, chunk, chunks

from waitlist.exceptions import SnapshotError, StagingError
from waitlist.results import FailureSeverity, Outcome, QualityResult
from waitlist.staging import IMMUTABLE, BatchState, StagingStore, schema

LATER = batches.NOW + dt.timedelta(hours=1)
RESULT = QualityResult("dates", "DATE_EXPIRED", "boka_fore", FailureSeverity.WARNING, 259, 3, 0.95, Outcome.PASSED)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


def post_ids(store: StagingStore, table: sa.Table, batch_id: str = "natt-1") -> list[int]:
    return [row["post_id"] for row in batches.rows(store, table) if row["batch_id"] == batch_id]


def readable(store: StagingStore) -> list[str]:
    view = sa.text(
        "SELECT batch_id FROM " + ("millennium_staging." if store.database.schema else "") + "readable_batch"
    )
    with store.engine.connect() as connection:
        return [row.batch_id for row in connection.execute(view)]


# The stored rows


def test_rows_are_stored_as_the_assessment_made_them(store: StagingStore) -> None:
    batches.open_batch(store)
    made = chunk(range(1, 60))
    store.stage_partition("natt-1", None, None, [made])
    for table, rows in (
        (schema.disposition, made.dispositions),
        (schema.finding, made.findings),
        (schema.bokningsbegaran, made.bokningsbegaran),
    ):
        assert batches.rows(store, table) == [{"batch_id": "natt-1", **row} for row in rows.to_pylist()]
    assert {row["sekretess"] for row in batches.rows(store, schema.bokningsbegaran)} == {True, False}


def test_partition_has_its_counts_and_digests(store: StagingStore) -> None:
    batches.open_batch(store)
    found = store.stage_partition("natt-1", 100, 200, chunks(range(100, 200)), part_sha256="a" * 64)
    made = chunk(range(100, 200))
    assert (found.lower, found.upper, found.unchanged) == (100, 200, False)
    assert (found.posts, found.staged, found.findings) == (100, made.bokningsbegaran.num_rows, made.findings.num_rows)
    (line,) = batches.rows(store, schema.batch_partition)
    assert line == {"batch_id": "natt-1", "lower_key": 100, "upper_key": 200, "posts": 100, "staged": found.staged,
                    "findings": found.findings, "digest": found.digest, "part_sha256": "a" * 64}  # fmt: skip


def test_empty_partition_is_accounted_for(store: StagingStore) -> None:
    batches.open_batch(store)
    assert store.stage_partition("natt-1", None, 5, []).posts == 0
    assert [line["posts"] for line in batches.rows(store, schema.batch_partition)] == [0]


def test_digest_depends_on_the_content_and_not_on_chunks_or_database(store: StagingStore) -> None:
    batches.open_batch(store)
    batches.open_batch(store, "natt-2")
    posts = range(1, 100)

    def digest(made: list[Chunk], batch_id: str = "natt-2") -> str:
        return store.stage_partition(batch_id, None, None, made).digest

    whole = digest(list(chunks(posts, 99)), "natt-1")
    assert digest(list(chunks(posts, 7))) == whole
    made = chunk(posts)
    by_rule = made.findings.sort_by([("rule", "descending"), ("post_id", "ascending")])
    assert digest([dataclasses.replace(made, findings=by_rule)]) == whole

    requests = made.bokningsbegaran
    for name, other in (
        ("sekretess", pa.array([not flag for flag in requests["sekretess"].to_pylist()])),
        ("begart_slutdatum", pa.array([dt.date(2030, 1, 1)] * requests.num_rows)),
        ("vardinrattning", pa.array(["Dem", "oDemo", *["Demo"] * (requests.num_rows - 2)])),
        ("vardinrattning", pa.array([None, *["Demo"] * (requests.num_rows - 1)], pa.string())),
        ("beskrivning", requests["beskrivning"].fill_null("")),
    ):
        place = requests.column_names.index(name)
        changed = dataclasses.replace(made, bokningsbegaran=requests.set_column(place, name, other))
        assert digest([changed]) != whole, name
    assert digest([made]) == whole


# Reruns


STEPS: dict[str, Callable[[StagingStore], object]] = {
    "open": batches.open_batch,
    **{
        f"stage {number}": lambda store, part=part: store.stage_partition(
            "natt-1", part[0], part[1], chunks(part[2], 17)
        )
        for number, part in enumerate(PARTITIONS)
    },
    "mark staged": lambda store: store.mark_staged("natt-1"),
    "reconcile": batches.reconcile_all,
    "quality": lambda store: store.replace_quality("natt-1", "dates", [RESULT]),
    "verify": lambda store: store.mark_verified("natt-1", LATER),
}


def test_rerun_of_any_step_leaves_the_same_database_and_the_batch_shown(store: StagingStore) -> None:
    for step in STEPS.values():
        step(store)
    before = batches.contents(store)
    for name, step in STEPS.items():
        step(store)
        assert batches.contents(store) == before, name
        assert readable(store) == ["natt-1"], name


def test_rerun_that_brings_something_else_is_not_shown_before_it_is_verified(store: StagingStore) -> None:
    batches.put_verified(store)
    batches.open_batch(store)
    assert readable(store) == ["natt-1"]
    assert not store.stage_partition("natt-1", None, 100, chunks(range(1, 100), text="Orsak: ändrad")).unchanged
    found = store.batch("natt-1")
    assert (found.state, found.posts_extracted, found.posts_staged, found.finished_at) == (
        BatchState.OPEN, None, None, None,
    )  # fmt: skip
    assert readable(store) == []
    texts = {row["beskrivning"] for row in batches.rows(store, schema.bokningsbegaran) if row["post_id"] < 100}
    assert texts == {"Orsak: ändrad", None}


def test_batch_opened_again_for_something_else_is_open_and_its_accounts_are_deleted(store: StagingStore) -> None:
    for told in (
        {"rules_version": "1" * 64},
        {"as_of": dt.date(2024, 10, 2)},
        {"wave": "2"},
        {"kind": "migration"},
        {"units": ["SE162321000000-DEMO1"]},
        {"reuse_snapshot": "natt-0"},
    ):
        batches.put_verified(store)
        store.replace_quality("natt-1", "dates", [RESULT])
        batches.open_batch(store, **told)
        assert store.batch("natt-1").state is BatchState.OPEN, told
        assert readable(store) == []
        for table in (schema.batch_partition, schema.unit_summary, schema.quality_result):
            assert batches.rows(store, table) == []


def test_rows_that_left_the_extract_are_gone(store: StagingStore) -> None:
    batches.put_staged(store)
    store.stage_partition("natt-1", 100, 200, chunks(range(150, 200)))
    assert post_ids(store, schema.disposition) == [*range(1, 100), *range(150, 260)]
    assert min(post_id for post_id in post_ids(store, schema.finding) if post_id >= 100) >= 150
    assert min(post_id for post_id in post_ids(store, schema.bokningsbegaran) if post_id >= 100) >= 150


def test_other_partitions_than_last_time_leave_nothing_of_the_old_ones(store: StagingStore) -> None:
    batches.put_staged(store)
    for lower, upper, posts in ((None, 150, range(1, 140)), (150, None, range(150, 240))):
        store.stage_partition("natt-1", lower, upper, chunks(posts))
    assert post_ids(store, schema.disposition) == [*range(1, 140), *range(150, 240)]
    lines = [(line["lower_key"], line["upper_key"]) for line in batches.rows(store, schema.batch_partition)]
    assert lines == [(schema.OPEN_LOWER, 150), (150, None)]


def test_account_of_a_partition_that_is_replaced_in_part_is_void(store: StagingStore) -> None:
    batches.put_staged(store)
    store.stage_partition("natt-1", 150, None, chunks(range(150, 240)))
    assert post_ids(store, schema.disposition) == [*range(1, 240)]
    lines = [(line["lower_key"], line["upper_key"]) for line in batches.rows(store, schema.batch_partition)]
    assert lines == [(schema.OPEN_LOWER, 100), (150, None)]


def test_batches_do_not_touch_each_other(store: StagingStore) -> None:
    batches.put_verified(store)
    before = [row for row in batches.contents(store)["disposition"] if row["batch_id"] == "natt-1"]
    batches.open_batch(store, "natt-2")
    store.stage_partition("natt-2", None, None, chunks(range(1, 5)))
    assert post_ids(store, schema.disposition, "natt-2") == [1, 2, 3, 4]
    assert [row for row in batches.contents(store)["disposition"] if row["batch_id"] == "natt-1"] == before
    assert store.batch("natt-1").state is BatchState.VERIFIED


# A failure changes nothing


def breaking(error: Exception) -> Iterator[Chunk]:
    yield from chunks(range(1, 80), text="Orsak: ändrad")
    raise error


def test_kept_connection_loads_one_partition_after_the_other(store: StagingStore) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    kept = StagingStore(url, pooled=True)
    batches.open_batch(kept)
    try:
        for posts in (range(1, 60), range(1, 80)):
            with pytest.raises(StagingError):
                kept.stage_partition("natt-1", 1, 50, [chunk(posts)])
            kept.stage_partition("natt-1", None, None, [chunk(posts)])
            assert post_ids(store, schema.disposition) == list(posts)
    finally:
        kept.engine.dispose()


def test_partition_whose_chunks_end_in_an_error_is_not_touched(store: StagingStore) -> None:
    batches.put_verified(store)
    before = batches.contents(store)
    with pytest.raises(SnapshotError, match="damaged"):
        store.stage_partition("natt-1", None, 100, breaking(SnapshotError("part 1 is damaged")))
    assert batches.contents(store) == before


def refusal(store: StagingStore, column: str, value: object) -> str:
    """Stage requests with one column spoilt; return the message, which has no value; nothing has changed."""
    batches.put_verified(store)
    before = batches.contents(store)
    made = chunk(range(1, 90))
    requests = made.bokningsbegaran
    place = requests.column_names.index(column)
    spoilt = pa.array([value] * requests.num_rows, requests.schema.field(column).type)
    with pytest.raises(
        StagingError, match=r"^staging batch natt-1, partition \[, 100\): the database refused"
    ) as raised:
        store.stage_partition(
            "natt-1",
            None,
            100,
            [dataclasses.replace(made, bokningsbegaran=requests.set_column(place, column, spoilt))],
        )
    assert raised.value.__suppress_context__
    assert not re.search(r"hemligt|\d{8,}|Testsson|Orsak", str(raised.value))
    assert batches.contents(store) == before
    return str(raised.value)


def test_refused_row_is_reported_by_table_and_constraint(store: StagingStore) -> None:
    told = {"sqlite": "NOT NULL constraint failed: bokningsbegaran_row.person_id", "postgresql": "SQLSTATE 23502"}
    assert told[store.database.dialect] in refusal(store, "person_id", None)
    told = {
        "sqlite": r"UNIQUE constraint failed: bokningsbegaran_row\.batch_no, bokningsbegaran_row\.post_id",
        "postgresql": r"SQLSTATE 23505, table (bokningsbegaran_row_1_\d+), constraint \1_pkey",
    }
    assert re.search(told[store.database.dialect], refusal(store, "post_id", 1))


@pytest.mark.parametrize("value", ["0" * 63, "A" * 64, "g" * 64, "å" * 64, f"{'0' * 64}\n", "", None])
def test_a_row_hash_that_is_not_64_lower_case_hex_digits_is_refused_and_not_shown(
    store: StagingStore, value: str | None
) -> None:
    batches.put_verified(store)
    before = batches.contents(store)
    made = chunk(range(1, 90))
    hashes = pa.array([*made.bokningsbegaran["row_hash"].to_pylist()[1:], value], pa.string())
    spoilt = made.bokningsbegaran.drop_columns("row_hash").append_column("row_hash", hashes)
    with pytest.raises(StagingError, match=r"^bokningsbegaran: a row_hash is not 64 lower-case hex digits$"):
        store.stage_partition("natt-1", None, 100, [dataclasses.replace(made, bokningsbegaran=spoilt)])
    assert batches.contents(store) == before


def test_text_that_postgresql_cannot_store_is_refused_and_not_shown(request, tmp_path: Path) -> None:
    request.param = "postgresql"
    store = batches.empty_store(request, tmp_path)
    assert "SQLSTATE 22021" in refusal(store, "beskrivning", "hemligt\0")
    assert "SQLSTATE 22001" in refusal(store, "person_id", "hemligt personnummer")


@pytest.mark.parametrize("posts", [range(99, 120), range(150, 201)])
def test_post_outside_its_partition_is_refused(store: StagingStore, posts: range) -> None:
    batches.open_batch(store)
    with pytest.raises(StagingError, match=rf"post_id {posts[0]} to {posts[-1]} reach outside partition \[100, 200\)"):
        store.stage_partition("natt-1", 100, 200, chunks(posts, 500))
    assert post_ids(store, schema.disposition) == []


def test_unknown_batch_is_refused(store: StagingStore) -> None:
    with pytest.raises(StagingError, match="batch natt-9 is unknown: open it first"):
        store.stage_partition("natt-9", None, None, chunks(range(5)))
    with pytest.raises(StagingError, match="batch natt-9 is unknown"):
        store.batch("natt-9")
    with pytest.raises(StagingError, match="batch natt-9 is unknown"):
        store.replace_quality("natt-9", "dates", [RESULT])


def test_immutable_batch_refuses_every_change(store: StagingStore) -> None:
    batches.put_verified(store)
    for state in sorted(IMMUTABLE):
        batches.set_state(store, state)
        before = batches.contents(store)
        words = f"batch natt-1 is {state.value.replace('_', ' ')} and immutable"
        for change in (
            lambda: batches.open_batch(store),
            lambda: store.stage_partition("natt-1", None, 100, chunks(range(1, 100))),
            lambda: store.stage_partition("natt-1", 300, None, []),
            lambda: store.replace_quality("natt-1", "dates", [RESULT]),
            lambda: store.mark_staged("natt-1"),
            lambda: store.mark_verified("natt-1", LATER),
            lambda: store.mark_failed("natt-1", LATER),
        ):
            with pytest.raises(StagingError, match=words):
                change()
        assert batches.contents(store) == before
        assert readable(store) == ["natt-1"]


def test_batch_that_is_released_while_a_partition_arrives_stays_as_it_was(store: StagingStore) -> None:
    batches.put_verified(store)

    def released_meanwhile() -> Iterator[Chunk]:
        yield chunk(range(1, 50), text="Orsak: ändrad")
        batches.set_state(store, "released")

    with pytest.raises(StagingError, match="is released and immutable"):
        store.stage_partition("natt-1", None, 100, released_meanwhile())
    assert "Orsak: ändrad" not in {row["beskrivning"] for row in batches.rows(store, schema.bokningsbegaran)}
    assert len(post_ids(store, schema.disposition)) == batches.POSTS


# States


def test_batch_is_verified_only_after_it_was_reconciled(store: StagingStore) -> None:
    batches.open_batch(store)
    with pytest.raises(StagingError, match="is open and has not been reconciled: it cannot be verified"):
        store.mark_verified("natt-1", LATER)
    batches.stage_all(store)
    with pytest.raises(StagingError, match="is staged and has not been reconciled"):
        store.mark_verified("natt-1", LATER)
    batches.reconcile_all(store)
    store.mark_verified("natt-1", LATER)
    found = store.batch("natt-1")
    assert (found.state, found.finished_at, found.started_at) == (BatchState.VERIFIED, LATER, batches.NOW)
    assert (found.posts_extracted, found.posts_staged) == (batches.POSTS, len(post_ids(store, schema.bokningsbegaran)))


def test_failed_batch_is_not_shown_and_may_be_mended(store: StagingStore) -> None:
    batches.put_verified(store)
    store.mark_failed("natt-1", LATER)
    assert (store.batch("natt-1").state, store.batch("natt-1").finished_at) == (BatchState.FAILED, LATER)
    assert readable(store) == []
    assert store.stage_partition("natt-1", None, 100, chunks(range(1, 100))).unchanged
    assert store.batch("natt-1").state is BatchState.OPEN
    with pytest.raises(StagingError, match="has not been reconciled"):
        store.mark_verified("natt-1", LATER)
    batches.verified(store)
    assert readable(store) == ["natt-1"]


def test_batch_that_failed_in_another_step_than_reconciliation_is_shown_once_that_is_mended(
    store: StagingStore,
) -> None:
    batches.put_verified(store)
    store.mark_failed("natt-1", LATER)
    assert store.mark_staged("natt-1") is BatchState.FAILED
    store.mark_verified("natt-1", LATER)
    assert readable(store) == ["natt-1"]


def test_batch_that_failed_before_it_was_reconciled_is_not_shown(store: StagingStore) -> None:
    batches.open_batch(store)
    batches.stage_all(store)
    store.mark_failed("natt-1", LATER)
    with pytest.raises(StagingError, match="is failed and has not been reconciled: it cannot be verified"):
        store.mark_verified("natt-1", LATER)
    batches.reconcile_all(store)
    assert readable(store) == []
    store.mark_verified("natt-1", LATER)
    assert readable(store) == ["natt-1"]


def test_moment_without_a_zone_is_refused(store: StagingStore) -> None:
    batches.put_verified(store)
    with pytest.raises(StagingError):
        store.mark_failed("natt-1", dt.datetime(2024, 10, 1))  # noqa: DTZ001
    assert store.batch("natt-1").state is BatchState.VERIFIED


# Quality results


def test_results_of_a_suite_are_replaced_and_those_of_other_suites_stay(store: StagingStore) -> None:
    batches.open_batch(store)
    whole_table = dataclasses.replace(RESULT, expectation="row_count", column="", outcome=Outcome.NOT_APPLICABLE)
    identity = dataclasses.replace(RESULT, suite="identity", outcome=Outcome.FAILED)
    store.replace_quality("natt-1", "dates", [RESULT, whole_table])
    store.replace_quality("natt-1", "identity", [identity])
    store.replace_quality("natt-1", "dates", [dataclasses.replace(RESULT, unexpected=4)])
    found = batches.rows(store, schema.quality_result)
    assert [(row["suite"], row["unexpected"], row["outcome"]) for row in found] == [
        ("dates", 4, "passed"),
        ("identity", 3, "failed"),
    ]
    assert found[0] == {"batch_id": "natt-1", "suite": "dates", "expectation": "DATE_EXPIRED", "column": "boka_fore",
                        "severity": "warning", "evaluated": 259, "unexpected": 4, "threshold": 0.95,
                        "outcome": "passed"}  # fmt: skip


def test_results_come_back_as_they_were_kept(store: StagingStore) -> None:
    batches.open_batch(store)
    whole_table = dataclasses.replace(RESULT, expectation="row_count", column="", outcome=Outcome.ERROR)
    store.replace_quality("natt-1", "dates", [whole_table, RESULT])
    assert store.quality_results("natt-1") == [RESULT, whole_table]
    assert store.quality_results("natt-2") == []


def test_results_that_would_hide_each_other_are_refused(store: StagingStore) -> None:
    batches.open_batch(store)
    store.replace_quality("natt-1", "dates", [RESULT])
    with pytest.raises(StagingError, match="quality_result"):
        store.replace_quality("natt-1", "dates", [RESULT, dataclasses.replace(RESULT, unexpected=9)])
    with pytest.raises(StagingError, match="results of suite identity hold some of dates"):
        store.replace_quality("natt-1", "identity", [RESULT])
    assert [row["unexpected"] for row in batches.rows(store, schema.quality_result)] == [3]


# Released posts


def test_only_released_batches_are_seen_by_millenniums_load(store: StagingStore) -> None:
    batches.put_verified(store, "natt-1", "natt-2")
    view = sa.table("bokningsbegaran_released", sa.column("batch_id"), schema=store.database.schema)

    def seen() -> set[str]:
        with store.engine.connect() as connection:
            return {row.batch_id for row in connection.execute(sa.select(view.c.batch_id))}

    assert seen() == set()
    batches.set_state(store, "released", "natt-2")
    assert seen() == set(), "a post that is free is not seen either"
    request, held = schema.bokningsbegaran.c, schema.released_post
    columns = ("batch_id", "post_id", "row_hash")
    released = sa.select(*(request[name] for name in columns), sa.literal(batches.NOW)).where(
        request.batch_id == "natt-2"
    )
    batches.execute(store, held.insert().from_select([*columns, "released_at"], released))
    assert seen() == {"natt-2"}
    batches.set_state(store, "withdrawn", "natt-2")
    assert seen() == set()


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [(None, None, [3, 7, 20]), (7, 20, [7]), (None, 7, [3]), (8, None, [20]), (8, 9, [])],
)
def test_released_posts_of_a_key_range(
    store: StagingStore, lower: int | None, upper: int | None, expected: list[int]
) -> None:
    released = {"batch_id": "natt-0", "row_hash": "0" * 64, "released_at": batches.NOW}
    rows = [{"post_id": post_id, **released} for post_id in (20, 3, 7)]
    batches.execute(store, schema.released_post.insert().values(rows))
    found = store.released_post_ids(lower, upper)
    assert found.dtype == np.int64
    assert found.tolist() == expected


# Reaching the database


def test_error_of_an_unreachable_database_is_its_own_and_has_no_password(postgres, tmp_path: Path) -> None:
    wrong = StagingStore(f"postgresql://postgres:fel-losenord@127.0.0.1:{postgres.port}/postgres")
    with pytest.raises(StagingError, match=r"postgres:\*\*\*@127.0.0.1.*cannot be reached: .*password") as raised:
        wrong.batch("natt-1")
    assert "fel-losenord" not in str(raised.value)
    with pytest.raises(StagingError, match="cannot be reached"):
        StagingStore(f"sqlite:///{tmp_path / 'saknas' / 'staging.sqlite'}").migrate()


def test_only_its_owner_can_read_a_sqlite_file_and_the_files_beside_it(tmp_path: Path) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}")
    store.migrate()
    with store.database.writing() as connection:
        connection.execute(sa.text("CREATE TABLE t (x)"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("staging.sqlite", "staging.sqlite-wal", "staging.sqlite-shm"), 0o600)


def test_store_has_the_batches_that_were_opened(store: StagingStore, tmp_path: Path) -> None:
    batches.open_batch(store)
    assert store.knows("natt-1")
    assert not store.knows("natt-2")
    assert not StagingStore(f"sqlite:///{tmp_path / 'tom.sqlite'}").knows("natt-1")


def test_error_of_a_database_that_was_never_migrated_has_no_query(store: StagingStore, tmp_path: Path) -> None:
    with pytest.raises(StagingError, match="the database refused"):
        StagingStore(f"sqlite:///{tmp_path / 'tom.sqlite'}").batch("natt-1")


@pytest.mark.parametrize("url", ["", "postgres", "oracle+cx_oracle://a:hemligt@b/c", "nosuchdatabase://x"])
def test_url_that_names_no_usable_database_is_refused(url: str) -> None:
    with pytest.raises(StagingError, match="its URL or driver is not usable") as raised:
        StagingStore(url)
    assert "hemligt" not in str(raised.value)
