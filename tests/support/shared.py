"""Files that one test process makes for all test processes of a run, because making them takes long."""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_FOLDER = "WAITLIST_TESTS_SHARED"


def folder() -> Path:
    """Return the folder that this process has in common with those that it starts after this; it goes at the end."""
    if _FOLDER not in os.environ:
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="waitlist-shared-")
        atexit.register(shutil.rmtree, os.environ[_FOLDER], ignore_errors=True)
    return Path(os.environ[_FOLDER])


def made_once(name: str, make: Callable[[Path], None]) -> tuple[Path, bool]:
    """Make a file unless a process has made it already; the other processes wait meanwhile.

    Returns:
        The file, and whether this call has made it.
    """
    file, part = folder() / name, folder() / f"{name}.part"
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if file.exists():
            return file, False
        make(part)
        part.rename(file)
    return file, True
