"""Answers of the person service in the staging schema, and the moment before which nobody asks it."""

import datetime as dt
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.support import batches

from waitlist.judge.persons import ANSWERS
from waitlist.source.pu.rest import REST, Rest
from waitlist.staging import StagingStore, persons, schema

FIRST, SECOND = "198503142383", "199002012384"
MONDAY = dt.datetime(2024, 10, 7, 3, 0, tzinfo=dt.UTC)
TUESDAY = MONDAY + dt.timedelta(days=1)
HASH, OTHER_HASH = "a" * 64, "b" * 64
KNOWN: Mapping[str, Any] = {
    "found": True,
    "protected_person": True,
    "protected_record": False,
    "test_person": True,
    "is_primary": False,
    "deregistered": True,
    "reason": "UV",
    "found_dead": False,
}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StagingStore]:
    store = batches.store_of_its_own(request, tmp_path)
    yield store
    store.engine.dispose()


def answers(*numbers: str, **changed: Any) -> pa.Table:
    rows = [{**KNOWN, **changed, "person_id": number} for number in numbers]
    return pa.Table.from_pylist(rows, schema=ANSWERS)


def comparisons(*rows: tuple[str, str, bool]) -> pa.Table:
    columns = [dict(zip(persons.COMPARISONS.names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(columns, schema=persons.COMPARISONS)


def between(store: StagingStore, since: dt.datetime, until: dt.datetime) -> tuple[list[Any], list[Any]]:
    numbers = [row["person_id"] for row in batches.rows(store, schema.person_status)]
    found, compared = persons.read(store.database, numbers, since=since, until=until)
    assert (found.schema, compared.schema) == (persons.KEPT, persons.COMPARISONS)
    assert all(since <= moment <= until for moment in found["asked_at"].to_pylist())
    return found.drop(["asked_at"]).to_pylist(), compared.to_pylist()


def test_an_answer_is_read_as_it_was_kept(store: StagingStore) -> None:
    told = answers(FIRST), comparisons((FIRST, HASH, True), (FIRST, OTHER_HASH, False))
    persons.keep(store.database, *told, asked_at=MONDAY)
    assert between(store, MONDAY, MONDAY) == tuple(table.to_pylist() for table in told)


def test_only_what_was_answered_within_the_moments_is_read(store: StagingStore) -> None:
    persons.keep(store.database, answers(FIRST), comparisons((FIRST, HASH, True)), asked_at=MONDAY)
    persons.keep(store.database, answers(SECOND), comparisons(), asked_at=TUESDAY)
    moment = dt.timedelta(seconds=1)
    assert [row["person_id"] for row in between(store, MONDAY, TUESDAY)[0]] == [FIRST, SECOND]
    assert [row["person_id"] for row in between(store, MONDAY + moment, TUESDAY)[0]] == [SECOND]
    assert between(store, MONDAY, TUESDAY - moment)[0] == answers(FIRST).to_pylist()
    assert between(store, MONDAY + moment, TUESDAY)[1] == []


def test_a_later_answer_takes_the_place_of_an_earlier_one_and_of_its_comparisons(store: StagingStore) -> None:
    both = comparisons((FIRST, HASH, True), (SECOND, HASH, True))
    persons.keep(store.database, answers(FIRST, SECOND), both, asked_at=MONDAY)
    later = answers(FIRST, found=False, reason=None), comparisons((FIRST, OTHER_HASH, False))
    persons.keep(store.database, *later, asked_at=TUESDAY)
    assert between(store, TUESDAY, TUESDAY) == tuple(table.to_pylist() for table in later)
    assert between(store, MONDAY, MONDAY) == (answers(SECOND).to_pylist(), both.slice(1).to_pylist())


def test_more_persons_than_a_statement_takes_are_kept_twice_over(store: StagingStore) -> None:
    numbers = [f"{number:012}" for number in range(2_345)]
    for moment in (MONDAY, TUESDAY):
        persons.keep(store.database, answers(*numbers), comparisons(), asked_at=moment)
    assert [row["person_id"] for row in between(store, MONDAY, TUESDAY)[0]] == numbers


def test_answers_go_when_they_are_old(store: StagingStore) -> None:
    persons.keep(store.database, answers(FIRST), comparisons((FIRST, HASH, True)), asked_at=MONDAY)
    persons.keep(store.database, answers(SECOND), comparisons((SECOND, HASH, True)), asked_at=TUESDAY)
    assert persons.count_older(store.database, MONDAY) == persons.remove_older(store.database, MONDAY) == 0
    assert persons.count_older(store.database, TUESDAY) == persons.remove_older(store.database, TUESDAY) == 1
    assert batches.rows(store, schema.person_name) == [
        {"person_id": SECOND, "name_hash": HASH, "asked_at": TUESDAY, "agrees": True}
    ]
    assert [row["person_id"] for row in batches.rows(store, schema.person_status)] == [SECOND]


def test_no_column_is_one_for_a_name_or_an_address() -> None:
    columns = {column.name for table in (schema.person_status, schema.person_name) for column in table.columns}
    assert columns == {*ANSWERS.names, *persons.COMPARISONS.names, "asked_at"}


def test_the_moment_before_which_nobody_asks_only_moves_on(store: StagingStore) -> None:
    rest: Rest = persons.DatabaseRest(store.database)
    assert rest.until() is None
    rest.rest_until(MONDAY)
    rest.rest_until(MONDAY - REST)
    assert rest.until() == MONDAY
    rest.rest_until(MONDAY + REST)
    assert persons.DatabaseRest(store.database).until() == MONDAY + REST


def set_rest(url: str, minutes: int, go: float) -> None:
    rest = persons.DatabaseRest(StagingStore(url).database)
    time.sleep(max(0.0, go - time.time()))
    rest.rest_until(MONDAY + dt.timedelta(minutes=minutes))


def test_of_processes_that_fail_at_once_the_latest_moment_counts(store: StagingStore) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    go = time.time() + 2
    processes = batches.in_processes(*((set_rest, (url, minutes, go)) for minutes in (3, 5, 1, 4)))
    assert batches.exit_codes(processes) == [0] * 4
    assert persons.DatabaseRest(store.database).until() == MONDAY + REST


def test_only_about_those_asked_for_is_read_and_without_an_end_everything_since(store: StagingStore) -> None:
    persons.keep(store.database, answers(FIRST, SECOND), comparisons(), asked_at=TUESDAY)
    found, _ = persons.read(store.database, [SECOND], since=MONDAY)
    assert found.to_pylist() == [{**answers(SECOND).to_pylist()[0], "asked_at": TUESDAY}]
    assert not persons.read(store.database, [], since=MONDAY)[0].num_rows


def test_a_check_is_recorded_for_its_profile_alone_and_the_last_one_counts(store: StagingStore) -> None:
    for moment in (MONDAY, TUESDAY):
        persons.record_check(store.database, "P1", deceased_seen_at=moment)
    assert persons.deceased_seen_at(store.database, "P1") == TUESDAY
    assert persons.deceased_seen_at(store.database, "P2") is None
