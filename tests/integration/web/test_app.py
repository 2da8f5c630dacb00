"""The app: the rights of each user, the headers of every answer, and the errors."""

import datetime as dt
import json
import logging
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.support import batches, dashboards, posts, worklists
from tests.support.dashboards import Site

import waitlist_plugin
from waitlist.staging import StagingStore, schema
from waitlist.staging.access_log import numbers_of
from waitlist_airflow.web import app, pages
from waitlist_airflow.web import site as site_module

NAMES = ("Lindqvist", "Hemlig, Hanna")
UNIT = f"enhet/{posts.UNIT}"


@dataclass
class Browser:
    """The app as a user sees it."""

    client: TestClient
    staged: worklists.Site

    def get(self, path: str, user: str = "viewer") -> httpx.Response:
        """Send a request as a user's program: a browser's cookie is attacked in ``tests/security``."""
        return self.client.get(f"/{path}", headers={"Authorization": f"Bearer {user}"})

    @property
    def log(self) -> list[dict[str, Any]]:
        return dashboards.looks(self.staged)


def stage(folder: Path) -> worklists.Site:
    site = worklists.site(folder)
    site.stage(
        {},
        {"sekretess": True, "patient": "Hemlig, Hanna"},
        {"kategori": "Diabetesmottagning"},
        {"boka_from": "2024-01-01", "boka_fore": "2024-02-01"},
        {"enhet_hsa_id": "ingen enhet"},
    )
    return site


@pytest.fixture
def staged(tmp_path: Path) -> worklists.Site:
    return stage(tmp_path)


