"""The pages of the sample: what each reader sees, what is logged, and what a form can do."""

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
from tests.support.releases import LATER, PASSED

from waitlist.facts.gates import Gate
from waitlist.release import decisions as release
from waitlist.release.gates import GateResult
from waitlist.reports.pages import sample as sample_page
from waitlist.staging import PIPELINE, schema
from waitlist.staging.post_outcomes import Entry, record
from waitlist.staging.sample_verdicts import FIELDS
from waitlist.staging.states import PostOutcome

WAVE = "vecka-1"
UNIT, OTHER = f"enhet/{posts.UNIT}", "SE162321000000-ANNAN"
SAMPLE = f"{UNIT}/stickprov/{WAVE}"
OPEN, PROTECTED = 1, 2
NAME, ORIGIN = "Tolvan Provsson", {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
RIGHT = {f"f-{name}": "right" for name in FIELDS}


@dataclass
class Browser:
    """A person's browser: ``nurse`` works at the unit, ``reader`` sees all patients, ``lead`` leads."""

    client: TestClient
    staged: worklists.Site

    def get(self, path: str, user: str = "nurse") -> httpx.Response:
        return self.client.get(f"/{path}", headers={"Cookie": f"_token={user}"})

    def page(self, path: str, user: str = "nurse") -> str:
        return html.unescape(self.get(path, user).raise_for_status().text)

    def opened(self, post: int, user: str = "nurse") -> httpx.Response:
        """Open a post by its link on the unit's page."""
        page = self.page(SAMPLE, user)
        (link,) = set(re.findall(rf'href="[./]*({re.escape(SAMPLE)}/{post}[^"]*)"', page))
        return self.get(link, user)

    def form(self, post: int = OPEN, user: str = "nurse") -> dict[str, str]:
        found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.opened(post, user).text)
        return {**dict(found), **RIGHT}

    def send(
        self, form: Mapping[str, str], post: int = OPEN, user: str = "nurse", headers: Mapping[str, str] = ORIGIN
    ) -> httpx.Response:
        address = f"/{SAMPLE}/{post}/bedom"
        return self.client.post(
            address, data=dict(form), headers={"Cookie": f"_token={user}", **headers}, follow_redirects=False
        )

    @property
    def rows(self) -> list[dict[str, Any]]:
        return batches.rows(self.staged.store, schema.sample_verdict)

    @property
    def looks(self) -> list[dict[str, Any]]:
        return dashboards.looks(self.staged)


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Browser:
    for name, value in {**dashboards.RIGHTS, "WAITLIST_LEADS": "lead, other"}.items():
        monkeypatch.setenv(name, value)
    at_unit = {"nurse": frozenset({posts.UNIT}), "colleague": frozenset({posts.UNIT}), "far": frozenset({OTHER})}
    monkeypatch.setattr(dashboards.Site, "unit_readers", at_unit)
    staged = worklists.site(tmp_path)
    staged.stage({"patient": NAME}, {"sekretess": True, "patient": "Hemlig Hemligsson"})
    staged.stage(
        {"patient": NAME, "orsak": "<script>x</script>"}, {"sekretess": True, "patient": "Hemlig Hemligsson"},
        batch_id=WAVE, kind="migration", wave="1",
    )  # fmt: skip
    on = (*PASSED, GateResult(Gate.SAMPLE, 2.0, 0.0, passed=False))
    release.request_approval(staged.store, WAVE, on, PIPELINE, releases.NOW)
    return Browser(TestClient(dashboards.over(staged), raise_server_exceptions=False), staged)


# What is shown


def test_the_unit_is_told_and_led_to_its_posts(browser: Browser) -> None:
    page = browser.page(UNIT)
    assert "2\u00a0poster att jämföra i stickprovet" in page
    assert f'{SAMPLE}">Jämför posterna' in page
    listed = browser.page(SAMPLE)
    assert "0 av 2" in listed
    assert NAME not in listed, "the list has no patient"


def test_a_long_list_is_shown_in_parts_and_its_figures_are_of_the_whole(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_page, "ROWS", 1)
    first, second = browser.page(SAMPLE), browser.page(f"{SAMPLE}?sida=2")
    assert [f'id="post-{post}"' in first for post in (OPEN, PROTECTED)] == [True, False]
    assert [f'id="post-{post}"' in second for post in (OPEN, PROTECTED)] == [False, True]
    assert "sida=2" in first
    assert browser.send(browser.form()).status_code == 303
    for number in (1, 2):
        assert "1 av 2" in browser.page(f"{SAMPLE}?sida={number}")
    assert f'id="post-{PROTECTED}"' in browser.page(SAMPLE), "those that are left come first"


