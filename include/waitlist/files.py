"""Safe reading and writing of files: regular files only, checked against a checksum, never visible half written.

A name may lead to another file a moment later, and a file may be changed while it is read. So a file is opened once
and hashed, and every block that is read afterwards must be the block that was hashed. A file is written under a
temporary name and renamed when it is complete. A FIFO, a device or a folder is refused, and so is a symbolic link in
the pipeline's own folders: opening a FIFO would block forever.
"""

import errno
import hashlib
import io
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Final, TypeVar

from fsspec import AbstractFileSystem  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]
from upath import UPath

R = TypeVar("R")

_STORE_BLOCK: Final = 8 * 2**20
"""What an object store's client holds of an open file; left alone, it takes 50 MB for each."""
_BLOCK: Final = 64 * 2**10
_BLOCKS_AT_A_TIME: Final = 16
_LOCAL_FILE: Final = 0o600
_LOCAL_FOLDER: Final = 0o700
_ASIDE: Final = ".aside"
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class CheckedFile(io.RawIOBase):
    """A file that was hashed as a whole when it was opened; a block that has changed since is never returned.

    Attributes:
        sha256: SHA-256 of its bytes when it was opened, lower-case hex.
        size: the number of its bytes then.
    """

    def __init__(self, source: IO[bytes]) -> None:
        """Hash an open file; closing this object closes the file.

        Raises:
            OSError: the file cannot be read.
        """
        self._source: Final = source
        self._blocks: Final[list[bytes]] = []
        self._position = 0
        whole = hashlib.sha256()
        size = 0
        while content := memoryview(_asked(lambda: source.read(_BLOCKS_AT_A_TIME * _BLOCK))):
            whole.update(content)
            size += len(content)
            self._blocks.extend(_digests(content))
        self.sha256: Final = whole.hexdigest()
        self.size: Final = size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next ``size`` bytes, fewer at the end; all remaining bytes for None or a negative number.

        Raises:
            OSError: the bytes cannot be read, or are no longer those that were hashed.
        """
        start = self._position
        end = self.size if size is None or size < 0 else min(start + size, self.size)
        if start >= end:
            return b""
        first, after = start // _BLOCK, -(-end // _BLOCK)
        begin = first * _BLOCK
        content = _asked(lambda: self._range(begin, min(after * _BLOCK, self.size)))
        if _digests(memoryview(content)) != self._blocks[first:after]:
            raise OSError(errno.EIO, "it changed while it was read")
        self._position = end
        return content[start - begin : end - begin]

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Read bytes into a buffer, as ``read`` does."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position and return it."""
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readable(self) -> bool:
        """Return True: the file can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: the file can be read in any order."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._source.close()
        super().close()

    def _range(self, start: int, end: int) -> bytes:
        self._source.seek(start)
        return self._source.read(end - start)


def open_checked(path: UPath, *, size: int | None, sha256: str | None) -> CheckedFile:
    """Open a file of the pipeline's own folders, which must be the one that was written.

    Args:
        path: the path of the file.
        size: the number of bytes that were written; a file of another size is not read at all. None: not known.
        sha256: SHA-256 of these bytes, lower-case hex. None: not known.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is not a regular file, it is another file, or it cannot be read.
    """
    if isinstance(path.fs, LocalFileSystem):
        source = _open_regular(path.path, _READ | os.O_NOFOLLOW)
    else:
        # The client of an object store caches its listings, and another process may have written since.
        path.fs.invalidate_cache(path.path)
        source = _asked(lambda: path.fs.open(path.path, "rb", block_size=_STORE_BLOCK))
    with ExitStack() as opened:
        opened.callback(source.close)
        found = _asked(lambda: source.seek(0, os.SEEK_END))
        if size is not None and found != size:
            raise OSError(errno.EINVAL, f"it is damaged or another file: {found} bytes, not {size}")
        source.seek(0)
        file = CheckedFile(source)
        if sha256 is not None and file.sha256 != sha256:
            raise OSError(errno.EINVAL, "it is damaged or another file: its checksum is not the one that was written")
        opened.pop_all()
        return file


def read_kept(path: Path) -> bytes:
    """Read a file that people edit, such as a mapping file; symbolic links are followed.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is not a regular file, or cannot be read.
    """
    with _open_regular(path, _READ) as file:
        return file.read()


class Sink:
    """A file that Arrow writes from its beginning to its end, hashed while it is written."""

    def __init__(self, sink: IO[bytes]) -> None:
        """Take the open file to write to."""
        self._sink: Final = sink
        self._digest: Final = hashlib.sha256()
        self.size = 0
        """Bytes written so far."""
        self.closed = False
        """Whether the writer has closed the sink; ``writing_aside`` closes the file itself."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far, lower-case hex."""
        return self._digest.hexdigest()

    def write(self, content: bytes) -> int:
        """Write bytes.

        Raises:
            OSError: they cannot be written.
        """
        self._digest.update(content)
        _asked(lambda: self._sink.write(content))
        self.size += len(content)
        return len(content)

    def tell(self) -> int:
        """Return the position."""
        return self.size

    def flush(self) -> None:
        """Flush the file's buffer."""
        _asked(self._sink.flush)

    def close(self) -> None:
        """Record that the writer has finished."""
        self.closed = True


