"""Contract 1: checks the columns that the query returns, and converts every value to its canonical form.

A chunk arrives as texts, whatever types the database has, and leaves with the types of ``schema.POSTS`` or is refused.
A value that cannot be converted is a fault, reported with its post id. Nothing is guessed, since a guess could lose a
patient. ``docs/data-contract.md`` describes the contract for the authors of a query.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from waitlist.columns import dates
from waitlist.columns.forms import FORMS, formed
from waitlist.exceptions import SchemaDriftError
from waitlist.schema import POSTS

Text: TypeAlias = pa.StringArray
Mask: TypeAlias = pa.BooleanArray

BOOKING_DATES: Final = ("boka_from", "boka_fore")
NAMED_IDS: Final = 10
"""Post ids that an error names for each fault; the rest are only counted."""

_GUESSED: Final = "is empty although number or name say who waits"
_MICROSECONDS: Final = len("2024-10-01 12:00:00.123456")
_TIMESTAMP: Final = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?\z"
_FLAGS: Final = pa.array(["0", "1", "false", "true"], pa.string())
# Microsoft's driver writes a decimal 0 as .00.
_NO_DIGIT: Final = r"^\.0+\z"
_NO_FRACTION: Final = r"^(-?[0-9]+)\.0*\z"


def _kind(field_: "pa.Field[Any]") -> str:
    if field_.name in BOOKING_DATES:
        return "a date, a timestamp or text"
    if pa.types.is_boolean(field_.type):
        return "0/1"
    if pa.types.is_integer(field_.type):
        return "a whole number"
    if pa.types.is_timestamp(field_.type):
        return "a timestamp"
    return "text"


KINDS: Final[Mapping[str, str]] = {field_.name: _kind(field_) for field_ in POSTS}
"""The kind of each column, in words."""

_TYPES: Final[Mapping[str, frozenset[object]]] = {
    "text": frozenset({str}),
    "a date, a timestamp or text": frozenset({str, dt.date, dt.datetime}),
    "0/1": frozenset({bool, int, Decimal}),
    "a whole number": frozenset({int, Decimal}),
    "a timestamp": frozenset({dt.datetime}),
}
"""Column types that each kind may have, as pyodbc describes them."""

_VALUE_TYPES: Final[Mapping[str, frozenset[object]]] = {
    "text": frozenset({"text"}),
    # A column of type DATE converts the text 250301 to a number. That is not a date either, and becomes a finding.
    "a date, a timestamp or text": frozenset({"text", "integer", "real"}),
    "0/1": frozenset({"integer", "real"}),
    "a whole number": frozenset({"integer", "real"}),
    "a timestamp": frozenset({"text"}),
}
"""The same for a database in which only values have types (SQLite's ``typeof``)."""

_WORDS: Final[Mapping[object, str]] = {
    str: "text",
    int: "a whole number",
    Decimal: "a decimal number",
    float: "a floating-point number",
    bool: "0/1",
    dt.date: "a date",
    dt.datetime: "a timestamp",
    dt.time: "a time of day",
    "text": "text",
    "integer": "a whole number",
    "real": "a floating-point number",
}


def check_columns(
    names: Sequence[str], types: Mapping[str, Iterable[object]], *, types_in_values: bool, query: str
) -> None:
    """Compare what a query returns with the contract.

    Args:
        names: the columns that the query returns.
        types: the type or types of each column: as pyodbc describes the column or, with ``types_in_values``, as
            SQLite's ``typeof`` returns for its values.
        types_in_values: whether ``types`` come from ``typeof``.
        query: the query's name, for the error.

    Raises:
        SchemaDriftError: names every missing or extra column, and every column with a wrong type.
    """
    allowed = _VALUE_TYPES if types_in_values else _TYPES
    faults: list[str] = []
    if missing := sorted(set(POSTS.names) - set(names)):
        faults.append(f"missing columns: {', '.join(missing)}")
    if extra := sorted(set(names) - set(POSTS.names)):
        faults.append(f"extra columns: {', '.join(extra)}")
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        faults.append(f"columns returned twice: {', '.join(twice)}")
    for name, kind in KINDS.items():
        wrong = set(types.get(name, ())) - allowed[kind]
        if wrong:
            found = ", ".join(sorted(_WORDS.get(type_, "another type") for type_ in wrong))
            faults.append(f"{name} must be {kind}, is {found}")
    if faults:
        raise SchemaDriftError(_broken(query, faults))


@dataclass
class ValueFaults:
    """Values of a partition that break the contract, by column and complaint."""

    query: str
    _found: dict[str, tuple[int, list[int]]] = field(default_factory=dict)

    def add(self, column: str, complaint: str, post_ids: "pa.Array[Any]") -> None:
        """Count faulty posts, and keep their first ids."""
        key = f"{column} {complaint}"
        count, named = self._found.get(key, (0, []))
        named.extend(post_ids.slice(0, NAMED_IDS - len(named)).to_pylist())
        self._found[key] = (count + len(post_ids), named)

    def __bool__(self) -> bool:
        return bool(self._found)

    def stop(self) -> None:
        """Raise an error if there are faults.

        Raises:
            SchemaDriftError: names every fault.
        """
        if not self._found:
            return
        faults = []
        for key, (count, named) in self._found.items():
            ids = ", ".join("no number" if id_ is None else str(id_) for id_ in named)
            more = ", ..." if count > len(named) else ""
            faults.append(f"{key} in {count} {'post' if count == 1 else 'posts'}: post_id {ids}{more}")
        raise SchemaDriftError(_broken(self.query, faults))


def to_posts(chunk: pa.Table, typed_dates: Sequence[str], faults: ValueFaults) -> pa.Table | None:
    """Convert every column to its type.

    Args:
        chunk: the contract's columns, each as text (or its bytes), one chunk per column.
        typed_dates: booking dates that have the type date or timestamp in the database. They are reduced to their
            date, in Stockholm if they have a time zone. All others stay as they were written.
        faults: collects the faults.

    Returns:
        A table of schema ``POSTS``, or None if there was a fault.
    """
    reader = _Reader(chunk, faults)
    columns = [reader.read(field_, typed=field_.name in typed_dates) for field_ in POSTS]
    return None if faults else pa.Table.from_arrays(columns, schema=POSTS)


class _Reader:
    def __init__(self, chunk: pa.Table, faults: ValueFaults) -> None:
        self._chunk = chunk
        self._faults = faults
        # A wrong key is not reported here: the keys are only needed to name the posts that have faults.
        self._post_ids = _whole(self._text("post_id")[0], pa.int64())[0]

    def read(self, field_: "pa.Field[Any]", *, typed: bool) -> "pa.Array[Any]":
        text, strange = self._text(field_.name)
        if strange is not None:
            self._complain(field_.name, "is no UTF-8 text", strange)
        if field_.nullable:
            text = _without_empty(text)
        else:
            self._complain(field_.name, "is empty", text.is_null())
        values: pa.Array[Any]
        if pa.types.is_boolean(field_.type):
            values, wrong = _flag(text)
            self._complain(field_.name, "is neither 0 nor 1", wrong)
            if field_.nullable:
                self._complain(field_.name, _GUESSED, pc.and_(text.is_null(), self._has_person()))
        elif pa.types.is_integer(field_.type):
            values, wrong = _whole(text, field_.type)
            self._complain(field_.name, f"is no whole number of {field_.type.bit_width} bits", wrong)
        elif pa.types.is_timestamp(field_.type):
            values, wrong = _moment(text, field_.type)
            self._complain(field_.name, "is no local timestamp", wrong)
        elif field_.name in FORMS:
            values = formed(text, FORMS[field_.name])
        else:
            values = _days(text) if typed else text
        return values

    def _has_person(self) -> Mask:
        """Return where a post has a number or a name."""
        present = (_without_empty(self._text(name)[0]).is_valid() for name in ("personnummer", "patient"))
        return pc.or_(*present)

    def _text(self, name: str) -> tuple[Text, Mask | None]:
        """Return a column as text, and where its bytes are not UTF-8 if there are such; there the text is null."""
        column = self._chunk.column(name)
        whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if not pa.types.is_binary(whole.type):
            return whole, None
        texts = pa.array([_utf8(value) for value in whole.to_pylist()], pa.string())
        return texts, pc.and_(texts.is_null(), whole.is_valid())

    def _complain(self, column: str, complaint: str, wrong: Mask) -> None:
        if wrong.true_count:
            self._faults.add(column, complaint, self._post_ids.filter(wrong))


def _without_empty(text: Text) -> Text:
    """Replace empty texts by null."""
    empty = pc.equal(pc.binary_length(text), 0)
    return pc.if_else(empty, pa.scalar(None, pa.string()), text) if empty.true_count else text


def _utf8(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _days(text: Text) -> Text:
    """Reduce timestamps to their dates."""
    encoded = text.dictionary_encode()
    written = encoded.dictionary
    days = pa.array(dates.parse(written), pa.date32()).cast(pa.string())
    return pc.take(pc.coalesce(days, written), encoded.indices)


def _flag(text: Text) -> "tuple[pa.Array[Any], Mask]":
    """Read 0 or 1, written as a number of any type or as a Boolean."""
    known = pc.index_in(text, value_set=_FLAGS)
    if known.null_count > text.null_count:
        known = pc.index_in(_without_fraction(text), value_set=_FLAGS)
    return pc.equal(pc.bit_wise_and(known, 1), 1), pc.and_(known.is_null(), text.is_valid())


def _without_fraction(text: Text) -> Text:
    """Remove the decimals of a number that has only zeros as decimals."""
    return pc.replace_substring_regex(pc.replace_substring_regex(text, _NO_DIGIT, "0"), _NO_FRACTION, r"\1")


def _whole(text: Text, type_: "pa.DataType") -> "tuple[pa.Array[Any], Mask]":
    number = text
    digits = pc.match_substring_regex(number, r"^-?[0-9]{1,18}\z")
    if digits.false_count:
        number = _without_fraction(text)
        digits = pc.match_substring_regex(number, r"^-?[0-9]{1,19}\z")
    wrong = pc.fill_null(pc.invert(digits), fill_value=False)
    return _cast(number, wrong, type_)


def _moment(text: Text, type_: "pa.DataType") -> "tuple[pa.Array[Any], Mask]":
    # SQL Server's datetime2 has a seventh digit.
    trimmed = pc.utf8_slice_codeunits(text, 0, _MICROSECONDS) if _longer(text, _MICROSECONDS) else text
    matching = pc.match_substring_regex(text, _TIMESTAMP)
    if matching.false_count:
        matching = pc.or_(matching, pc.match_substring_regex(text, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\z"))
    wrong = pc.fill_null(pc.invert(matching), fill_value=False)
    return _cast(trimmed, wrong, type_)


def _longer(text: Text, length: int) -> bool:
    longest = pc.max(pc.binary_length(text)).as_py()
    return longest is not None and longest > length


def _cast(text: Text, wrong: Mask, type_: "pa.DataType") -> "tuple[pa.Array[Any], Mask]":
    """Cast the values that are not marked as wrong; a value that cannot be cast (31 February) is marked too."""
    if wrong.true_count:
        text = pc.if_else(wrong, pa.scalar(None, pa.string()), text)
    try:
        return text.cast(type_), wrong
    except pa.ArrowInvalid:
        cast = [_cast_one(value, type_) for value in text]
        values = pa.array(cast, type_)
        return values, pc.or_(wrong, pc.and_(values.is_null(), text.is_valid()))


def _cast_one(value: "pa.StringScalar", type_: "pa.DataType") -> object:
    try:
        return value.cast(type_).as_py()
    except pa.ArrowInvalid:
        return None


def _broken(query: str, faults: Sequence[str]) -> str:
    return (
        f"PMO's query {query} breaks the contract (docs/data-contract.md); correct the query, or the posts "
        "in PMO:\n  " + "\n  ".join(faults)
    )
