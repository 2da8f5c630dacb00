"""The kind of a patient's number, compared with the rules' text, a row-by-row reference and two libraries."""

import datetime as dt
import re
import string

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from personnummer import personnummer
from stdnum.se import personnummer as stdnum
from tests.support import official_numbers
from tests.support.official_numbers import with_check_digit

from waitlist import paths
from waitlist.facts.mappings import ReserveNumber, load_mappings
from waitlist.judge.identity import Kind, classify

AS_OF = dt.date(2024, 10, 1)
FORMATS = load_mappings(paths.MAPPINGS, raisable={}).reserve_numbers
SPACES = " \u00a0\u2007\u202f"
CHILD = official_numbers.number(dt.date(2012, 5, 17), 238)
ADULT = official_numbers.number(dt.date(1985, 12, 3), 239)
ELDER = official_numbers.old_number(dt.date(1892, 3, 14))


def one(number, as_of=AS_OF):
    """Classify a single number: kind, Person-ID, birth date, likely reserve format."""
    found = classify(pa.array([number], pa.string()), as_of, FORMATS)
    birth = found.birth_date[0]
    return (
        Kind(int(found.kind[0])),
        found.person_id[0].as_py(),
        None if np.isnat(birth) else birth.item(),
        found.reserve_name[0].as_py(),
    )


def kind(number, as_of=AS_OF):
    return one(number, as_of)[0]


def short(number, sign="-"):
    """The ten-digit form of a twelve-digit number."""
    return f"{number[2:8]}{sign}{number[8:]}"


def on_day(number, day):
    """The number with another day and the right check digit for it."""
    return with_check_digit(f"{number[:6]}{day:02}{number[8:11]}")


def wrong(number, by=1):
    """The number with a wrong check digit."""
    return number[:-1] + str((int(number[-1]) + by) % 10)


# Personnummer


@pytest.mark.parametrize("spelling", [ADULT, f"{ADULT[:8]}-{ADULT[8:]}", short(ADULT)])
def test_every_spelling_of_a_personnummer_gives_the_same_person(spelling):
    assert one(spelling) == (Kind.PERSONNUMMER, ADULT, dt.date(1985, 12, 3), None)


@pytest.mark.parametrize("space", SPACES)
def test_outer_spaces_are_trimmed(space):
    assert one(f"{space} {short(CHILD)}{space}")[:2] == (Kind.PERSONNUMMER, CHILD)


@pytest.mark.parametrize(
    "number",
    [
        f"{short(ADULT)}\n",
        f"\t{short(ADULT)}",
        f"{short(ADULT)}\u3000",
        f"{ADULT[:8]} {ADULT[8:]}",
        f"{ADULT[:8]}--{ADULT[8:]}",
        f"{ADULT[:8]}\u2013{ADULT[8:]}",
        f"{ADULT[:4]}-{ADULT[4:8]}-{ADULT[8:]}",
        ADULT.translate({ord(digit): ord(digit) + 0xFEE0 for digit in string.digits}),
        f"{ADULT[:8]}\0{ADULT[8:]}",
        f"{ADULT[:11]}å",
        f"{ADULT[:9]}😀",
        ADULT[:7],
        ADULT[:11],
        ADULT * 2,
        "ÅÅMMDD-XXXX",
        "-",
    ],
)
def test_any_other_shape_is_invalid(number):
    assert one(number) == (Kind.INVALID, None, None, None)


@pytest.mark.parametrize("number", [None, "", "   ", "\u00a0", " \u202f\u2007 "])
def test_null_and_nothing_but_spaces_are_missing(number):
    assert one(number) == (Kind.MISSING, None, None, None)


def test_six_digits_without_a_sign_have_no_century():
    assert kind(ADULT[2:]) == Kind.INVALID


def test_eight_digits_take_no_plus():
    assert kind(f"{ELDER[:8]}+{ELDER[8:]}") == Kind.INVALID


@pytest.mark.parametrize("by", range(1, 10))
def test_a_wrong_check_digit_is_invalid(by):
    assert kind(wrong(short(ADULT), by)) == Kind.INVALID


