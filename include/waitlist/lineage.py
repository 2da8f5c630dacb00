"""Which columns each step's results come from: from PMO's columns to those of the booking requests and of the hand-off.

It follows from the declarations of the columns (``schema.POSTS``, ``judge.request_columns``) and holds names alone, so
it is the same for every batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from waitlist.judge.request_columns import COLUMNS
from waitlist.release.handoff import appointments, booking_csv
from waitlist.schema import POSTS
from waitlist.staging import schema

PMO: Final = "pmo"
SNAPSHOTS: Final = "snapshots"
MAPPINGS: Final = "mappings"
STAGING: Final = "staging"
HAND_OFF: Final = "hand_off"
PLACES: Final = (PMO, SNAPSHOTS, MAPPINGS, STAGING, HAND_OFF)
"""Where data sets are."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A table, a view or a kind of file.

    Attributes:
        place: one of ``PLACES``.
        name: of the table or file.
        columns: its columns; empty where their origins are not declared.
    """

    place: str
    name: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """A column that a value comes from; ``same`` where it is the value itself, unchanged."""

    data_set: DataSet
    column: str
    same: bool = False


Origins = Mapping[str, tuple[Origin, ...]]
"""By column."""


@dataclass(frozen=True, slots=True)
class Made:
    """A data set that a step makes, with the origins of its columns; a column without an origin is the run's."""

    data_set: DataSet
    origins: Origins = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Flow:
    """What a step reads, and what it makes of it."""

    reads: tuple[DataSet, ...]
    makes: tuple[Made, ...]


_POSTS: Final = tuple(POSTS.names)

WAITLIST: Final = DataSet(PMO, "waitlist", _POSTS)
"""What the source query returns (contract 1): the real tables of PMO are not public."""
SNAPSHOT: Final = DataSet(SNAPSHOTS, "waitlist", _POSTS)
REQUESTS: Final = DataSet(STAGING, schema.bokningsbegaran.name, tuple(schema.bokningsbegaran.columns.keys()))
RELEASED: Final = DataSet(
    STAGING, schema.bokningsbegaran_released.name, tuple(schema.bokningsbegaran_released.columns.keys())
)
"""The view that RevenueCycle's load reads."""
HANDED_OFF: Final = DataSet(HAND_OFF, booking_csv.FILE, tuple(booking_csv.HEADER.values()))


def _of_facts() -> Mapping[str, DataSet]:
    columns: dict[str, dict[str, None]] = {}
    for fact in (fact for column in COLUMNS for fact in column.facts):
        file, _, name = fact.partition(":")
        columns.setdefault(file, {})[name] = None
    return {file: DataSet(MAPPINGS, file, tuple(names)) for file, names in columns.items()}


_FACTS: Final = _of_facts()


def _fact(named: str) -> Origin:
    file, _, column = named.partition(":")
    return Origin(_FACTS[file], column)


def _same(columns: tuple[str, ...], source: DataSet) -> Origins:
    return {name: (Origin(source, name, same=True),) for name in columns}


def _of_requests() -> Origins:
    origins: Origins = {
        column.name: (*(Origin(SNAPSHOT, name) for name in column.sources), *map(_fact, column.facts))
        for column in COLUMNS
    }
    post_id = Origin(SNAPSHOT, schema.bokningsbegaran.c.post_id.name, same=True)
    hashed = dict.fromkeys(origin for found in origins.values() for origin in found)
    return {
        post_id.column: (post_id,),
        **origins,
        schema.bokningsbegaran.c.row_hash.name: (Origin(SNAPSHOT, post_id.column), *hashed),
    }


def flows(*, handed_off: bool) -> Mapping[str, Flow]:
    """Return what each step of a run reads and makes; a step that only counts and compares is not included.

    Args:
        handed_off: whether this deployment hands released batches off.
    """
    found = {
        "extract": Flow((WAITLIST,), (Made(SNAPSHOT, _same(_POSTS, WAITLIST)),)),
        "assess": Flow(
            (SNAPSHOT, *_FACTS.values()),
            (
                Made(REQUESTS, _of_requests()),
                Made(DataSet(STAGING, schema.disposition.name)),
                Made(DataSet(STAGING, schema.finding.name)),
            ),
        ),
        "verify_released": Flow((REQUESTS,), (Made(RELEASED, _same(RELEASED.columns, REQUESTS)),)),
    }
    if handed_off:
        origins = {title: (Origin(RELEASED, name, same=True),) for name, title in booking_csv.HEADER.items()}
        found["hand_off"] = Flow((RELEASED,), (Made(HANDED_OFF, origins), Made(DataSet(HAND_OFF, appointments.FILE))))
    return found
