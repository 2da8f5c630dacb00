"""A whole wave in a running Airflow: dry run, gates, approval, the view, receipts, its closing, and the withdrawal."""

import datetime as dt
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import AS_OF, HAND_OFFS, RECEIPTS, Site
from tests.support import chromium

from waitlist import demo
from waitlist.reports.notices import RUN_LABELS
from waitlist.simulator.receiver import COLUMNS, HandOff, read_hand_offs, words_of, write_receipts
from waitlist.staging import PIPELINE, BatchState, chain_check
from waitlist.steps.run import Request
from waitlist.swedish.formats import moment

WAVE = "2"
REASON = "Kvarvarande poster bokas för hand av enheterna"
MIGRATION, WITHDRAWAL, RECEIPTS_DAG = "waitlist_migration", "waitlist_withdrawal", "waitlist_receipts"
FAULTY = "trasig.csv"


def asked(site: Site, dag: str, run_id: str, task: str, *, times: int = 1) -> dict[str, object]:
    """Wait until a human step waits for its answer, after so many questions in one try; return its question."""

    def waits() -> dict[str, object] | None:
        step = site.airflow.tasks(run_id, dag=dag).get((task, -1), {})
        if step.get("state") != "awaiting_input":
            return None
        # A process for each question, and one for each answer but the last: an answer that is asked again takes both.
        if not site.airflow.knows_ended(dag, run_id, task, step["try_number"], times=times):
            return None
        return dict(site.airflow.get(f"/dagRuns/{run_id}/taskInstances/{task}/-1/hitlDetails", dag=dag))

    return site.airflow.until(f"{task} waits for its answer", waits)


def answer(site: Site, user: str, step: tuple[str, str, str], option: str, reason: str = REASON) -> int:
    """Answer a step (DAG, run, task) as a user; return the status."""
    dag, run_id, task = step
    path = f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/-1/hitlDetails"
    body = {"chosen_options": [option], "params_input": {"motivering": reason}}
    with closing(site.airflow.as_user(user)) as client:
        return client.patch(path, json=body).status_code


@contextmanager
def approver_in_a_browser(site: Site) -> Iterator[Page]:
    """Open a browser in which the approver is logged in."""
    with chromium.chromium() as browser:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": "_token", "value": site.airflow.token("lead"), "url": site.airflow.url}])
        yield context.new_page()


def answer_in_airflows_form(site: Site, page: Page, option: str, reason: str) -> int:
    """Go from the notice on Översikt to Airflow's form, and answer there; return the status."""
    page.goto(f"{site.airflow.url}/migrering/")
    page.get_by_role("link", name="Svara i Airflow").click()
    expect(page.get_by_text("minst tio tecken").first).to_be_visible(timeout=60_000)
    page.locator("[name=element_motivering]").fill(reason)
    with page.expect_response(lambda told: "hitlDetails" in told.url and told.request.method == "PATCH") as told:
        page.get_by_role("button", name=option, exact=True).click()
    return told.value.status


def forge_an_answer(site: Site, step: tuple[str, str, str], option: str, follows: Sequence[str]) -> None:
    """Try, as an editor, to pass an invented answer off as a real one; the run must end as failed."""
    dag, run_id, task = step
    invented = {
        "chosen_options": [option],
        "params_input": {"motivering": REASON},
        "responded_by_user": {"id": "lead", "name": "lead"},
    }
    site.airflow.forge("other", dag, run_id, task, invented)
    site.airflow.mark("other", dag, run_id, task)
    failed_and_mailed(site, dag, run_id, times=1)
    site.airflow.clear(run_id, [follows[0]], downstream=True, dag=dag)
    for name in follows:
        site.airflow.mark("other", dag, run_id, name)
    failed_and_mailed(site, dag, run_id, times=2)
    failed = {task for (task, _), told in site.airflow.tasks(run_id, dag=dag).items() if told["state"] == "failed"}
    assert failed == {"conclude"}, "every step but the last was marked"
    assert "even if Airflow shows the run's tasks as successful" in site.airflow.task_log(run_id, "conclude", dag=dag)


