"""Sök over HTTP, and the ways in and out of Airflow's frame."""

import logging
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from tests.support import batches, dashboards, posts, worklists

BEARER = {"Authorization": "Bearer viewer"}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    for name, users in dashboards.RIGHTS.items():
        monkeypatch.setenv(name, users)
    site = worklists.site(tmp_path)
    site.stage({}, {"kategori": "Diabetesmottagning"}, {"enhet_hsa_id": None})
    return TestClient(dashboards.over(site), raise_server_exceptions=False)


def test_what_is_looked_for_is_answered_and_kept_nowhere(
    client: TestClient, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = client.post("/sok", data={"q": "Lindqvist"}, headers=BEARER)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert "Inga träffar" in answer.text
    assert "Lindqvist" not in caplog.text
    assert str(answer.url).endswith("/sok")
    found = client.post("/sok", data={"q": "2"}, headers=BEARER).text
    assert f'href="./enhet/{posts.UNIT}?post=2#poster"' in found
    assert batches.rows(worklists.open_site(tmp_path).store, dashboards.schema.access_log) == []


def test_posts_of_no_unit_are_found_by_leads_alone(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Post 3" in client.post("/sok", data={"q": "3"}, headers=BEARER).text
    monkeypatch.setenv("WAITLIST_LEADS", "lead")
    monkeypatch.setenv("WAITLIST_PERSON_READERS", "viewer")
    assert "Post 3" not in client.post("/sok", data={"q": "3"}, headers=BEARER).text
    assert "Post 2" in client.post("/sok", data={"q": "2"}, headers=BEARER).text


@pytest.mark.parametrize(
    "body",
    [b"q=" + b"x" * 9_000, b"q=%00", b"q=%FF", b"q=" + b"x" * 201, b"q=1&q=2&q=3", b"\xff"],
    ids=["long", "NUL", "no UTF-8", "long text", "many fields", "bytes"],
)
def test_a_form_that_no_reader_sends_is_refused(client: TestClient, body: bytes) -> None:
    headers = {**BEARER, "Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/sok", content=body, headers=headers).status_code == 422


def test_the_answer_quotes_what_was_looked_for_as_text(client: TestClient) -> None:
    answer = client.post("/sok", data={"q": '"><script>x</script>'}, headers=BEARER)
    assert "<script>" not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_a_framed_page_leads_out_and_another_leads_back(client: TestClient) -> None:
    framed = client.get("/poster?beslut=migrate", headers={**BEARER, "Sec-Fetch-Dest": "iframe"}).text
    assert f'href="./utan-ram?sida={quote("poster?beslut=migrate", safe="/")}"' in framed
    alone = client.get("/poster?beslut=migrate", headers=BEARER).text
    assert 'href="./../plugin/migrering/migrering/poster?beslut=migrate"' in alone
    out = client.get("/utan-ram", params={"sida": "poster?beslut=migrate"}, headers=BEARER).text
    assert 'href="./poster?beslut=migrate"' in out


@pytest.mark.parametrize(
    "place", ["https://example.org", "//example.org", "../../x", "javascript:x", "/x", "a\\b", "x:y"]
)
def test_the_page_out_of_the_frame_leads_to_no_other_site(client: TestClient, place: str) -> None:
    page = client.get("/utan-ram", params={"sida": place}, headers=BEARER)
    assert page.status_code == 200
    assert place not in page.text
    assert 'href="./">Översikt' in page.text
