"""Texts as bytes, which every rule on numbers and dates reads."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist.columns.buffers import byte_matrix

TEXTS = st.lists(st.none() | st.text(max_size=8), max_size=20)


@given(texts=TEXTS, width=st.integers(1, 12), large=st.booleans(), cuts=st.tuples(*[st.integers(0, 20)] * 2))
def test_bytes_are_those_of_each_text(texts, width, large, cuts):
    kind = pa.large_string() if large else pa.string()
    whole = pa.array(texts, kind)
    first, second = sorted(min(cut, len(texts)) for cut in cuts)
    chunked = pa.chunked_array([whole[:first], whole[first:second], whole[second:]], kind)
    for column, expected in [(whole, texts), (chunked, texts), (whole[first:second], texts[first:second])]:
        matrix, lengths = byte_matrix(column, width)
        encoded = [None if text is None else text.encode() for text in expected]
        assert lengths.tolist() == [-1 if text is None else len(text) for text in encoded]
        assert [row.tobytes() for row in matrix] == [(text or b"")[:width].ljust(width, b"\0") for text in encoded]


def test_bytes_behind_a_null_are_not_seen():
    offsets, data = np.array([0, 3, 6], np.int32), b"abcdef"
    nulls = pa.Array.from_buffers(pa.string(), 2, [pa.py_buffer(b"\x02"), pa.py_buffer(offsets), pa.py_buffer(data)])
    matrix, lengths = byte_matrix(nulls, 4)
    assert (lengths.tolist(), matrix.tobytes()) == ([-1, 3], b"\0\0\0\0def\0")


@pytest.mark.parametrize("column", [pa.array([], pa.string()), pa.chunked_array([], pa.string())])
def test_an_empty_column_has_no_rows(column):
    matrix, lengths = byte_matrix(column, 5)
    assert (matrix.shape, lengths.shape) == ((0, 5), (0,))


def test_only_texts_are_read():
    with pytest.raises(TypeError, match="int64"):
        byte_matrix(pa.array([1]), 4)