def failed_and_mailed(site: Site, dag: str, run_id: str, *, times: int) -> None:
    """Wait until a run has failed and the leads have got so many mails about it."""
    site.airflow.ended(run_id, dag=dag, state="failed")
    subject = f"{RUN_LABELS[dag]} misslyckades"
    site.airflow.until("the leads are told", lambda: len(site.mails(subject)) == times or None)


def deciders(site: Site, batch_id: str) -> set[str]:
    """Return the persons that the audit trail names for a batch, without the pipeline."""
    return {event.actor for event in site.store.events(batch_id)} - {PIPELINE}


def shown(site: Site, batch_id: str) -> set[object]:
    return {post for (post,) in site.ask("SELECT post_id FROM bokningsbegaran_released WHERE batch_id = ?", batch_id)}


@pytest.fixture(scope="module")
def rehearsed(site: Site) -> str:
    """The latest dry run before the wave."""
    site.airflow.unpause()
    run_id = site.airflow.trigger("rehearsal", as_of=AS_OF.isoformat())
    site.airflow.ended(run_id)
    return run_id


@pytest.fixture(scope="module")
def released(site: Site, rehearsed: str) -> str:
    """The wave, released by its approver; returns the batch."""
    batch_id = Request(MIGRATION, "wave", "migration", AS_OF).batch_id
    site.airflow.unpause(dag=MIGRATION)
    run_id = site.airflow.trigger("wave", dag=MIGRATION, wave=WAVE, as_of=AS_OF.isoformat())
    question = asked(site, MIGRATION, run_id, "approve")
    assert f"Våg {WAVE} per {AS_OF}" in str(question["body"])
    assert "Underkänd" in str(question["body"])
    assert shown(site, batch_id) == set()
    assert answer(site, "other", (MIGRATION, run_id, "approve"), "Godkänn") == 403
    site.airflow.forge("other", MIGRATION, run_id, "open_batch", {"batch_id": "migration-pilot", "units": None})
    forge_an_answer(
        site, (MIGRATION, run_id, "approve"), "Godkänn", ("release", "verify_released", "report", "hand_off")
    )
    assert site.store.batch(batch_id).state is BatchState.AWAITING_APPROVAL
    assert deciders(site, batch_id) == set()
    site.airflow.clear(run_id, ["approve"], downstream=True, dag=MIGRATION)
    asked(site, MIGRATION, run_id, "approve")
    with approver_in_a_browser(site) as page:
        for times, reason in ((2, ""), (3, "för kort")):
            assert answer_in_airflows_form(site, page, "Godkänn", reason) == 200
            asked(site, MIGRATION, run_id, "approve", times=times)
            assert site.airflow.tasks(run_id, dag=MIGRATION)["approve", -1]["try_number"] == 2, "in the same try"
            assert answer(site, "other", (MIGRATION, run_id, "approve"), "Godkänn") == 403
            assert shown(site, batch_id) == set()
        assert "the question is asked again" in site.airflow.task_log(run_id, "approve", dag=MIGRATION)
        assert answer_in_airflows_form(site, page, "Godkänn", REASON) == 200
    assert answer(site, "lead", (MIGRATION, run_id, "approve"), "Avslå") == 409, "the first whole answer counts"
    site.airflow.ended(run_id, dag=MIGRATION)
    return batch_id


def test_the_leads_get_a_mail_that_the_wave_waits_with_counts_and_a_link(site: Site, released: str) -> None:
    told, *again = site.mails(f"Svar väntas: Ska våg {WAVE} överföras till Millennium?")
    # Cleared once; then two answers without a reason.
    cleared, *reminders = again
    assert cleared == told
    assert len(reminders) == 2
    assert all("Svaret som gavs saknade den motivering som krävs" in text for text in reminders)
    ((posts, staged),) = site.ask("SELECT posts_extracted, posts_staged FROM batch WHERE batch_id = ?", released)
    assert f"{staged} av {posts} poster kan överföras till Millennium, per {AS_OF}." in told
    assert "Andel poster som ännu inte är hanterade" in told
    assert f'href="{site.airflow.url}/dags/{MIGRATION}/runs/wave/tasks/approve/required_actions?map_index=-1"' in told


