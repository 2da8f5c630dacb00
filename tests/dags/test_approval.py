"""The human step: who may answer and for how long, and what each answer leads to."""

import datetime as dt
import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

REASON = "Avstämt med enheten"


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
    """Stands for the pipeline; remembers what it was told to do."""
    runs = importlib.import_module("waitlist_airflow.runs")
    stand_in = mock.Mock()
    monkeypatch.setattr(runs, "pipeline", lambda: stand_in)
    monkeypatch.setattr(runs, "opened", lambda _: (stand_in, "run"))
    return stand_in


def asked(approval: ModuleType) -> Any:
    return approval.ask("approve", subject="?", body="", options=(approval.APPROVE, approval.REJECT), asks_from="")


def test_those_whom_the_settings_name_may_answer_for_as_many_hours_as_they_say(
    approval: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITLIST_APPROVERS", "lead, chef")
    monkeypatch.setenv("WAITLIST_APPROVAL_HOURS", "5")
    step = asked(approval)
    assert [user["id"] for user in step.assigned_users] == ["lead", "chef"]
    assert step.response_timeout == dt.timedelta(hours=5)
    assert step.defaults is None, "no answer is no approval"


def test_where_the_settings_name_nobody_the_step_is_not_open_to_everybody(
    approval: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAITLIST_APPROVERS", raising=False)
    assert [user["id"] for user in asked(approval).assigned_users] == [""]


def answer(*options: str, reason: str = REASON) -> dict[str, Any]:
    """What Airflow hands on from the human step."""
    user = {"id": "lead", "name": "lead"}
    return {"chosen_options": list(options), "params_input": {"motivering": reason}, "responded_by_user": user}


def take(step: str, *given: object) -> BaseException | None:
    """Take a step as its task does; return what it was ended by, if by anything."""
    steps = importlib.import_module("waitlist_airflow.steps")
    try:
        getattr(steps, step).function(*given)
    except Exception as ended:  # noqa: BLE001 - what Airflow is told is what the test is about
        return ended
    return None


def names(ended: BaseException | None) -> str:
    return type(ended).__name__


def test_an_approval_releases_in_the_name_and_with_the_words_of_who_answered(pipeline: mock.Mock) -> None:
    pipeline.release.return_value = {"posts": 1}
    assert take("release", "migration", answer("Godkänn")) is None
    pipeline.release.assert_called_once_with("run", "lead", REASON, now=mock.ANY)
    pipeline.reject.assert_not_called()


@pytest.mark.parametrize("options", [("Avslå",), (), ("Godkänn", "Avslå"), ("Behåll",)])
def test_whatever_is_no_approval_closes_the_batch_and_skips_what_follows(
    pipeline: mock.Mock, options: tuple[str, ...]
) -> None:
    assert names(take("release", "migration", answer(*options, reason=""))) == "AirflowSkipException"
    pipeline.reject.assert_called_once_with("run", "lead", None, now=mock.ANY)
    pipeline.release.assert_not_called()


def test_a_withdrawal_is_taken_by_who_answered_and_another_answer_keeps_the_release(pipeline: mock.Mock) -> None:
    pipeline.withdraw.return_value = {"posts": 1}
    assert names(take("withdraw", "batch", answer("Behåll"))) == "AirflowSkipException"
    pipeline.withdraw.assert_not_called()
    assert take("withdraw", "batch", answer("Återta")) is None
    pipeline.withdraw.assert_called_once_with("batch", "lead", REASON, now=mock.ANY)


def test_a_human_step_that_somebody_marked_as_done_decides_nothing(pipeline: mock.Mock) -> None:
    assert names(take("release", "migration", None)) == "AirflowException"
    assert names(take("withdraw", "batch", None)) == "AirflowException"
    assert pipeline.mock_calls == []
