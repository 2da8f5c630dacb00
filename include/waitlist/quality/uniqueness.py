"""Proves that no two of a batch's rows have the same values, from rows that are seen in pieces.

A proof needs little memory: nothing but the ends of a piece whose keys ascend, and eight bytes of any other row. Values
that differ may look alike here, and never the other way round. So where the proof fails, the database has to count.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from waitlist.columns.buffers import byte_matrix

_Prints: TypeAlias = npt.NDArray[np.uint64]

_FIRST_BYTES: Final = 16
"""Of a text, which are compared; of a checksum in hex these are 64 bits."""
_FACTORS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_HALF: Final = np.uint64(32)
_SHARE_BITS: Final = 3
_BELOW_SHARE: Final = np.uint64(64 - _SHARE_BITS)


class Uniqueness:
    """What was seen of some columns.

    Args:
        columns: the columns whose values are compared; a row without any of them does not count.

    Attributes:
        columns: those columns.
        evaluated: the rows that count.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        self.evaluated = 0
        self._ascending: list[tuple[int, int]] = []
        self._prints: list[_Prints] = []

    def look(self, rows: pa.Table) -> None:
        """See some more rows, at least one."""
        columns = [rows[name].combine_chunks() for name in self.columns]
        if len(columns) == 1 and pa.types.is_integer(columns[0].type) and not columns[0].null_count:
            keys = columns[0].to_numpy()
            if np.all(keys[1:] > keys[:-1]):
                self.evaluated += len(keys)
                self._ascending.append((int(keys[0]), int(keys[-1])))
                return
        prints, counts = np.zeros(rows.num_rows, np.uint64), np.zeros(rows.num_rows, np.bool_)
        for column in columns:
            prints = _mixed(prints) + _print(column)
            counts |= column.is_valid().to_numpy(zero_copy_only=False)
        self.evaluated += int(counts.sum())
        self._prints.append(prints[counts])

    def is_proven(self) -> bool:
        """Return whether all rows are known to differ."""
        if self._ascending and self._prints:
            return False
        self._ascending.sort()
        pairs = zip(self._ascending, self._ascending[1:], strict=False)
        if any(last >= first for (_, last), (first, _) in pairs):
            return False
        return all(self._differ(share) for share in range(1 << _SHARE_BITS))

    def _differ(self, share: int) -> bool:
        """Return whether the numbers that begin with the same bits all differ: only these are copied at a time."""
        begin = (prints[prints >> _BELOW_SHARE == share] for prints in self._prints)
        numbers = np.concatenate([np.empty(0, np.uint64), *begin])
        numbers.sort()
        return not np.any(numbers[1:] == numbers[:-1])


def _print(column: pa.Array) -> _Prints:
    """Return a number for each value; the same for the same value, and for another one mostly another."""
    if pa.types.is_string(column.type):
        first, lengths = byte_matrix(column, _FIRST_BYTES)
        words = first.view(np.uint64)
        return _mixed(_mixed(words[:, 0] + lengths.astype(np.uint64)) + words[:, 1])
    fixed = column.cast(pa.int32()) if pa.types.is_date32(column.type) else column
    numbers = fixed.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return _mixed(numbers.view(np.uint64) + column.is_valid().to_numpy(zero_copy_only=False))


def _mixed(numbers: _Prints) -> _Prints:
    for factor in _FACTORS:
        numbers = numbers * factor
        numbers = numbers ^ (numbers >> _HALF)
    return numbers
