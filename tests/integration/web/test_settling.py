"""The pages on which leads decide about single posts, and on which a back-out is followed."""

import html as entities
import re
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.integration.release.test_receipts import MIGRATING, NOW, WAVE, row, with_wave
from tests.integration.release.test_settling import say
from tests.support import batches, dashboards, worklists
from tests.support.releases import REASON

from waitlist.exceptions import StagingError
from waitlist.release import decisions as release
from waitlist.staging import StagingStore, schema

ONE, TWO, THREE = MIGRATING[:3]
OURS = {"Origin": "http://testserver"}
WHY = "Millennium visar begäran"


@pytest.fixture
def site(tmp_path: Path) -> worklists.Site:
    found = worklists.site(tmp_path)
    found.stage({"kategori": "Diabetesmottagning"})
    with_wave(found.store)
    say(
        found.store, row(ONE, "rejected"), row(TWO, "accepted"), row(TWO, "rejected", 2), row(THREE, "booked"),
    )  # fmt: skip
    return found


@pytest.fixture
def made(site: worklists.Site, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    for name, user in (("LEADS", "lead"), ("APPROVERS", "approver"), ("PERSON_READERS", "reader")):
        monkeypatch.setenv(f"WAITLIST_{name}", user)
    return dashboards.over(site)


@pytest.fixture
def client(made: FastAPI) -> TestClient:
    return TestClient(made, raise_server_exceptions=False, follow_redirects=False)


def read(client: TestClient, path: str, user: str = "lead") -> str:
    answer = client.get(path, headers=cookie(user))
    assert answer.status_code == 200, answer.text[:500]
    return entities.unescape(answer.text)


def cookie(user: str) -> dict[str, str]:
    return {"Cookie": f"_token={user}"}


def send(client: TestClient, path: str, sent: Mapping[str, str], user: str = "lead") -> httpx.Response:
    page = client.get(f"/korningar/{WAVE}", headers=cookie(user)).text
    token = next(iter(re.findall(r'name="kod" value="([0-9a-f]{64})"', page)), "")
    return client.post(f"/korningar/{WAVE}/{path}", data={"kod": token, **sent}, headers={**cookie(user), **OURS})


def form_of(client: TestClient, post: int) -> dict[str, str]:
    page = read(client, f"/korningar/{WAVE}")
    form = page[page.index(f'name="post" value="{post}"') :]
    heard = re.search(r'name="horda" value="(\d+)"', form)
    key = re.search(r'name="ordet" value="([0-9a-f]{64})"', form)
    assert heard
    assert key
    return {"post": str(post), "horda": heard[1], "ordet": key[1], "skal": WHY}


def answer_of(store: StagingStore, post: int) -> str:
    return next(found["answer"] for found in batches.rows(store, schema.post_answer) if found["post_id"] == post)


def test_a_lead_settles_a_contradiction_on_the_batchs_page(client: TestClient, site: worklists.Site) -> None:
    sent = form_of(client, TWO)
    for _ in range(2):
        answer = send(client, "svar", sent)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"../{WAVE}#svar")
    assert answer_of(site.store, TWO) == "accepted"
    (kept,) = batches.rows(site.store, schema.settlement)
    assert (kept["actor"], kept["reason"]) == ("lead", WHY)
    assert f"Post {TWO}: svaret mottagen" in read(client, f"/korningar/{WAVE}")


def test_a_lead_frees_a_rejected_post_on_the_batchs_page(client: TestClient, site: worklists.Site) -> None:
    answer = send(client, "frislapp", {"post": str(ONE), "skal": WHY})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"../{WAVE}#svar")
    assert ONE not in {found["post_id"] for found in batches.rows(site.store, schema.released_post)}
    assert f"Post {ONE} är fri" in read(client, f"/korningar/{WAVE}")


@pytest.mark.parametrize(
    ("path", "sent", "fault"),
    [
        ("frislapp", {"post": str(ONE), "skal": "kort"}, "reason"),
        ("frislapp", {"post": str(TWO), "skal": WHY}, "refused"),
        ("svar", {"post": str(TWO), "horda": "1", "ordet": "0" * 64, "skal": WHY}, "refused"),
    ],
)
def test_what_is_refused_changes_nothing_and_the_page_says_why(
    client: TestClient, site: worklists.Site, path: str, sent: dict[str, str], fault: str
) -> None:
    before = batches.contents(site.store)
    answer = send(client, path, sent)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"../{WAVE}?fel={fault}#svar")
    assert batches.contents(site.store) == before
    assert "Inget ändrades" in read(client, f"/korningar/{WAVE}?fel={fault}")


@pytest.mark.parametrize("user", ["approver", "reader", "nurse"])
def test_only_a_lead_decides(made: FastAPI, client: TestClient, site: worklists.Site, user: str) -> None:
    sent = {"svar": form_of(client, TWO), "frislapp": {"post": str(ONE), "skal": WHY}}
    before = batches.contents(site.store)
    for path, fields in sent.items():
        assert send(client, path, fields, user).status_code == 403
        program = {"Authorization": f"Bearer {user}"}
        assert client.post(f"/korningar/{WAVE}/{path}", data=fields, headers=program).status_code == 403
    assert batches.contents(site.store) == before


@pytest.mark.parametrize("post", ["", "x", "1;2", "9" * 30, "-"])
def test_a_form_that_names_no_post_is_refused(client: TestClient, post: str) -> None:
    assert send(client, "frislapp", {"post": post, "skal": WHY}).status_code == 422


def test_the_page_of_what_must_return_and_its_files(client: TestClient, site: worklists.Site) -> None:
    release.withdraw(site.store, WAVE, "Eva Öberg", REASON, NOW)
    page = read(client, f"/korningar/{WAVE}/aterlamning")
    assert "Återtagen efter inläsning" in read(client, f"/korningar/{WAVE}")
    assert "Vad som ska tillbaka" in read(client, "/overfort")
    assert "Test Testsson" not in page
    assert "/aterlamning/xlsx" not in page, "a lead sees no persons"
    assert client.get(f"/korningar/{WAVE}/aterlamning/csv", headers=cookie("lead")).status_code == 403
    page = read(client, f"/korningar/{WAVE}/aterlamning", "reader")
    (link,) = re.findall(r'href="([^"]*aterlamning/csv[^"]*)"', page)
    mark = link.partition("?")[2]
    assert client.get(f"/korningar/{WAVE}/aterlamning/csv", headers=cookie("reader")).status_code == 403
    answer = client.get(f"/korningar/{WAVE}/aterlamning/csv?{mark}", headers=cookie("reader"))
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="aterlamning-{WAVE}.csv"'
    logged = {
        found["post_id"] for found in batches.rows(site.store, schema.access_log) if found["action"] == "back_out"
    }
    assert logged == {post for post in MIGRATING if post % 5}
    assert f"Test Testsson {TWO}" in answer.text


def test_no_file_is_sent_unless_the_access_log_has_whom_it_names(
    client: TestClient, site: worklists.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StagingError("full")

    monkeypatch.setattr("waitlist_airflow.web.settling.record", refuse)
    page = read(client, f"/korningar/{WAVE}/aterlamning", "reader")
    (mark,) = set(re.findall(r"aterlamning/xlsx\?(marke=[0-9a-f]+)", page))
    answer = client.get(f"/korningar/{WAVE}/aterlamning/xlsx?{mark}", headers=cookie("reader"))
    assert answer.status_code >= 500
    assert "Test Testsson" not in answer.text
