"""What was read of PMO, kept as Parquet: one file a partition, in a folder that belongs to one run.

A file is written aside and renamed when it is whole, so whoever sees it sees all of it. Its row groups are
the chunks that were read, so that reading it back takes no more memory than writing it did. The same
posts give the same bytes. The files hold personal data: on a local disk they are their owner's alone.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import IO, Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]
from upath import UPath

from waitlist.exceptions import SnapshotError, reason_of
from waitlist.schema import POSTS

BLOCK_BYTES: Final = 8 * 2**20
"""What an object store's client holds of an open file; left alone, it takes 50 MB for each."""
_LOCAL_FILE: Final = 0o600
_LOCAL_FOLDER: Final = 0o700
_COMPRESSION: Final = "zstd"
_COMPRESSION_LEVEL: Final = 1
# Every post has its own number, name and texts: to look them up would take longer than to store them.
_REPEATED: Final = [
    "enhet_hsa_id", "enhet", "kategori", "kontaktform", "boka_from", "boka_fore", "anvandare", "filial",
]  # fmt: skip
_ASIDE: Final = ".aside"


@dataclass(frozen=True)
class Partition:
    """A range of keys that one task reads.

    Attributes:
        number: place among the partitions of the plan, from 0.
        lower: first key, None for "from the lowest".
        upper: first key that is no longer in it, None for "to the highest".
        posts: posts that the source counted in it when the plan was made.
    """

    number: int
    lower: int | None
    upper: int | None
    posts: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON and XCom."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` was made of."""
        return cls(**values)


@dataclass(frozen=True)
class SnapshotPart:
    """One file of a snapshot, enough to find it and to know that it is the one that was written.

    Attributes:
        partition: the partition's number.
        lower: as in ``Partition``.
        upper: as in ``Partition``.
        path: file name inside the snapshot's folder.
        posts: rows in the file.
        sha256: of the file's bytes, lower-case hex.
    """

    partition: int
    lower: int | None
    upper: int | None
    path: str
    posts: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON and XCom."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` was made of."""
        return cls(**values)


def write_part(folder: UPath, partition: Partition, tables: Iterable[pa.Table]) -> SnapshotPart:
    """Write one partition; an earlier file of it is replaced, and nothing new is left when this fails.

    Args:
        folder: the snapshot's folder, on any file system that fsspec knows; made when it is missing.
        partition: what is written; numbers the file.
        tables: chunks of schema ``POSTS``, each a row group; drawn one at a time.

    Returns:
        The part, also written beside the file as JSON.

    Raises:
        SnapshotError: the folder cannot be written to.
    """
    name = _name(partition.number)
    file_system = folder.fs
    try:
        make_folder(folder)
        posts = 0
        with writing_aside(file_system, (folder / f"{name}.parquet").path) as sink:
            hashing = _HashingSink(sink)
            with pq.ParquetWriter(
                pa.PythonFile(hashing, mode="w"),
                POSTS,
                compression=_COMPRESSION,
                compression_level=_COMPRESSION_LEVEL,
                use_dictionary=_REPEATED,
                write_statistics=False,
            ) as writer:
                for table in tables:
                    if table.num_rows:
                        writer.write_table(table, row_group_size=table.num_rows)
                        posts += table.num_rows
        part = SnapshotPart(
            partition=partition.number,
            lower=partition.lower,
            upper=partition.upper,
            path=f"{name}.parquet",
            posts=posts,
            sha256=hashing.digest.hexdigest(),
        )
        with writing_aside(file_system, (folder / f"{name}.json").path) as sink:
            sink.write(json.dumps(part.to_dict(), indent=2).encode() + b"\n")
    except OSError as error:
        raise SnapshotError(
            f"partition {partition.number} could not be written to {folder}: {reason_of(error)}"
        ) from None
    return part


def read_sidecar(folder: UPath, partition: int) -> SnapshotPart:
    """Return what ``write_part`` returned, as it stands beside the file.

    Raises:
        SnapshotError: it is missing or damaged.
    """
    path = folder / f"{_name(partition)}.json"
    try:
        return SnapshotPart.from_dict(json.loads(path.fs.cat_file(path.path)))
    except FileNotFoundError:
        raise SnapshotError(f"partition {partition} is missing in {folder}") from None
    except OSError as error:
        raise SnapshotError(f"{path.name} in {folder} could not be read: {reason_of(error)}") from None
    except (ValueError, TypeError):
        raise SnapshotError(f"{path.name} in {folder} is damaged") from None


