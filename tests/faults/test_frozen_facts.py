"""Facts change between two steps of a run: every step from the plan to the release refuses, and names what changed."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support import releases
from tests.support.batches import execute
from tests.support.runs import AS_OF, NOW, assessed, pipeline, verified
from upath import UPath

from waitlist import paths
from waitlist.exceptions import SettingsError
from waitlist.settings import PersonCheck, PersonsForTests, RuleSettings, Settings
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.staging import BatchState, schema
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Request, Run

LEAD = "lead"
WHY = "Testad och godkänd i prov."


@dataclass(frozen=True)
class Deployment:
    """Files and settings that can be edited, and a staging database."""

    folder: Path
    rules: RuleSettings = field(default_factory=RuleSettings)

    @property
    def mappings(self) -> Path:
        return self.folder / "mappings"

    @property
    def suites(self) -> Path:
        return self.folder / "expectations"

    @property
    def steps(self) -> Pipeline:
        settings = Settings(mappings_dir=self.mappings, expectations_dir=self.suites, approvers=LEAD, rules=self.rules)
        staging = f"sqlite:///{self.folder / 'staging.sqlite'}"
        return Pipeline(settings, snapshots=UPath(self.folder / "snapshots"), pmo=str, staging=lambda: staging)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    shutil.copytree(paths.MAPPINGS, tmp_path / "mappings")
    shutil.copytree(paths.EXPECTATIONS, tmp_path / "expectations")
    (tmp_path / "mappings" / "millennium_refs.csv").write_text("art,namn,referens,owner,note\n")
    return Deployment(tmp_path)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def add(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text(encoding='utf-8').rstrip()}\n{line}\n", encoding="utf-8")


def loosen(path: Path) -> None:
    suite = json.loads(path.read_text(encoding="utf-8"))
    suite["expectations"][-1]["meta"]["text"] += " Nästan."
    path.write_text(json.dumps(suite), encoding="utf-8")


CHANGES: dict[str, Callable[[Deployment], Deployment | None]] = {
    "units.csv": lambda it: add(it.mappings / "units.csv", "SE2120009999-NEW1,Ny,Pv,2024-11-04,9,,,,,,"),
    "base_categories.csv": lambda it: add(it.mappings / "base_categories.csv", "Ny,,SDV Pv Läk Återbesök (NOAK),,"),
    "sdv_lists.csv": lambda it: edit(it.mappings / "sdv_lists.csv", "Dietist", "Kostrådgivare"),
    "reserve_numbers.csv": lambda it: edit(it.mappings / "reserve_numbers.csv", "[DEF]", "[DEFG]"),
    "rule_severities.csv": lambda it: add(it.mappings / "rule_severities.csv", "AGE_MISMATCH,blocks,,"),
    "gates.csv": lambda it: edit(it.mappings / "gates.csv", "dry_run_age_days,", "dry_run_age_days,9"),
    "millennium_refs.csv": lambda it: add(it.mappings / "millennium_refs.csv", "plats,Mottagningen,4711,,"),
    **{
        f"{path.stem}.json": lambda it, name=path.name: loosen(it.suites / name)  # type: ignore[misc]
        for path in paths.EXPECTATIONS.glob("*.json")
        if path.stem != "persons"  # no fact while nobody is asked
    },
    "WAITLIST_CUTOFF_DAYS (28 then, 27 now)": lambda it: replace(it, rules=RuleSettings(cutoff_days=27)),
    "WAITLIST_POST_SYSTEM": lambda it: replace(it, rules=RuleSettings(post_system="urn:oid:1.2.3")),
    "WAITLIST_SAMPLE_FAULTS": lambda it: replace(it, rules=RuleSettings(sample_faults=Decimal("0.05"))),
    "WAITLIST_INCLUDE_DURATION (false then, true now)": lambda it: replace(
        it, rules=RuleSettings(include_duration=True)
    ),
}

STEPS: dict[str, Callable[[Pipeline, Run], Any]] = {
    "plan_extract": lambda steps, run: steps.plan_extract(run),
    "extract": lambda steps, run: steps.extract(run, 0),
    "check_contract": lambda steps, run: steps.check_contract(run),
    "find_duplicates": lambda steps, run: steps.find_duplicates(run),
    "assess": lambda steps, run: steps.assess(run, 0, now=NOW),
    "find_changes": lambda steps, run: steps.find_changes(run),
    "check_snapshot": lambda steps, run: steps.check_snapshot(run),
    "reconcile": lambda steps, run: steps.reconcile(run, now=NOW),
    "verify": lambda steps, run: steps.verify(run, now=NOW),
    "watch_gates": lambda steps, run: steps.watch_gates(run, lambda _: None),
    "request_approval": lambda steps, run: steps.request_approval(run, now=NOW),
    "release": lambda steps, run: steps.release(run, LEAD, WHY, asked=1, now=NOW),
}


@pytest.mark.parametrize("what", CHANGES)
def test_every_fact_that_has_changed_is_named(deployment: Deployment, what: str) -> None:
    run = deployment.steps.open_batch(Request("waitlist_dry_run", "night", "dry_run", AS_OF), now=NOW)
    changed = CHANGES[what](deployment) or deployment
    with pytest.raises(SettingsError) as refused:
        changed.steps.verify(run, now=NOW)
    assert str(refused.value) == (
        f"batch {run.batch_id} was opened with facts that have changed since: {what}; "
        "put them back as they were and clear this step, or clear the run from open_batch on"
    )


@pytest.mark.parametrize("step", STEPS)
def test_every_step_refuses_and_leaves_everything_as_it_was(deployment: Deployment, step: str) -> None:
    run = deployment.steps.open_batch(Request("waitlist_migration", "wave", "migration", AS_OF), now=NOW)
    CHANGES["gates.csv"](deployment)
    with pytest.raises(SettingsError, match=r"facts that have changed since: gates\.csv;"):
        STEPS[step](deployment.steps, run)
    assert deployment.steps.store.batch(run.batch_id).state is BatchState.OPEN
    assert not (deployment.folder / "snapshots").exists()


def test_a_batch_of_an_earlier_release_is_refused_with_the_reason(deployment: Deployment) -> None:
    steps = deployment.steps
    run = steps.open_batch(Request("waitlist_migration", "wave", "migration", AS_OF), now=NOW)
    execute(steps.store, schema.batch.update().values(facts=None, rules_version="0" * 64, state="awaiting_approval"))
    with pytest.raises(SettingsError, match=r"an earlier release opened it .* or reject the wave, and start a new run"):
        steps.release(replace(run, rules_version="0" * 64), LEAD, WHY, asked=1, now=NOW)


def test_a_wave_is_not_released_once_its_go_lives_are_gone_and_is_when_they_are_back(tmp_path: Path) -> None:
    generate(Order(700, seed=2, as_of=AS_OF), tmp_path, sqlite=tmp_path / "pmo.sqlite")
    pmo, units = f"Driver={{SQLite3}};Database={tmp_path / 'pmo.sqlite'}", tmp_path / MAPPINGS / "units.csv"

    def steps() -> Pipeline:
        staging = f"sqlite:///{tmp_path / 'staging.sqlite'}"
        return pipeline(tmp_path, pmo=pmo, staging=staging, mappings=tmp_path / MAPPINGS, approvers=LEAD)

    first = steps()
    run, _ = assessed(first, Request("waitlist_migration", "wave", "migration", AS_OF, waves=("1",)))
    verified(first, tmp_path, run)
    first.request_approval(run, now=NOW)
    question = first.approval_question(run)
    assert question is not None
    asked = question.entry
    approved, before = first.store.batch(run.batch_id), units.read_bytes()

    with units.open(encoding="utf-8", newline="") as file:
        rows = [{**row, "driftstart": ""} for row in csv.DictReader(file)]
    with units.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)

    def release() -> dict[str, Any]:
        return steps().release(run, LEAD, WHY, asked=asked, now=NOW)

    for attempt in (lambda: steps().request_approval(run, now=NOW), release):
        with pytest.raises(SettingsError, match=r"since: units\.csv; .* or reject the wave, and start a new run"):
            attempt()
    assert first.store.batch(run.batch_id) == approved
    assert releases.shown(first.store) == []

    units.write_bytes(before)
    assert release()["posts"] == approved.posts_staged
    assert len(releases.shown(first.store)) == approved.posts_staged


def test_while_nobody_is_asked_batches_of_before_that_setting_stay_valid(deployment: Deployment) -> None:
    settings = {name for name in deployment.steps.facts.digests if name.startswith("WAITLIST_")}
    assert settings == {
        "WAITLIST_CUTOFF_DAYS",
        "WAITLIST_STRADDLE_POLICY",
        "WAITLIST_DESCRIPTION_LIMIT",
        "WAITLIST_INCLUDE_DURATION",
    }
    assert deployment.steps.facts.digests["rules"] == "2"
    assert "persons.json" not in deployment.steps.facts.digests
    allowing = replace(deployment, rules=RuleSettings(pu_test_persons=PersonsForTests.ALLOW))
    assert allowing.steps.facts.version == deployment.steps.facts.version


def test_whether_persons_are_asked_about_and_which_may_be_tests_is_kept_with_the_batch(deployment: Deployment) -> None:
    off = deployment.steps.facts
    asking = replace(deployment, rules=RuleSettings(pu=PersonCheck.REQUIRED)).steps.facts
    allowing = replace(
        deployment, rules=RuleSettings(pu=PersonCheck.REQUIRED, pu_test_persons=PersonsForTests.ALLOW)
    ).steps.facts
    changed = ["WAITLIST_PU", "WAITLIST_PU_TEST_PERSONS", "persons.json", "rules"]
    assert asking.differing(off.digests) == off.differing(asking.digests) == changed
    assert allowing.differing(asking.digests) == ['WAITLIST_PU_TEST_PERSONS ("refuse" then, "allow" now)']


def test_no_run_begins_that_has_to_ask_before_somebody_saw_that_the_service_tells_of_deaths(
    deployment: Deployment,
) -> None:
    steps = replace(deployment, rules=RuleSettings(pu=PersonCheck.REQUIRED)).steps
    request = Request("waitlist_dry_run", "night", "dry_run", AS_OF)
    with pytest.raises(SettingsError, match=r"^WAITLIST_PU is required, and:") as caught:
        steps.open_batch(request, now=NOW)
    key, seen = str(caught.value).splitlines()[1:]
    assert key.startswith("  WAITLIST_PU_NAME_KEY: is missing")
    assert seen.startswith(
        "  WAITLIST_PU_PROFILE: nobody has seen that P1 tells of deaths; ask for a deceased test person"
    )
    assert not steps.store.knows(request.batch_id)
