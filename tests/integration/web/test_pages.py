"""The pages on runs, the catalogue, what-if and releases, as the app answers a user that is logged in."""

import datetime as dt
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.api_fastapi.common.db.common import _get_session
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session
from tests.support import batches, dashboards
from tests.support.airflow_home import sqlite_connection
from tests.support.runs import AS_OF, dry_run, pipeline, request

from waitlist import demo
from waitlist.judge.rules import RULES
from waitlist.release.receipts import store as receipts
from waitlist.release.receipts.rows import Receipt
from waitlist.release.receipts.words import Outcome, Word
from waitlist.settings import Settings
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.source.pmo import PmoSource
from waitlist.staging import StagingStore, schema
from waitlist.swedish.words import DISPOSITION_LABELS, PERSONS_NOT_ASKED, PERSONS_SUITE_NOT_APPLICABLE
from waitlist_airflow.web.access import may_begin_withdrawals
from waitlist_airflow.web.app import create_app, get_user

BEGUN = dt.datetime(2024, 10, 1, 4, tzinfo=dt.UTC)


class Lead:
    def get_id(self) -> str:
        return "lead"


@dataclass(frozen=True)
class Made:
    """A site with two dry runs, the earlier one failed at once, and a released pilot."""

    folder: Path
    latest: str
    failed: str

    @property
    def store(self) -> StagingStore:
        return StagingStore(f"sqlite:///{self.folder / 'staging.sqlite'}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("pages")
    generate(Order(600, seed=8, as_of=AS_OF), folder, sqlite=folder / "pmo.sqlite")
    pmo = f"Driver={{SQLite3}};Database={folder / 'pmo.sqlite'}"
    staging = f"sqlite:///{folder / 'staging.sqlite'}"
    steps = pipeline(folder, pmo=pmo, staging=staging, mappings=folder / MAPPINGS, data_docs_dir=folder / "docs")
    steps.store.migrate()
    demo.release_pilot(PmoSource(pmo, Settings()), steps.store, folder)
    failed = request("broken", as_of=AS_OF - dt.timedelta(days=1))
    steps.open_batch(failed, now=BEGUN - dt.timedelta(days=1))
    steps.mark_failed(failed, failed=["extract"], now=BEGUN - dt.timedelta(days=1))
    return Made(folder, dry_run(steps, request("night"), now=BEGUN), failed.batch_id)


@pytest.fixture
def metadata() -> Iterator[Session]:
    """Airflow's own task instances of the night, which took two parts to extract."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    columns = ("task_id", "dag_id", "run_id", "map_index", "state", "start_date", "end_date")
    table = sa.Table("task_instance", sa.MetaData(), *(sa.Column(n, TaskInstance.__table__.c[n].type) for n in columns))
    table.create(engine)
    dashboards.airflow_runs(engine)
    rows = [
        ("open_batch", -1, "success", 0, 5),
        ("extract", 0, "success", 5, 20),
        ("extract", 1, "failed", 5, 65),
        ("assess", 0, "upstream_failed", 65, 65),
        ("mark_failed", -1, "success", 66, 67),
    ]
    with Session(engine) as session:
        for task, part, state, begins, ends in rows:
            moments = (BEGUN + dt.timedelta(seconds=begins), BEGUN + dt.timedelta(seconds=ends))
            values = (task, "waitlist_dry_run", "night", part, state, *moments)
            session.execute(table.insert().values(dict(zip(columns, values, strict=True))))
        session.commit()
        yield session
    engine.dispose()


@pytest.fixture
def client(made: Made, metadata: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    for name, value in {
        "AIRFLOW_CONN_MILLENNIUM_STAGING": sqlite_connection(made.folder / "staging.sqlite"),
        "WAITLIST_MAPPINGS_DIR": str(made.folder / MAPPINGS),
        "WAITLIST_SNAPSHOT_URL": f"file://{made.folder / 'snapshots'}",
        "WAITLIST_DATA_DOCS_DIR": str(made.folder / "docs"),
        "WAITLIST_LEADS": "lead",
    }.items():
        monkeypatch.setenv(name, value)
    app = create_app()
    app.dependency_overrides |= {
        get_user: Lead,
        _get_session: lambda: metadata,
    }
    outer = FastAPI()
    outer.mount("/migrering", app)
    with TestClient(outer) as client:
        yield client


def html(client: TestClient, path: str, status: int = 200) -> str:
    answer = client.get(f"/migrering/{path}")
    assert answer.status_code == status
    return answer.text


def words(page: str) -> str:
    """Return the text of a page, its white space folded."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).replace("\u202f", " ").replace("\u00a0", " ").split())


def plain(client: TestClient, path: str) -> Any:
    return client.get(f"/migrering/api/{path}").raise_for_status().json()


def test_the_list_of_runs_leads_to_each(client: TestClient, made: Made) -> None:
    page = html(client, "korningar")
    assert all(f'href="korningar/{batch_id}"' in page for batch_id in (made.latest, made.failed, demo.BATCH))
    assert [batch["state"] for batch in plain(client, "korningar")["batches"]] == ["verified", "failed", "released"]


def test_each_page_that_shows_a_run_says_that_the_person_service_was_not_asked(client: TestClient, made: Made) -> None:
    for page in ("", "overfort", f"korningar/{made.latest}"):
        assert "Personuppgiftstjänsten tillfrågades inte" in html(client, page)
    assert "utan Personuppgiftstjänsten" in html(client, "korningar")
    suites = {suite["name"]: suite for suite in plain(client, f"korningar/{made.latest}")["suites"]}
    assert (suites["persons"]["outcome"], suites["persons"]["checks"]) == ("not_applicable", [])
    told = f"Inget att granska {PERSONS_NOT_ASKED}. {PERSONS_SUITE_NOT_APPLICABLE}"
    page = words(html(client, f"korningar/{made.latest}"))
    assert f"Svaren från Personuppgiftstjänsten. {told}" in page


@pytest.fixture
def replay(made: Made) -> Iterator[str]:
    """A run that judges the night's snapshot again."""
    asked = request("what-if")
    told = {"dag_id": asked.dag_id, "run_id": asked.run_id, "kind": asked.kind, "wave": None, "rules_version": "0" * 64}
    opened = {"as_of": AS_OF, "started_at": BEGUN - dt.timedelta(hours=1), "reuse_snapshot": made.latest}
    made.store.open_batch(asked.batch_id, **told, **opened)
    yield asked.batch_id
    with batches.unguarded(made.store) as connection:
        for table in (schema.batch_event, schema.batch):
            connection.execute(table.delete().where(table.c.batch_id == asked.batch_id))


def test_a_replay_is_marked_and_links_to_the_run_that_it_judged(client: TestClient, made: Made, replay: str) -> None:
    assert {batch["batch_id"]: batch["replay"] for batch in plain(client, "korningar")["batches"]} == {
        made.latest: False, replay: True, made.failed: False, demo.BATCH: False,
    }  # fmt: skip
    assert words(html(client, "korningar")).count("omprövad avläsning") == 1
    page = html(client, f"korningar/{replay}")
    assert "Omprövning av en tidigare avläsning" in page
    assert f'<a href="{made.latest}">en tidigare avläsning</a>' in page
    assert plain(client, f"korningar/{replay}")["reuse_snapshot"] == made.latest
    assert "Omprövning" not in html(client, f"korningar/{made.latest}")


def test_a_run_shows_where_every_post_went(client: TestClient, made: Made) -> None:
    accounts = plain(client, f"korningar/{made.latest}")["accounting"]
    said = words(html(client, f"korningar/{made.latest}"))
    assert accounts["adds_up"]
    assert "varje läst post hanteras på precis ett sätt" in said
    for stream in accounts["streams"]:
        assert f"{DISPOSITION_LABELS[stream['disposition']]} {stream['posts']}" in said


def test_a_run_whose_accounts_do_not_add_up_says_so(client: TestClient, made: Made) -> None:
    with made.store.database.writing() as connection:
        connection.execute(sa.text("UPDATE batch SET posts_staged = posts_staged - 1 WHERE kind = 'dry_run'"))
    try:
        assert "Det stämmer inte" in html(client, f"korningar/{made.latest}")
    finally:
        with made.store.database.writing() as connection:
            connection.execute(sa.text("UPDATE batch SET posts_staged = posts_staged + 1 WHERE kind = 'dry_run'"))


def test_the_steps_are_those_that_airflow_ran(client: TestClient, made: Made) -> None:
    steps = plain(client, f"korningar/{made.latest}")["steps"]
    assert [(step["name"], step["seconds"], step["parts"], step["state"]) for step in steps] == [
        ("open_batch", 5.0, 1, "success"),
        ("extract", 60.0, 2, "failed"),
        ("mark_failed", 1.0, 1, "success"),
    ]
    said = words(html(client, f"korningar/{made.latest}"))
    assert "Läsa PMO extract (2 delar)" in said
    assert "Totalt 1 min 7 s" in said


def test_a_failed_run_says_where_it_stopped_and_shows_no_figures(client: TestClient, made: Made) -> None:
    said = words(html(client, f"korningar/{made.failed}"))
    assert "Den stannade i steget Läsa PMO" in said
    assert "det finns inget att redovisa" in said
    assert "failed:" not in said


def test_a_run_is_compared_with_another(client: TestClient, made: Made) -> None:
    assert "har samma hantering i båda" in words(html(client, f"korningar/{made.latest}?jamfor={demo.BATCH}"))
    html(client, f"korningar/{made.latest}?jamfor={made.failed}", 404)
    html(client, "korningar/dry_run-0000", 404)


def test_the_run_offered_for_comparison_is_the_one_before_of_its_kind(client: TestClient, made: Made) -> None:
    """The only earlier one that counts is a migration, so none is chosen beforehand."""
    assert " selected" not in html(client, f"korningar/{made.latest}")
    assert f'value="{demo.BATCH}" selected' in html(client, f"korningar/{made.latest}?jamfor={demo.BATCH}")


def test_data_docs_bring_their_own_style_and_nothing_else(client: TestClient, made: Made) -> None:
    assert f'href="{made.latest}/data-docs/index.html"' in html(client, f"korningar/{made.latest}")
    answer = client.get(f"/migrering/korningar/{made.latest}/data-docs/index.html")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for link in re.findall(r'href="([^"]+)"', answer.text):
        html(client, f"korningar/{made.latest}/data-docs/{link}")


@pytest.mark.parametrize(
    "path",
    [
        "{latest}/data-docs/style.css",
        "{latest}/data-docs/..%2f..%2fstaging.sqlite",
        "..%2f{latest}/data-docs/index.html",
        "{failed}/data-docs/index.html",
        "{latest}/data-docs/nothing.html",
        ".../data-docs/index.html",
    ],
)
def test_nothing_else_is_served_as_data_docs(client: TestClient, made: Made, path: str) -> None:
    html(client, f"korningar/{path.format(latest=made.latest, failed=made.failed)}", 404)


def test_a_link_out_of_the_folder_of_data_docs_leads_nowhere(client: TestClient, made: Made, tmp_path: Path) -> None:
    secret = tmp_path / "secret.html"
    secret.write_text("hemligt")
    (made.folder / "docs" / made.latest / "secret.html").symlink_to(secret)
    html(client, f"korningar/{made.latest}/data-docs/secret.html", 404)


def test_the_catalogue_has_every_list_and_rule_with_its_posts(client: TestClient) -> None:
    page, told = html(client, "regler"), plain(client, "regler")
    assert (len(told["lists"]), len(told["rules"])) == (47, len(RULES))
    for rule in told["rules"]:
        assert rule["code"] in page
    for row in told["lists"]:
        assert row["name"] in page
    assert f"{told['unknown_posts']} poster ligger på" in words(page)


def test_a_mapping_file_that_is_edited_counts_at_once(
    client: TestClient, made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(made.folder / MAPPINGS, tmp_path / MAPPINGS)
    monkeypatch.setenv("WAITLIST_MAPPINGS_DIR", str(tmp_path / MAPPINGS))
    assert not any(rule["raised"] for rule in plain(client, "regler")["rules"])
    with (tmp_path / MAPPINGS / "rule_severities.csv").open("a", encoding="utf-8") as file:
        file.write("AGE_MISMATCH,blocks,,\n")
    assert [rule["code"] for rule in plain(client, "regler")["rules"] if rule["raised"]] == ["AGE_MISMATCH"]


def test_a_fault_in_a_mapping_file_is_quoted_above_every_page_which_shows_what_was_without_fault(
    client: TestClient, made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made.folder / MAPPINGS, tmp_path / MAPPINGS))
    monkeypatch.setenv("WAITLIST_MAPPINGS_DIR", str(folder))
    before = {path: plain(client, path) for path in ("enheter", "regler")}
    units = folder / "units.csv"
    rows = units.read_text("utf-8").splitlines()
    line = next(number for number, row in enumerate(rows) if re.search(r"\d{4}-\d\d-\d\d", row))
    broken = [*rows[:line], re.sub(r"\d{4}-\d\d-\d\d", "<i>2025-13-05", rows[line]), *rows[line + 1 :]]
    units.write_text("\n".join(broken), "utf-8")
    fault = f"units.csv:{line + 1}: driftstart: &#39;&lt;i&gt;2025-13-05&#39; is no date YYYY-MM-DD"
    for path in (
        "",
        "enhet",
        f"korningar/{made.failed}",
        "korningar",
        "regler",
        "vad-hander-om",
        "overfort",
        "handbok",
    ):
        page = html(client, path)
        assert f'<code lang="en">{fault}' in page, path
        assert "som de var innan felen kom" in words(page)
    assert {path: plain(client, path) for path in before} == before
    units.write_text("\n".join(rows), "utf-8")
    assert fault not in html(client, "enhet")


def test_a_process_that_has_seen_the_files_only_with_a_fault_shows_the_rows_without_faults(
    client: TestClient, made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made.folder / MAPPINGS, tmp_path / MAPPINGS))
    units = folder / "units.csv"
    first, *rest = units.read_text("utf-8").splitlines()
    units.write_text("\n".join([first, "x,Trasig,Pv,,,,,,", *rest]), "utf-8")
    monkeypatch.setenv("WAITLIST_MAPPINGS_DIR", str(folder))
    page = html(client, "enhet")
    assert '<code lang="en">units.csv:2: ' in page
    assert "utan de rader som är fel" in words(page)


