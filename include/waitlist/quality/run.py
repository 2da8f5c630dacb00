"""Checks a snapshot or a staged batch with suites, adds up the counts of its chunks, and judges the sums."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from waitlist.exceptions import ContractBrokenError, SuiteError
from waitlist.judge.persons import Persons
from waitlist.judge.posts import RuleContext
from waitlist.judge.rules import OF_PERSONS
from waitlist.quality.quiet import quieten
from waitlist.quality.suites import (
    CONTRACT,
    HOLDS_DATES_TYPE,
    ROW_COUNT_TYPE,
    UNIQUE_TYPES,
    Expectation,
    Looks,
    Suite,
)
from waitlist.results import FailureSeverity, Outcome, QualityResult

if TYPE_CHECKING:
    from waitlist.quality.engine import JudgedPosts, Validation
    from waitlist.staging.database import Database

CHUNK_POSTS: Final = 50_000
"""About how many posts are gathered before the expectations on the table as a whole check them.

The number of checks is stored: another figure here gives another result.
"""

_CHUNKS_A_LOOK: Final = 4
"""Such chunks before the expectations on rows are checked: every check takes each some 6 ms, however few the rows."""

_STAGED_ROWS_A_LOOK: Final = 50_000

Progress = Callable[[int], None]


@dataclass
class _Tally:
    evaluated: int = 0
    unexpected: int = 0
    raised: bool = False

    def add(self, evaluated: int, unexpected: int, *, raised: bool) -> None:
        self.evaluated += evaluated
        self.unexpected += unexpected
        self.raised |= raised


def check_snapshot(
    suites: Iterable[Suite],
    tables: Iterable[pa.Table],
    context: RuleContext,
    *,
    persons: Persons | None = None,
    names: Sequence[str] | None = None,
    chunk_posts: int = CHUNK_POSTS,
    progress: Progress | None = None,
) -> list[QualityResult]:
    """Check posts with suites, all suites in one pass.

    Uniqueness is judged within one chunk. That is enough for a snapshot, whose partitions are disjoint ranges of
    ``post_id``: a duplicate over two chunks is found where the batch is loaded.

    Args:
        suites: suites that check the snapshot, or the answers about its persons.
        tables: posts in chunks of any size, with at least ``suites.columns_needed(suites)``; read once.
        context: as-of date, mappings, rule settings.
        persons: what the person service answered about these posts' persons. None: it was not to be asked, and no
            expectation on its answers is applicable.
        names: every column that the snapshot has, in its order, where the tables hold fewer.
        chunk_posts: how many posts to gather; memory grows with it.
        progress: called after each chunk with the posts seen so far.

    Returns:
        One result per expectation, in the suites' order. Results of several partitions can be added up by
        ``merge``.

    Raises:
        SuiteError: an expectation got lost or is not known.
    """
    wanted = _those_that_look_at((Looks.SNAPSHOT, Looks.ANSWERS), suites)

    def applicable(expectation: Expectation) -> bool:
        return persons is not None or expectation.name not in OF_PERSONS

    everything = _validation(wanted, context, applicable)
    on_table = _validation(wanted, context, lambda expectation: not expectation.columns)
    on_rows = _validation(wanted, context, lambda expectation: bool(expectation.columns) and applicable(expectation))
    tallies = [_Tally() for suite in wanted for _ in suite.expectations]

    def look(validation: "Validation", posts: "JudgedPosts") -> None:
        for place, count in zip(validation.places, validation.of_posts(posts), strict=True):
            tallies[place].add(count.evaluated, count.unexpected, raised=bool(count.raised))

    def chunks() -> "Iterator[JudgedPosts]":
        seen = 0
        for posts in _gather((everything.judged(table, names, persons) for table in tables), chunk_posts):
            look(on_table, posts)
            seen += posts.table.num_rows
            if progress is not None:
                progress(seen)
            yield posts

    for posts in _gather(chunks(), _CHUNKS_A_LOOK * chunk_posts):
        look(on_rows, posts)
        del posts  # before the next ones are gathered
    return _judge_all(wanted, tallies)


class StagedCheck:
    """Checks the booking requests of one batch with suites while they are read back from the staging database.

    Whether values are unique in the batch is proven from what was read. Where it is not proven, the database counts.

    Args:
        suites: those that look at the staged rows.
        batch_id: the batch.
        context: as-of date, mappings, rule settings.

    Attributes:
        rows: the rows seen so far.

    Raises:
        SuiteError: an expectation is not known.
    """

    def __init__(self, suites: Iterable[Suite], batch_id: str, context: RuleContext) -> None:
        from waitlist.quality.uniqueness import Uniqueness  # noqa: PLC0415 - imports pandas

        self.rows = 0
        self._suites = _those_that_look_at((Looks.STAGED,), suites)
        self._batch_id = batch_id
        self._on_rows = _validation(self._suites, context, lambda expectation: expectation.type not in UNIQUE_TYPES)
        every = [expectation for suite in self._suites for expectation in suite.expectations]
        self._names_batch = any("batch_id" in expectation.columns for expectation in every)
        self._tallies = [_Tally() for _ in every]
        self._unique = {
            place: Uniqueness(expectation.columns)
            for place, expectation in enumerate(every)
            if expectation.type in UNIQUE_TYPES
        }
        self._waiting: list[pa.Table] = []
        self._turn = threading.Lock()

    def look(self, rows: pa.Table) -> None:
        """See some rows, of the columns ``read_back.REQUESTS``; threads may call this at the same time.

        Raises:
            SuiteError: an expectation got lost.
        """
        if not rows.num_rows:
            return
        if self._names_batch:
            rows = rows.append_column("batch_id", pa.repeat(self._batch_id, rows.num_rows))
        with self._turn:
            self.rows += rows.num_rows
            for uniqueness in self._unique.values():
                uniqueness.look(rows)
            self._waiting.append(rows)
            if sum(part.num_rows for part in self._waiting) >= _STAGED_ROWS_A_LOOK:
                self._look_at_waiting()

    def results(self, database: "Database") -> list[QualityResult]:
        """Return one result per expectation, in the suites' order, after all rows were seen.

        Raises:
            SuiteError: an expectation got lost.
            StagingError: the database could not be queried.
        """
        from waitlist.staging.read_back import count_repeated  # noqa: PLC0415 - imports database drivers

        if self._waiting:
            self._look_at_waiting()
        for place, uniqueness in self._unique.items():
            repeated = 0 if uniqueness.is_proven() else count_repeated(database, self._batch_id, uniqueness.columns)
            self._tallies[place] = _Tally(uniqueness.evaluated, repeated)
        return _judge_all(self._suites, [_Tally(raised=True) if it.raised else it for it in self._tallies])

    def _look_at_waiting(self) -> None:
        rows, self._waiting = pa.concat_tables(self._waiting), []
        for place, count in zip(self._on_rows.places, self._on_rows.of_rows(rows), strict=True):
            self._tallies[place].add(count.evaluated, count.unexpected, raised=bool(count.raised))


def check_staged(
    suites: Iterable[Suite], database: "Database", batch_id: str, context: RuleContext
) -> list[QualityResult]:
    """Read the booking requests of one batch back from the staging database, and check them with suites.

    Args:
        suites: those that look at the staged rows.
        database: the staging database.
        batch_id: the batch; the rows of other batches are not read.
        context: as-of date, mappings, rule settings.

    Raises:
        SuiteError: an expectation got lost or is not known.
        StagingError: the database could not be queried, or failed before the last row.
    """
    # Imported late: these modules import database drivers, which a check of a snapshot does not need.
    from waitlist.staging.database import refusals_named  # noqa: PLC0415
    from waitlist.staging.read_back import read_requests  # noqa: PLC0415

    check = StagedCheck(suites, batch_id, context)
    with refusals_named(f"checking the staged rows of batch {batch_id}"), database.reading() as read:
        for rows in read_requests(read, batch_id):
            check.look(rows)
    return check.results(database)


def merge(suites: Iterable[Suite], parts: Iterable[Sequence[QualityResult]]) -> list[QualityResult]:
    """Add up the results of a batch's partitions and judge the sums.

    Args:
        suites: the suites that each part was checked with.
        parts: results of ``check_snapshot``, one list a partition.

    Raises:
        SuiteError: a part has not exactly the suites' expectations.
    """
    wanted = tuple(suites)
    tallies = {(suite.name, *it.key): _Tally() for suite in wanted for it in suite.expectations}
    for number, part in enumerate(parts):
        found = {(result.suite, result.expectation, result.column): result for result in part}
        if found.keys() != tallies.keys() or len(part) != len(tallies):
            raise SuiteError(
                f"partition {number} has {len(part)} results for the suites' {len(tallies)} expectations; "
                "check all partitions with the same suites"
            )
        for key, result in found.items():
            tallies[key].add(result.evaluated, result.unexpected, raised=result.outcome is Outcome.ERROR)
    return _judge_all(wanted, list(tallies.values()))


def over_some_units(results: Iterable[QualityResult]) -> list[QualityResult]:
    """Return results as they count in a run over some units: there, a column without dates is only a warning."""
    return [
        replace(result, severity=FailureSeverity.WARNING) if result.expectation == HOLDS_DATES_TYPE else result
        for result in results
    ]


def require_contract(results: Iterable[QualityResult]) -> None:
    """Stop the run when the extract broke its contract.

    Every critical expectation of the contract suite must have passed, or have had no rows to check. One that could not
    be evaluated stops the run as well.

    Raises:
        ContractBrokenError: with every critical expectation of the contract suite that failed.
    """
    broken = [
        result
        for result in results
        if result.suite == CONTRACT
        and result.severity is FailureSeverity.CRITICAL
        and result.outcome in (Outcome.FAILED, Outcome.ERROR)
    ]
    if broken:
        raise ContractBrokenError(
            "the extract breaks its contract, so nothing was assessed:\n  " + "\n  ".join(map(_describe, broken))
        )


def _describe(result: QualityResult) -> str:
    on = f" on {result.column}" if result.column else ""
    if result.outcome is Outcome.ERROR:
        return f"{result.expectation}{on}: could not be evaluated"
    return f"{result.expectation}{on}: {result.unexpected:,} of {result.evaluated:,} do not fulfil it"


def _validation(
    suites: Sequence[Suite], context: RuleContext, wanted: Callable[[Expectation], bool] = lambda _: True
) -> "Validation":
    quieten()
    from waitlist.quality.engine import Validation  # noqa: PLC0415 - takes seconds

    return Validation(suites, context, wanted)


def _those_that_look_at(looks: Sequence[Looks], suites: Iterable[Suite]) -> tuple[Suite, ...]:
    wanted = tuple(suites)
    others = [suite.name for suite in wanted if suite.looks not in looks]
    if others:
        raise SuiteError(f"suites that do not check {' or '.join(looks)}: {', '.join(others)}")
    return wanted


def _gather(parts: "Iterable[JudgedPosts]", posts: int) -> "Iterator[JudgedPosts]":
    """Concatenate small parts until there are ``posts`` rows; no text is copied."""
    waiting: list[JudgedPosts] = []
    rows = 0
    for part in parts:
        if part.table.num_rows == 0:
            continue
        waiting.append(part)
        rows += part.table.num_rows
        if rows >= posts:
            yield waiting[0].gathered(waiting)
            waiting, rows = [], 0
    if waiting:
        yield waiting[0].gathered(waiting)


def _judge_all(suites: Sequence[Suite], tallies: Sequence[_Tally]) -> list[QualityResult]:
    asked = [(suite, expectation) for suite in suites for expectation in suite.expectations]
    return [_judge(suite, expectation, tally) for (suite, expectation), tally in zip(asked, tallies, strict=True)]


def _judge(suite: Suite, expectation: Expectation, tally: _Tally) -> QualityResult:
    unexpected = tally.unexpected
    if expectation.type == ROW_COUNT_TYPE:
        unexpected = int(not _within(tally.evaluated, expectation))
        held = not unexpected
    elif expectation.type == HOLDS_DATES_TYPE:
        held = unexpected < tally.evaluated or tally.evaluated < expectation.kwargs["min_values"]
    else:
        held = tally.evaluated > 0 and (tally.evaluated - unexpected) / tally.evaluated >= expectation.threshold
    if tally.raised:
        outcome = Outcome.ERROR
    elif tally.evaluated == 0 and expectation.type != ROW_COUNT_TYPE:
        outcome = Outcome.NOT_APPLICABLE
    else:
        outcome = Outcome.PASSED if held else Outcome.FAILED
    return QualityResult(
        suite=suite.name,
        expectation=expectation.name,
        column=expectation.column,
        severity=expectation.severity,
        evaluated=tally.evaluated,
        unexpected=unexpected,
        threshold=expectation.threshold,
        outcome=outcome,
    )


def _within(rows: int, expectation: Expectation) -> bool:
    lowest, highest = expectation.kwargs.get("min_value"), expectation.kwargs.get("max_value")
    return (lowest is None or rows >= lowest) and (highest is None or rows <= highest)
