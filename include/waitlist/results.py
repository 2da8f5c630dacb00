"""The results of a suite for a batch: one row per expectation, with counts only, never a value."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class FailureSeverity(StrEnum):
    """The severity of a failed expectation, with the names of Great Expectations."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Outcome(StrEnum):
    """The outcome of an expectation; not applicable is not the same as passed, nor is an error the same as failed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"
    """There were no rows to evaluate."""
    ERROR = "error"
    """It could not be evaluated."""


@dataclass(frozen=True, slots=True)
class QualityResult:
    """One row of ``quality_result``, unique by suite, expectation and column.

    Args:
        suite: Name of the suite and of its file.
        expectation: Its name in Great Expectations; for a rule of the assessment, the rule's code.
        column: The column or columns evaluated (``a, b``); empty for the table as a whole.
        severity: Severity of a failure.
        evaluated: Rows evaluated; 1 for an expectation on the table as a whole.
        unexpected: Rows that did not meet the expectation.
        threshold: Share of rows, 0 to 1, that must meet the expectation.
        outcome: Whether the expectation was met.
    """

    suite: str
    expectation: str
    column: str
    severity: FailureSeverity
    evaluated: int
    unexpected: int
    threshold: float
    outcome: Outcome

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for an XCom."""
        return {
            "suite": self.suite,
            "expectation": self.expectation,
            "column": self.column,
            "severity": self.severity.value,
            "evaluated": self.evaluated,
            "unexpected": self.unexpected,
            "threshold": self.threshold,
            "outcome": self.outcome.value,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the result that :meth:`to_dict` was called on."""
        return cls(
            **values
            | {
                "severity": FailureSeverity(values["severity"]),
                "outcome": Outcome(values["outcome"]),
            }
        )
