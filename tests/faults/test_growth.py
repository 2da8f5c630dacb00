"""No query's work grows faster than its data: all queries at one size and at ten times that size.

Work is counted, not timed (``tests.support.effort``), so the result is the same on every machine. PostgreSQL plans by
its statistics: they are made when the tables are filled, and not whenever the server finds time for it.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import sqlalchemy as sa
from tests.support import batches, effort, releases
from tests.support.batches import AS_OF, NOW, UNITS, chunk
from tests.support.runs import never_asked
from upath import UPath

from waitlist import paths, quality
from waitlist.facts.gates import load_gates
from waitlist.facts.mappings import load_mappings
from waitlist.judge.posts import RuleContext
from waitlist.judge.request_columns import HASH_VERSION
from waitlist.judge.rules import BUILT_IN_SEVERITIES, Disposition
from waitlist.release import decisions as release
from waitlist.release import gates, ledger
from waitlist.reports import approval, diff, readiness
from waitlist.reports.pages import (
    access_log,
    after_release,
    batch,
    catalogue,
    history,
    overview,
    released,
    unit,
    units,
)
from waitlist.reports.pages import wave as wave_page
from waitlist.reports.pages.reading import reading
from waitlist.reports.worklist.sources import StagedPosts
from waitlist.settings import RuleSettings
from waitlist.staging import PIPELINE, StagingStore, changes, retention, row_hash, schema
from waitlist.staging import access_log as log_entries
from waitlist.staging.dry_runs import read_dry_runs
from waitlist.staging.queries import read_sql
from waitlist.staging.reconcile import PartitionEvidence, reconcile

SMALL = 120
LARGE = 10 * SMALL
MOST_TIMES = 15
"""More than ten times the work at ten times the size: sorting and deeper trees are allowed for."""
TOO_LITTLE = 2_000
"""Less work than this at the large size is not compared."""
MAPPINGS = load_mappings(paths.MAPPINGS, raisable=BUILT_IN_SEVERITIES)
SUITES = tuple(quality.load_suites(paths.EXPECTATIONS).values())
YESTERDAY = AS_OF - dt.timedelta(days=1)

SINCE = " AS nights FROM "
"""In the statement that looks up since when posts are on the list. For each, PostgreSQL reads the few pages that the
findings of a night have at these sizes. What it does for a night is bounded below."""

Work = Mapping[str, int]


def refresh_no_statistics_by_itself(store: StagingStore) -> None:
    """Keep PostgreSQL from counting rows between two statements: one size would be planned by other figures."""
    if store.database.dialect == "postgresql":
        with store.engine.begin() as connection:
            query = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = '{}'::regnamespace"
            for table in connection.exec_driver_sql(query.format(schema.SCHEMA)).scalars().all():
                connection.execute(sa.text(f"ALTER TABLE {table} SET (autovacuum_enabled = off)"))


def refresh_statistics(store: StagingStore) -> None:
    """Count the rows of every table, as PostgreSQL has done by itself some minutes after a night."""
    if store.database.dialect == "postgresql":
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("ANALYZE"))


DECIDING = {
    "already_released": "ALREADY_RELEASED",
    "leave": "NOT_WAITING",
    "handle_manually": "ID_MISSING",
    "book_in_pmo": "ENDS_BEFORE_GO_LIVE",
    "book_in_millennium": "FIRST_VISIT",
    "fix_in_pmo": "DATE_MISSING",
    "plan_unit": "UNIT_UNPLANNED",
}


def explain(store: StagingStore, batch_id: str, posts: range) -> None:
    """Give each post of a ready-made batch the finding that decided: a page of posts refuses one without."""
    decided = ((post, DECIDING.get(batches.disposition_of(post))) for post in posts)
    rows = [
        {"batch_id": batch_id, "post_id": post, "rule": rule, "severity": "blocks", "detail": None}
        for post, rule in decided
        if rule is not None
    ]
    batches.execute(store, schema.finding.insert().values(rows))
    counted = schema.batch_partition.c.findings
    of = schema.batch_partition.c.batch_id == batch_id
    batches.execute(store, schema.batch_partition.update().where(of).values(findings=counted + len(rows)))


def fill(store: StagingStore, posts: int) -> None:
    """Stage two nights, two released waves with what PMO changed since, one that waits, one verified, one old night."""
    refresh_no_statistics_by_itself(store)
    first, second, waiting, ready = (range(part * posts // 4 + 1, (part + 1) * posts // 4 + 1) for part in range(4))
    for batch_id, day in (("old", YESTERDAY - dt.timedelta(days=1)), ("natt-1", YESTERDAY), ("natt-2", AS_OF)):
        text = f"Orsak: {batch_id}"
        releases.verified(store, batch_id, range(1, posts + 1), text=text, kind="dry_run", as_of=day)
    explain(store, "natt-2", range(1, posts + 1))
    for wave, its_posts in (("vecka-1", first), ("vecka-2", second)):
        releases.awaiting(store, wave, its_posts, wave=wave)
        release.release(store, wave, "lead", None, NOW)
    releases.awaiting(store, "waiting", waiting, wave="3")
    releases.verified(store, "ready", ready, wave="4")
    found = [{"post_id": post, "change": "gone", "columns": ""} for post in releases.migrating(first)]
    found += [{"post_id": post, "change": "changed", "columns": "beskrivning"} for post in releases.migrating(second)]
    batches.execute(store, schema.released_change.insert().values([{"batch_id": "natt-2", **row} for row in found]))
    for number in range(posts):
        # As many entries in the access log as there are posts.
        log_entries.record(
            store, at=NOW, user_id=f"user-{number}", action=log_entries.Action.PERSONS, batch_id="natt-2",
            unit=UNITS[0] or "", acting_for="", patients={number: None},
        )  # fmt: skip
    refresh_statistics(store)


def everything(store: StagingStore, posts: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Return the actions that query the database, in an order in which each has what it needs."""
    context = RuleContext(AS_OF, MAPPINGS, RuleSettings())
    whole = [changes.ReadRange(None, None, ())]
    limits = load_gates(paths.MAPPINGS)
    places = retention.Places(UPath(folder), None)

    def page(read: Callable[[sa.Connection], object]) -> Callable[[], object]:
        def open_page() -> object:
            with reading(store, "reading") as connection:
                return read(connection)

        return open_page

    def posts_of_a_unit(**asked: object) -> Callable[[], object]:
        return page(lambda connection: unit.read_unit(connection, MAPPINGS, str(UNITS[0]), unit.Asked(**asked)))

    def work_list() -> object:
        with store.database.reading() as read:
            staged = StagedPosts(read, "natt-2", knows_changes=True)
            asked = (staged.dispositions(1, posts), staged.findings(1, posts), staged.changes(1, posts))
            return asked, list(staged.gone())

    def compare() -> object:
        found = diff.read_difference(store, "natt-1", "natt-2")
        return found, [list(rows) for _, rows in diff.post_ids(store, "natt-1", "natt-2")]

    def prove(batch_id: str, *, thoroughly: bool) -> object:
        numbers = range(1, posts + 1)
        told = {
            "post_ids": lambda: iter([np.array(numbers, np.int64)]),
            "row_hashes": lambda: iter([chunk(numbers, text=f"Orsak: {batch_id}").bokningsbegaran]),
        }
        evidence = PartitionEvidence(None, None, posts, **(told if thoroughly else {}))
        # Without primary keys, which a database that we did not create may lack, repeated keys are looked for.
        with mock.patch("waitlist.staging.reconcile._Checks._primary_keys_hold", return_value=not thoroughly):
            return reconcile(store, batch_id, source_posts=posts, evidence=[evidence], now=NOW)

    def note() -> object:
        with reading(store, "reading") as connection:
            latest = read_dry_runs(connection)[-1]
        return ledger.note_outcomes(store.database, latest, NOW)

    return {
        "verify_released": lambda: release.verify_released(store, "vecka-1"),
        "statistics": store.refresh_statistics,
        "reconcile": lambda: prove("natt-2", thoroughly=False),
        "reconcile by key": lambda: prove("natt-2", thoroughly=True),
        "check_staged": lambda: quality.check_staged(
            [suite for suite in SUITES if suite.looks is quality.Looks.STAGED], store.database, "natt-2", context
        ),
        "verify": lambda: store.mark_verified("natt-2", NOW),
        "find_changes": lambda: changes.replace_changes(
            store, "natt-1", changes.find_changes(store, whole, context, None, never_asked)
        ),
        "gates": lambda: gates.evaluate(store, "waiting", limits, mappings=MAPPINGS, suites=SUITES),
        "overtaken": lambda: gates.is_overtaken(store, "waiting"),
        "approval": lambda: approval.summary(store, "waiting", MAPPINGS, "natt-2"),
        "readiness": lambda: readiness.read_readiness(store, readiness.LATEST, MAPPINGS),
        "overview": page(lambda connection: overview.read_overview(connection, MAPPINGS, now=NOW, approval_hours=72)),
        "units": page(
            lambda connection: units.read_unit_list(connection, MAPPINGS, lambda _: True, units.UnitsAsked())
        ),
        # More units than are read by themselves; no night is kept from an earlier read.
        "trends of many units": page(
            lambda connection: history.unit_trends(
                connection,
                history.dry_runs(connection),
                {name: (name,) for name in (str(UNITS[0]), *map(str, range(30)))},
            )
        ),
        "unit by rule": posts_of_a_unit(rule="CATEGORY_NOT_MOVED"),
        "unit by disposition": posts_of_a_unit(disposition=Disposition.MIGRATE, sort=unit.SortBy.LIST),
        "last page of a unit": posts_of_a_unit(disposition=Disposition.MIGRATE, page=10**6),
        "batches": lambda: batch.read_batches(store, 1),
        "batch": lambda: batch.read_batch(store, "natt-2", suites=SUITES, compare_with="natt-1"),
        "catalogue": lambda: catalogue.read_catalogue(store, MAPPINGS),
        "released": lambda: released.read_released(store, MAPPINGS, 1),
        "wave": page(lambda connection: wave_page.read_wave(connection, MAPPINGS, None, approval_hours=72)),
        "follow-up": page(lambda connection: after_release.read_followed(connection, MAPPINGS, after_release.SOME_DAY)),
        "closing ledger": page(
            lambda connection: after_release.read_ledger(connection, MAPPINGS, after_release.SOME_DAY, "vecka-2")
        ),
        "note outcomes": note,
        "access log": page(lambda connection: access_log.read_access_log(connection, MAPPINGS, page=1, size=50)),
        "work list": work_list,
        "diff": compare,
        "request_approval": lambda: release.request_approval(store, "ready", releases.PASSED, PIPELINE, NOW),
        "release": lambda: release.release(store, "ready", "lead", None, NOW),
        "withdraw": lambda: release.withdraw(store, "ready", "lead", releases.REASON, NOW),
        "survey": lambda: retention.survey(store, store.batch("old"), places),
        "retention": lambda: retention.remove(store, store.batch("old"), places, reason="old", now=NOW),
        "stage again": lambda: store.stage_partition("natt-1", None, None, [chunk(range(1, posts + 1), text="annan")]),
    }


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.attack)])
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Work]]:
    """The work of each statement of each action, at both sizes."""
    found = {}
    for posts in (SMALL, LARGE):
        folder = tmp_path_factory.mktemp(f"{request.param}-{posts}")
        store = batches.store_of_its_own(request, folder)
        fill(store, posts)
        found[posts] = {}
        for name, act in everything(store, posts, folder).items():
            with effort.counted(store) as counted:
                act()
            found[posts][name] = dict(counted.of)
        store.engine.dispose()
    return found


