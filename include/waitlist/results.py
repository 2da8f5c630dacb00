"""What a suite says about a batch: one row an expectation, counts only, never a value."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class FailureSeverity(StrEnum):
    """How grave a failed expectation is, in Great Expectations' own words."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Outcome(StrEnum):
    """What became of an expectation; not applicable is not passed, an error is not failed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"
    """Nothing was there to look at."""
    ERROR = "error"
    """It could not be evaluated."""


@dataclass(frozen=True, slots=True)
class QualityResult:
    """One row of ``quality_result``, unique by suite, expectation and column.

    Args:
        suite: Name of the suite, as its file is called.
        expectation: Great Expectations' name of it; for a rule of the assessment, the rule's code.
        column: The column or columns looked at (``a, b``); empty for the table as a whole.
        severity: What a failure means.
        evaluated: Rows looked at; 1 for an expectation on the table as a whole.
        unexpected: Those of them that did not hold.
        threshold: Share of rows, 0 to 1, that must hold.
        outcome: The judgement.
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
        """Return plain values, as XCom takes them."""
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
        """Return the result that :meth:`to_dict` was made of."""
        return cls(
            **values
            | {
                "severity": FailureSeverity(values["severity"]),
                "outcome": Outcome(values["outcome"]),
            }
        )