@contextmanager
def writing_aside(path: UPath) -> Iterator[Sink]:
    """Open a temporary file, which is renamed to ``path`` if the block succeeds, and removed if it fails.

    Raises:
        OSError: it cannot be written, or ``path`` exists and is not a file.
    """
    file_system: AbstractFileSystem = path.fs
    _asked(lambda: _remove_leftovers(file_system, path.path))
    # A unique name: an earlier attempt that the scheduler has given up may still be writing.
    aside = f"{path.path}.{uuid.uuid4().hex}{_ASIDE}"
    try:
        sink = _asked(lambda: _open_new(file_system, aside))
        try:
            yield Sink(sink)
        finally:
            _asked(sink.close)
        _asked(lambda: _rename(file_system, aside, path.path))
    except BaseException:
        # If this fails, the next attempt removes the file.
        with suppress(Exception):
            file_system.rm(aside)
        raise


def make_folder(folder: UPath) -> None:
    """Create a folder that only its owner can read, if it is missing.

    Raises:
        OSError: it cannot be created.
    """
    if isinstance(folder.fs, LocalFileSystem):
        os.makedirs(folder.path, mode=_LOCAL_FOLDER, exist_ok=True)  # noqa: PTH103 - a path of fsspec
    else:
        _asked(lambda: folder.fs.makedirs(folder.path, exist_ok=True))


def names_in(folder: UPath) -> list[str]:
    """Return the names of what is directly in a folder, sorted; empty where there is no such folder.

    Raises:
        OSError: it cannot be read.
    """
    folder.fs.invalidate_cache(folder.path)
    try:
        found = _asked(lambda: folder.fs.ls(folder.path, detail=False))
    except FileNotFoundError:
        return []
    return sorted(path.rstrip("/").rpartition("/")[2] for path in found)


def move_file(source: UPath, target: UPath) -> None:
    """Give a file another name in the same folder or store; a link is moved, and not what it leads to.

    Raises:
        OSError: it cannot be moved.
    """
    _asked(lambda: _rename(source.fs, source.path, target.path))


def remove_file(path: UPath) -> None:
    """Remove a file, if it is there.

    Raises:
        OSError: it cannot be removed.
    """
    with suppress(FileNotFoundError):
        _asked(lambda: path.fs.rm_file(path.path))


def _asked(call: Callable[[], R]) -> R:
    """Call a file system; the errors of object stores' clients may quote an address, so they are replaced."""
    try:
        return call()
    except Exception as error:
        # Some clients' errors are both theirs and an OSError.
        if isinstance(error, OSError) and type(error).__module__ == "builtins":
            raise
        raise OSError(errno.EIO, f"the store did not answer as it should ({type(error).__name__})") from None


def _open_regular(path: Path | str, flags: int) -> IO[bytes]:
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and flags & os.O_NOFOLLOW:
            raise OSError(errno.EINVAL, "it is a symbolic link, no regular file") from None
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        folder = OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        raise folder if stat.S_ISDIR(mode) else OSError(errno.EINVAL, "it is no regular file")
    return os.fdopen(descriptor, "rb")


def _digests(content: memoryview) -> list[bytes]:
    return [hashlib.sha256(content[at : at + _BLOCK]).digest() for at in range(0, len(content), _BLOCK)]


def _open_new(file_system: AbstractFileSystem, path: str) -> IO[bytes]:
    if isinstance(file_system, LocalFileSystem):
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _LOCAL_FILE), "wb")
    opened: IO[bytes] = file_system.open(path, "wb", block_size=_STORE_BLOCK)
    return opened


def _rename(file_system: AbstractFileSystem, source: str, target: str) -> None:
    if isinstance(file_system, LocalFileSystem):
        # fsspec moves a file into a folder of that name.
        os.replace(source, target)  # noqa: PTH105 - paths of fsspec
    else:
        file_system.mv(source, target)


def _remove_leftovers(file_system: AbstractFileSystem, path: str) -> None:
    """Remove temporary files of earlier attempts that were killed; an attempt that still runs fails at its rename."""
    try:
        beside = file_system.ls(path.rpartition("/")[0], detail=False)
    except FileNotFoundError:  # an object store knows no folder before its first object
        return
    for found in beside:
        if found.startswith(f"{path}.") and found.endswith(_ASIDE):
            with suppress(FileNotFoundError):
                file_system.rm(found)
