"""Runs Great Expectations over a chunk of posts or of staged rows, and keeps only counts.

Great Expectations' validator is used directly, not through a data context: a chunk takes half the time.

Results have no values and no row numbers (``RESULT_FORMAT``): even a failing value is not fetched. When an
expectation raises an exception, the log has the exception's type and place: its text may quote values.
``quiet.quieten`` must have been called before this module is imported.
"""

import gc
import logging
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from great_expectations.core import ExpectationValidationResult
from great_expectations.core.batch import Batch
from great_expectations.exceptions.exceptions import GreatExpectationsError
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metadata_types import FailureSeverity as GxSeverity
from great_expectations.validator.validator import Validator

from waitlist.exceptions import SuiteError
from waitlist.judge.persons import Persons
from waitlist.judge.posts import RuleContext
from waitlist.quality.expectations import IS_PERSONNUMMER, IS_SDV_LIST, Judgement, judge, judging
from waitlist.quality.suites import ROW_COUNT_TYPE, RULE_TYPE, Expectation, Suite

log = logging.getLogger(__name__)

RESULT_FORMAT: Final = {
    "result_format": "BASIC",
    "partial_unexpected_count": 0,
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
}
"""Great Expectations returns counts and nothing else."""


_MISSING: Final[Mapping[str, Literal["all", "any"] | None]] = {
    "never": None,
    "neither": None,
    "both_values_are_missing": "all",
    "all_values_are_missing": "all",
    "either_value_is_missing": "any",
    "any_value_is_missing": "any",
}
"""Great Expectations' ``ignore_row_if`` in pandas' words."""


@dataclass(frozen=True, slots=True)
class Count:
    """The counts of one expectation over some rows.

    Attributes:
        evaluated: rows checked. An expectation on the table as a whole has 1; the one on its row count has the rows.
        unexpected: rows that did not fulfil the expectation.
        raised: the exception's type and place where the expectation could not be evaluated, else empty.
    """

    evaluated: int = 0
    unexpected: int = 0
    raised: str = ""


class _ColumnsAtHand(PandasExecutionEngine):
    """Gives an expectation only the columns that it reads.

    The original gives it every column, and each filter then copies them all.
    """

    def get_domain_records(self, domain_kwargs: dict[str, Any]) -> pd.DataFrame:
        if "column" in domain_kwargs:
            columns = [domain_kwargs["column"]]
        elif "column_A" in domain_kwargs:
            columns = [domain_kwargs["column_A"], domain_kwargs["column_B"]]
        else:
            columns = list(domain_kwargs.get("column_list", ()))
        frame = super().get_domain_records({"batch_id": domain_kwargs.get("batch_id")})
        if not columns:
            return frame
        how = _MISSING[domain_kwargs.get("ignore_row_if", "never")]
        return frame[columns] if how is None else frame[columns].dropna(how=how)


