"""The part of the flow that the dry run and the migration share: from an empty batch to a verified one."""

from collections.abc import Iterable, Sequence
from typing import Any

from airflow.sdk import chain

from waitlist.settings import Settings
from waitlist.steps import order
from waitlist_airflow import pu, steps


def prepare(kind: str) -> dict[str, Any]:
    """Wire the steps of a night as ``order.NIGHT`` declares them; without ``check_persons`` where nobody is asked.

    Returns:
        the tasks by name, ``verify`` last; after it the batch counts for readers.
    """
    # PMO is a live clinical system: the number of readers is limited, however many slots there are.
    settings = Settings.read_or_defaults()
    given: dict[str, dict[str, Any]] = {
        "extract": {"max_active_tis_per_dag": settings.pmo_readers},
        "check_persons": pu.ASKING,
        # The longest of the steps before ``verify``: it has the first free slot.
        "reconcile": {"priority_weight": 2},
    }
    # A task that does nothing costs what any task costs, for each partition, and the assessment waits for it.
    left_out = set() if settings.rules.asks_persons else {"check_persons"}
    tasks: dict[str, Any] = {}
    for step in order.NIGHT:
        if step.name in left_out:
            continue
        task = getattr(steps, step.name).override(**given.get(step.name, {}))
        # The result of plan_extract is a placeholder while the flow is wired, and a list of numbers when it runs.
        made = task.partial(kind=kind).expand(number=tasks["plan_extract"]) if step.mapped else task(kind)
        if step.after:
            chain([tasks[name] for name in step.after if name not in left_out], made)
        tasks[step.name] = made
    return tasks


def end(kind: str, tasks: Iterable[Any]) -> None:
    """Wire the end of a run: ``mark_failed`` after any failure among its tasks, then ``conclude``."""
    every = list(tasks)
    failed = steps.mark_failed(kind)
    chain(every, failed)
    conclude([*every, failed], steps.conclude(kind))


def conclude(tasks: Sequence[Any], last: Any) -> None:  # noqa: ANN401 - a task as Airflow wires it
    """Wire the last step: it runs in any state of the other steps, and its failure fails the run.

    It is a teardown in Airflow's sense. So it runs even when somebody marks the run itself as a success, which skips
    every other step.
    """
    chain(tasks, last.as_teardown(on_failure_fail_dagrun=True))
