"""Checks the snapshot and the staged rows with Great Expectations; never changes a post.

Great Expectations takes seconds to import. So it is imported only when a suite is run or Data Docs are written.
"""

from waitlist.quality.docs import write_data_docs
from waitlist.quality.run import StagedCheck, check_snapshot, check_staged, merge, over_some_units, require_contract
from waitlist.quality.suites import CONTRACT, SUITES, Looks, Suite, columns_needed, digest, load_suites
from waitlist.results import FailureSeverity, Outcome, QualityResult

__all__ = [
    "CONTRACT",
    "SUITES",
    "FailureSeverity",
    "Looks",
    "Outcome",
    "QualityResult",
    "StagedCheck",
    "Suite",
    "check_snapshot",
    "check_staged",
    "columns_needed",
    "digest",
    "load_suites",
    "merge",
    "over_some_units",
    "require_contract",
    "write_data_docs",
]
