"""The human steps: their questions, the persons that may answer, and the effect of an answer.

The task that receives an answer also carries it out: it checks again whether the person may decide, and releases,
rejects or withdraws. Airflow lets only the persons named by a question write its answer, and gives the answer to that
task only. Every user that may edit a DAG's runs can write XComs and task states. So no question is made from them, no
answer is read from them, and nothing is decided by them.

An answer that lacks its reason decides nothing: the same task removes it in Airflow, and waits for the next one until
the moment that the question names.

DAG files import this module, so it imports little.
"""

import datetime as dt
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, get_current_context
from airflow.sdk.exceptions import AirflowException, TaskAwaitingInput
from airflow.sdk.execution_time.hitl import HITLUser

from waitlist.exceptions import ReasonError, RefusedError, StagingError
from waitlist.settings import Account, Settings
from waitlist.swedish.steps import STEP_LABELS
from waitlist_airflow import runs
from waitlist_airflow.guard import guarded
from waitlist_airflow.notify import AnswerWaits
from waitlist_airflow.pu import POOL

if TYPE_CHECKING:
    from airflow.sdk import Context

    from waitlist.reports.approval import Question

APPROVE: Final = "Godkänn"
REJECT: Final = "Avslå"
WITHDRAW: Final = "Återta"
KEEP: Final = "Behåll"
REASON: Final = "motivering"
LONGEST_REASON: Final = 2_000
"""Characters."""

_NOBODY: Final = HITLUser(id="", name="")
_PAUSES: Final = (30.0, 30.0)
"""Seconds before an answer is carried out again, where staging did not respond."""

_LEAST: Final = dt.timedelta(seconds=1)

Record = dict[str, Any]


class _AskAgainError(AirflowException):
    """An answer lacks the reason that it takes; nothing was changed."""


@dataclass(frozen=True)
class Answer:
    """The answer of a person."""

    option: str
    person: str
    reason: str | None

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "Answer":
        """Read the event with which Airflow resumes a human step.

        Raises:
            RefusedError: the answer has no person, or is not one of the options.
        """
        person, options = event["responded_by_user"], event["chosen_options"]
        reason = (event["params_input"] or {}).get(REASON)
        if person is None or len(options) != 1:
            raise RefusedError("the answer has no person, or not exactly one option; nothing was changed")
        if not isinstance(reason, str | None) or len(reason or "") > LONGEST_REASON:
            raise RefusedError(f"the reason is not a text of at most {LONGEST_REASON} characters; nothing was changed")
        return cls(str(options[0]), str(person["id"]), reason or None)


def longest_run(besides: dt.timedelta) -> dt.timedelta:
    """Return how long a run may take that waits for an answer; ``besides`` is the time for its other work."""
    return dt.timedelta(hours=Settings.read_or_defaults().approval_hours) + besides


class _HumanStep(HITLOperator):
    """A step that asks a question, made from the database, and carries out the answer."""

    template_fields: Collection[str] = ()
    message: str = ""
    """The text, besides the question, of the message that says that an answer is awaited."""

    def execute(self, context: "Context") -> None:
        """Ask, and wait for the answer; end at once where the decision has been made already."""
        self._show_question(context, self._deadline())

    def resume(self, context: "Context", event: dict[str, Any], asked: int | None, until: str | None = None) -> Record:
        """Carry out the answer; ask again, until the same moment, where its reason is missing or too short.

        Args:
            context: the running task.
            event: the answer, or that nobody answered in time.
            asked: the ``Question.entry`` of the question that was shown; None where that was an older one.
            until: the moment until which an answer is awaited, ISO; None for a question of an earlier release.
        """
        if "error" in event:
            self.process_trigger_event_error(event)
        try:
            return guarded(self._take)(event, asked)
        except _AskAgainError as again:
            self.log.warning("%s; the question is asked again", again)
        self._show_question(
            context, self._deadline() if until is None else dt.datetime.fromisoformat(until), again=True
        )
        return {}

    def _deadline(self) -> dt.datetime:
        return _now() + (self.response_timeout or _LEAST)

    def _show_question(self, context: "Context", until: dt.datetime, *, again: bool = False) -> None:
        """Show the question, and end this process until its answer comes; do nothing where it has been decided."""
        from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        from waitlist.reports import approval, notices

        question = guarded(self.question)()
        if question is None:
            self.log.info("the decision has been made already: there is nothing to ask")
            return
        self.subject, self.message = question.subject, question.message
        if again:
            self.message = notices.answer_without_reason(question.message)
        self.body = question.body + approval.answer_by(until) + question.state
        # Where this task has asked before, Airflow keeps its first question, and removes the answer to it.
        kept: Any = SUPERVISOR_COMMS.send(
            CreateHITLDetailPayload(
                ti_id=context["ti"].id,
                options=self.options,
                subject=self.subject,
                body=self.body,
                params=self.serialized_params,
                assigned_users=self.assigned_users,
            )
        )
        for notifier in self.notifiers:
            notifier(context)
        same = (kept.subject, approval.without_moment(kept.body)) == (question.subject, question.body)
        told = {"asked": question.entry if same else None, "until": until.isoformat()}
        left = max(until - _now(), _LEAST)
        raise TaskAwaitingInput(method_name="resume", kwargs=told, timeout=left)

    def question(self) -> "Question | None":
        """Return what is asked; None where it has been decided."""
        raise NotImplementedError

    def take(self, answer: Answer, asked: int | None) -> Record:
        """Carry out the answer; ``asked`` is the audit entry that it is bound to, None where the question was older."""
        raise NotImplementedError

    def _take(self, event: Mapping[str, Any], asked: int | None) -> Record:
        answer = Answer.from_event(event)
        for pause in _PAUSES:
            try:
                return self.take(answer, asked)
            except ReasonError as error:
                raise _AskAgainError(str(error)) from None
            except RefusedError:
                raise
            except StagingError as error:
                self.log.warning("%s; once more in %.0f s", error, pause)
            time.sleep(pause)
        return self.take(answer, asked)


