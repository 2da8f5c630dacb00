"""Reconciliation: rows that were lost, added or changed after the read are found in the database and named by post."""

import dataclasses
import datetime as dt
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy import literal
from tests.support import batches
from tests.support.batches import POSTS, disposition_of, evidence, execute, person_id, reconcile_all

from waitlist.exceptions import ReconciliationError, StagingError
from waitlist.staging import BatchState, StagingStore, schema
from waitlist.staging.digest import ContentDigest
from waitlist.staging.read_back import read_requests, with_go_live
from waitlist.staging.reconcile import PartitionEvidence, reconcile
from waitlist.staging.schema import batch_partition, bokningsbegaran, disposition, finding, unit_summary

LATER = batches.NOW + dt.timedelta(hours=1)
MIGRATING = [post_id for _, _, posts in batches.PARTITIONS for post_id in posts if disposition_of(post_id) == "migrate"]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path: Path) -> StagingStore:
    store = batches.empty_store(request, tmp_path)
    batches.put_staged(store)
    return store


def faults(store: StagingStore, **given: object) -> list[str]:
    """Reconcile; return the lines of the error after its first, without the partition in each."""
    known = {"source_posts": POSTS, "evidence": evidence(), "now": LATER}
    with pytest.raises(ReconciliationError) as raised:
        reconcile(store, "natt-1", **{**known, **given})
    first, *lines = str(raised.value).split("\n  ")
    assert first == "batch natt-1 does not add up:"
    assert not re.search(r"\d{12}|Testsson|Orsak|uppföljning", str(raised.value)), "a personal value in the message"
    return lines


def at(table: sa.Table, *post_ids: int) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.batch_id == "natt-1", table.c.post_id.in_(post_ids))


def test_batch_that_adds_up_is_summed_up_by_unit(store: StagingStore) -> None:
    found = reconcile_all(store)
    assert dataclasses.asdict(found) == {
        "batch_id": "natt-1",
        "posts": POSTS,
        "staged": len(MIGRATING),
        "findings": len(batches.rows(store, finding)),
        "partitions": 3,
        "keys_compared": POSTS,
        "hashes_compared": len(MIGRATING),
    }
    batch = store.batch("natt-1")
    assert (batch.state, batch.posts_extracted, batch.posts_staged) == (BatchState.STAGED, POSTS, len(MIGRATING))
    summary = {(row["enhet_hsa_id"], row["disposition"]): row["posts"] for row in batches.rows(store, unit_summary)}
    assert sum(summary.values()) == POSTS
    everyone = [post_id for _, _, posts in batches.PARTITIONS for post_id in posts]
    for place, unit in enumerate(batches.UNITS):
        of_unit = [post_id for post_id in everyone if post_id % 3 == place]
        assert summary[unit or "", "migrate"] == sum(disposition_of(post_id) == "migrate" for post_id in of_unit)
        assert summary[unit or "", "leave"] == sum(disposition_of(post_id) == "leave" for post_id in of_unit)


def digest_of_requests(posts: Sequence[int]) -> str:
    """Return the digest that the assessment of a partition would leave."""
    digest = ContentDigest()
    for part in batches.chunks(posts, 30):
        digest.update("bokningsbegaran", part.bokningsbegaran)
    return digest.hexdigest()


