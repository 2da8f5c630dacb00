"""The readers of the access log: an extract by a patient's number, and the monthly sample with its verdicts."""

import datetime as dt
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from fastapi.testclient import TestClient
from tests.support import batches, dashboards, posts, worklists

from waitlist.staging import access_log, log_verdicts, schema
from waitlist.staging.access_log import Action
from waitlist.staging.log_verdicts import Judged, Verdict

NOW = dt.datetime.now(dt.UTC)
MONTH = log_verdicts.month_before(NOW)
LEAD = {"Authorization": "Bearer lead"}
NUMBER = worklists.person(2)
"""As PMO has it; ``PERSON_ID`` as the log has it."""
PERSON_ID = "19" + NUMBER.replace("-", "")


@pytest.fixture
def staged(tmp_path: Path) -> worklists.Site:
    site = worklists.site(tmp_path)
    site.stage({}, {"kategori": "Diabetesmottagning"}, {"kategori": "Diabetesmottagning"})
    return site


@pytest.fixture
def client(staged: worklists.Site, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    for name, users in dashboards.RIGHTS.items():
        monkeypatch.setenv(name, users)
    return TestClient(dashboards.over(staged), raise_server_exceptions=False, follow_redirects=False)


def write(staged: worklists.Site, *entries: dict[str, Any]) -> None:
    with staged.store.database.writing() as connection:
        connection.execute(schema.access_log.insert(), [entry(number, **given) for number, given in enumerate(entries)])


def entry(number: int, **given: Any) -> dict[str, Any]:
    middle = dt.datetime.fromisoformat(f"{MONTH}-15T12:00:00+00:00")
    return {
        "entry_id": f"{number:032x}", "at": middle, "user_id": "reader", "acting_for": "", "action": "persons",
        "batch_id": worklists.BATCH, "enhet_hsa_id": posts.UNIT, "posts": 1, "post_id": number, "person_id": None,
        **given,
    }  # fmt: skip


def verdicts(staged: worklists.Site) -> list[dict[str, Any]]:
    return batches.rows(staged.store, schema.log_verdict)


# The extract by number


def ask_for(client: TestClient, number: str, user: str = "lead") -> httpx.Response:
    headers = {"Authorization": f"Bearer {user}"}
    return client.post("/atkomstlogg/utdrag", data={"nummer": number}, headers=headers)


@pytest.mark.parametrize("number", [NUMBER, PERSON_ID, f" {PERSON_ID} "])
def test_an_extract_by_number_has_the_patients_entries_and_the_number_nowhere(
    client: TestClient, staged: worklists.Site, caplog: pytest.LogCaptureFixture, number: str
) -> None:
    caplog.set_level(logging.DEBUG)
    # Post 71 was somebody else's before: only what is about the patient belongs in the extract.
    write(
        staged,
        {"post_id": 71, "person_id": PERSON_ID},
        {"post_id": 72, "person_id": PERSON_ID, "action": "hand_off"},
        {"post_id": 71, "person_id": "199002012384"},
    )
    answer = ask_for(client, number)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    found = re.findall(r'data-label="Post">(\d+)', answer.text)
    assert sorted(found) == ["71", "72"]
    assert "Skrev överföringens filer" in answer.text
    for hidden in (NUMBER, PERSON_ID, "199002012384"):
        assert hidden not in answer.text + str(answer.url) + str(answer.headers) + caplog.text


@pytest.mark.parametrize("number", ["", "850314-2381", "19850314-2381", "Lindqvist, Åsa", "850374-2380", "1" * 19])
def test_what_is_no_personal_number_is_refused_without_being_repeated(
    client: TestClient, caplog: pytest.LogCaptureFixture, number: str
) -> None:
    answer = ask_for(client, number)
    assert answer.status_code == 422
    assert "Det är inget personnummer" in answer.text
    assert not number or number not in answer.text + caplog.text


def test_nobody_but_a_reader_of_the_log_may_ask_and_only_by_a_form(client: TestClient) -> None:
    assert ask_for(client, NUMBER, "reader").status_code == 403
    client.cookies.set(COOKIE_NAME_JWT_TOKEN, "lead")
    (kod,) = set(re.findall(r'name="kod" value="([0-9a-f]+)"', client.get("/atkomstlogg").text))
    form, there = {"nummer": NUMBER, "kod": kod}, "/atkomstlogg/utdrag"
    assert client.post(there, data=form, headers={"Origin": "http://testserver"}).status_code == 200
    assert client.get(there).status_code in {404, 405}, "a number is never in an address"


# The sample


def sample(client: TestClient, month: str = MONTH) -> list[str]:
    told = client.get(f"/api/atkomstlogg/stickprov?manad={month}", headers=LEAD).json()
    return [entry["entry_id"] for entry in told["entries"]]


def judge(client: TestClient, number: int, user: str = "lead", month: str = MONTH, **form: str) -> httpx.Response:
    sent = {"bedomning": "in_order", "efter": "0", **form}
    address = f"/atkomstlogg/stickprov/{month}/{number:032x}"
    return client.post(address, data=sent, headers={"Authorization": f"Bearer {user}"})


def test_the_sample_follows_from_the_month_and_the_entries_alone(client: TestClient, staged: worklists.Site) -> None:
    month = dt.date.fromisoformat(f"{MONTH}-01")
    before = (month - dt.timedelta(days=1)).replace(day=1)
    outside = [
        {"action": Action.HAND_OFF.value},
        {"at": dt.datetime.combine(before, dt.time(12), dt.UTC)},
        {"at": NOW},
        {"at": dt.datetime.combine(before, dt.time(13), dt.UTC), "action": Action.HAND_OFF.value},
    ]  # fmt: skip
    write(staged, *({} for _ in range(90)), *outside)
    drawn = sample(client)
    assert len(set(drawn)) == log_verdicts.SAMPLE == 30
    assert drawn == sample(client)
    assert not {f"{number:032x}" for number in range(90, 93)} & set(drawn)
    assert drawn != sorted(f"{number:032x}" for number in range(30)), "the first ones are not those of a hash"
    assert sample(client, f"{before:%Y-%m}") == [f"{91:032x}"], "fewer than a sample: all"
    assert client.get("/atkomstlogg/stickprov", headers=LEAD).status_code == 200
    assert client.get("/atkomstlogg/stickprov", headers={"Authorization": "Bearer reader"}).status_code == 403


@pytest.mark.parametrize("month", [f"{NOW:%Y-%m}", "2999-01", "2024-13", "2024", "' OR 1"])
def test_a_month_that_is_not_over_has_no_sample(client: TestClient, month: str) -> None:
    assert client.get("/atkomstlogg/stickprov", params={"manad": month}, headers=LEAD).status_code == 404


def test_a_month_begins_and_ends_at_midnight_in_stockholm(staged: worklists.Site) -> None:
    moments = ("2024-02-29T23:00:00", "2024-02-29T22:59:59", "2024-03-31T21:59:59", "2024-03-31T22:00:00")
    write(staged, *({"at": dt.datetime.fromisoformat(f"{moment}+00:00")} for moment in moments))
    with staged.store.database.connected() as connection:
        assert sorted(log_verdicts.sampled(connection, "2024-03")) == [f"{0:032x}", f"{2:032x}"]


def test_each_verdict_is_kept_with_its_writer_and_the_last_one_counts(
    client: TestClient, staged: worklists.Site
) -> None:
    write(staged, {}, {})
    kept = judge(client, 0, bedomning="unclear", ord="  ingen  planerad vård ")
    assert kept.status_code == 303
    assert kept.headers["Location"] == f"../../stickprov?manad={MONTH}#rad-{0:032x}"
    judge(client, 0, efter="1")
    rows = [(row["verdict_no"], row["user_id"], row["verdict"], row["word"]) for row in verdicts(staged)]
    assert rows == [(1, "lead", "unclear", "ingen planerad vård"), (2, "lead", "in_order", "")]
    page = client.get("/atkomstlogg/stickprov", headers=LEAD).text
    assert "<b>I ordning</b>" in page
    assert "ingen planerad vård" in page
    assert "1 av 2 rader bedömda" in re.sub(r"[\u202f\u00a0]", " ", page)


def test_a_verdict_sent_twice_is_kept_once_and_one_that_was_overtaken_is_not_kept(
    client: TestClient, staged: worklists.Site
) -> None:
    write(staged, {})
    assert [judge(client, 0).status_code for _ in range(2)] == [303, 303]
    overtaken = judge(client, 0, bedomning="not_in_order", ord="fel enhet")
    assert overtaken.status_code == judge(client, 0, efter="5").status_code == 409
    assert "Någon annan har bedömt raden" in overtaken.text
    assert len(verdicts(staged)) == 1
    judged = Judged(f"{0:032x}", 1, NOW, "lead", Verdict.IN_ORDER, "")
    assert log_verdicts.add(staged.store.database, judged)
    assert not log_verdicts.add(staged.store.database, replace(judged, user_id="other"))


@pytest.mark.parametrize("user", ["lead", " LEAD"])
def test_nobody_judges_what_they_did_themselves(client: TestClient, staged: worklists.Site, user: str) -> None:
    write(staged, {"user_id": user}, {})
    answer = judge(client, 0)
    assert answer.status_code == 403
    assert "Raden är din egen" in answer.text
    assert verdicts(staged) == []
    assert answer.text.count(f"/stickprov/{MONTH}/") == 1, "the other entry alone has a form"
    assert judge(client, 1).status_code == 303


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"bedomning": "not_in_order"}, 422),
        ({"bedomning": "unclear", "ord": "  "}, 422),
        ({"bedomning": "fine"}, 422),
        ({"efter": "-1"}, 422),
        ({"efter": "x"}, 422),
        ({"ord": "x" * 501}, 422),
        ({"ord": "\0"}, 422),
        ({"month": "2024-01"}, 404),
        ({"month": f"{NOW:%Y-%m}"}, 404),
        ({"user": "reader"}, 403),
    ],
)
def test_what_is_no_verdict_is_refused_and_not_kept(
    client: TestClient, staged: worklists.Site, form: dict[str, str], status: int
) -> None:
    write(staged, {})
    assert judge(client, 0, **form).status_code == status
    assert judge(client, 7).status_code == 404, "no entry of the sample"
    assert verdicts(staged) == []


def test_a_word_is_shown_as_text(client: TestClient, staged: worklists.Site) -> None:
    write(staged, {})
    judge(client, 0, bedomning="unclear", ord="<script>x</script>")
    assert "<script>" not in client.get("/atkomstlogg/stickprov", headers=LEAD).text


def test_verdicts_go_with_their_age_as_entries_do(staged: worklists.Site) -> None:
    old = dt.datetime(2019, 1, 1, tzinfo=dt.UTC)
    for number, at in enumerate((old, NOW)):
        judged = Judged(f"{number:032x}", 1, at, "lead", Verdict.IN_ORDER, "")
        assert log_verdicts.add(staged.store.database, judged)
    access_log.remove_older(staged.store.database, old + dt.timedelta(days=1), now=NOW)
    assert [row["entry_id"] for row in verdicts(staged)] == [f"{1:032x}"]
