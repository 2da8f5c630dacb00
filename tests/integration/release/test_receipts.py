"""Receipts by file and by row: what is taken, what is refused whole, and the account of every released post."""

import csv
import datetime as dt
import io
import logging
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support import batches, posts, releases
from tests.support.postgres import PostgresServer
from tests.support.releases import LATER, REASON
from tests.support.runs import request
from upath import UPath

from waitlist import paths
from waitlist.exceptions import MappingError, ReceiptError
from waitlist.facts.receipt_columns import load_receipt_columns
from waitlist.release import closing, ledger
from waitlist.release import decisions as release
from waitlist.release.receipts import account, files, inbox
from waitlist.release.receipts import store as receipts_store
from waitlist.release.receipts.words import Answer, fold
from waitlist.reports import notices
from waitlist.reports.pages import batch as batch_page
from waitlist.settings import Settings
from waitlist.staging import StagingStore, retention, schema
from waitlist.steps.pipeline import Pipeline

WAVE = "vecka-1"
POSTS = [post for post in range(1, 60) if post % 3 != 2]
MIGRATING = releases.migrating(POSTS)
NOW = LATER + dt.timedelta(days=3)
SECRET = "Tolvan Tolvansson 191212121212"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    return with_wave(batches.empty_store(request, tmp_path))


@pytest.fixture
def of_sqlite(tmp_path: Path) -> StagingStore:
    store = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}")
    store.migrate()
    return with_wave(store)


def with_wave(store: StagingStore) -> StagingStore:
    releases.awaiting(store, WAVE, POSTS, wave="1")
    release.release(store, WAVE, "Eva Öberg", None, LATER)
    return store


def row(post: int, outcome: str, hours: float = 1, **more: str) -> dict[str, str]:
    found = {
        "batch_id": WAVE,
        "post_id": str(post),
        "outcome": outcome,
        "at": (LATER + dt.timedelta(hours=hours)).isoformat(),
        "millennium_id": "" if outcome == "rejected" else f"m{post}",
        "reason": SECRET if outcome == "rejected" else "",
        "booked_for": "2025-03-03" if outcome == "booked" else "",
    }
    return found | more


def text(rows: Iterable[dict[str, str]], columns: Iterable[str] = schema.RECEIPT_COLUMNS) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(columns))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def put(folder: Path, name: str, rows: Iterable[dict[str, str]]) -> None:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / name).write_bytes(text(rows))


def take(store: StagingStore, folder: Path, renamed: dict[str, str] | None = None) -> files.Taken:
    return files.take(store, UPath(folder / "in"), renamed or {}, NOW)


def there(folder: Path) -> set[str]:
    return {path.relative_to(folder / "in").as_posix() for path in (folder / "in").rglob("*") if not path.is_dir()}


def answers(store: StagingStore) -> dict[int, str]:
    return {row["post_id"]: row["answer"] for row in batches.rows(store, schema.post_answer)}


def counted(store: StagingStore) -> account.Account:
    batch = store.batch(WAVE)
    with store.database.connected() as connection:
        return account.read_account(connection, batch, account.approved_posts(store.events(WAVE)), purged=False)


NOTHING = {"unanswered": 0, "open": 0, "late": 0, "without_outcome": 0}

# Files


