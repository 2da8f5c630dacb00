"""Every address of the dashboard, asked by every kind of user for every unit: nobody sees more than is theirs."""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.support import dashboards, posts, worklists

from waitlist.access import Need
from waitlist_airflow.web import access, app, errors
from waitlist_airflow.web import site as site_module

Ask = Callable[[str, str | None], httpx.Response]

OWN, NEXT, NO_UNIT = posts.UNIT, posts.UNIT_LIVE, "okand-enhet"
NOWHERE = "SE2120009999-NOWHERE"
"""A unit without posts."""
READERS = {"staff": frozenset({OWN}), "neighbour": frozenset({NEXT}), "both": frozenset({OWN, NEXT})}
USERS = ("lead", "viewer", "approver", "reader", "log", "staff", "neighbour", "both", "nobody", "admin", None)
NAMES = {OWN: ("Egen, Eva", "Hemlig, Hanna"), NEXT: ("Granne, Gun", "Gömd, Gustav"), NO_UNIT: ("Ingens, Inga",)}
PROTECTED = ("Hemlig, Hanna", "Gömd, Gustav")
SEEN = {
    "lead": {OWN, NEXT, NOWHERE, NO_UNIT}, "viewer": {OWN, NEXT, NOWHERE, NO_UNIT}, "approver": {OWN, NEXT, NOWHERE},
    "reader": {OWN, NEXT, NOWHERE},
    "staff": {OWN}, "neighbour": {NEXT}, "both": {OWN, NEXT},
}  # fmt: skip
WITH_PERSONS = {user: SEEN[user] for user in ("lead", "reader", "staff", "neighbour", "both")}
EVERYWHERE = {"lead", "viewer", "approver", "reader"}
LOG = {"lead", "log"}


@dataclass(frozen=True)
class Address:
    """A route with its placeholders filled in."""

    path: str
    need: Need
    unit: str | None


def expected(user: str | None, address: Address) -> int:
    """Return the status that the law asks for; 200 is returned for any status but 401 and 403."""
    if user is None:
        return 401
    if address.path == "/" and (user in SEEN or user in LOG):
        # It leads a reader without every unit to the own first page.
        return 200
    may = {
        Need.ANY_RIGHT: user in SEEN or user in LOG,
        Need.A_UNIT: user in SEEN,
        Need.THIS_UNIT: address.unit in SEEN.get(user, ()),
        Need.THIS_UNITS_PERSONS: address.unit in WITH_PERSONS.get(user, ()),
        Need.THIS_UNITS_PROTECTED: address.unit is not None and address.unit in READERS.get(user, ()),
        Need.EVERY_UNIT: user in EVERYWHERE,
        Need.EVERY_PERSON: user in {"lead", "reader"},
        Need.LOG: user in LOG,
    }
    return 200 if may[address.need] else 403


def names_for(user: str | None, address: Address) -> set[str]:
    """Return the patients that an address may name to a user."""
    here = set(NAMES.get(address.unit or "", ()))
    if expected(user, address) != 200:
        return set()
    if address.need is Need.THIS_UNITS_PERSONS:
        return here - set(PROTECTED)
    return here if address.need is Need.THIS_UNITS_PROTECTED else set()


