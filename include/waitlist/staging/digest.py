"""A digest of the rows of a partition, by which a rerun detects that nothing changed."""

import hashlib
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NO_TEXT: Final = -1


class ContentDigest:
    """SHA-256 over the rows of several tables; the division into chunks does not change it.

    Each column has two running hashes: one of its concatenated values, and one of the lengths of texts and the
    positions of nulls. So a character that moves to the next row changes the digest, and so does a null instead of an
    empty text.
    """

    def __init__(self) -> None:
        self._columns: dict[tuple[str, str], tuple[Any, Any]] = {}

    def update(self, name: str, table: pa.Table) -> None:
        """Add the next rows of the table ``name``; texts have type ``string``, all other types have a fixed width."""
        for column in table.column_names:
            values, shape = self._columns.setdefault((name, column), (hashlib.sha256(), hashlib.sha256()))
            array = table[column].combine_chunks()
            if pa.types.is_string(array.type):
                lengths = pc.binary_length(array).fill_null(_NO_TEXT)
                shape.update(_fixed_bytes(lengths))
                values.update(text_bytes(array.drop_null()))
            else:
                shape.update(_fixed_bytes(array.is_valid()))
                values.update(_fixed_bytes(array.drop_null()))

    def hexdigest(self, only: str | None = None) -> str:
        """Return the digest of all rows so far, or of the table ``only``, as 64 hex digits."""
        whole = hashlib.sha256()
        for (name, column), hashes in sorted(self._columns.items(), key=lambda item: item[0]):
            if only not in {None, name}:
                continue
            whole.update(f"{name}.{column}".encode())
            for part in hashes:
                whole.update(part.digest())
        return whole.hexdigest()


def _fixed_bytes(values: pa.Array) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).view(np.uint8)


def text_bytes(texts: pa.StringArray) -> memoryview | bytes:
    """Return the bytes of texts without nulls, one text after the other."""
    if not len(texts):
        return b""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(memoryview(offsets), np.int32)
    first, last = bounds[texts.offset], bounds[texts.offset + len(texts)]
    return memoryview(data)[first:last] if data is not None else b""
