"""A wave from its dry run to its closing, on the pages: every kind of receipt, and an outcome of every post."""

import dataclasses
import datetime as dt
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from tests.support import batches, dashboards, posts, releases, worklists
from tests.support.releases import LATER, REASON
from upath import UPath

from waitlist.columns.dates import day_in_stockholm
from waitlist.release import decisions
from waitlist.reports.notices import Notice
from waitlist.settings import Settings
from waitlist.staging import PIPELINE, schema
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Run
from waitlist.swedish.words import WORK_LIST_OWED_MIGRATES

UNIT = f"enhet/{posts.UNIT}"
WAVE = "vag?namn=1"
OWED = f"{UNIT}?visa=utan-utfall"
ORIGIN = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
MOVE = {"kategori": "Diabetesmottagning"}
FIRST = {"nybesok": True}
EXPIRED = {"boka_from": "2024-01-01", "boka_fore": "2024-02-01"}
ACCEPTED, REJECTED, BOOKED, CANCELLED, CONTRADICTED, UNANSWERED = range(1, 7)
TO_MOVE, CLOSED, ELSEWHERE, TO_FIX, NOBODY = range(7, 12)
"""What becomes of the posts 1 to 6, which migrate, and of 7 to 11, which do not."""
GIVEN: tuple[Mapping[str, Any], ...] = ({}, {}, {}, {}, {}, {}, MOVE, FIRST, MOVE, EXPIRED, {"vantar_pa_besok": False})
WENT = frozenset({ACCEPTED, REJECTED, BOOKED, CANCELLED, CONTRADICTED, UNANSWERED})
WORDS = (
    (ACCEPTED, "accepted", 1), (REJECTED, "rejected", 1), (BOOKED, "accepted", 1), (BOOKED, "booked", 2),
    (BOOKED, "booked", 3), (CANCELLED, "booked", 1), (CANCELLED, "cancelled", 2), (CONTRADICTED, "accepted", 1),
    (CONTRADICTED, "rejected", 2),
)  # fmt: skip


