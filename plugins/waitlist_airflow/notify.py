"""Telling people: notifiers that the DAGs hang on failures and on questions, and how a message goes out.

Where it goes is the Airflow connection ``waitlist_messages``: type ``smtp`` is mail (its extras name ``from_email`` and
``to``), type ``http`` posts JSON to a webhook. Without the connection nobody is told, and that is no error. A
message that cannot be sent never fails a run. Light at the top, since DAG files read it.
"""

import html
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from airflow.sdk import BaseHook, BaseNotifier, Connection
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from waitlist.notices import Notice

CONNECTION: Final = "waitlist_messages"

_SECONDS: Final = 10
_RETRIES: Final = 1
_FALLBACK_URL: Final = "http://localhost:8080"

log = logging.getLogger(__name__)


def send(notice: "Notice", link: str) -> None:
    """Send a message with a link; whatever hinders it is logged, without the words of a server."""
    try:
        connection = BaseHook.get_connection(CONNECTION)
        way = _WAYS.get(connection.conn_type or "")
        if way is None:
            log.warning("connection %r is no %s: nobody is told", CONNECTION, " or ".join(sorted(_WAYS)))
            return
        way(connection, notice, link)
        log.info("told by %s: %s", connection.conn_type, notice.subject)
    except AirflowNotFoundException:
        log.info("there is no connection %r: nobody is told", CONNECTION)
    except Exception as error:  # noqa: BLE001 - a message must never fail a run, and its error may quote a password
        log.warning("a message could not be sent by connection %r: %s", CONNECTION, type(error).__name__)


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
    """For ``on_failure_callback`` of a DAG: tells once that a run has failed, and in which step."""

    def notify(self, context: Mapping[str, Any]) -> None:
        """Tell it."""
        from waitlist import notices

        failed = context.get("ti")
        dag_id, run_id = context["dag"].dag_id, context["run_id"]
        send(notices.run_failed(dag_id, failed.task_id if failed else None), link_to_run(dag_id, run_id))


class AnswerWaits(_Message):
    """For ``notifiers`` of a human step: tells that its question waits for an answer.

    Args:
        told: what there is to know besides the question: counts, as a template.
    """

    template_fields = ("told",)

    def __init__(self, told: str = "") -> None:
        super().__init__()
        self.told = told

    def notify(self, context: Mapping[str, Any]) -> None:
        """Tell it."""
        from waitlist.notices import Notice

        step = context["task"]
        link = step.generate_link_to_ui(task_instance=context["ti"], base_url=_base_url())
        send(Notice(f"Svar väntas: {step.subject}", self.told), link)


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
