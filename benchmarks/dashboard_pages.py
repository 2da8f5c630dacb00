"""``python -m benchmarks.dashboard_pages``: ask the dashboard for each page, in this process, and time its SQL apart.

The login is skipped. The statements that a page sent are run again on an engine of their own, and fetched to the end:
that is the time of the page's SQL. The output is one line of JSON with the median of several measurements. The first
request is not measured. The argument is the unit whose pages are asked for; without one it is the largest of the first
wave.
"""

import json
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import event

from waitlist_airflow.web.app import create_app, get_user

_REPEATS: Final = 5

Sent = tuple[sa.Engine, str, Any]


class Asked(NamedTuple):
    """A request."""

    page: str
    form: dict[str, str] | None = None
    """What is sent by POST; None for a GET."""
    posts: int = 0
    """The posts that it is about: those of its unit in the latest dry run, else all posts of that."""


class _Lead:
    """The user that opens the pages."""

    def get_id(self) -> str:
        return "lead"

    def get_name(self) -> str:
        return "lead"


def main() -> None:
    """Measure every page."""
    app = create_app()
    app.dependency_overrides[get_user] = _Lead
    # As Airflow mounts it.
    outer = FastAPI()
    outer.mount("/migrering", app)
    with TestClient(outer, base_url="http://127.0.0.1") as client:
        print(json.dumps([_measure(client, page) for page in _pages(client, *sys.argv[1:])]))


def _pages(client: TestClient, unit: str | None = None) -> list[Asked]:
    """Return the pages: those of the navigation, and some of each kind behind them."""
    first = client.get("/migrering/").raise_for_status().text
    menu = first.partition("<nav")[2].partition("</nav>")[0]
    pages = ["", *(path for path in re.findall(r'href="\./([^"#]*)"', menu) if path)]
    overview = client.get("/migrering/api/oversikt").raise_for_status().json()
    posts = {found["key"]: found["posts"] for wave in overview["waves"] for found in wave["units"]}
    its_wave = next(wave for wave in overview["waves"] if unit in {None, *(found["key"] for found in wave["units"])})
    unit = unit or max(its_wave["units"], key=lambda found: found["posts"])["key"]
    pages.append(f"enhet/{unit}")
    runs = client.get("/migrering/api/korningar").raise_for_status().json()["batches"]
    latest, before = [run["batch_id"] for run in runs if run["kind"] == "dry_run"][:2]
    pages += [f"korningar/{latest}", f"korningar/{latest}?jamfor={before}"]
    wave = f"namn={its_wave['wave'] or ''}"
    pages += [f"vag?{wave}", f"forfaller/{unit}", "poster?kvar=ja", "poster?regel=CATEGORY_NOT_MOVED"]
    pages += [f"enhet/{unit}?visa={show}" for show in ("nya", "klara", "atgardade", "alla")]
    pages += [f"enhet/{unit}?alla=ja", f"enhet/{unit}/personer", "atkomstlogg?sida=2000", "atkomstlogg?post=1"]
    pages += ["atkomstlogg/stickprov", "vad-hander-om?enhet=v%C3%A5g:1&driftstart=2025-01-13", "api/oversikt"]
    lists = [f"enhet/{unit}/arbetslista", f"vag/arbetslistor?{wave}"]
    name = next(found["name"] for found in its_wave["units"])
    pages += _decided(client)
    searches = [Asked("sok", {"q": text}) for text in ("1", name[:8], "bokning")]
    every = [*(Asked(page) for page in (*pages, *lists)), *searches]
    return [asked._replace(posts=posts.get(_unit_of(asked.page), overview["posts"])) for asked in every]


def _unit_of(page: str) -> str | None:
    """Return the key of the unit that an address names."""
    named = re.match(r"(?:enhet|forfaller)/([^/?]+)", page)
    return named[1] if named else None