def test_the_leads_get_a_mail_about_the_decision_and_none_about_the_forged_answer(site: Site, released: str) -> None:
    posts = len(shown(site, released))
    (told,) = site.airflow.until(
        "the leads are told", lambda: site.mails("Väntelistorna: en våg är överförd till Millennium") or None
    )
    assert f"Överfört till Millennium: {posts} poster, våg {WAVE}, per {AS_OF}." in told
    failed = site.mails("Migreringen av väntelistor misslyckades")
    for step, text in zip(("release", "conclude"), failed, strict=True):
        stands = f"Inget är överfört: våg {WAVE}, per {AS_OF} väntar på beslut."
        assert f"Steget {step} misslyckades. {stands}" in text


def test_the_view_shows_what_the_approver_saw(site: Site, released: str) -> None:
    rows = {post for (post,) in site.ask("SELECT post_id FROM bokningsbegaran WHERE batch_id = ?", released)}
    units = site.ask("SELECT DISTINCT enhet_hsa_id FROM disposition WHERE batch_id = ?", released)
    batch = site.store.batch(released)
    assert shown(site, released) == rows
    assert rows
    assert (batch.state, batch.approved_by, batch.wave) == ("released", "lead", WAVE)
    assert len(units) > 1


def test_the_override_is_recorded_with_name_and_reason(site: Site, released: str) -> None:
    events = site.ask("SELECT event, actor, reason, details FROM batch_event WHERE batch_id = ?", released)
    overrides = [(actor, reason) for event, actor, reason, _ in events if event == "override"]
    assert overrides == [("lead", REASON)]
    (gates,) = [json.loads(str(details))["gates"] for event, _, _, details in events if event == "override"]
    assert "unhandled_share" in gates


def test_the_next_dry_run_meets_the_released_posts(site: Site, released: str) -> None:
    changed = min(shown(site, released))  # type: ignore[type-var]
    with closing(sqlite3.connect(site.pmo)) as connection, connection:
        connection.execute("UPDATE vantelistepost SET orsak = 'Ny orsak' WHERE post_id = ?", (changed,))
    run_id = site.airflow.trigger("after", as_of=AS_OF.isoformat())
    site.airflow.ended(run_id)
    after = site.dispositions(run_id)
    assert {after[post] for post in shown(site, released)} == {"already_released"}
    changes = site.ask("SELECT * FROM released_change WHERE batch_id = ?", site.batch_id(run_id))
    assert [row[1:] for row in changes] == [(changed, "changed", "beskrivning")]


def test_gates_that_turned_red_give_one_mail_and_none_by_the_next_dry_run(site: Site, released: str) -> None:
    watched = [site.airflow.tasks(run)["watch_gates", -1]["state"] for run in ("rehearsal", "after")]
    assert watched == ["success", "success"]
    (subject,) = {str(message["Subject"]) for message in site.mail.messages if "blivit röd" in str(message["Subject"])}
    (told,) = site.mails(subject)
    assert "Andel poster som ännu inte är hanterade" in told
    assert f'href="{site.airflow.url}/dags/waitlist_dry_run/runs/rehearsal"' in told


def test_a_rerun_of_the_released_wave_is_refused_and_changes_nothing(site: Site, released: str) -> None:
    before, posts = site.store.events(released), shown(site, released)
    site.airflow.clear("wave", dag=MIGRATION)
    site.airflow.ended("wave", dag=MIGRATION, state="failed")
    refused = site.airflow.tasks("wave", dag=MIGRATION)["open_batch", -1]
    assert refused["state"] == "failed"
    assert "is released and immutable: nothing was changed; start a new run" in site.airflow.task_log(
        "wave", "open_batch", dag=MIGRATION
    )
    assert (site.store.events(released), shown(site, released)) == (before, posts)


