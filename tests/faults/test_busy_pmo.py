"""PMO is in use while a run reads: posts are registered, closed and deleted. None of that fails the run.

Each partition is counted and read in one state of PMO, independent of the plan's count, and a batch is reconciled with
the sum of these counts.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from tests.support import attacks, runs
from tests.support.pmo import AS_OF, UNITS, SmallPmo, post, postgres_pmo, posts, sqlite_pmo
from upath import UPath

from waitlist.exceptions import SourceError
from waitlist.settings import Settings
from waitlist.source.pmo import PmoSource, Selection, connection
from waitlist.source.pmo.connection import OTHER
from waitlist.source.pmo.pace import Pace
from waitlist.source.snapshot import Partition
from waitlist.staging import BatchState

POSTS = 2_000
SMALL = {"partition_posts": 500, "chunk_posts": 100}
EVERYTHING = Selection(AS_OF)
CLOSE = f"UPDATE vantelistepost SET avslutad = '{AS_OF} 10:00:00' WHERE post_id = ?"
REGISTER = f"""
    INSERT INTO vantelistepost (post_id, patient_id, enhet_id, kategori, vantar_pa_besok, nybesok,
        boka_from, boka_fore, registrerad)
    VALUES (?, 1, 1, 'SDV Pv Ssk Återbesök (diabetes)', 1, 0, '2025-03-01', '2025-03-31', '{AS_OF} 09:00:00')"""
WHOLE = Partition(0, None, None, 0)

Build = Callable[..., SmallPmo]


@pytest.fixture(params=["sqlite", "sqlite, wal", "postgres"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    """Build a PMO of the given posts."""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        return lambda rows, **types: postgres_pmo(server, rows, **types)

    def in_sqlite(rows: list[dict[str, object]], **types: str) -> SmallPmo:
        pmo = sqlite_pmo(tmp_path, rows, **types)
        if request.param == "sqlite, wal":
            pmo.run("PRAGMA journal_mode = WAL")
        return pmo

    return in_sqlite


@contextmanager
def written_to(pmo: SmallPmo) -> Iterator[list[int]]:
    """Register, close, move and delete posts over all keys as long as the block runs."""
    done = [0]
    over = threading.Event()
    failed: list[BaseException] = []

    def write(database: sqlite3.Connection | psycopg.Connection, sql: str, *values: object) -> None:
        # SQLite's readers and writers take turns; a clinician's PMO waits for its turn too.
        while not over.is_set():
            try:
                database.execute(sql.replace("?", "%s") if isinstance(database, psycopg.Connection) else sql, values)
                database.commit()
                done[0] += 1
            except sqlite3.OperationalError:
                database.rollback()
            else:
                return
            finally:
                time.sleep(0.001)

    def work() -> None:
        try:
            with closing(pmo.connect()) as database:
                for number in count():
                    if over.is_set():
                        return
                    spread = number * 977 % POSTS
                    write(database, "DELETE FROM vantelistepost WHERE post_id = ?", spread)
                    write(database, CLOSE, (spread + 1_009) % POSTS)
                    write(database, "UPDATE vantelistepost SET enhet_id = 2 WHERE post_id = ?", (spread + 503) % POSTS)
                    for post_id in (spread, -1 - number, POSTS + number):
                        write(database, REGISTER, post_id)
        except BaseException as error:  # noqa: BLE001 - the test reports it
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join(60)
    assert not failed, failed


def added_up_while_written_to(build: Build, folder: Path, asked: Sequence[Mapping[str, tuple[str, ...]]]) -> int:
    """Run dry runs with these params while PMO is written to, reconcile them, and return how much was written."""
    pmo = build(posts(range(POSTS)))
    planned = runs.planned(folder, {hsa_id: "1" for hsa_id, _ in UNITS.values()})
    staging = f"sqlite:///{folder / 'staging.db'}"
    steps = runs.pipeline(folder, pmo=pmo.odbc, staging=staging, mappings=planned, **SMALL)
    with written_to(pmo) as done:
        for number, units in enumerate(asked):
            run, _ = runs.assessed(steps, runs.request(f"run-{number}", **units))
            runs.verified(steps, folder, run)
            batch = steps.store.batch(run.batch_id)
            assert batch.state is BatchState.VERIFIED
            assert batch.posts_extracted == sum(part.counted for part in runs.parts(steps, folder, run)) > 0
        return done[0]


ALL: Mapping[str, tuple[str, ...]] = {}
WAVE = {"waves": ("1",)}
UNIT = {"units": (UNITS[1][0],)}


def test_a_run_succeeds_and_adds_up_while_posts_come_and_go(build: Build, tmp_path: Path) -> None:
    written = added_up_while_written_to(build, tmp_path, [ALL, UNIT])

    assert written > 50
    attacks.record("posts registered, closed, moved and deleted during a run", tries=2, held=2)


@pytest.mark.attack
def test_many_runs_succeed_and_add_up_while_posts_come_and_go(build: Build, tmp_path: Path) -> None:
    written = added_up_while_written_to(build, tmp_path, [ALL, WAVE, UNIT] * 10)

    assert written > 1_000
    attacks.record("posts registered, closed, moved and deleted during many runs", tries=30, held=30)


class Busy(Pace):
    """Changes PMO after each chunk that was read."""

    def __init__(self, happens: Callable[[int], None]) -> None:
        super().__init__(None, None)
        self._happens = happens
        self.chunks = 0

    def took(self, posts: int) -> None:
        super().took(posts)
        self.chunks += 1
        self._happens(self.chunks)


def came_and_went(pmo: SmallPmo) -> Callable[[int], None]:
    """Delete, close and register posts ahead of the reader after each chunk."""

    def happen(chunk: int) -> None:
        with closing(pmo.connect()) as database:
            if isinstance(database, sqlite3.Connection):
                database.execute("PRAGMA busy_timeout = 0")
            try:
                database.execute(f"DELETE FROM vantelistepost WHERE post_id = {900 + chunk}")
                database.execute(CLOSE.replace("?", str(950 + chunk)))
                database.execute(REGISTER.replace("?", str(2_000 + chunk)))
                database.commit()
            except sqlite3.OperationalError:
                pass  # without a write-ahead log, SQLite's reader keeps writers out

    return happen


@pytest.mark.parametrize("long_texts", [(), (350, 650)], ids=["by column", "with long texts"])
def test_a_partition_is_what_it_was_when_its_reading_began(
    build: Build, tmp_path: Path, long_texts: tuple[int, ...]
) -> None:
    rows = [post(n, orsak="å" * 9_000 if n in long_texts else "Kort") for n in range(1_000)]
    pmo = build(rows)
    busy = Busy(came_and_went(pmo))

    part = PmoSource(pmo.odbc, Settings(**SMALL), pace=busy).extract(EVERYTHING, WHOLE, UPath(tmp_path / "snapshot"))

    assert part.posts == part.counted == 1_000
    assert busy.chunks == 9


def test_a_partition_that_begins_again_row_by_row_is_what_it_was_then(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pmo = build([post(n, orsak="å" * 1_000_000 if n == 350 else "Kort") for n in range(1_000)])
    busy = Busy(came_and_went(pmo))

    with caplog.at_level(logging.INFO):
        source = PmoSource(pmo.odbc, Settings(**SMALL), pace=busy)
        part = source.extract(EVERYTHING, WHOLE, UPath(tmp_path / "snapshot"))

    assert part.posts == part.counted
    # Some drivers are read row by row from the start.
    assert busy.chunks > 9 or "would end this process" in caplog.text


# A database without transactions that read one state


@pytest.fixture
def stateless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every database as an unknown one."""
    monkeypatch.setattr(connection, "_DIALECTS", {})
    assert OTHER.begin == ()