def steep(small: Work, large: Work) -> list[str]:
    """Return the names of what does more work than its share at the large size."""
    return [
        f"{large[name]:,} after {small[name]:,}: {name}"
        for name in small.keys() & large.keys()
        if large[name] > max(TOO_LITTLE, MOST_TIMES * small[name])
    ]


def test_no_action_does_more_than_its_share_at_ten_times_the_size(measured: dict[int, dict[str, Work]]) -> None:
    small, large = ({name: sum(work.values()) for name, work in measured[size].items()} for size in (SMALL, LARGE))
    assert steep(small, large) == []


def test_no_statement_does_more_than_its_share_at_ten_times_the_size(measured: dict[int, dict[str, Work]]) -> None:
    found = [told for name in measured[SMALL] for told in steep(measured[SMALL][name], measured[LARGE][name])]
    assert [told for told in found if SINCE not in told] == []


FEW, MANY = 4, 40
"""Nights."""


def test_readers_do_no_more_than_their_share_after_ten_times_as_many_nights(tmp_path: Path) -> None:
    work: dict[int, Work] = {}
    for nights in (FEW, MANY):
        store = StagingStore(f"sqlite:///{tmp_path / str(nights)}.sqlite")
        store.migrate()
        batches.put_verified(store, *(f"natt-{number}" for number in range(nights)))
        for number in range(nights):
            day = AS_OF - dt.timedelta(days=nights - number)
            of = schema.batch.c.batch_id == f"natt-{number}"
            batches.execute(store, schema.batch.update().where(of).values(as_of=day))
            explain(store, f"natt-{number}", range(1, batches.POSTS + 1))
        with effort.counted(store) as counted, reading(store, "reading") as connection:
            overview.read_overview(connection, MAPPINGS, now=NOW, approval_hours=72)
            units.read_unit_list(connection, MAPPINGS, lambda _: True, units.UnitsAsked())
            unit.read_unit(connection, MAPPINGS, str(UNITS[0]), unit.Asked(disposition=Disposition.MIGRATE))
            batch.read_batches(store, 1)
            batch.read_batch(store, f"natt-{nights - 1}", suites=SUITES)
            readiness.read_readiness(store, readiness.LATEST, MAPPINGS)
            gates.latest_dry_run(store, f"natt-{nights - 1}")
            retention.read_batches(store)
        work[nights] = dict(counted.of)
        store.engine.dispose()
    assert steep(work[FEW], work[MANY]) == []
    assert steep({"all": sum(work[FEW].values())}, {"all": sum(work[MANY].values())}) == []


