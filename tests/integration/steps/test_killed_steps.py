"""Every step of the dry run and of a wave, killed at each moment that others can see, and run again.

A reader meanwhile sees the state before the step or the state after it. The step that is run again ends as if it had
not been killed: the same answer, the same database, the same files.
"""

import datetime as dt
import functools
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support.dump import dump
from tests.support.killing import Done, ForkServer, fork_server
from tests.support.postgres import PostgresServer
from tests.support.runs import AS_OF, NOW, assessed, dry_run, request
from upath import UPath

from waitlist import demo
from waitlist.reports.approval import Question
from waitlist.settings import PersonCheck, PersonServiceSettings, PersonsForTests, RuleSettings, Settings
from waitlist.simulator import MAPPINGS, PEOPLE, Order, generate
from waitlist.simulator.person_service import PersonService, make_certificates, read_people
from waitlist.source.pmo import PmoSource
from waitlist.source.pu import Address, Credentials
from waitlist.staging import StagingStore, persons, schema
from waitlist.steps.order import NIGHT
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Request

POSTS = 300
PARTITION_POSTS = 150
MOST_MOMENTS = {"sqlite": 3, "postgresql": 2}
"""Of each step, spread over it: the first and the last are among them. `make attacks` kills at every moment."""
WAVE = Request("waitlist_migration", "wave", "migration", AS_OF, waves=("2",))
SERVICE = "person_service.json"
REASON = "Avstämt med enheterna i vågen"
WHO = "Eva Öberg"
LATER = NOW + dt.timedelta(days=60)


def take(folder: Path, staging: str, name: str, numbers: list[int]) -> Any:
    """Run one step, in the process that may be killed."""
    steps = pipeline_in(folder, staging)
    if name == "open_batch":
        return steps.open_batch(WAVE, now=NOW).batch_id
    if name == "withdraw":
        asked = bound_to(steps.withdrawal_question(WAVE.batch_id))
        return steps.withdraw(WAVE.batch_id, WHO, REASON, asked=asked, now=NOW)
    without_run: dict[str, Callable[[], Any]] = {
        "take_back_hand_off": lambda: steps.take_back_hand_off(WAVE.batch_id),
        "remove_expired": lambda: steps.remove_expired(LATER.date(), keep_days=None, only_tell=False, now=LATER),
        "mark_failed": lambda: steps.mark_failed(WAVE, failed=["assess_1"], now=NOW),
        "conclude": lambda: steps.conclude(WAVE, now=NOW),
    }
    if name in without_run:
        return without_run[name]()
    run = steps.opened(WAVE.batch_id)
    taken: dict[str, Callable[[], Any]] = {
        "plan_extract": lambda: steps.plan_extract(run),
        "extract": lambda: [steps.extract(run, number) for number in numbers],
        "check_contract": lambda: steps.check_contract(run),
        "find_duplicates": lambda: steps.find_duplicates(run),
        "check_persons": lambda: [steps.check_persons(run, number, now=NOW) for number in numbers],
        "assess": lambda: [steps.assess(run, number, now=NOW) for number in numbers],
        "find_changes": lambda: steps.find_changes(run),
        "check_snapshot": lambda: steps.check_snapshot(run),
        "reconcile": lambda: steps.reconcile(run, now=NOW),
        "verify": lambda: steps.verify(run, now=NOW),
        "report": lambda: steps.report(run, lambda _: None),
        "watch_gates": lambda: steps.watch_gates(run, lambda _: None),
        "request_approval": lambda: steps.request_approval(run, now=NOW),
        "release": lambda: steps.release(run, WHO, REASON, asked=bound_to(steps.approval_question(run)), now=NOW),
        "verify_released": lambda: steps.verify_released(run),
        "hand_off": lambda: steps.hand_off(run, now=NOW),
        "reject": lambda: steps.reject(run, WHO, REASON, now=NOW),
    }
    return taken[name]()


def bound_to(question: Question | None) -> int:
    """Return the entry that an answer is bound to; of a batch that has been decided, a value without effect."""
    return question.entry if question else 0


LINE = (
    *(step.name for step in NIGHT), "report", "watch_gates", "request_approval", "release", "verify_released",
    "hand_off", "conclude", "withdraw", "take_back_hand_off", "remove_expired",
)  # fmt: skip
"""The steps of a wave one after the other, with what a dry run has besides."""
ASIDE = {"reject": "release", "mark_failed": "reconcile"}
"""Steps that are taken instead of another step."""
WRITES_FILES_ALONE = {"report", "verify_released", "conclude", "take_back_hand_off"}
"""Steps that leave nothing in staging, so that one database is enough for them."""
TELLS_WHAT_IT_STILL_FOUND = "remove_expired"

