"""The tasks of the DAGs: each gets the pipeline, runs one step, and returns numbers and counts.

Heavy imports are inside the tasks, so that the DAG files parse fast. A task's result is stored in Airflow's database:
numbers and counts, never a row of a post. Every user that may edit a DAG's runs can change it there, and the result of
a removed mapped task stays there. So no step takes its batch from a result: the batch follows from the DAG and its run.
No step takes its files from a result either: a mapped task gets the number of a partition, and reads the partition from
the batch's plan.
"""

import datetime as dt
import json
from typing import Any

from airflow.sdk import TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from waitlist.settings import Account
from waitlist.swedish.steps import STEP_LABELS
from waitlist_airflow import notify, runs
from waitlist_airflow.guard import guarded

Record = dict[str, Any]

_NIGHTLY = "waitlist_dry_run"
_WATCH = "waitlist_watch"
_RECEIPTS = "waitlist_receipts"
_NOT_HANDED_OFF = "WAITLIST_HANDOFF_URL is not set: nothing is handed off"


@task(task_display_name=STEP_LABELS["open_batch"])
@guarded
def open_batch(kind: str) -> None:
    """Fix the run's as-of date, units and rules, and open its batch; skip the run after the last go-live."""
    pipeline, request, now = runs.pipeline(), runs.request(kind), _now()
    if kind == "dry_run" and pipeline.is_past_last_go_live(request, now=now):
        raise AirflowSkipException("every unit is live: a dry run has no purpose any more")
    pipeline.open_batch(request, now=now)


@task(task_display_name=STEP_LABELS["plan_extract"])
@guarded
def plan_extract(kind: str) -> list[int]:
    """Divide PMO's posts into partitions."""
    pipeline, run = runs.opened(kind)
    return pipeline.plan_extract(run)


@task(task_display_name=STEP_LABELS["extract"])
@guarded
def extract(kind: str, number: int) -> Record:
    """Read one partition into the snapshot."""
    pipeline, run = runs.opened(kind)
    return pipeline.extract(run, number)


@task(task_display_name=STEP_LABELS["check_contract"])
@guarded
def check_contract(kind: str) -> Record:
    """Stop the run when the extract breaks its contract."""
    pipeline, run = runs.opened(kind)
    return pipeline.check_contract(run)


@task(task_display_name=STEP_LABELS["find_duplicates"])
@guarded
def find_duplicates(kind: str) -> Record:
    """Find posts that have a duplicate in the whole batch."""
    pipeline, run = runs.opened(kind)
    return pipeline.find_duplicates(run)


@task(task_display_name=STEP_LABELS["check_persons"])
@guarded
def check_persons(kind: str, number: int) -> Record:
    """Ask the person service about everybody of one partition who waits."""
    pipeline, run = runs.opened(kind)
    return pipeline.check_persons(run, number, now=_now())


@task(task_display_name=STEP_LABELS["assess"])
@guarded
def assess(kind: str, number: int) -> Record:
    """Assess one partition and replace it in staging."""
    pipeline, run = runs.opened(kind)
    return pipeline.assess(run, number, now=_now())


@task(task_display_name=STEP_LABELS["find_changes"])
@guarded
def find_changes(kind: str) -> Record:
    """Find the released posts that have since been changed or closed in PMO."""
    pipeline, run = runs.opened(kind)
    return pipeline.find_changes(run)


@task(task_display_name=STEP_LABELS["check_snapshot"])
@guarded
def check_snapshot(kind: str) -> Record:
    """Run the suites on identity, dates and categories, and on what the person service answered."""
    pipeline, run = runs.opened(kind)
    return pipeline.check_snapshot(run)


@task(task_display_name=STEP_LABELS["reconcile"])
@guarded
def reconcile(kind: str) -> Record:
    """Prove that source, snapshot and staging add up, and run the suite on the staged booking requests."""
    pipeline, run = runs.opened(kind)
    return pipeline.reconcile(run, now=_now())


@task(task_display_name=STEP_LABELS["verify"])
@guarded
def verify(kind: str) -> None:
    """Make the batch visible to readers: it adds up, and every suite has been run."""
    pipeline, run = runs.opened(kind)
    pipeline.verify(run, now=_now())


@task(task_display_name=STEP_LABELS["report"])
@guarded
def report(kind: str) -> None:
    """Log the readiness of each unit, and send it as metrics."""
    from waitlist_airflow import metrics

    pipeline, run = runs.opened(kind)
    pipeline.report(run, metrics.publish)


@task(task_display_name=STEP_LABELS["watch_gates"])
@guarded
def watch_gates(kind: str) -> Record:
    """Measure the gates of a dry run, and send the leads a message when one has turned red."""
    dag_run = get_current_context()["dag_run"]
    link = notify.link_to_run(dag_run.dag_id, dag_run.run_id)
    pipeline, run = runs.opened(kind)
    return pipeline.watch_gates(run, lambda notice: notify.send(notice, link))


@task(task_display_name=STEP_LABELS["note_outcomes"])
@guarded
def note_outcomes(kind: str) -> Record:
    """Write what the night has seen of posts that a wave left behind."""
    pipeline, run = runs.opened(kind)
    return pipeline.note_outcomes(run, now=_now())


