"""The thresholds of the gates that a verified batch must pass before a human may release it (``gates.csv``)."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from waitlist.exceptions import MappingError
from waitlist.facts.csv_table import CsvTable, own_or_projects, shown

FILE: Final = "gates.csv"


class Gate(StrEnum):
    """What is measured."""

    CRITICAL_SUITES = "critical_suites"
    """Critical expectations that failed, could not be evaluated or have no result."""
    ACCOUNTING = "accounting"
    """Posts by which the batch's recorded counts and its tables differ; an approver cannot override this gate."""
    EXTRACT_DEVIATION = "extract_deviation"
    """Change in the number of posts since the latest dry run of the same units, as a share."""
    UNITS_WITHOUT_GO_LIVE = "units_without_go_live"
    """Units of the batch that have no go-live in ``units.csv``."""
    UNHANDLED_SHARE = "unhandled_share"
    """Share of posts that still wait for staff: every disposition except those in ``release.gates.HANDLED``."""
    DRY_RUN_AGE_DAYS = "dry_run_age_days"
    """Days from the latest dry run of the same units to the batch's as-of date."""
    TARGET_REFS_MISSING = "target_refs_missing"
    """Places and visit types of the batch's booking requests without a reference in ``millennium_refs.csv``."""
    PERSONS_NOT_ASKED = "persons_not_asked"
    """Posts that wait, and about whose person the person service has not answered; an approver cannot override it."""
    SAMPLE = "sample"
    """Posts of the side-by-side sample that nobody has judged, and faults beyond those that it may have."""


OPTIONAL: Final = frozenset({Gate.TARGET_REFS_MISSING, Gate.SAMPLE})
"""Gates that are off, and not applicable, while ``gates.csv`` has no row for them."""

BY_SETTING: Final = frozenset({Gate.PERSONS_NOT_ASKED})
"""Gates that a setting turns on, with a limit of zero; ``gates.csv`` has no row for them."""


SHARES: Final = frozenset({Gate.EXTRACT_DEVIATION, Gate.UNHANDLED_SHARE})
"""Gates whose value is a share; the value of the others is a count."""

WITHOUT_SLACK: Final = frozenset({Gate.SAMPLE})
"""Gates whose only limit is 0: a setting says how much may be wrong."""


_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class GateThreshold:
    """The threshold of one gate (``gates.csv``)."""

    gate: str
    threshold: float
    owner: str
    note: str


def load_gates(directory: Path) -> Mapping[Gate, float]:
    """Read the thresholds.

    Args:
        directory: the folder of the mapping files; if it has no ``gates.csv``, the project's own is read.

    Returns:
        the threshold of each gate that is on; only a gate of ``OPTIONAL`` can be off.

    Raises:
        MappingError: with every fault of the file, each as ``file:line: what is wrong``.
    """
    limits, faults = read_gates(directory)
    if faults:
        raise MappingError("\n".join([f"gates at fault in {directory}:", *(f"  {fault}" for fault in faults)]))
    return limits


def read_gates(directory: Path) -> tuple[Mapping[Gate, float], list[str]]:
    """Read the thresholds of the rows that have no fault, and every fault (as ``mappings.read_mappings``)."""
    table = CsvTable(
        own_or_projects(directory, FILE),
        ["gate", "threshold", "owner", "note"],
        free_text=("owner", "note"),
    )
    found = list(_thresholds(table))
    limits = {Gate(row.gate): row.threshold for row in table.without_faults(found)}
    if table.whole:
        named = {row.gate for row in found}
        for gate in Gate:
            if gate not in OPTIONAL | BY_SETTING and gate not in named:
                table.fault(1, f"gate: {shown(gate.value)} is missing")
    return MappingProxyType(limits), table.faults()


def digest(limits: Mapping[Gate, float]) -> str:
    """Return the SHA-256, in hex, of the thresholds; owners, notes and the order of rows do not change it.

    A gate that is off changes nothing either: a batch stays valid when a release brings a new gate. Nor does one that a
    setting turns on: the setting is a fact of its own.
    """
    ordered = {gate.value: limits[gate] for gate in Gate if gate in limits and gate not in BY_SETTING}
    return hashlib.sha256(json.dumps(ordered).encode()).hexdigest()


def _thresholds(table: CsvTable) -> Iterator[GateThreshold]:
    names = tuple(gate.value for gate in Gate if gate not in BY_SETTING)
    for row in table.rows:
        gate, text = row.one_of("gate", names), row.required("threshold")
        row.unique("gate", gate)
        limit = float(text) if _NUMBER.fullmatch(text) else -1.0
        if text and limit < 0:
            row.fault(f"threshold: {shown(text)} is no number; write it as 0.05 or 3")
        elif gate in SHARES and limit > 1:
            row.fault(f"threshold: {shown(text)} is above 1; a share is written as 0.05")
        elif gate not in SHARES and not limit.is_integer():
            row.fault(f"threshold: {shown(text)} is no whole number, and {gate} counts")
        elif gate in WITHOUT_SLACK and limit:
            row.fault(
                f"threshold: {shown(text)} is not 0, the only limit of {gate}: WAITLIST_SAMPLE_FAULTS says the rest"
            )
        yield GateThreshold(gate, limit, row.cells["owner"], row.cells["note"])
