"""The demo's size, on both databases: each post gets the result that was planted."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from tests.support.dump import dump
from tests.support.postgres import PostgresServer
from tests.support.runs import AS_OF, NOW, dry_run, pipeline, request

from waitlist import demo
from waitlist.judge.rules import OF_PERSONS, RULES, Disposition
from waitlist.settings import Settings
from waitlist.simulator import MAPPINGS, TRUTH, Order, generate
from waitlist.source.pmo import PmoSource
from waitlist.staging import StagingStore, schema
from waitlist.steps.pipeline import Pipeline

POSTS = 20_000


@dataclass(frozen=True)
class Site:
    """A synthetic PMO with its pilot released, and a pipeline over it."""

    out: Path
    steps: Pipeline

    @property
    def truth(self) -> dict[int, tuple[str, tuple[str, ...], str | None]]:
        rows = pq.read_table(self.out / TRUTH).to_pylist()
        return {row["post_id"]: (row["disposition"], tuple(row["findings"]), row["recommended_list"]) for row in rows}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    out = tmp_path_factory.mktemp("pmo")
    order = Order(POSTS, seed=1, as_of=AS_OF)
    if request.param == "sqlite":
        generate(order, out, sqlite=out / "pmo.sqlite")
        pmo, staging = f"Driver={{SQLite3}};Database={out / 'pmo.sqlite'}", f"sqlite:///{out / 'staging.sqlite'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        source, target = server.create_database(), server.create_database()
        generate(order, out, postgres=server.libpq(source))
        pmo, staging = server.odbc(source), server.libpq(target)
    store = StagingStore(staging)
    store.migrate()
    demo.release_pilot(PmoSource(pmo, Settings()), store, out)
    yield Site(out, pipeline(out, pmo=pmo, staging=staging, mappings=out / MAPPINGS, partition_posts=5_000))
    store.engine.dispose()


@pytest.fixture(scope="module")
def batch_id(site: Site) -> str:
    return dry_run(site.steps, request())


def staged(store: StagingStore, batch_id: str) -> dict[int, tuple[str, tuple[str, ...], str | None]]:
    disposition, finding = schema.disposition, schema.finding
    with store.database.connected() as connection:
        found: dict[int, list[str]] = {}
        for post_id, rule in connection.execute(
            sa.select(finding.c.post_id, finding.c.rule).where(finding.c.batch_id == batch_id)
        ):
            found.setdefault(post_id, []).append(rule)
        rows = connection.execute(
            sa.select(disposition.c.post_id, disposition.c.disposition, disposition.c.recommended_list).where(
                disposition.c.batch_id == batch_id
            )
        )
        return {
            post_id: (what, tuple(sorted(found.get(post_id, []))), recommended) for post_id, what, recommended in rows
        }


def test_every_post_gets_the_planted_result(site: Site, batch_id: str) -> None:
    truth, came_out = site.truth, staged(site.steps.store, batch_id)
    differing = {post: (truth.get(post), came_out.get(post)) for post in truth.keys() | came_out.keys()}
    assert {post: pair for post, pair in differing.items() if pair[0] != pair[1]} == {}
    assert len(truth) > POSTS * 0.9


def test_every_disposition_and_every_finding_occurs(site: Site, batch_id: str) -> None:
    came_out = staged(site.steps.store, batch_id).values()
    assert {what for what, _, _ in came_out} == set(Disposition)
    assert {rule for _, rules, _ in came_out for rule in rules} == RULES.keys() - OF_PERSONS


def test_the_batch_is_verified_and_its_counts_are_the_truths(site: Site, batch_id: str) -> None:
    batch = site.steps.store.batch(batch_id)
    migrating = sum(what == "migrate" for what, _, _ in site.truth.values())
    assert (batch.state, batch.posts_extracted, batch.posts_staged) == ("verified", len(site.truth), migrating)


def test_nothing_of_a_dry_run_is_in_the_released_view(site: Site, batch_id: str) -> None:
    view = "bokningsbegaran_released"
    qualified = view if site.steps.store.database.schema is None else f"{site.steps.store.database.schema}.{view}"
    with site.steps.store.database.connected() as connection:
        batches = connection.execute(sa.text(f"SELECT DISTINCT batch_id FROM {qualified}")).scalars().all()
    assert batches == [demo.BATCH]


def test_a_rerun_leaves_the_same_database_but_for_moments(site: Site, batch_id: str) -> None:
    before = dump(site.steps.store)
    dry_run(site.steps, request(), now=NOW + dt.timedelta(hours=1))
    assert dump(site.steps.store) == before


def test_a_run_over_one_wave_reads_its_units_alone_and_leaves_other_batches_alone(site: Site, batch_id: str) -> None:
    before = dump(site.steps.store)["disposition"]
    wave_two = dry_run(site.steps, request("wave", waves=("2",)))
    units = {unit.hsa_id for unit in site.steps.facts.mappings.units.values() if unit.vag == "2"}
    after = dump(site.steps.store)["disposition"]
    assert [row for row in after if row[0] == batch_id] == [row for row in before if row[0] == batch_id]
    assert {row[2] for row in after if row[0] == wave_two} == units