def _decided(client: TestClient) -> list[str]:
    """Return the pages of the waves that are decided or wait: ledger, follow-up, sample, Beslutsunderlag, back-out.

    The list is empty where no wave has been started.
    """
    batches = client.get("/migrering/api/overfort").raise_for_status().json()["batches"]
    by_state = {batch["state"]: batch for batch in batches}
    if not by_state:
        return []
    waits, released, back = (by_state[name] for name in ("awaiting_approval", "released", "withdrawn_after_load"))
    shown = client.get(f"/migrering/stickprov/{waits['batch_id']}").raise_for_status().text
    part = re.search(r'href="[^"]*?(enhet/[^"#?]+/stickprov/[^"#?]+)"', shown)
    assert part is not None
    posts = client.get(f"/migrering/{part[1]}").raise_for_status().text
    one = re.search(rf'href="[^"]*?({waits["batch_id"]}/[0-9]+)"', posts)
    assert one is not None
    wave = f"namn={released['wave']}"
    others = client.get(f"/migrering/api/vag?{wave}").raise_for_status().json()["card"]["units"]
    unit = others[0]["key"]
    pages = [f"vag?{wave}", "vag", f"enhet/{unit}", f"enhet/{unit}?visa=utan-utfall"]
    pages += [f"korningar/{batch['batch_id']}" for batch in (waits, released, back)]
    pages += [f"korningar/{back['batch_id']}/aterlamning", f"korningar/{released['batch_id']}/aterlamning"]
    pages += [f"stickprov/{waits['batch_id']}", part[1], f"{part[1].rpartition('/')[0]}/{one[1]}"]
    drafts = [f"beslutsunderlag?namn={batch['wave']}" for batch in (waits, released)]
    return [*pages, *drafts, f"beslutsunderlag.pdf?namn={waits['wave']}"]


def _measure(client: TestClient, asked: Asked) -> dict[str, Any]:
    page = asked.page

    def ask() -> Response:
        # A token in the header, since a browser's way to persons goes by a link of our own.
        headers = {"Authorization": "Bearer lead"}
        method = "GET" if asked.form is None else "POST"
        return client.request(method, f"/migrering/{page}", data=asked.form, headers=headers)

    with _listening() as sent:
        size = len(ask().raise_for_status().content)
    times = [_timed(ask) for _ in range(_REPEATS)]
    alone = [_timed(lambda: _again(sent)) for _ in range(_REPEATS)]
    return {
        "page": _without_ids(page) + ("" if asked.form is None else f" ({', '.join(asked.form.values())})"),
        "posts": asked.posts,
        "seconds": statistics.median(times),
        "sql_seconds": statistics.median(alone),
        "statements": len(sent),
        "kilobytes": round(size / 1024),
        "other_work": any(part in page for part in ("vad-hander-om?", "/arbetslist", "/personer", ".pdf")),
    }


def _without_ids(page: str) -> str:
    """Return an address without the ids of this site."""
    named = re.sub(r"(?:dry_run|migration)-(?:[0-9a-f]{16}|pilot)(?:/[0-9]+)?", "…", page)
    return "/" + re.sub(r"((?:enhet|forfaller)/)[^/?]*", r"\1…", named)


@contextmanager
def _listening() -> Iterator[list[Sent]]:
    sent: list[Sent] = []

    def note(connection: sa.Connection, _cursor: object, statement: str, values: Any, *_: object) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            sent.append((connection.engine, statement, values))

    event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(sa.Engine, "before_cursor_execute", note)


def _again(sent: list[Sent]) -> None:
    connections: dict[sa.Engine, sa.Connection] = {}
    try:
        for engine, statement, values in sent:
            if engine not in connections:
                connections[engine] = engine.connect()
            connection = connections[engine].connection
            cursor = connection.cursor()
            cursor.execute(statement, values)
            cursor.fetchall()
            cursor.close()
    finally:
        for connection in connections.values():
            connection.close()


def _timed(what: Any) -> float:
    begun = time.perf_counter()
    what()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
