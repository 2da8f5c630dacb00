"""Outcomes of posts are added and never changed; a request counts once, and of two writers the second gets the rows."""

import dataclasses
import datetime as dt
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from tests.support import batches, posts

from waitlist.staging import StagingStore, post_outcomes, schema
from waitlist.staging.post_outcomes import Entry, Overtaken, Recorded, record
from waitlist.staging.states import PostOutcome

NOW = dt.datetime(2024, 10, 1, 8, tzinfo=dt.UTC)
FIRST = Entry(7, 1, "A", "natt-1", NOW, "nurse", PostOutcome.BOOKED_PMO, word="tid 3 maj", about=("WITHIN_CUTOFF",))


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StagingStore]:
    made = batches.store_of_its_own(request, tmp_path)
    yield made
    made.engine.dispose()


def test_rows_are_read_as_they_were_written(store: StagingStore) -> None:
    undone = Entry(7, 2, "A", "natt-2", NOW, "other", PostOutcome.UNDONE, undoes=1)
    elsewhere = Entry(7, 3, "B", "natt-2", NOW, "third", PostOutcome.MOVED)
    for number, entry in enumerate((FIRST, undone, elsewhere)):
        assert record(store.database, entry, key=f"{number}") == Recorded(entry)
    with store.database.connected() as connection:
        assert post_outcomes.read_of_unit(connection, "A") == {7: (FIRST, undone)}
        assert post_outcomes.read_of_unit(connection, "B") == {7: (elsewhere,)}
        assert post_outcomes.last_numbers(connection, [7, 8]) == {7: 3}


def test_the_same_request_counts_once(store: StagingStore) -> None:
    later = dataclasses.replace(FIRST, at=NOW + dt.timedelta(seconds=5))
    assert record(store.database, FIRST, key="k") == record(store.database, later, key="k") == Recorded(FIRST)
    other = dataclasses.replace(FIRST, outcome=PostOutcome.MOVED)
    assert record(store.database, other, key="k") == Overtaken((FIRST,)), "a key is for one request"
    assert len(batches.rows(store, schema.post_outcome)) == 1


def test_a_replay_after_an_undoing_changes_nothing(store: StagingStore) -> None:
    record(store.database, FIRST, key="k")
    record(store.database, Entry(7, 2, "A", "natt-1", NOW, "nurse", PostOutcome.UNDONE, undoes=1), key="l")
    assert record(store.database, FIRST, key="k") == Recorded(FIRST)
    with store.database.connected() as connection:
        assert post_outcomes.current(post_outcomes.read_of_unit(connection, "A")[7]).outcome is None


@pytest.mark.parametrize(
    "second",
    [
        dataclasses.replace(FIRST, actor="other"),
        dataclasses.replace(FIRST, entry_no=2, actor="other", outcome=PostOutcome.MOVED),
        dataclasses.replace(FIRST, entry_no=3, outcome=PostOutcome.CHECKED),
        dataclasses.replace(FIRST, entry_no=2, outcome=PostOutcome.UNDONE, undoes=2, word=None),
        dataclasses.replace(FIRST, entry_no=2, unit="B", outcome=PostOutcome.UNDONE, undoes=1, word=None),
    ],
    ids=["who has not seen it", "an outcome beside another", "a gap", "undone twice", "of another unit"],
)
def test_who_comes_second_gets_the_first_ones_rows(store: StagingStore, second: Entry) -> None:
    record(store.database, FIRST, key="k")
    assert record(store.database, second, key="l") == Overtaken((FIRST,))
    assert len(batches.rows(store, schema.post_outcome)) == 1


def test_of_two_at_the_same_moment_one_is_told(store: StagingStore) -> None:
    together = threading.Barrier(2)

    def tell(actor: str) -> Recorded | Overtaken:
        together.wait()
        return record(store.database, dataclasses.replace(FIRST, actor=actor), key=actor)

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(tell, ["nurse", "other"]))
    (kept,) = (answer for answer in answers if isinstance(answer, Recorded))
    (told,) = (answer for answer in answers if isinstance(answer, Overtaken))
    assert told.entries == (kept.entry,)


@pytest.mark.parametrize(
    "wrong",
    [
        dataclasses.replace(FIRST, outcome=PostOutcome.NOT_NEEDED, word=None),
        dataclasses.replace(FIRST, word=posts.PERSON),
        dataclasses.replace(FIRST, outcome=PostOutcome.UNDONE, word=None),
        dataclasses.replace(FIRST, undoes=1),
    ],
)
def test_what_says_too_little_is_refused(store: StagingStore, wrong: Entry) -> None:
    with pytest.raises(ValueError, match=r"refused|undoes"):
        record(store.database, wrong, key="k")
    assert batches.rows(store, schema.post_outcome) == []


@pytest.mark.parametrize("values", [{"outcome": "not_needed", "word": ""}, {"outcome": "undone"}, {"outcome": "x"}])
def test_the_database_itself_refuses_it_too(store: StagingStore, values: dict[str, str]) -> None:
    row = {
        "post_id": 7, "entry_no": 1, "request_key": "k", "enhet_hsa_id": "", "batch_id": "b", "at": NOW, "actor": "a",
        "about": "",
    }  # fmt: skip
    with pytest.raises(IntegrityError), store.database.writing() as connection:
        connection.execute(sa.insert(schema.post_outcome).values(row | values))
