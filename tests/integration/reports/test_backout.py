"""What must return of a batch that a receiver may have: the posts, the files, and whom they name."""

import csv
import io
import stat
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from tests.integration.release.test_receipts import MIGRATING, NOW, WAVE, row, with_wave
from tests.integration.release.test_settling import say
from tests.support import batches
from tests.support.releases import LATER, REASON
from upath import UPath

from waitlist.exceptions import RefusedError, WorkListError
from waitlist.release import decisions as release
from waitlist.release.backout import BackOut, ToDo, read_backout
from waitlist.reports.backout import Content, make_files, write_files
from waitlist.reports.backout.__main__ import main
from waitlist.reports.pages.backout import read_backout_page
from waitlist.reports.pages.reading import UnknownError
from waitlist.staging import StagingStore, retention, schema
from waitlist.swedish.words import BACK_OUT_TO_DO, WORK_LIST_MASKED

CANCEL, BOOKED, REJECTED, CONTRADICTED, SILENT = MIGRATING[:5]
PROTECTED = next(post for post in MIGRATING if post % 5 == 0)
"""As ``batches.chunk`` makes them."""


@pytest.fixture
def store(tmp_path: Path) -> StagingStore:
    found = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}")
    found.migrate()
    with_wave(found)
    say(
        found, row(CANCEL, "accepted"), row(BOOKED, "booked"), row(REJECTED, "rejected"),
        row(CONTRADICTED, "accepted"), row(CONTRADICTED, "rejected", 2),
    )  # fmt: skip
    release.withdraw(found, WAVE, "Eva Öberg", REASON, NOW)
    return found


def read(store: StagingStore) -> BackOut:
    batch = store.batch(WAVE)
    with store.database.connected() as connection:
        return read_backout(connection, batch)


def made(store: StagingStore, *units: str) -> Content:
    return make_files(store, store.batch(WAVE), str, units=units)[1]


def add_night(store: StagingStore, change: dict[int, tuple[str, str]], **told: Any) -> None:
    """Add a verified night that found posts changed in PMO."""
    batches.open_batch(store, "natt-9", **{"as_of": NOW.date(), "started_at": NOW, **told})
    rows = [
        {"batch_id": "natt-9", "post_id": post, "change": kind, "columns": columns}
        for post, (kind, columns) in change.items()
    ]
    batches.execute(store, schema.released_change.insert().values(rows))
    batches.set_state(store, "verified", "natt-9")


def test_each_post_is_listed_with_what_must_be_done(store: StagingStore) -> None:
    found = {post.post_id: post for post in read(store).posts}
    assert sorted(found) == MIGRATING
    assert {post: found[post].to_do for post in (CANCEL, BOOKED, REJECTED, CONTRADICTED, SILENT)} == {
        CANCEL: ToDo.CANCEL, BOOKED: ToDo.BY_HAND, REJECTED: ToDo.NOTHING, CONTRADICTED: ToDo.ASK, SILENT: ToDo.ASK,
    }  # fmt: skip
    assert [post for post, one in found.items() if one.free] == [REJECTED]
    units = read(store).units
    assert sum(sum(unit.to_do.values()) for unit in units) == len(MIGRATING)
    assert sum(unit.free for unit in units) == 1


def test_what_pmo_has_changed_is_from_a_night_since_the_release_alone(store: StagingStore) -> None:
    add_night(
        store, {CANCEL: ("changed", "begart_slutdatum"), BOOKED: ("gone", "")}, started_at=LATER.replace(year=2023)
    )
    assert read(store).compared_with is None
    assert not any(post.changed or post.gone for post in read(store).posts)
    batches.execute(store, schema.batch.update().where(schema.batch.c.batch_id == "natt-9").values(started_at=NOW))
    found = {post.post_id: (post.changed, post.gone) for post in read(store).posts if post.changed or post.gone}
    assert found == {CANCEL: (("begart_slutdatum",), False), BOOKED: ((), True)}
    assert sum(unit.changed for unit in read(store).units) == 2


def test_the_workbook_and_the_csv_have_the_same_posts_and_mask_the_protected(store: StagingStore) -> None:
    add_night(store, {CANCEL: ("changed", "PROTECTED_IDENTITY, sekretess")})
    content = made(store)
    rows = list(csv.DictReader(io.StringIO(content.csv.decode("utf-8-sig")), delimiter=";"))
    assert [int(line["Post-id"]) for line in rows] == [post.post_id for post in read(store).posts]
    masked = {int(line["Post-id"]) for line in rows if line["Patient"] == WORK_LIST_MASKED}
    assert masked == {CANCEL, *(post for post in MIGRATING if post % 5 == 0)}
    assert {line["Personnummer"] == WORK_LIST_MASKED for line in rows if int(line["Post-id"]) in masked} == {True}
    text = content.csv.decode("utf-8-sig")
    assert f'Test Testsson {PROTECTED}"' not in text
    assert f'Test Testsson {SILENT}"' in text
    book = openpyxl.load_workbook(io.BytesIO(content.workbook))
    titles = [BACK_OUT_TO_DO[kind][:31] for kind in ToDo]
    listed = [line[2].value for title in titles for line in book[title].iter_rows(min_row=2)]
    assert sorted(listed) == MIGRATING
    everything = {str(cell.value) for sheet in book for line in sheet.iter_rows() for cell in line}
    assert f"Test Testsson {PROTECTED}" not in everything
    assert {post for posts in content.patients.values() for post in posts} == {*MIGRATING} - masked
    assert made(store) == content


