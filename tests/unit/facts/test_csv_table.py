"""CSV files that people keep by hand: each fault has its file and line, and all are named at once."""

import re

import pytest

from waitlist.facts.csv_table import CsvTable

COLUMNS = ["name", "months", "day", "areas", "pattern", "note"]
HEADER = ",".join(COLUMNS)


@pytest.fixture
def table(tmp_path):
    def read(content):
        path = tmp_path / "facts.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return CsvTable(path, COLUMNS, free_text=["note"])

    return read


def names(table):
    return [row.cells["name"] for row in table.rows]


def test_rows_are_trimmed_and_in_one_unicode_form(table):
    found = table(f"{HEADER}\n  La\u0308k\u00a0 ,,,,,\n")
    assert (names(found), found.faults(), found.whole) == (["Läk"], [], True)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_mark_line_ends_blank_lines_and_column_order_do_not_matter(table, end):
    lines = ["\ufeff" + ",".join(reversed(COLUMNS)), "", ",,,,,Läk", "", ",,,,,Ssk"]
    found = table(end.join(lines))
    assert (names(found), found.faults()) == (["Läk", "Ssk"], [])
    assert [row.line for row in found.rows] == [3, 5]


@pytest.mark.parametrize("commas", [",,,,,", ",", ",,,,,,,,,", ' ,\u00a0,\t,"",," "', '""'])
def test_a_row_of_commas_alone_is_a_blank_row_anywhere_in_the_file(table, commas):
    found = table(f"{commas}\n{HEADER}\na,,,,,\n{commas}\nb,,,,,\n{commas}\n{commas}\n")
    assert (names(found), found.faults(), found.whole) == (["a", "b"], [], True)
    assert [row.line for row in found.rows] == [3, 5]


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("2000-01-01", None),
        ("2199-12-31", None),
        ("1999-12-31", "facts.csv:2: day: 1999-12-31 is not between 2000-01-01 and 2199-12-31"),
        ("2200-01-01", "facts.csv:2: day: 2200-01-01 is not between 2000-01-01 and 2199-12-31"),
        ("0001-01-01", "facts.csv:2: day: 0001-01-01 is not between 2000-01-01 and 2199-12-31"),
        ("9999-12-31", "facts.csv:2: day: 9999-12-31 is not between 2000-01-01 and 2199-12-31"),
    ],
)
def test_a_date_lies_in_these_two_centuries(table, written, fault):
    found = table(f"{HEADER}\na,,{written},,,\n")
    day = found.rows[0].date("day")
    assert (day is None, found.faults()) == (fault is not None, [fault] if fault else [])


def test_a_row_is_named_by_its_first_line(table):
    found = table(f'{HEADER}\na,,,,,"one\ntwo\nthree"\nb,x,,,,\n')
    found.rows[1].whole_number("months")
    assert found.faults() == ["facts.csv:5: months: 'x' is no whole number 0-9999"]


def test_a_missing_file_is_a_fault(tmp_path):
    found = CsvTable(tmp_path / "none.csv", COLUMNS)
    assert (found.faults(), found.whole) == (["none.csv:1: the file is missing"], False)


def test_what_cannot_be_read_is_a_fault(tmp_path):
    found = CsvTable(tmp_path, COLUMNS)
    assert found.faults() == [f"{tmp_path.name}:1: the file cannot be read: Is a directory"]


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        ("", ["facts.csv:1: columns missing: 'areas', 'day', 'months', 'name', 'note', 'pattern'"]),
        (
            "name,months,day,areas,pattern,pattern,remark\na\n",
            ["facts.csv:1: columns missing: 'note'; columns unknown: 'remark'; columns repeated: 'pattern'"],
        ),
        (
            f"{HEADER}\na,1\nb,,,,,\nc,,,,,,\n",
            ["facts.csv:2: 2 fields where the header has 6", "facts.csv:4: 7 fields where the header has 6"],
        ),
        (f"{HEADER}\na,,,,,\nL\xe4k,,,,,\n".encode("latin-1"), ["facts.csv:3: not UTF-8"]),
        (f'{HEADER}\na,,,,,\nb,"open,,,,\nc,,,,,\n', ["facts.csv:3: no CSV: unexpected end of data"]),
        (f'{HEADER}\n"a" b,,,,,\n', ["facts.csv:2: no CSV: ',' expected after '\"'"]),
        (f'{HEADER}\n"a\nb",,,,,x\n', ["facts.csv:2: name: a line break or another control character"]),
    ],
)
def test_a_file_of_another_form_is_a_fault(table, content, faults):
    assert table(content).faults() == faults


def test_semicolons_are_pointed_out(table):
    (fault,) = table(HEADER.replace(",", ";")).faults()
    assert fault == "facts.csv:1: separated by semicolons where commas are wanted"


