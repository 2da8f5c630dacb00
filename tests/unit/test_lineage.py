"""The lineage of columns: from every field of a booking request back to PMO, and true of what is computed."""

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from tests.support import posts
from tests.support.posts import PERSON_ID, UNIT, UNIT_LIVE

from waitlist import paths
from waitlist.judge import booking_request
from waitlist.judge.persons import ANSWERS, Persons
from waitlist.judge.posts import Posts
from waitlist.judge.request_columns import COLUMNS, NAMES
from waitlist.lineage import HANDED_OFF, PMO, RELEASED, REQUESTS, WAITLIST, DataSet, Made, flows
from waitlist.release.handoff import booking_csv
from waitlist.schema import POSTS

FLOWS = flows(handed_off=True)
PROTECTED = Persons(
    pa.Table.from_pylist(
        [
            {
                "person_id": PERSON_ID, "found": True, "protected_person": True, "protected_record": False,
                "test_person": False, "is_primary": True, "deregistered": False, "reason": None, "found_dead": False,
            }
        ],
        schema=ANSWERS,
    ),
    np.empty(0, np.int64),
)  # fmt: skip
OTHER = {
    "post_id": 7,
    "personnummer": posts.official(posts.AS_OF.replace(year=1990)),
    "patient": "Ek, Bo",
    "sekretess": True,
    "enhet_hsa_id": UNIT_LIVE,
    "enhet": "Mottagningen Provet",
    "kategori": "SDV Pv Läk Återbesök",
    "kontaktform": "telefon",
    "vantar_pa_besok": False,
    "nybesok": True,
    "har_bilaga": True,
    "boka_from": "2025-02-20",
    "boka_fore": "2025-04-20",
    "orsak": "Annan orsak",
    "planerade_atgarder": "Andra åtgärder",
    "anvandare": "Annan Användare",
    "tidsatgang_min": 45,
    "filial": "Norr",
    "registrerad": posts.CLEAN["registrerad"].replace(day=2),
    "andrad": posts.CLEAN["registrerad"].replace(day=3),
    "avslutad": posts.CLEAN["registrerad"].replace(day=4),
}
"""Another value for every column of the source query."""


def made() -> Iterator[Made]:
    return (made for flow in FLOWS.values() for made in flow.makes)


def origins_in_pmo(data_set: DataSet, column: str) -> set[str]:
    """Follow a column back through every step, to PMO's columns."""
    if data_set.place == PMO:
        return {column}
    before = [origin for one in made() if one.data_set == data_set for origin in one.origins.get(column, ())]
    return {name for origin in before for name in origins_in_pmo(origin.data_set, origin.column)}


def request(persons: Persons | None, planned: str, **post: object) -> dict[str, object]:
    """Return the booking request of a post, of units whose plan names a place or does not."""
    names = {UNIT: f"{planned} ett", UNIT_LIVE: f"{planned} två"} if planned else dict.fromkeys((UNIT, UNIT_LIVE))
    plan = tuple(
        posts.unit(hsa_id, posts.GO_LIVE, "Pv", begard_plats=name, vardinrattning=name)
        for hsa_id, name in names.items()
    )
    context = posts.context(units=plan, include_duration=True)
    chunk = Posts(posts.table({"post_id": 1, **post}), context, persons=persons)
    (row,) = booking_request.build(chunk, np.array([True])).to_pylist()
    return row


def test_every_field_of_a_request_goes_back_to_the_columns_of_its_declaration() -> None:
    for column in COLUMNS:
        assert origins_in_pmo(REQUESTS, column.name) == set(column.sources) != set()
        assert origins_in_pmo(RELEASED, column.name) == set(column.sources)
        assert origins_in_pmo(HANDED_OFF, booking_csv.HEADER[column.name]) == set(column.sources)
    assert origins_in_pmo(RELEASED, "post_id") == {"post_id"}
    assert origins_in_pmo(RELEASED, "row_hash") == {"post_id"} | {name for column in COLUMNS for name in column.sources}
    assert set(RELEASED.columns) - {"batch_id"} == {"post_id", *NAMES, "row_hash"}
    assert set(REQUESTS.columns) == {*RELEASED.columns, "batch_no"}


def test_a_data_set_names_no_column_that_it_lacks() -> None:
    for one in made():
        assert set(one.origins) <= set(one.data_set.columns)
        for origin in (origin for found in one.origins.values() for origin in found):
            assert origin.column in origin.data_set.columns
    for facts in (read for read in FLOWS["assess"].reads if read.place == "mappings"):
        header = (paths.MAPPINGS / facts.name).read_text(encoding="utf-8").splitlines()[0]
        assert set(facts.columns) <= set(header.split(","))
    view = (paths.SQL / "staging" / "create_bokningsbegaran_released.3.sql").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^ +(?:hex_digits\()?(?:released|request)\.(\w+)", view, re.MULTILINE)) == RELEASED.columns


def test_the_hand_off_is_named_only_where_there_is_one() -> None:
    assert "hand_off" not in flows(handed_off=False)
    assert {one.data_set.name for one in FLOWS["hand_off"].makes} == {"bokningsbegaran.csv", "appointments.ndjson"}


@pytest.mark.parametrize("name", POSTS.names)
def test_a_column_of_pmo_changes_the_fields_that_name_it_and_no_other(name: str) -> None:
    """In a unit with names of its own in the plan, and in one without."""
    assert WAITLIST.columns == tuple(OTHER)
    changed: set[str] = set()
    for persons in (None, PROTECTED):
        for planned in ("", "Plats"):
            before, after = request(persons, planned), request(persons, planned, **{name: OTHER[name]})
            changed |= {field for field in NAMES if before[field] != after[field]}
    assert changed - {"sekretess"} == {column.name for column in COLUMNS if name in column.sources} - {"sekretess"}
    if name != "vantar_pa_besok":  # of a patient that does not wait, nobody is asked; such a post does not migrate
        assert ("sekretess" in changed) is (name in {"sekretess", "personnummer"})