@pytest.mark.parametrize("date", ["20120230", "20110229", "20121301", "20120001", "20120500", "20120431"])
def test_no_such_date_is_invalid(date):
    assert kind(with_check_digit(f"{date}238")) == Kind.INVALID


@pytest.mark.parametrize("day", ["03", "63"])
def test_the_birth_number_000_is_invalid(day):
    nobodys = with_check_digit(f"198512{day}000")
    assert (
        one(nobodys) == one(f"{nobodys[:8]}-{nobodys[8:]}") == one(short(nobodys)) == (Kind.INVALID, None, None, None)
    )
    assert kind(short(with_check_digit(f"189203{day}000"), "+")) == Kind.INVALID


def test_leap_day_is_a_date():
    assert one(official_numbers.number(dt.date(2012, 2, 29), 238))[2] == dt.date(2012, 2, 29)


def test_birth_after_the_as_of_date_is_invalid():
    assert kind(CHILD, dt.date(2012, 5, 17)) == Kind.PERSONNUMMER
    assert kind(CHILD, dt.date(2012, 5, 16)) == Kind.INVALID
    assert kind(short(CHILD), dt.date(2012, 5, 16)) == Kind.INVALID
    assert kind(CHILD, dt.date(2011, 12, 31)) == Kind.INVALID


# The century


@pytest.mark.parametrize(
    ("as_of", "sign", "birth_year"),
    [
        (dt.date(2084, 12, 31), "-", 1985),
        (dt.date(2084, 12, 31), "+", 1885),
        (dt.date(2085, 1, 1), "+", 1985),
        (dt.date(2085, 12, 3), "-", 2085),
        (dt.date(2024, 10, 1), "+", 1885),
    ],
)
def test_plus_begins_with_the_year_in_which_a_person_turns_100(as_of, sign, birth_year):
    birth = dt.date(birth_year, 12, 3)
    assert one(short(ADULT, sign), as_of) == (Kind.PERSONNUMMER, f"{birth_year}{ADULT[4:]}", birth, None)


def test_minus_in_the_year_of_turning_100_would_be_a_birth_to_come():
    assert kind(short(ADULT), dt.date(2085, 1, 1)) == Kind.INVALID


def test_plus_means_the_century_before():
    assert one(short(ELDER, "+"))[:3] == (Kind.PERSONNUMMER, ELDER, dt.date(1892, 3, 14))


def test_twelve_digits_give_the_century_themselves_back_to_199_years():
    assert kind(ELDER, dt.date(2091, 12, 31)) == Kind.PERSONNUMMER
    assert kind(ELDER, dt.date(2092, 1, 1)) == kind(ELDER, dt.date(2092, 12, 31)) == Kind.INVALID
    assert kind(f"{ELDER[:8]}-{ELDER[8:]}") == Kind.PERSONNUMMER


# Samordningsnummer


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (60, Kind.SAMORDNINGSNUMMER),
        (61, Kind.SAMORDNINGSNUMMER),
        (91, Kind.SAMORDNINGSNUMMER),
        (92, Kind.INVALID),
        (99, Kind.INVALID),
    ],
)
def test_day_60_to_91_is_a_samordningsnummer(day, expected):
    number = on_day(ADULT, day)
    assert one(number) == (expected, None, None, None)
    assert one(short(number)) == (expected, None, None, None)
    assert kind(wrong(number)) == Kind.INVALID


def test_the_date_of_a_samordningsnummer_is_not_tested():
    month_unknown = with_check_digit("19850060239")
    years_ahead = with_check_digit("20851263239")
    assert kind(month_unknown) == kind(years_ahead) == Kind.SAMORDNINGSNUMMER


def test_a_samordningsnummer_keeps_to_the_shapes_too():
    number = on_day(ADULT, 63)
    assert kind(number[2:]) == kind(f"{number[:8]}+{number[8:]}") == Kind.INVALID
    assert kind(short(number, "+")) == Kind.SAMORDNINGSNUMMER


