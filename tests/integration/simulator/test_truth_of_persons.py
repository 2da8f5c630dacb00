"""With the person service: each post of the synthetic PMO gets the result that was planted, through the real server."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from tests.support.person_service import address, serving
from tests.support.runs import AS_OF, request
from upath import UPath

from waitlist import demo
from waitlist.settings import PersonCheck, PersonServiceSettings, PersonsForTests, RuleSettings, Settings
from waitlist.simulator import MAPPINGS, PEOPLE, TRUTH, Order, generate
from waitlist.simulator.person_service import make_certificates, read_people
from waitlist.source.pmo import PmoSource
from waitlist.staging import StagingStore, persons, schema
from waitlist.steps.pipeline import Pipeline

POSTS = 3_000
NOW = dt.datetime.now(dt.UTC)
"""The certificates are of today; the runs are as of past days and ask, as the demo does."""
LATER = AS_OF + dt.timedelta(8)
"""Every answer of the as-of date is too old by then."""
Results = dict[int, tuple[str, tuple[str, ...]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic PMO whose pilot has been released without the service."""
    folder = tmp_path_factory.mktemp("pmo")
    generate(Order(POSTS), folder, sqlite=folder / "pmo.sqlite")
    store = StagingStore(f"sqlite:///{folder / 'staging.sqlite'}")
    store.migrate()
    demo.release_pilot(PmoSource(pmo(folder), Settings()), store, folder)
    persons.record_check(store.database, "P1", deceased_seen_at=NOW)
    return folder


def pmo(folder: Path) -> str:
    return f"Driver={{SQLite3}};Database={folder / 'pmo.sqlite'}"


@pytest.fixture(scope="module")
def steps(folder: Path) -> Iterator[Any]:
    """Return a pipeline whose service answers as of a day."""
    certificates = make_certificates(folder / "certificates")
    today: list[dt.date] = []
    with serving(certificates, *read_people(folder / PEOPLE), today=lambda: today[-1]) as service:

        def of(day: dt.date, test_persons: PersonsForTests = PersonsForTests.REFUSE) -> Pipeline:
            today.append(day)
            settings = Settings(
                mappings_dir=folder / MAPPINGS,
                partition_posts=1_000,
                rules=RuleSettings(pu=PersonCheck.REQUIRED, pu_test_persons=test_persons),
                person_service=PersonServiceSettings(pu_ask_past=True, pu_name_key="k" * 32),
            )
            return Pipeline(
                settings,
                snapshots=UPath(folder / "snapshots"),
                pmo=lambda: pmo(folder),
                staging=lambda: f"sqlite:///{folder / 'staging.sqlite'}",
                person_service=lambda: address(service, certificates),
            )

        yield of


def night(steps: Pipeline, run_id: str, day: dt.date) -> Results:
    """Take the steps of a day's dry run up to the assessment, and return the result of each post."""
    run = steps.open_batch(request(run_id, as_of=day), now=NOW)
    numbers = steps.plan_extract(run)
    for number in numbers:
        steps.extract(run, number)
    steps.find_duplicates(run)
    for number in numbers:
        steps.check_persons(run, number, now=NOW)
        steps.assess(run, number, now=NOW)
    return results(steps.store, run.batch_id)


def results(store: StagingStore, batch_id: str) -> Results:
    disposition, finding = schema.disposition.c, schema.finding.c
    with store.database.connected() as connection:
        found: dict[int, list[str]] = {}
        for post_id, rule in connection.execute(
            sa.select(finding.post_id, finding.rule).where(finding.batch_id == batch_id)
        ):
            found.setdefault(post_id, []).append(rule)
        rows = connection.execute(
            sa.select(disposition.post_id, disposition.disposition).where(disposition.batch_id == batch_id)
        )
        return {post_id: (what, tuple(sorted(found.get(post_id, [])))) for post_id, what in rows}


def test_every_post_gets_what_was_planted(folder: Path, steps: Any) -> None:
    came_out = night(steps(AS_OF), "first", AS_OF)
    truth = {
        row["post_id"]: (row["disposition_with_service"], tuple(row["findings_with_service"]))
        for row in pq.read_table(folder / TRUTH).to_pylist()
    }
    differing = {post: (truth.get(post), came_out.get(post)) for post in truth.keys() | came_out.keys()}
    assert {post: pair for post, pair in differing.items() if pair[0] != pair[1]} == {}


def test_with_test_records_allowed_only_they_have_another_result(folder: Path, steps: Any) -> None:
    came_out = night(steps(AS_OF, PersonsForTests.ALLOW), "allowed", AS_OF)
    rows = pq.read_table(folder / TRUTH).to_pylist()
    for row in rows:
        refused = "PU_TEST_PERSON" in row["findings_with_service"]
        wanted = row["disposition"] if refused else row["disposition_with_service"]
        assert came_out[row["post_id"]] == (
            wanted,
            tuple(code for code in row["findings_with_service"] if code != "PU_TEST_PERSON"),
        )


def test_a_person_who_dies_after_a_release_is_found_once_the_answer_is_old(folder: Path, steps: Any) -> None:
    # Answers of the as-of date are there if the tests above have run; the outcome is the same without.
    found = night(steps(LATER), "later", LATER)
    rows = pq.read_table(folder / TRUTH).to_pylist()
    dies = [row for row in rows if row["answer"] == "dies after the as-of date" and row["post_id"] in found]
    assert dies
    for row in dies:
        assert "PU_DECEASED" not in row["findings_with_service"]
        assert "PU_DECEASED" in found[row["post_id"]][1]
