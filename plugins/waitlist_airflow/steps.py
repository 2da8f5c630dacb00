"""The tasks that the DAGs wire: each fetches the pipeline, takes one step, and hands on references and counts.

Heavy imports stay inside the tasks, so that the DAG files parse fast. What a task returns lands in Airflow's
database: ids, file names and counts, never a row of a post.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from airflow.sdk import TriggerRule, task
from airflow.sdk.exceptions import AirflowSkipException

from waitlist_airflow.guard import guarded

Record = dict[str, Any]


@task
@guarded
def open_batch(kind: str) -> Record:
    """Fix what the run is and open its batch; skip the run after the last go-live."""
    from waitlist_airflow import runs

    pipeline, request, now = runs.pipeline(), runs.request(kind), _now()
    if kind == "dry_run" and pipeline.is_past_last_go_live(request, now=now):
        raise AirflowSkipException("every unit is live: there is nothing left to rehearse")
    return pipeline.open_batch(request, now=now).to_dict()


@task
@guarded
def plan_extract(run: Record) -> list[Record]:
    """Divide PMO's posts into partitions."""
    from waitlist_airflow import runs

    return [partition.to_dict() for partition in runs.pipeline().plan_extract(runs.run(run))]


@task
@guarded
def extract(run: Record, partition: Record) -> Record:
    """Read one partition into the snapshot."""
    from waitlist_airflow import runs

    return runs.pipeline().extract(runs.run(run), runs.partition(partition)).to_dict()


@task
@guarded
def check_contract(run: Record, parts: Sequence[Record]) -> Record:
    """Stop the run when the extract breaks its contract."""
    from waitlist_airflow import runs

    return runs.pipeline().check_contract(runs.run(run), runs.parts(parts))


@task
@guarded
def find_duplicates(run: Record, parts: Sequence[Record]) -> Record:
    """Find posts that stand twice, over the whole batch."""
    from waitlist_airflow import runs

    return runs.pipeline().find_duplicates(runs.run(run), runs.parts(parts))


@task
@guarded
def assess(run: Record, part: Record) -> Record:
    """Assess one partition and replace it in staging."""
    from waitlist_airflow import runs

    return runs.pipeline().assess(runs.run(run), runs.part(part), now=_now())


@task
@guarded
def find_changes(run: Record, parts: Sequence[Record]) -> Record:
    """Report released posts that PMO has changed or closed since."""
    from waitlist_airflow import runs

    return runs.pipeline().find_changes(runs.run(run), runs.parts(parts))


@task
@guarded
def check_snapshot(run: Record, parts: Sequence[Record]) -> Record:
    """Run the suites on identity, dates and categories."""
    from waitlist_airflow import runs

    return runs.pipeline().check_snapshot(runs.run(run), runs.parts(parts))


@task
@guarded
def check_staged(run: Record) -> Record:
    """Run the suite on the staged booking requests."""
    from waitlist_airflow import runs

    return runs.pipeline().check_staged(runs.run(run))


@task
@guarded
def reconcile(run: Record, partitions: Sequence[Record], parts: Sequence[Record]) -> Record:
    """Prove that source, snapshot and staging add up."""
    from waitlist_airflow import runs

    planned = [runs.partition(partition) for partition in partitions]
    return runs.pipeline().reconcile(runs.run(run), planned, runs.parts(parts), now=_now())


@task
@guarded
def verify(run: Record) -> None:
    """Show the batch to readers: it adds up, and every suite has looked at it."""
    from waitlist_airflow import runs

    runs.pipeline().verify(runs.run(run), now=_now())


@task
@guarded
def report(run: Record) -> None:
    """Tell the readiness of each unit in the log."""
    from waitlist_airflow import runs

    runs.pipeline().report(runs.run(run))


@task
@guarded
def watch_gates(run: Record) -> Record:
    """Measure the gates of a dry run, and tell the leads when one has turned red."""
    from airflow.sdk import get_current_context

    from waitlist_airflow import notify, runs

    dag_run = get_current_context()["dag_run"]
    link = notify.link_to_run(dag_run.dag_id, dag_run.run_id)
    return runs.pipeline().watch_gates(runs.run(run), lambda notice: notify.send(notice, link))


@task
@guarded
def request_approval(run: Record) -> Record:
    """Measure the gates, fix the batch's rows, and tell what is to be approved."""
    from waitlist_airflow import runs

    return runs.pipeline().request_approval(runs.run(run), now=_now())


@task
@guarded
def release(run: Record, answer: Record) -> Record:
    """Release the batch as a human approved it, or close it as rejected."""
    from waitlist_airflow import runs
    from waitlist_airflow.approval import Answer

    said = Answer.from_result(answer)
    if not said.agreed:
        runs.pipeline().reject(runs.run(run), said.person, said.reason, now=_now())
        raise AirflowSkipException("the wave was rejected: its batch is closed and nothing is released")
    return runs.pipeline().release(runs.run(run), said.person, said.reason, now=_now())


@task
@guarded
def verify_released(run: Record) -> Record:
    """Prove that the view shows exactly what was approved."""
    from waitlist_airflow import runs

    return runs.pipeline().verify_released(runs.run(run))


@task
@guarded
def describe_release(batch_id: str) -> Record:
    """Tell what would be withdrawn."""
    from waitlist_airflow import runs

    return runs.pipeline().describe_release(batch_id)


@task
@guarded
def withdraw(batch_id: str, answer: Record) -> Record:
    """Withdraw a released batch as a human decided."""
    from waitlist_airflow import runs
    from waitlist_airflow.approval import Answer

    said = Answer.from_result(answer)
    if not said.agreed:
        raise AirflowSkipException("the batch stays released")
    return runs.pipeline().withdraw(batch_id, said.person, said.reason, now=_now())


@task
@guarded
def remove_expired() -> Record:
    """Remove what batches hold of persons when their time is up."""
    from airflow.sdk import get_current_context

    from waitlist_airflow import runs

    context = get_current_context()
    params = context["params"]
    return runs.pipeline().remove_expired(
        runs.as_of(context), keep_days=params["keep_days"], only_tell=params["only_tell"], now=_now()
    )


@task(trigger_rule=TriggerRule.ONE_FAILED)
@guarded
def mark_failed(kind: str) -> None:
    """Close the batch as failed when a step has failed for good."""
    from waitlist_airflow import runs

    runs.pipeline().mark_failed(runs.request(kind), failed=runs.failed_steps(), now=_now())


def _now() -> dt.datetime:
    """Return the moment for the audit columns; no rule reads it."""
    return dt.datetime.now(dt.UTC)
