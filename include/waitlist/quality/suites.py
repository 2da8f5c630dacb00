"""Reads the expectation suites and reports every fault in them, without Great Expectations.

The files have Great Expectations' own form, but may contain less. An expectation type that could report a patient's
value is not in ``TYPES``, and each type accepts only the kwargs that are named here. ``docs/quality.md`` explains to
a migration lead how to edit a threshold.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from waitlist.exceptions import SuiteError, reason_of
from waitlist.files import read_kept
from waitlist.judge.request_columns import NAMES
from waitlist.judge.rules import OF_PERSONS, RULES, Code
from waitlist.results import FailureSeverity
from waitlist.schema import POSTS

CONTRACT: Final = "extract_contract"
"""The suite whose critical expectations stop the run."""

NOT_IN_A_CHUNK: Final = frozenset({Code.DUPLICATE_POST, Code.ALREADY_RELEASED})
"""Rules that need more than the posts and the answers about their persons, so no expectation can check them."""

STAGED_COLUMNS: Final = ("batch_id", "post_id", *NAMES, "row_hash")
"""Columns of ``bokningsbegaran``, listed here so that reading a suite needs no database driver."""

COLUMN_LENGTH: Final = 100
"""The length of the column of ``quality_result`` that has the names of an expectation's columns."""


class Looks(StrEnum):
    """What a suite checks."""

    SNAPSHOT = "the snapshot"
    STAGED = "the staged booking requests"
    ANSWERS = "the answers of the person service"


SUITES: Final[Mapping[str, Looks]] = MappingProxyType(
    {
        CONTRACT: Looks.SNAPSHOT,
        "identity": Looks.SNAPSHOT,
        "dates": Looks.SNAPSHOT,
        "categories": Looks.SNAPSHOT,
        "persons": Looks.ANSWERS,
        "booking_requests": Looks.STAGED,
    }
)
"""Every required suite, in the order in which they are shown; its file is ``<name>.json``."""

_COLUMNS: Final[Mapping[Looks, tuple[str, ...]]] = {
    Looks.SNAPSHOT: tuple(POSTS.names),
    Looks.STAGED: STAGED_COLUMNS,
    Looks.ANSWERS: tuple(POSTS.names),
}
_BOTH: Final = frozenset({Looks.SNAPSHOT, Looks.STAGED})
_SNAPSHOT: Final = frozenset({Looks.SNAPSHOT})
_STAGED: Final = frozenset({Looks.STAGED})
_OF_A_RULE: Final = frozenset({Looks.SNAPSHOT, Looks.ANSWERS})

Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Kwargs(_Strict):
    """The arguments of an expectation; the columns that they name must exist."""

    @property
    def columns(self) -> tuple[str, ...]:
        return ()

    def faults(self) -> Iterable[str]:
        """Return the faults that the form does not catch."""
        return ()


class _MapKwargs(_Kwargs):
    mostly: Share = 1.0


class _Column(_MapKwargs):
    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)


class _HoldsDates(_Kwargs):
    column: str
    min_values: int = Field(20, ge=1)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)


class _ValueSet(_Column):
    value_set: tuple[str | bool | int, ...] = Field(min_length=1)


class _Length(_Column):
    value: int = Field(ge=0)


class _Bounds(_Kwargs):
    min_value: int | None = Field(None, ge=0)
    max_value: int | None = Field(None, ge=0)

    def faults(self) -> Iterable[str]:
        if self.min_value is None and self.max_value is None:
            yield "min_value: this or max_value must be given"
        elif self.min_value is not None and self.max_value is not None and self.min_value > self.max_value:
            yield "min_value: is above max_value"


class _LengthBetween(_Bounds, _Column):
    pass


class _Regex(_Column):
    regex: str = Field(min_length=1)

    def faults(self) -> Iterable[str]:
        try:
            re.compile(self.regex)
        except re.error as error:
            yield f"regex: {error}"


class _Pair(_MapKwargs):
    column_A: str  # noqa: N815 - Great Expectations' own name
    column_B: str  # noqa: N815
    or_equal: bool = False
    ignore_row_if: Literal["both_values_are_missing", "either_value_is_missing", "neither"]

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column_A, self.column_B)


