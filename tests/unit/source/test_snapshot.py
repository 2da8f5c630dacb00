"""A snapshot is whole or missing, describes itself, and is readable by its owner alone."""

import datetime as dt
import hashlib
import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.servers import ObjectStore
from upath import UPath

from waitlist.exceptions import SnapshotError, SourceError
from waitlist.schema import POSTS
from waitlist.source.snapshot import Partition, SnapshotPart, file_name, read_part, write_part

ORSAK = "Uppföljning 😀"


def chunk(first: int, posts: int = 3) -> pa.Table:
    rows = [
        {
            "post_id": post_id,
            "sekretess": False,
            "vantar_pa_besok": True,
            "nybesok": False,
            "har_bilaga": False,
            "orsak": ORSAK,
            "registrerad": dt.datetime.fromisoformat("2024-09-01 08:30:00.123456"),
        }
        for post_id in range(first, first + posts)
    ]
    return pa.Table.from_pylist(rows, schema=POSTS)


def breaking_off() -> Iterator[pa.Table]:
    yield chunk(1)
    raise SourceError("the connection to PMO was lost")


PARTITION = Partition(number=3, lower=1, upper=None, posts=5)


@pytest.fixture(params=["file", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> UPath:
    """A folder that does not exist yet, on a disk and in stores that have no renames."""
    if request.param == "file":
        return UPath(tmp_path / "run" / "snapshot")
    if request.param == "s3":
        store: ObjectStore = request.getfixturevalue("object_store")
        return UPath(f"s3://{store.bucket}/{tmp_path.name}/snapshot", **store.options)
    return UPath(f"memory://{tmp_path.name}/snapshot")


def files(folder: UPath) -> list[str]:
    # One of the stores keeps the name of a folder that was emptied.
    return sorted(Path(path).name for path in folder.fs.find(folder.path) if path != folder.path)


def test_is_read_chunk_by_chunk_as_it_was_written(folder: UPath) -> None:
    part = write_part(folder, PARTITION, [chunk(1), chunk(4, posts=2)])

    tables = list(read_part(folder, part))

    assert tables == [chunk(1), chunk(4, posts=2)]
    assert files(folder) == ["part-00003.parquet"]
    content = (folder / "part-00003.parquet").read_bytes()
    assert part == SnapshotPart(3, 1, None, 5, hashlib.sha256(content).hexdigest(), len(content), 5)


def test_reads_only_the_columns_asked_for_in_their_order(folder: UPath) -> None:
    part = write_part(folder, PARTITION, [chunk(1)])

    (table,) = read_part(folder, part, ["orsak", "post_id"])

    assert table.to_pydict() == {"orsak": [ORSAK] * 3, "post_id": [1, 2, 3]}


def test_the_same_posts_give_the_same_bytes(tmp_path: Path) -> None:
    first = write_part(UPath(tmp_path / "a"), PARTITION, [chunk(1), chunk(4)])
    second = write_part(UPath(tmp_path / "b"), PARTITION, iter([chunk(1), chunk(4)]))

    assert first == second


def test_a_partition_without_posts_is_a_file_without_rows(folder: UPath) -> None:
    part = write_part(folder, PARTITION, [])

    assert part.posts == 0
    assert list(read_part(folder, part)) == []


def test_values_travel_as_plain_dicts() -> None:
    assert Partition.from_dict(json.loads(json.dumps(PARTITION.to_dict()))) == PARTITION


def test_nothing_is_left_when_reading_breaks_off(folder: UPath) -> None:
    with pytest.raises(SourceError, match="lost"):
        write_part(folder, PARTITION, breaking_off())

    assert files(folder) == []


def test_an_earlier_part_stays_whole_until_its_successor_is(folder: UPath) -> None:
    part = write_part(folder, PARTITION, [chunk(1)])

    with pytest.raises(SourceError):
        write_part(folder, PARTITION, breaking_off())
    assert list(read_part(folder, part)) == [chunk(1)]

    successor = write_part(folder, PARTITION, [chunk(7)])
    assert list(read_part(folder, successor)) == [chunk(7)]
    assert files(folder) == ["part-00003.parquet"]


def test_what_a_killed_attempt_left_goes_with_the_next(folder: UPath) -> None:
    write_part(folder, Partition(4, None, None, 0), [])
    (folder / "part-00003.parquet.0123.aside").write_bytes(b"half")

    write_part(folder, PARTITION, [chunk(1)])

    assert files(folder) == ["part-00003.parquet", "part-00004.parquet"]


def test_an_attempt_that_was_given_up_never_passes_for_its_successor(folder: UPath) -> None:
    successors = []

    def overtaken() -> Iterator[pa.Table]:
        yield chunk(1)
        successors.append(write_part(folder, PARTITION, [chunk(7)]))

    if folder.protocol == "s3":  # no process sees an object before it is whole, so it cannot be removed
        write_part(folder, PARTITION, overtaken())
        with pytest.raises(SnapshotError, match="another file"):
            read_part(folder, successors[0])
        return
    with pytest.raises(SnapshotError):
        write_part(folder, PARTITION, overtaken())

    assert pq.read_table(pa.BufferReader((folder / "part-00003.parquet").read_bytes())) == chunk(7)
    assert files(folder) == ["part-00003.parquet"]


def test_damage_is_noticed_before_a_row_is_handed_out(folder: UPath) -> None:
    part = write_part(folder, PARTITION, [chunk(1)])
    content = bytearray((folder / file_name(part.partition)).read_bytes())
    content[100] ^= 1
    (folder / file_name(part.partition)).write_bytes(bytes(content))

    with pytest.raises(SnapshotError, match=r"part-00003.parquet .* damaged .* rerun the extract of partition 3"):
        read_part(folder, part)


def test_half_a_file_is_damage(folder: UPath) -> None:
    part = write_part(folder, PARTITION, [chunk(1)])
    (folder / file_name(part.partition)).write_bytes((folder / file_name(part.partition)).read_bytes()[:200])

    with pytest.raises(SnapshotError, match="damaged"):
        read_part(folder, part)


def test_swapped_parts_are_noticed(folder: UPath) -> None:
    part = write_part(folder, PARTITION, [chunk(1)])
    other = write_part(folder, Partition(4, 4, None, 3), [chunk(4)])
    (folder / file_name(part.partition)).write_bytes((folder / file_name(other.partition)).read_bytes())

    with pytest.raises(SnapshotError, match="another file"):
        read_part(folder, part)


def test_a_missing_part_is_named(folder: UPath) -> None:
    part = write_part(folder, PARTITION, [chunk(1)])
    (folder / file_name(part.partition)).unlink()

    with pytest.raises(SnapshotError, match=r"part-00003.parquet .* is missing: rerun the extract of partition 3"):
        read_part(folder, part)


def test_a_row_count_that_does_not_fit_is_named(folder: UPath) -> None:
    part = write_part(folder, PARTITION, [chunk(1)])
    claimed = replace(part, posts=4)

    with pytest.raises(SnapshotError, match="has 3 posts, not 4"):
        read_part(folder, claimed)


def test_what_an_earlier_release_wrote_comes_back_as_this_one_reads(folder: UPath) -> None:
    part = write_part(folder, PARTITION, [chunk(1), chunk(4, posts=2)])
    place = POSTS.get_field_index("sekretess")
    columns = POSTS.set(place, POSTS.field(place).with_nullable(False))
    written = {
        "enhet_hsa_id": "\u00a0se2120009999-Test01 ",
        "kontaktform": "Besok   ",
        "kategori": " Kvar  som den är ",
    }
    table = chunk(1)
    for name, text in written.items():
        at = table.column_names.index(name)
        table = table.set_column(at, POSTS.field(name), pa.array([text, "", None], pa.string()))
    file = folder / file_name(part.partition)
    with file.fs.open(file.path, "wb") as sink, pq.ParquetWriter(sink, columns) as writer:
        writer.write_table(table.cast(columns))
    sha256 = hashlib.sha256(file.fs.cat_file(file.path)).hexdigest()
    earlier = replace(part, posts=3, counted=3, sha256=sha256, size=None)

    (found,) = read_part(folder, earlier)
    (some,) = read_part(folder, earlier, ["kontaktform", "post_id"])

    assert found.schema.equals(POSTS)
    assert found["enhet_hsa_id"].to_pylist() == ["SE2120009999-TEST01", None, None]
    assert found["kontaktform"].to_pylist() == some["kontaktform"].to_pylist() == ["besok", None, None]
    assert found["kategori"].to_pylist() == [" Kvar  som den är ", "", None]


def test_columns_of_another_version_are_refused(folder: UPath) -> None:
    folder.mkdir(parents=True)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"post_id": [1]}), sink)
    content = sink.getvalue().to_pybytes()
    (folder / "part-00003.parquet").write_bytes(content)
    part = SnapshotPart(3, 1, None, 1, hashlib.sha256(content).hexdigest(), len(content), 1)

    with pytest.raises(SnapshotError, match="another version"):
        read_part(folder, part)


def test_only_the_owner_can_read_personal_data(tmp_path: Path) -> None:
    folder = UPath(tmp_path / "snapshot")
    write_part(folder, PARTITION, [chunk(1)])

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "snapshot", *folder.iterdir()]}

    assert modes == {"snapshot": 0o700, "part-00003.parquet": 0o600}


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(SnapshotError, match=r"partition 3 could not be written to .*file/snapshot: Not a directory"):
        write_part(UPath(tmp_path / "file" / "snapshot"), PARTITION, [chunk(1)])
