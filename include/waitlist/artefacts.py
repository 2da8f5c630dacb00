"""Small things that one step leaves for a later one beside the snapshot: whole, or not there."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from waitlist.exceptions import SnapshotError, reason_of
from waitlist.files import CheckedFile, make_folder, open_checked, writing_aside


def write(path: UPath, tables: Sequence[pa.Table]) -> None:
    """Write tables of one schema as one Parquet file in a folder that is there.

    Raises:
        SnapshotError: the folder cannot be written to.
    """
    with _writing_named(path), writing_aside(path) as sink:
        pq.write_table(pa.concat_tables(tables), pa.PythonFile(sink, mode="w"))


def read(path: UPath) -> pa.Table:
    """Read what ``write`` left.

    Raises:
        SnapshotError: it is missing or damaged.
    """
    with _opened(path) as file:
        return pq.ParquetFile(file).read()


def read_schema(path: UPath) -> pa.Schema:
    """Read the schema of what ``write`` left, its metadata included, and no rows.

    Raises:
        SnapshotError: it is missing or damaged.
    """
    with _opened(path) as file:
        return pq.ParquetFile(file).schema_arrow


def write_records(path: UPath, records: Sequence[Mapping[str, Any]]) -> None:
    """Write small records in a folder that is made when it is missing.

    Raises:
        SnapshotError: the folder cannot be written to.
    """
    with _writing_named(path):
        make_folder(path.parent)
        with writing_aside(path) as sink:
            sink.write(json.dumps(list(records)).encode() + b"\n")


def read_records(path: UPath) -> list[dict[str, Any]]:
    """Read what ``write_records`` left; nothing where it left nothing.

    Raises:
        SnapshotError: it is damaged.
    """
    try:
        with open_checked(path) as file:
            return [dict(record) for record in json.loads(file.read())]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SnapshotError(f"{path} could not be read: {reason_of(error)}") from None
    except (ValueError, TypeError, RecursionError):
        raise SnapshotError(f"{path} is damaged: remove it") from None


@contextmanager
def _writing_named(path: UPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SnapshotError(f"{path} could not be written: {reason_of(error)}") from None


@contextmanager
def _opened(path: UPath) -> Iterator[CheckedFile]:
    remedy = "clear the step that leaves it"
    try:
        with open_checked(path) as file:
            yield file
    except FileNotFoundError:
        raise SnapshotError(f"{path.name} is missing beside the snapshot: {remedy}") from None
    except OSError as error:
        raise SnapshotError(
            f"{path.name} beside the snapshot could not be read: {reason_of(error)}: {remedy}"
        ) from None
    except pa.ArrowException:
        raise SnapshotError(f"{path.name} beside the snapshot is damaged: {remedy}") from None