class Validation:
    """The expectations of some suites, ready to be checked against rows.

    Args:
        suites: the suites.
        context: as-of date, mappings, rule settings.
        wanted: selects among their expectations.

    Attributes:
        places: the positions of the selected expectations among all of the suites'.

    Raises:
        SuiteError: Great Expectations does not know one of them.
    """

    def __init__(
        self, suites: Sequence[Suite], context: RuleContext, wanted: Callable[[Expectation], bool] = lambda _: True
    ) -> None:
        self._context = context
        every = [(suite, expectation) for suite in suites for expectation in suite.expectations]
        self.places = [place for place, (_, expectation) in enumerate(every) if wanted(expectation)]
        self._asked = [every[place] for place in self.places]
        self._configurations = [
            _configuration(suite, expectation, place) for place, (suite, expectation) in enumerate(self._asked)
        ]

    def judged(
        self, table: pa.Table, names: Sequence[str] | None = None, persons: Persons | None = None
    ) -> "JudgedPosts":
        """Let the rules judge some posts, and keep the columns that the other expectations read.

        Posts are gathered before they are checked, and free text is most of a post. So every other column keeps its
        name but not its values. A column of ``names`` that the table lacks is added in the same way.
        """
        looked_into = {name for _, expectation in self._asked for name in expectation.columns if not _rule(expectation)}
        rules = {name for _, expectation in self._asked for name in [_rule(expectation)] if name}
        nothing = pa.nulls(table.num_rows)
        kept = (looked_into | {"post_id"}).intersection(table.column_names)
        names = table.column_names if names is None else names
        columns = [table.column(name) if name in kept else nothing for name in names]
        beside = _beside_rules({(it.type, it.column) for _, it in self._asked}, table)
        by_rules = judge(table, [*sorted(rules), *beside], self._context, persons)
        return JudgedPosts(pa.table(columns, names=names), by_rules)

    def of_posts(self, posts: "JudgedPosts") -> list[Count]:
        """Check some posts, at least one, and return a count per expectation in the order of ``places``.

        Raises:
            SuiteError: an expectation got lost.
        """
        frame = posts.table.to_pandas(types_mapper=pd.ArrowDtype)  # no copy: the columns stay Arrow's
        execution = _ColumnsAtHand()
        collects = gc.isenabled()
        # The garbage of a check stays in the youngest generation, and is collected without a full collection.
        gc.disable()
        try:
            with judging(self._context, posts.judged):
                return self._counts(execution, frame)
        finally:
            # The manager refers to itself: the posts would stay in memory until the next full garbage collection.
            execution.batch_manager.reset_batch_cache()
            execution.batch_manager.batch_data_cache.clear()
            # The engine's metrics refer to themselves as well, and would stay in memory in the same way.
            del execution
            gc.collect(0)
            if collects:
                gc.enable()

    def of_rows(self, rows: pa.Table) -> list[Count]:
        """Check some staged booking requests, at least one, and return a count per expectation as ``of_posts`` does.

        Args:
            rows: the booking request's columns, and the disposition's go-live beside them.

        Raises:
            SuiteError: an expectation got lost.
        """
        return self.of_posts(JudgedPosts(rows, {}))

    def _counts(self, execution: PandasExecutionEngine, data: Any) -> list[Count]:  # noqa: ANN401 - a data frame
        if not self._asked:
            return []
        validator = Validator(execution_engine=execution, batches=[Batch(data=data)])
        validator.metrics_calculator.show_progress_bars = False
        results = validator.graph_validate(
            configurations=self._configurations, runtime_configuration={"result_format": RESULT_FORMAT}
        )
        found = {_asked_at(result): result for result in results}
        lost = [asked for place, asked in enumerate(self._asked) if place not in found]
        if lost or len(results) != len(self._asked):
            named = ", ".join(f"{suite.name}: {expectation.name}" for suite, expectation in lost)
            raise SuiteError(
                f"{len(self._asked)} expectations were run, {len(results)} gave a result; lost: {named or 'none'}"
            )
        return [self._count(validator, place, found[place]) for place in range(len(self._asked))]

    def _count(self, validator: Validator, place: int, result: ExpectationValidationResult) -> Count:
        suite, expectation = self._asked[place]
        if _raised(result):
            # A metric serves several expectations, and all of them report its failure. So run it alone.
            try:
                (result,) = validator.graph_validate(
                    configurations=[self._configurations[place]],
                    runtime_configuration={"result_format": RESULT_FORMAT, "catch_exceptions": False},
                )
            except Exception as error:  # noqa: BLE001 - of any error, only the type and place are logged
                raised = _place_of(error)
                on = expectation.column or "the table"
                log.error("%s: %s on %s could not be evaluated: %s", suite.name, expectation.name, on, raised)  # noqa: TRY400
                return Count(raised=raised)
        counted = result.result
        if expectation.type == ROW_COUNT_TYPE:
            return Count(evaluated=int(counted["observed_value"]))
        if "element_count" not in counted:
            return Count(evaluated=1, unexpected=int(not result.success))
        unexpected = int(counted["unexpected_count"])
        return Count(int(counted["element_count"]) - int(counted.get("missing_count") or 0), unexpected)


@dataclass(frozen=True)
class JudgedPosts:
    """The columns that expectations read of some posts, and the rules' answers for the same rows."""

    table: pa.Table
    judged: Mapping[str, Judgement]

    @classmethod
    def gathered(cls, parts: Sequence[Self]) -> Self:
        """Concatenate the parts in their order."""
        if len(parts) == 1:
            return parts[0]
        judged: dict[str, Judgement] = {}
        for name in parts[0].judged:
            answers = [part.judged[name] for part in parts]
            raised = [answer for answer in answers if isinstance(answer, Exception)]
            masks = [answer for answer in answers if not isinstance(answer, Exception)]
            judged[name] = raised[0] if raised else np.concatenate(masks)
        return cls(pa.concat_tables([part.table for part in parts]), judged)


def _rule(expectation: Expectation) -> str | None:
    return expectation.name if expectation.type == RULE_TYPE else None


def _beside_rules(expectations: Collection[tuple[str, str]], table: pa.Table) -> list[str]:
    """Return the names, besides the rules of the suites, that ``judge`` must answer for the posts."""
    asked = []
    if ("expect_column_values_to_be_personnummer", "personnummer") in expectations:
        asked.append(IS_PERSONNUMMER)
    if ("expect_column_values_to_be_sdv_lists", "kategori") in expectations and "kontaktform" in table.column_names:
        asked.append(IS_SDV_LIST)
    return asked


def _configuration(suite: Suite, expectation: Expectation, place: int) -> ExpectationConfiguration:
    configuration = ExpectationConfiguration(
        type=expectation.type,
        kwargs=dict(expectation.kwargs),
        severity=GxSeverity(expectation.severity.value),
        meta={"place": place},
    )
    try:
        configuration.to_domain_obj()
    except (GreatExpectationsError, ValueError) as error:
        raise SuiteError(
            f"{suite.name}: Great Expectations does not accept {expectation.name} on "
            f"{expectation.column or 'the table'} ({type(error).__name__})"
        ) from None
    return configuration


def _asked_at(result: ExpectationValidationResult) -> int | None:
    """Return the position, among the expectations that were run, of the one that a result belongs to."""
    configuration = result.expectation_config
    return None if configuration is None else (configuration.meta or {}).get("place")


def _raised(result: ExpectationValidationResult) -> bool:
    """Tell whether a result reports an exception; its form depends on where the exception was raised."""
    info: Mapping[str, Any] = result.exception_info or {}
    if "raised_exception" in info:
        return bool(info["raised_exception"])
    return bool(info)


def _place_of(error: BaseException) -> str:
    """Return the types of an exception and its causes, and the line that raised the first; never their text."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    frames = traceback.extract_tb(chain[-1].__traceback__)
    at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return " < ".join(type(link).__name__ for link in chain) + at
