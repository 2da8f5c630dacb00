"""From an empty batch to one that adds up: the part of the flow that the dry run and the migration share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow.sdk import chain

from waitlist.settings import Settings
from waitlist_airflow import steps


@dataclass(frozen=True)
class Prepared:
    """What the shared part leaves to a DAG.

    Attributes:
        verified: the last step; after it the batch counts for readers.
        steps: every step, for the one that looks out for failures.
    """

    verified: Any
    steps: tuple[Any, ...]


def prepare(kind: str) -> Prepared:
    """Wire the steps from ``open_batch`` to ``verify``."""
    # What a task hands on is a promise while the flow is wired, and a record when it runs.
    opened: Any = steps.open_batch(kind)
    numbers: Any = steps.plan_extract(kind)
    # PMO is a live clinical system: so many readers at a time, however many slots there are.
    gently = steps.extract.override(max_active_tis_per_dag=Settings.read_or_defaults().pmo_readers)
    extracted: Any = gently.partial(kind=kind).expand(number=numbers)
    contract = steps.check_contract(kind)
    duplicates = steps.find_duplicates(kind)
    assessed = steps.assess.partial(kind=kind).expand(number=numbers)
    changes = steps.find_changes(kind)
    snapshot_suites = steps.check_snapshot(kind)
    staged_suites = steps.check_staged(kind)
    reconciled = steps.reconcile(kind)
    verified = steps.verify(kind)

    chain(opened, numbers)
    chain(extracted, [contract, duplicates], assessed, [staged_suites, reconciled, changes], verified)
    chain(contract, snapshot_suites, verified)
    every = (opened, numbers, extracted, contract, duplicates, assessed, changes, snapshot_suites, staged_suites)
    return Prepared(verified, (*every, reconciled, verified))


def end(every: Sequence[Any], conclusion: Any) -> None:  # noqa: ANN401 - a task as Airflow wires it
    """Wire the step that ends a run: it runs whatever states the others have, and fails the run when it fails.

    As Airflow's teardown it runs too where the run itself is marked as a success, which leaves out every other step.
    """
    chain(every, conclusion.as_teardown(on_failure_fail_dagrun=True))
