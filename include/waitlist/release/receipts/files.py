"""Receipts by files: a good one is taken whole and moved to ``done``, a bad one is moved to ``refused`` whole.

A file is taken in one transaction, and moved after it. A process that is killed between the two reads the file again,
finds every row known, and moves it. File names are the receiver's, and may be a person's: they are never logged.
"""

import datetime as dt
import errno
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Final

from upath import UPath

from waitlist.exceptions import ReceiptError, reason_of
from waitlist.facts.csv_table import CsvTable
from waitlist.files import make_folder, move_file, names_in, open_checked, writing_aside
from waitlist.release.receipts import rows, store
from waitlist.staging import StagingStore, schema
from waitlist.staging.database import refusals_named

DONE: Final = "done"
REFUSED: Final = "refused"
FAULTS: Final = ".faults.txt"
LARGEST: Final = 64 * 2**20
"""Bytes of a file: it is read whole."""

_SUFFIX: Final = ".csv"
_FREE_TEXT: Final = ("reason",)
_NO_FILE: Final = frozenset({errno.EINVAL, errno.EISDIR})
"""Errors that say that a name leads to a link, a folder or the like."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the files."""

    files: int
    refused: int
    receipts: int
    """Rows of the files that were taken."""
    new: int
    """Of these, rows that were not known."""


class _BadFileError(Exception):
    """A file with at least one fault; leaves its transaction."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("a file with faults")
        self.faults = faults


def take(staging: StagingStore, folder: UPath, renamed: Mapping[str, str], now: dt.datetime) -> Taken:
    """Take every file of a folder, in the order of their names.

    Args:
        staging: the staging database.
        folder: the folder; only files in it that end with ``.csv`` are looked at.
        renamed: our names of the receiver's columns (``facts.receipt_columns``).
        now: the moment, aware.

    Raises:
        StagingError: the database refused.
        ReceiptError: the folder cannot be read, or a file cannot be moved; a rerun goes on from there.
    """
    try:
        make_folder(folder)
        names = [name for name in names_in(folder) if name.lower().endswith(_SUFFIX) and not name.startswith(".")]
        files = refused = receipts = new = 0
        for name in names:
            try:
                read, kept = _take_file(staging, folder / name, renamed, now)
            except _BadFileError as bad:
                _refuse(folder, name, bad.faults)
                refused += 1
                log.warning("file %d of %d was refused: %d faults", files + refused, len(names), len(bad.faults))
                continue
            make_folder(folder / DONE)
            move_file(folder / name, folder / DONE / _free(folder / DONE, name))
            files, receipts, new = files + 1, receipts + read, new + kept
            log.info("file %d of %d: %d receipts, %d of them new", files + refused, len(names), read, kept)
    except OSError as error:
        raise ReceiptError(f"the folder of receipts could not be read or written: {reason_of(error)}") from None
    return Taken(files, refused, receipts, new)


def _take_file(staging: StagingStore, path: UPath, renamed: Mapping[str, str], now: dt.datetime) -> tuple[int, int]:
    """Keep the receipts of a file, all or none; return how many there are, and how many were new.

    Raises:
        _BadFileError: with every fault.
    """
    content = _content(path)
    table = CsvTable(Path("line"), schema.RECEIPT_COLUMNS, free_text=_FREE_TEXT, content=content, renamed=renamed)
    with refusals_named("taking a file of receipts"), staging.database.writing() as connection:
        store.take_turns(connection)
        batches = store.ReleasedBatches(connection)
        found = [rows.read(row.cells, batches.find, now, row.fault) for row in table.rows]
        faults = table.faults()
        if faults:
            raise _BadFileError([fault.removeprefix("line:") for fault in faults])
        receipts = [receipt for receipt in found if receipt is not None]
        new = store.keep(connection, receipts, now)
    return len(receipts), new


def _content(path: UPath) -> bytes:
    try:
        with open_checked(path, size=None, sha256=None) as file:
            if file.size > LARGEST:
                raise _BadFileError([f"1: more than {LARGEST // 2**20} MB: divide it"])
            return file.read()
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise _BadFileError([f"1: the file cannot be read: {reason_of(error)}"]) from None


def _refuse(folder: UPath, name: str, faults: Sequence[str]) -> None:
    """Move a file aside, after its faults: a file that is there without them has not been read yet."""
    make_folder(folder / REFUSED)
    aside = _free(folder / REFUSED, name)
    with writing_aside(folder / REFUSED / f"{aside}{FAULTS}") as sink:
        sink.write("".join(f"{fault}\n" for fault in faults).encode())
    move_file(folder / name, folder / REFUSED / aside)


def _free(folder: UPath, name: str) -> str:
    """Return a name that no other file of the folder has: an earlier file of the same name stays."""
    there = set(names_in(folder))
    stem, suffix = name[: -len(_SUFFIX)], name[-len(_SUFFIX) :]
    return next(
        free for free in chain([name], (f"{stem}.{number}{suffix}" for number in count(2))) if free not in there
    )