def test_what_if_answers_in_words_and_tables(client: TestClient) -> None:
    asked = "?enhet=v%C3%A5g:1&driftstart=2025-03-03"
    found = plain(client, f"vad-hander-om{asked}")["consequences"]
    page = html(client, f"vad-hander-om{asked}")
    assert found["moved"] > 0
    assert f"{found['moved']} poster av {found['posts']} får en annan hantering" in words(page)
    assert '<option value="våg:1" selected>' in page
    assert 'value="2025-03-03"' in page


def test_what_if_names_every_fault_and_echoes_nothing_unescaped(client: TestClient) -> None:
    page = html(client, "vad-hander-om?enhet=x&dagar=%22%3E%3Cscript%3E&kategori=%3Cb%3E")
    assert page.count("<li>Enheten eller") == page.count("<li>Dagar efter") == page.count("<li>Välj den SDV") == 1
    assert "<script>" not in page
    assert "<b>" not in page.split("<form")[1].split("</form>")[0]


def test_what_if_without_a_snapshot_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAITLIST_SNAPSHOT_URL", f"file://{tmp_path}")
    assert "Avläsningen finns inte kvar" in html(client, "vad-hander-om?dagar=7")


def test_a_release_is_shown_with_its_approver_and_reason(client: TestClient) -> None:
    said = words(html(client, "overfort"))
    assert f"av {demo.APPROVER}" in said
    assert demo.REASON in said
    (batch,) = plain(client, "overfort")["batches"]
    assert f"{batch['posts']} beslutade" in said


