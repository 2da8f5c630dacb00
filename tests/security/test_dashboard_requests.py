"""Every address of the dashboard, asked with odd bytes, with hostile headers and by links from elsewhere."""

import html
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from tests.support import dashboards, posts, worklists
from tests.support.dashboards import Answer, Server
from tests.support.postgres import PostgresServer

from waitlist_airflow.web import errors

NAMES = ("Lindqvist", "Hemlig, Hanna")
HOST = "evil.example.invalid"
UNIT = f"enhet/{posts.UNIT}"
LOOKS = (f"{UNIT}/personer", f"api/{UNIT}/personer", f"{UNIT}/arbetslista")
FILLED = {"unit": posts.UNIT, "batch_id": worklists.BATCH, "name": "index.html", "post": "1", "kind": "csv"}
VALUES = {"beslut": "migrate", "regel": "FIRST_VISIT", "sortera": "post", "riktning": "ned", "sida": "1", "post": "1"}
"""The valid values of parameters of an address; the other parameters take any text."""

ELSEWHERE = (b'{"detail":"Not Found"}', b"Invalid HTTP request received.")
"""The answers of Airflow to a path with a line feed, and of its server to a request of 64 KB."""

Table = Callable[..., None]


def route(template: str, **filled: str) -> str:
    return re.sub(r"{(\w+)}", lambda found: {**FILLED, **filled}[found[1]], template).lstrip("/")


PATHS = [*(route(path) for path, _ in dashboards.ROUTES), "static/style.css", "static/none.css", "docs", "none", ""]

ODD = {
    "NUL": "%00",
    "NUL within": "a%00b",
    "line feed": "%0a",
    "header": "%0d%0aSet-Cookie:%20a=b",
    "tab": "%09",
    "escape": "%1b[2J",
    "delete": "%7f",
    "next line": "%c2%85",
    "overlong slash": "%c0%af",
    "overlong NUL": "%c0%80",
    "overlong in three": "%e0%80%af",
    "unpaired surrogate": "%ed%a0%80",
    "pair of surrogates": "%ed%a0%bd%ed%b8%80",
    "beyond Unicode": "%f4%90%80%80",
    "half a letter": "%c3",
    "Latin-1": "%e5",
    "not percent": "%zz%",
    "twice": "%2500",
    "slash": "..%2f..%2f..%2fetc%2fpasswd",
    "backslash": "..%5c..%5cetc",
    "dots": "../../../../etc/passwd",
    "dot": "./././",
    "two slashes": "//evil.example.invalid/",
    "script": "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "quotes": "%22%27%20onload%3Dx%3D%60",
    "template": "%7B%7B7*7%7D%7D%7B%25raw%25%7D",
    "SQL": "'%20OR%201=1%20--",
    "wild": "%25_*%3F%5B",
    "bidi": "%e2%80%ae%e2%81%a6",
    "beyond 16 bits": "%f0%9f%98%80",
    "long": "a" * 7_000,
    "very long": "a" * 60_000,
    "many parts": "a/" * 3_000,
    "empty": "",
    "semicolon": ";a=b;c",
    "fragment": "%23x",
    "question": "%3Fx=y",
}

