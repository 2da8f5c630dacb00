"""Every form of the dashboard, sent from elsewhere: none reaches what it would do."""

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient
from tests.support import batches, dashboards, posts, worklists

from waitlist.access import Need
from waitlist.staging import schema
from waitlist_airflow import web
from waitlist_airflow.web import app, errors
from waitlist_airflow.web.access import Requires, may_begin_withdrawals

FORMS = sorted(route.path for room in app.ROOMS for route in room.router.routes if "POST" in route.methods)
"""The addresses of all forms."""
OURS = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
ELSEWHERE: tuple[Mapping[str, str], ...] = (
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Origin": "null"},
    {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://evil.example.invalid"},
    {"Origin": "http://testserver.evil.example.invalid"},
    {"Origin": "http://testserver:81"},
    {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://testserver", "Sec-Fetch-Site": "same-site"},
    {"Origin": "http://evil.example.invalid", "X-Forwarded-Host": "evil.example.invalid"},
)
"""What a browser says of a form that is not on a page of ours."""
FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> worklists.Site:
    site = worklists.site(tmp_path_factory.mktemp("forms"))
    site.stage({"kategori": "Diabetesmottagning"})
    return site


@pytest.fixture
def made(staged: worklists.Site, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    for name, users in {**dashboards.RIGHTS, "WAITLIST_LEADS": "lead, other"}.items():
        monkeypatch.setenv(name, users)
    monkeypatch.setattr(errors, "get_auth_manager", SimpleAuthManager)
    made = dashboards.over(staged)
    made.dependency_overrides[may_begin_withdrawals] = lambda: None
    return made


@pytest.fixture
def client(made: FastAPI) -> TestClient:
    return TestClient(made, raise_server_exceptions=False, follow_redirects=False)


def addresses() -> Iterator[str]:
    given = {"unit": posts.UNIT, "batch_id": worklists.BATCH, "month": "2024-01", "entry_id": f"{0:032x}"}
    for path in FORMS:
        yield re.sub(r"{(\w+)}", lambda found: given.get(found[1], "1"), path)


def cookie(user: str) -> dict[str, str]:
    return {"Cookie": f"_token={user}"}


def token(client: TestClient, user: str) -> str:
    page = client.get("/sok", headers=cookie(user)).text
    (found,) = set(re.findall(r'name="kod" value="([0-9a-f]{64})"', page))
    return found


def send(client: TestClient, path: str, headers: Mapping[str, str], *, user: str = "lead", kod: str) -> httpx.Response:
    return client.post(path, data={"kod": kod}, headers={**cookie(user), **headers})


def told(staged: worklists.Site) -> list[object]:
    tables = (
        schema.post_outcome, schema.log_verdict, schema.access_log, schema.sample_verdict, schema.sample_size,
    )  # fmt: skip
    return [row for table in tables for row in batches.rows(staged.store, table)]


def test_every_form_on_our_pages_has_the_token() -> None:
    folder = Path(web.__file__).parent / "templates"
    places = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.html")}
    sent = [
        (name, place)
        for name, text in places.items()
        for place in re.findall(r'method="post".*?</form>', text, re.DOTALL)
    ]
    assert len(sent) >= 9
    # The forms of a unit's page share a macro of hidden fields.
    assert [(name, form[:80]) for name, form in sent if "m.token()" not in form and "fields(post" not in form] == []
    assert "m.token()" in places["unit.html"].partition("macro fields(")[2].partition("endmacro")[0]


def test_a_form_of_our_own_page_is_taken(client: TestClient) -> None:
    kod = token(client, "lead")
    assert len(FORMS) >= 6
    refused = {path: send(client, path, OURS, kod=kod).status_code for path in addresses()}
    assert {path: status for path, status in refused.items() if status in {401, 403}} == {}


def test_a_form_of_another_origin_does_nothing(client: TestClient, staged: worklists.Site) -> None:
    kod = token(client, "lead")
    for path, headers in itertools.product(addresses(), ELSEWHERE):
        answer = send(client, path, headers, kod=kod)
        assert answer.status_code == 403, (path, headers)
        if path.startswith("/api/"):
            assert answer.json()["error"] == "foreign"
        else:
            assert "Formuläret togs inte emot" in answer.text
    assert told(staged) == []


def test_a_form_without_the_token_of_its_session_does_nothing(client: TestClient, staged: worklists.Site) -> None:
    page = client.get(f"/enhet/{posts.UNIT}", headers=cookie("lead")).text
    (mark,) = set(re.findall(r"marke=([0-9a-f]{64})", page))
    # The mark of links is in addresses.
    for path, kod in itertools.product(addresses(), ("", "0" * 64, "å", token(client, "other"), mark)):
        assert send(client, path, OURS, kod=kod).status_code == 403, (path, kod)
        assert send(client, f"{path}?kod={token(client, 'lead')}&marke={mark}", OURS, kod=kod).status_code == 403
    for path in addresses():
        assert client.post(path, headers={**cookie("lead"), **OURS}).status_code == 403
    assert told(staged) == []


def test_a_form_asks_for_a_login_and_for_the_right_to_its_page(client: TestClient) -> None:
    for path in addresses():
        assert client.post(path, headers={**OURS, **FORM_TYPE}).status_code == 401
        answer = client.post(path, headers={"Authorization": "Bearer stranger"})
        assert answer.status_code == 403
        assert "inte kopplat till någon enhet" in answer.text or path.startswith("/api/")


@pytest.mark.parametrize(
    "body",
    [b"kod=%00", b"kod=%FF", b"\xff", b"kod=1&kod=2", b"unknown=1", b"kod", b"kod=" + b"x" * 8_000, b"a=1;b=2"],
    ids=["NUL", "no UTF-8", "bytes", "twice", "unknown", "no value", "long", "no form"],
)
def test_what_no_page_of_ours_sends_is_refused(client: TestClient, body: bytes) -> None:
    for path in addresses():
        answer = client.post(path, content=body, headers={"Authorization": "Bearer lead", **FORM_TYPE})
        assert answer.status_code == 422
        assert path.startswith("/api/") or "Formuläret går inte att läsa" in answer.text
        assert client.post(path, content=b"kod=1", headers={"Authorization": "Bearer lead"}).status_code == 422


@pytest.mark.parametrize("path", ["/korningar/{batch_id}/aterta", "/enhet/{unit}/utfall", "/atkomstlogg/utdrag"])
def test_a_refusal_leads_to_the_page_of_the_form(client: TestClient, path: str) -> None:
    given = {"batch_id": worklists.BATCH, "unit": posts.UNIT}
    answer = client.post(path.format(**given), data={}, headers=cookie("lead"))
    assert f'/{path.rpartition("/")[0].lstrip("/").format(**given)}">Till sidan</a>' in answer.text


def test_a_user_whom_airflow_refuses_is_told_what_is_missing(made: FastAPI, client: TestClient) -> None:
    path = f"/korningar/{worklists.BATCH}/aterta"

    def refuse() -> None:
        raise HTTPException(403, "Forbidden")

    made.dependency_overrides[may_begin_withdrawals] = refuse
    answer = send(client, path, OURS, kod=token(client, "lead"))
    assert (answer.status_code, "behövs en behörighet i Airflow" in answer.text) == (403, True)


def test_an_app_with_a_form_from_anywhere_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async def taken() -> None: ...

    router = app.ROOMS[0].router
    monkeypatch.setattr(router, "routes", list(router.routes))
    router.add_api_route("/anywhere", taken, methods=["POST"], dependencies=[Depends(Requires(Need.LOG))])
    with pytest.raises(RuntimeError, match="/anywhere"):
        app.create_app()
