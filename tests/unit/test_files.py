"""Files are opened once and only when they are regular, checked on the handle that is read, and whole or missing."""

import hashlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from fsspec import AbstractFileSystem
from upath import UPath

from waitlist.facts.csv_table import CsvTable
from waitlist.files import CheckedFile, open_checked, read_kept, writing_aside

BLOCK = 64 * 2**10


def opened(path: Path) -> CheckedFile:
    """Open a file with its own size and checksum."""
    content = path.read_bytes()
    return open_checked(UPath(path), size=len(content), sha256=hashlib.sha256(content).hexdigest())


@pytest.fixture(autouse=True)
def nothing_waits_for_ever() -> Iterator[None]:
    """Opening a FIFO waits until somebody writes to it."""

    def wake(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, wake)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def irregular(kind: str, path: Path) -> None:
    match kind:
        case "FIFO":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "symbolic link":
            path.with_name("target").write_bytes(b"a,b\n1,2\n")
            path.symlink_to(path.with_name("target"))
        case "link in a circle":
            path.symlink_to(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path))
        case "device":
            path.symlink_to("/dev/zero")


IRREGULAR = ["FIFO", "folder", "link in a circle", "socket", "device"]


@pytest.mark.parametrize("kind", [*IRREGULAR, "symbolic link"])
def test_only_a_regular_file_is_read_from_the_pipelines_own_folders(tmp_path: Path, kind: str) -> None:
    irregular(kind, tmp_path / "plan.json")
    with pytest.raises(OSError, match=r"regular file|Is a directory|No such device"):
        open_checked(UPath(tmp_path / "plan.json"), size=1, sha256="")


@pytest.mark.parametrize("kind", IRREGULAR)
def test_only_a_regular_file_is_read_from_the_folders_that_people_edit(tmp_path: Path, kind: str) -> None:
    irregular(kind, tmp_path / "units.csv")
    with pytest.raises(OSError, match=r"regular file|Is a directory|No such device|symbolic links"):
        read_kept(tmp_path / "units.csv")
    (fault,) = CsvTable(tmp_path / "units.csv", ["a", "b"]).faults()
    assert fault.startswith("units.csv:1: the file cannot be read")


def test_a_file_that_people_edit_may_be_a_link_as_in_a_mounted_config_map(tmp_path: Path) -> None:
    irregular("symbolic link", tmp_path / "units.csv")
    assert read_kept(tmp_path / "units.csv") == b"a,b\n1,2\n"


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_a_checked_file_reads_as_any_other(tmp_path: Path, size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    (tmp_path / "file").write_bytes(content)
    with opened(tmp_path / "file") as file:
        assert file.size == size
        for start in (0, 1, BLOCK - 1, BLOCK, size // 2, size, size + 1):
            for length in (0, 1, BLOCK, 2 * BLOCK, size, -1):
                assert file.seek(start) == start
                assert file.read(length) == (content[start:] if length < 0 else content[start : start + length])
        assert file.seek(-1, os.SEEK_END) == size - 1
        buffer = bytearray(3)
        file.seek(0)
        assert (file.readinto(buffer), bytes(buffer)) == (min(3, size), content[:3].ljust(3, b"\0"))


@pytest.mark.parametrize(
    "change",
    [
        lambda path, content: path.write_bytes(content[:BLOCK] + b"!" + content[BLOCK + 1 :]),
        lambda path, content: path.write_bytes(content[: BLOCK + 1]),
        lambda path, _: os.truncate(path, 0),
    ],
)
def test_a_block_that_has_changed_since_it_was_hashed_is_not_handed_out(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 3 * BLOCK)
    with opened(path) as file:
        change(path, b"a" * 3 * BLOCK)
        file.seek(BLOCK)
        with pytest.raises(OSError, match="changed while it was read"):
            file.read(1)


@pytest.mark.parametrize("content", [b"", b"ab", b"b", b"a" * BLOCK])
def test_a_file_that_is_not_the_one_that_was_written_is_not_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(OSError, match="it is damaged or another file"):
        open_checked(UPath(tmp_path / "file"), size=1, sha256=hashlib.sha256(b"a").hexdigest())


def test_another_file_that_takes_the_name_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a")
    with opened(path) as file:
        path.with_name("other").write_bytes(b"b")
        path.with_name("other").replace(path)
        assert file.read() == b"a"


def test_a_folder_in_the_place_of_a_file_is_an_error_and_stays_empty(tmp_path: Path) -> None:
    (tmp_path / "plan.json").mkdir()
    with pytest.raises(IsADirectoryError), writing_aside(UPath(tmp_path / "plan.json")) as sink:
        sink.write(b"{}")
    assert [path.name for path in tmp_path.rglob("*")] == ["plan.json"]


@pytest.mark.parametrize("kind", ["FIFO", "symbolic link", "socket"])
def test_an_irregular_file_is_replaced_by_the_one_that_is_written(tmp_path: Path, kind: str) -> None:
    irregular(kind, tmp_path / "plan.json")
    with writing_aside(UPath(tmp_path / "plan.json")) as sink:
        sink.write(b"{}")
    with open_checked(UPath(tmp_path / "plan.json"), size=sink.size, sha256=sink.sha256) as file:
        assert file.read() == b"{}"
    assert not (tmp_path / "plan.json").is_symlink()


class Store(AbstractFileSystem):
    """A store whose client has errors of its own."""

    cachable = False

    def _open(self, *_: Any, **__: Any) -> Any:
        raise LookupError("no answer from https://store.example.invalid/?token=abc")

    def ls(self, *_: Any, **__: Any) -> Any:
        raise LookupError("no answer from https://store.example.invalid/?token=abc")


class Place:
    """A path in such a store."""

    fs = Store()
    path = "bucket/batch/plan.json"


def test_an_error_of_a_stores_client_becomes_our_error_without_its_text() -> None:
    for attempt in (lambda: open_checked(Place(), size=1, sha256=""), lambda: writing_aside(Place()).__enter__()):  # type: ignore[arg-type]
        with pytest.raises(OSError, match=r"^\[Errno 5\] the store did not answer as it should \(LookupError\)$"):
            attempt()


def test_so_does_one_that_is_an_error_of_the_system_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class SilentError(OSError):
        """As the S3 client's when the store does not answer."""

    def silent(*_: Any, **__: Any) -> Any:
        raise SilentError("no answer from https://store.example.invalid/?token=abc")

    monkeypatch.setattr(Store, "_open", silent)
    with pytest.raises(OSError, match=r"^\[Errno 5\] the store did not answer as it should \(SilentError\)$"):
        open_checked(Place(), size=1, sha256="")  # type: ignore[arg-type]


def test_an_unfinished_file_leaves_nothing(tmp_path: Path) -> None:
    def killed() -> None:
        with writing_aside(UPath(tmp_path / "file")) as sink:
            sink.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert list(tmp_path.iterdir()) == []


def test_closing_a_checked_file_closes_the_one_under_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a")
    under = (tmp_path / "file").open("rb")
    CheckedFile(under).close()
    assert under.closed
