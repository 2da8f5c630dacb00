"""A change of a released post in PMO is reported by the names of columns, and by nothing else."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.support.posts import (
    GO_LIVE,
    PERSON,
    UNIT,
    UNIT_CHILD_HEALTH,
    UNIT_UNLISTED,
    context,
    official,
    table,
    unit,
)

from waitlist.judge import booking_request
from waitlist.judge.posts import Posts
from waitlist.judge.request_columns import COLUMNS, HASH_VERSION
from waitlist.staging import changes
from waitlist.staging.changes import SCHEMA, compare
from waitlist.swedish.words import REQUEST_LABELS

Post = Mapping[str, Any]

OTHER_PERSON = official(dt.date(1990, 5, 6))
COORDINATION_NUMBER = "850374-2380"


def released(*posts: Post) -> pa.Table:
    """Booking requests as the release left them, with the unit of each."""
    read = table(*posts)
    requests = booking_request.build(Posts(read, context()), np.ones(len(posts), np.bool_))
    requests = requests.drop_columns("row_hash").append_column("enhet_hsa_id", read["enhet_hsa_id"])
    return requests.append_column("row_hash_version", pa.array([HASH_VERSION] * len(posts), pa.int32()))


def found(now: pa.Table, before: pa.Table, *, units: frozenset[str] | None = None, **facts: Any) -> list[Any]:
    rows = compare(now, before, context(**facts), units)
    assert rows.schema.equals(SCHEMA)
    return [tuple(row.values()) for row in rows.to_pylist()]


def columns(**spoilt: Any) -> str | None:
    """The columns reported for one clean post that was released and then changed."""
    rows = found(table(spoilt), released({}))
    assert [row[:2] for row in rows] in ([], [(1, "changed")])
    return rows[0][2] if rows else None


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        ({"personnummer": OTHER_PERSON}, "person_id"),
        ({"patient": "Lindqvist, Åse"}, "patientnamn"),
        ({"boka_from": "2025-01-21"}, "begart_startdatum"),
        ({"boka_fore": "2025-03-21"}, "begart_slutdatum"),
        ({"kategori": "SDV Pv Läk Återbesök (diabetes)"}, "besokstyp"),
        ({"enhet": "Vårdcentralen Flyttad"}, "begard_plats, vardinrattning"),
        ({"orsak": "Årskontroll"}, "beskrivning"),
        ({"planerade_atgarder": None, "orsak": None, "anvandare": None}, "beskrivning"),
        ({"sekretess": True}, "sekretess"),
        ({"sekretess": True, "boka_fore": "2025-03-21", "orsak": "Ny"}, "begart_slutdatum, beskrivning, sekretess"),
    ],
    ids=str,
)
def test_a_change_is_reported_by_its_columns_in_order(spoilt: Post, told: str) -> None:
    assert columns(**spoilt) == told


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        ({"personnummer": None}, "person_id"),
        ({"personnummer": COORDINATION_NUMBER}, "person_id"),
        ({"personnummer": PERSON[:-1] + "x"}, "person_id"),
        ({"patient": "  "}, "patientnamn"),
        ({"boka_from": None}, "begart_startdatum"),
        ({"boka_fore": "efter semestern"}, "begart_slutdatum"),
        ({"boka_fore": "2025-01-01"}, "begart_slutdatum"),
        ({"kategori": "Finns ej"}, "besokstyp"),
        ({"kategori": "Diabetesmottagning"}, "besokstyp"),
        ({"kategori": None, "boka_fore": None, "personnummer": ""}, "begart_slutdatum, besokstyp, person_id"),
    ],
    ids=str,
)
def test_a_post_without_a_request_is_reported_by_the_columns_that_became_unusable(spoilt: Post, told: str) -> None:
    assert columns(**spoilt) == told


def test_a_post_that_would_give_no_request_at_all_says_why() -> None:
    assert columns(vantar_pa_besok=False) == "vantar_pa_besok"
    assert columns(nybesok=True) == "nybesok"


@pytest.mark.parametrize(
    "spoilt",
    [
        {},
        {"patient": "  Lindqvist,  Åsa "},
        {"personnummer": "19" + PERSON},
        {"kategori": " sdv pv ssk återbesök (diabetes)"},
        {"orsak": "Årskontroll \n diabetes"},
        {"boka_fore": "2025-03-20 23:59:00"},
        {"har_bilaga": True, "filial": "Åkarp", "kontaktform": "video", "tidsatgang_min": 45},
        {"andrad": dt.datetime(2024, 9, 30, 12)},  # noqa: DTZ001 - PMO's timestamps are naive
    ],
    ids=str,
)
def test_a_value_that_is_not_in_the_request_is_no_change(spoilt: Post) -> None:
    assert columns(**spoilt) is None


@pytest.mark.parametrize("as_of", [dt.date(2024, 10, 1), GO_LIVE, dt.date(2026, 1, 1)], ids=str)
def test_time_alone_changes_nothing(as_of: dt.date) -> None:
    assert found(table({}), released({}), as_of=as_of) == []


def test_an_empty_text_and_no_text_are_the_same() -> None:
    empty = {"orsak": None, "planerade_atgarder": None, "anvandare": None}
    before = released(empty)
    place = before.column_names.index("beskrivning")
    for stored in ("", None):
        given = before.set_column(place, "beskrivning", pa.array([stored], pa.string()))
        assert found(table(empty), given) == []


def test_another_mapping_is_a_change_too() -> None:
    moved = unit(UNIT, GO_LIVE, "Pv", begard_plats="Mottagning 2")
    rows = compare(table({}), released({}), context(units=(moved,)), None)
    assert rows["columns"].to_pylist() == ["begard_plats"]
    unlisted = compare(table({}), released({}), context(units=(unit(UNIT_UNLISTED, GO_LIVE, "Pv"),)), None)
    assert unlisted.num_rows == 0


def test_a_post_that_is_no_longer_read_is_gone() -> None:
    before = released({}, {}, {}, {})
    now = table({"post_id": 2}, {"post_id": 3, "sekretess": True}, {"post_id": 7})
    assert found(now, before) == [(1, "gone", ""), (3, "changed", "sekretess"), (4, "gone", "")]


def test_a_post_of_a_unit_that_was_not_read_is_not_missed() -> None:
    before = released({}, {"enhet_hsa_id": UNIT_CHILD_HEALTH}, {"enhet_hsa_id": f" {UNIT.lower()} "})
    nothing = table().slice(0, 0)
    assert found(nothing, before, units=frozenset({UNIT})) == [(1, "gone", ""), (3, "gone", "")]
    assert found(nothing, before) == [(1, "gone", ""), (2, "gone", ""), (3, "gone", "")]


def test_a_post_that_moved_to_a_unit_that_was_read_is_compared() -> None:
    before = released({"enhet_hsa_id": UNIT_CHILD_HEALTH})
    moved = table({"enhet": "Vårdcentralen Ny"})
    assert found(moved, before, units=frozenset({UNIT})) == [(1, "changed", "begard_plats, enhet, vardinrattning")]


@pytest.mark.parametrize("now", [UNIT_CHILD_HEALTH, UNIT_UNLISTED, None])
def test_a_post_that_moved_to_another_unit_of_the_same_name_is_reported_by_its_unit(now: str | None) -> None:
    assert columns(enhet_hsa_id=now) == "enhet"


@pytest.mark.parametrize("before", [f" {UNIT.lower()} ", None])
def test_a_unit_with_another_spelling_or_an_unknown_unit_is_no_move(before: str | None) -> None:
    request = released({})
    place = request.column_names.index("enhet_hsa_id")
    given = request.set_column(place, "enhet_hsa_id", pa.array([before], pa.string()))
    assert found(table({}), given) == []


def test_posts_that_were_never_released_are_not_reported() -> None:
    assert found(table({}, {"personnummer": None}), released({}).slice(0, 0)) == []


def test_every_column_that_may_be_reported_has_its_swedish_name() -> None:
    of_the_request = {name for name in booking_request.SCHEMA.names if name not in {"post_id", "row_hash"}}
    assert set(REQUEST_LABELS) == of_the_request | {"vantar_pa_besok", "nybesok", "enhet"} | set(changes.PERSONS)


def test_column_that_a_release_did_not_have_is_no_change_by_pmo(monkeypatch: pytest.MonkeyPatch) -> None:
    later = tuple(
        replace(column, since=HASH_VERSION + 1) if column.name == "patientnamn" else column for column in COLUMNS
    )
    monkeypatch.setattr(changes, "COLUMNS", later)
    before = released({})
    now = table({"patient": "Lindqvist, Åse", "boka_fore": "2025-03-21"})
    assert found(now, before) == [(1, "changed", "begart_slutdatum")]
    place = before.column_names.index("row_hash_version")
    known = before.set_column(place, "row_hash_version", pa.array([HASH_VERSION + 1], pa.int32()))
    assert found(now, known) == [(1, "changed", "begart_slutdatum, patientnamn")]
