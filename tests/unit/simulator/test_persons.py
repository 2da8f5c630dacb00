"""No identity number of the synthetic PMO can be a real person's.

The rule is written here again, independently, so that a mistake in the generator is noticed.
"""

import datetime as dt
import re
import unicodedata

import pytest

from waitlist import paths
from waitlist.simulator import Order, persons
from waitlist.simulator.persons import Identity
from waitlist.simulator.posts import SyntheticPmo

AS_OF = dt.date(2024, 10, 1)
TOLVAN = "201212121212"
"""On the Tax Agency's list as well, outside the spans below."""
HOLES = {
    "19760101", "19800101", "19891220", "19900101", "19900102", "19900104", "19900105", "19900106", "19900108",
    "19900109", "19900113", "20001218", "20010303", "20011104", "20021016", "20021227", "20050509", "20070911",
    "20071228", "20101211", "20111230",
}  # fmt: skip
ODD_SPANS = (
    ("20180925", "20191231"), ("20211231", "20220711"), ("20220903", "20221231"), ("20230309", "20241231"),
)  # fmt: skip
EVEN_SPANS = (("20180101", "20180924"), ("20200101", "20200419"), ("20230101", "20230307"))


def luhn_holds(ten: str) -> bool:
    total = 0
    for place, digit in enumerate(ten):
        value = int(digit) * (1 if place % 2 else 2)
        total += value // 10 + value % 10
    return total % 10 == 0


def birth_of(twelve: str) -> dt.date | None:
    try:
        return dt.date(int(twelve[:4]), int(twelve[4:6]), int(twelve[6:8]))
    except ValueError:
        return None


def is_official(twelve: str) -> bool:
    birth, day, serial = birth_of(twelve), twelve[:8], int(twelve[8:11])
    if birth is None or not luhn_holds(twelve[2:]) or twelve == TOLVAN:
        return twelve == TOLVAN
    total = serial + birth.toordinal()
    if "18901222" <= day <= "18941231":
        return serial in {980, 981} and total % 2 == 0
    if serial not in {238, 239}:
        return False
    if "19760101" <= day <= "20131231":
        return day not in HOLES
    if any(first <= day <= last for first, last in ODD_SPANS):
        return total % 2 == 1
    return any(first <= day <= last for first, last in EVEN_SPANS) and total % 2 == 0


def as_a_careless_reader_sees(number: str) -> str:
    """Return the twelve digits that a reader gets who drops spaces, width and all signs but ``+``."""
    digits = "".join(sign for sign in unicodedata.normalize("NFKC", number) if sign in "0123456789")
    if re.search("[A-Za-z]", number) or len(digits) not in {10, 12}:
        return ""
    if len(digits) == 12:
        return digits
    youngest = 2000 if int(digits[:2]) <= AS_OF.year % 100 else 1900
    return f"{(youngest - 100 * ('+' in number)) // 100}{digits}"


def could_be_somebody(twelve: str) -> bool:
    """Whether a number has a date of the last 150 years, or a later one, and the right check digit."""
    birth = birth_of(twelve) if twelve else None
    return birth is not None and birth >= dt.date(1874, 1, 1) and luhn_holds(twelve[2:])


@pytest.fixture(scope="module")
def pmo() -> SyntheticPmo:
    return SyntheticPmo(Order(40_000, seed=3, as_of=AS_OF), paths.MAPPINGS)


@pytest.fixture(scope="module")
def numbers(pmo: SyntheticPmo) -> list[str]:
    tables = [pmo.patient_table(), *(chunk.patients for chunk in pmo.chunks())]
    return [number for table in tables for number in table.column("personnummer").to_pylist() if number]


def test_every_number_to_draw_from_is_official() -> None:
    births, serials = persons.official()
    twelve = [persons.digits(birth, int(serial)) for birth, serial in zip(births, serials, strict=True)]
    assert len(twelve) == len(set(twelve)) == 31_072
    assert all(is_official(number) for number in twelve)


def test_every_number_in_pmo_that_could_be_somebody_is_official(numbers: list[str]) -> None:
    somebody = [twelve for twelve in map(as_a_careless_reader_sees, numbers) if could_be_somebody(twelve)]
    assert len(somebody) > 20_000
    assert [twelve for twelve in somebody if not is_official(twelve)] == []


def test_every_number_of_the_person_service_s_records_is_official(pmo: SyntheticPmo, numbers: list[str]) -> None:
    records = list(pmo.register.records())
    known = {record.extension for record in records}
    asked_for = {twelve for twelve in map(as_a_careless_reader_sees, numbers) if is_official(twelve or "000000000000")}
    assert len(records) == len(known) > 20_000
    told = known | {record.referred for record in records if record.referred}
    assert [twelve for twelve in told if not is_official(twelve)] == []
    assert len(asked_for - known) <= 20, "only those who are planted as unknown, and the unborn, have no record"


def test_a_number_with_plus_is_a_centenarians_and_official(numbers: list[str]) -> None:
    plus = [number.strip() for number in numbers if re.fullmatch(r"\d{6}\+\d{4}", number.strip())]
    assert plus
    assert all(is_official("18" + number.replace("+", "")) for number in plus)


def test_a_samordningsnummer_is_an_official_test_date_and_serial_moved_by_sixty_days(numbers: list[str]) -> None:
    found = 0
    for twelve in filter(None, map(as_a_careless_reader_sees, numbers)):
        day = int(twelve[6:8])
        if 61 <= day <= 91 and luhn_holds(twelve[2:]):
            found += 1
            ten = f"{twelve[:6]}{day - 60:02d}{twelve[8:11]}"
            assert any(is_official(f"{ten}{digit}") for digit in range(10))
    assert found > 10


FAULTS = [fault for fault in Identity if fault is not Identity.TRUE]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
def test_a_fault_makes_a_number_that_no_person_has(fault: Identity) -> None:
    births, serials = persons.official()
    adults = [place for place, birth in enumerate(births) if str(birth) >= "1930"]
    for draw, place in enumerate(adults[:: len(adults) // 400]):
        twelve = persons.digits(births[place], int(serials[place]))
        number = persons.at_fault(fault, twelve, "202412312394", draw)
        reading = as_a_careless_reader_sees(number or "")
        assert not could_be_somebody(reading) or is_official(reading)


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (0, "760315-2384"),
        (1, "197603152384"),
        (2, "19760315-2384"),
        (3, " 760315-2384 "),
        (4, "760315-2384\u00a0"),
    ],
)
def test_a_valid_number_is_written_in_every_way_that_users_write(style: int, expected: str) -> None:
    assert persons.written("197603152384", AS_OF, style) == expected


def test_the_sign_becomes_plus_in_the_year_of_turning_a_hundred() -> None:
    assert persons.written("189012229802", AS_OF, 0) == "901222+9802"
    assert persons.written("192401019999", AS_OF, 0) == "240101+9999"
    assert persons.written("192501019999", AS_OF, 0) == "250101-9999"