@pytest.mark.parametrize(("sign", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_faults_of_encoding_separator_and_cells_are_named_together(table, sign, name):
    rows = [HEADER, "Läk,x,,,,", "Övr,1", "Ssk,2,snart,,,", "Kur,,,,,åäö"]
    found = table("\n".join(rows).replace(",", sign).encode("cp1252"))
    for row in found.rows:
        row.whole_number("months")
        row.date("day")
    assert found.faults() == [
        f"facts.csv:1: separated by {name} where commas are wanted",
        "facts.csv:2: not UTF-8, nor are 2 lines below",
        "facts.csv:2: months: 'x' is no whole number 0-9999",
        "facts.csv:3: 2 fields where the header has 6",
        "facts.csv:4: day: 'snart' is no date YYYY-MM-DD",
    ]
    assert names(found) == ["Läk", "Ssk", "Kur"]


def test_one_line_in_another_encoding_leaves_the_others_as_they_are(table):
    found = table(f"{HEADER}\nLäk,,,,,\n".encode() + "Övr,,,,,\n".encode("cp1252"))
    assert (names(found), found.faults()) == (["Läk", "Övr"], ["facts.csv:3: not UTF-8"])


def test_a_file_that_a_spreadsheet_saved_as_utf_16_is_read_on(table):
    found = table(f"{HEADER}\nLäk,x,,,,\n".encode("utf-16"))
    found.rows[0].whole_number("months")
    assert found.faults() == ["facts.csv:1: not UTF-8", "facts.csv:2: months: 'x' is no whole number 0-9999"]


def test_rows_with_a_fault_are_left_out_where_that_is_asked_for(table):
    found = table(f"{HEADER}\na,1,,,,\nb,x,,,,\nc,2,,,,\n")
    assert found.without_faults([row.whole_number("months") for row in found.rows]) == [1, 2]


@pytest.mark.parametrize("content", ["", f"{HEADER}\na\n", f'{HEADER}\n"a'])
def test_a_file_that_lost_a_row_is_not_whole(table, content):
    assert not table(content).whole


def test_every_cell_is_checked_by_its_type(table):
    found = table(
        f"{HEADER}\n"
        "a,0,2024-02-29,Pv; Um,[0-9]+,\n"
        "a,,,,,\n"
        ",-1,2023-02-29,Bv;Pv;;Um,[0-9,\n"
        "b,1.5,20240229,,x{99999999999999999999},\n"
        "c,12345,2024-W09-4,x,,\n"
    )
    parsed = [
        (row.whole_number("months"), row.date("day"), row.some_of("areas", ["Pv", "Um"]), row.pattern("pattern"))
        for row in found.rows
    ]
    for row in found.rows:
        row.unique("name", row.required("name"))
    months, day, areas, pattern = parsed[0]
    assert (months, day.isoformat(), areas, pattern) == (0, "2024-02-29", {"Pv", "Um"}, re.compile("[0-9]+"))
    assert found.faults() == [
        "facts.csv:3: areas: empty",
        "facts.csv:3: pattern: empty",
        "facts.csv:3: name: the same as on line 2",
        "facts.csv:4: months: '-1' is no whole number 0-9999",
        "facts.csv:4: day: '2023-02-29' is no date YYYY-MM-DD",
        "facts.csv:4: areas: '', 'Bv' not among Pv, Um",
        "facts.csv:4: pattern: '[0-9' is no regular expression: unterminated character set at position 0",
        "facts.csv:4: name: empty",
        "facts.csv:5: months: '1.5' is no whole number 0-9999",
        "facts.csv:5: day: '20240229' is no date YYYY-MM-DD",
        "facts.csv:5: areas: empty",
        "facts.csv:5: pattern: 'x{99999999999999999999}' is no regular expression: the repetition number is too large",
        "facts.csv:6: months: '12345' is no whole number 0-9999",
        "facts.csv:6: day: '2024-W09-4' is no date YYYY-MM-DD",
        "facts.csv:6: areas: 'x' not among Pv, Um",
        "facts.csv:6: pattern: empty",
    ]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"(\d)\1", r"invalid escape sequence: \1"),
        ("(?=a)b", "invalid perl operator: (?="),
        ("((x{100}){100}){100}", "invalid repetition size: {100}"),
    ],
)
def test_a_pattern_that_could_run_for_ever_is_a_fault(table, pattern, why):
    found = table(f"{HEADER}\na,,,,{pattern},\n")
    found.rows[0].pattern("pattern")
    (fault,) = found.faults()
    assert fault.startswith(f"facts.csv:2: pattern: {pattern!r} is no regular expression: ")
    assert fault.endswith(why)


def test_a_long_value_is_cut_in_the_fault(table):
    found = table(f"{HEADER}\na,{'9' * 100},,,,\n")
    found.rows[0].whole_number("months")
    assert found.faults() == [f"facts.csv:2: months: '{'9' * 40}…' is no whole number 0-9999"]
