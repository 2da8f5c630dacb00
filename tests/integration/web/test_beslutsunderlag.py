"""Beslutsunderlag: one document a wave, the same whenever it is read, without a patient in it."""

import dataclasses
import datetime as dt
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.support import batches, dashboards, posts, worklists

from waitlist import paths
from waitlist.facts.gates import Gate
from waitlist.judge.rules import Disposition
from waitlist.release.decisions import reject, release, request_approval
from waitlist.release.gates import GateResult
from waitlist.reports.pages.beslutsunderlag import SHOWN_REHEARSALS, Beslutsunderlag, read_beslutsunderlag
from waitlist.reports.pages.reading import UnknownError, reading
from waitlist.reports.pages.wave import read_wave
from waitlist.reports.risks import read_register
from waitlist.staging import PIPELINE, checkpoints, schema

NIGHTS = tuple(posts.AS_OF - dt.timedelta(days=days) for days in range(13, -1, -1))
EXPIRED = {"boka_from": "2024-01-01", "boka_fore": "2024-02-01"}
PATIENT = "Hemlig, Hanna"
OTHER = {"enhet_hsa_id": posts.UNIT_CHILD_HEALTH}
RISKS, _ = read_register(paths.MAPPINGS)
# The sample is measured again at the release, and nobody has looked at any post here.
GATES = [gate for gate in Gate if gate is not Gate.SAMPLE]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> worklists.Site:
    """Nights in which a unit of wave 1 mends a post a night; another wave has a post too."""
    units = (
        posts.unit(posts.UNIT, posts.GO_LIVE, "Pv"),
        posts.unit(posts.UNIT_CHILD_HEALTH, posts.GO_LIVE, "Bhv", vag="2"),
    )
    site = worklists.site(tmp_path_factory.mktemp("nights"), posts.context(units=units))
    for number, night in enumerate(NIGHTS):
        given = (*({"patient": PATIENT}, {}), *(EXPIRED,) * (len(NIGHTS) - number), OTHER)
        context = dataclasses.replace(site.context, as_of=night)
        dataclasses.replace(site, context=context).stage(
            *given, batch_id=f"dry_run-{night}", started_at=batches.NOW - (posts.AS_OF - night)
        )
    return site


@pytest.fixture
def site(nights: worklists.Site, tmp_path: Path) -> worklists.Site:
    return worklists.copy_of(nights, tmp_path, None)


def read(site: worklists.Site, gates: Sequence[GateResult] = (), name: str | None = "1") -> Beslutsunderlag:
    with reading(site.store, "reading") as connection:
        page = read_wave(connection, site.context.mappings, name, approval_hours=72)
        return read_beslutsunderlag(
            connection, site.context.mappings, dataclasses.replace(page, gates=tuple(gates)), RISKS
        )


def ask(site: worklists.Site, batch_id: str, *failed: Gate) -> None:
    site.stage({}, {}, EXPIRED, batch_id=batch_id, kind="migration", wave="1", started_at=batches.NOW)
    gates = [GateResult(gate, 2.0 if gate in failed else 0.0, 1.0, passed=gate not in failed) for gate in GATES]
    request_approval(site.store, batch_id, gates, PIPELINE, batches.NOW)


def test_before_a_decision_is_asked_for_it_is_a_draft_on_the_waves_part_of_the_latest_dry_run(
    site: worklists.Site,
) -> None:
    gate = GateResult(Gate.UNHANDLED_SHARE, 0.2, 0.1, passed=False)
    found = read(site, [gate])
    assert (found.is_final, found.batch.batch_id, found.rows_hash) == (False, f"dry_run-{NIGHTS[-1]}", None)
    assert [unit.hsa_id for unit in found.units] == [posts.UNIT]
    assert (found.progress.posts, found.progress.ready) == (3, 2)
    assert found.gates == found.failed_gates == (gate,)


def test_once_asked_it_is_about_the_batch_and_its_own_gates(site: worklists.Site) -> None:
    ask(site, "wave", Gate.EXTRACT_DEVIATION)
    found = read(site, [GateResult(Gate.ACCOUNTING, 9.0, 0.0, passed=False)])
    assert (found.is_final, found.batch.batch_id) == (True, "wave")
    assert re.fullmatch("[0-9a-f]{64}", found.rows_hash or "")
    assert [result.gate for result in found.failed_gates] == [Gate.EXTRACT_DEVIATION]
    assert len(found.gates) == len(GATES)
    assert found.progress.left == {Disposition.FIX_IN_PMO.value: 1}


def test_what_was_rejected_is_told_and_the_next_decision_is_prepared(site: worklists.Site) -> None:
    ask(site, "wave")
    reject(site.store, "wave", "lead", "För många poster kvar.", batches.NOW)
    found = read(site)
    assert not found.is_final
    assert [(decision.actor, decision.reason) for batch in found.batches for decision in batch.decisions] == [
        ("lead", "För många poster kvar.")
    ]


def test_gates_that_were_overridden_have_a_name_and_a_reason(site: worklists.Site) -> None:
    ask(site, "wave", Gate.EXTRACT_DEVIATION)
    release(site.store, "wave", "lead", "Enheten har städat sin lista.", batches.NOW)
    found = read(site)
    assert found.is_final
    told = {gate: decision.actor for batch in found.batches for decision in batch.decisions for gate in decision.gates}
    assert told == {Gate.EXTRACT_DEVIATION.value: "lead"}


