"""A unit's page as its work list, and what its staff say of a post there."""

import datetime as dt
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from tests.support import batches, dashboards, posts, worklists

from waitlist.staging import schema

UNIT = f"enhet/{posts.UNIT}"
SAY = f"{UNIT}/utfall"
BOOK, MOVE, ATTACHMENT, CLEAN = 1, 2, 3, 4
ORIGIN = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
SOON = {"boka_from": "2024-11-20", "boka_fore": "2024-12-10"}
NIGHT = (
    SOON,
    {"kategori": "Diabetesmottagning"},
    {"har_bilaga": True},
    {},
)


@dataclass
class Browser:
    """A person's browser on the pages of one deployment."""

    client: TestClient
    staged: worklists.Site
    user: str = "nurse"

    def get(self, path: str = UNIT) -> httpx.Response:
        return self.client.get(f"/{path}", headers={"Cookie": f"_token={self.user}"})

    def form(self, post_id: int, path: str = UNIT) -> dict[str, str]:
        """Return the hidden fields of the post's form, as they are on the page."""
        row = re.search(rf'<tr id="post-{post_id}".*?</tr>', self.get(path).text, re.DOTALL)
        assert row, "the post is not on the page"
        return {
            name: html.unescape(value)
            for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', row[0])
        }

    def send(self, form: Mapping[str, str], *, path: str = SAY, headers: Mapping[str, str] = ORIGIN) -> httpx.Response:
        return self.client.post(
            f"/{path}", data=dict(form), headers={"Cookie": f"_token={self.user}", **headers}, follow_redirects=False
        )

    def say(self, post_id: int, outcome: str, word: str = "", path: str = UNIT) -> httpx.Response:
        return self.send({**self.form(post_id, path), "utfall": outcome, "ord": word})

    def posts(self, query: str = "") -> list[dict[str, Any]]:
        answer = self.client.get(f"/api/{UNIT}{query}", headers={"Authorization": f"Bearer {self.user}"})
        return answer.raise_for_status().json()["posts"]  # type: ignore[no-any-return]

    def ids(self, query: str = "") -> list[int]:
        return [post["post_id"] for post in self.posts(query)]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return batches.rows(self.staged.store, schema.post_outcome)


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Browser:
    for name, value in {**dashboards.RIGHTS, "WAITLIST_LEADS": "lead, nurse, other, program"}.items():
        monkeypatch.setenv(name, value)
    staged = worklists.site(tmp_path)
    staged.stage(*NIGHT)
    return Browser(TestClient(dashboards.over(staged), raise_server_exceptions=False), staged)


# The list


def test_the_page_is_what_is_left_to_do_the_most_urgent_first(browser: Browser) -> None:
    assert browser.ids() == [BOOK, MOVE, ATTACHMENT]
    assert browser.ids("?visa=alla") == [BOOK, MOVE, ATTACHMENT, CLEAN]
    assert [post["sheet"] for post in browser.posts()] == ["book_in_millennium", "move_to_sdv_list", "check"]
    page = html.unescape(browser.get().text)
    assert "nattens körning ser inte vad som bokas i Millennium" in page
    assert "Raden försvinner när posten ligger på en SDV-väntelista i PMO." in page


def test_a_number_elsewhere_leads_to_all_the_posts_that_it_counts(browser: Browser) -> None:
    assert browser.ids("?beslut=migrate") == [ATTACHMENT, CLEAN]
    assert browser.ids("?beslut=migrate&visa=att-gora") == [ATTACHMENT]
    assert browser.ids(f"?post={CLEAN}&visa=att-gora") == [CLEAN], "a post is found wherever it is"


def test_sorting_and_turning_the_page_keep_their_place(browser: Browser) -> None:
    page = browser.get(f"{UNIT}?visa=alla&regel=CATEGORY_NOT_MOVED").text
    heads = re.findall(r'<a href="([^"]*sortera=[^"]*)">', page)
    assert len(heads) == 5
    assert all(head.endswith("#poster") and "regel=CATEGORY_NOT_MOVED" in head for head in heads)


