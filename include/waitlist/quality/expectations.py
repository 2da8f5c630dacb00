"""The project's own expectations and their metrics, for pandas.

Importing this module imports Great Expectations, which takes seconds: only ``engine`` does, when a suite is run.
Great Expectations registers a class when it is defined. When a suite names an unregistered class, Great Expectations
skips that expectation and only logs a line. So ``engine`` counts the results.

Expectations take the mappings, settings and as-of date that they judge by from ``judging``. They never take them
from kwargs: those are stored and shown.
"""
# ruff: noqa: N805 - Great Expectations calls a metric's condition with the class
# mypy: disable-error-code="untyped-decorator"

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from great_expectations.compatibility import pydantic
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation, MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider.column_condition_partial import (
    column_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
    ColumnMapMetricProvider,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_condition_partial import (
    multicolumn_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_map_metric_provider import (
    MulticolumnMapMetricProvider,
)

from waitlist.columns import dates
from waitlist.judge.identity import Kind, classify
from waitlist.judge.persons import Persons
from waitlist.judge.posts import Posts, RuleContext
from waitlist.judge.rules import RULES, Code
from waitlist.quality.suites import STAGED_COLUMNS
from waitlist.settings import StraddlePolicy

Judgement = npt.NDArray[np.bool_] | Exception
"""A rule's answer for some posts, or the exception that it raised."""

_CONTEXT: Final[ContextVar[RuleContext]] = ContextVar("quality_context")
_JUDGED: Final[ContextVar[Mapping[str, Judgement]]] = ContextVar("quality_judged")

IS_PERSONNUMMER: Final = "is a personnummer"
IS_SDV_LIST: Final = "is an SDV list"

GO_LIVE: Final = "driftstart"
"""The disposition's go-live; the checked rows have it beside the booking request's columns."""


@contextmanager
def judging(context: RuleContext, judged: Mapping[str, Judgement] | None = None) -> Iterator[None]:
    """Set what the expectations judge by, and what was judged already, while the block runs.

    Args:
        context: as-of date, mappings, rule settings.
        judged: answers of ``judge`` for the rows that are validated, row by row the same as the data frame.
    """
    context_token = _CONTEXT.set(context)
    judged_token = None if judged is None else _JUDGED.set(judged)
    try:
        yield
    finally:
        _CONTEXT.reset(context_token)
        if judged_token is not None:
            _JUDGED.reset(judged_token)


def judge(
    table: pa.Table, names: Iterable[str], context: RuleContext, persons: Persons | None = None
) -> dict[str, Judgement]:
    """Run rules over posts; values that are derived from the posts are computed once for all rules.

    Args:
        table: the columns of ``schema.POSTS`` that the rules read.
        names: codes of rules, ``IS_PERSONNUMMER``, ``IS_SDV_LIST``.
        context: as-of date, mappings, rule settings.
        persons: what the person service answered; None where it is not to be asked.

    Returns:
        By name, the rows where the rule fires, or the exception that it raised: the other rules still answer.
    """
    posts = Posts(table, context, persons=persons)
    judged: dict[str, Judgement] = {}
    for name in names:
        predicate = _NO_RULES[name] if name in _NO_RULES else RULES[Code(name)].predicate
        try:
            judged[name] = predicate(posts)
        except Exception as error:  # noqa: BLE001 - raised again where the expectation needs the answer
            judged[name] = error
    return judged


_NO_RULES: Final[Mapping[str, Callable[[Posts], npt.NDArray[np.bool_]]]] = {
    IS_PERSONNUMMER: lambda posts: posts.has_personnummer,
    IS_SDV_LIST: lambda posts: posts.on_sdv_list,
}


def _answer(name: str, index: "pd.Index[Any]") -> "pd.Series[bool]":
    judgement = _JUDGED.get()[name]
    if isinstance(judgement, Exception):
        raise judgement
    return pd.Series(judgement[index], index=index)


def as_of_moment(context: RuleContext) -> dt.datetime:
    """Return the moment that a list is taken: 00:00 of the day after the as-of date, local and naive."""
    return dt.datetime.combine(context.as_of + dt.timedelta(days=1), dt.time())


class _BeforeAsOf(ColumnMapMetricProvider):
    condition_metric_name = "column_values.before_as_of"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: "pd.Series[Any]", **_: object) -> "pd.Series[bool]":
        return column < pd.Timestamp(as_of_moment(_CONTEXT.get()))


class ExpectColumnValuesToBeBeforeAsOf(ColumnMapExpectation):
    """Expect every timestamp to be before the moment that the list was taken."""

    map_metric = "column_values.before_as_of"


class _NotBeforeAsOf(ColumnMapMetricProvider):
    condition_metric_name = "column_values.not_before_as_of"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: "pd.Series[Any]", **_: object) -> "pd.Series[bool]":
        return column >= pd.Timestamp(as_of_moment(_CONTEXT.get()))


