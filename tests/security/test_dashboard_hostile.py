"""The dashboard over posts whose every text is an attack, and every address of it in every role."""

import io
import itertools
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import openpyxl
import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from tests.security.test_dashboard_requests import LOOKS, PATHS, UNIT, bearer, browser, mark_of
from tests.support import dashboards, posts, worklists
from tests.support.dashboards import Server

from waitlist_airflow.web import errors

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></select></textarea></svg><iframe srcdoc=x>",
    "{{7*7}}{% raw %}${7*7}#{7*7}",
    "javascript:alert(1)//",
    "&lt;script&gt;&#60;b&#62;",
    "\u202e\u2066gpj.exe\u2069",
    '=HYPERLINK("http://evil.example.invalid","x")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "]]></x><!--",
    "\u00e5\u0308\u0323" * 200,
    "a" * 5_000,
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "x\r\nSet-Cookie: a=b",
)
TEXTS = (
    "patient",
    "kategori",
    "enhet",
    "filial",
    "anvandare",
    "orsak",
    "planerade_atgarder",
    "kontaktform",
    "boka_fore",
)


@pytest.fixture(autouse=True)
def _readers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, users in dashboards.RIGHTS.items():
        monkeypatch.setenv(name, users)
    monkeypatch.setattr(errors, "get_auth_manager", SimpleAuthManager)


def over(folder: Path, texts: tuple[str, ...]) -> worklists.Site:
    folder.mkdir()
    site = worklists.site(folder)
    site.stage(
        *(dict.fromkeys(TEXTS, text) for text in texts),
        *({"enhet_hsa_id": text, "enhet": text, "kategori": text} for text in texts),
        *({"kategori": text} for text in texts),
    )
    return site


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Server]:
    with dashboards.serving(dashboards.over(over(tmp_path / "hostile", ATTACKS))) as server:
        yield server


class Shape(HTMLParser):
    """The structure of a page: its elements with the names of their attributes, without texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[tuple[str, tuple[str, ...]]] = set()
        self.addresses: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add((tag, tuple(sorted(name for name, _ in attrs))))
        self.addresses |= {value or "" for name, value in attrs if name in {"href", "src", "action", "formaction"}}

    handle_startendtag = handle_starttag

    def handle_comment(self, data: str) -> None:
        self.found.add(("comment", (data,)))


def test_no_text_of_pmo_becomes_a_part_of_a_page(
    hostile: Server, tmp_path: Path, attack_table: Callable[..., None]
) -> None:
    harmless = over(tmp_path / "harmless", tuple(f"Kategori {number}" for number in range(len(ATTACKS))))
    pages = [path for path in (*PATHS, "enhet/okand-enhet", "enhet/okand-enhet/personer") if "arbetslista" not in path]
    lost = []
    with dashboards.serving(dashboards.over(harmless)) as server:
        for path in pages:
            answer, plain = (one.ask(path, bearer("lead")) for one in (hostile, server))
            assert answer.status == plain.status
            if answer.header("Content-Type") != "text/html; charset=utf-8":
                continue
            shape = Shape(answer.text)
            strange = shape.found - Shape(plain.text).found
            lost += [f"{path}: {tag} {names}" for tag, names in strange if not expected(tag, names)]
            lost += [f"{path}: {to}" for to in shape.addresses if ":" in to.split("?")[0].split("#")[0]]
            lost += [f"{path}: {name}" for name, _ in answer.headers if name.lower() == "set-cookie"]
            lost += [f"{path}: a template was run" for text in ("49$", "494949") if text in answer.text]
    assert lost == []
    attack_table("dashboard: hostile texts", tries=len(pages) * len(ATTACKS), held=len(pages) * len(ATTACKS))


def expected(tag: str, names: tuple[str, ...]) -> bool:
    """Return whether an element is one that these pages have for other data: plain, or an option."""
    return tag in {"option", "p", "td", "span", "br", "li", "a", "tr", "th"} and not any(
        name.startswith("on") or name in {"style", "src", "srcdoc"} for name in names
    )


@pytest.mark.parametrize("unit", [posts.UNIT, "okand-enhet"])
def test_a_work_list_of_hostile_texts_has_texts_alone(hostile: Server, unit: str) -> None:
    answer = hostile.ask(f"enhet/{unit}/arbetslista", bearer("lead"))
    assert answer.status == 200
    said = answer.header("Content-Disposition")
    assert said in {
        f'attachment; filename="arbetslista-{name}{unit}-{posts.AS_OF}.xlsx"' for name in ("", "Enligt-plan--")
    }
    assert answer.header("X-Content-Type-Options") == "nosniff"
    book = openpyxl.load_workbook(io.BytesIO(answer.body))
    kinds = {cell.data_type for page in book.worksheets for row in page.iter_rows() for cell in row}
    assert "f" not in kinds


# Roles

USERS = {"lead": "lead", "reader": "reader", "other": "viewer", "refused": "refused", "nobody": None, "empty": ""}
REFUSED = {"refused": 403, "nobody": 401, "empty": 403}


def status_for(path: str, user: str) -> int:
    if user in REFUSED:
        return REFUSED[user]
    if "/skyddad/" in path or path.endswith("/skyddad"):
        return 403
    # No wave is named, and of a dry run nothing must return.
    if path in LOOKS or path == "vag/arbetslistor" or path.endswith("aterlamning/csv"):
        return (200 if path in LOOKS else 404) if user in {"lead", "reader"} else 403
    if "stickprov/" in path and "atkomstlogg" not in path:
        # A dry run has no sample. The page of one post in it shows a patient.
        return 403 if path.rpartition("/")[2].isdigit() and user == "other" else 404
    if "atkomstlogg" in path:
        return 200 if user == "lead" else 403
    # A Beslutsunderlag names its wave.
    nothing = path in {"none", "docs", "static/none.css", "korning"} or "data-docs" in path or "beslut" in path
    nothing = nothing or "aterlamning" in path
    return 404 if nothing else 200


def test_every_address_in_every_role_answers_with_the_right_status(
    hostile: Server, attack_table: Callable[..., None]
) -> None:
    tries, lost = 0, []
    for path, (user, name) in itertools.product(PATHS, USERS.items()):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer = hostile.ask(path, {} if name is None else bearer(name), method=method)
            refused = REFUSED.get(user, 404)
            wanted = status_for(path, user) if method in {"GET", "HEAD"} else refused
            if (path, method) == ("sok", "POST") and user not in REFUSED:
                # A search for nothing.
                wanted = 200
            tries += 1
            if answer.status != wanted:
                lost.append(f"{method} {path} as {user}: {answer.status}, not {wanted}")
    assert lost == []
    attack_table("dashboard: every address, role and method", tries=tries, held=tries - len(lost))


@pytest.mark.parametrize("name", ["LEAD", "lead,reader", "*", "admin", "l\u00e9ad", "reader, lead", "lead\u00a0x"])
def test_a_name_that_is_similar_to_a_readers_gives_no_rights(hostile: Server, name: str) -> None:
    token = name.encode().decode("latin-1")
    assert {hostile.ask(path, bearer(token)).status for path in (*LOOKS, "atkomstlogg")} == {403}


@pytest.mark.parametrize("path", [*LOOKS, "atkomstlogg", UNIT, "", "api/oversikt", "none"])
def test_nothing_is_kept_by_a_browser_or_a_proxy(hostile: Server, path: str) -> None:
    answer = hostile.ask(path + (f"?marke={mark_of(hostile, 'lead')}" if path in LOOKS else ""), browser("lead"))
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Referrer-Policy") == "same-origin"