@dataclass
class Deployment:
    """A deployment with its pages, and the steps that the DAGs run."""

    client: TestClient
    staged: worklists.Site
    steps: Pipeline
    folder: Path
    sent: list[Notice]
    user: str = "lead"

    def get(self, path: str = WAVE) -> httpx.Response:
        return self.client.get(f"/{path}", headers={"Cookie": f"_token={self.user}"})

    def text(self, path: str = WAVE) -> str:
        """Return what is written on a page, without its tags."""
        answer = self.get(path)
        assert answer.status_code == 200
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split()).replace("\u202f", "")

    def json(self, path: str) -> Any:
        return (
            self.client.get(f"/api/{path}", headers={"Authorization": f"Bearer {self.user}"}).raise_for_status().json()
        )

    def hidden(self, part: str, path: str) -> dict[str, str]:
        """Return the hidden fields of the form in a part of a page, given as a pattern."""
        found = re.search(part, self.get(path).text, re.DOTALL)
        assert found, f"{path} has no {part}"
        return {
            name: html.unescape(value)
            for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', found[0])
        }

    def send(self, path: str, form: Mapping[str, str], **headers: str) -> httpx.Response:
        given = {"Cookie": f"_token={self.user}", **ORIGIN, **headers}
        return self.client.post(f"/{path}", data=dict(form), headers=given, follow_redirects=False)

    def say(self, post_id: int, outcome: str, word: str = "") -> httpx.Response:
        row = rf'<tr id="post-{post_id}".*?</tr>'
        hidden = self.hidden(row, OWED)
        return self.send(f"{UNIT}/utfall", {**hidden, "utfall": outcome, "ord": word})

    def close(self, reason: str = "") -> httpx.Response:
        hidden = self.hidden(r'<form[^>]*action="[^"]*vag/avsluta".*?</form>', WAVE)
        return self.send("vag/avsluta", {**hidden, "motivering": reason})

    def receive(self, *words: tuple[int, str, int], name: str = "svar.csv") -> None:
        """Put a file of receipts into the folder, and take it."""
        rows = [",".join(schema.RECEIPT_COLUMNS)]
        for post_id, outcome, hours in words:
            rejected = outcome == "rejected"
            cells = ["wave", post_id, outcome, (LATER + dt.timedelta(hours=hours)).isoformat()]
            cells += ["" if rejected else f"m{post_id}", "finns redan" if rejected else ""]
            rows.append(",".join(map(str, [*cells, f"2025-03-0{hours}" if outcome == "booked" else ""])))
        (self.folder / "in").mkdir(exist_ok=True)
        (self.folder / "in" / name).write_text("\n".join([*rows, ""]), encoding="utf-8")
        taken = self.steps.take_receipts(self.sent.append, now=LATER + dt.timedelta(days=2))
        assert (taken["files"], taken["files_refused"]) == (1, 0)

    def night(self, batch_id: str, days: int, *given: Mapping[str, Any]) -> dict[str, Any]:
        """Stage a dry run, and take the steps that follow a release."""
        context = dataclasses.replace(self.staged.context, as_of=posts.AS_OF + dt.timedelta(days))
        now = LATER + dt.timedelta(days)
        put = dataclasses.replace(self.staged, context=context)
        put.stage(*given, batch_id=batch_id, started_at=now, released=tuple(sorted(WENT)))
        noted = self.steps.note_outcomes(Run(batch_id, context.as_of, None, ""), now=now)
        self.steps.watch_receipts(self.sent.append, now=now)
        return noted


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A wave of one unit, after its night and its release."""
    for name, value in dashboards.RIGHTS.items():
        monkeypatch.setenv(name, value)
    staged = worklists.site(tmp_path)
    staged.stage(*GIVEN, batch_id="natt-1")
    staged.stage(*GIVEN, batch_id="wave", kind="migration", wave="1")
    decisions.request_approval(staged.store, "wave", releases.PASSED, PIPELINE, LATER)
    decisions.release(staged.store, "wave", "lead", None, LATER)
    url = staged.store.engine.url.render_as_string(hide_password=False)
    steps = Pipeline(
        Settings(), snapshots=UPath(tmp_path), pmo=str, staging=lambda: url, receipts=UPath(tmp_path / "in")
    )
    client = TestClient(dashboards.over(staged), raise_server_exceptions=False)
    return Deployment(client, staged, steps, tmp_path, [])


def test_a_wave_goes_from_its_dry_run_to_its_closing(deployment: Deployment) -> None:
    page = deployment.text()
    assert "5 av 5 poster saknar utfall." not in page
    assert "4 av 4 poster saknar utfall." in page
    assert "Inga kvittenser har kommit från mottagaren" in page
    deployment.receive(*WORDS)
    found = deployment.json(WAVE)
    assert found["followed"]["now"] == {
        "posts": 6, "unanswered": 2, "rejected": 1, "open": 1, "late": 1, "booked": 1, "cancelled": 1,
    }  # fmt: skip
    assert "5 av 5 poster saknar utfall." in deployment.text()
    # Before the next night too, the unit's page has the posts that the ledger counts.
    assert deployment.json(OWED)["paging"]["rows"] == 5
    assert re.search(rf'<tr id="post-{REJECTED}".*?name="utfall"', deployment.get(OWED).text, re.DOTALL)
    # A night: one post is closed in PMO, another one is at another unit now.
    kept = ({}, {}, {}, {}, {}, {}, MOVE, {"post_id": ELSEWHERE, "enhet_hsa_id": posts.UNIT_LIVE, **MOVE},
            {"post_id": TO_FIX, **EXPIRED})  # fmt: skip
    assert deployment.night("natt-2", 3, *kept) == {"released_later": 0, "closed_in_pmo": 1, "undone": 0}
    assert "4 av 5 poster saknar utfall." in deployment.text()
    assert "- våg 1: 4\n" in deployment.sent[-1].text
    # The unit says what became of the others, also of the one that it has no longer.
    asked = {post["post_id"] for post in deployment.json(OWED)["posts"]}
    assert asked == {REJECTED, TO_MOVE, ELSEWHERE, TO_FIX}
    assert "finns inte längre på enhetens lista i PMO" in deployment.text(OWED)
    for post_id, outcome, word in (
        (REJECTED, "booked_millennium", ""),
        (TO_MOVE, "booked_pmo", ""),
        (ELSEWHERE, "moved", ""),
        (TO_FIX, "not_needed", "patienten har avbokat"),
    ):
        answer = deployment.say(post_id, outcome, word)
        assert answer.status_code == 303
        assert f"Post {post_id}:" in deployment.text(f"{UNIT}?klar={post_id}")
    page = deployment.text()
    assert "Alla 5 poster har ett utfall." in page
    assert deployment.json(OWED)["posts"] == []
    # Two receipts are missing: a lead closes it with a reason.
    assert deployment.close().status_code == 422
    assert deployment.close(REASON).status_code == 303
    page = deployment.text()
    assert "Avslutad, 1 obokad, 2 obesvarade" in page.replace("\u00a0", " ")
    assert REASON in page
    assert "vag/avsluta" not in deployment.get().text
    # The follow-up goes on.
    deployment.receive((ACCEPTED, "booked", 4), name="mer.csv")
    assert "Avslutad, 2 obesvarade" in deployment.text().replace("\u00a0", " ")
    days = [(day["day"], day["counts"]["booked"]) for day in deployment.json(WAVE)["followed"]["days"]]
    assert days[0] == (day_in_stockholm(LATER + dt.timedelta(3)).isoformat(), 1)
    assert days[-1][1] == 2
    assert [row["outcome"] for row in batches.rows(deployment.staged.store, schema.post_outcome)].count(
        "closed_in_pmo"
    ) == 1


def test_a_post_that_migrates_now_is_counted_and_waits_for_its_release(deployment: Deployment) -> None:
    deployment.night("natt-2", 3, *GIVEN[: TO_MOVE - 1], {}, *GIVEN[TO_MOVE:])
    found = {post["post_id"]: post for post in deployment.json(OWED)["posts"]}
    assert len(found) == deployment.json(WAVE)["ledger"]["missing"] == 4
    assert (found[TO_MOVE]["disposition"], found[TO_MOVE]["may"]) == ("migrate", [])
    assert found[TO_MOVE]["goes_away"] == WORK_LIST_OWED_MIGRATES


def test_when_nothing_is_missing_a_wave_is_closed_without_a_reason(deployment: Deployment) -> None:
    complete(deployment)
    deployment.user = "viewer"
    assert deployment.close().status_code == 303
    assert "Avslutad, inget obokat" in deployment.text()
    (row,) = batches.rows(deployment.staged.store, schema.wave_closing)
    assert (row["actor"], row["reason"]) == ("viewer", None)


def test_nobody_but_a_lead_is_asked_for_a_reason_or_closes_a_wave_that_lacks_something(deployment: Deployment) -> None:
    deployment.user = "reader"
    page = deployment.get().text
    assert "vag/avsluta" not in page
    assert "Bara en migreringsledare kan avsluta" in html.unescape(page)
    deployment.user = "lead"
    form = deployment.hidden(r'<form[^>]*action="[^"]*vag/avsluta".*?</form>', WAVE)
    token = {"Authorization": "Bearer reader", "Cookie": ""}
    answer = deployment.send("api/vag/avsluta", {"namn": form["namn"], "motivering": REASON}, **token)
    assert (answer.status_code, answer.json()["error"]) == (409, "closing_only_a_lead")
    assert batches.rows(deployment.staged.store, schema.wave_closing) == []
    assert deployment.close(REASON).status_code == 303
    assert re.search(r"Avslutad, \d+\sobesvarade", deployment.text()), "what nobody has answered is not booked"


@pytest.mark.parametrize("reason", ["", "kort", "   o t y d l "])
def test_a_refused_closing_says_why_and_keeps_what_was_written(deployment: Deployment, reason: str) -> None:
    answer = deployment.close(reason)
    assert answer.status_code == 422
    page = html.unescape(answer.text)
    assert "minst 10 tecken" in page
    assert f">{reason}</textarea>" in page
    assert batches.rows(deployment.staged.store, schema.wave_closing) == []


def test_a_closing_from_elsewhere_or_of_no_wave_closes_nothing(deployment: Deployment) -> None:
    complete(deployment)
    form = deployment.hidden(r'<form[^>]*action="[^"]*vag/avsluta".*?</form>', WAVE)
    assert deployment.send("vag/avsluta", form, Origin="http://elsewhere.example").status_code == 403
    assert deployment.send("vag/avsluta", {**form, "kod": "x"}).status_code == 403
    assert deployment.send("vag/avsluta", {**form, "namn": ""}).status_code == 422
    assert deployment.send("vag/avsluta", {**form, "namn": "9"}).status_code == 404
    assert deployment.send("vag/avsluta", {**form, "annat": "x"}).status_code == 422
    assert deployment.client.get("/vag/avsluta", headers={"Cookie": "_token=lead"}).status_code in {404, 405}
    assert batches.rows(deployment.staged.store, schema.wave_closing) == []


def complete(deployment: Deployment) -> None:
    """Give every post its receipt or outcome."""
    deployment.receive(*((post_id, "booked", 1) for post_id in sorted(WENT)))
    for post_id in (TO_MOVE, CLOSED, ELSEWHERE, TO_FIX):
        assert deployment.say(post_id, "booked_pmo").status_code == 303
