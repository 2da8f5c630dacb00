"""Small things that one step leaves for a later one beside the snapshot: whole, or not there."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from waitlist.exceptions import SnapshotError, reason_of
from waitlist.snapshot import BLOCK_BYTES, make_folder, writing_aside


def write(path: UPath, tables: Sequence[pa.Table]) -> None:
    """Write tables of one schema as one Parquet file in a folder that is there."""
    with writing_aside(path.fs, path.path) as sink:
        pq.write_table(pa.concat_tables(tables), pa.PythonFile(sink, mode="w"))


def read(path: UPath) -> pa.Table:
    """Read what ``write`` left.

    Raises:
        SnapshotError: it is missing or damaged.
    """
    with _opened(path) as file:
        return pq.read_table(file)


def read_schema(path: UPath) -> pa.Schema:
    """Read the schema of what ``write`` left, its metadata included, and no rows.

    Raises:
        SnapshotError: it is missing or damaged.
    """
    with _opened(path) as file:
        return pq.read_schema(file)


@contextmanager
def _opened(path: UPath) -> Iterator[pa.PythonFile]:
    try:
        with path.fs.open(path.path, "rb", block_size=BLOCK_BYTES) as file:
            yield pa.PythonFile(file, mode="r")
    except FileNotFoundError:
        raise SnapshotError(f"{path.name} is missing beside the snapshot: clear the step that leaves it") from None
    except pa.ArrowInvalid:
        raise SnapshotError(f"{path.name} beside the snapshot is damaged: clear the step that leaves it") from None


def write_records(path: UPath, records: Sequence[Mapping[str, Any]]) -> None:
    """Write small records in a folder that is made when it is missing.

    Raises:
        SnapshotError: the folder cannot be written to.
    """
    try:
        make_folder(path.parent)
        with writing_aside(path.fs, path.path) as sink:
            sink.write(json.dumps(list(records)).encode() + b"\n")
    except OSError as error:
        raise SnapshotError(f"{path} could not be written: {reason_of(error)}") from None


def read_records(path: UPath) -> list[dict[str, Any]]:
    """Read what ``write_records`` left; nothing where it left nothing.

    Raises:
        SnapshotError: it is damaged.
    """
    try:
        return [dict(record) for record in json.loads(path.fs.cat_file(path.path))]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError):
        raise SnapshotError(f"{path} is damaged: remove it") from None
