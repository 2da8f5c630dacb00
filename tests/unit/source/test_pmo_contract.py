"""Values in their one form: readable values become equal, and others are a fault with their post."""

from collections.abc import Sequence

import pyarrow as pa
import pytest

from waitlist.exceptions import SchemaDriftError
from waitlist.schema import POSTS
from waitlist.source.pmo.contract import ValueFaults, check_columns, to_posts

ORDINARY = {
    "post_id": "1",
    "sekretess": "0",
    "vantar_pa_besok": "1",
    "nybesok": "0",
    "har_bilaga": "0",
    "registrerad": "2024-09-01 08:30:00",
}


def convert(column: str, texts: Sequence[str | None], *typed_dates: str, **others: str | None) -> list[object]:
    """Convert posts 1, 2, ... that differ in one column."""
    rows = [{**ORDINARY, **others, "post_id": str(n), column: text} for n, text in enumerate(texts, start=1)]
    chunk = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in POSTS.names})
    faults = ValueFaults("query.sql")
    table = to_posts(chunk, typed_dates, faults)
    faults.stop()
    assert table is not None
    assert table.schema == POSTS
    values: list[object] = table[column].to_pylist()
    return values


def test_flags_are_read_however_a_database_writes_them() -> None:
    assert convert("nybesok", ["0", "1", "false", "true"]) == [False, True, False, True]
    assert convert("nybesok", ["0.0", "1.00", "1.", "0"]) == [False, True, True, False]


@pytest.mark.parametrize("flag", ["2", "-1", "J", "", " 1", "1.5", "0.1", "True\n", "t", "١"])
def test_no_other_flag_is_guessed(flag: str) -> None:
    with pytest.raises(SchemaDriftError, match="nybesok is neither 0 nor 1 in 1 post: post_id 2"):
        convert("nybesok", ["1", flag])


def test_whole_numbers_are_read_however_a_database_writes_them() -> None:
    assert convert("tidsatgang_min", ["30", "-5", "45.00", None, "2147483647"]) == [30, -5, 45, None, 2**31 - 1]


@pytest.mark.parametrize("number", ["30.5", "0x1F", "1e3", " 30", "+30", "2147483648", "٣٠", "30\n"])
def test_no_other_number_is_guessed(number: str) -> None:
    with pytest.raises(SchemaDriftError, match="tidsatgang_min is no whole number of 32 bits in 1 post: post_id 2"):
        convert("tidsatgang_min", ["30", number])


def test_keys_have_64_bits() -> None:
    keys = [-(2**63), -1, 0, 2**63 - 1]
    rows = {name: pa.array([ORDINARY.get(name)] * 4, pa.string()) for name in POSTS.names}
    table = to_posts(pa.table({**rows, "post_id": [str(key) for key in keys]}), (), ValueFaults("query.sql"))

    assert table is not None
    assert table["post_id"].to_pylist() == keys


def test_a_post_whose_key_is_no_number_has_no_name() -> None:
    with pytest.raises(SchemaDriftError, match="post_id is no whole number of 64 bits in 2 posts: post_id no number"):
        convert("post_id", ["A17", "9223372036854775808", "3"])


def test_moments_are_read_however_a_database_writes_them() -> None:
    texts = ["2024-09-01 08:30:00", "2024-09-01T08:30:00.5", "2024-09-01 08:30", "2024-09-01", None]
    assert [str(moment) for moment in convert("andrad", texts)] == [
        "2024-09-01 08:30:00",
        "2024-09-01 08:30:00.500000",
        "2024-09-01 08:30:00",
        "2024-09-01 00:00:00",
        "None",
    ]


def test_of_a_moment_the_seventh_decimal_goes() -> None:
    assert str(convert("andrad", ["2024-09-01 08:30:00.1234567"])[0]) == "2024-09-01 08:30:00.123456"


@pytest.mark.parametrize(
    "moment",
    [
        "infinity",
        "2024-02-30 08:30:00",
        "2024-09-01 24:30:00",
        "2024-09-01 08:30:00+02",
        "2024-09-01 08:30:00Z",
        "0044-03-15 10:00:00 BC",
        "2024-09-01 08:30:00.123456 och mer",
        " ",
        "1 sep 2024",
    ],
)
def test_no_other_moment_is_guessed(moment: str) -> None:
    with pytest.raises(SchemaDriftError, match="andrad is no local timestamp in 1 post: post_id 2"):
        convert("andrad", ["2024-09-01", moment])


def test_of_a_booking_date_that_the_database_types_the_date_counts() -> None:
    texts = ["2025-03-01", "2025-03-01 07:30:00", "2025-03-01T07:30:00.0000000", "infinity", "12025-03-01 00:00:00"]

    assert convert("boka_from", texts, "boka_from") == ["2025-03-01"] * 3 + texts[3:]
    assert convert("boka_from", texts) == texts


