"""Two batches of the same posts side by side, on both databases."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from tests.support import batches
from tests.support.airflow_home import sqlite_connection
from tests.support.batches import Chunk, chunk, execute, set_state

from waitlist.exceptions import StagingError
from waitlist.paths import PROJECT
from waitlist.reports import diff
from waitlist.reports.diff import Move, RuleDifference, post_ids, read_difference
from waitlist.staging import StagingStore, schema
from waitlist.staging.reconcile import PartitionEvidence, reconcile


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


def keep(store: StagingStore, batch_id: str, made: Chunk) -> None:
    """Stage, reconcile and verify a batch of one chunk."""
    batches.open_batch(store, batch_id)
    store.stage_partition(batch_id, None, None, [made])
    store.mark_staged(batch_id)
    posts = made.dispositions.num_rows
    evidence = [PartitionEvidence(None, None, posts)]
    reconcile(store, batch_id, source_posts=posts, evidence=evidence, now=batches.NOW)
    store.mark_verified(batch_id, batches.NOW)


def moved(made: Chunk, post_ids: Sequence[int], disposition: str, rule: str | None) -> Chunk:
    """Return a chunk in which some posts that did not migrate have another disposition and one finding."""
    rows = [
        row | ({"disposition": disposition} if row["post_id"] in post_ids else {})
        for row in made.dispositions.to_pylist()
    ]
    findings = [row for row in made.findings.to_pylist() if row["post_id"] not in post_ids]
    if rule:
        findings += [{"post_id": post, "rule": rule, "severity": "blocks", "detail": None} for post in post_ids]
    return Chunk(
        pa.Table.from_pylist(rows, schema=made.dispositions.schema),
        pa.Table.from_pylist(findings, schema=made.findings.schema),
        made.bokningsbegaran,
    )


POSTS = range(1, 41)
TO_MOVE = [post for post in POSTS if batches.disposition_of(post) == "move_to_sdv_list"]
TO_FIX = [post for post in POSTS if batches.disposition_of(post) == "fix_in_pmo"]
MIGRATING = [post for post in POSTS if batches.disposition_of(post) == "migrate"]


def listed(store: StagingStore) -> dict[str, list[int]]:
    return {title: list(posts) for title, posts in post_ids(store, "A", "B")}


def test_a_batch_does_not_differ_from_its_like(store: StagingStore) -> None:
    keep(store, "A", chunk(POSTS))
    keep(store, "B", chunk(POSTS))
    found = read_difference(store, "A", "B")
    assert all(move.before == move.after for move in found.moves)
    assert sum(move.posts for move in found.moves) == len(POSTS)
    assert (found.rewritten, found.rules) == (0, ())
    assert listed(store) == {}


def test_posts_are_counted_by_what_they_were_and_what_they_became(store: StagingStore) -> None:
    keep(store, "A", chunk(POSTS))
    keep(store, "B", moved(chunk(POSTS), TO_MOVE[:3], "fix_in_pmo", "DATE_EXPIRED"))
    found = read_difference(store, "A", "B")
    assert (found.before.batch_id, found.after.batch_id) == ("A", "B")
    assert [move for move in found.moves if move.before != move.after] == [Move("move_to_sdv_list", "fix_in_pmo", 3)]
    assert Move("migrate", "migrate", len(MIGRATING)) in found.moves
    assert sum(move.posts for move in found.moves) == len(POSTS)


def test_rules_are_counted_where_they_appeared_and_where_they_disappeared(store: StagingStore) -> None:
    keep(store, "A", moved(chunk(POSTS), TO_FIX[:2], "fix_in_pmo", "DATE_MISSING"))
    keep(store, "B", moved(chunk(POSTS), TO_MOVE[:3], "fix_in_pmo", "DATE_MISSING"))
    assert read_difference(store, "A", "B").rules == (
        RuleDifference("DATE_MISSING", 3, 2),
        RuleDifference("CATEGORY_NOT_MOVED", 0, 3),
    )


def test_posts_of_one_batch_alone_are_listed_apart_and_give_no_findings(store: StagingStore) -> None:
    keep(store, "A", chunk(range(1, 31)))
    keep(store, "B", chunk(range(11, 41)))
    found = read_difference(store, "A", "B")
    lost = {move.before: move.posts for move in found.moves if move.after is None}
    new = {move.after: move.posts for move in found.moves if move.before is None}
    assert (sum(lost.values()), sum(new.values())) == (10, 10)
    assert found.rules == ()
    titles = listed(store)
    assert sorted(post for title, posts in titles.items() if title.endswith("→ Finns inte") for post in posts) == list(
        range(1, 11)
    )
    assert titles["Finns inte → Migreras"] == [post for post in range(31, 41) if post in MIGRATING]


def test_requests_that_were_rewritten_are_counted_though_they_migrate_in_both(store: StagingStore) -> None:
    keep(store, "A", chunk(POSTS))
    keep(store, "B", chunk(POSTS, text="Orsak: ändrad"))
    with_text = [post for post in MIGRATING if post % 7]
    assert read_difference(store, "A", "B").rewritten == len(with_text)
    assert listed(store) == {"Migreras i båda, med ändrad bokningsbegäran": with_text}


def test_posts_are_named_heading_by_heading_in_order(store: StagingStore) -> None:
    keep(store, "A", chunk(POSTS))
    keep(store, "B", moved(chunk(POSTS), TO_MOVE[:3], "fix_in_pmo", "DATE_EXPIRED"))
    assert listed(store) == {
        "Flytta till SDV-väntelista → Åtgärda i PMO": TO_MOVE[:3],
        "Inte flyttad till SDV-väntelista (CATEGORY_NOT_MOVED), borta": TO_MOVE[:3],
        "Rött datum (DATE_EXPIRED), ny": TO_MOVE[:3],
    }


def test_a_batch_that_nobody_may_read_is_refused(store: StagingStore) -> None:
    keep(store, "A", chunk(POSTS))
    keep(store, "B", chunk(POSTS))
    set_state(store, "failed", "B")
    with pytest.raises(StagingError, match="batch B is failed"):
        read_difference(store, "A", "B")
    with pytest.raises(StagingError, match="batch C is unknown"):
        read_difference(store, "A", "C")


def test_a_batch_whose_posts_retention_removed_says_so(store: StagingStore) -> None:
    keep(store, "A", chunk(POSTS))
    keep(store, "B", chunk(POSTS))
    execute(store, schema.disposition.delete().where(schema.disposition.c.batch_id == "A"))
    with pytest.raises(StagingError, match="batch A has only its counts: retention has removed its posts"):
        read_difference(store, "A", "B")


class TestCommand:
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        url = f"sqlite:///{tmp_path / 'staging.sqlite'}"
        store = StagingStore(url)
        store.migrate()
        keep(store, "A", chunk(POSTS))
        keep(store, "B", moved(chunk(POSTS, text="Orsak: ändrad"), TO_MOVE[:3], "fix_in_pmo", "DATE_EXPIRED"))
        return url

    def test_prints_swedish_tables_that_add_up(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert diff.main(["--staging", url, "A", "B"]) == 0
        told = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        assert "Flytta till SDV-väntelista Åtgärda i PMO 3" in told
        assert f"Samma disposition i båda {len(POSTS) - 3}" in told
        assert "Rött datum DATE_EXPIRED 3 0" in told
        assert str(TO_MOVE[0]) not in told

    def test_names_the_posts_when_asked_to(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert diff.main(["--staging", url, "A", "B", "--posts"]) == 0
        told = capsys.readouterr().out.splitlines()
        place = told.index("Flytta till SDV-väntelista → Åtgärda i PMO")
        assert told[place + 1 : place + 4] == [str(post) for post in TO_MOVE[:3]]

    def test_says_why_it_cannot(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert diff.main(["--staging", url, "A", "X"]) == 1
        assert "batch X is unknown" in capsys.readouterr().err

    @pytest.mark.usefixtures("url")
    def test_takes_the_staging_database_from_the_airflow_connection(self, tmp_path: Path) -> None:
        given = {
            "A": "A",
            "B": "B",
            "POSTS": "1",
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "AIRFLOW_CONN_MILLENNIUM_STAGING": sqlite_connection(tmp_path / "staging.sqlite"),
        }
        done = subprocess.run(
            ["scripts/diff.sh"], env=os.environ | given, cwd=PROJECT, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Flytta till SDV-väntelista → Åtgärda i PMO" in done.stdout
