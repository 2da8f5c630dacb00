"""A suite's old result is not taken for one of what a batch holds now, whichever steps somebody clears."""

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.runs import AS_OF, NOW, pipeline

from waitlist.exceptions import RefusedError
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.staging import BatchState
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Request, Run

WAVE = Request("waitlist_migration", "wave", "migration", AS_OF, waves=("1",))
SUITES = {"check_contract": "extract_contract", "check_snapshot": "categories", "reconcile": "booking_requests"}


@dataclass(frozen=True)
class Site:
    """A synthetic PMO, and a wave that was verified."""

    out: Path

    @property
    def steps(self) -> Pipeline:
        pmo, staging = (
            f"Driver={{SQLite3}};Database={self.out / 'pmo.sqlite'}",
            f"sqlite:///{self.out / 'staging.sqlite'}",
        )
        return pipeline(self.out, pmo=pmo, staging=staging, mappings=self.out / MAPPINGS, approvers="lead")

    @property
    def run(self) -> Run:
        return self.steps.opened(WAVE.batch_id)

    def change_pmo(self) -> None:
        with sqlite3.connect(self.out / "pmo.sqlite") as connection:
            connection.execute("UPDATE vantelistepost SET orsak = 'En annan orsak'")

    def take(self, *names: str) -> None:
        """Take steps as after clearing them."""
        steps, run = self.steps, self.run
        numbers = range(len(steps.plan_extract(run))) if {"extract", "assess"} & {*names} else ()
        taken: dict[str, Callable[[], object]] = {
            "extract": lambda: [steps.extract(run, number) for number in numbers],
            "check_contract": lambda: steps.check_contract(run),
            "find_duplicates": lambda: steps.find_duplicates(run),
            "assess": lambda: [steps.assess(run, number, now=NOW) for number in numbers],
            "check_snapshot": lambda: steps.check_snapshot(run),
            "reconcile": lambda: steps.reconcile(run, now=NOW),
            "verify": lambda: steps.verify(run, now=NOW),
            "request_approval": lambda: steps.request_approval(run, now=NOW),
        }
        for name in names:
            taken[name]()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    generate(Order(300, seed=2, as_of=AS_OF), out, sqlite=out / "pmo.sqlite")
    site = Site(out)
    site.steps.open_batch(WAVE, now=NOW)
    site.take("extract", "find_duplicates", "assess", *SUITES, "verify")
    return out


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Site:
    shutil.copytree(made, tmp_path / "site")
    return Site(tmp_path / "site")


READ_AGAIN = ("extract", "find_duplicates", "assess")


@pytest.mark.parametrize("left_out", ["check_contract", "check_snapshot"])
def test_a_batch_is_not_verified_on_what_a_suite_said_of_an_earlier_read(site: Site, left_out: str) -> None:
    site.change_pmo()
    site.take(*READ_AGAIN, *(step for step in SUITES if step != left_out))
    with pytest.raises(RefusedError, match=rf"not what it holds now: .*{SUITES[left_out]}.*; clear {left_out}, and"):
        site.take("verify")
    assert site.steps.store.batch(WAVE.batch_id).state is BatchState.STAGED
    site.take(left_out, "verify")
    assert site.steps.store.batch(WAVE.batch_id).state is BatchState.VERIFIED


def test_a_refusal_names_every_suite_and_step(site: Site) -> None:
    site.change_pmo()
    site.take(*READ_AGAIN)
    with pytest.raises(RefusedError, match="clear check_contract, check_snapshot, reconcile, and what follows"):
        site.take("verify")


def test_suites_that_looked_at_a_later_read_than_the_rows_were_made_from_do_not_count(site: Site) -> None:
    site.change_pmo()
    site.take("extract", "check_contract", "check_snapshot")
    assert site.steps.store.batch(WAVE.batch_id).state is BatchState.VERIFIED
    with pytest.raises(RefusedError, match="clear check_contract, check_snapshot, and what follows"):
        site.take("request_approval")
    assert site.steps.store.batch(WAVE.batch_id).state is BatchState.VERIFIED


def test_steps_that_bring_the_same_again_leave_what_the_suites_said(site: Site) -> None:
    site.take(*READ_AGAIN, "reconcile", "verify", "request_approval")
    assert site.steps.store.batch(WAVE.batch_id).state is BatchState.AWAITING_APPROVAL


def test_a_suite_that_never_looked_is_named(site: Site) -> None:
    asked = Request("waitlist_dry_run", "night", "dry_run", AS_OF)
    steps = site.steps
    run = steps.open_batch(asked, now=NOW)
    for number in steps.plan_extract(run):
        steps.extract(run, number)
    steps.find_duplicates(run)
    steps.assess(run, 0, now=NOW)
    steps.reconcile(run, now=NOW)
    steps.check_snapshot(run)
    with pytest.raises(
        RefusedError, match="not what it holds now: extract_contract; clear check_contract, and what follows"
    ):
        steps.verify(run, now=NOW)