def test_of_a_booking_date_that_the_database_types_with_a_time_zone_the_date_in_stockholm_counts() -> None:
    texts = ["2025-03-01 23:30:00+00", "2025-03-01 22:30:00.5+00", "2025-03-01 23:30:00+01", None]

    assert convert("boka_fore", texts, "boka_fore") == ["2025-03-02", "2025-03-01", "2025-03-01", None]
    assert convert("boka_fore", texts) == texts


def test_an_empty_text_is_null_in_a_column_that_may_be_empty() -> None:
    may_be_empty = [field.name for field in POSTS if field.nullable]

    assert {name: convert(name, [""], patient=None) for name in may_be_empty} == {name: [None] for name in may_be_empty}


@pytest.mark.parametrize("column", ["vantar_pa_besok", "nybesok", "har_bilaga", "registrerad", "post_id"])
@pytest.mark.parametrize("nothing", [None, ""])
def test_an_empty_required_value_stops_the_extract(column: str, nothing: str | None) -> None:
    with pytest.raises(SchemaDriftError, match=f"{column} is (empty|neither|no)"):
        convert(column, [nothing])


@pytest.mark.parametrize(
    ("column", "written", "formed"),
    [
        ("enhet_hsa_id", "SE0000000000-TEST1", "SE0000000000-TEST1"),
        ("enhet_hsa_id", " \u00a0\u202f\u2007\tse0000000000-test1\t\u2007\u202f\u00a0 ", "SE0000000000-TEST1"),
        ("enhet_hsa_id", "SE0000000000- TEST1", "SE0000000000- TEST1"),
        ("enhet_hsa_id", "SE0000000000-TEST1\n", "SE0000000000-TEST1\n"),
        ("enhet_hsa_id", "\u2003SE0000000000-TEST1", "\u2003SE0000000000-TEST1"),
        ("enhet_hsa_id", " \t\u00a0", None),
        ("kontaktform", "telefon   ", "telefon"),
        ("kontaktform", "\tTELEFON\u00a0", "telefon"),
        ("kontaktform", "Straße", "strasse"),
        ("kontaktform", "          ", None),
        ("kategori", " SDV Pv ", " SDV Pv "),
        ("enhet", "Vårdcentralen ", "Vårdcentralen "),
    ],
)
def test_hsa_id_and_contact_form_get_their_one_form_and_nothing_else_does(
    column: str, written: str, formed: str | None
) -> None:
    assert convert(column, ["x", written, None, written])[1:] == [formed, None, formed]


def test_the_mark_of_protection_may_be_missing_where_nobody_is_named() -> None:
    assert convert("sekretess", [None, "", "1"], personnummer=None, patient="") == [None, None, True]


@pytest.mark.parametrize("named", [{"personnummer": "?"}, {"patient": "Tolvan"}, {"patient": " "}])
def test_the_mark_of_protection_may_not_be_missing_where_somebody_is_named(named: dict[str, str]) -> None:
    nobody: dict[str, str | None] = {"personnummer": None, "patient": None}

    with pytest.raises(SchemaDriftError, match="sekretess is empty although number or name say who waits in 1 post"):
        convert("sekretess", [None], **(nobody | named))


def test_bytes_that_are_no_text_are_a_fault_with_their_post() -> None:
    rows = {name: pa.array([ORDINARY.get(name)] * 3, pa.string()) for name in POSTS.names}
    rows |= {"post_id": pa.array(["7", "8", "9"]), "orsak": pa.array([b"\xc3\xa5", b"A\xe5B", None], pa.binary())}
    faults = ValueFaults("query.sql")

    assert to_posts(pa.table(rows), (), faults) is None
    with pytest.raises(SchemaDriftError, match="orsak is no UTF-8 text in 1 post: post_id 8"):
        faults.stop()


def test_faults_are_counted_and_the_first_ten_named() -> None:
    with pytest.raises(SchemaDriftError) as raised:
        convert("nybesok", [None] * 12 + ["x"])

    assert str(raised.value).splitlines() == [
        "PMO's query query.sql breaks the contract (docs/data-contract.md); correct the query, or the posts in PMO:",
        "  nybesok is empty in 12 posts: post_id 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...",
        "  nybesok is neither 0 nor 1 in 1 post: post_id 13",
    ]


def test_a_column_returned_twice_is_named() -> None:
    with pytest.raises(SchemaDriftError, match="columns returned twice: enhet"):
        check_columns([*POSTS.names, "enhet"], {}, types_in_values=False, query="query.sql")


def test_the_contract_s_own_columns_are_no_drift() -> None:
    check_columns(POSTS.names[::-1], {}, types_in_values=False, query="query.sql")