class _Compound(_MapKwargs):
    column_list: tuple[str, ...] = Field(min_length=2)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.column_list

    def faults(self) -> Iterable[str]:
        length = len(", ".join(self.column_list))
        if length > COLUMN_LENGTH:
            yield f"column_list: the names have {length} characters, a result can store {COLUMN_LENGTH}"


class _Rule(_MapKwargs):
    rule: str

    @property
    def columns(self) -> tuple[str, ...]:
        return RULES[Code(self.rule)].columns if self.rule in RULES else ()

    def faults(self) -> Iterable[str]:
        if self.rule not in RULES:
            yield f"rule: no rule is called {self.rule!r}"
        elif self.rule in NOT_IN_A_CHUNK:
            yield f"rule: {self.rule} needs more than the posts themselves; no expectation can check it"

    def is_for(self, looks: Looks) -> bool:
        """Tell whether a suite checks what the rule reads: a rule of persons reads the answers, another does not."""
        return (self.rule in OF_PERSONS) == (looks is Looks.ANSWERS)


class _Window(_MapKwargs):
    @property
    def columns(self) -> tuple[str, ...]:
        return ("begart_startdatum", "begart_slutdatum")


class _Protection(_MapKwargs):
    @property
    def columns(self) -> tuple[str, ...]:
        return ("personnummer", "patient", "sekretess")


class _TableColumns(_Kwargs):
    column_list: tuple[str, ...] = Field(min_length=1)


class _RowCount(_Bounds):
    pass


@dataclass(frozen=True)
class _Type:
    kwargs: type[_Kwargs]
    looks: frozenset[Looks]


RULE_TYPE: Final = "expect_posts_to_pass_rule"
ROW_COUNT_TYPE: Final = "expect_table_row_count_to_be_between"
HOLDS_DATES_TYPE: Final = "expect_column_to_hold_dates"
TABLE_COLUMNS_TYPE: Final = "expect_table_columns_to_match_ordered_list"

UNIQUE_TYPES: Final = frozenset({"expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"})
"""The types that compare rows with each other."""

TYPES: Final[Mapping[str, _Type]] = MappingProxyType(
    {
        TABLE_COLUMNS_TYPE: _Type(_TableColumns, _SNAPSHOT),
        ROW_COUNT_TYPE: _Type(_RowCount, _BOTH),
        "expect_column_values_to_not_be_null": _Type(_Column, _BOTH),
        "expect_column_values_to_be_unique": _Type(_Column, _BOTH),
        "expect_column_values_to_be_in_set": _Type(_ValueSet, _BOTH),
        "expect_column_values_to_match_regex": _Type(_Regex, _SNAPSHOT),
        "expect_column_value_lengths_to_equal": _Type(_Length, _BOTH),
        "expect_column_value_lengths_to_be_between": _Type(_LengthBetween, _BOTH),
        "expect_column_pair_values_a_to_be_greater_than_b": _Type(_Pair, _BOTH),
        "expect_compound_columns_to_be_unique": _Type(_Compound, _BOTH),
        "expect_column_values_to_be_before_as_of": _Type(_Column, _SNAPSHOT),
        "expect_column_values_to_not_be_before_as_of": _Type(_Column, _SNAPSHOT),
        HOLDS_DATES_TYPE: _Type(_HoldsDates, _SNAPSHOT),
        "expect_protection_to_be_known": _Type(_Protection, _SNAPSHOT),
        "expect_column_values_to_be_personnummer": _Type(_Column, _BOTH),
        "expect_column_values_to_be_sdv_lists": _Type(_Column, _SNAPSHOT),
        RULE_TYPE: _Type(_Rule, _OF_A_RULE),
        "expect_column_values_to_not_be_blank": _Type(_Column, _STAGED),
        "expect_column_values_to_be_visit_types": _Type(_Column, _STAGED),
        "expect_column_values_to_fit_description": _Type(_Column, _STAGED),
        "expect_booking_windows_to_clear_cutoff": _Type(_Window, _STAGED),
    }
)
"""The only expectation types that a suite may name: each reports how many rows fail, and never which values."""


