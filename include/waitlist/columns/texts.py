"""Free texts on whole columns: cleaned first, then judged, then folded for the receiver.

Three steps, each idempotent:

* *clean*: control characters (Unicode class Cc) other than tab, CR and LF go (chapter 6);
* *fold white space*: every run of white space, line breaks included, becomes one space, ends trimmed;
* *fold*: besides that NFC and case-folded, for finding a branch's name in a text.
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
"""First byte of U+0080..U+00BF, which have control characters and the no-break space among them."""


def clean(column: pa.StringArray) -> tuple[pa.StringArray, npt.NDArray[np.bool_]]:
    """Remove control characters other than tab, CR and LF.

    Returns:
        the cleaned column, and for each value whether anything had to go.
    """
    data, offsets = text_bytes(column)
    suspect = np.flatnonzero((data < _SPACE) | (data == _DELETE) | (data == _LEADS_LATIN_1))
    suspect = suspect[~np.isin(data[suspect], (ord("\t"), ord("\n"), ord("\r")))]
    dirty = _rows_at(suspect, offsets)
    if dirty.any():
        dirty[dirty] = matches(column.filter(pa.array(dirty)), _CONTROL)
    return _replace(column, dirty, lambda some: pc.replace_substring_regex(some, _CONTROL, "")), dirty


def mark_control(column: pa.StringArray) -> pa.StringArray:
    """Put U+FFFD in place of what ``clean`` removes: a key that has it stays apart from the one that does not."""
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
    """Tell where a white-space-folded text is null or has nothing in it."""
    lengths = pc.fill_null(pc.binary_length(folded), 0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False) == 0, dtype=np.bool_)


def fold(text: str) -> str:
    """Return the form in which a name is looked for in a text: NFC, case-folded, white space folded."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(folded.split())


def matches(column: pa.StringArray, pattern: str) -> npt.NDArray[np.bool_]:
    """Tell which values match an RE2 pattern anywhere; null does not."""
    found = pc.fill_null(pc.match_substring_regex(column, pattern), False)
    return np.asarray(found.to_numpy(zero_copy_only=False))


def _rows_at(places: npt.NDArray[np.intp], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell which texts the given places lie in."""
    rows = np.zeros(len(offsets) - 1, dtype=np.bool_)
    rows[np.searchsorted(offsets, places, side="right") - 1] = True
    return rows


def _replace(
    column: pa.StringArray, where: npt.NDArray[np.bool_], change: Callable[[pa.StringArray], pa.StringArray]
) -> pa.StringArray:
    """Change the texts of some rows, most often few: a pattern costs more than the look that found them."""
    if not where.any():
        return column
    mask = pa.array(where)
    return pc.replace_with_mask(column, mask, change(column.filter(mask)))
