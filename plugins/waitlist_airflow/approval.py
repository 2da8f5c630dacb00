"""The human step: who may answer, what the form asks, and what an answer means. Light, since DAG files read it."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.execution_time.hitl import HITLUser

from waitlist.settings import Settings
from waitlist_airflow.notify import AnswerWaits

APPROVE: Final = "Godkänn"
REJECT: Final = "Avslå"
WITHDRAW: Final = "Återta"
KEEP: Final = "Behåll"
REASON: Final = "motivering"

_NOBODY: Final = HITLUser(id="", name="")


@dataclass(frozen=True)
class Answer:
    """What a human said."""

    agreed: bool
    person: str
    reason: str | None

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> "Answer":
        """Read what the human step handed on."""
        return cls(
            agreed=result["chosen_options"] in ([APPROVE], [WITHDRAW]),
            person=str(result["responded_by_user"]["id"]),
            reason=result["params_input"].get(REASON) or None,
        )


def ask(
    task_id: str, *, subject: str, body: str, options: tuple[str, ...], asks_from: str, told: str = ""
) -> HITLOperator:
    """Make the human step.

    Args:
        task_id: its name.
        subject: the question, a template.
        body: what there is to know, a template of Markdown.
        options: the answers.
        asks_from: what the reason is asked for, in Swedish.
        told: what the message that an answer is waited for says besides the question, a template.
    """
    settings = Settings.read_or_defaults()
    return HITLOperator(
        task_id=task_id,
        subject=subject,
        body=body,
        options=list(options),
        params={REASON: Param("", type="string", maxLength=2000, title="Motivering", description_md=asks_from)},
        # Airflow takes an empty list for everybody.
        assigned_users=[HITLUser(id=user, name=user) for user in settings.approver_ids] or [_NOBODY],
        response_timeout=dt.timedelta(hours=settings.approval_hours),
        notifiers=AnswerWaits(told),
        execution_timeout=None,
        retries=0,
    )