SOME_NIGHTS, MORE_NIGHTS = 9, 13
"""Nights with more than a week before them, which is as far back as a page reads posts that are gone from the list."""
POSTS_A_NIGHT = 600
MOST_A_NIGHT = {"sqlite": 2_500, "postgresql": 1_000}
"""The most work of a page for one night more. Reading the posts of a night is more."""


def pages_of_nights(latest: str, before: str) -> dict[str, Callable[[sa.Connection, StagingStore], object]]:
    """Return what reads each page, by name."""

    def of_unit(**asked: object) -> Callable[[sa.Connection, StagingStore], object]:
        return lambda connection, _: unit.read_unit(connection, MAPPINGS, str(UNITS[0]), unit.Asked(**asked))

    return {
        "overview": lambda connection, _: overview.read_overview(connection, MAPPINGS, now=NOW, approval_hours=72),
        "units": lambda connection, _: units.read_unit_list(connection, MAPPINGS, lambda _: True, units.UnitsAsked()),
        "unit": of_unit(show=unit.Show.TODO, sort=unit.SortBy.URGENCY),
        "unit, new": of_unit(show=unit.Show.NEW),
        "unit, done": of_unit(show=unit.Show.DONE),
        "unit, gone": of_unit(show=unit.Show.GONE),
        "unit, all": of_unit(whole=True),
        "wave": lambda connection, _: wave_page.read_wave(connection, MAPPINGS, None, approval_hours=72),
        "released": lambda _, store: released.read_released(store, MAPPINGS, 1),
        "batch": lambda _, store: batch.read_batch(store, latest, suites=SUITES, compare_with=before),
        "readiness": lambda _, store: readiness.read_readiness(store, readiness.LATEST, MAPPINGS),
    }