# Reserve and interim numbers


@pytest.mark.parametrize("letter", "TRSUWXJKLMNtrsuwxjklmn")
def test_an_interim_number_has_a_letter_first_of_the_last_four(letter):
    assert one(f"850533-{letter}123") == (Kind.INTERIMSNUMMER, None, None, None)


@pytest.mark.parametrize(
    ("number", "likely"),
    [
        ("19850512-BC12", "Nationellt reservid (NRID)"),
        ("19850512BCD2", "Nationellt reservid (NRID)"),
        ("99202412-3456", "Stockholm"),
        ("992024999999", "Stockholm"),
        ("198505125F1Z", "Värmland"),
        ("19850512-SU1A", "Värmland"),
        ("850512-DA0B", "Skåne"),
        ("19850512fz1q", "Skåne"),
        ("19850545-1234", "Carelink"),
        ("850532-1234", "Carelink"),
        ("850559+1234", "Carelink"),
        ("850512-AAAA", None),
        ("850512AAAA", None),
        ("19850512+A12I", None),
        ("850512-1A23", None),
        ("850512-A123", None),
        ("000000-T12A", None),
    ],
)
def test_letters_or_a_digit_pattern_make_a_reserve_number(number, likely):
    assert one(number) == (Kind.RESERVNUMMER, None, None, likely)


@pytest.mark.parametrize("number", ["8505451234", "19850545+1234"])
def test_digits_alone_need_a_century_to_be_a_reserve_number(number):
    assert kind(number) == Kind.INVALID


def test_a_short_number_that_begins_with_99_is_a_year_like_any_other():
    assert kind("990512-1234") == Kind.INVALID
    assert kind(short(official_numbers.number(dt.date(1999, 5, 12), 238))) == Kind.PERSONNUMMER


@pytest.mark.parametrize(("day", "expected"), [(31, Kind.INVALID), (32, Kind.RESERVNUMMER), (59, Kind.RESERVNUMMER)])
def test_a_reserve_number_of_digits_alone_has_day_32_to_59(day, expected):
    assert kind(f"198504{day}-0000") == expected


def test_no_known_format_leaves_the_kind_as_it_is():
    found = classify(pa.array(["850512-DA0B", "99202412-3456"]), AS_OF, [])
    assert found.kind.tolist() == [Kind.RESERVNUMMER] * 2
    assert found.reserve_name.to_pylist() == [None, None]


def test_a_reserve_format_on_which_a_backtracking_matcher_never_ends_stops_no_run():
    hostile = ReserveNumber("slow", re.compile(r"(?:(?:(?:\d?){9}){9}){9}[A-Z]Z"), None, "", "")
    found = classify(pa.array(["19850512-AB12", "850512-ZZ99"] * 500), AS_OF, [hostile, *FORMATS])
    assert found.reserve_name.to_pylist() == ["Nationellt reservid (NRID)", None] * 500


@pytest.mark.parametrize(
    ("number", "by_sign"),
    [
        (short(CHILD), True),
        (f" {short(CHILD)}\u00a0", True),
        (short(ELDER, "+"), False),
        (CHILD, False),
        (f"{CHILD[:8]}-{CHILD[8:]}", False),
        (None, False),
        ("", False),
    ],
)
def test_ten_digits_with_a_hyphen_have_their_century_by_the_sign_alone(number, by_sign):
    assert classify(pa.array([number], pa.string()), AS_OF, FORMATS).of_this_century_by_sign.tolist() == [by_sign]


# Columns


def reference(number, as_of):
    """The same rules, one number at a time and with the standard library's dates."""
    text = (number or "").strip(SPACES)
    shape = re.fullmatch(r"([0-9]{6}|[0-9]{8})([-+]?)([0-9A-Za-z]{4})", text)
    if not shape:
        return Kind.INVALID if text else Kind.MISSING, None, None, None
    date, sign, last = shape.groups()
    found = reference_kind(date, sign, last)
    if found == Kind.RESERVNUMMER:
        likely = [known.namn for known in FORMATS if known.monster.fullmatch((date + last).upper())]
        return found, None, None, (likely or [None])[0]
    if found == Kind.PERSONNUMMER:
        birth = reference_birth(date, sign, as_of)
        if birth and birth <= as_of:
            return found, f"{birth:%Y%m%d}{last}", birth, None
        return Kind.INVALID, None, None, None
    return found, None, None, None


