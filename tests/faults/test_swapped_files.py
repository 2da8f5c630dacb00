"""A file of a snapshot is swapped, or written to, while it is read: a row that was not checked is never returned."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from tests.support import posts
from tests.support.batches import in_processes
from upath import UPath

from waitlist.exceptions import SnapshotError
from waitlist.source.snapshot import Partition, SnapshotPart, file_name, read_part, write_part

Attack = Callable[[str, tuple[bytes, bytes], str], None]

PARTITION = Partition(number=0, lower=None, upper=None, posts=400)


def chunk(first: int, text: str) -> pa.Table:
    return posts.table(*({"post_id": post, "orsak": f"{text} {post}"} for post in range(first, first + 100)))


def rename_in_turn(path: str, contents: tuple[bytes, bytes], ready: str) -> None:
    """Give a name to one file and then to another, for ever."""
    for number, content in enumerate(contents):
        Path(f"{path}.{number}").write_bytes(content)
    while True:
        for number in range(len(contents)):
            os.link(f"{path}.{number}", f"{path}.next")
            os.replace(f"{path}.next", path)  # noqa: PTH105
            Path(ready).touch()
            time.sleep(random.uniform(0, 0.003))


def write_in_turn(path: str, contents: tuple[bytes, bytes], ready: str) -> None:
    """Write one content and then another into the same file, for ever."""
    descriptor = os.open(path, os.O_WRONLY)
    while True:
        for content in contents:
            os.pwrite(descriptor, content, 0)
            Path(ready).touch()
            time.sleep(random.uniform(0, 0.003))


@pytest.fixture
def checked(tmp_path: Path) -> tuple[UPath, SnapshotPart, bytes]:
    """A part, and what another one of the same length holds."""
    folder = UPath(tmp_path / "snapshot")
    write_part(folder, PARTITION, [chunk(first, "b") for first in range(1, 401, 100)])
    other = (folder / "part-00000.parquet").read_bytes()
    part = write_part(folder, PARTITION, [chunk(first, "a") for first in range(1, 401, 100)])
    assert len((folder / file_name(part.partition)).read_bytes()) == len(other)
    return folder, part, other


@contextmanager
def attacked(how: Attack, folder: UPath, part: SnapshotPart, other: bytes) -> Iterator[None]:
    path, ready = Path((folder / file_name(part.partition)).path), Path(folder.path).with_name("ready")
    (attacker,) = in_processes((how, (str(path), (other, path.read_bytes()), str(ready))))
    try:
        while not ready.exists():
            time.sleep(0.01)
        yield
    finally:
        attacker.kill()
        attacker.join()


def read(folder: UPath, part: SnapshotPart) -> str:
    """Read the part once and return the outcome."""
    try:
        texts = [text for table in read_part(folder, part, ["post_id", "orsak"]) for text in table["orsak"].to_pylist()]
    except SnapshotError:
        return "refused"
    return "right" if len(texts) == PARTITION.posts and all(text.startswith("a ") for text in texts) else "wrong"


@pytest.mark.parametrize("how", [rename_in_turn, write_in_turn])
@pytest.mark.parametrize("tries", [300, pytest.param(15_000, marks=pytest.mark.attack)])
def test_only_checked_rows_are_returned(
    checked: tuple[UPath, SnapshotPart, bytes], how: Attack, tries: int, attack_table: Callable[..., None]
) -> None:
    folder, part, other = checked
    with attacked(how, folder, part, other):
        outcomes = Counter(read(folder, part) for _ in range(tries))
    assert min(outcomes["right"], outcomes["refused"]) > 0, "the attack came too seldom or too often to be one"
    attack_table(f"read a part under a {how.__name__} loop", tries=tries, held=tries - outcomes["wrong"])
