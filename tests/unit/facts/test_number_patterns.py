"""Patterns over twelve digits: every number that one matches is found, and no pattern takes long."""

import re
from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitlist.facts.number_patterns import LONGEST, PatternError, numbers_of


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        ("191212121212", ["191212121212"]),
        ("^191212121212$", ["191212121212"]),
        ("(19|20)1212121212", ["191212121212", "201212121212"]),
        ("(?:19|20)1212121212", ["191212121212", "201212121212"]),
        ("19121212121[2-4]", ["191212121212", "191212121213", "191212121214"]),
        ("19121212121[^0-7]", ["191212121218", "191212121219"]),
        ("(12){6}", ["121212121212"]),
        ("9{12,}", ["999999999999"]),
        ("1{,3}2{9}", ["111222222222"]),
        ("1*2?0{11}", ["100000000000", "200000000000"]),
        ("(1|1|1|1){12}", ["111111111111"]),
        ("[^0-8]+", ["999999999999"]),
        ("19121212", []),
        ("\\d{13}", []),
        ("", []),
        ("(()*)*", []),
        ("[^0-9]{12}", []),
    ],
)
def test_every_number_that_is_matched_whole_is_found(pattern: str, numbers: list[str]) -> None:
    assert list(numbers_of(pattern, most=100)) == numbers


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [("19121212121\\d", 10), ("1912121212..", 100), ("19121212\\d{3}2", 1_000), ("19121212\\d{4}", 1_001)],
)
def test_numbers_are_counted_up_to_one_more_than_are_wanted(pattern: str, matched: int) -> None:
    assert len(numbers_of(pattern, most=1_000)) == matched


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("121212-1212", "'-' is no digit after '121212'"),
        ("(1", "a ) is missing after '(1'"),
        ("1)", "a ) too many after '1'"),
        ("[5-1]", "no class of digits"),
        ("[]", "no class of digits"),
        ("[1", "no class of digits"),
        ("[0-9&&1]", "no class of digits"),
        ("1{3,2}", "a repetition whose least is above its most after '1{3,2}'"),
        ("1{99999}", "'{' is no digit after '1'"),
        ("1??", "a repetition of a repetition after '1?'"),
        ("*1", "'*' is no digit"),
        ("(?=1)", "'?' is no digit after '('"),
        ("(1)\\1", "'\\\\' is no digit after '(1)'"),
        ("１", "'１' is no digit"),
        ("²", "'²' is no digit"),
        ("1" * (LONGEST + 1), f"longer than {LONGEST} characters"),
    ],
)
def test_an_invalid_pattern_over_digits_is_named(pattern: str, why: str) -> None:
    with pytest.raises(PatternError) as refused:
        numbers_of(pattern, most=10)
    assert str(refused.value) == why


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:(?:(?:\\d?){9}){9}){9}",
        "((((((\\d*)*)*)*)*)*)*",
        "((\\d|\\d\\d)+)+",
        "(\\d|\\d|\\d|\\d)*2",
        "((((){13}){13}){13}){13}",
        "(" * 99 + "1" + ")" * 99,
        "(" * 40 + "1" + "?){9}" * 32,
        "|".join(["\\d*"] * 60),
        "(1?){12}" * 20,
        "[1-3]*[2-4]*[3-5]*[4-6]*[5-7]*[6-8]*[7-9]*",
    ],
)
def test_a_pattern_on_which_a_backtracking_matcher_never_ends_is_counted_or_refused(pattern: str) -> None:
    with suppress(PatternError):
        assert len(numbers_of(pattern, most=1_000)) <= 1_001


@settings(deadline=None)
@given(st.text("0123456789()[]|?*+{},\\d.^$-:", max_size=LONGEST))
def test_any_text_is_counted_or_refused(pattern: str) -> None:
    with suppress(PatternError):
        found = numbers_of(pattern, most=50)
        assert list(found) == sorted(set(found))
        assert all(re.fullmatch("[0-9]{12}", number) for number in found)


_PARTS = st.recursive(
    st.sampled_from(["1", "2", "12", "[12]", "[2]"]),
    lambda parts: st.one_of(
        st.tuples(parts, parts).map("".join),
        st.tuples(parts, parts).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(parts, st.sampled_from(["?", "*", "+", "{2}", "{0,3}", "{1,}"])).map(
            # A repetition of a repetition takes the standard library minutes and more: it backtracks.
            lambda pair: pair[0] if set(pair[0]) & set("?*+{") else f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=5,
)
_ALL_OF_ONES_AND_TWOS = ["".join(digits) for digits in product("12", repeat=12)]


@settings(deadline=None)
@given(pattern=_PARTS, fill=st.sampled_from(["", "[12]*", "1{4}", "(12)+"]))
def test_the_numbers_found_are_those_that_the_standard_library_matches(pattern: str, fill: str) -> None:
    matching = re.compile(pattern + fill)
    expected = [number for number in _ALL_OF_ONES_AND_TWOS if matching.fullmatch(number)]
    assert list(numbers_of(pattern + fill, most=5_000)) == expected