class Approval(_HumanStep):
    """Asks whether to release a wave, and releases or rejects it."""

    def __init__(self, *, kind: str, **kwargs: Any) -> None:  # noqa: ANN401 - as its base
        super().__init__(**kwargs)
        self.kind = kind

    def question(self) -> "Question | None":
        """Return what is asked; None where it has been decided."""
        pipeline, run = runs.opened(self.kind, Account.RELEASER)
        return pipeline.approval_question(run)

    def take(self, answer: Answer, asked: int | None) -> Record:
        """Release the wave, or close its batch as rejected."""
        pipeline, run = runs.opened(self.kind, Account.RELEASER)
        if answer.option == APPROVE:
            return pipeline.release(run, answer.person, answer.reason, asked=asked, now=_now())
        if answer.option == REJECT:
            return pipeline.reject(run, answer.person, answer.reason, now=_now())
        raise _unknown(answer)


class Withdrawal(_HumanStep):
    """Asks whether to withdraw a release, and withdraws or keeps it."""

    def question(self) -> "Question | None":
        """Return the question; None where the release is already withdrawn."""
        return runs.pipeline(Account.RELEASER).withdrawal_question(runs.named_batch(), loaded=runs.is_loaded())

    def take(self, answer: Answer, asked: int | None) -> Record:
        """Withdraw the release, or record that it is kept."""
        pipeline, batch_id = runs.pipeline(Account.RELEASER), runs.named_batch()
        if answer.option == WITHDRAW:
            loaded = runs.is_loaded()
            return pipeline.withdraw(batch_id, answer.person, answer.reason, asked=asked, now=_now(), loaded=loaded)
        if answer.option == KEEP:
            run_id = get_current_context()["dag_run"].run_id
            return pipeline.keep(batch_id, answer.person, answer.reason, asked_by=run_id, now=_now())
        raise _unknown(answer)


def ask_for_approval(kind: str) -> Approval:
    """Return the step that asks whether to release a wave."""
    asks_from = (
        "Krävs för Godkänn när en grind är underkänd: minst tio tecken, annars ställs frågan igen. "
        "Skriv inga patientuppgifter."
    )
    # The answer is carried out in the pool of those who ask: a release asks again where an answer is a day old.
    pool = {"pool": POOL} if Settings.read_or_defaults().rules.asks_persons else {}
    asked = {**pool, **_asking((APPROVE, REJECT), asks_from)}
    return Approval(task_id="approve", task_display_name=STEP_LABELS["approve"], kind=kind, **asked)


def ask_for_withdrawal() -> Withdrawal:
    """Return the step that asks whether to withdraw a release."""
    asks_from = (
        "Krävs för Återta: skriv varför, minst tio tecken, annars ställs frågan igen. Skriv inga patientuppgifter."
    )
    asked = _asking((WITHDRAW, KEEP), asks_from)
    return Withdrawal(task_id="decide", task_display_name=STEP_LABELS["decide"], **asked)


def _asking(options: tuple[str, str], asks_from: str) -> Record:
    settings = Settings.read_or_defaults()
    # Null too: else Airflow's form marks it as required, and locks every answer once a reason is written and erased.
    reason = Param("", type=["null", "string"], maxLength=LONGEST_REASON, title="Motivering", description=asks_from)
    return {
        "subject": "",
        "options": list(options),
        "params": {REASON: reason},
        # For Airflow an empty list means everybody.
        "assigned_users": [HITLUser(id=user, name=user) for user in settings.approver_ids] or [_NOBODY],
        "response_timeout": dt.timedelta(hours=settings.approval_hours),
        "notifiers": AnswerWaits(),
        "execution_timeout": None,
        "retries": 0,
    }


def _unknown(answer: Answer) -> RefusedError:
    return RefusedError(f"{answer.option!r} is not an answer to this question; nothing was changed")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