def test_before_the_first_run_the_pages_say_what_they_will_show(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    StagingStore(f"sqlite:///{tmp_path / 'empty.sqlite'}").migrate()
    monkeypatch.setenv("AIRFLOW_CONN_MILLENNIUM_STAGING", sqlite_connection(tmp_path / "empty.sqlite"))
    assert "Ingen körning har gått än" in html(client, "korningar")
    assert "Antalen kommer när" in html(client, "regler")
    assert "Inget har överförts än" in html(client, "overfort")
    html(client, "vad-hander-om")
    html(client, "vad-hander-om?dagar=7", 404)


def test_a_page_and_its_json_have_no_persons(client: TestClient, made: Made) -> None:
    with made.store.database.connected() as connection:
        persons = connection.execute(sa.text("SELECT person_id, patientnamn FROM bokningsbegaran")).all()
    assert persons
    pages = ["korningar", f"korningar/{made.latest}", "regler", "vad-hander-om?dagar=7", "overfort"]
    said = "".join(html(client, page) + json.dumps(plain(client, page), ensure_ascii=False) for page in pages)
    assert not [one for row in persons for one in row if one in said]


# A withdrawal that is begun from the batch's page

BACK = f"/migrering/korningar/{demo.BATCH}/aterta"
COOKIE = {"_token": "a session"}


@pytest.fixture
def begun(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The runs that are triggered, by a user that may trigger them."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr("waitlist_airflow.web.batch.trigger_dag", lambda **given: asked.append(given))
    inside: Any = client.app
    inside.routes[-1].app.dependency_overrides[may_begin_withdrawals] = lambda: None
    return asked


def test_a_withdrawal_is_begun_by_a_button_that_has_the_id(client: TestClient, begun: list[dict[str, Any]]) -> None:
    client.cookies.update(COOKIE)
    page = html(client, f"korningar/{demo.BATCH}")
    (action,) = re.findall(r'<form method="post" action="([^"]+)">', page)
    (kod,) = set(re.findall(r'name="kod" value="([^"]+)"', page))
    ours = {"Origin": "http://testserver"}
    answer = client.post(f"/migrering/korningar/{action}", data={"kod": kod}, headers=ours, follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"../{demo.BATCH}#aterta")
    (run,) = begun
    assert (run["dag_id"], run["conf"]) == ("waitlist_withdrawal", {"batch_id": demo.BATCH})


def test_only_a_released_batch_can_be_withdrawn(client: TestClient, made: Made, begun: list[dict[str, Any]]) -> None:
    assert "/aterta" not in html(client, f"korningar/{made.latest}")
    path = BACK.replace(demo.BATCH, made.latest)
    assert client.post(path, headers={"Authorization": "Bearer x"}, follow_redirects=False).status_code == 303
    assert begun == []


def test_a_withdrawal_that_is_under_way_is_not_begun_again(
    client: TestClient, metadata: Session, begun: list[dict[str, Any]]
) -> None:
    under_way = ("waitlist_withdrawal", "x", "running", {"batch_id": demo.BATCH})
    names = ("dag_id", "run_id", "state", "conf")
    table = sa.Table("dag_run", sa.MetaData(), *(sa.Column(name, DagRun.__table__.c[name].type) for name in names))
    metadata.execute(table.insert().values(dict(zip(names, under_way, strict=True))))
    page = html(client, f"korningar/{demo.BATCH}")
    assert "Ett återtagande är påbörjat" in page
    assert "/aterta" not in page
    assert client.post(BACK, headers={"Authorization": "Bearer x"}, follow_redirects=False).status_code == 303
    assert begun == []


def test_a_user_that_may_not_trigger_the_withdrawal_begins_none(
    client: TestClient, begun: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise HTTPException(403)

    inside: Any = client.app
    inside.routes[-1].app.dependency_overrides[may_begin_withdrawals] = refuse
    assert client.post(BACK, headers={"Authorization": "Bearer x"}, follow_redirects=False).status_code == 403
    assert begun == []


def test_a_released_run_shows_what_the_receiver_has_answered(client: TestClient, made: Made) -> None:
    page = f"korningar/{demo.BATCH}"
    assert "Vad mottagaren har svarat" not in html(client, page)
    assert "ingen mapp är inställd" in words(html(client, page))
    posts = [row["post_id"] for row in batches.rows(made.store, schema.followed_post)]
    at = dt.datetime.now(dt.UTC)
    told = Receipt(demo.BATCH, posts[0], Word("1", Outcome.ACCEPTED, at, "m1"), "Nils Nilsson finns redan")
    with made.store.database.writing() as connection:
        receipts.keep(connection, [told], at)
    try:
        answer = html(client, page)
        said = words(answer)
        assert f"{len(posts)} godkända {len(posts)} läses av Millennium 1 mottagna 0 avvisade" in said
        assert "är samma poster" in said
        assert 'aria-label="Mottagna, inte bokade 1' in answer
        assert "Nilsson" not in answer + str(plain(client, page))
        unit = plain(client, page)["followed"][0]
        assert (unit["posts"], unit["name"] in said) == (1, True)
    finally:
        with batches.unguarded(made.store) as connection:
            for table in (schema.receipt, schema.receipt_reason, schema.post_answer):
                connection.execute(table.delete())
