"""Messages arrive at a real mail server and a real webhook, and a message that cannot be sent fails nothing."""

import importlib
import json
import logging
import socket
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tests.support.airflow_home import AirflowHome, sqlite_connection
from tests.support.mail import MailServer, Webhook, serving, text_of
from tests.support.waits import outcome

from waitlist.reports.notices import Notice

NOTICE = Notice("Våg 2 väntar på godkännande", "6 789 av 12 345 poster\n- Åäö <b>&")
LINK = "http://airflow.example.invalid/dags/waitlist_dry_run/runs/scheduled__2024-10-01T02%3A00%3A00%2B00%3A00"
RUN_ID = "scheduled__2024-10-01T02:00:00+00:00"


@pytest.fixture(scope="module")
def notify(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        patch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.example.invalid/")
        yield importlib.import_module("waitlist_airflow.notify")


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "waitlist_airflow")
    return caplog


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    with serving(MailServer()) as server:
        monkeypatch.setenv("AIRFLOW_CONN_WAITLIST_MESSAGES", server.connection())
        yield server


def connect(monkeypatch: pytest.MonkeyPatch, **connection: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAITLIST_MESSAGES", json.dumps(connection))


# How a message is sent


@pytest.mark.parametrize("conn_type", ["smtp", "http"])
def test_a_send_to_a_silent_server_times_out(
    notify: ModuleType, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture, conn_type: str
) -> None:
    monkeypatch.setattr(notify, "_SECONDS", 1)
    extra = {"from_email": "a@example.invalid", "to": "b@example.invalid", "disable_ssl": True, "disable_tls": True}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        connect(monkeypatch, conn_type=conn_type, host="127.0.0.1", port=port, schema="http", extra=extra)
        assert outcome(lambda: notify.send(NOTICE, LINK)) is None
    assert "a message could not be sent" in log.text


def test_mail_arrives_with_subject_text_and_link(notify: ModuleType, mail: MailServer) -> None:
    notify.send(NOTICE, LINK)
    (message,) = mail.messages
    assert message["Subject"] == NOTICE.subject
    assert (message["From"], message["To"]) == ("vantelista@example.invalid", "ledning@example.invalid")
    text = text_of(message)
    assert "6 789 av 12 345 poster<br>" in text
    assert "Åäö &lt;b&gt;&amp;" in text
    assert f'<a href="{LINK}">' in text


@pytest.mark.parametrize("to", [["a@example.invalid", "b@example.invalid"], "a@example.invalid, b@example.invalid"])
def test_mail_goes_to_everyone_who_is_named(
    notify: ModuleType, mail: MailServer, monkeypatch: pytest.MonkeyPatch, to: Any
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAITLIST_MESSAGES", mail.connection(to=to))
    notify.send(NOTICE, LINK)
    assert mail.recipients == [["a@example.invalid", "b@example.invalid"]]


def test_a_webhook_gets_the_message_as_json(notify: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Webhook()) as hook:
        connect(monkeypatch, conn_type="http", host=hook.address, password="a-token")
        notify.send(NOTICE, LINK)
    ((path, headers, body),) = hook.posts
    assert path == "/hooks/vantelista"
    assert headers["Authorization"] == "Bearer a-token"
    assert body == {
        "text": f"{NOTICE.subject}\n{NOTICE.text}\n{LINK}", "subject": NOTICE.subject, "link": LINK,
    }  # fmt: skip


def test_a_webhook_may_be_named_by_scheme_host_and_port(notify: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Webhook()) as hook:
        connect(monkeypatch, conn_type="http", host="127.0.0.1", port=hook.server_address[1], schema="http")
        notify.send(NOTICE, LINK)
    ((_, headers, _),) = hook.posts
    assert "Authorization" not in headers


# When it cannot be sent


def test_without_a_connection_no_message_is_sent_and_nothing_fails(
    notify: ModuleType, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_WAITLIST_MESSAGES", raising=False)
    notify.send(NOTICE, LINK)
    assert "there is no connection 'waitlist_messages': no message is sent" in log.text
    assert not [record for record in log.records if record.levelno > logging.INFO]


def test_a_server_that_refuses_fails_nothing_and_its_text_stays_out_of_the_log(
    notify: ModuleType, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    with serving(MailServer(refuses=True)) as server:
        monkeypatch.setenv("AIRFLOW_CONN_WAITLIST_MESSAGES", server.connection())
        notify.send(NOTICE, LINK)
    assert "could not be sent by connection 'waitlist_messages': SMTPRecipientsRefused" in log.text
    assert "Hemlig" not in log.text


def test_a_server_that_is_not_there_fails_nothing(
    notify: ModuleType, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        extra = {"disable_ssl": True, "disable_tls": True, "retry_limit": 0, "to": "x@example.invalid"}
        connect(monkeypatch, conn_type="smtp", host="127.0.0.1", port=taken.getsockname()[1], extra=extra)
        notify.send(NOTICE, LINK)
    assert "could not be sent" in log.text


def test_a_webhook_that_refuses_fails_nothing(
    notify: ModuleType, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    with serving(Webhook(status=500)) as hook:
        connect(monkeypatch, conn_type="http", host=hook.address, password="a-token")
        notify.send(NOTICE, LINK)
    assert "could not be sent by connection 'waitlist_messages': HTTPStatusError" in log.text
    assert "a-token" not in log.text


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        ({"conn_type": "ftp", "host": "example.invalid"}, "is not of type http or smtp: no message is sent"),
        ({"conn_type": "smtp", "host": "127.0.0.1"}, "could not be sent"),
    ],
)
def test_a_connection_that_cannot_be_used_is_logged(
    notify: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
    connection: dict[str, Any],
    said: str,
) -> None:
    connect(monkeypatch, **connection)
    notify.send(NOTICE, LINK)
    assert said in log.text


# The texts of the notifiers


def context(**told: Any) -> dict[str, Any]:
    return {"dag": SimpleNamespace(dag_id="waitlist_dry_run"), "run_id": RUN_ID, **told}


def test_the_message_about_a_failed_run_has_its_step_and_a_link(notify: ModuleType, mail: MailServer) -> None:
    notify.RunFailed()(context(ti=SimpleNamespace(task_id="reconcile")))
    (message,) = mail.messages
    assert message["Subject"] == "Torrkörningen av väntelistorna misslyckades"
    assert "Steget reconcile misslyckades." in text_of(message)
    assert LINK in text_of(message)


def test_a_message_about_a_failed_run_is_sent_even_without_its_details(notify: ModuleType, mail: MailServer) -> None:
    notify.RunFailed()(context())
    assert LINK in text_of(mail.messages[0])


def question() -> Any:
    step = importlib.import_module("waitlist_airflow.approval").ask_for_approval("migration")
    step.subject = "Ska våg 2 överföras till Millennium?"
    step.message = "6 789 av 12 345 poster kan överföras till Millennium"
    return step


def asked(step: Any) -> dict[str, Any]:
    ti = SimpleNamespace(dag_id="waitlist_migration", run_id="manual__1", task_id="approve", map_index=-1)
    return {"dag": None, "task": step, "ti": ti}


def test_the_message_about_a_question_has_its_counts_and_a_link_to_answer(notify: ModuleType, mail: MailServer) -> None:
    step = question()
    (notifier,) = step.notifiers
    notifier(asked(step))
    (message,) = mail.messages
    assert message["Subject"] == "Svar väntas: Ska våg 2 överföras till Millennium?"
    assert "6 789 av 12 345 poster kan överföras" in text_of(message)
    assert "/dags/waitlist_migration/runs/manual__1/tasks/approve/required_actions" in text_of(message)


def test_a_question_goes_on_when_its_message_cannot_be_made(
    notify: ModuleType, mail: MailServer, log: pytest.LogCaptureFixture
) -> None:
    step = question()
    step.notifiers[0]({"dag": None, "task": step})
    assert mail.messages == []
    assert "AnswerWaits could not be sent: KeyError" in log.text


# As Airflow runs it


def test_a_dry_run_that_fails_under_airflow_sends_one_mail(tmp_path: Any) -> None:
    with serving(MailServer()) as server:
        home = AirflowHome(
            tmp_path / "airflow",
            {
                "AIRFLOW_CONN_MILLENNIUM_STAGING": sqlite_connection(tmp_path / "staging.sqlite"),
                "AIRFLOW_CONN_WAITLIST_MESSAGES": server.connection(),
            },
        )
        failed = home.dry_run(as_of="2024-10-01", check=False, units=["SE2120009999-FINNSEJ"])
    assert failed.returncode == 1
    (message,) = server.messages
    assert message["Subject"] == "Torrkörningen av väntelistorna misslyckades"
    assert "conclude" not in text_of(message), "it fails with any other step, and says nothing of which"
    assert "FINNSEJ" not in text_of(message)