def reference_kind(date, sign, last):
    if not last.isdigit():
        interim = re.fullmatch(r"[TRSUWXJKLMN][0-9]{3}", last, re.IGNORECASE)
        return Kind.INTERIMSNUMMER if interim else Kind.RESERVNUMMER
    if (len(date), sign) in {(6, ""), (8, "+")}:
        return Kind.INVALID
    day = int(date[-2:])
    if re.fullmatch(r"99[0-9]{6}", date) or 32 <= day <= 59:
        return Kind.RESERVNUMMER
    if with_check_digit((date + last)[-10:-1]) != (date + last)[-10:] or day > 91 or last.startswith("000"):
        return Kind.INVALID
    return Kind.SAMORDNINGSNUMMER if day >= 60 else Kind.PERSONNUMMER


def reference_birth(date, sign, as_of):
    years = list(range(as_of.year - 199, as_of.year + 1))
    if len(date) == 6:
        years = years[:100] if sign == "+" else years[100:]
    fitting = [year for year in years if str(year).endswith(date[:-4])]
    try:
        [year] = fitting
        return dt.date(year, int(date[-4:-2]), int(date[-2:]))
    except ValueError:
        return None


@st.composite
def published(draw):
    number = draw(official_numbers.numbers() | official_numbers.old_numbers())
    return draw(st.sampled_from([number, f"{number[:8]}-{number[8:]}", short(number), short(number, "+"), number[2:]]))


@st.composite
def mutated(draw):
    """A published number with one to three small accidents."""
    number = list(draw(published()))
    signs = st.sampled_from(string.digits + "-+TAxåDEF01 \u00a0\n\t０\0😀٣")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(number)))
        number[at : at + draw(st.integers(0, 1))] = draw(st.lists(signs, max_size=1))
    return "".join(number)


@st.composite
def other_kinds(draw):
    """Numbers of the right shape that are no personnummer."""
    month, day = draw(st.integers(0, 99)), draw(st.integers(0, 99))
    serial = draw(st.just(0) | st.integers(0, 999))
    number = f"{draw(st.integers(0, 9999)):04}{month:02}{day:02}{serial:03}"
    number = with_check_digit(number)
    last = draw(st.sampled_from([number[8:], "T123", "k999", "DA0B", "5F1Z", "AB12", "abcd", "1A23"]))
    if last.isdigit():
        last = wrong(last, draw(st.integers(min(serial, 1) if day < 60 else 0, 9)))
    sign = draw(st.sampled_from(["", "-", "+"]))
    return number[draw(st.sampled_from([0, 2])) : 8] + sign + last


VALUES = st.none() | published() | mutated() | other_kinds() | st.text(max_size=15) | st.text(SPACES + "\n", max_size=3)
AS_OFS = st.dates(dt.date(1990, 1, 1), dt.date(2110, 12, 31))


@given(numbers=st.lists(VALUES, max_size=25), as_of=AS_OFS, large=st.booleans(), cut=st.integers(0, 25))
def test_columns_agree_with_the_rules_applied_row_by_row(numbers, as_of, large, cut):
    expected = [reference(number, as_of) for number in numbers]
    # A random change may give a real person's number: such a number must not be made here.
    assume(all(not person or person[8:11] in {"238", "239", "980", "981"} for _, person, _, _ in expected))
    text = pa.large_string() if large else pa.string()
    column = pa.array([None, *numbers, "19850512-AB12"], text)[1:-1]
    chunks = pa.chunked_array([column[:cut], column[cut:]], text)
    for variant in (column, chunks):
        found = classify(variant, as_of, FORMATS)
        rows = zip(
            found.kind.tolist(),
            found.person_id.to_pylist(),
            found.birth_date.tolist(),
            found.reserve_name.to_pylist(),
            strict=True,
        )
        assert list(rows) == expected


