"""Reads a run's as-of date and request from Airflow's context.

DAG files import this module, so its top imports little: the logic is imported when a task runs.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import TaskInstanceState, get_current_context

from waitlist.exceptions import SettingsError
from waitlist.settings import Account, Settings

if TYPE_CHECKING:
    from waitlist.steps.pipeline import Pipeline
    from waitlist.steps.run import Request, Run

CONCLUDE: Final = "conclude"
"""The step that ends every run."""
_closing: Final[ContextVar[ExitStack | None]] = ContextVar("closing", default=None)


def as_of(context: Mapping[str, Any]) -> dt.date:
    """Return the as-of date: the param, else the end of the data interval, else ``run_after``.

    A run that was triggered by hand may have no logical date; its context then lacks the interval.

    Raises:
        SettingsError: the param is not an ISO date, or the run's moment has no date in Stockholm.
    """
    asked = context["params"].get("as_of")
    if asked:
        try:
            return dt.date.fromisoformat(asked)
        except ValueError:
            raise SettingsError("param as_of is not a date: write it as 2024-10-01, or leave it empty") from None
    from waitlist.columns.dates import day_in_stockholm

    moment: dt.datetime = context.get("data_interval_end") or context["dag_run"].run_after
    try:
        return day_in_stockholm(moment)
    except OverflowError:
        raise SettingsError("the run's logical date is too early or too late to be a date in Stockholm") from None


def request(kind: str, context: Mapping[str, Any] | None = None) -> "Request":
    """Return the request of the running task's run, or of the given context."""
    from waitlist.steps.run import Request

    context = context or get_current_context()
    dag_run = context["dag_run"]
    params = context["params"]
    reused = params.get("reuse_snapshot") or None
    return Request(
        dag_id=dag_run.dag_id,
        run_id=dag_run.run_id,
        kind=kind,
        # A snapshot has a date of its own.
        as_of=None if reused and not params.get("as_of") else as_of(context),
        waves=(params["wave"],) if "wave" in params else tuple(params.get("waves") or ()),
        units=tuple(params.get("units") or ()),
        reuse_snapshot=reused,
    )


def named_batch(context: Mapping[str, Any] | None = None) -> str:
    """Return the batch that the run was triggered for."""
    return str((context or get_current_context())["params"]["batch_id"])


def is_loaded(context: Mapping[str, Any] | None = None) -> bool:
    """Return whether the run was triggered with the word that a receiver has loaded the batch."""
    return bool((context or get_current_context())["params"].get("loaded"))


def failed_steps(context: Mapping[str, Any] | None = None) -> list[str]:
    """Return the tasks that have failed for good in the run, a mapped task with its number.

    ``conclude`` fails with any other task, so it is included only where no other task has failed.
    """
    context = context or get_current_context()
    dag_run = context["dag_run"]
    states = context["ti"].get_task_states(dag_id=dag_run.dag_id, run_ids=[dag_run.run_id])
    failed = {task for task, state in states[dag_run.run_id].items() if state == TaskInstanceState.FAILED}
    return sorted(failed - {CONCLUDE} or failed)


@contextmanager
def connections_kept() -> Iterator[None]:
    """Let pipelines that are made inside keep their connections to the staging database, and close them at the end.

    A step asks the database 5 to 20 times, and each new connection costs some 10 ms of processor time.
    """
    with ExitStack() as closing:
        token = _closing.set(closing)
        try:
            yield
        finally:
            _closing.reset(token)


def pipeline(account: Account = Account.LOADER) -> "Pipeline":
    """Return the pipeline over this deployment's settings and connections, with an account of the staging database."""
    from waitlist.steps.pipeline import Pipeline
    from waitlist_airflow.connections import audit_signer, person_service, place, pmo_connection_string, staging_url

    settings, closing = Settings.read(), _closing.get()
    made = Pipeline(
        settings,
        snapshots=place(settings.snapshot_url, settings),
        pmo=pmo_connection_string,
        staging=lambda: staging_url(settings.accounts.of(account)),
        receipts=place(settings.receipts_url, settings) if settings.receipts_url else None,
        hand_offs=place(settings.handoff_url, settings) if settings.handoff_url else None,
        person_service=person_service,
        signer=audit_signer(settings),
        keeps_connections=closing is not None,
    )
    if closing is not None:
        closing.callback(made.close)
    return made


def opened(kind: str, account: Account = Account.LOADER) -> "tuple[Pipeline, Run]":
    """Return the pipeline as ``pipeline`` does, and the running task's run as its batch was opened.

    Raises:
        RefusedError: the run has opened no batch.
    """
    from waitlist.steps.run import batch_id_of

    dag_run, steps = get_current_context()["dag_run"], pipeline(account)
    return steps, steps.opened(batch_id_of(kind, dag_run.dag_id, dag_run.run_id))