def test_a_wave_that_nobody_answers_in_time_is_not_released_and_can_be_asked_again(site: Site, released: str) -> None:
    batch_id = Request(MIGRATION, "unanswered", "migration", AS_OF).batch_id
    run_id = site.airflow.trigger("unanswered", dag=MIGRATION, wave="3", as_of=AS_OF.isoformat())
    asked(site, MIGRATION, run_id, "approve")
    let_time_pass(site, run_id)
    site.airflow.ended(run_id, dag=MIGRATION, state="failed")
    assert "response timeout has passed" in site.airflow.task_log(run_id, "approve", dag=MIGRATION)
    tasks = site.airflow.tasks(run_id, dag=MIGRATION)
    assert (tasks["release", -1]["state"], tasks["conclude", -1]["state"]) == ("upstream_failed", "failed")
    assert site.store.batch(batch_id).state is BatchState.AWAITING_APPROVAL
    assert shown(site, batch_id) == set()
    site.airflow.clear(run_id, ["approve"], downstream=True, dag=MIGRATION)
    asked(site, MIGRATION, run_id, "approve")
    assert answer(site, "lead", (MIGRATION, run_id, "approve"), "Avslå") == 200
    site.airflow.ended(run_id, dag=MIGRATION)
    assert site.store.batch(batch_id).state is BatchState.REJECTED
    assert shown(site, batch_id) == set()
    states = {task: told["state"] for (task, _), told in site.airflow.tasks(run_id, dag=MIGRATION).items()}
    assert (states["release"], states["verify_released"], states["conclude"]) == ("skipped", "skipped", "success")
    (told,) = site.airflow.until(
        "the leads are told", lambda: site.mails("Väntelistorna: överföringen är avslagen") or None
    )
    assert f"Avslaget: våg 3, per {AS_OF}. Inget är överfört." in told


def let_time_pass(site: Site, run_id: str) -> None:
    """Let the time for an answer pass."""
    with psycopg.connect(site.airflow.home.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]) as connection:
        past = "UPDATE task_instance SET trigger_timeout = now() - interval '1 second' WHERE run_id = %s AND state = %s"
        assert connection.execute(past, (run_id, "awaiting_input")).rowcount == 1


def receive(site: Site, run_id: str, *, files: int, refused: int = 0) -> None:
    """Let the pipeline take the files that the receiver has written since."""
    site.airflow.trigger(run_id, dag=RECEIPTS_DAG)
    site.airflow.ended(run_id, dag=RECEIPTS_DAG)
    done = list((site.folder / RECEIPTS).glob("done/*.csv"))
    faults = list((site.folder / RECEIPTS).glob("refused/*.txt"))
    assert (len(done), len(faults)) == (files, refused)


def read_page(site: Site, path: str, **query: str) -> dict[str, Any]:
    """Return what a page says, for programs."""
    with closing(site.airflow.as_user("lead")) as client:
        return dict(client.get(f"/migrering/api/{path}", params=query).raise_for_status().json())


def followed(site: Site) -> dict[str, int]:
    """Return how many posts of the wave have each answer."""
    return dict(read_page(site, "vag", namn=WAVE)["followed"]["now"])


def send(site: Site, path: str, user: str = "lead", **form: str) -> int:
    """Send a form of a page as a user; return the status."""
    with closing(site.airflow.as_user(user)) as client:
        return client.post(f"/migrering/{path}", data=form).status_code


def close_wave(site: Site, user: str, reason: str = "") -> int:
    return send(site, "api/vag/avsluta", user, namn=WAVE, motivering=reason)