@pytest.mark.parametrize("column", [pa.array([], pa.string()), pa.chunked_array([], pa.large_string())])
def test_an_empty_column_has_no_identities(column):
    found = classify(column, AS_OF, FORMATS)
    assert (len(found.kind), len(found.person_id), len(found.birth_date), len(found.reserve_name)) == (0, 0, 0, 0)


def test_arrays_have_the_types_that_others_rely_on():
    found = classify(pa.array([ADULT, None]), AS_OF, FORMATS)
    assert (found.kind.dtype, found.birth_date.dtype) == (np.uint8, np.dtype("datetime64[D]"))
    assert (found.person_id.type, found.reserve_name.type) == (pa.string(), pa.string())
    found.person_id.validate(full=True)


# The libraries on the Python index; both read the clock, so the as-of date is today's here

TODAY = dt.datetime.now(tz=dt.UTC).date()


def persons(number):
    """Whether ours, python-stdnum and personnummer, in this order, accept it as a personnummer."""
    return kind(number, TODAY) == Kind.PERSONNUMMER, stdnum.is_valid(number), personnummer.valid(number)


@given(number=official_numbers.numbers())
def test_all_agree_on_a_personnummer_and_its_birth(number):
    for spelling in (number, f"{number[:8]}-{number[8:]}", short(number)):
        assert persons(spelling) == (True, True, True)
        _, person_id, birth, _ = one(spelling, TODAY)
        assert person_id == personnummer.parse(spelling).format(long_format=True)
        assert birth == stdnum.get_birth_date(spelling) == personnummer.parse(spelling).get_date()


@given(number=official_numbers.old_numbers())
def test_all_agree_on_plus(number):
    spelling = short(number, "+")
    assert persons(spelling) == (True, True, True)
    _, person_id, birth, _ = one(spelling, TODAY)
    assert person_id == personnummer.parse(spelling).format(long_format=True)
    assert birth == stdnum.get_birth_date(spelling)


@given(number=official_numbers.numbers(), by=st.integers(1, 9), month=st.integers(0, 99), day=st.integers(0, 31))
def test_all_agree_on_what_is_not_a_personnummer(number, by, month, day):
    assert persons(short(wrong(number, by))) == (False, False, False)
    no_such_month = f"{number[:4]}{month:02}{number[6:11]}"
    no_such_day = f"{number[:4]}{'02' if day else '05'}{day and 30:02}{number[8:11]}"
    assert persons(with_check_digit(no_such_day)) == (False, False, False)
    if not 1 <= month <= 12:
        assert persons(with_check_digit(no_such_month)) == (False, False, False)


@given(number=official_numbers.numbers())
def test_samordningsnummer_is_distinguished_where_one_library_takes_and_one_rejects_it(number):
    samordningsnummer = on_day(number, int(number[6:8]) + 60)
    assert persons(samordningsnummer) == (False, False, True)
    assert kind(samordningsnummer, TODAY) == Kind.SAMORDNINGSNUMMER


@given(years=st.integers(30, 70), number=official_numbers.numbers())
def test_births_to_come_are_rejected_where_the_libraries_take_them(years, number):
    assume(number[4:8] != "0229")
    to_come = f"{TODAY.year + years}{number[4:]}"
    assert persons(with_check_digit(to_come[:11])) == (False, True, True)


def test_a_trailing_newline_is_rejected_where_a_library_takes_it():
    assert persons(f"{short(ADULT)}\n")[::2] == (False, True)


@pytest.mark.parametrize("number", ["19850545-1234", "850512-DA0B", "99202412-3456", "850512-T123"])
def test_reserve_numbers_are_known_where_the_libraries_see_nothing(number):
    assert persons(number) == (False, False, False)
    assert kind(number) in {Kind.RESERVNUMMER, Kind.INTERIMSNUMMER}
