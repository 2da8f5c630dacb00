"""The tasks that the DAGs wire: each fetches the pipeline, takes one step, and hands on numbers and counts.

Heavy imports stay inside the tasks, so that the DAG files parse fast. What a task returns lands in Airflow's
database: numbers and counts, never a row of a post. Anybody who may edit a DAG's runs can change it there, and a mapped
task that was removed leaves it there. So no step takes from it which batch it works on, which follows from the DAG and
its run, nor which files: a mapped task is handed the number of a partition, and looks in the batch's plan what it is.
"""

import datetime as dt
import json
from typing import Any

from airflow.sdk import TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from waitlist_airflow import notify, runs
from waitlist_airflow.guard import guarded

Record = dict[str, Any]

_NIGHTLY = "waitlist_dry_run"
_WATCH = "waitlist_watch"


@task
@guarded
def open_batch(kind: str) -> None:
    """Fix what the run is and open its batch; skip the run after the last go-live."""
    pipeline, request, now = runs.pipeline(), runs.request(kind), _now()
    if kind == "dry_run" and pipeline.is_past_last_go_live(request, now=now):
        raise AirflowSkipException("every unit is live: there is nothing left to rehearse")
    pipeline.open_batch(request, now=now)


@task
@guarded
def plan_extract(kind: str) -> list[int]:
    """Divide PMO's posts into partitions."""
    pipeline, run = runs.opened(kind)
    return pipeline.plan_extract(run)


@task
@guarded
def extract(kind: str, number: int) -> Record:
    """Read one partition into the snapshot."""
    pipeline, run = runs.opened(kind)
    return pipeline.extract(run, number)


@task
@guarded
def check_contract(kind: str) -> Record:
    """Stop the run when the extract breaks its contract."""
    pipeline, run = runs.opened(kind)
    return pipeline.check_contract(run)


@task
@guarded
def find_duplicates(kind: str) -> Record:
    """Find posts that stand twice, over the whole batch."""
    pipeline, run = runs.opened(kind)
    return pipeline.find_duplicates(run)


@task
@guarded
def assess(kind: str, number: int) -> Record:
    """Assess one partition and replace it in staging."""
    pipeline, run = runs.opened(kind)
    return pipeline.assess(run, number, now=_now())


@task
@guarded
def find_changes(kind: str) -> Record:
    """Report released posts that PMO has changed or closed since."""
    pipeline, run = runs.opened(kind)
    return pipeline.find_changes(run)


@task
@guarded
def check_snapshot(kind: str) -> Record:
    """Run the suites on identity, dates and categories."""
    pipeline, run = runs.opened(kind)
    return pipeline.check_snapshot(run)


@task
@guarded
def check_staged(kind: str) -> Record:
    """Run the suite on the staged booking requests."""
    pipeline, run = runs.opened(kind)
    return pipeline.check_staged(run)


@task
@guarded
def reconcile(kind: str) -> Record:
    """Prove that source, snapshot and staging add up."""
    pipeline, run = runs.opened(kind)
    return pipeline.reconcile(run, now=_now())


@task
@guarded
def verify(kind: str) -> None:
    """Show the batch to readers: it adds up, and every suite has looked at it."""
    pipeline, run = runs.opened(kind)
    pipeline.verify(run, now=_now())


@task
@guarded
def report(kind: str) -> None:
    """Tell the readiness of each unit in the log."""
    pipeline, run = runs.opened(kind)
    pipeline.report(run)


@task
@guarded
def watch_gates(kind: str) -> Record:
    """Measure the gates of a dry run, and tell the leads when one has turned red."""
    dag_run = get_current_context()["dag_run"]
    link = notify.link_to_run(dag_run.dag_id, dag_run.run_id)
    pipeline, run = runs.opened(kind)
    return pipeline.watch_gates(run, lambda notice: notify.send(notice, link))


@task
@guarded
def request_approval(kind: str) -> Record:
    """Measure the gates, fix the batch's rows, and tell what is to be approved."""
    pipeline, run = runs.opened(kind)
    return pipeline.request_approval(run, now=_now())


@task
@guarded
def release(kind: str) -> Record:
    """Confirm from the database that the batch was released; skip what follows where it was rejected."""
    from waitlist.staging import BatchState

    pipeline, run = runs.opened(kind)
    state = pipeline.decided(run.batch_id)
    if state is not BatchState.RELEASED:
        raise AirflowSkipException(f"batch {run.batch_id} is {state}: nothing of it is released")
    return {"decided": state.value}


@task
@guarded
def verify_released(kind: str) -> Record:
    """Prove that the view shows exactly what was approved."""
    pipeline, run = runs.opened(kind)
    return pipeline.verify_released(run)


@task
@guarded
def verify_releases() -> Record:
    """Prove of every released batch that the view still shows exactly what was approved."""
    return runs.pipeline().verify_releases()


@task
@guarded
def describe_release() -> None:
    """Look whether there is a release to take back, and somebody who may."""
    runs.pipeline().withdrawal_question(runs.named_batch())


@task
@guarded
def withdraw() -> Record:
    """Confirm from the database that the batch was withdrawn; skip where its release stands."""
    if not _decided_withdrawal():
        raise AirflowSkipException("the batch stays released")
    return {"decided": "withdrawn"}


@task
@guarded
def conclude_withdrawal() -> None:
    """Fail where nobody has decided, whatever the other steps' states say."""
    _decided_withdrawal()


@task
@guarded
def watch_nights() -> Record:
    """Tell the leads, once for each outage, when no night was verified for too long."""
    from airflow.sdk import Variable

    from waitlist.exceptions import WaitlistError
    from waitlist.reports import nights

    now = _now()
    known = Variable.get(_WATCH, default="null", deserialize_json=False)
    fault: WaitlistError | None = None
    try:
        seen = runs.pipeline().nights(now=now)
    except WaitlistError as error:
        # What was told before is enough to tell an outage by.
        seen, fault = nights.Nights(), error
    watch = nights.Watch(now) if seen is None else nights.Watch.look(_parsed(known), seen, now)
    if watch is not None:
        notice = watch.notice(now)
        if notice is not None and notify.send(notice, notify.link_to_dag(_NIGHTLY)):
            watch = nights.Watch(watch.since, told=True)
        Variable.set(_WATCH, watch.to_record(), serialize_json=True)
    if fault is not None:
        raise fault
    return {} if watch is None else watch.to_record()


@task
@guarded
def remove_expired() -> Record:
    """Remove what batches hold of persons when their time is up."""
    context = get_current_context()
    params = context["params"]
    return runs.pipeline().remove_expired(
        runs.as_of(context), keep_days=params["keep_days"], only_tell=params["only_tell"], now=_now()
    )


@task(trigger_rule=TriggerRule.ONE_FAILED)
@guarded
def mark_failed(kind: str) -> None:
    """Close the batch as failed when a step has failed for good."""
    runs.pipeline().mark_failed(runs.request(kind), failed=runs.failed_steps(), now=_now())


@task
@guarded
def conclude(kind: str) -> Record:
    """Fail where the run has not done what it is for, whatever the other steps' states say."""
    state = runs.pipeline().conclude(runs.request(kind), now=_now())
    if state is None:
        raise AirflowSkipException("every unit is live: there was nothing left to rehearse")
    return {"state": state}


def _decided_withdrawal() -> bool:
    run_id = get_current_context()["dag_run"].run_id
    return runs.pipeline().decided_withdrawal(runs.named_batch(), asked_by=run_id)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _now() -> dt.datetime:
    """Return the moment for the audit columns; no rule reads it."""
    return dt.datetime.now(dt.UTC)