@pytest.mark.usefixtures("stateless")
class TestWithoutOneState:
    """The posts are counted before and after the read, which is repeated up to three times."""

    @pytest.fixture
    def pmo(self, request: pytest.FixtureRequest) -> SmallPmo:
        return postgres_pmo(request.getfixturevalue("postgres"), posts(range(300)))

    @pytest.mark.parametrize("changes", [1, 2])
    def test_a_partition_that_changed_during_the_read_is_read_again(
        self, pmo: SmallPmo, tmp_path: Path, changes: int
    ) -> None:
        def happen(chunk: int) -> None:
            if chunk in (1, 3)[:changes]:
                pmo.run(f"DELETE FROM vantelistepost WHERE post_id = {200 + chunk}")

        source = PmoSource(pmo.odbc, Settings(**SMALL), pace=Busy(happen))
        part = source.extract(EVERYTHING, WHOLE, UPath(tmp_path / "snapshot"))

        assert part.posts == part.counted == 300 - changes

    def test_a_partition_that_always_changes_is_an_error_with_both_counts(self, pmo: SmallPmo, tmp_path: Path) -> None:
        source = PmoSource(pmo.odbc, Settings(**SMALL), pace=Busy(lambda chunk: pmo.add([post(1_000 + chunk)])))

        with pytest.raises(SourceError, match=r"partition 0 .*: \d+ posts were counted, \d+ were read: PMO changed"):
            source.extract(EVERYTHING, WHOLE, UPath(tmp_path / "snapshot"))
        assert not list((tmp_path / "snapshot").glob("*"))