def test_each_request_that_is_read_back_is_looked_at_once_with_its_go_live(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    request.param = "postgresql"
    store = batches.empty_store(request, tmp_path)
    batches.put_staged(store)
    execute(store, disposition.update().where(at(disposition, 9)).values(driftstart=dt.date(2025, 12, 24)))
    execute(store, disposition.update().where(at(disposition, 204)).values(driftstart=None))
    seen: list[pa.Table] = []
    parts = [
        dataclasses.replace(part, requests_digest=lambda posts=posts: digest_of_requests(posts))
        for part, (_, _, posts) in zip(evidence(), batches.PARTITIONS, strict=True)
    ]
    reconcile(store, "natt-1", source_posts=POSTS, evidence=parts, now=LATER, look=seen.append)
    with store.database.reading() as read:
        kept = pa.concat_tables(read_requests(read, "natt-1"))
    assert pa.concat_tables(seen).sort_by("post_id").to_pylist() == kept.to_pylist()
    go_live = dict(zip(*(kept[name].to_pylist() for name in ("post_id", "driftstart")), strict=True))
    assert list(go_live) == MIGRATING
    assert (go_live[9], go_live[204]) == (dt.date(2025, 12, 24), None)


def test_the_go_live_of_a_request_without_a_post_is_not_known() -> None:
    day = dt.date(2025, 12, 24)
    posts = pa.table({"post_id": [2, 4, 6], "driftstart": pa.array([day, None, day], pa.date32())})
    found = with_go_live(pa.table({"post_id": [1, 2, 3, 4, 6, 7]}), posts)
    assert found["driftstart"].to_pylist() == [None, day, None, None, day, None]
    assert with_go_live(pa.table({"post_id": [1]}), posts.slice(0, 0))["driftstart"].to_pylist() == [None]


def test_a_comparison_without_its_data_is_not_reported_as_made(store: StagingStore) -> None:
    counts = [dataclasses.replace(part, post_ids=None, row_hashes=None) for part in evidence()]
    found = reconcile(store, "natt-1", source_posts=POSTS, evidence=counts, now=LATER)
    assert (found.posts, found.keys_compared, found.hashes_compared) == (POSTS, 0, 0)


def test_snapshot_may_come_in_any_order_and_in_pieces(store: StagingStore) -> None:
    shuffled = [
        dataclasses.replace(
            part,
            post_ids=lambda part=part: np.array_split(np.flip(np.concatenate(list(part.post_ids()))), 7),
            row_hashes=lambda part=part: [pa.concat_tables(part.row_hashes()).sort_by([("post_id", "descending")])],
        )
        for part in evidence()
    ]
    assert reconcile(store, "natt-1", source_posts=POSTS, evidence=shuffled, now=LATER).posts == POSTS


def test_batch_that_does_not_add_up_fails_and_is_not_shown(store: StagingStore) -> None:
    reconcile_all(store)
    store.mark_verified("natt-1", batches.NOW)
    before = batches.rows(store, unit_summary)
    execute(store, bokningsbegaran.delete().where(at(bokningsbegaran, 8)))
    faults(store)
    found = store.batch("natt-1")
    assert (found.state, found.finished_at) == (BatchState.FAILED, LATER)
    assert batches.rows(store, unit_summary) == before
    with pytest.raises(StagingError, match="is failed and has not been reconciled: it cannot be verified"):
        store.mark_verified("natt-1", LATER)
    faults(store)
    lower, upper, posts = batches.PARTITIONS[0]
    store.stage_partition("natt-1", lower, upper, batches.chunks(posts))
    store.mark_staged("natt-1")
    assert reconcile_all(store).posts == POSTS


def test_batch_that_failed_in_another_step_than_reconciliation_can_be_verified_afterwards(store: StagingStore) -> None:
    store.mark_failed("natt-1", LATER)
    assert reconcile_all(store).posts == POSTS
    assert store.batch("natt-1").state is BatchState.FAILED
    store.mark_verified("natt-1", LATER)
    assert store.batch("natt-1").state is BatchState.VERIFIED


def test_open_batch_is_not_reconciled(store: StagingStore) -> None:
    batches.open_batch(store)
    with pytest.raises(StagingError, match="is open: only a staged one can be reconciled"):
        reconcile_all(store)


def test_batch_staged_again_meanwhile_is_neither_summed_up_nor_failed(store: StagingStore) -> None:
    def staged_again() -> list[np.ndarray]:
        store.stage_partition("natt-1", 200, None, batches.chunks(range(200, 230)))
        store.mark_staged("natt-1")
        return [np.arange(1, 100)]

    first, *others = evidence()
    parts = [dataclasses.replace(first, post_ids=staged_again), *others]
    with pytest.raises(StagingError, match="was staged again while it was reconciled"):
        reconcile(store, "natt-1", source_posts=POSTS, evidence=parts, now=LATER)
    assert store.batch("natt-1").state is BatchState.STAGED
    assert batches.rows(store, unit_summary) == []


# Tampered rows


def test_changed_cell_is_found(store: StagingStore) -> None:
    cells = {
        "person_id": person_id(4711),
        "patientnamn": "Någon Annan",
        "begart_startdatum": dt.date(2025, 12, 24),
        "begart_slutdatum": dt.date(2025, 12, 24),
        "besokstyp": "SDV Pv Läk Återbesök",
        "begard_plats": None,
        "vardinrattning": "Demo ",
        "beskrivning": "Orsak: uppföljning aao",
        "sekretess": True,
    }
    for column, value in cells.items():
        batches.put_staged(store)
        execute(store, bokningsbegaran.update().where(at(bokningsbegaran, 9, 204)).values({column: value}))
        told = "booking requests that their row_hash does not fit: expected 0, found 2: post_id 9, 204"
        assert faults(store) == [told], column


def test_empty_text_instead_of_null_is_no_change_since_both_mean_nothing(store: StagingStore) -> None:
    execute(store, bokningsbegaran.update().where(at(bokningsbegaran, 28)).values(beskrivning=""))
    assert reconcile_all(store).posts == POSTS


def test_row_changed_together_with_its_hash_is_found_by_what_the_assessment_made(store: StagingStore) -> None:
    other = batches.chunk([9], text="Orsak: ändrad").bokningsbegaran.to_pylist()[0]
    execute(store, bokningsbegaran.update().where(at(bokningsbegaran, 9)).values(other))
    assert faults(store) == [
        "booking requests with another row_hash than they were made with, in partition [, 100):"
        " expected 0, found 1: post_id 9"
    ]


def test_swapped_hashes_are_found_twice_over(store: StagingStore) -> None:
    hashes = {row["post_id"]: row["row_hash"] for row in batches.rows(store, bokningsbegaran)}
    for post_id, other in ((1, 4), (4, 1)):
        execute(store, bokningsbegaran.update().where(at(bokningsbegaran, post_id)).values(row_hash=hashes[other]))
    assert faults(store) == [
        "booking requests with another row_hash than they were made with, in partition [, 100):"
        " expected 0, found 2: post_id 1, 4",
        "booking requests that their row_hash does not fit: expected 0, found 2: post_id 1, 4",
    ]


def test_lost_booking_request_is_found(store: StagingStore) -> None:
    execute(store, bokningsbegaran.delete().where(at(bokningsbegaran, 8)))
    staged = sum(post_id < 100 for post_id in MIGRATING)
    assert faults(store) == [
        f"rows of bokningsbegaran in partition [an open end, 100), by what was loaded:"
        f" expected {staged}, found {staged - 1}",
        "booking requests that were made but not stored, in partition [, 100): expected 0, found 1: post_id 8",
        "posts that migrate without a booking request: expected 0, found 1: post_id 8",
    ]


def test_lost_post_is_found(store: StagingStore) -> None:
    lost = 134
    assert disposition_of(lost) == "leave"
    execute(store, disposition.delete().where(at(disposition, lost)))
    assert faults(store) == [
        "posts in partition [100, 200), by the snapshot's count: expected 100, found 99",
        "rows of disposition in partition [100, 200), by what was loaded: expected 100, found 99",
        f"posts with a disposition, by the snapshot's count: expected {POSTS}, found {POSTS - 1}",
        "posts of the snapshot without a disposition, in partition [100, 200): expected 0, found 1: post_id 134",
    ]


def test_post_exchanged_for_another_is_found_though_every_count_agrees(store: StagingStore) -> None:
    execute(store, disposition.update().where(at(disposition, 259)).values(post_id=9_000))
    assert disposition_of(259) == "fix_in_pmo"
    assert faults(store) == [
        "posts of the snapshot without a disposition, in partition [200, ): expected 0, found 1: post_id 259",
        "posts with a disposition that the snapshot lacks, in partition [200, ): expected 0, found 1: post_id 9000",
    ]


def test_added_rows_are_found(store: StagingStore) -> None:
    added = batches.chunk([9_000, 9_002, 9_005])
    for table, rows in ((disposition, added.dispositions), (bokningsbegaran, added.bokningsbegaran)):
        execute(store, table.insert().values([{"batch_id": "natt-1", **row} for row in rows.to_pylist()]))
    found = faults(store)
    assert f"posts with a disposition, by the snapshot's count: expected {POSTS}, found {POSTS + 3}" in found
    assert (
        "posts with a disposition that the snapshot lacks, in partition [200, ):"
        " expected 0, found 3: post_id 9000, 9002, 9005"
    ) in found
    assert (
        "booking requests that were stored but never made, in partition [200, ): expected 0, found 1: post_id 9000"
    ) in found


def test_disposition_that_no_longer_fits_its_request_is_found_both_ways(store: StagingStore) -> None:
    execute(store, disposition.update().where(at(disposition, 1)).values(disposition="leave"))
    execute(store, disposition.update().where(at(disposition, 2)).values(disposition="migrate"))
    assert faults(store) == [
        "posts that migrate without a booking request: expected 0, found 1: post_id 2",
        "booking requests of posts that do not migrate: expected 0, found 1: post_id 1",
    ]


def test_finding_without_a_post_is_found(store: StagingStore) -> None:
    stray = {"batch_id": "natt-1", "post_id": 9_000, "rule": "DATE_EXPIRED", "severity": "blocks", "detail": None}
    execute(store, finding.insert().values(stray))
    loaded = sum(row["post_id"] >= 200 for row in batches.rows(store, finding)) - 1
    assert faults(store) == [
        f"rows of finding in partition [200, an open end), by what was loaded: expected {loaded}, found {loaded + 1}",
        "findings of posts without a disposition: expected 0, found 1: post_id 9000",
    ]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_null_and_repeated_keys_are_found_where_the_key_constraint_is_gone(kind: str, request, tmp_path: Path) -> None:
    request.param = kind
    store = batches.store_of_its_own(request, tmp_path)
    batches.put_staged(store)
    rows, first = schema.disposition_row, schema.disposition_row.c.batch_no == 1
    copy = sa.select(*rows.c).where(first, rows.c.post_id.in_([3, 5]))
    null = sa.select(*(literal(None).label("post_id") if column is rows.c.post_id else column for column in rows.c))
    if kind == "sqlite":
        for statement in (
            "CREATE TABLE copied AS SELECT * FROM disposition_row",
            "DROP TABLE disposition_row",
            "CREATE TABLE disposition_row AS SELECT * FROM copied",
        ):
            execute(store, sa.text(statement))
        execute(store, rows.insert().from_select(rows.c.keys(), null.where(first, rows.c.post_id == 6)))
    else:
        # A row without a key fits no partition.
        execute(store, sa.text(f"ALTER TABLE {rows.fullname} DROP CONSTRAINT disposition_row_pkey"))
    execute(store, rows.insert().from_select(rows.c.keys(), copy))
    lost = ["rows of disposition without a post_id: expected 0, found 1"] if kind == "sqlite" else []
    told = [*lost, "posts that occur more than once in disposition: expected 0, found 2: post_id 3, 5"]
    assert faults(store)[: len(told)] == told


# Counts and partitions


def without(number: int) -> list[PartitionEvidence]:
    return [part for place, part in enumerate(evidence()) if place != number]


def test_source_that_counted_differently_from_the_snapshot_is_found(store: StagingStore) -> None:
    assert faults(store, source_posts=POSTS + 2) == [
        f"posts in the snapshot, by the source's count: expected {POSTS + 2}, found {POSTS}"
    ]


def test_snapshot_part_with_a_post_twice_is_found(store: StagingStore) -> None:
    first, *others = evidence()
    twice = dataclasses.replace(first, post_ids=lambda: [np.arange(1, 100), np.array([5])])
    assert faults(store, evidence=[twice, *others]) == [
        "posts that occur more than once in the snapshot, in partition [, 100): expected 0, found 1: post_id 5"
    ]


def unstaged(store: StagingStore) -> None:
    execute(store, batch_partition.delete().where(batch_partition.c.lower_key == 100))


def moved(store: StagingStore) -> None:
    execute(store, batch_partition.update().where(batch_partition.c.lower_key == 200).values(lower_key=150))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (unstaged, "one ends at 100, the next begins at 200"),
        (moved, "one ends at 200, the next begins at 150"),
    ],
)
def test_partitions_that_leave_a_gap_or_overlap_are_found(
    store: StagingStore, change: Callable[[StagingStore], None], told: str
) -> None:
    change(store)
    assert f"staged partitions do not cover every key once: {told}" in faults(store)