def words_by_post(handed: HandOff) -> dict[int, list[str]]:
    """Return what the receiver says of each post, in its order."""
    words = words_of(handed)
    return {post: [word.outcome for word in words if word.post_id == post] for post, _ in handed.posts}


@pytest.fixture(scope="module")
def answered(site: Site, released: str) -> HandOff:
    """The wave with a month of receipts; returns what the receiver had got."""
    (handed,) = [found for found in read_hand_offs(site.folder / HAND_OFFS) if found.batch_id == released]
    assert {post for post, _ in handed.posts} == shown(site, released)
    site.airflow.unpause(dag=RECEIPTS_DAG)
    # A receiver's clock may be five minutes ahead, so its month is shorter than that.
    folder, day, begin = site.folder / RECEIPTS, dt.timedelta(seconds=10), handed.released_at
    write_receipts(handed, folder, since=begin, until=begin + 7 * day, day=day)
    receive(site, "first-week", files=1)
    first = followed(site)
    write_receipts(handed, folder, since=begin + 7 * day, until=begin + 30 * day, day=day)
    (folder / FAULTY).write_text(f"{','.join(COLUMNS)}\n{released},1,lost,i går,,,\n", encoding="utf-8")
    receive(site, "month", files=2, refused=1)
    assert followed(site)["booked"] > first["booked"] > 0
    assert first["open"] > followed(site)["open"] > 0
    return handed


def test_the_waves_page_counts_every_kind_of_receipt(site: Site, answered: HandOff) -> None:
    kinds = Counter(tuple(said) for said in words_by_post(answered).values())
    assert followed(site) == {
        "posts": kinds.total(),
        "unanswered": kinds[()] + kinds["accepted", "rejected"],
        "rejected": kinds["rejected",],
        "open": kinds["accepted",],
        "late": followed(site)["late"],
        "booked": kinds["accepted", "booked"],
        "cancelled": kinds["accepted", "booked", "cancelled"],
    }
    assert min(kinds[()], *kinds.values()) > 0


def test_a_faulty_file_of_receipts_is_refused_whole_and_the_leads_are_told(site: Site, answered: HandOff) -> None:
    (faults,) = (site.folder / RECEIPTS).glob(f"refused/{FAULTY}*.txt")
    assert "2: outcome: not one of accepted" in faults.read_text(encoding="utf-8")
    (told,) = site.airflow.until(
        "the leads are told", lambda: site.mails("Väntelistorna: kvittenser kunde inte tas emot") or None
    )
    assert "Filer som avvisades: 1." in told


def test_a_wave_is_closed_when_no_outcome_and_no_receipt_is_missing(
    site: Site, released: str, answered: HandOff
) -> None:
    ledger = "SELECT post_id, enhet_hsa_id FROM closing_ledger WHERE batch_id = ? AND has_outcome = 0 ORDER BY post_id"
    (ended, _), *owed = site.ask(ledger, released)
    assert {post for post, said in words_by_post(answered).items() if said == ["rejected"]} <= {
        post for post, _ in owed
    }
    site.ask_pmo("UPDATE vantelistepost SET vantar_pa_besok = 0 WHERE post_id = ?", ended)
    site.airflow.ended(site.airflow.trigger("follow", as_of=AS_OF.isoformat()))
    assert site.ask(ledger, released) == owed, "the night has seen that PMO closed the first"
    for post, unit in owed:
        key = f"post-{post}-has-its-outcome"
        said = {"post": str(post), "utfall": "booked_millennium", "efter": "0", "nyckel": key}
        assert send(site, f"api/enhet/{unit}/utfall", **said) == 200
    assert site.ask(ledger, released) == []
    assert close_wave(site, "lead") == 422, "a receipt is missing, and no reason is given"
    inbox = f"INSERT INTO receipt_inbox ({', '.join(COLUMNS)}) VALUES (?, ?, 'accepted', ?, 'm', '', '')"
    with closing(sqlite3.connect(site.staging)) as connection, connection:
        now = dt.datetime.now(dt.UTC).isoformat()
        silent = [post for post, said in words_by_post(answered).items() if not said]
        connection.executemany(inbox, [(released, post, now) for post in silent])
    receive(site, "inbox", files=2, refused=1)
    contradicted = read_page(site, f"korningar/{released}")["settling"]["contradictions"]
    assert len(contradicted) == followed(site)["unanswered"] > 0
    for post in contradicted:
        word = {"ordet": post["words"][0]["key"], "horda": str(post["heard"]), "skal": REASON}
        assert send(site, f"korningar/{released}/svar", post=str(post["post_id"]), **word) == 303
    assert close_wave(site, "viewer") == 200
    ledger_now = read_page(site, "vag", namn=WAVE)["ledger"]
    assert (ledger_now["missing"], ledger_now["complete"], ledger_now["closed"]["actor"]) == (0, True, "viewer")
    found = chain_check.check(site.store.database, key=None, manifests={}, tell=lambda _: None)
    assert (found.faults, found.links > 0) == ([], True)


