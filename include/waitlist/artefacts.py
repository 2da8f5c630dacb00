"""Small tables that one step leaves for the next beside the snapshot: whole, or not there."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from waitlist.exceptions import SnapshotError
from waitlist.snapshot import writing_aside


def write(path: UPath, tables: Sequence[pa.Table]) -> None:
    """Write tables of one schema as one Parquet file in a folder that is there."""
    with writing_aside(path.fs, path.path) as sink:
        pq.write_table(pa.concat_tables(tables), pa.PythonFile(sink, mode="w"))


def read(path: UPath) -> pa.Table:
    """Read what ``write`` left.

    Raises:
        SnapshotError: it is missing or damaged.
    """
    try:
        with path.fs.open(path.path, "rb") as file:
            return pq.read_table(pa.PythonFile(file, mode="r"))
    except FileNotFoundError:
        raise SnapshotError(f"{path.name} is missing beside the snapshot: clear the step that leaves it") from None
    except pa.ArrowInvalid:
        raise SnapshotError(f"{path.name} beside the snapshot is damaged: clear the step that leaves it") from None
