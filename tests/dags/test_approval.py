"""The human step: the persons that may answer, the time that they have, and the effect of each answer."""

import datetime as dt
import importlib
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from waitlist.exceptions import ReasonError, RefusedError, StagingError
from waitlist.reports.approval import Question, answer_by, without_moment

REASON = "Avstämt med enheten"
QUESTION = Question("Ska våg 2 överföras till Millennium?", "11 av 12 poster migreras.", "11 av 12 poster", entry=7)
RUN_ID = "manual__1"
CONTEXT = {"ti": SimpleNamespace(id="01995de0-6d2e-7aaf-a9f8-000000000001")}
UNTIL = dt.datetime(2124, 10, 4, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        yield


@pytest.fixture
def approval(airflow_home: None) -> ModuleType:
    return importlib.import_module("waitlist_airflow.approval")


@pytest.fixture
def pipeline(airflow_home: None, monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    """A mock of the pipeline, which records the calls."""
    runs, approval = (importlib.import_module(f"waitlist_airflow.{name}") for name in ("runs", "approval"))
    stand_in = mock.Mock()
    stand_in.approval_question.return_value = stand_in.withdrawal_question.return_value = QUESTION
    monkeypatch.setattr(runs, "pipeline", lambda _: stand_in)
    monkeypatch.setattr(runs, "opened", lambda *_: (stand_in, "run"))
    monkeypatch.setattr(runs, "named_batch", lambda: "batch")
    monkeypatch.setattr(runs, "is_loaded", lambda: False)
    monkeypatch.setattr(approval, "get_current_context", lambda: {"dag_run": SimpleNamespace(run_id=RUN_ID)})
    monkeypatch.setattr(approval.time, "sleep", lambda _: None)
    return stand_in


def approve(approval: ModuleType) -> Any:
    return approval.ask_for_approval("migration")


def decide(approval: ModuleType) -> Any:
    return approval.ask_for_withdrawal()


# The persons that are asked, and the question


def test_the_persons_in_the_settings_may_answer_for_the_hours_in_the_settings(
    approval: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITLIST_APPROVERS", "lead, chef")
    monkeypatch.setenv("WAITLIST_APPROVAL_HOURS", "5")
    for step in (approve(approval), decide(approval)):
        assert [user["id"] for user in step.assigned_users] == ["lead", "chef"]
        assert step.response_timeout == dt.timedelta(hours=5)
        assert step.defaults is None, "no answer is no approval"


def test_settings_that_name_nobody_do_not_open_the_step_to_everybody(
    approval: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAITLIST_APPROVERS", raising=False)
    assert [user["id"] for user in approve(approval).assigned_users] == [""]


def test_a_question_has_no_template_since_templates_read_what_others_may_write(approval: ModuleType) -> None:
    for step in (approve(approval), decide(approval)):
        assert tuple(step.template_fields) == ()
        assert (step.subject, step.body, step.message) == ("", None, "")


@pytest.fixture
def airflow_keeps(airflow_home: None, monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    """A mock of the connection to Airflow's API, which keeps what it is sent unless a test says otherwise."""
    runner = importlib.import_module("airflow.sdk.execution_time.task_runner")
    way = mock.Mock()
    way.send.side_effect = lambda message: message
    monkeypatch.setattr(runner, "SUPERVISOR_COMMS", way, raising=False)
    return way.send


def ask(step: Any) -> Any:
    """Let a step ask its question; return how it waits, or None if it does not wait."""
    return waiting(lambda: step.execute(CONTEXT), step)


def waiting(run: Callable[[], object], step: Any) -> Any:
    """Run a part of a step; return how it waits, or None if it ends."""
    exceptions = importlib.import_module("airflow.sdk.exceptions")
    step.notifiers = []
    try:
        run()
    except exceptions.TaskAwaitingInput as waits:
        return waits
    return None


def test_the_question_is_made_by_the_step_that_asks_it_and_the_answer_bound_to_it(
    approval: ModuleType, pipeline: mock.Mock, airflow_keeps: mock.Mock
) -> None:
    step = approve(approval)
    waits = ask(step)
    assert (waits.method_name, waits.kwargs["asked"]) == ("resume", QUESTION.entry)
    (sent,) = (call.args[0] for call in airflow_keeps.call_args_list)
    assert (sent.subject, without_moment(sent.body)) == (QUESTION.subject, QUESTION.body)
    assert sent.options == ["Godkänn", "Avslå"]
    assert step.message == QUESTION.message


def test_the_question_names_the_moment_until_which_it_waits(
    approval: ModuleType, pipeline: mock.Mock, airflow_keeps: mock.Mock
) -> None:
    step = approve(approval)
    waits = ask(step)
    until = dt.datetime.fromisoformat(waits.kwargs["until"])
    (sent,) = (call.args[0] for call in airflow_keeps.call_args_list)
    assert sent.body == QUESTION.body + answer_by(until)
    now = dt.datetime.now(dt.UTC)
    assert now < until <= now + step.response_timeout
    assert abs(now + waits.timeout - until) < dt.timedelta(minutes=1)


def test_the_form_itself_asks_for_the_reason(approval: ModuleType) -> None:
    # Airflow's form shows a param's description, and nothing of its ``description_md``.
    for step in (approve(approval), decide(approval)):
        told = step.serialized_params["motivering"]
        assert "minst tio tecken, annars ställs frågan igen" in told["description"]


def test_a_cleared_step_accepts_an_answer_to_its_first_question_while_that_is_still_true(
    approval: ModuleType, pipeline: mock.Mock, airflow_keeps: mock.Mock
) -> None:
    earlier = QUESTION.body + answer_by(dt.datetime(2024, 10, 1, tzinfo=dt.UTC))
    airflow_keeps.side_effect = lambda _: SimpleNamespace(subject=QUESTION.subject, body=earlier)
    assert ask(approve(approval)).kwargs["asked"] == QUESTION.entry


def test_where_airflow_shows_an_older_question_the_answer_is_bound_to_nothing(
    approval: ModuleType, pipeline: mock.Mock, airflow_keeps: mock.Mock
) -> None:
    airflow_keeps.side_effect = lambda _: SimpleNamespace(subject=QUESTION.subject, body="alla grindar godkända")
    waits = ask(approve(approval))
    assert waits.kwargs["asked"] is None


def test_what_has_been_decided_is_not_asked_again(
    approval: ModuleType, pipeline: mock.Mock, airflow_keeps: mock.Mock
) -> None:
    pipeline.approval_question.return_value = pipeline.withdrawal_question.return_value = None
    assert ask(approve(approval)) is None
    assert ask(decide(approval)) is None
    airflow_keeps.assert_not_called()


# The effect of an answer


def answer(*options: str, person: str | None = "lead", **params: object) -> dict[str, Any]:
    """What Airflow resumes the human step with."""
    return {
        "chosen_options": list(options),
        "params_input": params or {"motivering": REASON},
        "responded_by_user": None if person is None else {"id": person, "name": "Någon Annan"},
        "responded_at": dt.datetime.now(dt.UTC),
        "timedout": False,
    }


def resume(step: Any, event: dict[str, Any], asked: int | None = QUESTION.entry) -> BaseException | dict[str, Any]:
    """Resume a step as Airflow does; return what it hands on, or the exception that ended it."""
    try:
        return dict(step.resume({}, event=event, asked=asked))
    except Exception as ended:  # noqa: BLE001 - the test is about the exception that Airflow gets
        return ended


def test_an_approval_releases_with_the_name_and_the_reason_of_the_person_that_answered(
    approval: ModuleType, pipeline: mock.Mock
) -> None:
    pipeline.release.return_value = {"posts": 1}
    assert resume(approve(approval), answer("Godkänn")) == {"posts": 1}
    pipeline.release.assert_called_once_with("run", "lead", REASON, asked=QUESTION.entry, now=mock.ANY)
    pipeline.reject.assert_not_called()


def test_a_rejection_closes_the_batch(approval: ModuleType, pipeline: mock.Mock) -> None:
    pipeline.reject.return_value = {}
    assert resume(approve(approval), answer("Avslå", motivering="")) == {}
    pipeline.reject.assert_called_once_with("run", "lead", None, now=mock.ANY)
    pipeline.release.assert_not_called()


def test_a_withdrawal_is_executed_and_a_release_that_is_kept_is_recorded(
    approval: ModuleType, pipeline: mock.Mock
) -> None:
    pipeline.withdraw.return_value = pipeline.keep.return_value = {}
    assert resume(decide(approval), answer("Återta")) == {}
    pipeline.withdraw.assert_called_once_with("batch", "lead", REASON, asked=QUESTION.entry, now=mock.ANY, loaded=False)
    pipeline.keep.assert_not_called()
    assert resume(decide(approval), answer("Behåll")) == {}
    pipeline.keep.assert_called_once_with("batch", "lead", REASON, asked_by=RUN_ID, now=mock.ANY)


def test_the_word_that_a_receiver_has_loaded_it_comes_from_the_run_and_goes_on(
    approval: ModuleType, pipeline: mock.Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval.runs, "is_loaded", lambda: True)
    decide(approval).question()
    pipeline.withdrawal_question.assert_called_once_with("batch", loaded=True)
    pipeline.withdraw.return_value = {}
    resume(decide(approval), answer("Återta"))
    assert pipeline.withdraw.call_args.kwargs["loaded"] is True


NO_ANSWERS = {
    "by nobody": answer("Godkänn", person=None),
    "no option": answer(),
    "both options": answer("Godkänn", "Avslå"),
    "the other question's option": answer("Återta"),
    "a reason that is no text": answer("Godkänn", motivering={"a": 1}),
    "a reason without an end": answer("Godkänn", motivering="x" * 2_001),
}


@pytest.mark.parametrize("event", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_anything_but_an_answer_to_the_question_decides_nothing(
    approval: ModuleType, pipeline: mock.Mock, event: dict[str, Any]
) -> None:
    ended = resume(approve(approval), event)
    assert (type(ended).__name__, "RefusedError" in str(ended)) == ("AirflowFailException", True)
    assert not [call for call in pipeline.method_calls if call[0] in {"release", "reject", "withdraw", "keep"}]


def test_a_timeout_is_not_an_answer(approval: ModuleType, pipeline: mock.Mock) -> None:
    ended = resume(approve(approval), {"error": "The timeout has passed", "error_type": "timeout"})
    assert type(ended).__name__ == "HITLTimeoutError"
    assert pipeline.mock_calls == []


def test_a_call_is_retried_when_staging_does_not_answer_and_not_when_it_refuses(
    approval: ModuleType, pipeline: mock.Mock
) -> None:
    pipeline.release.side_effect = [StagingError("gone"), StagingError("gone"), {"posts": 1}]
    assert resume(approve(approval), answer("Godkänn")) == {"posts": 1}
    pipeline.release.side_effect = StagingError("gone")
    assert "gone" in str(resume(approve(approval), answer("Godkänn")))
    assert pipeline.release.call_count == 3 + 3
    pipeline.release.side_effect = RefusedError("not this one")
    assert "not this one" in str(resume(approve(approval), answer("Godkänn")))
    assert pipeline.release.call_count == 3 + 3 + 1


# An answer without a reason


@pytest.mark.parametrize(("option", "call"), [("Godkänn", "release"), ("Återta", "withdraw")])
def test_an_answer_without_its_reason_is_asked_for_again_by_the_same_step_until_the_same_moment(
    approval: ModuleType, pipeline: mock.Mock, airflow_keeps: mock.Mock, option: str, call: str
) -> None:
    step = approve(approval) if option == "Godkänn" else decide(approval)
    carried_out = getattr(pipeline, call)
    for time in range(1, 4):
        carried_out.side_effect = ReasonError("it takes a written reason")
        event = answer(option, motivering="")
        waits = waiting(lambda: step.resume(CONTEXT, event=event, asked=QUESTION.entry, until=UNTIL.isoformat()), step)  # noqa: B023
        assert waits.kwargs == {"asked": QUESTION.entry, "until": UNTIL.isoformat()}
        assert carried_out.call_count == time, "what lacks a reason is not tried again by itself"
        assert step.message.startswith("Svaret som gavs saknade den motivering som krävs, minst 10 tecken.")
    carried_out.side_effect = None
    carried_out.return_value = {"posts": 1}
    assert resume(step, answer(option)) == {"posts": 1}


def test_an_answer_without_its_reason_ends_the_step_where_somebody_has_decided_meanwhile(
    approval: ModuleType, pipeline: mock.Mock, airflow_keeps: mock.Mock
) -> None:
    pipeline.release.side_effect = ReasonError("it takes a written reason")
    pipeline.approval_question.return_value = None
    step = approve(approval)
    assert resume(step, answer("Godkänn", motivering="")) == {}
    airflow_keeps.assert_not_called()


def test_an_answer_to_the_question_that_is_asked_again_is_bound_to_what_the_database_has_by_then(
    approval: ModuleType, pipeline: mock.Mock, airflow_keeps: mock.Mock
) -> None:
    pipeline.release.side_effect = ReasonError("it takes a written reason")
    airflow_keeps.side_effect = lambda _: SimpleNamespace(subject=QUESTION.subject, body="alla grindar godkända")
    step = approve(approval)
    waits = waiting(lambda: step.resume(CONTEXT, event=answer("Godkänn"), asked=7, until=UNTIL.isoformat()), step)
    assert waits.kwargs["asked"] is None


def test_a_question_that_an_earlier_release_asked_is_answered_as_any_other(
    approval: ModuleType, pipeline: mock.Mock
) -> None:
    pipeline.release.return_value = {"posts": 1}
    assert resume(approve(approval), answer("Godkänn")) == {"posts": 1}
