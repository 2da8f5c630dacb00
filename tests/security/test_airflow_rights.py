"""The rights of an Airflow user that is not an approver on a wave and on a withdrawal: everything except a decision.

Four such users attack in a running Airflow: one who may look, one who may edit DAGs' runs, one who may change
connections, variables and pools too, and Airflow's own administrator. Each request says what Airflow must answer, so
that an attack is either carried out or refused by Airflow. Whatever they do, the database is as before: nothing is
released or withdrawn, and the audit trail has no new entry.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.e2e.conftest import AS_OF, Site, site
from tests.e2e.test_wave import MIGRATION, REASON, WAVE, WITHDRAWAL, answer, asked, deciders, shown
from tests.support.running_airflow import DAG

from waitlist.staging import BatchState
from waitlist.steps.run import batch_id_of

__all__ = ["site"]

RUN, BACK, AGAIN = "wave", "back", "again"
BATCH = batch_id_of("migration", MIGRATION, RUN)
ODD_RUN = "odd wave åäö {{ params.wave }} %00"
RUN_EDITORS, SITE_EDITORS = {"editor", "other", "admin"}, {"other", "admin"}
"""The roles ``user``, ``op`` and ``admin`` of the simple auth manager, and those that may change connections."""
INVENTED = {
    "chosen_options": ["Godkänn"],
    "params_input": {"motivering": REASON},
    "responded_by_user": {"id": "lead", "name": "lead"},
    "responded_at": "2024-10-01T12:00:00Z",
}
NOT_ASKED_FOR = {
    "approve": INVENTED, "decide": INVENTED, "answer": INVENTED, "event": INVENTED, "asked": 1, "kind": "dry_run",
    "chosen_options": ["Godkänn"], "motivering": REASON, "approvers": "other", "run_id": "other",
}  # fmt: skip
"""Keys that a run's configuration may have besides its params."""
DECIDES_NOTHING = {
    "assets", "backfills", "clearDagRuns", "clearPartitions", "clearTaskInstances", "connections", "dagRuns", "dags",
    "favorite", "hitlDetails", "list", "parseDagFile", "pools", "state-store", "taskGroupInstances", "taskInstances",
    "unfavorite", "variables", "xcomEntries",
}  # fmt: skip
"""Parts of the API's addresses that the attacks below write to, or that no step of ours reads."""
UNTRUE = "even if Airflow shows the run's tasks as successful"


