"""From an empty batch to one that adds up: the part of the flow that the dry run and the migration share."""

from dataclasses import dataclass
from typing import Any

from airflow.sdk import chain

from waitlist.settings import Settings
from waitlist_airflow import steps


@dataclass(frozen=True)
class Prepared:
    """What the shared part leaves to a DAG.

    Attributes:
        run: what ``open_batch`` hands on.
        verified: the last step; after it the batch counts for readers.
        steps: every step, for the one that looks out for failures.
    """

    run: Any
    verified: Any
    steps: tuple[Any, ...]


def prepare(kind: str) -> Prepared:
    """Wire the steps from ``open_batch`` to ``verify``."""
    # What a task hands on is a promise while the flow is wired, and a record when it runs.
    run: Any = steps.open_batch(kind)
    partitions: Any = steps.plan_extract(run)
    # PMO is a live clinical system: so many readers at a time, however many slots there are.
    gently = steps.extract.override(max_active_tis_per_dag=Settings.read_or_defaults().pmo_readers)
    parts: Any = gently.partial(run=run).expand(partition=partitions)
    contract = steps.check_contract(run, parts)
    duplicates = steps.find_duplicates(run, parts)
    assessed = steps.assess.partial(run=run).expand(part=parts)
    changes = steps.find_changes(run, parts)
    snapshot_suites = steps.check_snapshot(run, parts)
    staged_suites = steps.check_staged(run)
    reconciled = steps.reconcile(run, partitions, parts)
    verified = steps.verify(run)

    chain([contract, duplicates], assessed, [staged_suites, reconciled, changes], verified)
    chain(contract, snapshot_suites, verified)
    every = (run, partitions, parts, contract, duplicates, assessed, changes, snapshot_suites, staged_suites)
    return Prepared(run, verified, (*every, reconciled, verified))
