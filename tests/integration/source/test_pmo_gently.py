"""PMO is a live clinical system: it is read by its index, without a lock, at a pace and in hours that are set."""

import datetime as dt
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pyodbc
import pytest
from pydantic import ValidationError
from tests.support.pmo import AS_OF, SmallPmo, postgres_pmo, posts, sqlite_pmo
from tests.support.postgres import PostgresServer
from upath import UPath

from waitlist.columns.dates import STOCKHOLM
from waitlist.exceptions import WindowClosedError
from waitlist.settings import Settings
from waitlist.source.pmo import PmoSource, Selection
from waitlist.source.pmo.connection import with_options
from waitlist.source.pmo.pace import Pace
from waitlist.source.snapshot import Partition

POSTS = 5_000
SMALL = {"partition_posts": 500, "chunk_posts": 100}


@dataclass
class Clock:
    """A clock that a test moves, and that moves when its ``sleep`` is called."""

    at: dt.datetime
    per_look: dt.timedelta = dt.timedelta(0)
    slept: list[float] = field(default_factory=list)

    def now(self) -> dt.datetime:
        self.at += self.per_look
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += dt.timedelta(seconds=seconds)


def at(hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2024, 10, 1, hour, minute, tzinfo=STOCKHOLM)


def paced(pmo: SmallPmo, clock: Clock, *, window: str | None = None, rate: int | None = None) -> PmoSource:
    return PmoSource(pmo.odbc, Settings(**SMALL), pace=Pace(window, rate, now=clock.now, sleep=clock.sleep))


@pytest.fixture(scope="module")
def in_sqlite(tmp_path_factory: pytest.TempPathFactory) -> SmallPmo:
    return sqlite_pmo(tmp_path_factory.mktemp("pmo"), posts(range(1, POSTS + 1)))


@pytest.fixture(scope="module")
def in_postgres(postgres: PostgresServer) -> SmallPmo:
    pmo = postgres_pmo(postgres, posts(range(1, POSTS + 1)))
    with psycopg.connect(pmo.native, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return pmo


def of_the_middle(pmo: SmallPmo) -> tuple[str, tuple[str, ...]]:
    source = PmoSource(pmo.odbc, Settings(**SMALL))
    _, (statement,), _ = source.bulk_read(Selection(AS_OF), [Partition(5, 2_500, 3_000, 500)])
    return statement.sql, statement.parameters


class TestIndex:
    def test_postgresql_reads_a_part_by_the_index_on_post_id(self, in_postgres: SmallPmo) -> None:
        sql, values = of_the_middle(in_postgres)
        with psycopg.connect(in_postgres.native) as connection:
            rows = connection.execute("EXPLAIN " + sql.replace("%", "%%").replace("?", "%s"), values).fetchall()
        plan = "\n".join(row[0] for row in rows)
        assert "Index Scan using vantelistepost_pkey" in plan, plan
        assert "Seq Scan on vantelistepost" not in plan, plan

    def test_sqlite_reads_a_part_by_the_key(self, in_sqlite: SmallPmo) -> None:
        sql, values = of_the_middle(in_sqlite)
        with closing(sqlite3.connect(in_sqlite.native)) as connection:
            steps = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, values)]
        assert any("SEARCH v USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in step for step in steps), steps
        assert not any(step.startswith(("SCAN v", "USE TEMP B-TREE")) for step in steps), steps


class TestLocks:
    def test_a_session_in_postgresql_may_only_read_what_was_committed(self, in_postgres: SmallPmo) -> None:
        with closing(pyodbc.connect(with_options(in_postgres.odbc), autocommit=True)) as connection:
            asked = ("transaction_read_only", "transaction_isolation")
            assert [connection.execute(f"SHOW {name}").fetchval() for name in asked] == ["on", "read committed"]
            with pytest.raises(pyodbc.Error, match="25006"):
                connection.execute("DELETE FROM vantelistepost")

    def test_a_writer_in_postgresql_neither_waits_nor_is_waited_for(self, in_postgres: SmallPmo) -> None:
        source = PmoSource(in_postgres.odbc, Settings(**SMALL))
        with psycopg.connect(in_postgres.native) as writer:
            writer.execute("UPDATE vantelistepost SET orsak = 'Ny orsak'")
            reading = source.read(Selection(AS_OF), Partition(0, None, None, POSTS))
            assert next(reading)["orsak"][0].as_py() == "Uppföljning"
            writer.execute("SET lock_timeout = '1s'")
            writer.execute("UPDATE vantelistepost SET orsak = 'Ny orsak igen'")
            assert sum(table.num_rows for table in reading) == POSTS - SMALL["chunk_posts"]
            writer.rollback()


class TestWindow:
    @pytest.mark.parametrize(
        ("window", "moment", "is_open"),
        [
            ("22:00-06:00", at(21, 59), False),
            ("22:00-06:00", at(22), True),
            ("22:00-06:00", at(5, 59), True),
            ("22:00-06:00", at(6), False),
            ("01:00-04:30", at(4, 29), True),
            ("01:00-04:30", at(4, 30), False),
            ("22:00-06:00", dt.datetime(2024, 7, 1, 20, 30, tzinfo=dt.UTC), True),
        ],
    )
    def test_hours_are_stockholms_and_may_pass_midnight(
        self, in_sqlite: SmallPmo, window: str, moment: dt.datetime, is_open: bool
    ) -> None:
        source = paced(in_sqlite, Clock(moment), window=window)
        if is_open:
            assert source.plan(Selection(AS_OF))
        else:
            with pytest.raises(WindowClosedError, match="WAITLIST_PMO_READ_WINDOW"):
                source.plan(Selection(AS_OF))

    @pytest.mark.parametrize("pmo", ["in_sqlite", "in_postgres"])
    def test_a_read_that_is_longer_than_its_window_stops_and_leaves_nothing(
        self, pmo: str, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        clock = Clock(at(5, 50), per_look=dt.timedelta(minutes=1))
        source = paced(request.getfixturevalue(pmo), clock, window="22:00-06:00")
        folder = UPath(tmp_path / "snapshot")
        with pytest.raises(WindowClosedError, match=r"closed after \d+ posts of this part, of which nothing is kept"):
            source.extract(Selection(AS_OF), Partition(0, None, None, POSTS), folder)
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("window", ["22-06", "24:00-06:00", "22:00", "22:00-06:00 "])
    def test_an_invalid_window_is_refused(self, window: str) -> None:
        with pytest.raises(ValidationError, match="pmo_read_window"):
            Settings(pmo_read_window=window)


class TestRate:
    def test_a_reader_takes_no_more_posts_a_second_than_are_set(self, in_sqlite: SmallPmo) -> None:
        clock = Clock(at(3))
        source = paced(in_sqlite, clock, rate=1_000)
        begun = clock.at
        posts_read = sum(table.num_rows for table in source.read(Selection(AS_OF), Partition(0, None, None, POSTS)))
        took = (clock.at - begun).total_seconds()
        # The last chunk has been read already: there is no wait after it.
        assert (posts_read, took) == (POSTS, pytest.approx((POSTS - SMALL["chunk_posts"]) / 1_000))

    def test_without_a_rate_nobody_waits(self, in_sqlite: SmallPmo) -> None:
        clock = Clock(at(3))
        list(paced(in_sqlite, clock).read(Selection(AS_OF), Partition(0, None, None, POSTS)))
        assert clock.slept == []