CASES = [
    pytest.param(database, name, id=f"{database}-{name}")
    for database in MOST_MOMENTS
    for name in (*LINE, *ASIDE)
    if database == "sqlite" or name not in WRITES_FILES_ALONE
]


def pipeline_in(folder: Path, staging: str) -> Pipeline:
    work = folder / "work"
    settings = Settings(
        mappings_dir=folder / MAPPINGS,
        partition_posts=PARTITION_POSTS,
        approvers=WHO,
        data_docs_dir=work / "data_docs",
        worklists_dir=work / "worklists",
        rules=RuleSettings(pu=PersonCheck.REQUIRED, pu_test_persons=PersonsForTests.ALLOW),
        person_service=PersonServiceSettings(pu_name_key="k" * 32),
    )
    pmo = f"Driver={{SQLite3}};Database={folder / 'pmo.sqlite'}"
    url, moment, *files = json.loads((folder / SERVICE).read_text())
    return Pipeline(
        settings,
        snapshots=UPath(work / "snapshots"),
        pmo=lambda: pmo,
        staging=lambda: staging,
        hand_offs=UPath(work / "hand_offs"),
        person_service=lambda: Address(url, Credentials(*map(Path, files))),
        # The same for every try, so that an answer is kept with the same moment.
        clock=lambda: dt.datetime.fromisoformat(moment),
    )


def serve(folder: Path) -> PersonService:
    """Return the person service for the synthetic persons, and write where it is."""
    certificates = make_certificates(folder / "certificates")
    service = PersonService(read_people(folder / PEOPLE), certificates)
    files = map(str, (certificates.client, certificates.client_key, certificates.authority))
    (folder / SERVICE).write_text(json.dumps([service.url, dt.datetime.now(dt.UTC).isoformat(), *files]))
    return service


def warm_up() -> None:
    """Import what steps need, once for all of them."""
    import great_expectations.render.view.view  # noqa: F401, PLC0415

    import waitlist.quality.engine  # noqa: F401, PLC0415


class Site:
    """A PMO, its files, and a staging database, all of which can be put back to where they were."""

    def __init__(self, folder: Path, server: PostgresServer | None) -> None:
        self.folder = folder
        self.work = folder / "work"
        self._server = server
        self._database = "" if server is None else server.create_database()
        self.staging = f"sqlite:///{self.work / 'staging.sqlite'}" if server is None else server.libpq(self._database)

    @property
    def on_postgres(self) -> bool:
        return self._server is not None

    def keep(self, name: str) -> None:
        if not self.on_postgres or name not in WRITES_FILES_ALONE:
            shutil.copytree(self.work, self.folder / "kept" / name)
            self._copy(self._database, f"{self._database}_{name}")

    def put_back(self, name: str) -> None:
        shutil.rmtree(self.work)
        shutil.copytree(self.folder / "kept" / name, self.work)
        self._copy(f"{self._database}_{name}", self._database)

    def _copy(self, source: str, target: str) -> None:
        if self._server is not None:
            self._server.copy_database(source, target)

    def step(self, name: str, numbers: list[int]) -> tuple[Any, ...]:
        return (take, self.folder, self.staging, name, numbers)

    def state(self) -> dict[str, Any]:
        """The whole database and all files, without the times in ``batch``."""
        files = {
            path.relative_to(self.work).as_posix(): path.read_bytes() if path.is_file() else None
            for path in sorted(self.work.rglob("*"))
            if not path.name.startswith("staging.sqlite")
        }
        return {"files": files, **dump(StagingStore(self.staging))}

    def seen(self) -> dict[str, Any]:
        """What readers see of each batch: the released view, and the counts of batches that are shown."""
        store, view = StagingStore(self.staging), schema.bokningsbegaran_released
        readable = sa.table("readable_batch", sa.column("batch_id"), schema=store.database.schema)
        with store.engine.connect() as connection:
            shown = connection.execute(sa.select(view).order_by(view.c.batch_id, view.c.post_id)).all()
            ids = connection.scalars(sa.select(readable.c.batch_id)).all()
            counts = {
                batch_id: [
                    connection.scalar(sa.select(sa.func.count()).select_from(table).where(table.c.batch_id == batch_id))
                    for table in (schema.disposition, schema.bokningsbegaran, schema.unit_summary)
                ]
                for batch_id in ids
            }
        return {
            batch_id: (counts.get(batch_id), [tuple(row) for row in shown if row.batch_id == batch_id])
            for batch_id in {*ids, *(row.batch_id for row in shown)}
        }


