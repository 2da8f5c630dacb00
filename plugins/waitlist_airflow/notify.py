"""Telling people: notifiers that the DAGs hang on failures and on questions, and how a message goes out.

Where it goes is the Airflow connection ``waitlist_messages``: type ``smtp`` is mail (its extras name ``from_email`` and
``to``), type ``http`` posts JSON to a webhook. Without the connection nobody is told, and that is no error. A
message that cannot be sent never fails a run. Light at the top, since DAG files read it.
"""

import datetime as dt
import html
import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from airflow.sdk import BaseHook, BaseNotifier, Connection
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowNotFoundException

from waitlist_airflow import runs

if TYPE_CHECKING:
    from waitlist.reports.notices import Notice

CONNECTION: Final = "waitlist_messages"

_SECONDS: Final = 10
_RETRIES: Final = 1
_PART: Final = re.compile(r"_\d+$")
_FALLBACK_URL: Final = "http://localhost:8080"

log = logging.getLogger(__name__)


def send(notice: "Notice", link: str) -> bool:
    """Send a message with a link and tell whether it went out; what hinders it is logged, without a server's words."""
    try:
        connection = BaseHook.get_connection(CONNECTION)
        way = _WAYS.get(connection.conn_type or "")
        if way is None:
            log.warning("connection %r is no %s: nobody is told", CONNECTION, " or ".join(sorted(_WAYS)))
            return False
        way(connection, notice, link)
        log.info("told by %s: %s", connection.conn_type, notice.subject)
    except AirflowNotFoundException:
        log.info("there is no connection %r: nobody is told", CONNECTION)
    except Exception as error:  # noqa: BLE001 - a message must never fail a run, and its error may quote a password
        log.warning("a message could not be sent by connection %r: %s", CONNECTION, type(error).__name__)
    else:
        return True
    return False


def link_to_dag(dag_id: str) -> str:
    """Return where Airflow shows a DAG."""
    return f"{_base_url()}/dags/{quote(dag_id, safe='')}"


def link_to_run(dag_id: str, run_id: str) -> str:
    """Return where Airflow shows a run."""
    return f"{_base_url()}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


class _Message(BaseNotifier):
    """A notifier that no failure of its own reaches."""

    def __call__(self, *args: Any) -> None:  # noqa: ANN401 - as its base
        """Send the message; called by Airflow."""
        try:
            super().__call__(*args)
        except Exception as error:  # noqa: BLE001 - as in ``send``
            log.warning("%s could not be told: %s", type(self).__name__, type(error).__name__)

    def render_template_fields(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as its base
        """Render what there is to render; where nothing is, the DAG need not be one that can."""
        if self.template_fields:
            super().render_template_fields(*args, **kwargs)


class RunFailed(_Message):
    """For ``on_failure_callback`` of a DAG: tells once that a run has failed, and in which steps.

    Args:
        kind: of the batch that the run opens, where the message says where that batch stands.
    """

    def __init__(self, kind: str | None = None) -> None:
        super().__init__()
        self._kind = kind

    def notify(self, context: Mapping[str, Any]) -> None:
        """Tell it."""
        from waitlist.reports import notices

        dag_id, run_id = context["dag"].dag_id, context["run_id"]
        notice = notices.run_failed(dag_id, _failed_steps(context), self._standing(context))
        send(notice, link_to_run(dag_id, run_id))

    def _standing(self, context: Mapping[str, Any]) -> str | None:
        if self._kind is None:
            return None
        try:
            return runs.pipeline().state_text(runs.request(self._kind, context).batch_id)
        except Exception as error:  # noqa: BLE001 - a failed run is told whatever else does not work
            log.warning("where the batch stands could not be read: %s", type(error).__name__)
            return None


class RunEnded(_Message):
    """For ``on_success_callback`` of a DAG that opens batches: tells what was decided, by the database.

    Where Airflow shows a success although the run has not done what it is for, somebody has marked steps as done: that
    is told too.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    def notify(self, context: Mapping[str, Any]) -> None:
        """Tell it."""
        notice = runs.pipeline().ended(runs.request(self._kind, context), now=_now())
        if notice is not None:
            send(notice, link_to_run(context["dag"].dag_id, context["run_id"]))


class WithdrawalEnded(_Message):
    """The same for the DAG that takes a release back."""

    def notify(self, context: Mapping[str, Any]) -> None:
        """Tell it."""
        dag_id, run_id = context["dag"].dag_id, context["run_id"]
        notice = runs.pipeline().ended_withdrawal(dag_id, runs.named_batch(context), asked_by=run_id)
        send(notice, link_to_run(dag_id, run_id))


class AnswerWaits(_Message):
    """For ``notifiers`` of a human step: sends its ``message`` when its question awaits an answer."""

    def notify(self, context: Mapping[str, Any]) -> None:
        """Tell it."""
        from waitlist.reports.notices import Notice

        step = context["task"]
        link = step.generate_link_to_ui(task_instance=context["ti"], base_url=_base_url())
        send(Notice(f"Svar väntas: {step.subject}", step.message), link)


def _failed_steps(context: Mapping[str, Any]) -> list[str]:
    """Return the steps that failed, the parts of a mapped one as the step; as much as is known."""
    last = context.get("ti")
    if last is None:
        return []
    try:
        # Somebody may have cleared them by now.
        return sorted({_PART.sub("", step) for step in runs.failed_steps(context)}) or [last.task_id]
    except Exception as error:  # noqa: BLE001 - the last of them is better than no message
        log.warning("which steps failed could not be asked: %s", type(error).__name__)
        # ``airflow dags test`` has nobody to ask. ``conclude`` fails with any other, so alone it says nothing.
        return [] if last.task_id == runs.CONCLUDE else [last.task_id]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _base_url() -> str:
    return str(conf.get("api", "base_url", fallback=None) or _FALLBACK_URL).rstrip("/")


def _by_mail(connection: Connection, notice: "Notice", link: str) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    class Hook(SmtpHook):
        """Gives up a server that is silent after seconds instead of minutes, unless the connection says otherwise."""

        timeout = int(connection.extra_dejson.get("timeout", _SECONDS))
        smtp_retry_limit = int(connection.extra_dejson.get("retry_limit", _RETRIES))

    paragraphs = "<br>\n".join(html.escape(line) for line in notice.text.splitlines())
    content = f'<p>{paragraphs}</p>\n<p><a href="{html.escape(link)}">{html.escape(link)}</a></p>\n'
    with Hook(smtp_conn_id=CONNECTION) as hook:
        hook.send_email_smtp(to=connection.extra_dejson["to"], subject=notice.subject, html_content=content)


def _by_webhook(connection: Connection, notice: "Notice", link: str) -> None:
    import httpx

    headers = {"Authorization": f"Bearer {connection.password}"} if connection.password else {}
    # Chat systems show "text"; others take the parts.
    whole = f"{notice.subject}\n{notice.text}\n{link}"
    message = {"text": whole, "subject": notice.subject, "link": link}
    httpx.post(_url(connection), json=message, headers=headers, timeout=_SECONDS).raise_for_status()


def _url(connection: Connection) -> str:
    """Return the webhook's address: the host with its path, with the scheme where it lacks one."""
    host = connection.host or ""
    if "://" in host:
        return host
    port = f":{connection.port}" if connection.port else ""
    return f"{connection.schema or 'https'}://{host}{port}"


_WAYS: Final[Mapping[str, Callable[[Connection, "Notice", str], None]]] = {"smtp": _by_mail, "http": _by_webhook}