def test_a_risk_has_what_its_controls_showed_in_the_batch(site: worklists.Site) -> None:
    ask(site, "wave", Gate.UNHANDLED_SHARE)
    evidence = {
        (shown.control.kind.value, shown.control.name): shown for risk in read(site).risks for shown in risk.evidence
    }
    assert evidence["gate", "unhandled_share"].good is False
    assert evidence["gate", "accounting"].good is True
    assert evidence["rule", "DATE_EXPIRED"].text == "Hittade 1 poster"
    assert evidence["rule", "ID_INVALID"].text == "Hittade inga poster"
    assert evidence["rule", "PU_DECEASED"].text == "Ingen kontroll gjord"


def test_rehearsals_are_some_of_the_dry_runs_with_the_first_and_the_last(site: worklists.Site) -> None:
    night = f"dry_run-{NIGHTS[0]}"
    value = {
        "batch_id": night, "suite": "dates", "expectation": "x", "column": "", "severity": "warning",
        "evaluated": 5, "unexpected": 1, "threshold": 1.0, "outcome": "failed",
    }  # fmt: skip
    batches.execute(site.store, schema.quality_result.insert().values(value))
    found = read(site)
    assert [point.as_of for point in found.trend] == list(NIGHTS)
    days = [shown.point.as_of for shown in found.rehearsals]
    assert (days[0], days[-1], len(days)) == (NIGHTS[0], NIGHTS[-1], SHOWN_REHEARSALS)
    assert days == sorted(set(days))
    assert [shown.red_checks for shown in found.rehearsals] == [1] + [0] * (SHOWN_REHEARSALS - 1)
    left = [shown.point.left for shown in found.rehearsals]
    assert left == sorted(left, reverse=True)


def test_units_without_a_wave_have_no_document(site: worklists.Site) -> None:
    units = (posts.unit(posts.UNIT, None, "Pv", vag=None),)
    unplanned = dataclasses.replace(site, context=posts.context(units=units))
    with pytest.raises(UnknownError):
        read(unplanned, name=None)


@pytest.fixture
def client(site: worklists.Site, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    for name, users in dashboards.RIGHTS.items():
        monkeypatch.setenv(name, users)
    monkeypatch.setattr(posts, "context", lambda: site.context)
    return TestClient(dashboards.over(site), raise_server_exceptions=False)


def get(client: TestClient, path: str, user: str = "viewer") -> Any:
    return client.get(path, headers={"Authorization": f"Bearer {user}"})


def test_the_page_and_the_file_are_for_those_who_see_every_unit(client: TestClient) -> None:
    for path in ("/beslutsunderlag?namn=1", "/beslutsunderlag.pdf?namn=1", "/api/beslutsunderlag?namn=1"):
        assert get(client, path).status_code == 200
        assert get(client, path, "nobody").status_code == 403
        assert get(client, path.replace("namn=1", "namn=9")).status_code == 404


def test_the_pages_numbers_are_those_of_the_batch_and_no_patient_is_named(client: TestClient) -> None:
    text = get(client, "/beslutsunderlag?namn=1").text
    words = " ".join(re.sub(r"<[^>]+>", "", text).replace("\u00a0", " ").split())
    assert "2 av 3 poster (67 %)" in words
    assert "Utkast." in words
    assert PATIENT not in text


def test_the_ends_of_the_chains_are_in_it_and_it_says_when_they_are_unsigned(
    client: TestClient, site: worklists.Site
) -> None:
    before = get(client, "/beslutsunderlag?namn=1").text
    assert "Ingen kontrollpunkt" in before
    made = checkpoints.make(site.store.database, at=batches.NOW)
    text = get(client, "/beslutsunderlag?namn=1").text
    assert made.sha256 in text
    assert "Inte signerad" in text


def test_the_file_is_a_pdf_and_the_same_each_time(client: TestClient, site: worklists.Site) -> None:
    ask(site, "wave")
    answers = [get(client, "/beslutsunderlag.pdf?namn=1") for _ in range(2)]
    assert answers[0].content.startswith(b"%PDF-")
    assert answers[0].content == answers[1].content
    assert answers[0].headers["Content-Disposition"] == 'attachment; filename="beslutsunderlag-wave.pdf"'
    assert answers[0].headers["Cache-Control"] == "no-store"


def test_a_document_fetches_nothing(site: worklists.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = posts.unit(posts.UNIT, posts.GO_LIVE, "Pv")
    hostile = dataclasses.replace(planned, enhet='<img src="file:///etc/passwd">')
    context = posts.context(units=(hostile,))
    monkeypatch.setattr(posts, "context", lambda: context)
    monkeypatch.setenv("WAITLIST_LEADS", "viewer")
    client = TestClient(dashboards.over(site), raise_server_exceptions=False)
    text = get(client, "/beslutsunderlag?namn=1").text
    assert "<img" not in text
    assert "&lt;img" in text
    assert get(client, "/beslutsunderlag.pdf?namn=1").status_code == 200
