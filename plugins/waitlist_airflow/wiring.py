"""From an empty batch to one that adds up: the part of the flow that the dry run and the migration share."""

from collections.abc import Iterable, Sequence
from typing import Any

from airflow.sdk import chain

from waitlist.settings import Settings
from waitlist.steps import order
from waitlist_airflow import steps


def prepare(kind: str) -> dict[str, Any]:
    """Wire the steps of a night as ``order.NIGHT`` declares them.

    Returns:
        the tasks by name, ``verify`` last; after it the batch counts for readers.
    """
    # PMO is a live clinical system: so many readers at a time, however many slots there are.
    gently = {"extract": {"max_active_tis_per_dag": Settings.read_or_defaults().pmo_readers}}
    tasks: dict[str, Any] = {}
    for step in order.NIGHT:
        task = getattr(steps, step.name).override(**gently.get(step.name, {}))
        # What plan_extract hands on is a promise while the flow is wired, and numbers when it runs.
        made = task.partial(kind=kind).expand(number=tasks["plan_extract"]) if step.mapped else task(kind)
        if step.after:
            chain([tasks[name] for name in step.after], made)
        tasks[step.name] = made
    return tasks


def end(kind: str, tasks: Iterable[Any]) -> None:
    """Wire what ends a run: ``mark_failed`` after any failure among its tasks, then ``conclude``."""
    every = list(tasks)
    failed = steps.mark_failed(kind)
    chain(every, failed)
    conclude([*every, failed], steps.conclude(kind))


def conclude(tasks: Sequence[Any], last: Any) -> None:  # noqa: ANN401 - a task as Airflow wires it
    """Wire the last step: it runs whatever states the others have, and fails the run when it fails.

    As Airflow's teardown it runs too where the run itself is marked as a success, which leaves out every other step.
    """
    chain(tasks, last.as_teardown(on_failure_fail_dagrun=True))
