"""A dry run gives the same result after each change of speed: posts with every fault, on both databases."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support import golden
from tests.support.postgres import PostgresServer
from tests.support.runs import dry_run, request

from waitlist.judge.rules import OF_PERSONS, RULES, Disposition
from waitlist.simulator import generate
from waitlist.steps.pipeline import Pipeline


@dataclass(frozen=True)
class Site:
    """A synthetic PMO and a pipeline over it."""

    posts: int
    pmo: str
    steps: Pipeline


SIZES = [golden.SUITE_POSTS, pytest.param(golden.ATTACK_POSTS, marks=pytest.mark.attack)]


@pytest.fixture(scope="module", params=SIZES)
def posts(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, posts: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("golden")
    if request.param == "sqlite":
        generate(golden.order(posts), folder, sqlite=folder / "pmo.sqlite")
        pmo, staging = f"Driver={{SQLite3}};Database={folder / 'pmo.sqlite'}", f"sqlite:///{folder / 'staging.sqlite'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        source, target = server.create_database(), server.create_database()
        generate(golden.order(posts), folder, postgres=server.libpq(source))
        pmo, staging = server.odbc(source), server.libpq(target)
    steps = golden.prepare(folder, posts, pmo=pmo, staging=staging)
    yield Site(posts, pmo, steps)
    steps.store.engine.dispose()


def test_the_posts_that_are_read_are_those_that_were_read_before(site: Site) -> None:
    assert golden.extracted(site.pmo, site.posts) == golden.expected(site.posts)["extract"]


def test_everything_that_is_staged_is_what_was_staged_before(site: Site) -> None:
    assert golden.staged(site.steps.store, dry_run(site.steps, request())) == golden.expected(site.posts)["staged"]


def test_every_disposition_and_every_finding_is_among_it(posts: int) -> None:
    staged = golden.expected(posts)["staged"]
    assert set(staged["posts by disposition"]) == set(Disposition)
    assert set(staged["posts by finding"]) == RULES.keys() - OF_PERSONS
