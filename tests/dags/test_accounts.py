"""Each task uses the account of the staging database that its work takes."""

from collections.abc import Callable
from typing import Any

import pytest

from waitlist.settings import Account, Settings
from waitlist_airflow import approval, runs, steps
from waitlist_airflow.connections import staging_url

RELEASER = (
    "hand_off", "verify_releases", "describe_release", "take_back_hand_off", "remove_expired", "approve", "decide",
)  # fmt: skip
RECEIPTS = ("take_receipts", "watch_receipts")
WITHOUT_KIND = (
    "verify_releases", "describe_release", "withdraw", "take_back_hand_off", "conclude_withdrawal", "watch_nights",
    "take_receipts", "watch_receipts", "remove_expired",
)  # fmt: skip
MAPPED = ("extract", "check_persons", "assess")


class _AskedError(BaseException):
    """Ends a task that has asked for its pipeline."""


def calls() -> dict[str, Callable[[], Any]]:
    """Return a call of every task that reaches the staging database, by its name."""
    tasks = {name: task.function for name, task in vars(steps).items() if hasattr(task, "function") and name != "task"}
    found: dict[str, Callable[[], Any]] = {}
    for name, function in tasks.items():
        arguments = () if name in WITHOUT_KIND else ("migration", 0) if name in MAPPED else ("migration",)
        found[name] = lambda function=function, arguments=arguments: function(*arguments)
    found["approve"] = approval.Approval.question.__get__(type("Step", (), {"kind": "migration"})())
    found["decide"] = approval.Withdrawal.question.__get__(object())
    return found


@pytest.mark.parametrize("name", sorted(calls()))
def test_a_task_uses_the_account_of_its_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Account] = []

    def pipeline(account: Account = Account.LOADER) -> None:
        asked.append(account)
        raise _AskedError

    def opened(_kind: str, account: Account = Account.LOADER) -> None:
        pipeline(account)

    monkeypatch.setattr(runs, "pipeline", pipeline)
    monkeypatch.setattr(runs, "opened", opened)
    for needed in ("request", "named_batch", "is_loaded", "as_of", "failed_steps"):
        monkeypatch.setattr(runs, needed, lambda *_: None)
    run = type("Run", (), {"dag_id": "dag", "run_id": "run"})()
    context = {"params": {"keep_days": None, "only_tell": True}, "dag_run": run}
    monkeypatch.setattr(steps, "get_current_context", lambda: context)
    monkeypatch.setattr("airflow.sdk.Variable.get", lambda *_, **__: "null")
    with pytest.raises(_AskedError):
        calls()[name]()
    wanted = Account.RELEASER if name in RELEASER else Account.RECEIPTS if name in RECEIPTS else Account.LOADER
    assert asked == [wanted]


def test_each_account_has_a_connection_and_one_does_for_all_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {Settings.read().accounts.of(account) for account in Account} == {"millennium_staging"}
    for account in Account:
        monkeypatch.setenv(f"WAITLIST_STAGING_{account.name}", f"staging_{account}")
        monkeypatch.setenv(f"AIRFLOW_CONN_STAGING_{account.name}", f"postgres://waitlist_{account}:x@localhost/staging")
    for account in Account:
        assert f"//waitlist_{account}:x@" in staging_url(Settings.read().accounts.of(account))
        assert runs.pipeline(account)._staging() == staging_url(f"staging_{account}")