def test_a_wave_that_is_withdrawn_after_its_load_is_gone_from_the_view_and_free_is_what_the_receiver_let_go(
    site: Site, released: str, answered: HandOff
) -> None:
    posts = shown(site, released)
    site.airflow.unpause(dag=WITHDRAWAL)
    run_id = site.airflow.trigger("back", dag=WITHDRAWAL, batch_id=released)
    body = str(asked(site, WITHDRAWAL, run_id, "decide")["body"])
    assert f"**{len(posts)} poster** överfördes {moment(site.store.batch(released).released_at)}." in body
    told, *_ = site.mails("Svar väntas: Ska körningen återtas från Millennium?")
    assert f"Det gäller {len(posts)} poster i våg {WAVE}, per {AS_OF}." in told
    assert answer(site, "other", (WITHDRAWAL, run_id, "decide"), "Återta") == 403
    forge_an_answer(site, (WITHDRAWAL, run_id, "decide"), "Återta", ("withdraw", "take_back_hand_off"))
    assert (shown(site, released), site.store.batch(released).state) == (posts, BatchState.RELEASED)
    site.airflow.clear(run_id, ["decide"], downstream=True, dag=WITHDRAWAL)
    asked(site, WITHDRAWAL, run_id, "decide")
    assert answer(site, "lead", (WITHDRAWAL, run_id, "decide"), "Återta") == 200
    site.airflow.ended(run_id, dag=WITHDRAWAL)
    assert deciders(site, released) == {"lead"}
    assert shown(site, released) == set()
    assert site.store.batch(released).state is BatchState.WITHDRAWN_AFTER_LOAD
    assert not [handed for handed in read_hand_offs(site.folder / HAND_OFFS) if handed.batch_id == released]
    held = {post for (post,) in site.ask("SELECT post_id FROM released_post")}
    let_go = {post for post, said in words_by_post(answered).items() if said[-1:] in (["cancelled"], ["rejected"])}
    settled = {post for post, said in words_by_post(answered).items() if said == ["accepted", "rejected"]}
    assert posts - held == let_go - settled


def test_a_wave_that_nobody_loaded_is_withdrawn_and_all_its_posts_are_free(site: Site, released: str) -> None:
    posts = shown(site, demo.BATCH)
    site.airflow.unpause(dag=WITHDRAWAL)
    run_id = site.airflow.trigger("pilot-back", dag=WITHDRAWAL, batch_id=demo.BATCH)
    asked(site, WITHDRAWAL, run_id, "decide")
    assert answer(site, "lead", (WITHDRAWAL, run_id, "decide"), "Återta") == 200
    site.airflow.ended(run_id, dag=WITHDRAWAL)
    assert site.store.batch(demo.BATCH).state is BatchState.WITHDRAWN
    held = {post for (post,) in site.ask("SELECT post_id FROM released_post")}
    assert posts
    assert not posts & held