HOSTILE: dict[str, Sequence[tuple[str, str]]] = {
    "Host": [("Host", HOST)],
    "Host with a port": [("Host", f"{HOST}:443")],
    "Host with a path": [("Host", f"{HOST}/x?")],
    "Host with a user": [("Host", f"a@{HOST}")],
    "no Host": [("Host", "")],
    "X-Forwarded-Host": [("X-Forwarded-Host", HOST)],
    "X-Forwarded-Server": [("X-Forwarded-Server", HOST), ("X-Host", HOST), ("X-HTTP-Host-Override", HOST)],
    "X-Forwarded-Proto": [("X-Forwarded-Proto", f"javascript://{HOST}")],
    "X-Forwarded-For": [("X-Forwarded-For", HOST), ("X-Real-IP", HOST), ("True-Client-IP", HOST)],
    "X-Forwarded-Prefix": [("X-Forwarded-Prefix", f"//{HOST}"), ("X-Script-Name", f"//{HOST}")],
    "X-Forwarded-Port": [("X-Forwarded-Port", f"443@{HOST}")],
    "Forwarded": [("Forwarded", f"for={HOST};host={HOST};proto=https")],
    "X-Original-URL": [("X-Original-URL", f"//{HOST}/"), ("X-Rewrite-URL", f"//{HOST}/")],
    "Origin": [("Origin", f"https://{HOST}"), ("Access-Control-Request-Method", "GET")],
    "Referer": [("Referer", f"https://{HOST}/")],
    "method in a header": [("X-HTTP-Method-Override", "DELETE"), ("X-Method-Override", "DELETE")],
    "language": [("Accept-Language", f"{HOST}, ../..")],
    "range": [("Range", "bytes=0-0,5-9,-1")],
    "conditions": [("If-None-Match", "*"), ("If-Modified-Since", "Fri, 31 Dec 9999 23:59:59 GMT")],
    "upgrade": [("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
    "Latin-1": [("Accept", "å" * 100), ("X-Request-Id", "å")],
    "long": [("X-Long", "a" * 20_000)],
    "cookies": [("Cookie", f"_token_=x; a={'b' * 4_000}; =; ;;")],
    "user": [("X-Remote-User", "lead"), ("X-Forwarded-User", "lead"), ("Remote-User", "lead"), ("X-User", "lead")],
}


@pytest.fixture(scope="module")
def staged(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> worklists.Site:
    """On PostgreSQL, which cannot store a NUL."""
    url = postgres.libpq(postgres.create_database())
    site = worklists.site(tmp_path_factory.mktemp("requests"), url=url)
    site.stage({}, {"sekretess": True, "patient": "Hemlig, Hanna"}, {"kategori": "Diabetes\tmottagning <b>"})
    return site


@pytest.fixture(autouse=True)
def _readers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, users in dashboards.RIGHTS.items():
        monkeypatch.setenv(name, users)
    monkeypatch.setenv("WAITLIST_DATA_DOCS_DIR", str(tmp_path))
    monkeypatch.setattr(errors, "get_auth_manager", SimpleAuthManager)


@pytest.fixture
def server(staged: worklists.Site) -> Iterator[Server]:
    with dashboards.serving(dashboards.over(staged)) as server:
        yield server


def bearer(user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {user}"}


def found_elsewhere(answer: Answer) -> bool:
    return answer.status in {400, 404} and answer.body in ELSEWHERE


def faults_of(answer: Answer, sent: str = "") -> list[str]:
    """Return the faults of an answer to any request."""
    found = []
    if found_elsewhere(answer):
        return []
    if answer.status not in {200, 401, 403, 404, 405, 422}:
        found.append(f"status {answer.status}")
    if not answer.header("Content-Security-Policy") or answer.header("X-Content-Type-Options") != "nosniff":
        found.append("headers")
    if answer.header("Set-Cookie") or answer.header("Access-Control-Allow-Origin") or answer.header("Location"):
        found.append("a header that was sent along")
    if not answer.header("Cache-Control"):
        found.append("may be kept")
    text = "" if (answer.header("Content-Type") or "").startswith("application/vnd") else answer.text
    if "<script" in text.lower() or "Traceback" in text:
        found.append("what nobody wrote")
    if HOST in "".join(value for _, value in answer.headers) or (HOST in text and HOST not in sent):
        found.append("the host's name")
    return found


def odd_addresses(kinds: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give each address with each odd part, in each place that takes one."""
    for kind, odd in kinds.items():
        for template, parameters in dashboards.ROUTES:
            whole = route(template)
            yield kind, whole + odd
            yield kind, f"{whole}?{odd}"
            yield kind, f"{whole}?{odd}={odd}&&=&{odd}"
            for place in re.findall(r"{(\w+)}", template):
                yield kind, route(template, **{place: odd})
            for name in parameters:
                yield kind, f"{whole}?{name}={odd}"
                yield kind, f"{whole}?{name}={VALUES.get(name, 'x')}&{name}={odd}&{name}[]={odd}&{name}.a={odd}"
        yield kind, odd
        yield kind, f"static/{odd}"


SHORT = ("NUL", "unpaired surrogate", "script")


def test_no_odd_address_is_answered_by_a_fault(server: Server, attack_table: Table) -> None:
    attack_odd(server, {kind: ODD[kind] for kind in SHORT}, ("lead",), attack_table, "odd addresses, in short")


@pytest.mark.attack
def test_no_odd_address_is_answered_by_a_fault_whoever_asks(server: Server, attack_table: Table) -> None:
    attack_odd(server, ODD, ("lead", "viewer", "refused", None), attack_table, "odd addresses, whoever asks")


def attack_odd(
    server: Server, kinds: Mapping[str, str], users: Sequence[str | None], attack_table: Table, name: str
) -> None:
    tries, lost = 0, []
    for user, (kind, target) in itertools.product(users, odd_addresses(kinds)):
        answer = server.ask(target, {} if user is None else bearer(user))
        found = faults_of(answer, target)
        if (
            user in {None, "refused"}
            and answer.status not in {401 if user is None else 403, 405}
            and not found_elsewhere(answer)
        ):
            found.append(f"status {answer.status} for nobody")
        if user == "viewer" and any(person in answer.text for person in NAMES):
            found.append("persons")
        tries += 1
        lost += [f"{kind}, {user}: {target[:100]}: {fault}" for fault in found]
    assert lost == []
    attack_table(f"dashboard: {name}", tries=tries, held=tries - len(lost))


@pytest.mark.parametrize("odd", ["%00", "%c0%80", "%ed%a0%80", "%ff", "a%00b"])
@pytest.mark.parametrize(
    "place", ["enhet/{}", "korningar/{}", "korningar/natt-1?jamfor={}", UNIT + "?lista={}", "api/" + UNIT + "?lista={}"]
)
def test_a_text_that_no_database_can_store_is_reported_as_unreadable(server: Server, place: str, odd: str) -> None:
    answer = server.ask(place.format(odd), bearer("lead"))
    assert answer.status == 422
    assert "Adressen går inte att läsa" in answer.text
    assert "Databasen svarar inte" not in answer.text


@pytest.mark.parametrize(
    "target", [b"enhet/\xff", b"enhet?x=\xff", b"enhet/\xc3\xa5", b"?\x00", b"enhet\x00", b"\xed\xa0\x80"]
)
def test_bytes_that_no_browser_sends_are_refused(server: Server, target: bytes) -> None:
    for user in ("lead", None):
        assert server.ask(target, bearer(user) if user else {}).status in {400, 401, 404, 422}


@pytest.mark.parametrize("length", [256, 300, 4_096, 7_000])
def test_a_name_that_no_file_can_have_leads_nowhere(server: Server, length: int) -> None:
    for place in ("korningar/{}/data-docs/index.html", "korningar/natt-1/data-docs/{}.html", "korningar/{}"):
        assert server.ask(place.format("a" * length), bearer("lead")).status == 404


def test_a_category_with_a_tab_and_a_tag_is_found_by_its_link(server: Server) -> None:
    page = server.ask(f"{UNIT}?lista={quote('Diabetes	mottagning <b>')}", bearer("viewer"))
    assert page.status == 200
    assert "poster 1–1 av 1" in page.text
    assert "mottagning &lt;b&gt;" in page.text
    assert "mottagning <b>" not in page.text


# Headers


def test_no_header_decides_what_an_answer_says(server: Server, attack_table: Table) -> None:
    some = {kind: HOSTILE[kind] for kind in ("Host", "user")}
    attack_headers(server, some, attack_table, "hostile headers, in short")


@pytest.mark.attack
def test_no_header_of_any_kind_decides_what_an_answer_says(server: Server, attack_table: Table) -> None:
    attack_headers(server, HOSTILE, attack_table, "hostile headers")


def attack_headers(
    server: Server, kinds: Mapping[str, Sequence[tuple[str, str]]], attack_table: Table, name: str
) -> None:
    tries, lost = 0, []
    for path, user in itertools.product(PATHS, ("lead", None)):
        known = {} if user is None else bearer(user)
        plain = server.ask(path, known)
        for kind, headers in kinds.items():
            answer = server.ask(path, [*known.items(), *headers])
            found = faults_of(answer)
            if answer.status != plain.status:
                found.append(f"status {answer.status} and not {plain.status}")
            tries += 1
            lost += [f"{kind}: {path}: {fault}" for fault in found]
    assert lost == []
    attack_table(f"dashboard: {name}", tries=tries, held=tries - len(lost))


@pytest.mark.parametrize("root_path", ["", "/airflow"])
@pytest.mark.parametrize(
    "path", ["", "enhet", f"{UNIT}?regel=FIRST_VISIT&lista=%C3%A5%20%3C&sida=2", "finns//inte", "x%22%3E"]
)
def test_the_login_leads_back_within_this_host_whatever_the_host_is_called(
    staged: worklists.Site, path: str, root_path: str
) -> None:
    with dashboards.serving(dashboards.over(staged), root_path=root_path) as server:
        for name in (HOST, f"{HOST}:8080", "localhost"):
            text = server.ask(path, {"Host": name}).text
            assert name not in text
            (link,) = re.findall(r'<a href="([^"]*)">Logga in</a>', text)
            (back,) = parse_qs(urlsplit(html.unescape(link)).query)["next"]
            assert urlsplit(back).netloc == ""
            assert back.startswith("/migrering/")
            assert (
                server.ask(back.removeprefix("/migrering/"), bearer("viewer")).status
                == server.ask(path, bearer("viewer")).status
            )


@pytest.mark.parametrize("base_url", ["https://airflow.example.invalid/", "http://airflow.example.invalid/", ""])
def test_a_browser_that_used_tls_must_use_tls_from_then_on(
    staged: worklists.Site, monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    by_tls = base_url.startswith("https:")
    with dashboards.serving(dashboards.over(staged)) as server:
        for path, user in (("", "lead"), ("static/style.css", "lead"), ("none", "lead"), ("", "refused")):
            said = server.ask(path, bearer(user)).header("Strict-Transport-Security")
            assert said == ("max-age=31536000" if by_tls else None)
        # Only a proxy in the server's settings may say so.
        behind = server.ask("", {**bearer("lead"), "X-Forwarded-Proto": "https"})
        assert behind.header("Strict-Transport-Security") == "max-age=31536000"


# Links from elsewhere


def browser(user: str, **headers: str) -> dict[str, str]:
    """The headers that a browser sends by itself, and those about the page with the link."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"Cookie": f"_token={user}", **named}


def mark_of(server: Server, user: str) -> str:
    """The mark in the links to persons on the pages of a user's session."""
    found = set(re.findall(r"marke=([0-9a-f]+)", server.ask(UNIT, browser(user)).text))
    assert len(found) == 1
    return found.pop()


SITES = (None, "same-origin", "same-site", "cross-site", "none", "", "same-origin, cross-site", "SAME-ORIGIN", "x")
LED_BY_OURS = (None, "same-origin", "none")


def test_no_link_but_one_of_ours_opens_persons_in_a_readers_browser(
    staged: worklists.Site, server: Server, attack_table: Table
) -> None:
    right = mark_of(server, "reader")
    marks = {
        "none": "",
        "empty": "?marke=",
        "another session's": f"?marke={mark_of(server, 'lead')}",
        "cut": f"?marke={right[:-1]}",
        "one letter more": f"?marke={right}0",
        "in capitals": f"?marke={right.upper()}",
        "spoilt by the last": f"?marke={right}&marke=x",
        "odd": "?marke=%C3%A5%F0%9F%98%80",
        "right": f"?marke={right}",
    }
    tries, lost = 0, []
    for path, site, (kind, mark) in itertools.product(LOOKS, SITES, marks.items()):
        before = len(dashboards.looks(staged))
        answer = server.ask(path + mark, browser("reader", **({} if site is None else {"Sec_Fetch_Site": site})))
        looked = len(dashboards.looks(staged)) - before
        asked_for = kind == "right" and site in LED_BY_OURS
        tries += 1
        if (answer.status, looked > 0) != ((200, True) if asked_for else (403, False)):
            lost.append(f"{path} from {site}, mark {kind}: {answer.status}, {looked} looks")
    assert lost == []
    attack_table("dashboard: looks that nobody asked for", tries=tries, held=tries - len(lost))


def test_two_headers_that_contradict_each_other_open_nothing(staged: worklists.Site, server: Server) -> None:
    target = f"{UNIT}/personer?marke={mark_of(server, 'reader')}"
    for pair in (("same-origin", "cross-site"), ("cross-site", "same-origin"), ("none", "same-origin")):
        given = [*browser("reader").items(), *(("Sec-Fetch-Site", said) for said in pair)]
        before = len(dashboards.looks(staged))
        assert server.ask(target, given).status == 403
        assert len(dashboards.looks(staged)) == before


@pytest.mark.parametrize("scheme", ["Basic", "Digest", "Bearer", "bearer ", "", "Negotiate"])
def test_a_header_without_a_token_does_not_count_as_one(staged: worklists.Site, server: Server, scheme: str) -> None:
    before = len(dashboards.looks(staged))
    named = {**browser("reader"), "Authorization": scheme if scheme.strip().lower() == "bearer" else f"{scheme} reader"}
    assert server.ask(f"{UNIT}/personer", named).status in {401, 403}
    assert len(dashboards.looks(staged)) == before


@pytest.mark.parametrize("path", LOOKS)
def test_a_program_with_a_token_needs_no_mark(staged: worklists.Site, server: Server, path: str) -> None:
    before = len(dashboards.looks(staged))
    assert server.ask(path, bearer("reader")).status == 200
    assert len(dashboards.looks(staged)) > before


def test_a_link_without_the_mark_leads_to_the_page_where_persons_can_be_opened(server: Server) -> None:
    refused = server.ask(f"{UNIT}/personer", browser("reader", Sec_Fetch_Site="cross-site"))
    assert "Personuppgifter visas inte den vägen" in refused.text
    assert f'href="../../enhet/{posts.UNIT}">Till enheten' in refused.text
    assert "marke" not in refused.text


def test_the_mark_is_only_on_the_pages_of_its_session(server: Server) -> None:
    right = mark_of(server, "reader")
    assert right != mark_of(server, "lead")
    assert not re.search('marke["=]', server.ask(UNIT, browser("viewer")).text)
    assert "reader" not in right
    looked = server.ask(f"{UNIT}/personer?marke={right}", browser("reader")).text
    # Sorting, paging and choosing stay on the page with persons, so their links have the mark; other links do not.
    assert f'name="marke" value="{right}"' in looked
    assert set(re.findall(r'href="(\?[^"]*)"', looked)) == set(re.findall(rf'href="(\?[^"]*{right}[^"]*)"', looked))
    assert all(right in link or "personer" not in link for link in re.findall(r'href="([^"]*)"', looked))