def test_a_post_is_shown_with_the_fields_of_chapter_6_in_their_order(browser: Browser) -> None:
    page = html.unescape(browser.opened(OPEN).text)
    labels = [
        "Person-ID", "Begärd plats", "Patientnamn", "Begärt startdatum", "Begärt slutdatum", "Besökstyp",
        "Vårdinrättning", "Beskrivning", "Sekretessmarkering",
    ]  # fmt: skip
    assert re.findall(r'<th scope="row" id="namn-\w+">([^<]*)</th>', page) == labels
    assert NAME in page
    assert page.count('type="radio"') == 3 * len(labels)
    assert "<script>" not in browser.opened(OPEN).text
    look = browser.looks[0]
    assert (look["action"], look["user_id"], look["post_id"], look["person_id"]) == (
        "sample", "nurse", OPEN, posts.PERSON.replace("-", "") if len(posts.PERSON) > 12 else look["person_id"],
    )  # fmt: skip
    assert look["person_id"]
    assert (look["batch_id"], look["enhet_hsa_id"], look["acting_for"]) == (WAVE, posts.UNIT, posts.UNIT)


def test_a_look_takes_a_link_of_our_own_page(browser: Browser) -> None:
    for user in ("nurse", "reader"):
        assert browser.get(f"{SAMPLE}/{OPEN}", user).status_code == 403
    assert browser.looks == []


def test_a_protected_post_is_shown_to_staff_of_its_unit_alone(browser: Browser) -> None:
    for user in ("reader", "lead"):
        page = browser.page(SAMPLE, user)
        assert "Jämförs av enhetens egen personal" in page
        token = re.findall(r"marke=([0-9a-f]{64})", page)[0]
        shown = browser.get(f"{SAMPLE}/{PROTECTED}?marke={token}", user)
        assert shown.status_code == 200
        assert "Hemlig" not in shown.text
        assert 'type="radio"' not in shown.text
        assert browser.get(f"{SAMPLE}/{PROTECTED}/skyddad?marke={token}", user).status_code == 403
    assert browser.looks == [], "nothing was shown"
    own = browser.opened(PROTECTED)
    assert "Hemlig Hemligsson" in own.text
    assert [(look["action"], look["post_id"]) for look in browser.looks] == [("protected", PROTECTED)]


def test_no_patient_is_in_the_json_without_the_right(browser: Browser) -> None:
    browser.send(browser.form())
    for path in (f"api/stickprov/{WAVE}", f"api/{SAMPLE}", f"api/{UNIT}"):
        answer = browser.client.get(f"/{path}", headers={"Authorization": "Bearer other"})
        assert answer.status_code in {200, 403}
        for secret in (NAME, "Hemlig", browser.rows[0]["row_hash"], posts.PERSON):
            assert secret not in answer.text
    bearer = {"Authorization": "Bearer reader"}
    hidden = browser.client.get(f"/api/{SAMPLE}/{PROTECTED}", headers=bearer).json()
    assert (hidden["fields"], hidden["row_hash"]) == ([], "")


def test_who_sees_nothing_of_the_unit_sees_nothing_of_its_sample(browser: Browser) -> None:
    for path in (SAMPLE, f"stickprov/{WAVE}", f"{SAMPLE}/{OPEN}", f"{SAMPLE}/{PROTECTED}/skyddad"):
        assert browser.get(path, "far").status_code == 403
    assert browser.get(f"stickprov/{WAVE}").status_code == 403, "the figures of all units"
    assert browser.get(f"enhet/{OTHER}/stickprov/{WAVE}", "far").status_code == 404
    assert browser.get(f"{UNIT}/stickprov/natt-1").status_code == 404, "a dry run has no sample"


# What is sent


def test_a_judgement_is_kept_with_its_writer_and_leads_back(browser: Browser) -> None:
    answer = browser.send({**browser.form(), "f-beskrivning": "wrong", "ord": "fel sida"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"../../{WAVE}?klar={OPEN}#poster")
    assert {row["field"]: row["verdict"] for row in browser.rows} == {
        **dict.fromkeys(FIELDS, "right"), "beskrivning": "wrong",
    }  # fmt: skip
    assert {(row["actor"], row["stage"], row["batch_id"]) for row in browser.rows} == {("nurse", "before", WAVE)}
    page = browser.page(f"{SAMPLE}?klar={OPEN}")
    assert f"Post {OPEN} är sparad." in page
    assert "1 av 2" in page
    assert "fel sida" in html.unescape(browser.opened(OPEN).text)
    whole = browser.page(f"stickprov/{WAVE}", "lead")
    assert "1 av 2 poster är jämförda. Fel i slumpdelen: 1. Stickprovet är inte godkänt." in whole


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"f-beskrivning": None}, 422), ({"f-beskrivning": "perhaps"}, 422), ({"f-beskrivning": "changed"}, 422),
        ({"f-row_hash": "right"}, 422), ({"efter": "x"}, 422), ({"efter": None}, 422), ({"rad": "0" * 64}, 409),
        ({"efter": "5"}, 409), ({"ord": "x" * 201}, 422), ({"ord": "fel 19900201-2382"}, 422), ({"kod": "0" * 64}, 403),
        ({"kod": None}, 403),
    ],
)  # fmt: skip
def test_a_forged_form_is_refused(browser: Browser, changed: Mapping[str, str | None], status: int) -> None:
    form = {name: value for name, value in {**browser.form(), **changed}.items() if value is not None}
    answer = browser.send(form)
    assert answer.status_code == status
    assert browser.rows == []
    assert NAME not in answer.text
    assert "19900201" not in answer.text


