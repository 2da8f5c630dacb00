"""Free texts on whole columns: cleaned first, then judged, then folded for the receiver.

Three steps, each idempotent:

* *clean*: control characters (Unicode class Cc) other than tab, CR and LF go (chapter 6);
* *fold white space*: every run of white space, line breaks included, becomes one space, ends trimmed;
* *fold*: besides that NFC and case-folded, for finding a branch's name in a text.
"""

import unicodedata
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_CONTROL: Final = "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\x{80}-\\x{9f}]"
_WHITE: Final = (
    "\\t-\\r\\x1c-\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
)
_WHITE_RUN: Final = f"[{_WHITE}]+"
_NOT_FOLDED: Final = (
    "^ | $|  |[\\t-\\r\\x1c-\\x1f\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"
    "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}]"
)


def clean(column: pa.StringArray) -> tuple[pa.StringArray, npt.NDArray[np.bool_]]:
    """Remove control characters other than tab, CR and LF.

    Returns:
        the cleaned column, and for each value whether anything had to go.
    """
    dirty = matches(column, _CONTROL)
    if not dirty.any():
        return column, dirty
    return pc.replace_substring_regex(column, _CONTROL, ""), dirty


def fold_white_space(column: pa.StringArray) -> pa.StringArray:
    """Make every run of white space one space and trim the ends; null stays null."""
    if not matches(column, _NOT_FOLDED).any():
        return column
    return pc.utf8_trim(pc.replace_substring_regex(column, _WHITE_RUN, " "), " ")


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
