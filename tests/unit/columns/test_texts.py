import sys
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist.columns import texts

EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


def test_every_control_character_goes_but_tab_and_line_breaks() -> None:
    cleaned, dirty = texts.clean(pa.array(EVERY_CHARACTER))
    gone = {character for character, left in zip(EVERY_CHARACTER, cleaned.to_pylist(), strict=True) if not left}
    assert gone == {c for c in EVERY_CHARACTER if unicodedata.category(c) == "Cc"} - {"\t", "\r", "\n"}
    assert dirty.sum() == len(gone)


def test_every_white_space_character_folds_away_and_nothing_else() -> None:
    folded = texts.fold_white_space(pa.array(EVERY_CHARACTER)).to_pylist()
    gone = {character for character, left in zip(EVERY_CHARACTER, folded, strict=True) if left != character}
    assert gone == {c for c in EVERY_CHARACTER if c.isspace()}


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Ring\r\nanhörig\t först ", "Ring anhörig först"),
        ("Blodtryck\u00a0\u2009kontroll", "Blodtryck kontroll"),
        (" ", ""),
        (None, None),
        ("fika", "fika"),
    ],
)
def test_white_space_becomes_single_spaces_with_trimmed_ends(text: str | None, folded: str | None) -> None:
    assert texts.fold_white_space(pa.array([text], pa.string())).to_pylist() == [folded]


def test_null_and_the_empty_text_are_empty() -> None:
    assert texts.is_empty(pa.array([None, "", "x"])).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Filialen  ÅKARP", "filialen åkarp"),
        ("A\u030akarp", "\u00c5karp"),
        ("Straße", "STRASSE"),
        ("\u00a0Lund ", "lund"),
    ],
)
def test_names_are_compared_case_folded_in_one_unicode_form(one: str, other: str) -> None:
    assert texts.fold(one) == texts.fold(other)


_PIECES = st.sampled_from(
    ["a", "å", " ", "  ", "\n", "\x00", "\x85", "\u00a0", "\u00b0", "\u2003", "\u3000", "€", "😀"]
)


@given(st.lists(st.none() | st.lists(_PIECES, max_size=6).map("".join), max_size=8), st.integers(0, 3))
def test_any_column_folds_as_its_texts_do_one_by_one(drawn: list[str | None], skipped: int) -> None:
    column = pa.array([None, " x", "y "][:skipped] + drawn, pa.string()).slice(min(skipped, 3))
    cleaned, dirty = texts.clean(column)
    alone = [
        None if text is None else "".join(c for c in text if unicodedata.category(c) != "Cc" or c in "\t\r\n")
        for text in drawn
    ]
    assert cleaned.to_pylist() == alone
    assert dirty.tolist() == [text != left for text, left in zip(drawn, alone, strict=True)]
    assert texts.fold_white_space(column).to_pylist() == [
        None if text is None else " ".join(text.split()) for text in drawn
    ]