class ExpectColumnValuesToNotBeBeforeAsOf(ColumnMapExpectation):
    """Expect every timestamp to be at or after the moment that the list was taken, or to be empty."""

    map_metric = "column_values.not_before_as_of"


class _Dates(ColumnMapMetricProvider):
    condition_metric_name = "column_values.dates"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: "pd.Series[Any]", **_: object) -> "pd.Series[bool]":
        is_date: npt.NDArray[np.bool_] = ~np.isnat(dates.parse(pa.array(column, pa.string())))
        return pd.Series(is_date, index=column.index)


class ExpectColumnToHoldDates(ColumnMapExpectation):
    """Expect a column to hold at least one date when it has ``min_values`` values or more.

    It is judged over the whole batch, where its counts are added up (``run``).
    """

    min_values: int
    map_metric = "column_values.dates"


class _ProtectionKnown(MulticolumnMapMetricProvider):
    condition_metric_name = "multicolumn_values.protection_known"

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, **_: object) -> "pd.Series[bool]":
        named = column_list["personnummer"].notna() | column_list["patient"].notna()
        return column_list["sekretess"].notna() | ~named


class ExpectProtectionToBeKnown(MulticolumnMapExpectation):
    """Expect every post to say whether its patient is protected, unless it has neither a number nor a name."""

    column_list: list[str] = ["personnummer", "patient", "sekretess"]  # noqa: RUF012 - a field of the model
    map_metric = "multicolumn_values.protection_known"
    ignore_row_if: Literal["never"] = "never"


class _Personnummer(ColumnMapMetricProvider):
    condition_metric_name = "column_values.personnummer"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: "pd.Series[Any]", **_: object) -> "pd.Series[bool]":
        if column.name == "personnummer":
            return _answer(IS_PERSONNUMMER, column.index)
        context, numbers = _CONTEXT.get(), _texts(column)
        if column.name in STAGED_COLUMNS:
            return pd.Series(is_person_id(numbers, context.as_of), index=column.index)
        kinds = classify(numbers, context.as_of, context.mappings.reserve_numbers).kind
        return pd.Series(kinds == Kind.PERSONNUMMER, index=column.index)


class ExpectColumnValuesToBePersonnummer(ColumnMapExpectation):
    """Expect every number to be a personnummer at the as-of date.

    In the snapshot the number has PMO's form, and ``identity.classify`` judges it. In the staged rows it is a Person-ID
    of twelve digits, and ``is_person_id`` judges it by other means, so that a fault of the module does not hide itself.
    """

    map_metric = "column_values.personnummer"


class _SdvLists(ColumnMapMetricProvider):
    condition_metric_name = "column_values.sdv_lists"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: "pd.Series[Any]", **_: object) -> "pd.Series[bool]":
        if column.name == "kategori":
            return _answer(IS_SDV_LIST, column.index)
        names = pa.array(column, pa.string())
        match = _CONTEXT.get().matcher.match(names, pa.nulls(len(names), pa.string()))
        return pd.Series(match.own_list >= 0, index=column.index)


class ExpectColumnValuesToBeSdvLists(ColumnMapExpectation):
    """Expect every category to be an SDV list of ``sdv_lists.csv``."""

    map_metric = "column_values.sdv_lists"


class _PassRule(MulticolumnMapMetricProvider):
    condition_metric_name = "multicolumn_values.pass_rule"
    condition_value_keys = ("rule",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, rule: str, **_: object) -> "pd.Series[bool]":
        return ~_answer(rule, column_list.index)


class ExpectPostsToPassRule(MulticolumnMapExpectation):
    """Expect a rule of the assessment not to fire: the same predicate over the same posts.

    Args:
        rule: the rule's code.
    """

    rule: str
    ignore_row_if: Literal["never"] = "never"
    map_metric = "multicolumn_values.pass_rule"
    success_keys = ("mostly", "rule")
    args_keys = ("rule",)

    @pydantic.root_validator(pre=True)
    def _name_columns(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Name the rule's columns; every row counts, also one where all of them are empty."""
        columns = dict.fromkeys(["post_id", *RULES[values["rule"]].columns])
        # Great Expectations requires two columns, and a rule may read the key alone.
        return {**values, "column_list": list(columns if len(columns) > 1 else [*columns, "personnummer"])}


class _NotBlank(ColumnMapMetricProvider):
    condition_metric_name = "column_values.not_blank"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: "pd.Series[Any]", **_: object) -> "pd.Series[bool]":
        return _series(pc.not_equal(pc.utf8_trim(_texts(column), " "), ""), column.index)


class ExpectColumnValuesToNotBeBlank(ColumnMapExpectation):
    """Expect no text of nothing but spaces."""

    map_metric = "column_values.not_blank"