def test_all_rows_are_on_the_page_for_printing_and_none_can_be_ticked_there(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waitlist.reports.pages.unit.PAGE_SIZE", 2)
    assert len(browser.posts()) == 2
    assert len(browser.posts("?alla=ja")) == 3
    page = browser.get(f"{UNIT}?alla=ja").text
    assert '<form class="tick-form' not in page
    assert "Visa alla 3 för utskrift" in html.unescape(browser.get().text)


def test_what_has_come_and_gone_since_the_night_before_is_told(browser: Browser) -> None:
    later = dt.timedelta(days=1)
    night = posts.AS_OF + later
    put = worklists.replace(browser.staged, context=worklists.replace(browser.staged.context, as_of=night))
    put.stage(SOON, {"kategori": "SDV Pv Ssk Återbesök (diabetes)"}, {"har_bilaga": True}, {"har_bilaga": True},
              batch_id="natt-2")  # fmt: skip
    listed = {post["post_id"]: (post["is_new"], post["since"]) for post in browser.posts()}
    first, second = posts.AS_OF.isoformat(), night.isoformat()
    assert listed == {
        BOOK: (False, {"day": first, "perhaps_earlier": True}),
        ATTACHMENT: (False, {"day": first, "perhaps_earlier": True}),
        CLEAN: (True, {"day": second, "perhaps_earlier": False}),
    }
    assert browser.ids("?visa=nya") == [CLEAN]
    page = html.unescape(browser.get(f"{UNIT}?visa=atgardade").text)
    assert re.search(rf'<th scope="row">{MOVE}</th>.*Åtgärdad</span> Migreras nu', page)
    assert "Inte flyttad till SDV-väntelista" in page


# What the staff write


def test_what_is_said_takes_the_post_off_the_list_until_it_is_undone(browser: Browser) -> None:
    answer = browser.say(BOOK, "booked_millennium", "tid 3 november", f"{UNIT}?visa=att-gora&sortera=fore")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"../{posts.UNIT}?klar={BOOK}#post-{MOVE}"
    assert browser.ids() == [MOVE, ATTACHMENT]
    (done,) = browser.posts("?visa=klara")
    assert (done["said"]["by"], done["said"]["outcome"]) == ("nurse", "booked_millennium")
    page = html.unescape(browser.get(f"{UNIT}?klar={BOOK}").text)
    assert "Bokad i Millennium (tid 3 november)" in page
    assert browser.say(BOOK, "undone", path=f"{UNIT}?visa=klara").status_code == 303
    assert browser.ids() == [BOOK, MOVE, ATTACHMENT]
    assert [(row["outcome"], row["actor"], row["undoes"]) for row in browser.rows] == [
        ("booked_millennium", "nurse", None),
        ("undone", "nurse", 1),
    ]


def test_the_filter_is_kept_after_a_tick(browser: Browser) -> None:
    form = browser.form(MOVE, f"{UNIT}?visa=alla&sortera=lista")
    answer = browser.send({**form, "utfall": "moved"}, path=f"{SAY}?visa=alla&sortera=lista&sida=1")
    asked = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert asked == {"visa": ["alla"], "sortera": ["lista"], "sida": ["1"], "klar": [str(MOVE)]}


def test_a_form_that_is_sent_twice_counts_once(browser: Browser) -> None:
    form = {**browser.form(BOOK), "utfall": "booked_pmo"}
    assert [browser.send(form).status_code for _ in range(3)] == [303, 303, 303]
    assert len(browser.rows) == 1


def test_the_second_of_two_is_told_what_the_first_has_said(browser: Browser) -> None:
    seen = browser.form(BOOK)
    browser.user = "other"
    browser.say(BOOK, "not_needed", "har fått tid på annat håll")
    browser.user = "nurse"
    own = browser.form(MOVE)
    answer = browser.send({**seen, "kod": own["kod"], "utfall": "booked_pmo"})
    said = html.unescape(answer.text)
    assert answer.status_code == 409
    assert "Det du valde (Bokad i PMO) har inte sparats" in said
    assert re.search(r"Behövs inte längre</b> \(har fått tid på annat håll\), other", said)
    assert len(browser.rows) == 1


def test_what_needs_a_word_asks_for_it_and_keeps_the_choice(browser: Browser) -> None:
    answer = browser.say(BOOK, "not_needed")
    assert answer.status_code == 422
    assert "Skriv varför besöket inte behövs längre." in answer.text
    assert '<option value="not_needed" selected>' in answer.text
    assert browser.say(BOOK, "booked_pmo", f"gäller {posts.PERSON}").status_code == 422
    assert browser.rows == []


def test_a_post_that_is_checked_comes_back_with_a_new_warning(browser: Browser) -> None:
    assert browser.say(ATTACHMENT, "checked").status_code == 303
    assert browser.ids() == [BOOK, MOVE]
    row = {"batch_id": worklists.BATCH, "post_id": ATTACHMENT, "rule": "AGE_IMPLAUSIBLE", "severity": "warning"}
    batches.execute(browser.staged.store, schema.finding.insert().values(row))
    end_again(browser)
    assert browser.ids() == [BOOK, MOVE, ATTACHMENT]


def end_again(browser: Browser) -> None:
    """Let the night end at another moment, as one that is run again: the rows of a night that has ended are kept."""
    batches.execute(
        browser.staged.store, schema.batch.update().values(finished_at=batches.NOW + dt.timedelta(minutes=1))
    )


def test_a_post_that_is_said_to_be_booked_and_yet_migrates_is_shown(browser: Browser) -> None:
    browser.say(MOVE, "booked_pmo")
    table = schema.disposition
    batches.execute(browser.staged.store, table.update().where(table.c.post_id == MOVE).values(disposition="migrate"))
    batches.execute(browser.staged.store, schema.finding.delete().where(schema.finding.c.post_id == MOVE))
    end_again(browser)
    shown = {post["post_id"]: post["action"] for post in browser.posts()}
    assert shown[MOVE].startswith("Posten är klarmarkerad men kommer ändå att migreras.")
    assert "Ångra" in browser.get().text


@pytest.mark.parametrize(
    ("post_id", "outcome"),
    [(BOOK, "checked"), (ATTACHMENT, "booked_pmo"), (CLEAN, "booked_pmo"), (CLEAN, "checked")],
)
def test_a_post_gets_only_what_its_row_offers(browser: Browser, post_id: int, outcome: str) -> None:
    form = {**browser.form(BOOK), "post": str(post_id), "utfall": outcome}
    assert browser.send(form).status_code == 409
    assert browser.rows == []


def test_a_post_of_another_unit_is_not_found(browser: Browser) -> None:
    form = {**browser.form(BOOK), "post": "4711", "utfall": "booked_pmo"}
    answer = browser.send(form)
    assert answer.status_code == 404
    assert f'href="../../enhet/{posts.UNIT}"' in answer.text
    assert browser.rows == []


# What is refused; a form from elsewhere is in tests/security/test_forms.py


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_nothing_is_said_by_another_method(browser: Browser, method: str) -> None:
    form = {**browser.form(BOOK), "utfall": "booked_pmo"}
    answer = browser.client.request(
        method, f"/{SAY}", params=form, headers={"Cookie": "_token=nurse", **ORIGIN}, follow_redirects=False
    )
    assert answer.status_code == 404
    assert browser.rows == []


@pytest.mark.parametrize(
    "changed",
    [
        {"utfall": "released_later"},
        {"utfall": "closed_in_pmo"},
        {"utfall": "<script>"},
        {"utfall": "undone"},
        {"angrar": "1"},
        {"post": "1 OR 1=1"},
        {"post": "9" * 40},
        {"efter": "-1"},
        {"nyckel": "x"},
        {"nyckel": "../../../../etc/passwd"},
        {"ord": "\0"},
        {"ord": "å" * 3_000},
        {"extra": "1"},
    ],
)
def test_what_cannot_be_read_changes_nothing(browser: Browser, changed: dict[str, str]) -> None:
    form = {**browser.form(BOOK), "utfall": "booked_pmo"} | changed
    answer = browser.send(form)
    assert answer.status_code == 422
    assert "<script>" not in answer.text
    assert browser.rows == []


def test_only_who_sees_the_unit_says_anything_of_its_posts(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"own": frozenset({posts.UNIT}), "neighbour": frozenset({posts.UNIT_LIVE})}
    monkeypatch.setattr(dashboards.Site, "unit_readers", own)
    form = browser.form(BOOK)
    for user in ("neighbour", "stranger", "refused"):
        sent = {"post": str(BOOK), "utfall": "booked_pmo", "efter": "0", "nyckel": f"a-key-of-the-user-{user}"}
        for path in (SAY, f"api/{SAY}"):
            answer = browser.client.post(f"/{path}", data=sent, headers={"Authorization": f"Bearer {user}"})
            assert answer.status_code == 403
    assert browser.rows == []
    browser.user = "own"
    assert browser.send({**form, "kod": browser.form(BOOK)["kod"], "utfall": "booked_pmo"}).status_code == 303


def test_nobody_says_anything_without_a_login(browser: Browser) -> None:
    form = {**browser.form(BOOK), "utfall": "booked_pmo"}
    assert browser.client.post(f"/api/{SAY}", data=form, headers=ORIGIN).status_code == 401
    assert browser.rows == []


def test_a_program_with_a_token_in_its_header_needs_no_form(browser: Browser) -> None:
    sent = {"post": str(BOOK), "utfall": "booked_pmo", "efter": "0", "nyckel": "a-program-s-own-key-1"}
    headers = {"Authorization": "Bearer program"}
    answers = [browser.client.post(f"/api/{SAY}", data=sent, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    late = browser.client.post(f"/api/{SAY}", data={**sent, "nyckel": "a-program-s-own-key-2"}, headers=headers)
    assert (late.status_code, late.json()["error"], len(late.json()["entries"])) == (409, "overtaken", 1)


def test_a_word_is_in_no_log_and_no_address(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    word = "Lindqvist har ringt"
    answer = browser.say(BOOK, "not_needed", word)
    assert "Lindqvist" not in answer.headers["Location"]
    assert "Lindqvist" not in caplog.text
    assert word in browser.get(f"{UNIT}?visa=klara").text


# What the receiver says


REASON = "Lindqvist, Åsa finns redan"
PILOT = "pilot"


def put_released(connection: sa.Connection, post_id: int) -> None:
    """Let an earlier wave have released a post."""
    wave = {
        "batch_id": PILOT, "dag_id": "waitlist_migration", "run_id": PILOT, "kind": "migration", "wave": "0",
        "as_of": batches.AS_OF, "state": "released", "rules_version": "0", "started_at": batches.NOW,
        "released_at": batches.NOW,
    }  # fmt: skip
    if connection.scalar(sa.select(schema.batch.c.batch_id).where(schema.batch.c.batch_id == PILOT)) is None:
        connection.execute(schema.batch.insert().values(wave))
    followed = {"batch_id": PILOT, "post_id": post_id, "enhet_hsa_id": posts.UNIT, "boka_fore": batches.BEGIN}
    held = {"post_id": post_id, "batch_id": PILOT, "row_hash": "0" * 64, "released_at": batches.NOW}
    connection.execute(schema.followed_post.insert().values(followed))
    connection.execute(schema.released_post.insert().values(held))


def reject(browser: Browser, *post_ids: int) -> None:
    for post_id in post_ids:
        key = f"{post_id:064d}"
        told = {"batch_id": PILOT, "post_id": post_id, "answer": "rejected", "at": batches.NOW}
        said = {"batch_id": PILOT, "receipt_key": key, "reason": f"{REASON}\n {post_id}"}
        with batches.unguarded(browser.staged.store) as connection:
            put_released(connection, post_id)
            connection.execute(schema.post_answer.insert().values(**told, receipt_key=key, contradictions=""))
            connection.execute(schema.receipt_reason.insert().values(said))


def test_a_reason_is_shown_with_the_persons_alone(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    reject(browser, BOOK)
    browser.user = "reader"
    page = browser.get(f"{UNIT}?post={BOOK}").text
    assert REASON not in page
    assert "Skälet kan nämna patienten" in page
    assert "skyddade personuppgifter" not in page
    assert REASON not in str(browser.posts())
    assert dashboards.looks(browser.staged) == []
    persons = browser.client.get(f"/{UNIT}/personer?post={BOOK}", headers={"Authorization": "Bearer reader"}).text
    assert f"Mottagarens skäl: ”{REASON} {BOOK}”." in persons
    assert [look["post_id"] for look in dashboards.looks(browser.staged)] == [BOOK]
    assert REASON not in caplog.text


def test_a_reason_about_a_protected_identity_is_shown_to_its_unit_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser: Browser
) -> None:
    monkeypatch.setattr(dashboards.Site, "unit_readers", {"own": frozenset({posts.UNIT})})
    (tmp_path / "protected").mkdir()
    browser.staged = worklists.site(tmp_path / "protected")
    browser.staged.stage({"sekretess": True, "kategori": "Diabetesmottagning"})
    browser.client = TestClient(dashboards.over(browser.staged), raise_server_exceptions=False)
    reject(browser, 1)
    own = {"Authorization": "Bearer own"}
    persons = browser.client.get(f"/{UNIT}/personer?visa=alla", headers=own).text
    assert REASON not in persons
    assert "eftersom patienten har skyddade personuppgifter" in persons
    assert REASON in browser.client.get(f"/{UNIT}/skyddad/1", headers=own).text


def test_a_released_patient_who_must_be_looked_at_comes_first(browser: Browser) -> None:
    reject(browser, BOOK)
    change = {"batch_id": worklists.BATCH, "post_id": CLEAN, "change": "changed", "columns": "PU_DECEASED"}
    with batches.unguarded(browser.staged.store) as connection:
        put_released(connection, CLEAN)
        connection.execute(schema.released_change.insert().values(change))
    assert browser.ids()[:2] == [CLEAN, BOOK]
