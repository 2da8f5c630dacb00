"""Small tables that one step leaves for the next beside the snapshot: whole, or not there."""

import uuid
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from waitlist.exceptions import SnapshotError


def write(path: UPath, tables: Sequence[pa.Table]) -> None:
    """Write tables of one schema as one Parquet file, aside first and then renamed."""
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        aside.write_bytes(buffer.getvalue().to_pybytes())
        path.fs.mv(aside.path, path.path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def read(path: UPath) -> pa.Table:
    """Read what ``write`` left.

    Raises:
        SnapshotError: it is missing or damaged.
    """
    try:
        return pq.read_table(pa.BufferReader(path.read_bytes()))
    except FileNotFoundError:
        raise SnapshotError(f"{path.name} is missing beside the snapshot: clear the step that leaves it") from None
    except pa.ArrowInvalid:
        raise SnapshotError(f"{path.name} beside the snapshot is damaged: clear the step that leaves it") from None