@pytest.fixture(scope="module")
def opened_once(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    site = stage(tmp_path_factory.mktemp("unchanged"))
    return Browser(TestClient(dashboards.over(site), raise_server_exceptions=False), site)


@pytest.fixture
def unchanged(opened_once: Browser, monkeypatch: pytest.MonkeyPatch) -> Browser:
    """Pages over a database that no test changes."""
    for name, users in dashboards.RIGHTS.items():
        monkeypatch.setenv(name, users)
    return opened_once


@pytest.fixture
def browser(staged: worklists.Site, monkeypatch: pytest.MonkeyPatch) -> Browser:
    for name, users in dashboards.RIGHTS.items():
        monkeypatch.setenv(name, users)
    made = dashboards.over(staged)
    return Browser(TestClient(made, raise_server_exceptions=False), staged)


PATHS = sorted(
    route.path.lstrip("/")
    for room in app.ROOMS
    for route in room.router.routes
    if "GET" in route.methods and "{" not in route.path
)


def words(page: str) -> str:
    """Return the text of a page, its white space folded."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).replace("\u202f", " ").replace("\u00a0", " ").split())


EVERY = [*PATHS, UNIT, f"{UNIT}/personer", f"{UNIT}/arbetslista", "korningar/x", "korningar/x/data-docs/index.html"]
EVERY += [f"api/{UNIT}", f"api/{UNIT}/personer", "static/style.css", "static/none.css", "docs", "none"]


# Rights


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize("status", [401, 403])
def test_every_address_checks_the_user_before_anything_else(
    unchanged: Browser, monkeypatch: pytest.MonkeyPatch, status: int, path: str
) -> None:
    monkeypatch.setattr(
        "waitlist_airflow.web.errors.get_auth_manager",
        lambda: SimpleNamespace(get_url_login=lambda next_url: f"/auth/login?next={next_url}"),
    )
    headers = {} if status == 401 else {"Authorization": "Bearer nobody"}
    assert unchanged.client.get(f"/{path}", headers=headers).status_code == status
    assert unchanged.log == []


@pytest.mark.parametrize("path", [*PATHS, UNIT, f"api/{UNIT}", "static/style.css", "static/none.css", "none"])
def test_every_answer_carries_the_headers(unchanged: Browser, path: str) -> None:
    answer = unchanged.get(path, "lead")
    assert answer.status_code in {200, 404}
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("path", [UNIT, "enhet/okand-enhet", f"api/{UNIT}", "", "api/oversikt", "enhet", "api/enheter"])
@pytest.mark.parametrize("user", ["viewer", "lead"])
def test_no_page_but_the_one_for_persons_names_any(browser: Browser, path: str, user: str) -> None:
    text = browser.get(path, user).text
    assert [name for name in (*NAMES, *(worklists.person(number) for number in range(5))) if name in text] == []
    assert browser.log == []


@pytest.mark.parametrize("path", [f"{UNIT}/personer", f"api/{UNIT}/personer", f"{UNIT}/arbetslista"])
def test_only_named_readers_see_persons(browser: Browser, path: str) -> None:
    refused = browser.get(path)
    assert refused.status_code == 403
    assert [name for name in NAMES if name in refused.text] == []
    assert browser.log == []
    shown = browser.get(path, "reader")
    assert shown.status_code == 200
    assert shown.headers["Cache-Control"] == "no-store"
    assert browser.log
    named = {(entry["user_id"], entry["enhet_hsa_id"], entry["batch_id"]) for entry in browser.log}
    assert named == {("reader", posts.UNIT, worklists.BATCH)}


def test_nobody_may_see_persons_while_nobody_is_named(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAITLIST_PERSON_READERS")
    assert browser.get(f"{UNIT}/personer", "").status_code == 403
    assert browser.get(f"{UNIT}/personer", "lead").status_code == 403


def test_a_protected_identity_stays_masked(browser: Browser) -> None:
    told = browser.get(f"api/{UNIT}/personer?visa=alla", "reader").json()["persons"]
    assert told["1"]["name"] == "Lindqvist, Åsa"
    assert told["2"] == {"number": "Skyddade personuppgifter", "name": "Skyddade personuppgifter", "protected": True}
    text = browser.get(f"{UNIT}/personer?visa=alla", "reader").text
    assert "Lindqvist, Åsa" in text
    assert "Hanna" not in text


def test_persons_are_those_of_the_posts_shown(browser: Browser) -> None:
    told = browser.get(f"api/{UNIT}/personer?beslut=move_to_sdv_list", "reader").json()
    assert set(told["persons"]) == {"3"}
    assert [(entry["post_id"], entry["person_id"]) for entry in browser.log] == [(3, person_id(2))]


@pytest.mark.parametrize("path", [f"{UNIT}/personer", f"api/{UNIT}/personer", f"{UNIT}/arbetslista"])
def test_persons_are_not_shown_when_the_access_log_cannot_be_written(browser: Browser, path: str) -> None:
    with browser.staged.store.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE access_log"))
    answer = browser.get(path, "reader")
    assert answer.status_code == 503
    assert [name for name in NAMES if name in answer.text] == []


def test_a_work_list_is_whole_private_and_leaves_nothing_behind(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no folder for temporary files"))
    answer = browser.get(f"{UNIT}/arbetslista", "reader")
    assert answer.headers["Cache-Control"] == "no-store"
    name = f"arbetslista-Enligt-plan--{posts.UNIT}-{posts.AS_OF}.xlsx"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    (tmp_path / name).write_bytes(answer.content)
    browser.staged.write(tmp_path / "out", units=(posts.UNIT,))
    assert worklists.post_ids_of(worklists.book_of(tmp_path)) == worklists.post_ids_of(
        worklists.book_of(tmp_path / "out")
    )
    assert {(entry["action"], entry["post_id"], entry["person_id"]) for entry in browser.log} == {
        ("work_list", 3, person_id(2)), ("work_list", 4, person_id(3)),
    }  # fmt: skip


def test_the_access_log_is_for_its_readers_and_names_no_patient(browser: Browser) -> None:
    browser.get(f"{UNIT}/personer?visa=alla", "reader")
    assert browser.get("atkomstlogg", "reader").status_code == 403
    told = browser.get("api/atkomstlogg", "lead").json()
    assert {entry["post_id"] for entry in told["entries"]} == {1, 3, 4}, "a masked patient was not shown"
    named = {(entry["user_id"], entry["action"], entry["posts"], entry["unit"]) for entry in told["entries"]}
    assert named == {("reader", "persons", 1, posts.UNIT)}
    text = browser.get("atkomstlogg", "lead").text
    assert "Visade personer" in text
    numbers = [person_id(number) for number in range(5)]
    assert [name for name in (*NAMES, *numbers) if name in text] == []


def test_an_extract_has_the_entries_about_one_patient_alone(browser: Browser) -> None:
    browser.get(f"{UNIT}/personer", "reader")
    with browser.staged.store.engine.begin() as connection:
        # Another post of the patient of post 3, and an entry of an earlier release.
        other = {**browser.log[0], "entry_id": "a" * 32, "post_id": 77, "person_id": person_id(2)}
        earlier = {**other, "entry_id": "b" * 32, "post_id": None, "person_id": None, "acting_for": None, "posts": 4}
        connection.execute(schema.access_log.insert(), [other, earlier])
    for post in (3, 77):
        told = browser.get(f"api/atkomstlogg?post={post}", "lead").json()
        assert {entry["post_id"] for entry in told["entries"]} == {3, 77}
    assert browser.get("api/atkomstlogg?post=5", "lead").json()["entries"] == []
    assert "äldre, per uppslag" in words(browser.get("atkomstlogg", "lead").text)


def test_a_post_without_a_personal_number_is_logged_by_its_id(browser: Browser) -> None:
    told = numbers_of([posts.PERSON, "19850314-2380", "Lindqvist, Åsa", "850314-6380", None], posts.AS_OF)
    assert told[2:] == [None, None, None], "no other text of PMO's field is kept"
    assert set(told[:1]) == {posts.PERSON_ID}


def person_id(number: int) -> str:
    """Return the number of twelve digits of a post's patient, by the position in its batch."""
    return "19" + worklists.person(number).replace("-", "")


def test_the_navigation_shows_the_log_to_its_readers_alone(browser: Browser) -> None:
    assert "Åtkomstlogg</a>" in browser.get("", "lead").text
    assert "Åtkomstlogg</a>" not in browser.get("", "reader").text


@pytest.mark.parametrize("path", ["", "enhet", UNIT, f"{UNIT}/personer", "api/oversikt", "static/style.css", "none"])
def test_a_head_is_answered_as_a_get(browser: Browser, path: str) -> None:
    head = browser.client.head(f"/{path}", headers={"Authorization": "Bearer lead"})
    get = browser.get(path, "lead")
    assert (head.status_code, dict(head.headers), head.content) == (get.status_code, dict(get.headers), b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(browser: Browser, method: str) -> None:
    for path in ("/", f"/{UNIT}", f"/{UNIT}/personer", "/atkomstlogg"):
        assert browser.client.request(method, path, headers={"Authorization": "Bearer lead"}).status_code in {404, 405}


# A page and its JSON


@pytest.mark.parametrize(
    ("page", "api"),
    [("", "api/oversikt"), ("enhet", "api/enheter"), (UNIT, f"api/{UNIT}")],
    ids=["all", "units", "unit"],
)
def test_a_page_and_its_json_have_the_same_figures(browser: Browser, page: str, api: str) -> None:
    told = browser.get(api).json()
    text = browser.get(page).text
    assert told["latest"]["batch_id"] in text
    assert told["latest"]["as_of"] == posts.AS_OF.isoformat()


def test_a_figure_is_shown_with_its_share_and_its_denominator(browser: Browser) -> None:
    told = browser.get("api/oversikt").json()
    assert (told["ready"], told["left"], told["posts"]) == (2, 3, 5)
    said = words(browser.get("").text)
    assert "40 % migreras 2 av 5 poster. 3 är kvar att hantera (60 %)." in said
    told = browser.get(f"api/{UNIT}").json()["unit"]
    assert (told["ready"], told["left"], told["posts"]) == (2, 2, 4)
    said = words(browser.get(UNIT).text)
    assert "2 kvar att hantera, 50 %" in said
    assert "50 % migreras, 2 av 4" in said


def test_json_has_dates_and_moments_as_iso_text() -> None:
    said = pages.to_plain({"day": dt.date(2024, 10, 1), "moment": batches.NOW, "many": (frozenset({1}), None)})
    assert json.loads(json.dumps(said)) == {
        "day": "2024-10-01", "moment": "2024-10-01T22:30:00+00:00", "many": [[1], None],
    }  # fmt: skip


def test_the_filters_of_the_address_choose_the_posts(browser: Browser) -> None:
    ids = lambda query: [post["post_id"] for post in browser.get(f"api/{UNIT}{query}").json()["posts"]]  # noqa: E731
    assert ids("?beslut=fix_in_pmo") == [4]
    assert ids("?beslut=&regel=CATEGORY_NOT_MOVED&lista=&post=") == [3]
    assert ids("?visa=alla&sortera=post&riktning=ned") == [4, 3, 2, 1]
    assert ids("?post=2") == [2]


# Errors


@pytest.mark.parametrize(
    "query",
    [
        "?post=hemlig",
        "?beslut=hemlig",
        "?regel=hemlig",
        "?sida=0",
        "?sortera=hemlig",
        "?post=99999999999999999999",
        "?sida=x",
    ],
)
def test_an_address_that_cannot_be_read_is_not_quoted(browser: Browser, query: str) -> None:
    for path in (UNIT, f"api/{UNIT}"):
        answer = browser.get(path + query)
        assert answer.status_code == 422
        assert "hemlig" not in answer.text


def test_an_unknown_unit_is_reported_without_its_name(browser: Browser) -> None:
    answer = browser.get("enhet/hemlig-enhet")
    assert answer.status_code == 404
    assert "Det du frågar efter finns inte" in answer.text
    assert "hemlig" not in answer.text


def test_before_the_first_dry_run_the_pages_explain_what_to_do(browser: Browser, tmp_path: Path) -> None:
    empty = StagingStore(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    browser.client.app.dependency_overrides[site_module.site] = lambda: Site(empty, tmp_path)
    for path in ("", "enhet", UNIT):
        answer = browser.get(path)
        assert answer.status_code == 404
        assert "Ingen torrkörning har gjorts ännu" in answer.text
        assert "waitlist_dry_run" in answer.text
        assert re.search(r'href="[./]*korningar">Till körningarna', answer.text)
    assert browser.get("api/oversikt").json()["error"] == "no_batch"


def test_a_database_that_cannot_be_reached_is_reported_and_not_quoted(browser: Browser, tmp_path: Path) -> None:
    nowhere = StagingStore(f"sqlite:///{tmp_path / 'no' / 'folder' / 'x.sqlite'}")
    browser.client.app.dependency_overrides[site_module.site] = lambda: Site(nowhere, tmp_path)
    answer = browser.get("")
    assert answer.status_code == 503
    assert "Databasen svarar inte" in answer.text
    assert "folder" not in answer.text


def test_tables_of_another_release_are_reported(browser: Browser) -> None:
    batches.execute(browser.staged.store, sa.text("UPDATE staging_version SET version_num = '0002'"))
    answer = browser.get("")
    assert answer.status_code == 503
    assert "Databasen hör till en annan version" in answer.text


def test_an_unexpected_error_shows_no_details(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fall(*_: object, **__: object) -> None:
        raise ValueError("198503142380 Lindqvist, Åsa")

    monkeypatch.setattr("waitlist_airflow.web.overview.read_overview", fall)
    with caplog.at_level(logging.DEBUG):
        answer = browser.get("")
    assert answer.status_code == 500
    assert "Content-Security-Policy" in answer.headers
    assert "Något gick fel" in answer.text
    for text in (answer.text, caplog.text):
        assert "Lindqvist" not in text
        assert "198503142380" not in text
    assert "ValueError" in caplog.text


def test_a_missing_snapshot_leaves_the_figures_and_refuses_the_persons(browser: Browser, tmp_path: Path) -> None:
    store = browser.staged.store
    browser.client.app.dependency_overrides[site_module.site] = lambda: Site(store, tmp_path / "elsewhere")
    assert browser.get("").status_code == 200
    assert browser.get(UNIT).status_code == 200
    assert browser.get(f"{UNIT}/personer", "reader").status_code == 503
    assert browser.log == []


def test_a_failed_night_is_shown_first(browser: Browser) -> None:
    store = browser.staged.store
    night = posts.AS_OF + dt.timedelta(days=1)
    batches.open_batch(store, "failed", as_of=night, started_at=batches.NOW + dt.timedelta(days=1))
    store.mark_failed("failed", batches.NOW + dt.timedelta(days=1))
    text = browser.get("").text
    assert "Den senaste torrkörningen misslyckades" in text
    assert "läget per 1\u00a0oktober\u00a02024" in text
    assert text.index("misslyckades") < text.index("Alla enheter")
    assert 'href="./korningar/failed"' in text


@pytest.mark.parametrize("root_path", ["", "/airflow"])
def test_the_address_without_its_slash_leads_to_the_page(root_path: str) -> None:
    airflow = FastAPI(root_path=root_path)
    airflow.mount(waitlist_plugin.PREFIX, FastAPI())
    airflow.add_middleware(waitlist_plugin.SlashAtTheEnd)
    client = TestClient(airflow)
    led = client.get(f"{root_path}/migrering", follow_redirects=False)
    assert (led.status_code, led.headers["Location"]) == (307, "migrering/")
    assert led.next_request is not None
    assert led.next_request.url.path == f"{root_path}/migrering/"
    assert client.get(f"{root_path}/migreringen").status_code == 404


def test_pages_reach_the_database_as_the_settings_say_and_wait_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MILLENNIUM_STAGING", "postgres://a:b@staging.example.invalid/c")
    site = site_module.Site()
    for url in (
        site.store.engine.url,
        site_module._looked_at(site_module.staging_url(), site.settings.connections).engine.url,
    ):
        assert url.query["sslmode"] == "verify-full"
        assert url.query["connect_timeout"] == "2"
        assert "lock_timeout=2s" in str(url.query["options"])