def test_partition_that_was_never_staged_is_found(store: StagingStore) -> None:
    unstaged(store)
    assert "partition [100, 200) of the snapshot: not staged" in faults(store)


def test_snapshot_that_lacks_a_part_is_found(store: StagingStore) -> None:
    assert faults(store, evidence=without(1)) == [
        f"posts in the snapshot, by the source's count: expected {POSTS}, found {POSTS - 100}",
        f"posts with a disposition, by the snapshot's count: expected {POSTS - 100}, found {POSTS}",
    ]


def test_twenty_posts_are_named_and_the_rest_counted(store: StagingStore) -> None:
    execute(store, bokningsbegaran.update().where(bokningsbegaran.c.batch_id == "natt-1").values(begard_plats="X"))
    (line,) = faults(store)
    named = ", ".join(map(str, MIGRATING[:20]))
    assert line == (
        f"booking requests that their row_hash does not fit: expected 0, found {len(MIGRATING)}:"
        f" post_id {named} and {len(MIGRATING) - 20} more"
    )


def test_database_without_a_hash_of_its_own_compares_by_streaming(
    store: StagingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(store, bokningsbegaran.update().where(at(bokningsbegaran, 9)).values(sekretess=True))
    in_the_database = faults(store)
    store.mark_staged("natt-1")
    monkeypatch.setattr(store.database, "hashes_rows", False)
    assert faults(store) == in_the_database
