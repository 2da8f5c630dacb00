"""What was read of PMO, kept as Parquet: one file a partition, in a folder that belongs to one run.

A file is written aside and renamed when it is whole, so whoever sees it sees all of it. Its row groups are
the chunks that were read, so that reading it back takes no more memory than writing it did. The same
posts give the same bytes. The files hold personal data: on a local disk they are their owner's alone.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from waitlist.exceptions import SnapshotError, reason_of
from waitlist.files import CheckedFile, make_folder, open_checked, writing_aside
from waitlist.forms import FORMS, formed
from waitlist.schema import POSTS

_COMPRESSION: Final = "zstd"
_COMPRESSION_LEVEL: Final = 1
# Every post has its own number, name and texts: to look them up would take longer than to store them.
_REPEATED: Final = [
    "enhet_hsa_id", "enhet", "kategori", "kontaktform", "boka_from", "boka_fore", "anvandare", "filial",
]  # fmt: skip

_SEKRETESS: Final = POSTS.get_field_index("sekretess")
_EARLIER: Final = POSTS.set(_SEKRETESS, POSTS.field(_SEKRETESS).with_nullable(False))
"""The columns of the releases before ``sekretess`` could be null, which kept HSA-ids and contact forms as written."""


@dataclass(frozen=True)
class Partition:
    """A range of keys that one task reads.

    Attributes:
        number: place among the partitions of the plan, from 0.
        lower: first key, None for "from the lowest".
        upper: first key that is no longer in it, None for "to the highest".
        posts: posts that the source counted in it when the plan was made; it only divides the work.
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
        counted: posts that the source counted in the transaction in which they were read.
    """

    partition: int
    lower: int | None
    upper: int | None
    path: str
    posts: int
    sha256: str
    counted: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON and XCom."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` was made of.

        An earlier release kept no ``counted``: it kept no part either of which other posts were counted than read.
        """
        given = {**values}
        return cls(**{"counted": given.get("posts"), **given})


def write_part(
    folder: UPath, partition: Partition, tables: Iterable[pa.Table], *, counted: int | None = None
) -> SnapshotPart:
    """Write one partition; an earlier file of it is replaced, and nothing new is left when this fails.

    Args:
        folder: the snapshot's folder, on any file system that fsspec knows; made when it is missing.
        partition: what is written; numbers the file.
        tables: chunks of schema ``POSTS``, each a row group; drawn one at a time.
        counted: posts that the source has counted; None: those that come. It is kept with the part.

    Returns:
        The part, also written beside the file as JSON.

    Raises:
        SnapshotError: the folder cannot be written to.
    """
    name = _name(partition.number)
    try:
        make_folder(folder)
        posts = 0
        with (
            writing_aside(folder / f"{name}.parquet") as sink,
            pq.ParquetWriter(
                pa.PythonFile(sink, mode="w"),
                POSTS,
                compression=_COMPRESSION,
                compression_level=_COMPRESSION_LEVEL,
                use_dictionary=_REPEATED,
                write_statistics=False,
            ) as writer,
        ):
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
            sha256=sink.sha256,
            counted=posts if counted is None else counted,
        )
        with writing_aside(folder / f"{name}.json") as described:
            described.write(json.dumps(part.to_dict(), indent=2).encode() + b"\n")
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
        with open_checked(path) as file:
            return SnapshotPart.from_dict(json.loads(file.read()))
    except FileNotFoundError:
        raise SnapshotError(f"partition {partition} is missing in {folder}") from None
    except OSError as error:
        raise SnapshotError(f"{path.name} in {folder} could not be read: {reason_of(error)}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
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
    remedy = f"rerun the extract of partition {part.partition}"
    # What a task was handed may have been written by anybody: a place outside the folder is no part's.
    if part.path != f"{_name(part.partition)}.parquet":
        raise SnapshotError(f"what was handed on names another file than partition {part.partition}'s: {remedy}")
    place = f"{part.path} in {folder}"
    with ExitStack() as opened, _faults_named(place, remedy):
        file = opened.enter_context(open_checked(folder / part.path))
        if file.sha256 != part.sha256:
            raise SnapshotError(f"{place} is damaged or another snapshot's file: {remedy}")
        parquet = pq.ParquetFile(file)
        if parquet.metadata.num_rows != part.posts:
            raise SnapshotError(f"{place} has {parquet.metadata.num_rows} posts, not {part.posts}: {remedy}")
        earlier = parquet.schema_arrow.equals(_EARLIER)
        if not earlier and not parquet.schema_arrow.equals(POSTS):
            raise SnapshotError(f"{place} has the columns of another version: {remedy}")
        opened.pop_all()
        wanted = list(columns) if columns is not None else POSTS.names
        tables = _row_groups(file, parquet, wanted, place, remedy)
        return map(_as_read_now, tables) if earlier else tables


def _name(partition: int) -> str:
    return f"part-{partition:05d}"


def _row_groups(
    file: CheckedFile, parquet: pq.ParquetFile, columns: list[str], place: str, remedy: str
) -> Iterator[pa.Table]:
    with file, _faults_named(place, remedy):
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group, columns=columns).select(columns)


def _as_read_now(table: pa.Table) -> pa.Table:
    """Bring posts that an earlier release read to the form in which this one reads them."""
    for name in FORMS.keys() & set(table.column_names):
        place = table.column_names.index(name)
        table = table.set_column(place, POSTS.field(name), formed(table[name].combine_chunks(), FORMS[name]))
    return table.cast(pa.schema([POSTS.field(name) for name in table.column_names]))


@contextmanager
def _faults_named(place: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise SnapshotError(f"{place} is missing: {remedy}") from None
    except OSError as error:
        raise SnapshotError(f"{place} could not be read: {reason_of(error)}: {remedy}") from None
    except pa.ArrowException as error:
        raise SnapshotError(f"{place} could not be read ({type(error).__name__}): {remedy}") from None
