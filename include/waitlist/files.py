"""Files: opened once, only when they are regular, checked on the handle that is read, and whole or not there.

A name may mean another file a moment later, and a file may be written to while it is read. So a file is opened once,
hashed on that handle, and every block that is read afterwards must be the block that was hashed. A file is written
aside and renamed when it is whole. A FIFO, a device, a folder or, in the pipeline's own folders, a symbolic link is
refused: opening a FIFO would wait for ever.
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
    """A file that was hashed from its beginning to its end; a block that has changed since is never handed out.

    Attributes:
        sha256: of the bytes that were there when it was opened, lower-case hex.
        size: their number.
    """

    def __init__(self, source: IO[bytes]) -> None:
        """Hash a file that is open; closing this closes it.

        Raises:
            OSError: it cannot be read.
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
        """Return the next ``size`` bytes, fewer at the end; all that are left for None or a negative number.

        Raises:
            OSError: they cannot be read, or are no longer those that were hashed.
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
        """Fill a buffer as ``read`` would."""
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
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read in any order."""
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
        path: where it is.
        size: the bytes that were written; a file of another size is not read at all. None: not known.
        sha256: of these bytes, lower-case hex. None: not known.

    Raises:
        FileNotFoundError: there is none.
        OSError: it is no regular file, is another one, or cannot be read.
    """
    if isinstance(path.fs, LocalFileSystem):
        source = _open_regular(path.path, _READ | os.O_NOFOLLOW)
    else:
        # A store's client remembers what it has listed, and another process may have written since.
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
    """Read a file that people keep, such as a mapping file; symbolic links are followed.

    Raises:
        FileNotFoundError: there is none.
        OSError: it is no regular file, or cannot be read.
    """
    with _open_regular(path, _READ) as file:
        return file.read()


class Sink:
    """A file to be written from its beginning to its end, as Arrow does it, hashed on the way."""

    def __init__(self, sink: IO[bytes]) -> None:
        """Write to ``sink``."""
        self._sink: Final = sink
        self._digest: Final = hashlib.sha256()
        self.size = 0
        """Bytes written so far."""
        self.closed = False
        """Whether its writer has closed it; the file itself is closed by ``writing_aside``."""

    @property
    def sha256(self) -> str:
        """SHA-256 of what was written so far, lower-case hex."""
        return self._digest.hexdigest()

    def write(self, content: bytes) -> int:
        """Write some bytes.

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
        """Hand on what the file holds back."""
        _asked(self._sink.flush)

    def close(self) -> None:
        """Take the writer's word that it has ended."""
        self.closed = True


@contextmanager
def writing_aside(path: UPath) -> Iterator[Sink]:
    """Open a new file that takes ``path`` when the block ends well, and is removed when it does not.

    Raises:
        OSError: it cannot be written, or what is there under this name is no file.
    """
    file_system: AbstractFileSystem = path.fs
    _asked(lambda: _remove_leftovers(file_system, path.path))
    # A name of its own: an attempt that its scheduler gave up on may still be writing.
    aside = f"{path.path}.{uuid.uuid4().hex}{_ASIDE}"
    try:
        sink = _asked(lambda: _open_new(file_system, aside))
        try:
            yield Sink(sink)
        finally:
            _asked(sink.close)
        _asked(lambda: _rename(file_system, aside, path.path))
    except BaseException:
        # Whatever hinders this, the next attempt removes it.
        with suppress(Exception):
            file_system.rm(aside)
        raise


def make_folder(folder: UPath) -> None:
    """Make a folder that is its owner's alone, where it is missing.

    Raises:
        OSError: it cannot be made.
    """
    if isinstance(folder.fs, LocalFileSystem):
        os.makedirs(folder.path, mode=_LOCAL_FOLDER, exist_ok=True)  # noqa: PTH103 - a path of fsspec
    else:
        _asked(lambda: folder.fs.makedirs(folder.path, exist_ok=True))


def _asked(call: Callable[[], R]) -> R:
    """Return what a file system answers; object stores' clients have errors of their own that may quote an address."""
    try:
        return call()
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - any client's
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
    """Remove what an attempt that was killed left; one that still runs then fails at its rename."""
    try:
        beside = file_system.ls(path.rpartition("/")[0], detail=False)
    except FileNotFoundError:  # an object store knows no folder before its first object
        return
    for found in beside:
        if found.startswith(f"{path}.") and found.endswith(_ASIDE):
            with suppress(FileNotFoundError):
                file_system.rm(found)
