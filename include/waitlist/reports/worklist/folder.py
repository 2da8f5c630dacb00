"""The folder that work lists are written to: only its owner can read it, and it never has an incomplete set.

All files are first written to a hidden folder inside it, and are moved when all of them are complete. A folder of work
lists has no other files: those would become unreadable for other users, be mixed with patients' data, or be replaced.
"""

import os
import re
import shutil
import unicodedata
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import IO, Final

from xlsxwriter.exceptions import XlsxWriterException

from waitlist.exceptions import WorkListError, reason_of

UNKNOWN_UNIT: Final = "okand-enhet"
"""The name, in file names and arguments, of the unit of posts whose unit is not known; its key is empty."""

_FILE: Final = 0o600
_FOLDER: Final = 0o700
_NAME: Final = re.compile(
    r"arbetslista-(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*--)?(?P<unit>[A-Za-z0-9_-]+)-[0-9]{4}-[0-9]{2}-[0-9]{2}\.(?:xlsx|csv)"
)
_ARCHIVE: Final = re.compile(r"arbetslistor-vag-[A-Za-z0-9-]+-[0-9]{4}-[0-9]{2}-[0-9]{2}\.zip")
_LONGEST_NAME: Final = 60
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9-]")
_ASIDE: Final = ".arbetslistor-"
_ASIDE_NAME: Final = re.compile(re.escape(_ASIDE) + "[0-9a-f]{32}")


def file_name(key: str, as_of: date, suffix: str, *, name: str = "") -> str:
    """Return the file name of a unit's work list; it has the unit and the day, and nothing about a patient.

    Args:
        key: the unit's key.
        as_of: the day.
        suffix: the kind of file.
        name: the unit's name in ``units.csv``; empty for none. A name in PMO may be anything.
    """
    named = f"{part}--" if (part := in_ascii(name)) else ""
    return f"arbetslista-{named}{_unit_part(key)}-{as_of.isoformat()}.{suffix}"


def archive_name(wave: str, as_of: date) -> str:
    """Return the file name of the archive with all work lists of a wave."""
    return f"arbetslistor-vag-{in_ascii(wave) or 'okand'}-{as_of.isoformat()}.zip"


def in_ascii(text: str) -> str:
    """Return a text as a part of a file name: ASCII letters and digits, with single hyphens between."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[A-Za-z0-9]+", plain))[:_LONGEST_NAME].strip("-")


def is_work_list(name: str) -> bool:
    """Tell whether a file is a work list, or an archive of them, by its name."""
    return _NAME.fullmatch(name) is not None or _ARCHIVE.fullmatch(name) is not None


def open_new(path: Path) -> IO[bytes]:
    """Create a file that only its owner may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE), "wb")


class OutFolder:
    """The folder that work lists are written to."""

    def __init__(self, path: Path, *, units: Collection[str] | None, replace: bool) -> None:
        """Prepare for a folder; nothing is created or changed yet.

        Args:
            path: the folder, created when it is missing.
            units: keys of the units that are written; None for all.
            replace: whether the new work lists replace earlier ones of these units.
        """
        self._path = path
        self._units = None if units is None else {_unit_part(key) for key in units}
        self._replace = replace

    def faults(self) -> list[str]:
        """Return the reasons why nothing may be written here; empty when it may."""
        try:
            others = [entry for entry in self._path.iterdir() if not _belongs(entry)]
        except FileNotFoundError:
            return []
        except OSError as error:
            return [f"{self._path} cannot be written to: {reason_of(error)}"]
        if others:
            return [f"{self._path} has {len(others)} other files: work lists need a folder of their own"]
        earlier = len(self._earlier())
        if earlier and not self._replace:
            return [f"{self._path} has {earlier} earlier work lists of these units: --replace replaces them"]
        return []

    @contextmanager
    def filling(self) -> Iterator[Path]:
        """Yield a folder to write to; its work lists are moved here when the block ends without an error.

        Temporary files belong there too: the folder is removed with everything that is left in it.

        Raises:
            WorkListError: nothing may be written here, or the disk refused; no work list has changed then.
        """
        if faults := self.faults():
            raise WorkListError("\n".join(faults))
        try:
            self._path.mkdir(mode=_FOLDER, parents=True, exist_ok=True)
            self._path.chmod(_FOLDER)
            # Remove the files of a killed attempt. An attempt that still runs fails when it moves its files.
            for entry in self._path.iterdir():
                if _ASIDE_NAME.fullmatch(entry.name):
                    shutil.rmtree(entry)
            aside = self._path / f"{_ASIDE}{uuid.uuid4().hex}"
            aside.mkdir(mode=_FOLDER)
            try:
                yield aside
                self._take(aside)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        except OSError as error:
            raise WorkListError(f"{self._path} cannot be written to: {reason_of(error)}") from None
        except XlsxWriterException as error:
            raise WorkListError(f"{self._path} cannot be written to: {type(error).__name__}") from None

    def _take(self, aside: Path) -> None:
        made = {entry.name for entry in aside.iterdir() if is_work_list(entry.name)}
        for name in sorted(made):
            (aside / name).replace(self._path / name)
        for name in self._earlier() - made:
            (self._path / name).unlink()

    def _earlier(self) -> set[str]:
        """Return the names of earlier work lists here, of the units that are written."""
        named = [found for entry in self._path.iterdir() if (found := _NAME.fullmatch(entry.name))]
        lists = {found[0] for found in named if self._units is None or found["unit"] in self._units}
        # An archive no longer fits when a list of its wave changes.
        archives = {entry.name for entry in self._path.iterdir() if _ARCHIVE.fullmatch(entry.name)}
        return lists | archives


def _belongs(entry: Path) -> bool:
    """Tell whether an entry is a work list or a killed attempt's folder; any other folder cannot be replaced."""
    if _ASIDE_NAME.fullmatch(entry.name):
        return True
    return is_work_list(entry.name) and entry.is_file()


def _unit_part(key: str) -> str:
    return _NOT_IN_A_NAME.sub("_", key) if key else UNKNOWN_UNIT
