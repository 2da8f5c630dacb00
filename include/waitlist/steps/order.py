"""The steps of a night in their order, declared once: the DAGs, the tests and the benchmarks use this order."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Step:
    """One step, a method of ``steps.night.Night``.

    Attributes:
        name: the name of the method and of the DAG's task.
        after: the steps that must be done before it.
        mapped: whether it runs once for each partition, with the partition's number.
        timed: whether it receives the moment, for the audit trail.
    """

    name: str
    after: tuple[str, ...] = ()
    mapped: bool = False
    timed: bool = False


NIGHT: Final = (
    Step("open_batch", timed=True),
    Step("plan_extract", ("open_batch",)),
    Step("extract", ("plan_extract",), mapped=True),
    Step("check_contract", ("extract",)),
    Step("find_duplicates", ("extract",)),
    Step("check_persons", ("check_contract",), mapped=True, timed=True),
    Step("assess", ("check_contract", "find_duplicates", "check_persons"), mapped=True, timed=True),
    Step("find_changes", ("assess",)),
    Step("check_snapshot", ("check_contract", "check_persons")),
    Step("reconcile", ("assess",), timed=True),
    Step("verify", ("check_snapshot", "reconcile", "find_changes"), timed=True),
)
"""The steps from an empty batch to one that readers see; each step comes after the steps that it needs."""
