"""Free texts on whole columns: how they are cleaned, and how they are folded for comparison and for Millennium.

There are three steps, each idempotent:

* *clean* removes control characters (Unicode class Cc) other than tab, CR and LF (chapter 6);
* *fold white space* replaces every run of white space, line breaks included, by one space, and trims the ends;
* *fold* also normalises to NFC and folds case, so that a branch's name can be found in a text.
"""

import unicodedata
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.columns.buffers import text_bytes

_CONTROL: Final = "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\x{80}-\\x{9f}]"
_WHITE_RUN: Final = (
    "[\\t-\\r\\x1c-\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}]+"
)
_SPACE: Final = ord(" ")
_DELETE: Final = 0x7F
_LEADS_LATIN_1: Final = 0xC2
"""First UTF-8 byte of U+0080..U+00BF, a range that includes control characters and the no-break space."""


def clean(column: pa.StringArray) -> tuple[pa.StringArray, npt.NDArray[np.bool_]]:
    """Remove control characters other than tab, CR and LF.

    Returns:
        The cleaned column, and for each value whether a character was removed.
    """
    data, offsets = text_bytes(column)
    suspect = np.flatnonzero((data < _SPACE) | (data == _DELETE) | (data == _LEADS_LATIN_1))
    suspect = suspect[~np.isin(data[suspect], (ord("\t"), ord("\n"), ord("\r")))]
    dirty = _rows_at(suspect, offsets)
    if dirty.any():
        dirty[dirty] = matches(column.filter(pa.array(dirty)), _CONTROL)
    return _replace(column, dirty, lambda some: pc.replace_substring_regex(some, _CONTROL, "")), dirty


def mark_control(column: pa.StringArray) -> pa.StringArray:
    """Replace what ``clean`` removes by U+FFFD, so that a key with such a character differs from the key without it."""
    return pc.replace_substring_regex(column, _CONTROL, "\ufffd")


def fold_white_space(column: pa.StringArray) -> pa.StringArray:
    """Make every run of white space one space and trim the ends; null stays null."""
    data, offsets = text_bytes(column)
    space = data == _SPACE
    suspect = (data < _SPACE) | (data == _LEADS_LATIN_1) | ((data & 0xFC) == 0xE0)
    suspect[1:] |= space[1:] & space[:-1]
    unfolded = _rows_at(np.flatnonzero(suspect), offsets)
    written = offsets[1:] > offsets[:-1]
    unfolded[written] |= space[offsets[:-1][written]] | space[offsets[1:][written] - 1]
    return _replace(column, unfolded, lambda some: pc.utf8_trim(pc.replace_substring_regex(some, _WHITE_RUN, " "), " "))


def is_empty(folded: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Return where a text is null or empty, after its white space was folded."""
    lengths = pc.fill_null(pc.binary_length(folded), 0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False) == 0, dtype=np.bool_)


def fold(text: str) -> str:
    """Return the form in which a text is searched for a name: NFC, case-folded, white space folded."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(folded.split())


def matches(column: pa.StringArray, pattern: str) -> npt.NDArray[np.bool_]:
    """Return which values contain a match of an RE2 pattern; null does not."""
    found = pc.fill_null(pc.match_substring_regex(column, pattern), False)
    return np.asarray(found.to_numpy(zero_copy_only=False))


def _rows_at(places: npt.NDArray[np.intp], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which texts contain one of the given byte positions."""
    rows = np.zeros(len(offsets) - 1, dtype=np.bool_)
    rows[np.searchsorted(offsets, places, side="right") - 1] = True
    return rows


def _replace(
    column: pa.StringArray, where: npt.NDArray[np.bool_], change: Callable[[pa.StringArray], pa.StringArray]
) -> pa.StringArray:
    """Change only the marked texts, which are usually few: a regular expression costs more than the search for them."""
    if not where.any():
        return column
    mask = pa.array(where)
    return pc.replace_with_mask(column, mask, change(column.filter(mask)))