def test_a_good_file_is_taken_and_moved_and_every_post_is_accounted_for(store: StagingStore, tmp_path: Path) -> None:
    first, second, third, fourth, fifth = MIGRATING[:5]
    put(tmp_path, "a.csv", [row(first, "accepted"), row(second, "rejected"), row(third, "accepted")])
    put(tmp_path, "b.csv", [row(third, "booked", 2), row(fourth, "accepted"), row(fourth, "rejected", 2),
                            row(fifth, "booked"), row(fifth, "cancelled", 2)])  # fmt: skip
    assert take(store, tmp_path) == files.Taken(files=2, refused=0, receipts=8, new=8)
    assert there(tmp_path) == {"done/a.csv", "done/b.csv"}
    assert answers(store) == {
        first: "accepted", second: "rejected", third: "booked", fourth: "contradicted", fifth: "cancelled",
    }  # fmt: skip
    told = counted(store)
    assert (told.approved, told.shown, told.accepted, told.rejected, told.unanswered) == (
        len(MIGRATING), len(MIGRATING), 3, 1, len(MIGRATING) - 4,
    )  # fmt: skip
    assert told.adds_up
    reasons = batches.rows(store, schema.receipt_reason)
    assert [found["reason"] for found in reasons] == [SECRET, SECRET]


def test_the_same_rows_again_change_nothing_in_any_order_of_files(store: StagingStore, tmp_path: Path) -> None:
    rows = [
        row(post, outcome, hours) for post in MIGRATING[:4] for hours, outcome in enumerate(("accepted", "booked"), 1)
    ]
    put(tmp_path, "later.csv", rows[1::2])
    take(store, tmp_path)
    put(tmp_path, "earlier.csv", rows[::-1])
    assert take(store, tmp_path) == files.Taken(files=1, refused=0, receipts=8, new=4)
    before = batches.contents(store)
    put(tmp_path, "earlier.csv", [*rows, *rows])
    assert take(store, tmp_path).new == 0
    assert batches.contents(store) == before
    assert answers(store) == dict.fromkeys(MIGRATING[:4], "booked")
    assert there(tmp_path) == {"done/later.csv", "done/earlier.csv", "done/earlier.2.csv"}


