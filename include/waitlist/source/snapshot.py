"""The snapshot: the posts that were read from PMO, as one Parquet file per partition, in the folder of one batch.

A file is written under a temporary name and renamed when it is complete, so a reader never sees a part of it. Its row
groups are the chunks that were read, so reading it takes no more memory than writing it did. The same posts give the
same bytes. The files contain personal data: on a local disk only their owner can read them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from waitlist.columns.forms import FORMS, formed
from waitlist.exceptions import SnapshotError, reason_of
from waitlist.files import CheckedFile, make_folder, open_checked, writing_aside
from waitlist.schema import POSTS

_COMPRESSION: Final = "zstd"
_COMPRESSION_LEVEL: Final = 1
# The columns with dictionary encoding. Numbers, names and texts seldom repeat, so a dictionary of them would be slow.
_REPEATED: Final = [
    "enhet_hsa_id", "enhet", "kategori", "kontaktform", "boka_from", "boka_fore", "anvandare", "filial",
]  # fmt: skip

_SEKRETESS: Final = POSTS.get_field_index("sekretess")
_EARLIER: Final = POSTS.set(_SEKRETESS, POSTS.field(_SEKRETESS).with_nullable(False))
"""The schema of earlier releases: ``sekretess`` is never null, and HSA-ids and contact forms are not normalised."""


@dataclass(frozen=True)
class Partition:
    """A range of keys that one task reads.

    Attributes:
        number: position among the partitions of the plan, from 0.
        lower: first key, None for "from the lowest".
        upper: first key after the range, None for "to the highest".
        posts: posts that the source counted in it when the plan was made; used only to divide the work.
    """

    number: int
    lower: int | None
    upper: int | None
    posts: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the partition that ``to_dict`` was called on."""
        return cls(**values)


@dataclass(frozen=True)
class SnapshotPart:
    """A reference to one file of a snapshot, by which the file is found and checked.

    Attributes:
        partition: the partition's number.
        lower: as in ``Partition``.
        upper: as in ``Partition``.
        posts: rows in the file.
        sha256: SHA-256 of the file's bytes, lower-case hex.
        size: size of the file in bytes; None if an earlier release wrote it, which did not record the size.
        counted: posts that the source counted in the transaction in which they were read.
    """

    partition: int
    lower: int | None
    upper: int | None
    posts: int
    sha256: str
    size: int | None
    counted: int


def file_name(partition: int) -> str:
    """Return the name of a partition's file in the snapshot's folder."""
    return f"part-{partition:05d}.parquet"


def write_part(
    folder: UPath, partition: Partition, tables: Iterable[pa.Table], *, counted: int | None = None
) -> SnapshotPart:
    """Write one partition. An earlier file of it is replaced; after a failure no new file remains.

    Args:
        folder: the snapshot's folder, on any file system that fsspec supports; created if it is missing.
        partition: the partition that is written; its number is in the file's name.
        tables: chunks of schema ``POSTS``, each written as a row group; read one at a time.
        counted: posts that the source counted, recorded in the part; None: the number of posts in ``tables``.

    Returns:
        The part.

    Raises:
        SnapshotError: the folder cannot be written to.
    """
    try:
        make_folder(folder)
        posts = 0
        with (
            writing_aside(folder / file_name(partition.number)) as sink,
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
    except OSError as error:
        raise SnapshotError(
            f"partition {partition.number} could not be written to {folder}: {reason_of(error)}"
        ) from None
    return SnapshotPart(
        partition=partition.number,
        lower=partition.lower,
        upper=partition.upper,
        posts=posts,
        sha256=sink.sha256,
        size=sink.size,
        counted=posts if counted is None else counted,
    )


def read_part(folder: UPath, part: SnapshotPart, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Check a part against its checksum and row count, then read it chunk by chunk.

    Args:
        folder: the snapshot's folder.
        part: what ``write_part`` returned.
        columns: columns of ``POSTS`` to read, in this order; None for all.

    Returns:
        Tables of the requested columns, one per row group, in the order of ``post_id``.

    Raises:
        SnapshotError: the file is missing, damaged or not the one that was written.
    """
    name = file_name(part.partition)
    place = f"{name} in {folder}"
    remedy = f"rerun the extract of partition {part.partition}"
    with ExitStack() as opened, _faults_named(place, remedy):
        file = opened.enter_context(open_checked(folder / name, size=part.size, sha256=part.sha256))
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


def _row_groups(
    file: CheckedFile, parquet: pq.ParquetFile, columns: list[str], place: str, remedy: str
) -> Iterator[pa.Table]:
    with file, _faults_named(place, remedy):
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group, columns=columns).select(columns)


def _as_read_now(table: pa.Table) -> pa.Table:
    """Convert posts that an earlier release read to the form in which this release reads them."""
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