def addresses(made: FastAPI) -> Iterator[Address]:
    """Give every route of the app, with each unit's key and each batch in place of its placeholders."""
    for route in made.routes:
        need = access.need_of(route)
        assert need is not None, f"{route} does not declare what it needs"
        if "GET" not in route.methods:  # type: ignore[attr-defined]
            continue
        template = str(route.path)  # type: ignore[attr-defined]
        places = dict.fromkeys(re.findall(r"{(\w+)", template))
        units = (OWN, NEXT, NO_UNIT, OWN.lower(), f" {NEXT}", NOWHERE) if "unit" in places else (None,)
        for unit in units:
            given = {
                "unit": unit,
                "batch_id": worklists.BATCH,
                "name": "style.css",
                "path": "none",
                "post": "2",
                "kind": "csv",
            }
            filled = re.sub(r"{(\w+)[^}]*}", lambda found, given=given: str(given[found[1]]), template)
            yield Address(filled, need, None if unit is None else access.key_of(unit) or NO_UNIT)


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> worklists.Site:
    site = worklists.site(tmp_path_factory.mktemp("access"))
    site.stage(
        {"patient": "Egen, Eva", "enhet_hsa_id": OWN, "kategori": "Diabetesmottagning"},
        {"patient": "Hemlig, Hanna", "enhet_hsa_id": OWN, "sekretess": True, "kategori": "Diabetesmottagning"},
        {"patient": "Granne, Gun", "enhet_hsa_id": NEXT, "kategori": "Diabetesmottagning"},
        {"patient": "Gömd, Gustav", "enhet_hsa_id": NEXT, "sekretess": True, "kategori": "Diabetesmottagning"},
        {"patient": "Ingens, Inga", "enhet_hsa_id": "ingen enhet", "kategori": "Diabetesmottagning"},
    )
    return site