def test_nothing_is_written_unless_the_access_log_has_whom_it_names(store: StagingStore, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise RefusedError("the access log is full")

    content, out = made(store), tmp_path / "out"
    with pytest.raises(RefusedError, match="full"):
        write_files(content, out, replace=False, recording=refuse)
    assert [path.name for path in out.iterdir()] == []
    paths = write_files(content, out, replace=False, recording=lambda *_: None)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    with pytest.raises(WorkListError, match="earlier files"):
        write_files(content, out, replace=False, recording=lambda *_: None)


def test_the_command_writes_both_files_logs_each_patient_and_says_how_many(
    store: StagingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--batch", WAVE, "--out", str(tmp_path / "out")]
    url = str(store.engine.url)
    monkeypatch.delenv("WAITLIST_ACTOR", raising=False)
    assert main(arguments, staging=url) == 1
    assert "WAITLIST_ACTOR" in capsys.readouterr().err
    monkeypatch.setenv("WAITLIST_ACTOR", "lena")
    assert main(arguments, staging=url) == 0
    said = capsys.readouterr().out
    assert "1 to cancel, 1 booked meanwhile" in said
    assert "withdrawn after the load" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"aterlamning-{WAVE}.csv", f"aterlamning-{WAVE}.xlsx",
    ]  # fmt: skip
    logged = batches.rows(store, schema.access_log)
    assert {(entry["user_id"], entry["action"], entry["batch_id"]) for entry in logged} == {
        ("lena", "back_out_file", WAVE)
    }
    assert {entry["post_id"] for entry in logged} == {post for post in MIGRATING if post % 5}
    assert main(arguments, staging=url) == 1
    assert main([*arguments[:1], "no-such", *arguments[2:]], staging=url) == 1


def test_one_unit_gets_its_own_posts_alone(store: StagingStore) -> None:
    content = made(store, batches.UNITS[0] or "")
    units = {row["post_id"]: row["enhet_hsa_id"] for row in batches.rows(store, schema.followed_post)}
    named = {
        int(line["Post-id"]) for line in csv.DictReader(io.StringIO(content.csv.decode("utf-8-sig")), delimiter=";")
    }
    assert named == {post for post, unit in units.items() if unit == batches.UNITS[0]}
    with pytest.raises(RefusedError, match="no post"):
        made(store, "SE2120009999-NOBODY")


def test_without_the_rows_there_are_no_files_and_the_list_still_has_the_posts(
    store: StagingStore, tmp_path: Path
) -> None:
    places = retention.Places(UPath(tmp_path / "snapshots"), None)
    assert retention.remove(store, store.batch(WAVE), places, reason="old", now=NOW)
    with pytest.raises(RefusedError, match="retention has removed its rows"):
        made(store)
    assert (read(store).left(ToDo.CANCEL), read(store).left(ToDo.BY_HAND)) == (1, 1)


def test_of_a_batch_that_no_receiver_may_have_nothing_must_return(tmp_path: Path) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'other.sqlite'}")
    store.migrate()
    with_wave(store)
    release.withdraw(store, WAVE, "Eva Öberg", REASON, NOW)
    with pytest.raises(RefusedError, match="nothing of it must return"):
        made(store)


def test_the_page_still_has_the_posts_when_retention_has_removed_the_rows(store: StagingStore, tmp_path: Path) -> None:
    places = retention.Places(UPath(tmp_path / "snapshots"), None)
    assert retention.remove(store, store.batch(WAVE), places, reason="old", now=NOW)
    page = read_backout_page(store, WAVE, str, 1)
    assert (page.purged, page.left[ToDo.CANCEL], page.left[ToDo.BY_HAND]) == (True, 1, 1)
    assert [post.post_id for post in page.posts if post.to_do is ToDo.CANCEL] == [CANCEL]


def test_a_batch_that_no_receiver_may_have_has_no_such_page(store: StagingStore) -> None:
    batches.set_state(store, "withdrawn", WAVE)
    with pytest.raises(UnknownError):
        read_backout_page(store, WAVE, str, 1)