@dataclass
class Attack:
    """Tries against one run, each followed by a comparison with the state before."""

    site: Site
    dag: str
    run_id: str
    task: str
    yes: str
    tries: int = 0
    before: Any = None

    @property
    def path(self) -> str:
        return f"/api/v2/dags/{self.dag}/dagRuns/{self.run_id}"

    @property
    def step(self) -> str:
        return f"{self.path}/taskInstances/{self.task}"

    def begin(self) -> None:
        """Make the question wait for its answer, and remember the state of the database."""
        if self.state() in {"success", "failed"}:
            self.ask_again()
        else:
            asked(self.site, self.dag, self.run_id, self.task)
        self.before = self.look()

    def look(self) -> Any:
        """Return everything that a decision would change, and the whole audit trail."""
        tables = ("batch", "released_post", "bokningsbegaran_released", "batch_event", "gate_result", "quality_result")
        return {table: sorted(map(repr, self.site.ask(f"SELECT * FROM {table}"))) for table in tables}

    def hold(self) -> None:
        now = self.look()
        assert [table for table in now if now[table] != self.before[table]] == []

    def send(self, client: httpx.Client, status: int, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request, and require this status of Airflow's answer."""
        said = client.request(method, path, json=body)
        self.tries += 1
        assert said.status_code == status, f"{method} {path} {body}: {said.status_code} {said.text}"
        return said

    def state(self) -> str:
        return str(self.site.airflow.get(f"/dagRuns/{self.run_id}", dag=self.dag)["state"])

    def settled(self, times: int = 1) -> str:
        """Wait until the run has ended or waits for its answer (``asked``), and return which."""

        def found() -> str | None:
            tasks = self.site.airflow.tasks(self.run_id, dag=self.dag)
            if tasks.get((self.task, -1), {}).get("state") == "awaiting_input":
                return "asks"
            return state if (state := self.state()) in {"success", "failed"} else None

        state = self.site.airflow.until("the run ends or asks", found)
        if state == "asks":
            asked(self.site, self.dag, self.run_id, self.task, times=times)
        self.hold()
        return state

    def ask_again(self) -> None:
        before = self.site.airflow.tasks(self.run_id, dag=self.dag).get(("request_approval", -1))
        if before is None or before["state"] == "success":
            self.site.airflow.clear(self.run_id, [self.task], downstream=True, dag=self.dag)
        else:
            # ``open_batch`` has refused; Airflow runs the tasks after a step that is marked as a success.
            self.site.airflow.mark("editor", self.dag, self.run_id, "request_approval")
        asked(self.site, self.dag, self.run_id, self.task)

    def concluded(self) -> str:
        """Return the log of the last step."""
        return self.site.airflow.task_log(self.run_id, "conclude", dag=self.dag)


@contextmanager
def acting_as(attack: Attack, user: str = "editor") -> Iterator[httpx.Client]:
    with closing(attack.site.airflow.as_user(user)) as client:
        yield client


# Attacks after which the question still waits


def write_what_tasks_hand_on(attack: Attack, client: httpx.Client, status: Callable[[int], int]) -> None:
    """Add, change, remove and add again each task's XComs, and its own state."""
    elsewhere = {"batch_id": "migration-pilot", "path": "../../../x.parquet", "decided": "released"}
    for task, index in sorted(attack.site.airflow.tasks(attack.run_id, dag=attack.dag)):
        mapped = {} if index < 0 else {"map_index": index}
        step = f"{attack.path}/taskInstances/{task}"
        entries = f"{step}/xcomEntries"
        known = client.post(entries, json={"key": "return_value", "value": INVENTED, **mapped}).status_code
        assert known in {status(201), status(409)}
        attack.send(client, status(200), "PATCH", f"{entries}/return_value", {"value": elsewhere, **mapped})
        if not mapped:
            attack.send(client, status(204), "DELETE", f"{entries}/return_value")
            for key in ("return_value", "event"):
                attack.send(client, status(201), "POST", entries, {"key": key, "value": INVENTED})
            attack.send(client, status(204), "DELETE", f"{entries}/event")
            attack.send(client, status(204), "PUT", f"{step}/state-store/event", {"value": INVENTED})


def answer_without_being_asked(attack: Attack, client: httpx.Client, status: Callable[[int], int]) -> None:
    """Answer the question, in the user's own name and in an approver's, by the routes for people and for tasks."""
    whole = {"chosen_options": [attack.yes], "params_input": {"motivering": REASON}}
    lead = {"id": "lead", "name": "lead"}
    for body in (whole, {**whole, "responded_by_user": lead}, {**whole, "responded_by": lead}, {**whole, "user": lead}):
        attack.send(client, 403, "PATCH", f"{attack.step}/-1/hitlDetails", body)
        attack.send(client, status(404), "PATCH", f"{attack.step}/0/hitlDetails", body)
    found = attack.site.airflow.get(f"/dagRuns/{attack.run_id}/taskInstances/{attack.task}", dag=attack.dag)
    for place in ("hitlDetails/{}", "task-instances/{}/state", "task-instances/{}/run"):
        attack.send(client, 403, "PATCH", f"/execution/{place.format(found['id'])}", {**whole, "state": "success"})


def edit_the_run(attack: Attack, client: httpx.Client, status: Callable[[int], int]) -> None:
    """Change the run itself; Airflow allows a change of its note, and none of its configuration."""
    attack.send(client, status(200), "PATCH", attack.path, {"note": str(INVENTED)})
    for body in ({"conf": {"wave": "3"}}, {"dag_run_conf": {}}, {"state": "running"}, {"run_type": "scheduled"}):
        attack.send(client, status(422), "PATCH", attack.path, body)
    for state in ("running", "scheduled", "deferred", "awaiting_input"):
        attack.send(client, status(422), "PATCH", attack.step, {"new_state": state})
    dag = f"/api/v2/dags/{attack.dag}"
    for paused in (True, False):
        attack.send(client, status(200), "PATCH", dag, {"is_paused": paused})
    period = {"from_date": "2024-09-01T00:00:00Z", "to_date": "2024-09-02T00:00:00Z"}
    for extra in ({"dag_run_conf": {"wave": WAVE, "batch_id": BATCH}}, {"reprocess_behavior": "completed"}):
        attack.send(client, status(422), "POST", "/api/v2/backfills", {"dag_id": attack.dag, **period, **extra})


def change_what_surrounds_the_run(attack: Attack, client: httpx.Client, status: Callable[[int], int]) -> None:
    """Change settings by variables, the staging database by a connection, and slots by pools."""
    for name in ("WAITLIST_APPROVERS", "waitlist_approvers", "AIRFLOW_CONN_MILLENNIUM_STAGING"):
        attack.send(client, status(201), "POST", "/api/v2/variables", {"key": name, "value": "viewer,editor,other"})
        attack.send(client, status(204), "DELETE", f"/api/v2/variables/{name}")
    # The site's own settings are in the environment, and take precedence.
    other = {"connection_id": "millennium_staging", "conn_type": "sqlite", "host": str(attack.site.folder / "other")}
    attack.send(client, status(201), "POST", "/api/v2/connections", other)
    attack.hold()
    attack.send(client, status(204), "DELETE", "/api/v2/connections/millennium_staging")
    attack.send(client, status(201), "POST", "/api/v2/pools", {"name": "waitlist", "slots": 1})
    attack.send(client, status(204), "DELETE", "/api/v2/pools/waitlist")


QUIET = {
    write_what_tasks_hand_on: RUN_EDITORS,
    answer_without_being_asked: RUN_EDITORS,
    edit_the_run: RUN_EDITORS,
    change_what_surrounds_the_run: SITE_EDITORS,
}
"""Attacks that leave a waiting question unchanged, and the users that may do them; Airflow forbids them to others."""


def attack_quietly(attack: Attack, *, times: int = 1) -> None:
    for user in ("viewer", *sorted(RUN_EDITORS)):
        with acting_as(attack, user) as client:
            for quiet, may in QUIET.items():
                quiet(attack, client, (lambda status: status) if user in may else (lambda _: 403))
                attack.hold()
    assert attack.settled(times) == "asks", "the question waits on"


# Attacks that end the question


def mark(attack: Attack, client: httpx.Client, state: str, **options: bool) -> None:
    attack.send(client, 200, "PATCH", attack.step, {"new_state": state, **options})


def mark_run(attack: Attack, client: httpx.Client, state: str) -> None:
    attack.send(client, 200, "PATCH", attack.path, {"state": state})


def mark_all(attack: Attack, client: httpx.Client, *, but: str = "") -> None:
    """Mark every task as a success, in one request."""
    found = attack.site.airflow.tasks(attack.run_id, dag=attack.dag)
    # Airflow refuses to mark a task that is marked already.
    tasks = {task for (task, _), told in found.items() if told["state"] != "success"} - {but}
    marks = [{"task_id": task, "new_state": "success"} for task in sorted(tasks)]
    actions = {"actions": [{"action": "update", "entities": marks}]}
    said = attack.send(client, 200, "PATCH", f"{attack.path}/taskInstances", actions).json()
    assert said["update"]["errors"] == []


LOUD: dict[str, Callable[[Attack, httpx.Client], None]] = {
    "the question marked as answered": lambda attack, client: mark(attack, client, "success"),
    "every task but the last marked as a success": lambda attack, client: mark_all(attack, client, but="conclude"),
    "the question and what precedes it marked": lambda attack, client: mark(
        attack, client, "success", include_upstream=True
    ),
    "the question marked as failed": lambda attack, client: mark(attack, client, "failed"),
    "the question marked as skipped": lambda attack, client: mark(attack, client, "skipped"),
    "the run marked as a success": lambda attack, client: mark_run(attack, client, "success"),
    "the run marked as failed": lambda attack, client: mark_run(attack, client, "failed"),
}
"""Attacks that end a waiting question; the run must end as failed, and say so, since nobody has decided."""
FIRST = list(LOUD)[:2]
"""Tried in every run of the tests."""


def attack_loudly(attack: Attack, *names: str) -> None:
    """End the question in some ways, each time with an invented answer handed on in its place."""
    entries = f"{attack.step}/xcomEntries"
    invented = {**INVENTED, "chosen_options": [attack.yes]}
    for name in names:
        told = attack.concluded().count(UNTRUE)
        with acting_as(attack) as client:
            known = client.post(entries, json={"key": "return_value", "value": invented}).status_code
            assert known in {201, 409}
            attack.send(client, 200, "PATCH", f"{entries}/return_value", {"value": invented})
            LOUD[name](attack, client)
        assert attack.settled() == "failed", name
        assert attack.concluded().count(UNTRUE) > told, f"{name}: the last step says why"
        attack.ask_again()
        attack.hold()


@pytest.fixture(scope="module")
def wave(site: Site) -> Attack:
    """A wave that an editor has triggered, with an answer in its configuration."""
    for dag in (MIGRATION, WITHDRAWAL):
        site.airflow.unpause(dag=dag)
    attack = Attack(site, MIGRATION, RUN, "approve", "Godkänn")
    trigger(attack, {"wave": WAVE, "as_of": AS_OF.isoformat(), **NOT_ASKED_FOR})
    asked(site, MIGRATION, RUN, "approve")
    return attack


def trigger(attack: Attack, conf: dict[str, object]) -> None:
    body = {"dag_run_id": attack.run_id, "logical_date": None, "conf": conf}
    with acting_as(attack) as client:
        attack.send(client, 200, "POST", f"/api/v2/dags/{attack.dag}/dagRuns", body)


def test_every_way_to_write_in_airflows_api_is_attacked_or_listed_as_harmless(site: Site) -> None:
    paths = httpx.get(f"{site.airflow.url}/openapi.json").json()["paths"]
    written = {
        path for path, ways in paths.items() if path.startswith("/api/v2/") and ways.keys() - {"get", "parameters"}
    }
    parts = {path: {part for part in path.split("/")[3:] if not part.startswith("{")} - {"dry_run"} for path in written}
    assert {path for path, named in parts.items() if not named & DECIDES_NOTHING} == set()


def test_nobody_but_an_approver_decides_about_a_wave(wave: Attack, attack_table: Callable[..., None]) -> None:
    wave.begin()
    assert deciders(wave.site, BATCH) == set()
    done = wave.tries
    attack_quietly(wave)
    attack_loudly(wave, *FIRST)
    tries = wave.tries - done
    attack_table("a wave without an approver, in a running Airflow", tries=tries, held=tries)


@pytest.mark.attack
def test_a_question_that_is_asked_a_second_and_a_third_time_is_as_safe_as_the_first(
    wave: Attack, attack_table: Callable[..., None]
) -> None:
    wave.begin()
    wave.site.airflow.clear(RUN, ["approve"], downstream=True, dag=MIGRATION)
    asked(wave.site, MIGRATION, RUN, "approve")
    done = wave.tries
    for times in (2, 3):
        assert answer(wave.site, "lead", (MIGRATION, RUN, "approve"), "Godkänn", reason="kort") == 200
        asked(wave.site, MIGRATION, RUN, "approve", times=times)
        attack_quietly(wave, times=times)
    attack_loudly(wave, *FIRST)
    tries = wave.tries - done
    attack_table("a question that is asked again, in a running Airflow", tries=tries, held=tries)


@pytest.mark.attack
def test_a_wave_that_is_marked_in_every_way_is_not_released(wave: Attack, attack_table: Callable[..., None]) -> None:
    wave.begin()
    attack_loudly(wave, *LOUD)
    attack_table("a wave marked as decided, in a running Airflow", tries=len(LOUD), held=len(LOUD))


CLEARINGS: list[tuple[int, dict[str, object]]] = [
    (200, {"task_ids": ["approve"]}),
    (200, {"task_ids": ["approve"], "include_upstream": True}),
    (200, {"task_ids": ["approve"], "include_downstream": True, "run_on_latest_version": True}),
    (200, {"task_ids": ["release"], "include_downstream": True}),
    (200, {"task_ids": ["extract", "assess"]}),
    (200, {"task_ids": ["approve"], "include_downstream": True, "reset_dag_runs": False}),
    (200, {"task_ids": ["approve"], "only_failed": True, "include_upstream": True}),
    (200, {"task_ids": ["approve"], "only_running": True, "include_downstream": True}),
    (400, {"task_ids": ["approve"], "include_past": True, "include_future": True}),
    (200, {"task_ids": ["approve"], "dag_run_id": None, "include_downstream": True, "include_past": True}),
    (200, {}),
]


@pytest.mark.attack
def test_clearing_in_every_way_neither_decides_nor_opens_the_batch_again(
    wave: Attack, attack_table: Callable[..., None]
) -> None:
    wave.begin()
    done = wave.tries
    for status, options in CLEARINGS:
        with acting_as(wave) as client:
            body = {"dry_run": False, "only_failed": False, "dag_run_id": RUN, **options}
            wave.send(client, status, "POST", f"/api/v2/dags/{MIGRATION}/clearTaskInstances", body)
        come_back(wave)
    for path, body in (
        (f"{wave.path}/clear", {}),
        (f"/api/v2/dags/{MIGRATION}/clearDagRuns", {"dag_runs": [{"dag_run_id": RUN}]}),
    ):
        with acting_as(wave) as client:
            wave.send(client, 200, "POST", path, {"dry_run": False, "only_failed": False, **body})
        come_back(wave)
    tries = wave.tries - done
    attack_table("a wave cleared in every way, in a running Airflow", tries=tries, held=tries)


def come_back(attack: Attack) -> None:
    """Let the run settle, in a question or as failed, and let the question wait again."""
    state = attack.settled()
    assert state in {"asks", "failed"}
    if state == "failed":
        attack.ask_again()


@pytest.mark.attack
def test_a_question_that_is_deleted_and_a_run_of_the_same_name_change_nothing(wave: Attack) -> None:
    site = wave.site
    again = Attack(site, MIGRATION, AGAIN, "approve", "Godkänn")
    trigger(again, {"wave": "3", "as_of": AS_OF.isoformat()})
    again.begin()
    with acting_as(again) as client:
        again.send(client, 200, "DELETE", again.step)
        assert again.settled() == "failed", "nothing of it can go on"
        again.send(client, 204, "DELETE", again.path)
    trigger(again, {"wave": WAVE, "as_of": AS_OF.isoformat(), **NOT_ASKED_FOR})
    assert again.settled() == "failed"
    assert "immutable: nothing was changed" in site.airflow.task_log(AGAIN, "open_batch", dag=MIGRATION)
    again.ask_again()
    question = asked(site, MIGRATION, AGAIN, "approve")
    assert question["subject"] == "Ska våg 3 överföras till Millennium?"
    assert f"`{batch_id_of('migration', MIGRATION, AGAIN)}`" in str(question["body"])
    again.hold()


def test_a_run_with_an_odd_name_is_refused_by_airflow(wave: Attack) -> None:
    with acting_as(wave) as client:
        body = {"dag_run_id": ODD_RUN, "logical_date": None, "conf": {"wave": "3", "as_of": AS_OF.isoformat()}}
        wave.send(client, 400, "POST", f"/api/v2/dags/{MIGRATION}/dagRuns", body)


@pytest.mark.attack
def test_where_the_last_step_is_marked_too_the_leads_get_a_mail_that_nothing_is_decided(wave: Attack) -> None:
    wave.begin()
    with acting_as(wave) as client:
        mark_all(wave, client)
        assert wave.settled() == "success", "Airflow takes the editor's word"
    subject = "Migreringen av väntelistor står som lyckad men är inte klar"
    (told,) = wave.site.airflow.until("the leads are told", lambda: wave.site.mails(subject) or None)
    assert f"Inget är överfört: våg {WAVE}, per {AS_OF} väntar på beslut." in told


@pytest.mark.attack
def test_a_run_that_is_marked_as_a_success_after_its_end_was_reported_as_failed(wave: Attack) -> None:
    wave.begin()
    failed = len(wave.site.mails("Migreringen av väntelistor misslyckades"))
    with acting_as(wave) as client:
        mark(wave, client, "failed")
        assert wave.settled() == "failed"
        mark_run(wave, client, "success")
    assert wave.settled() == "success"
    wave.site.airflow.until(
        "the leads are told", lambda: len(wave.site.mails("Migreringen av väntelistor misslyckades")) > failed or None
    )


@pytest.mark.attack
def test_a_dry_run_that_is_marked_as_a_success_shows_nothing(site: Site) -> None:
    site.airflow.unpause()
    run_id = site.airflow.trigger("marked", as_of=AS_OF.isoformat())
    site.airflow.until("the run begins", lambda: (("open_batch", -1) in site.airflow.tasks(run_id)) or None)
    attack = Attack(site, DAG, run_id, "verify", "")
    with acting_as(attack) as client:
        mark_run(attack, client, "success")
    site.airflow.ended(run_id, state="failed")
    assert site.ask("SELECT * FROM readable_batch WHERE run_id = ?", run_id) == []


@pytest.fixture(scope="module")
def withdrawal(wave: Attack) -> Attack:
    """A withdrawal of the wave, which the approver has released after all the attacks."""
    site = wave.site
    wave.begin()
    assert answer(site, "lead", (MIGRATION, RUN, "approve"), "Godkänn") == 200
    site.airflow.ended(RUN, dag=MIGRATION)
    assert (site.store.batch(BATCH).state, deciders(site, BATCH)) == (BatchState.RELEASED, {"lead"})
    assert shown(site, BATCH)
    attack = Attack(site, WITHDRAWAL, BACK, "decide", "Återta")
    trigger(attack, {"batch_id": BATCH, **NOT_ASKED_FOR})
    return attack


def test_nobody_but_an_approver_withdraws_a_release(withdrawal: Attack, attack_table: Callable[..., None]) -> None:
    withdrawal.begin()
    done = withdrawal.tries
    attack_quietly(withdrawal)
    attack_loudly(withdrawal, *FIRST)
    tries = withdrawal.tries - done
    attack_table("a withdrawal without an approver, in a running Airflow", tries=tries, held=tries)


@pytest.mark.attack
def test_a_withdrawal_that_is_marked_in_every_way_withdraws_nothing(
    withdrawal: Attack, attack_table: Callable[..., None]
) -> None:
    withdrawal.begin()
    attack_loudly(withdrawal, *LOUD)
    attack_table("a withdrawal marked as decided, in a running Airflow", tries=len(LOUD), held=len(LOUD))


def test_a_release_that_an_approver_keeps_stays_released(withdrawal: Attack) -> None:
    """Comes last: it answers the question that was attacked."""
    site, posts = withdrawal.site, shown(withdrawal.site, BATCH)
    withdrawal.begin()
    assert answer(site, "lead", (WITHDRAWAL, BACK, "decide"), "Behåll") == 200
    site.airflow.ended(BACK, dag=WITHDRAWAL)
    assert site.store.batch(BATCH).state is BatchState.RELEASED
    assert shown(site, BATCH) == posts
    assert [(event.event.value, event.actor) for event in site.store.events(BATCH)][-1] == ("kept", "lead")