@dataclass(frozen=True)
class Expectation:
    """One expectation of a suite, checked.

    Attributes:
        type: Great Expectations' name of it.
        kwargs: its arguments, JSON values.
        name: the rule's code where it checks a rule, else its type.
        columns: the columns that it reads; empty for the table as a whole.
        severity: what a failure means.
        threshold: share of rows, 0 to 1, that must fulfil it (``mostly`` in the file).
        text: what it requires, in Swedish, for a migration lead.
        note: why the suite has it, for engineers.
    """

    type: str
    kwargs: Mapping[str, Any]
    name: str
    columns: tuple[str, ...]
    severity: FailureSeverity
    threshold: float
    text: str
    note: str

    @property
    def column(self) -> str:
        """The columns' names in one text, as in ``quality_result``."""
        return ", ".join(self.columns)

    @property
    def key(self) -> tuple[str, str]:
        """Unique within the suite, as in ``quality_result``."""
        return self.name, self.column


@dataclass(frozen=True)
class Suite:
    """A suite, checked.

    Attributes:
        name: its file's name without ``.json``.
        looks: what it checks.
        text: its concern, in Swedish.
        note: its concern, for engineers.
        expectations: in the file's order.
    """

    name: str
    looks: Looks
    text: str
    note: str
    expectations: tuple[Expectation, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The snapshot's columns that the suite reads, in the snapshot's order; always with the key."""
        named = {"post_id"}.union(*(expectation.columns for expectation in self.expectations))
        return tuple(name for name in POSTS.names if name in named)


class _Meta(_Strict):
    text: str = Field(min_length=1)
    note: str = ""


class _SuiteMeta(_Meta):
    expectations: int = Field(ge=1)


class _ExpectationFile(_Strict):
    type: str
    kwargs: dict[str, JsonValue]
    severity: str
    meta: _Meta


class _SuiteFile(_Strict):
    name: str
    meta: _SuiteMeta
    expectations: tuple[_ExpectationFile, ...]


def load_suites(directory: Path) -> Mapping[str, Suite]:
    """Read every suite of a folder.

    Args:
        directory: a folder with ``<suite>.json`` for each of ``SUITES`` and no other ``.json`` file.

    Returns:
        The suites by name, in the order of ``SUITES``.

    Raises:
        SuiteError: with every fault of every file.
    """
    faults: list[str] = []
    if not directory.is_dir():
        raise SuiteError(f"no folder of expectation suites at {directory}")
    found = {path.stem: path for path in sorted(directory.glob("*.json"))}
    faults += [f"{name}.json: no such file; the suite is required" for name in SUITES if name not in found]
    faults += [
        f"{path.name}: no such suite; known are {', '.join(SUITES)}"
        for name, path in found.items()
        if name not in SUITES
    ]
    suites: dict[str, Suite] = {}
    for name, looks in SUITES.items():
        if name in found:
            of_file: list[str] = []
            suite = _read(found[name], name, looks, of_file.append)
            faults += [f"{name}.json: {fault}" for fault in of_file]
            if suite is not None:
                suites[name] = suite
    if faults:
        raise SuiteError(f"faults in the expectation suites of {directory}:\n  " + "\n  ".join(faults))
    return MappingProxyType(suites)


def digest(suite: Suite) -> str:
    """Return the SHA-256, in hex, of a suite's content; white space and key order in the file do not count."""
    content = [
        suite.name,
        suite.text,
        suite.note,
        [[it.type, dict(it.kwargs), it.severity, it.text, it.note] for it in suite.expectations],
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def columns_needed(suites: Iterable[Suite]) -> list[str]:
    """Return the snapshot's columns that the suites read, in the snapshot's order."""
    named = {name for suite in suites for name in suite.columns}
    return [name for name in POSTS.names if name in named]


Report = Callable[[str], None]


def _read(path: Path, name: str, looks: Looks, report: Report) -> Suite | None:
    """Read one file and report its faults; return None when the fault is one of form."""
    try:
        text = read_kept(path).decode("utf-8-sig")
        content = json.loads(text, object_pairs_hook=_without_repeats)
        file = _SuiteFile.model_validate_json(json.dumps(content))
    except OSError as error:
        report(f"cannot be read: {reason_of(error)}")
        return None
    except UnicodeDecodeError:
        report("not UTF-8")
        return None
    except json.JSONDecodeError as error:
        report(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
        return None
    except ValidationError as error:
        _report_all(error, "", report)
        return None
    except (ValueError, RecursionError) as error:
        report(str(error) if isinstance(error, ValueError) else "nested too deeply")
        return None
    if file.name != name:
        report(f"name: is {file.name!r}, but the file is named {name!r}")
    if file.meta.expectations != len(file.expectations):
        report(
            f"meta.expectations: says {file.meta.expectations}, the file has {len(file.expectations)}; "
            "put back what was lost, or correct the count"
        )
    read = [
        _expectation(entry, f"expectations[{place}]", name, looks, report)
        for place, entry in enumerate(file.expectations)
    ]
    expectations = tuple(expectation for expectation in read if expectation is not None)
    for (repeated, column), times in Counter(expectation.key for expectation in expectations).items():
        if times > 1:
            on = f" on {column}" if column else ""
            report(f"expectations: {repeated}{on} is there {times} times")
    return Suite(name, looks, file.meta.text, file.meta.note, expectations)


def _expectation(entry: _ExpectationFile, place: str, suite: str, looks: Looks, report: Report) -> Expectation | None:
    kind = TYPES.get(entry.type)
    if kind is None or looks not in kind.looks:
        allowed = ", ".join(sorted(name for name, known in TYPES.items() if looks in known.looks))
        report(f"{place}.type: {entry.type!r} is not for {looks}; allowed are {allowed}")
        return None
    try:
        severity = FailureSeverity(entry.severity)
    except ValueError:
        report(f"{place}.severity: is {entry.severity!r}, must be one of {', '.join(FailureSeverity)}")
        return None
    try:
        kwargs = kind.kwargs.model_validate_json(json.dumps(entry.kwargs))
    except ValidationError as error:
        _report_all(error, f"{place}.kwargs", report)
        return None
    threshold = kwargs.mostly if isinstance(kwargs, _MapKwargs) else 0.0 if isinstance(kwargs, _HoldsDates) else 1.0
    faults = [*kwargs.faults()]
    if not faults and isinstance(kwargs, _Rule) and not kwargs.is_for(looks):
        faults.append(f"rule: {kwargs.rule} is not for {looks}")
    faults += [f"column: {looks} has no column {name!r}" for name in kwargs.columns if name not in _COLUMNS[looks]]
    if suite == CONTRACT and severity is FailureSeverity.CRITICAL and isinstance(kwargs, _MapKwargs) and threshold < 1:
        faults.append("mostly: a critical expectation of the contract must hold for every post")
    for fault in faults:
        report(f"{place}.kwargs.{fault}")
    return Expectation(
        type=entry.type,
        kwargs=MappingProxyType(json.loads(kwargs.model_dump_json(exclude_none=True))),
        name=kwargs.rule if isinstance(kwargs, _Rule) else entry.type,
        columns=kwargs.columns,
        severity=severity,
        threshold=threshold,
        text=entry.meta.text,
        note=entry.meta.note,
    )


def _report_all(error: ValidationError, prefix: str, report: Report) -> None:
    for fault in error.errors(include_input=False, include_url=False):
        place = prefix
        for step in fault["loc"]:
            place += f"[{step}]" if isinstance(step, int) else f".{step}"
        report(f"{place.lstrip('.') or 'file'}: {fault['msg']}")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object of a JSON file, and refuse a repeated key: the second would else hide the first."""
    repeated = [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]
    if repeated:
        raise ValueError(f"the same key twice in one object: {', '.join(repeated)}")
    return dict(pairs)
