"""Text columns as numpy arrays, straight from Arrow's buffers."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

TextColumn: TypeAlias = "pa.Array[Any] | pa.ChunkedArray[Any]"
"""A column of Arrow type ``string`` or ``large_string``, whole, sliced or in chunks."""


def byte_matrix(column: TextColumn, width: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read the first bytes of each text of a column.

    Args:
        column: texts, of type ``string`` or ``large_string``; any offset, any nulls.
        width: bytes to read of each text, at least 1.

    Returns:
        A matrix of ``len(column)`` rows and ``width`` columns with the texts' first UTF-8 bytes, zero where a
        text is null or has ended; and each text's whole length in bytes, -1 for null.

    Raises:
        TypeError: the column is not a text column.
    """
    matrix = np.zeros((len(column), width), np.uint8)
    lengths = np.full(len(column), -1, np.int64)
    start = 0
    for chunk in _chunks(column):
        rows = slice(start, start + len(chunk))
        _read_chunk(chunk, matrix[rows], lengths[rows])
        start = rows.stop
    return matrix, lengths


def _chunks(column: TextColumn) -> "list[pa.Array[Any]]":
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise TypeError(f"expected a text column, got {column.type}")
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]


def text_bytes(array: "pa.Array[Any]") -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the texts of an array as one array of UTF-8 bytes, and the offsets of the texts in it.

    Args:
        array: texts of type ``string`` or ``large_string``, shape (n,); any offset, any nulls.

    Returns:
        The bytes, and n + 1 offsets: text i has the bytes from offset i to offset i + 1. The first offset is 0.
    """
    _, offset_buffer, data_buffer = array.buffers()
    offset_type = np.dtype(np.int64 if pa.types.is_large_string(array.type) else np.int32)
    offsets = _numbers(offset_buffer, offset_type)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    if not len(array):
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    return _numbers(data_buffer, np.dtype(np.uint8))[offsets[0] : offsets[-1]], offsets - offsets[0]


def _read_chunk(chunk: "pa.Array[Any]", matrix: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> None:
    if len(chunk) == chunk.null_count:
        return
    text, offsets = text_bytes(chunk)
    lengths[:] = np.diff(offsets)
    if chunk.null_count:
        lengths[chunk.is_null().to_numpy(zero_copy_only=False)] = -1
    if not text.size:
        return
    width = matrix.shape[1]
    # Padding after the last text, so that ``width`` bytes can be read from the start of every text.
    data = np.zeros(text.size + width, np.uint8)
    data[:-width] = text
    windows = np.ndarray((len(data) - width + 1,), f"V{width}", data, strides=(1,))
    matrix[:] = windows[offsets[:-1]].view(np.uint8).reshape(-1, width)
    if lengths.min() < width:
        matrix *= np.arange(width) < lengths[:, None]


def _numbers(buffer: pa.Buffer | None, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    return np.empty(0, kind) if buffer is None else np.frombuffer(memoryview(buffer), kind)