@pytest.fixture
def made(staged: worklists.Site, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    for name, users in {
        **dashboards.RIGHTS,
        "WAITLIST_APPROVERS": "approver",
        "WAITLIST_LOG_READERS": "lead, log",
    }.items():
        monkeypatch.setenv(name, users)
    monkeypatch.setattr(errors, "get_auth_manager", SimpleAuthManager)
    monkeypatch.setattr(dashboards.Site, "unit_readers", READERS)
    return dashboards.over(staged)


@pytest.fixture
def ask(made: FastAPI) -> Ask:
    client = TestClient(made, raise_server_exceptions=False)

    def ask(path: str, user: str | None) -> httpx.Response:
        return client.get(path, headers={} if user is None else {"Authorization": f"Bearer {user}"})

    return ask


def test_every_route_answers_every_user_as_the_law_says(
    made: FastAPI, ask: Ask, attack_table: Callable[..., None]
) -> None:
    tries, lost = 0, []
    walked = list(addresses(made))
    assert {address.need for address in walked} == set(Need)
    for address, user in itertools.product(walked, USERS):
        answer = ask(address.path, user)
        status = answer.status_code if answer.status_code in {401, 403} else 200
        text = answer.text
        tries += 1
        if status != expected(user, address):
            lost.append(f"{user}: {address.path}: {answer.status_code}")
        may_show = names_for(user, address)
        shown = {name for unit in NAMES for name in NAMES[unit] if name in text}
        if shown - may_show:
            lost.append(f"{user}: {address.path}: shows {shown - may_show}")
    assert lost == []
    attack_table("dashboard: every address, by every kind of user, at every unit", tries=tries, held=tries)


def test_staff_see_a_protected_identity_of_their_unit_one_at_a_time(ask: Ask, staged: worklists.Site) -> None:
    before = {row["entry_id"] for row in dashboards.looks(staged)}
    assert "Hemlig, Hanna" in ask(f"/enhet/{OWN}/skyddad/2", "staff").text
    assert ask(f"/api/enhet/{NEXT}/skyddad/4", "both").json()["person"]["name"] == "Gömd, Gustav"
    assert ask(f"/enhet/{OWN}/skyddad/4", "both").status_code == 404, "the post of another unit"
    looks = [row for row in dashboards.looks(staged) if row["entry_id"] not in before]
    assert {(row["user_id"], row["action"], row["enhet_hsa_id"]) for row in looks} == {
        ("staff", "protected", OWN), ("both", "protected", NEXT),
    }  # fmt: skip
    assert len(looks) == 2
    persons = ask(f"/enhet/{OWN}/personer", "staff").text
    assert "Egen, Eva" in persons
    assert f"enhet/{OWN}/skyddad/2" in persons
    assert "skyddad/" not in ask(f"/enhet/{OWN}/personer", "reader").text


def test_lists_and_counts_hold_the_readers_own_units_alone(ask: Ask) -> None:
    for user, seen in SEEN.items():
        told = ask("/api/enheter", user).json()
        assert {unit["key"] or NO_UNIT for unit in told["units"]} == seen - {NOWHERE}
        if user not in EVERYWHERE:
            for answer in (ask("/api/enheter", user), ask("/enhet", user), ask(f"/api/enhet/{min(seen)}", user)):
                assert [unit for unit in {OWN, NEXT} - seen if unit in answer.text] == []
            assert "posts" not in told["latest"], "the posts of all units are counted there"


def test_the_menu_and_the_way_out_lead_only_where_a_reader_may_go(ask: Ask) -> None:
    for user in ("lead", "staff", "both", "log", "neighbour"):
        page = ask("/korningar", user)
        assert page.status_code == (200 if user in EVERYWHERE else 403)
        menu = page.text.partition("<nav")[2].partition("</nav>")[0]
        links = set(re.findall(r'href="\./([^"#]*)"', menu)) | set(
            re.findall(r'class="button" href="\./([^"]*)"', page.text)
        )
        assert links
        assert [link for link in links if ask(f"/{link}", user).status_code == 403] == []
    assert f'href="./enhet/{OWN}">Till enhetens sida' in ask("/korningar", "staff").text
    refused = ask("/", "nobody").text
    assert "Ditt konto är inte kopplat till någon enhet" in refused
    assert 'class="button"' not in refused


@pytest.mark.parametrize(
    ("user", "first"), [("lead", "/"), ("staff", f"/enhet/{OWN}"), ("both", "/enhet"), ("log", "/atkomstlogg")]
)
def test_the_address_in_airflows_menu_leads_a_reader_to_the_own_first_page(ask: Ask, user: str, first: str) -> None:
    answer = ask("/", user)
    assert (answer.status_code, answer.url.path) == (200, first)


def test_a_refusal_does_not_tell_whether_a_unit_or_batch_exists(ask: Ask) -> None:
    for there, nowhere in (
        (f"/enhet/{NEXT}", f"/enhet/{NOWHERE}"),
        (f"/korningar/{worklists.BATCH}", "/korningar/none"),
    ):
        assert ask(there, "staff").text == ask(nowhere, "staff").text


def test_an_app_with_a_route_that_declares_nothing_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_to_all() -> None: ...

    monkeypatch.setattr(app.ROOMS[0].router, "routes", list(app.ROOMS[0].router.routes))
    app.ROOMS[0].router.add_api_route("/undeclared", open_to_all)
    with pytest.raises(RuntimeError, match="/undeclared"):
        app.create_app()


def test_the_file_is_read_again_when_it_has_changed(
    staged: worklists.Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITLIST_MAPPINGS_DIR", str(tmp_path))
    assert dict(site_module.Site().unit_readers) == {}
    (tmp_path / "unit_readers.csv").write_text(f"user_id,hsa_id,owner,note\nanna,{OWN},,\n", encoding="utf-8")
    assert dict(site_module.Site().unit_readers) == {"anna": {OWN}}


class TestLogins:
    """What is taken from a user of Airflow's auth managers."""

    def user(self, module: str) -> SimpleNamespace:
        kind = type("User", (SimpleNamespace,), {"__module__": module})
        roles = [SimpleNamespace(name=f"enhet:{OWN}"), SimpleNamespace(name="Viewer")]
        return kind(username="anna", roles=roles, get_id=lambda: "7")

    def test_fab_has_roles_and_a_login_name_beside_the_id(self) -> None:
        found = self.user("airflow.providers.fab.auth_manager.models")
        assert (access.login_of(found), access.roles_of(found)) == ("anna", {f"enhet:{OWN}", "Viewer"})

    def test_of_another_auth_manager_the_id_counts_and_no_role(self) -> None:
        found = self.user("airflow.providers.keycloak.auth_manager.user")
        assert (access.login_of(found), access.roles_of(found)) == ("7", frozenset())