def test_only_those_who_may_see_the_patient_judge(browser: Browser) -> None:
    form = browser.form()
    for user, post in (("other", OPEN), ("far", OPEN), ("reader", PROTECTED), ("lead", PROTECTED)):
        kod = re.findall(r'name="kod" value="([0-9a-f]{64})"', browser.get("sok", user).text)[0]
        assert browser.send({**form, "kod": kod}, post, user).status_code == 403, user
    assert browser.send(form, 3).status_code == 404, "no post of the sample"
    assert browser.rows == []
    assert browser.send(browser.form(PROTECTED), PROTECTED).status_code == 303


def test_nobody_judges_a_post_that_they_handled(browser: Browser) -> None:
    form = browser.form()
    done = Entry(OPEN, 1, posts.UNIT, "natt-1", releases.NOW, "nurse", PostOutcome.CHECKED, about=("X",))
    record(browser.staged.store.database, done, key="k")
    assert "någon annan jämför den" in browser.page(SAMPLE)
    answer = browser.send(form)
    assert answer.status_code == 403
    assert "Någon annan bedömer den." in html.unescape(answer.text)
    assert browser.rows == []
    assert browser.send(browser.form(user="colleague"), user="colleague").status_code == 303


def test_of_two_people_the_second_is_shown_that_it_is_judged(browser: Browser) -> None:
    mine, theirs = browser.form(), browser.form(user="colleague")
    assert browser.send(theirs, user="colleague").status_code == 303
    answer = browser.send(mine)
    assert answer.status_code == 409
    assert "Någon annan har bedömt posten" in html.unescape(answer.text)
    assert {row["actor"] for row in browser.rows} == {"colleague"}


# The whole sample


def test_the_sample_of_a_wave_from_nothing_to_the_second_round(browser: Browser) -> None:
    assert "0 av 2 poster är jämförda." in browser.page(f"stickprov/{WAVE}", "lead")
    for post in (OPEN, PROTECTED):
        assert browser.send(browser.form(post), post).status_code == 303
    page = browser.page(f"stickprov/{WAVE}", "lead")
    assert "högst 0 av 2 fel (0,0 %), med 95 % säkerhet. Stickprovet är godkänt." in page
    assert "att jämföra i stickprovet" not in browser.page(UNIT)
    release.release(browser.staged.store, WAVE, "Eva", None, LATER)
    page = browser.page(f"stickprov/{WAVE}", "lead")
    assert page.count("poster är jämförda") == 2
    assert "Jämfört med Millennium, efter inläsningen" in page
    assert "2\u00a0poster att jämföra i stickprovet" in browser.page(UNIT)
    assert browser.send(browser.form()).status_code == 303
    assert {row["stage"] for row in browser.rows} == {"before", "after"}
    listed = browser.page(SAMPLE)
    assert '<th scope="col">Millennium</th>' in listed


def test_a_lead_enlarges_to_the_size_that_is_offered_and_no_other(browser: Browser) -> None:
    browser.send({**browser.form(), "f-beskrivning": "wrong"})
    browser.send(browser.form(PROTECTED), PROTECTED)
    page = browser.page(f"stickprov/{WAVE}", "lead")
    assert "ingen storlek räcker" in page, "every post is in the sample"
    kod = re.findall(r'name="kod" value="([0-9a-f]{64})"', page)[0]
    answer = browser.client.post(
        f"/stickprov/{WAVE}/utoka", data={"till": "3", "kod": kod}, headers={"Cookie": "_token=lead", **ORIGIN},
        follow_redirects=False,
    )  # fmt: skip
    assert (answer.status_code, answer.headers["location"]) == (303, f"../{WAVE}#laget")
    assert batches.rows(browser.staged.store, schema.sample_size) == []


def test_the_page_of_the_wave_says_how_far_the_sample_has_come(browser: Browser) -> None:
    page = browser.page("vag?namn=1", "lead")
    assert f"stickprov/{WAVE}" in page
    assert "0 av 2 poster är jämförda." in page
    document = browser.page("beslutsunderlag?namn=1", "lead")
    assert "Stickprovet mot PMO:</b> 0 av 2 poster är jämförda." in document
