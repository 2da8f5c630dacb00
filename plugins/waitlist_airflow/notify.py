"""Sends messages to people: notifiers for the DAGs' failures, ends and questions.

The Airflow connection ``waitlist_messages`` is the destination: type ``smtp`` is mail (its extras have ``from_email``
and ``to``), type ``http`` posts JSON to a webhook. Without the connection no message is sent, which is not an error.
A message that cannot be sent never fails a run. DAG files import this module, so its top imports little.
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

from waitlist.settings import Peer, Settings
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
    """Send a message with a link and tell whether it was sent; a failure is logged without the server's text."""
    from waitlist.tls import WITHOUT_TLS

    try:
        connection = BaseHook.get_connection(CONNECTION)
        way = _WAYS.get(connection.conn_type or "")
        if way is None:
            log.warning("connection %r is not of type %s: no message is sent", CONNECTION, " or ".join(sorted(_WAYS)))
            return False
        if _is_plain(connection) and Peer.MESSAGES not in Settings.read_or_defaults().connections.plain_peers:
            log.warning(
                "connection %r would send without TLS, or to a server whose certificate is not checked: no message is "
                "sent. Change its extras, or set %s=messages",
                CONNECTION,
                WITHOUT_TLS,
            )
            return False
        way(connection, notice, link)
        log.info("message sent by %s: %s", connection.conn_type, notice.subject)
    except AirflowNotFoundException:
        log.info("there is no connection %r: no message is sent", CONNECTION)
    except Exception as error:  # noqa: BLE001 - a message must never fail a run, and its error may quote a password
        log.warning("a message could not be sent by connection %r: %s", CONNECTION, type(error).__name__)
    else:
        return True
    return False


def link_to_dag(dag_id: str) -> str:
    """Return the address of a DAG's page in Airflow."""
    return f"{_base_url()}/dags/{quote(dag_id, safe='')}"


def link_to_run(dag_id: str, run_id: str) -> str:
    """Return the address of a run's page in Airflow."""
    return f"{_base_url()}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


class _Message(BaseNotifier):
    """A notifier whose own failures are logged and never raised."""

    def __call__(self, *args: Any) -> None:  # noqa: ANN401 - as its base
        """Send the message; called by Airflow."""
        try:
            super().__call__(*args)
        except Exception as error:  # noqa: BLE001 - as in ``send``
            log.warning("%s could not be sent: %s", type(self).__name__, type(error).__name__)

    def render_template_fields(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as its base
        """Render the template fields, if there are any; without fields the DAG need not support rendering."""
        if self.template_fields:
            super().render_template_fields(*args, **kwargs)


class RunFailed(_Message):
    """For ``on_failure_callback`` of a DAG: reports once that a run has failed, and in which steps.

    Args:
        kind: the kind of the run's batch; with it the message has the batch's state.
    """

    def __init__(self, kind: str | None = None) -> None:
        super().__init__()
        self._kind = kind

    def notify(self, context: Mapping[str, Any]) -> None:
        """Tell it."""
        from waitlist.reports import notices

        dag_id, run_id = context["dag"].dag_id, context["run_id"]
        notice = notices.run_failed(dag_id, _failed_steps(context), self._state_text(context))
        send(notice, link_to_run(dag_id, run_id))

    def _state_text(self, context: Mapping[str, Any]) -> str | None:
        if self._kind is None:
            return None
        try:
            return runs.pipeline().state_text(runs.request(self._kind, context).batch_id)
        except Exception as error:  # noqa: BLE001 - a failed run is reported even if this does not work
            log.warning("the state of the batch could not be read: %s", type(error).__name__)
            return None


class RunEnded(_Message):
    """For ``on_success_callback`` of a DAG that opens batches: reports the decision that the database has.

    Where Airflow shows a success although the run has not done its work, somebody has marked steps as done. That is
    reported too.
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
    """The same for the DAG that withdraws a release."""

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
    """Return the steps that failed, as far as they are known; the parts of a mapped step count as one step."""
    last = context.get("ti")
    if last is None:
        return []
    try:
        # Somebody may have cleared the failed tasks meanwhile.
        return sorted({_PART.sub("", step) for step in runs.failed_steps(context)}) or [last.task_id]
    except Exception as error:  # noqa: BLE001 - a message with only the last of them is better than none
        log.warning("the failed steps could not be read: %s", type(error).__name__)
        # ``airflow dags test`` has no API to ask. ``conclude`` fails with any other step, so alone it says nothing.
        return [] if last.task_id == runs.CONCLUDE else [last.task_id]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _base_url() -> str:
    return str(conf.get("api", "base_url", fallback=None) or _FALLBACK_URL).rstrip("/")


def _is_plain(connection: Connection) -> bool:
    """Return whether a message would cross a network without TLS, or to a server whose certificate is not checked."""
    from waitlist.tls import is_local, is_plain_address

    if connection.conn_type == "http":
        return is_plain_address(_url(connection))
    told = connection.extra_dejson
    plain = bool(told.get("disable_ssl")) and bool(told.get("disable_tls"))
    return not is_local(connection.host) and (plain or told.get("ssl_context") == "none")


def _by_mail(connection: Connection, notice: "Notice", link: str) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    class Hook(SmtpHook):
        """Waits for a silent server for seconds instead of minutes, unless the connection has another timeout."""

        timeout = int(connection.extra_dejson.get("timeout", _SECONDS))
        smtp_retry_limit = int(connection.extra_dejson.get("retry_limit", _RETRIES))

    paragraphs = "<br>\n".join(html.escape(line) for line in notice.text.splitlines())
    content = f'<p>{paragraphs}</p>\n<p><a href="{html.escape(link)}">{html.escape(link)}</a></p>\n'
    with Hook(smtp_conn_id=CONNECTION) as hook:
        hook.send_email_smtp(to=connection.extra_dejson["to"], subject=notice.subject, html_content=content)


def _by_webhook(connection: Connection, notice: "Notice", link: str) -> None:
    import httpx

    headers = {"Authorization": f"Bearer {connection.password}"} if connection.password else {}
    # Chat systems show "text"; other systems read the parts.
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