class _VisitTypes(ColumnMapMetricProvider):
    condition_metric_name = "column_values.visit_types"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: "pd.Series[Any]", **_: object) -> "pd.Series[bool]":
        known = sorted({row.visit_type for row in _CONTEXT.get().mappings.sdv_lists})
        return _series(pc.is_in(_texts(column), pa.array(known, pa.string())), column.index)


class ExpectColumnValuesToBeVisitTypes(ColumnMapExpectation):
    """Expect every visit type to be one that ``sdv_lists.csv`` gives a list."""

    map_metric = "column_values.visit_types"


class _FitDescription(ColumnMapMetricProvider):
    condition_metric_name = "column_values.fit_description"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: "pd.Series[Any]", **_: object) -> "pd.Series[bool]":
        limit = _CONTEXT.get().rules.description_limit
        return _series(pc.less_equal(pc.utf8_length(_texts(column)), limit), column.index)


class ExpectColumnValuesToFitDescription(ColumnMapExpectation):
    """Expect every text to fit Millennium's Beskrivning (setting ``description_limit``)."""

    map_metric = "column_values.fit_description"


class _ClearCutoff(MulticolumnMapMetricProvider):
    condition_metric_name = "multicolumn_values.clear_cutoff"

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, **_: object) -> "pd.Series[bool]":
        context = _CONTEXT.get()
        migrates = context.rules.straddle_policy is StraddlePolicy.MIGRATE
        planned = {
            unit.driftstart
            for unit in context.mappings.units.values()
            if unit.driftstart is not None and unit.driftstart > context.as_of
        }
        go_live = pa.array(column_list[GO_LIVE], pa.date32()).to_numpy(zero_copy_only=False)
        later = pa.array(column_list["begart_slutdatum" if migrates else "begart_startdatum"], pa.date32())
        # A comparison with a date that is missing is false.
        clears = later.to_numpy(zero_copy_only=False) > go_live + np.timedelta64(context.rules.cutoff_days, "D")
        return pd.Series(clears & np.isin(go_live, np.array(sorted(planned), "datetime64[D]")), index=column_list.index)


class ExpectBookingWindowsToClearCutoff(MulticolumnMapExpectation):
    """Expect every booking window to be later than go-live and four weeks (chapter 2, step 3).

    The setting ``straddle_policy`` says what must be later: the whole window, or with ``migrate`` its end. The go-live
    is the one that the disposition was decided by. It must still be a unit's in ``units.csv``, and after the as-of
    date.
    """

    column_list: list[str] = ["begart_startdatum", "begart_slutdatum", GO_LIVE]  # noqa: RUF012 - a field of the model
    map_metric = "multicolumn_values.clear_cutoff"
    ignore_row_if: Literal["never"] = "never"


def is_person_id(texts: pa.StringArray, as_of: dt.date) -> npt.NDArray[np.bool_]:
    """Tell which texts are a Person-ID of twelve digits.

    It has a real date that is not after the as-of date, a year that a sign (- or +) could express, a birth number and
    the right check digit. ``judge.identity`` is not used, and its tables of dates and bytes are not either: here a
    number is one whole number, and its parts are its quotients and remainders.

    Args:
        texts: shape (n,), without nulls.
        as_of: the as-of date.
    """
    twelve_digits = pc.match_substring_regex(texts, r"\A[0-9]{12}\z")
    numbers = pc.cast(pc.if_else(twelve_digits, texts, "0" * 12), pa.int64()).to_numpy()
    date, birth_number = numbers // 10_000, numbers // 10 % 1000
    year, month, day = date // 10_000, date // 100 % 100, date % 100
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last_day = np.where(np.isin(month, [4, 6, 9, 11]), 30, np.where(month == 2, 28 + leap, 31))
    checksum = np.zeros(len(numbers), np.int64)
    for place in range(10):
        digit = numbers // 10**place % 10
        doubled = 2 * digit
        checksum += doubled // 10 + doubled % 10 if place % 2 else digit
    holds: npt.NDArray[np.bool_] = (
        twelve_digits.to_numpy(zero_copy_only=False)
        & (date >= (as_of.year - 199) * 10_000 + 101)
        & (date <= int(as_of.strftime("%Y%m%d")))
        & (month >= 1)
        & (month <= 12)
        & (day >= 1)
        & (day <= last_day)
        & (birth_number != 0)
        & (checksum % 10 == 0)
    )
    return holds


def _texts(column: "pd.Series[Any]") -> pa.StringArray:
    return pa.array(column, pa.string())


def _series(holds: pa.BooleanArray, index: "pd.Index[Any]") -> "pd.Series[bool]":
    return pd.Series(holds.to_numpy(zero_copy_only=False), index=index)