def read_part(folder: UPath, part: SnapshotPart, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Check a part against its checksum and row count, then read it chunk by chunk.

    Args:
        folder: the snapshot's folder.
        part: what ``write_part`` returned.
        columns: columns of ``POSTS`` to read, in this order; None for all.

    Returns:
        Tables of the columns asked for, one a row group, in the order of ``post_id``.

    Raises:
        SnapshotError: the file is missing, damaged or another than the one that was written.
    """
    place = f"{part.path} in {folder}"
    remedy = f"rerun the extract of partition {part.partition}"
    try:
        with folder.fs.open((folder / part.path).path, "rb", block_size=BLOCK_BYTES) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            if sha256 != part.sha256:
                raise SnapshotError(f"{place} is damaged or another snapshot's file: {remedy}")
            file.seek(0)
            metadata = pq.read_metadata(file)
    except FileNotFoundError:
        raise SnapshotError(f"{place} is missing: {remedy}") from None
    except OSError as error:
        raise SnapshotError(f"{place} could not be read: {reason_of(error)}") from None
    if metadata.num_rows != part.posts:
        raise SnapshotError(f"{place} has {metadata.num_rows} posts, not {part.posts}: {remedy}")
    if not metadata.schema.to_arrow_schema().equals(POSTS):
        raise SnapshotError(f"{place} has the columns of another version: {remedy}")
    return _row_groups(folder, part, list(columns) if columns is not None else POSTS.names)


def _name(partition: int) -> str:
    return f"part-{partition:05d}"


def _row_groups(folder: UPath, part: SnapshotPart, columns: list[str]) -> Iterator[pa.Table]:
    path = (folder / part.path).path
    with folder.fs.open(path, "rb", block_size=BLOCK_BYTES) as file, pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group, columns=columns).select(columns)


class _HashingSink:
    """A file for Arrow to write front to back, hashed on the way."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self._written = 0
        self.digest = hashlib.sha256()
        self.closed = False

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self._sink.write(data)
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        self._sink.flush()

    def close(self) -> None:
        self.closed = True


@contextmanager
def writing_aside(file_system: AbstractFileSystem, path: str) -> Iterator[IO[bytes]]:
    """Open a new file that takes ``path`` when the block ends well, and is removed when it does not."""
    _remove_leftovers(file_system, path)
    # A name of its own: an attempt that its scheduler gave up on may still be writing.
    aside = f"{path}.{uuid.uuid4().hex}{_ASIDE}"
    try:
        with _open_new(file_system, aside) as sink:
            yield sink
        file_system.mv(aside, path)
    except BaseException:
        with suppress(FileNotFoundError):
            file_system.rm(aside)
        raise


def _open_new(file_system: AbstractFileSystem, path: str) -> IO[bytes]:
    if isinstance(file_system, LocalFileSystem):
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _LOCAL_FILE), "wb")
    opened: IO[bytes] = file_system.open(path, "wb", block_size=BLOCK_BYTES)
    return opened


def make_folder(folder: UPath) -> None:
    """Make a folder that is its owner's alone, where it is missing."""
    if isinstance(folder.fs, LocalFileSystem):
        os.makedirs(folder.path, mode=_LOCAL_FOLDER, exist_ok=True)  # noqa: PTH103 - a path of fsspec
    else:
        folder.fs.makedirs(folder.path, exist_ok=True)


def _remove_leftovers(file_system: AbstractFileSystem, path: str) -> None:
    """Remove what an attempt that was killed left; one that still runs then fails at its rename."""
    try:
        beside = file_system.ls(path.rpartition("/")[0], detail=False)
    except FileNotFoundError:  # an object store knows no folder before its first object
        return
    for found in beside:
        if found.startswith(f"{path}.") and found.endswith(_ASIDE):
            with suppress(FileNotFoundError):
                file_system.rm(found)