ATTACKS: dict[str, tuple[Callable[[list[dict[str, str]]], bytes], list[str]]] = {
    "wrong encoding": (lambda rows: text(rows).replace(b"accepted", b"accept\xe9", 1), ["2: not UTF-8"]),
    "UTF-16": (lambda rows: text(rows).decode().encode("utf-16"), ["1: not UTF-8"]),
    "semicolons": (
        lambda rows: text(rows).replace(b",", b";"),
        ["1: separated by semicolons where commas are wanted"],
    ),
    "another column": (
        lambda rows: text([{**row, "namn": SECRET} for row in rows], [*schema.RECEIPT_COLUMNS, "namn"]),
        ["1: columns unknown: 'namn'"],
    ),
    "empty": (lambda _: b"", ["1: columns missing: 'at', 'batch_id', 'booked_for', 'millennium_id', 'outcome', "
                              "'post_id', 'reason'"]),
    "cut off": (lambda rows: text(rows)[:-30], []),
    "no CSV": (lambda rows: text(rows) + b'"a"b\n', ["6: no CSV: ',' expected after '\"'"]),
    "an unknown batch": (lambda rows: text([*rows, {**rows[0], "batch_id": SECRET}]),
                         ["6: batch_id: no released batch has this id"]),
    "a path": (lambda rows: text([*rows, {**rows[0], "batch_id": "../vecka-1"}]),
               ["6: batch_id: no released batch has this id"]),
    "an unknown post": (lambda rows: text([*rows, {**rows[0], "post_id": "2"}]),
                        ["6: post_id: the batch released no such post"]),
    "the future": (lambda rows: text([*rows, {**rows[0], "at": "2031-01-01T00:00:00Z"}]),
                   ["6: at: more than five minutes ahead"]),
    "a formula": (lambda rows: text([*rows, {**rows[0], "post_id": "=1+1", "outcome": "@SUM(A1)"}]),
                  ["6: post_id: no whole number", "6: outcome: not one of accepted, rejected, booked, cancelled"]),
    "control characters": (lambda rows: text([*rows, {**rows[0], "outcome": "acc\x00epted"}]), []),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_bad_file_is_refused_whole_with_every_fault(
    of_sqlite: StagingStore, tmp_path: Path, attack: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, faults = ATTACKS[attack]
    (tmp_path / "in").mkdir()
    content = make([row(post, "accepted") for post in MIGRATING[:4]])
    (tmp_path / "in" / f"{SECRET}.csv").write_bytes(content)
    before = batches.contents(of_sqlite)
    with caplog.at_level(logging.DEBUG):
        assert take(of_sqlite, tmp_path) == files.Taken(files=0, refused=1, receipts=0, new=0)
    assert batches.contents(of_sqlite) == before
    assert there(tmp_path) == {f"refused/{SECRET}.csv", f"refused/{SECRET}.csv.faults.txt"}
    assert (tmp_path / "in" / "refused" / f"{SECRET}.csv").read_bytes() == content
    told = (tmp_path / "in" / "refused" / f"{SECRET}.csv.faults.txt").read_text(encoding="utf-8").splitlines()
    # A file that is not UTF-8 is read on, so that its other faults are named too.
    assert told
    assert told[: len(faults)] == faults
    assert len(told) == len(faults) or attack in {"wrong encoding", "UTF-16", "cut off", "control characters"}
    assert "Tolvan" not in caplog.text
    assert "Tolvan" not in "".join(told)


def test_one_bad_row_of_many_refuses_all_of_them(store: StagingStore, tmp_path: Path) -> None:
    many = [row(post, "accepted", 1 + hour / 1000) for hour in range(40) for post in MIGRATING]
    put(tmp_path, "many.csv", [*many, row(MIGRATING[0], "accepted", -1)])
    assert take(store, tmp_path).refused == 1
    assert batches.rows(store, schema.receipt) == []
    (faults,) = (tmp_path / "in" / "refused").glob("*.faults.txt")
    assert faults.read_text() == f"{len(many) + 2}: at: before the release of the batch\n"


def test_a_byte_order_mark_and_excels_blank_rows_are_taken(of_sqlite: StagingStore, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    content = b"\xef\xbb\xbf" + text([row(MIGRATING[0], "accepted")]) + b",,,,,,\r\n"
    (tmp_path / "in" / "A.CSV").write_bytes(content)
    assert take(of_sqlite, tmp_path).new == 1


def test_links_and_folders_are_refused_and_nothing_they_lead_to_is_touched(
    of_sqlite: StagingStore, tmp_path: Path
) -> None:
    put(tmp_path, "good.csv", [row(MIGRATING[0], "accepted")])
    outside = tmp_path / "outside.csv"
    outside.write_bytes(text([row(MIGRATING[1], "accepted")]))
    (tmp_path / "in" / "link.csv").symlink_to(outside)
    (tmp_path / "in" / "nowhere.csv").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in" / "folder.csv").mkdir()
    (tmp_path / "in" / ".hidden.csv").write_bytes(b"x")
    (tmp_path / "in" / "half.csv.part").write_bytes(b"x")
    assert take(of_sqlite, tmp_path) == files.Taken(files=1, refused=3, receipts=1, new=1)
    assert outside.exists()
    assert answers(of_sqlite) == {MIGRATING[0]: "accepted"}
    assert {name for name in there(tmp_path) if "/" not in name} == {".hidden.csv", "half.csv.part"}


def test_a_receivers_own_columns_are_renamed(of_sqlite: StagingStore, tmp_path: Path) -> None:
    (tmp_path / "receipt_columns.csv").write_text(
        "namn,kolumn,owner,note\nkorning,batch_id,,\nutfall,outcome,,\nskickad_av,,,läses inte\n", encoding="utf-8"
    )
    renamed = load_receipt_columns(tmp_path, schema.RECEIPT_COLUMNS)
    theirs = {"batch_id": "korning", "outcome": "utfall"}
    rows = [{theirs.get(name, name): cell for name, cell in row(MIGRATING[0], "accepted").items()}]
    columns = [*(theirs.get(name, name) for name in schema.RECEIPT_COLUMNS), "skickad_av"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_bytes(text([{**found, "skickad_av": "x"} for found in rows], columns))
    assert files.take(of_sqlite, UPath(tmp_path / "in"), renamed, NOW).new == 1
    (tmp_path / "receipt_columns.csv").write_text("namn,kolumn,owner,note\na,at,,\na,at,,\nb,fel,,\n")
    with pytest.raises(MappingError) as fault:
        load_receipt_columns(tmp_path, schema.RECEIPT_COLUMNS)
    assert [line.split(":")[1] for line in str(fault.value).splitlines()[1:]] == ["3", "3", "4"]


def test_a_folder_that_cannot_be_read_is_no_bad_file(of_sqlite: StagingStore, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")
    with pytest.raises(ReceiptError, match="could not be read or written"):
        take(of_sqlite, tmp_path)


# The inbox


def insert(store: StagingStore, *rows: dict[str, str]) -> None:
    with store.database.writing() as connection:
        connection.execute(schema.receipt_inbox.insert(), list(rows))


def test_rows_of_the_inbox_are_taken_or_stand_with_their_faults(store: StagingStore) -> None:
    good, bad = row(MIGRATING[0], "rejected"), row(MIGRATING[1], "accepted", batch_id="fel", at="i går")
    insert(store, good, bad, dict.fromkeys(schema.RECEIPT_COLUMNS), good)  # type: ignore[arg-type,dict-item]
    assert inbox.take(store, NOW) == (2, 2)
    assert batches.rows(store, schema.receipt_inbox) == []
    assert answers(store) == {MIGRATING[0]: "rejected"}
    first, second = batches.rows(store, schema.receipt_fault)
    assert {name: first[name] for name in schema.RECEIPT_COLUMNS} == bad
    assert [fault.split(":")[0] for fault in first["faults"].splitlines()] == ["batch_id", "at"]
    assert [fault.split(":")[0] for fault in second["faults"].splitlines()][:2] == ["batch_id", "post_id"]
    insert(store, row(MIGRATING[1], "accepted", batch_id="fel"))
    assert inbox.take(store, NOW) == (0, 1)
    assert len(batches.rows(store, schema.receipt_fault)) == 3


def test_a_receivers_account_may_insert_and_nothing_else(request: pytest.FixtureRequest) -> None:
    server: PostgresServer = request.getfixturevalue("postgres")
    database = server.create_database()
    store = StagingStore(server.libpq(database))
    store.migrate()
    with_wave(store)
    grants = (paths.SQL / "staging" / "grant_receiver.postgresql.sql").read_text(encoding="utf-8")
    with psycopg.connect(server.libpq(database), autocommit=True) as owner:
        if not owner.execute("SELECT 1 FROM pg_roles WHERE rolname = 'waitlist_receiver'").fetchone():
            owner.execute("CREATE ROLE waitlist_receiver LOGIN PASSWORD 'receiver'")
        owner.execute(grants)
    url = server.libpq(database).replace(f"postgres:{server.password}@", "waitlist_receiver:receiver@")
    cells = row(MIGRATING[0], "accepted")
    with psycopg.connect(url, autocommit=True) as receiver:
        names, values = ", ".join(cells), ", ".join(f"'{cell}'" for cell in cells.values())
        receiver.execute(f"INSERT INTO millennium_staging.receipt_inbox ({names}) VALUES ({values})")
        refused = [
            "SELECT * FROM millennium_staging.receipt_inbox",
            "DELETE FROM millennium_staging.receipt_inbox",
            "UPDATE millennium_staging.receipt_inbox SET outcome = 'booked'",
            *(f"SELECT * FROM {table.schema}.{table.name}" for table in schema.METADATA.sorted_tables),
            "INSERT INTO millennium_staging.receipt_reason VALUES ('a', 'b', 'c')",
        ]
        for statement in refused:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                receiver.execute(statement)
    assert inbox.take(store, NOW) == (1, 0)


# The account, and follow-up


def test_an_account_that_does_not_add_up_says_so(of_sqlite: StagingStore) -> None:
    table = schema.bokningsbegaran
    batches.execute(of_sqlite, table.delete().where(table.c.post_id == MIGRATING[0]))
    told = counted(of_sqlite)
    assert (told.shown, told.differing, told.adds_up) == (len(MIGRATING) - 1, 1, False)


def test_the_answers_are_those_of_the_receipts_themselves(store: StagingStore, tmp_path: Path) -> None:
    said = ("accepted", "booked", "cancelled")
    rows = [row(post, what, at) for post in MIGRATING[:6] for at, what in enumerate(said[: post % 4], 1)]
    put(tmp_path, "a.csv", rows)
    take(store, tmp_path)
    with store.database.connected() as connection:
        said_of = receipts_store.words_of(connection, WAVE, MIGRATING)
    assert {post: fold(words).answer.value for post, words in said_of.items()} == answers(store)


def test_open_and_late_posts_are_followed_beyond_the_batchs_rows(store: StagingStore, tmp_path: Path) -> None:
    put(tmp_path, "a.csv", [row(post, "accepted") for post in MIGRATING] + [row(MIGRATING[0], "booked", 2)])
    take(store, tmp_path)
    removed = retention.remove(
        store, store.batch(WAVE), retention.Places(UPath(tmp_path / "snapshots"), None), reason="old", now=NOW
    )
    assert removed
    begin = batches.BEGIN + dt.timedelta(days=30)
    with store.database.connected() as connection:
        units = account.read_open(connection, begin + dt.timedelta(days=MIGRATING[2]))
    assert sum(unit.posts for unit in units) == len(MIGRATING) - 1
    assert sum(unit.late for unit in units) == 1
    assert {unit.enhet_hsa_id for unit in units} == set(batches.UNITS[:2])


def test_reasons_go_with_the_rows_of_their_batch_and_not_before(store: StagingStore, tmp_path: Path) -> None:
    put(tmp_path, "a.csv", [row(post, "rejected") for post in MIGRATING])
    take(store, tmp_path)
    places = retention.Places(UPath(tmp_path / "snapshots"), None)
    held = retention.remove(store, store.batch(WAVE), places, reason="old", now=NOW)
    assert held is not None
    assert held.rows["receipt_reason"] == len(MIGRATING)
    assert batches.rows(store, schema.receipt_reason) == []
    assert set(answers(store).values()) == {"rejected"}


# The steps


def pipeline(store: StagingStore, folder: Path, **settings: Any) -> tuple[Pipeline, list[notices.Notice]]:
    url = store.engine.url.render_as_string(hide_password=False)
    steps = Pipeline(
        Settings(mappings_dir=paths.MAPPINGS, **settings),
        snapshots=UPath(folder / "snapshots"),
        pmo=str,
        staging=lambda: url,
        receipts=UPath(folder / "in"),
    )
    return steps, []


def test_the_step_takes_both_ways_in_and_tells_what_was_refused(
    of_sqlite: StagingStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    steps, sent = pipeline(of_sqlite, tmp_path)
    put(tmp_path, "good.csv", [row(MIGRATING[0], "accepted")])
    put(tmp_path, "bad.csv", [row(MIGRATING[1], "accepted", batch_id="fel")])
    insert(of_sqlite, row(MIGRATING[1], "rejected"), row(MIGRATING[2], "fel"))
    told = steps.take_receipts(sent.append, now=NOW)
    assert told == {"files": 1, "files_refused": 1, "receipts": 1, "inbox_rows": 1, "inbox_faulty": 1}
    assert [notice.subject for notice in sent] == ["Väntelistorna: kvittenser kunde inte tas emot"]
    assert steps.take_receipts(sent.append, now=NOW) == dict.fromkeys(told, 0)
    assert len(sent) == 1
    steps.watch_receipts(sent.append, now=NOW)
    assert "Tolvan" not in "".join([caplog.text, str(told), *(notice.text for notice in sent)])


def test_the_leads_are_told_of_unanswered_posts_after_a_day_and_of_late_ones(
    of_sqlite: StagingStore, tmp_path: Path
) -> None:
    steps, sent = pipeline(of_sqlite, tmp_path)
    with of_sqlite.database.connected() as connection:
        owed = ledger.count_missing(connection)["1"]
    day = dt.timedelta(hours=24)
    assert steps.watch_receipts(sent.append, now=LATER + day) == {**NOTHING, "without_outcome": owed}
    told = [notice.subject for notice in sent]
    assert told == [f"Väntelistorna: utan utfall: {owed}"], "no unit is planned to go live with the wave any more"
    assert steps.watch_receipts(sent.append, now=LATER + day + dt.timedelta(seconds=1))["unanswered"] == len(MIGRATING)
    assert sent[-1].subject == f"Väntelistorna: obesvarade poster: {len(MIGRATING)}, utan utfall: {owed}"
    assert f"- våg 1: {len(MIGRATING)}" in sent[-1].text
    put(tmp_path, "a.csv", [row(post, "accepted") for post in MIGRATING])
    steps.take_receipts(sent.append, now=NOW)
    last = batches.BEGIN + dt.timedelta(days=30 + MIGRATING[0] - 13)
    told = steps.watch_receipts(sent.append, now=dt.datetime.combine(last, dt.time(12), dt.UTC))
    assert told == {**NOTHING, "open": len(MIGRATING), "late": 1, "without_outcome": owed}
    assert sent[-1].subject == f"Väntelistorna: sena att bokas: 1, utan utfall: {owed}"
    assert f"totalt {len(MIGRATING)} poster, varav 1 sena" in sent[-1].text
    assert f"saknar utfall:\n- våg 1: {owed}\n" in sent[-1].text
    days = batches.rows(of_sqlite, schema.followed_day)
    assert {row["day"]: sum(of["open"] for of in days if of["day"] == row["day"]) for row in days} == {
        (LATER + day).date() + dt.timedelta(days=1): 0, last: len(MIGRATING),
    }  # fmt: skip
    assert SECRET not in "".join(notice.text for notice in sent)


def test_the_nights_go_on_after_the_last_go_live_until_the_last_post_is_booked(
    of_sqlite: StagingStore, tmp_path: Path
) -> None:
    shutil.copytree(paths.MAPPINGS, tmp_path / "mappings")
    with (tmp_path / "mappings" / "units.csv").open("a", encoding="utf-8") as file:
        file.write("SE162321000000-DEMO1,Demo,Pv,2024-11-04,1,,,,,,\n")
    url = of_sqlite.engine.url.render_as_string(hide_password=False)
    steps = Pipeline(
        Settings(mappings_dir=tmp_path / "mappings"), snapshots=UPath(tmp_path), pmo=str, staging=lambda: url
    )
    then = dt.datetime(2025, 3, 1, 4, tzinfo=dt.UTC)
    night = request("late", as_of=then.date())
    assert not steps.is_past_last_go_live(night, now=then), "posts that the wave left behind have no outcome"
    closing.close(of_sqlite.database, "1", "lead", REASON, NOW, late_from=NOW.date(), is_lead=True)
    assert steps.is_past_last_go_live(night, now=then)
    assert steps.nights(now=then) is None
    insert(of_sqlite, row(MIGRATING[0], "accepted"))
    inbox.take(of_sqlite, NOW)
    assert not steps.is_past_last_go_live(night, now=then)
    assert steps.nights(now=then) is not None, "a night that does not come is noticed"
    insert(of_sqlite, row(MIGRATING[0], "booked", 2))
    inbox.take(of_sqlite, NOW)
    assert steps.is_past_last_go_live(night, now=then)


def test_without_a_receiver_leads_are_told_of_outcomes_alone_and_after_the_last_go_live_of_the_wave(
    of_sqlite: StagingStore, tmp_path: Path
) -> None:
    shutil.copytree(paths.MAPPINGS, tmp_path / "mappings")
    units = tmp_path / "mappings" / "units.csv"
    header = units.read_text(encoding="utf-8").splitlines()[0]
    row_of = "SE162321000000-DEMO{},Demo,Pv,2024-11-0{},1,,,,,,"
    units.write_text("\n".join([header, row_of.format(1, 4), row_of.format(2, 6), ""]), encoding="utf-8")
    url = of_sqlite.engine.url.render_as_string(hide_password=False)
    steps = Pipeline(
        Settings(mappings_dir=tmp_path / "mappings"), snapshots=UPath(tmp_path), pmo=str, staging=lambda: url
    )
    last = dt.datetime(2024, 11, 6, 4, tzinfo=dt.UTC)
    told = steps.watch_receipts(pytest.fail, now=last - dt.timedelta(days=1))
    assert told == {**NOTHING, "without_outcome": told["without_outcome"]}
    assert batches.rows(of_sqlite, schema.followed_day) == [], "nobody knows what is booked"
    sent: list[notices.Notice] = []
    assert steps.watch_receipts(sent.append, now=last) == told
    assert [notice.subject for notice in sent] == [f"Väntelistorna: utan utfall: {told['without_outcome']}"]
    closing.close(of_sqlite.database, "1", "lead", REASON, NOW, late_from=NOW.date(), is_lead=True)
    assert steps.watch_receipts(pytest.fail, now=last) == NOTHING


def test_a_batch_with_unanswered_posts_keeps_its_rows(of_sqlite: StagingStore, tmp_path: Path) -> None:
    steps, sent = pipeline(of_sqlite, tmp_path)
    late = NOW + dt.timedelta(days=800)
    assert steps.remove_expired(late.date(), keep_days=None, only_tell=False, now=late)["rows"] == 0
    put(tmp_path, "a.csv", [row(post, "accepted") for post in MIGRATING])
    steps.take_receipts(sent.append, now=NOW)
    assert steps.remove_expired(late.date(), keep_days=None, only_tell=False, now=late)["rows"] > 0


def test_the_page_has_the_account(of_sqlite: StagingStore, tmp_path: Path) -> None:
    assert batch_page.read_batch(of_sqlite, WAVE, suites=()).account is None
    put(tmp_path, "a.csv", [row(MIGRATING[0], "accepted")])
    take(of_sqlite, tmp_path)
    found = batch_page.read_batch(of_sqlite, WAVE, suites=(), late_from=dt.date(2031, 1, 1))
    assert found.account is not None
    assert found.account.answers[Answer.UNANSWERED] == len(MIGRATING) - 1
    assert [(unit.posts, unit.late) for unit in found.followed] == [(1, 1)]


def test_a_withdrawn_batch_takes_no_receipts(of_sqlite: StagingStore, tmp_path: Path) -> None:
    release.withdraw(of_sqlite, WAVE, "Eva Öberg", REASON, LATER)
    put(tmp_path, "a.csv", [row(MIGRATING[0], "accepted")])
    assert take(of_sqlite, tmp_path).refused == 1


def test_names_of_units_are_in_the_message() -> None:
    unit = posts.unit("SE162321000000-DEMO1", None, "Pv")
    mappings = posts.context(units=(unit,)).mappings
    open_ = account.Open("SE162321000000-DEMO1", 12, 3)
    told = notices.not_booked([("2", 7), (None, 1)], 24, [open_], {"2": 3}, mappings)
    assert told.subject == "Väntelistorna: obesvarade poster: 8, sena att bokas: 3, utan utfall: 3"
    assert f"- {unit.enhet}: 12, varav 3 sena" in told.text
    assert "- utan våg: 1" in told.text
