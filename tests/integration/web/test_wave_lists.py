"""The archive of a wave's work lists: what is in it, for whom, and what the access log says of it."""

import io
import zipfile
from pathlib import Path

import httpx
import openpyxl
import pytest
from fastapi.testclient import TestClient
from tests.support import dashboards, posts, worklists

THERE = "/vag/arbetslistor?namn=1"
OTHER = "SE2120009999-ANDRA"
MOVE = {"kategori": "Diabetesmottagning"}


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> worklists.Site:
    units = (
        posts.unit(posts.UNIT, posts.GO_LIVE, "Pv"),
        posts.unit(posts.UNIT_CHILD_HEALTH, posts.GO_LIVE, "Bhv"),
        posts.unit(OTHER, posts.GO_LIVE, "Pv", vag="2"),
    )
    context = posts.context(units=units)
    monkeypatch.setattr(posts, "context", lambda: context)
    staged = worklists.site(tmp_path, context)
    of_wave = [{**MOVE, "enhet_hsa_id": unit} for unit in (posts.UNIT, posts.UNIT_CHILD_HEALTH)]
    staged.stage(*of_wave, {**MOVE, "sekretess": True}, {**MOVE, "enhet_hsa_id": OTHER})
    return staged


@pytest.fixture
def client(staged: worklists.Site, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    for name, users in {**dashboards.RIGHTS, "WAITLIST_LEADS": "viewer, lead"}.items():
        monkeypatch.setenv(name, users)
    monkeypatch.setattr(dashboards.Site, "unit_readers", {"staff": frozenset({posts.UNIT})})
    return TestClient(dashboards.over(staged), raise_server_exceptions=False)


def ask(client: TestClient, user: str, path: str = THERE) -> httpx.Response:
    return client.get(path, headers={"Authorization": f"Bearer {user}"})


def test_the_archive_is_the_one_that_is_written_at_a_terminal(
    client: TestClient, staged: worklists.Site, tmp_path: Path
) -> None:
    answer = ask(client, "lead")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    name = f"arbetslistor-vag-1-{posts.AS_OF}.zip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    staged.write(tmp_path / "lists", with_archives=True)
    made = lists_of(answer.content)
    assert made == lists_of((tmp_path / "lists" / name).read_bytes())
    units = sorted((posts.UNIT, posts.UNIT_CHILD_HEALTH))
    assert sorted(name.split("--")[1] for name in made) == [f"{unit}-{posts.AS_OF}.xlsx" for unit in units]
    assert ask(client, "lead").content == answer.content, "the same lists give the same bytes"


def lists_of(archive: bytes) -> dict[str, list[list[object]]]:
    """Return the cells of each workbook in an archive, by its name."""
    with zipfile.ZipFile(io.BytesIO(archive)) as found:
        books = {name: openpyxl.load_workbook(io.BytesIO(found.read(name))) for name in found.namelist()}
    return {
        name: [[cell.value for cell in row] for page in book.worksheets for row in page.iter_rows()]
        for name, book in books.items()
    }


def test_each_patient_in_it_is_in_the_access_log_and_a_masked_one_is_not(
    client: TestClient, staged: worklists.Site
) -> None:
    ask(client, "lead")
    looks = [
        (look["enhet_hsa_id"], look["post_id"], look["person_id"] is not None) for look in dashboards.looks(staged)
    ]
    assert sorted(looks) == sorted([(posts.UNIT, 1, True), (posts.UNIT_CHILD_HEALTH, 2, True)])
    assert {(look["user_id"], look["action"], look["acting_for"]) for look in dashboards.looks(staged)} == {
        ("lead", "work_list", "")
    }


@pytest.mark.parametrize("user", ["viewer", "staff", "stranger"])
def test_who_may_not_see_every_patient_gets_no_archive_and_no_link(
    client: TestClient, staged: worklists.Site, user: str
) -> None:
    assert ask(client, user).status_code == 403
    assert dashboards.looks(staged) == []
    assert "arbetslistor?namn" not in ask(client, user, "/vag?namn=1").text
    assert "arbetslistor?namn=1" in ask(client, "lead", "/vag?namn=1").text


def test_a_browser_gets_it_by_the_link_of_our_own_page_alone(client: TestClient, staged: worklists.Site) -> None:
    client.cookies.set("_token", "lead")
    refused = client.get(THERE)
    assert refused.status_code == 403
    assert "visas inte den vägen" in refused.text
    assert dashboards.looks(staged) == []
    (link,) = [
        part.split('"')[0] for part in client.get("/vag?namn=1").text.split('href="./')[1:] if "arbetslistor" in part
    ]
    assert client.get("/" + link.replace("&amp;", "&")).status_code == 200


@pytest.mark.parametrize("path", ["/vag/arbetslistor", "/vag/arbetslistor?namn=9", "/vag/arbetslistor?namn=%2E%2E"])
def test_there_is_no_archive_of_another_wave(client: TestClient, staged: worklists.Site, path: str) -> None:
    assert ask(client, "lead", path).status_code == 404
    assert dashboards.looks(staged) == []