def put_nights(store: StagingStore, nights: int) -> None:
    """Stage so many nights of the same posts, and a wave that was released before them and has changed since."""
    refresh_no_statistics_by_itself(store)
    posts = range(1, POSTS_A_NIGHT + 1)
    releases.awaiting(store, "vecka-1", range(POSTS_A_NIGHT + 1, POSTS_A_NIGHT + 41), wave="1")
    release.release(store, "vecka-1", "lead", None, NOW)
    for number in range(nights):
        day = AS_OF - dt.timedelta(days=nights - number)
        releases.verified(store, f"natt-{number}", posts, text="Orsak", kind="dry_run", as_of=day)
        explain(store, f"natt-{number}", posts)
    found = releases.migrating(range(POSTS_A_NIGHT + 1, POSTS_A_NIGHT + 41))
    rows = [{"batch_id": f"natt-{nights - 1}", "post_id": post, "change": "gone", "columns": ""} for post in found]
    batches.execute(store, schema.released_change.insert().values(rows))
    refresh_statistics(store)


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.attack)])
def test_a_page_reads_no_posts_of_one_night_more(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    work: dict[int, dict[str, tuple[int, int]]] = {}
    for nights in (SOME_NIGHTS, MORE_NIGHTS):
        (folder := tmp_path / str(nights)).mkdir()
        store = batches.store_of_kind(request, folder, database)
        put_nights(store, nights)
        work[nights] = {}
        for name, read in pages_of_nights(f"natt-{nights - 1}", f"natt-{nights - 2}").items():
            with effort.counted(store) as counted, reading(store, "reading") as connection:
                read(connection, store)
            work[nights][name] = sum(counted.of.values()), counted.parts
        store.engine.dispose()
    few, many = work[SOME_NIGHTS], work[MORE_NIGHTS]
    more = MORE_NIGHTS - SOME_NIGHTS
    assert not {
        name: (few[name], many[name])
        for name in few
        # A post that is shown is looked up in each night, in the one partition that has it.
        if many[name][0] - few[name][0] > more * MOST_A_NIGHT[database] or many[name][1] - few[name][1] > more
    }


def test_every_sql_file_was_run(measured: dict[int, dict[str, Work]], request: pytest.FixtureRequest) -> None:
    database = request.node.callspec.params["measured"]
    asked = {statement for work in measured[LARGE].values() for statement in work}
    files = [file for folder in ("staging", "dashboard") for file in (paths.SQL / folder).glob("*.sql")]
    wanted = [
        file
        for file in files
        if not file.name.startswith(("create_", "grant_", "roles."))
        and (file.name.count(".") == 1 or database in file.name)
        # Where a file has another form for this database, that one is run.
        and not file.with_name(f"{file.stem}.{database}.sql").exists()
    ]
    schema_of = None if database == "sqlite" else schema.SCHEMA
    # The columns of the booking request are written into one of them.
    hashes = f"find_changed_requests.{database}.sql"

    def text_of(file: Path) -> str:
        if file.name == hashes:
            return row_hash.find_changed_requests(database, schema_of, HASH_VERSION)
        return read_sql(file.name[:-4], schema_of, file.parent.name)

    missing = [file.name for file in wanted if effort.form(text_of(file)) not in asked]
    assert not missing
    assert len(wanted) > 15
