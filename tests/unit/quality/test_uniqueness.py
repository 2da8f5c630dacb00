"""Uniqueness of values over rows that are seen in pieces: proven only where it holds."""

import datetime as dt
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitlist.quality.uniqueness import Uniqueness

FORM = pa.schema({"key": pa.int64(), "text": pa.string(), "day": pa.date32(), "mark": pa.bool_()})
ROWS = st.fixed_dictionaries(
    {
        "key": st.none() | st.integers(-2, 6),
        "text": st.none() | st.sampled_from(["", "a", "å", "0" * 16, "0" * 64]),
        "day": st.none() | st.dates(dt.date(1969, 12, 30), dt.date(1970, 1, 3)),
        "mark": st.none() | st.booleans(),
    }
)


def seen(columns: list[str], *pieces: list[dict[str, Any]]) -> Uniqueness:
    uniqueness = Uniqueness(columns)
    for piece in pieces:
        uniqueness.look(pa.Table.from_pylist(piece, FORM))
    return uniqueness


@settings(deadline=None)
@given(
    st.lists(st.lists(ROWS, min_size=1, max_size=4), max_size=4),
    st.lists(st.sampled_from(FORM.names), min_size=1, max_size=3, unique=True),
)
def test_what_is_proven_holds_and_every_row_with_a_value_counts(
    pieces: list[list[dict[str, Any]]], columns: list[str]
) -> None:
    values = [tuple(row[name] for name in columns) for piece in pieces for row in piece]
    counted = [value for value in values if any(part is not None for part in value)]
    uniqueness = seen(columns, *pieces)
    assert uniqueness.evaluated == len(counted)
    assert not uniqueness.is_proven() or max(Counter(counted).values(), default=1) == 1


@pytest.mark.parametrize(
    ("columns", "keys", "proven"),
    [
        (["key"], [[1, 2], [5, 9], [3, 4]], True),
        (["key"], [[1, 5], [3, 4]], False),  # that they differ is for the database to say
        (["key"], [[1, 2], [2, 3]], False),
        (["key"], [[2, 1], [4, 3]], True),
        (["key"], [[1, 1]], False),
        (["key", "mark"], [[1, 2], [2, 3]], False),
        (["key", "mark"], [[1, 2], [4, 3]], True),
    ],
)
def test_keys_that_ascend_prove_it_in_any_order_of_the_pieces(
    columns: list[str], keys: list[list[int]], proven: bool
) -> None:
    assert seen(columns, *([{"key": key} for key in piece] for piece in keys)).is_proven() is proven


def test_checksums_in_hex_prove_it_and_a_long_beginning_in_common_does_not() -> None:
    checksums = [{"text": f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{'0' * 48}"} for number in range(5_000)]
    assert seen(["text"], checksums[:3_000], checksums[3_000:]).is_proven()
    assert not seen(["text"], checksums, checksums[7:8]).is_proven()
    assert not seen(["text"], [{"text": "0" * 16 + "a"}], [{"text": "0" * 16 + "b"}]).is_proven()