@task(task_display_name=STEP_LABELS["request_approval"])
@guarded
def request_approval(kind: str) -> Record:
    """Measure the gates, fix the batch's rows, and ask for approval."""
    pipeline, run = runs.opened(kind)
    return pipeline.request_approval(run, now=_now())


@task(task_display_name=STEP_LABELS["release"])
@guarded
def release(kind: str) -> Record:
    """Confirm from the database that the batch was released; skip what follows where it was rejected."""
    from waitlist.staging import BatchState

    pipeline, run = runs.opened(kind)
    state = pipeline.decided(run.batch_id)
    if state is not BatchState.RELEASED:
        raise AirflowSkipException(f"batch {run.batch_id} is {state}: nothing of it is released")
    return {"decided": state.value}


@task(task_display_name=STEP_LABELS["verify_released"])
@guarded
def verify_released(kind: str) -> Record:
    """Prove that the view shows exactly what was approved."""
    pipeline, run = runs.opened(kind)
    return pipeline.verify_released(run)


@task(task_display_name=STEP_LABELS["hand_off"])
@guarded
def hand_off(kind: str) -> Record:
    """Write the released batch for its receiver; skip where the settings name no place for that."""
    pipeline, run = runs.opened(kind, Account.RELEASER)
    handed = pipeline.hand_off(run, now=_now())
    if handed is None:
        raise AirflowSkipException(_NOT_HANDED_OFF)
    return handed


@task(task_display_name=STEP_LABELS["verify_releases"])
@guarded
def verify_releases() -> Record:
    """Sign the ends of the audit chains, and prove that the view still shows exactly what was approved."""
    return runs.pipeline(Account.RELEASER).verify_releases(now=_now())


@task(task_display_name=STEP_LABELS["describe_release"])
@guarded
def describe_release() -> None:
    """Check that there is a release to withdraw, and that the settings name an approver."""
    runs.pipeline(Account.RELEASER).withdrawal_question(runs.named_batch(), loaded=runs.is_loaded())


@task(task_display_name=STEP_LABELS["withdraw"])
@guarded
def withdraw() -> Record:
    """Confirm from the database that the batch was withdrawn; skip where it was kept."""
    if not _decided_withdrawal():
        raise AirflowSkipException("the batch stays released")
    return {"decided": runs.pipeline().store.batch(runs.named_batch()).state.value}


@task(task_display_name=STEP_LABELS["take_back_hand_off"])
@guarded
def take_back_hand_off() -> Record:
    """Remove the files of a withdrawn batch, so that no receiver loads them."""
    taken = runs.pipeline(Account.RELEASER).take_back_hand_off(runs.named_batch())
    if taken is None:
        raise AirflowSkipException(_NOT_HANDED_OFF)
    return taken


@task(task_display_name=STEP_LABELS["conclude"])
@guarded
def conclude_withdrawal() -> None:
    """Fail where nobody has decided; the states of the other steps do not count."""
    _decided_withdrawal()


@task(task_display_name=STEP_LABELS["watch_nights"])
@guarded
def watch_nights() -> Record:
    """Send the leads one message for each outage, when no night has been verified for too long."""
    from airflow.sdk import Variable

    from waitlist.exceptions import WaitlistError
    from waitlist.reports import nights

    now = _now()
    known = Variable.get(_WATCH, default="null", deserialize_json=False)
    fault: WaitlistError | None = None
    try:
        seen = runs.pipeline().nights(now=now)
    except WaitlistError as error:
        # The record of the check before is enough to detect an outage.
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


@task(task_display_name=STEP_LABELS["take_receipts"])
@guarded
def take_receipts() -> Record:
    """Take the receiver's words from files and from the inbox; send the leads a message about what is faulty."""
    link = notify.link_to_dag(_RECEIPTS)
    return runs.pipeline(Account.RECEIPTS).take_receipts(lambda notice: notify.send(notice, link), now=_now())


@task(task_display_name=STEP_LABELS["watch_receipts"])
@guarded
def watch_receipts() -> Record:
    """Store the day's counts, and send the leads a message about posts that are unanswered, or not booked and late."""
    link = notify.link_to_dag(_RECEIPTS)
    return runs.pipeline(Account.RECEIPTS).watch_receipts(lambda notice: notify.send(notice, link), now=_now())


@task(task_display_name=STEP_LABELS["remove_expired"])
@guarded
def remove_expired() -> Record:
    """Remove the personal data of batches whose retention period is over."""
    context = get_current_context()
    params = context["params"]
    return runs.pipeline(Account.RELEASER).remove_expired(
        runs.as_of(context), keep_days=params["keep_days"], only_tell=params["only_tell"], now=_now()
    )


@task(trigger_rule=TriggerRule.ONE_FAILED, task_display_name=STEP_LABELS["mark_failed"])
@guarded
def mark_failed(kind: str) -> None:
    """Close the batch as failed when a step has failed for good."""
    runs.pipeline().mark_failed(runs.request(kind), failed=runs.failed_steps(), now=_now())


@task(task_display_name=STEP_LABELS["conclude"])
@guarded
def conclude(kind: str) -> Record:
    """Fail where the run has not done its work; the states of the other steps do not count."""
    state = runs.pipeline().conclude(runs.request(kind), now=_now())
    if state is None:
        raise AirflowSkipException("every unit is live: a dry run had no purpose any more")
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