@dataclass
class Walk:
    """A wave that was not disturbed: the state before each step, the step's input and its result."""

    site: Site
    fork_server: ForkServer
    handed: dict[str, list[int]] = field(default_factory=dict)
    undisturbed: dict[str, tuple[Done, dict[str, Any], dict[str, Any]]] = field(default_factory=dict)

    def go(self) -> None:
        numbers: list[int] = []
        for name in LINE:
            numbers = self._take(name, numbers)
        for name, instead_of in ASIDE.items():
            self.site.put_back(instead_of)
            self._take(name, self.handed[instead_of])

    def _take(self, name: str, numbers: list[int]) -> list[int]:
        self.site.keep(name)
        self.handed[name] = numbers
        done = self.fork_server.run(*self.site.step(name, numbers), watched=self.site.work)
        self.undisturbed[name] = (done, self.site.state(), self.site.seen())
        return done.returned if name == "plan_extract" else numbers


@pytest.fixture(scope="module")
def children() -> Iterator[ForkServer]:
    with fork_server(warm_up) as found:
        yield found


@pytest.fixture(scope="module")
def walks(
    request: pytest.FixtureRequest, children: ForkServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Walk]]:
    """Give the wave that is not disturbed, on a database; its steps are run once."""

    @functools.cache
    def walk(database: str) -> Walk:
        server = request.getfixturevalue("postgres") if database == "postgresql" else None
        site = Site(tmp_path_factory.mktemp("site"), server)
        site.work.mkdir()
        children.run(make_pmo, site.folder, watched=site.work)
        stack.enter_context(serve(site.folder))
        children.run(prepare, site.folder, site.staging, watched=site.work)
        walked = Walk(site, children)
        walked.go()
        return walked

    with ExitStack() as stack:
        yield walk


def make_pmo(folder: Path) -> None:
    """Leave a synthetic PMO and what belongs to it."""
    generate(Order(POSTS, seed=3, as_of=AS_OF), folder, sqlite=folder / "pmo.sqlite")


def prepare(folder: Path, staging: str) -> None:
    """Leave a pilot that is released, last night's dry run, and one that was given up and has files."""
    steps = pipeline_in(folder, staging)
    steps.store.migrate()
    persons.record_check(steps.store.database, "P1", deceased_seen_at=NOW)
    demo.release_pilot(
        PmoSource(f"Driver={{SQLite3}};Database={folder / 'pmo.sqlite'}", Settings()), steps.store, folder
    )
    dry_run(steps, request("night"))
    given_up, _ = assessed(steps, request("given-up"))
    work_list = folder / "work" / "worklists" / given_up.batch_id / "arbetslista-SE2120009999-DEMO1-2024-10-01.xlsx"
    work_list.parent.mkdir(parents=True)
    work_list.write_bytes(b"patient")


def places(moments: list[str], *, on_postgres: bool) -> list[int]:
    """Return the moments to kill at; on PostgreSQL only the commits, since the files are the same."""
    return [at for at, moment in enumerate(moments) if not on_postgres or "commit" in moment]


def spread(found: list[int], most: int | None) -> list[int]:
    """Choose so many of the moments, the first and the last among them."""
    if most is None or len(found) <= most:
        return found
    return sorted({found[round(at * (len(found) - 1) / (most - 1))] for at in range(most)})


@pytest.mark.parametrize(("database", "name"), CASES)
def test_a_step_that_is_killed_shows_nothing_half_and_run_again_ends_as_if_undisturbed(
    walks: Callable[[str], Walk], database: str, name: str
) -> None:
    kill_at(walks(database), name, MOST_MOMENTS[database])


@pytest.mark.attack
@pytest.mark.parametrize(("database", "name"), CASES)
def test_a_step_may_be_killed_at_every_moment(walks: Callable[[str], Walk], database: str, name: str) -> None:
    kill_at(walks(database), name, None)


def kill_at(walk: Walk, name: str, most: int | None) -> None:
    """Kill a step at so many of its moments, or at all; look, and run it again."""
    site, step, start = walk.site, walk.site.step(name, walk.handed[name]), ASIDE.get(name, name)
    done, state, seen = walk.undisturbed[name]
    site.put_back(start)
    before = site.seen()
    moments = spread(places(done.moments, on_postgres=site.on_postgres), most)
    assert moments
    for at in moments:
        site.put_back(start)
        walk.fork_server.kill(*step, watched=site.work, at=at)
        meanwhile = site.seen()
        assert all(meanwhile.get(batch) in (before.get(batch), seen.get(batch)) for batch in before | seen), at
        again = walk.fork_server.run(*step, watched=site.work)
        after = site.state()
        differs = {place for place in state if after[place] != state[place]}
        if name == TELLS_WHAT_IT_STILL_FOUND:
            assert differs <= {"batch_event"}, (at, done.moments)
        else:
            assert differs == set(), (at, done.moments)
            assert again.returned == done.returned, (at, done.moments)
        assert site.seen() == seen
