"""Rows that were approved or released and entries of a trail cannot be changed in place, and a change is noticed.

Every attack goes to the database itself, past the store: on PostgreSQL as the loader's account with the privileges that
the project recommends and as the tables' owner, on SQLite through the driver.
"""

import datetime as dt
import functools
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from tests.support import batches, releases
from tests.support.postgres import PostgresServer
from upath import UPath

from waitlist import paths
from waitlist.exceptions import ReconciliationError, RefusedError
from waitlist.judge.booking_request import row_hashes
from waitlist.judge.persons import ANSWERS
from waitlist.quality import FailureSeverity, Outcome, QualityResult
from waitlist.release import closing as closings
from waitlist.release import decisions as release
from waitlist.release import gates, ledger
from waitlist.release.receipts import follow, inbox, settling, words
from waitlist.release.receipts import store as receipts
from waitlist.release.receipts.rows import Receipt
from waitlist.settings import LEAST_LOG_DAYS
from waitlist.staging import (
    PIPELINE,
    BatchFile,
    BatchState,
    StagingStore,
    access_log,
    checkpoints,
    handoffs,
    log_verdicts,
    persons,
    post_outcomes,
    retention,
    sample_sizes,
    sample_verdicts,
    schema,
)
from waitlist.staging.dry_runs import read_dry_runs
from waitlist.staging.states import EventName, PostOutcome

RELEASED, WAITS, NIGHT = "vecka-1", "vecka-2", "natt-1"
FIXED = (
    schema.batch_file,
    schema.batch_partition,
    schema.bokningsbegaran_row,
    schema.disposition_row,
    schema.finding_row,
    schema.gate_result,
    schema.quality_result,
    schema.released_change,
    schema.unit_summary,
)
TRAILS = (
    schema.batch_event,
    schema.access_log,
    schema.log_verdict,
    schema.hand_off,
    schema.receipt,
    schema.settlement,
    schema.freed_post,
    schema.followed_post,
    schema.post_outcome,
    schema.sample_verdict,
    schema.sample_size,
    *schema.AUDIT,
    schema.ledger_post,
    schema.wave_closing,
)
OF_THE_LOG = (schema.access_log, schema.log_verdict, *schema.AUDIT)
"""Trails whose rows are of no batch."""
WITHOUT_BATCH = (*OF_THE_LOG, schema.wave_closing)
GUARDED = (*FIXED, *TRAILS, schema.batch, schema.released_post, schema.receipt_reason, schema.post_answer)
EMPTIED = (schema.followed_day, schema.receipt_inbox, schema.receipt_fault)
"""A day's counts are replaced, the inbox is emptied as it is read, and faulty receipts go with age."""
OF_NO_BATCH = (schema.person_status, schema.person_name, schema.service_rest, schema.service_check)
"""Replaced whenever the person service is asked; what a batch was judged by is in its folder."""
LOADER, PASSWORD = "waitlist_loader", "loader"


@dataclass(frozen=True)
class Site:
    """A released wave, one that awaits its approval and a night, and the accounts that reach the database."""

    store: StagingStore
    url: str
    accounts: Mapping[str, Callable[[], Any]]
    """Connections, each in autocommit, by the account's name."""

    @property
    def prefix(self) -> str:
        return f"{self.store.database.schema}." if self.store.database.schema else ""

    def tried(self, account: str, statement: str) -> str | None:
        """Run a statement; return why it was refused, None if it was not."""
        with closing(self.accounts[account]()) as connection:
            try:
                connection.execute(statement.replace("{}", self.prefix))
            except sqlite3.Error as error:
                return str(error)
            except psycopg.Error as error:
                return f"{error.sqlstate} {error}"
        return None


def fill(store: StagingStore) -> None:
    """Stage two waves and a night with rows in every table; release one wave and request approval of the other."""
    for batch_id, posts, kind in ((RELEASED, range(1, 25), "migration"), (WAITS, range(25, 50), "migration")):
        releases.verified(store, batch_id, posts, kind=kind, wave=batch_id)
        add_results(store, batch_id)
        release.request_approval(store, batch_id, releases.PASSED, PIPELINE, releases.NOW)
    release.release(store, RELEASED, "lead", None, releases.LATER)
    batches.verified(store, NIGHT)
    add_results(store, NIGHT)
    with store.database.writing() as connection:
        gates.write_gates(connection, NIGHT, releases.PASSED)
    # Never old enough to be removed, whenever the test runs.
    young = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
    look(store, young, 1)
    verdict = log_verdicts.Judged("a" * 32, 1, young, "lead", log_verdicts.Verdict.UNCLEAR, "x")
    assert log_verdicts.add(store.database, verdict)
    said = post_outcomes.Entry(1, 1, "", RELEASED, releases.NOW, "nurse", PostOutcome.BOOKED_PMO)
    post_outcomes.record(store.database, said, key="a request")
    right = dict.fromkeys(sample_verdicts.FIELDS, sample_verdicts.Verdict.RIGHT)
    stage = sample_verdicts.Stage.AFTER
    judged = sample_verdicts.Judged(1, "0" * 64, stage, 1, right, releases.NOW, "lead", RELEASED, "")
    assert sample_verdicts.add(store, judged) is sample_verdicts.Answer.KEPT
    with store.database.writing() as connection:
        sample_sizes.add_enlarged(connection, sample_sizes.Enlarged(RELEASED, 1, 200, 1, 0, releases.NOW, "lead"))
        handoffs.record(connection, handed(RELEASED))
        receipts.keep(connection, [rejected(RELEASED)], releases.LATER)
    close(store, RELEASED)
    add_decisions(store)
    checkpoints.make(store.database, at=releases.LATER)


def add_decisions(store: StagingStore) -> None:
    """Free a post, which is not free any more after another word, and settle the contradiction."""
    post = rejected(RELEASED).post_id
    said = settling.Decided(RELEASED, post, "lead", "Mottagaren har sagt det", releases.LATER)
    settling.free(store, said)
    with store.database.writing() as connection:
        word = words.Word("1" * 64, words.Outcome.BOOKED, releases.LATER + dt.timedelta(1), "m1", dt.date(2025, 3, 3))
        receipts.keep(connection, [Receipt(RELEASED, post, word, None)], releases.LATER)
    settling.settle(store, said, counts="1" * 64, heard=2)


def close(store: StagingStore, wave: str) -> None:
    day = releases.LATER.date()
    closings.close(store.database, wave, "lead", releases.REASON, releases.LATER, late_from=day, is_lead=True)


def look(store: StagingStore, at: dt.datetime, post_id: int) -> None:
    access_log.record(
        store,
        at=at,
        user_id="lead",
        action=access_log.Action.PERSONS,
        batch_id=NIGHT,
        unit="",
        acting_for="",
        patients={post_id: "198503142380"},
    )


def rejected(batch_id: str) -> Receipt:
    word = words.Word("0" * 64, words.Outcome.REJECTED, releases.LATER)
    return Receipt(batch_id, releases.migrating(range(1, 25))[0], word, "Patienten finns redan")


def handed(batch_id: str) -> handoffs.HandOff:
    return handoffs.HandOff(batch_id, "0" * 64, releases.LATER, 1, {"bokningsbegaran.csv": {"posts": 1}}, 0)


def add_results(store: StagingStore, batch_id: str) -> None:
    result = QualityResult("dates", "expect", "boka_fore", FailureSeverity.CRITICAL, 5, 0, 1.0, Outcome.PASSED)
    store.replace_quality(batch_id, "dates", [result])
    store.keep_file(batch_id, BatchFile("part-00000.parquet", 4, "0" * 64, "1" * 64, {"posts": 1}))
    change = {"batch_id": batch_id, "post_id": 900, "change": "gone", "columns": ""}
    batches.execute(store, schema.released_change.insert().values(change))


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    store = batches.store_of_its_own(request, tmp_path)
    url = store.engine.url.render_as_string(hide_password=False)
    if request.param == "sqlite":
        file = str(store.engine.url.database)
        yield Site(store, url, {"owner": lambda: sqlite3.connect(file, isolation_level=None)})
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        database = str(store.engine.url.database)
        owner = functools.partial(psycopg.connect, server.libpq(database), autocommit=True)
        loader = functools.partial(psycopg.connect, as_loader(server, database), autocommit=True)
        let_loader_in(owner)
        yield Site(store, url, {"owner": owner, "loader": loader})
    store.engine.dispose()


def as_loader(server: PostgresServer, database: str) -> str:
    return server.libpq(database).replace(f"postgres:{server.password}@", f"{LOADER}:{PASSWORD}@")


def let_loader_in(owner: Callable[[], Any]) -> None:
    grants = (paths.SQL / "staging" / "grant_loader.postgresql.sql").read_text(encoding="utf-8")
    with closing(owner()) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [LOADER]).fetchone():
            connection.execute(f"CREATE ROLE {LOADER}")
        # Other tests on the same server give the account another password.
        connection.execute(f"ALTER ROLE {LOADER} LOGIN PASSWORD '{PASSWORD}'")
        connection.execute(grants)


VALID = {
    "act": "added",
    "change": "changed",
    "disposition": "leave",
    "event": "open",
    "kind": "dry_run",
    "outcome": "failed",
    "state": "open",
    "verdict": "in_order",
}


def other(column: sa.Column[Any]) -> str:
    """Return another value that the column takes, as SQL."""
    number = isinstance(column.type, sa.BigInteger | sa.Integer)
    if column.primary_key:
        return f'"{column.name}" + 4711' if number else f"\"{column.name}\" || 'x'"
    if column.name in VALID:
        return f"'{VALID[column.name]}'"
    if isinstance(column.type, sa.Boolean):
        return f'NOT "{column.name}"'
    if isinstance(column.type, sa.Date):
        return "'2031-03-04'"
    if isinstance(column.type, schema.UtcDateTime):
        return "'2031-03-04 05:06:07'"
    return "4711" if number or isinstance(column.type, sa.Double) else "'annat'"


def listed(columns: Iterable[sa.Column[Any]]) -> str:
    return ", ".join(f'"{column.name}"' for column in columns)


def whose(table: sa.Table, batch_id: str) -> str:
    """Return the condition, as SQL, that a row is of a batch, which is also what sets that."""
    if table not in schema.ROWS_OF.values():
        return f"batch_id = '{batch_id}'"
    return f"batch_no = (SELECT b.batch_no FROM {{}}batch AS b WHERE b.batch_id = '{batch_id}')"


def changes(table: sa.Table, batch_id: str) -> Iterator[str]:
    """Yield every change of a batch's rows in place: each column, rows removed, added, moved in and moved out."""
    name = f"{{}}{table.name}"
    where = f"WHERE {whose(table, batch_id)}" if table not in WITHOUT_BATCH else "WHERE true"
    for column in table.columns:
        if column.name not in {"batch_id", "batch_no", "state"} or table in WITHOUT_BATCH:
            yield f'UPDATE {name} SET "{column.name}" = {other(column)} {where}'
    yield f"DELETE FROM {name} {where}"
    yield f"DELETE FROM {name}"
    keys = [column for column in table.primary_key.columns if column.name not in {"batch_id", "batch_no"}]
    if table in FIXED:
        shifted = ", ".join(f'"{key.name}" = {other(key)}' for key in keys if key.name != "disposition")
        yield f"UPDATE {name} SET {whose(table, batch_id)}, {shifted} WHERE {whose(table, NIGHT)}"
        yield f"UPDATE {name} SET {whose(table, NIGHT)}, {shifted} {where}"
    if table in FIXED or table is schema.released_post:
        copied = ", ".join(other(column) if column in keys else f'"{column.name}"' for column in table.columns)
        yield f"INSERT INTO {name} ({listed(table.columns)}) SELECT {copied} FROM {name} {where} LIMIT 1"


def replacements(table: sa.Table, dialect: str) -> Iterator[str]:
    """Yield the database's statements for replacing an existing row."""
    name, where = (
        f"{{}}{table.name}",
        f"WHERE {whose(table, RELEASED)}" if table not in WITHOUT_BATCH else "WHERE true",
    )
    rest = [column for column in table.columns if not column.primary_key]
    values = ", ".join(other(column) if column in rest else f'"{column.name}"' for column in table.columns)
    row = f"({listed(table.columns)}) SELECT {values} FROM {name} {where}"
    written = ", ".join(f'"{column.name}" = excluded."{column.name}"' for column in rest)
    yield f"INSERT INTO {name} {row} ON CONFLICT ({listed(table.primary_key.columns)}) DO UPDATE SET {written}"
    if dialect == "sqlite":
        yield f"INSERT OR REPLACE INTO {name} {row}"
        yield f"REPLACE INTO {name} {row}"
    else:
        yield f"TRUNCATE {name} CASCADE"
        same = " AND ".join(f'mine."{key.name}" = "{table.name}"."{key.name}"' for key in table.primary_key.columns)
        first = ", ".join(
            f'"{column.name}" = {other(column)}'.replace('NOT "', f'NOT {table.name}."') for column in rest
        )
        merged = f"MERGE INTO {name} USING (SELECT * FROM {name} {where}) AS mine ON {same}"
        yield f"{merged} WHEN MATCHED THEN UPDATE SET {first}"
        yield f"{merged} WHEN MATCHED THEN DELETE"


def attacks(dialect: str) -> list[str]:
    """Return the statements that must be refused: past the store, and in place."""
    states = {RELEASED: BatchState.RELEASED, WAITS: BatchState.AWAITING_APPROVAL}
    found = [
        *(statement for table in GUARDED for statement in changes(table, RELEASED)),
        *(statement for table in FIXED if table is not schema.gate_result for statement in changes(table, WAITS)),
        *(statement for table in GUARDED for statement in replacements(table, dialect)),
        *(
            f"UPDATE {{}}batch SET state = '{state}' WHERE batch_id = '{batch_id}'"
            for batch_id, now in states.items()
            for state in BatchState
            if state is not now
        ),
        f"UPDATE {{}}batch SET state = 'withdrawn', approved_by = 'x' WHERE batch_id = '{RELEASED}'",
        f"UPDATE {{}}batch SET state = 'released', released_at = '2024-10-01' WHERE batch_id = '{NIGHT}'",
        "INSERT INTO {}batch (batch_id, dag_id, run_id, kind, as_of, state, rules_version, started_at)"
        " VALUES ('new', '', '', 'migration', '2024-10-01', 'released', '', '2024-10-01')",
    ]
    if dialect == "sqlite":
        found += [
            f"UPDATE OR REPLACE {table.name} SET {whose(table, RELEASED)} WHERE {whose(table, NIGHT)}"
            for table in (schema.batch, *schema.ROWS_OF.values())
        ]
        found += [f"UPDATE OR REPLACE released_post SET post_id = 1 WHERE batch_id = '{RELEASED}'"]
    return found


def test_every_table_has_its_guard() -> None:
    guarded_or_not = {table.name for table in (*GUARDED, *OF_NO_BATCH, *EMPTIED)}
    assert guarded_or_not == {table.name for table in schema.METADATA.sorted_tables}


def test_every_change_in_place_is_refused(site: Site, attack_table: Callable[..., None]) -> None:
    fill(site.store)
    dialect = site.store.database.dialect
    before = {table.name: batches.rows(site.store, table) for table in GUARDED}
    statements = attacks(dialect)
    for account in site.accounts:
        said = {statement: site.tried(account, statement) for statement in statements}
        assert {table.name: batches.rows(site.store, table) for table in GUARDED} == before
        by = ("guard: ", "P0W01", *(["permission denied"] if account == "loader" else []))
        other_reasons = {statement: why for statement, why in said.items() if not why or not any(w in why for w in by)}
        assert other_reasons == {}, "what would have gone through, or was refused for another reason than the guards"
        attack_table(
            f"rows that are fixed and trails changed in place ({dialect}, as {account})",
            tries=len(said),
            held=sum(why is not None for why in said.values()),
        )
    assert release.verify_released(site.store, RELEASED) == len(releases.migrating(range(1, 25)))


def test_no_post_is_freed_and_no_answer_given_beyond_what_the_receiver_has_said(site: Site) -> None:
    fill(site.store)
    booked, silent = releases.migrating(range(1, 25))[:2]
    entry = "batch_id, post_id, entry_no, freed, row_hash, released_at, at, actor"
    freed = f"INSERT INTO {{}}freed_post ({entry}) SELECT batch_id, post_id, {{no}}, {{freed}}, row_hash, released_at,"
    freed += f" released_at, 'x' FROM {{}}released_post WHERE batch_id = '{RELEASED}' AND post_id = {{post}}"
    answer = "batch_id, post_id, answer, at, contradictions, receipt_key, words"
    told = f"INSERT INTO {{}}post_answer ({answer}) VALUES ('{RELEASED}', {silent}, '{{what}}', '2024-10-02', '', "
    statements = [
        *(freed.replace("{no}", str(no)).replace("{freed}", state).replace("{post}", str(post))
          for post, nos in ((booked, (3, 4)), (silent, (1, 2, 3))) for no in nos for state in ("true", "false")),
        f"DELETE FROM {{}}released_post WHERE batch_id = '{RELEASED}' AND post_id = {silent}",
        *(told.replace("{what}", what) + f"{key}, {count})"
          for what in ("rejected", "cancelled", "contradicted") for count in (0, 1, 2)
          for key in ("NULL", "'" + "0" * 64 + "'")),
        f"INSERT INTO {{}}settlement VALUES ('{RELEASED}', {silent}, 1, '{'0' * 64}', '', '2024-10-02', 'x', 'x')",
        f"DELETE FROM {{}}post_answer WHERE batch_id = '{RELEASED}' AND post_id = {booked}",
    ]  # fmt: skip
    before = {table.name: batches.rows(site.store, table) for table in GUARDED}
    for account in site.accounts:
        said = {statement: site.tried(account, statement) for statement in statements}
        assert [statement for statement, why in said.items() if not why] == []
        assert all("guard: " in (why or "") or "P0W01" in (why or "") for why in said.values()), said
    assert {table.name: batches.rows(site.store, table) for table in GUARDED} == before


def test_a_batch_that_nobody_has_been_asked_about_may_be_changed(site: Site) -> None:
    fill(site.store)
    for table in FIXED:
        last = list(table.columns)[-1]
        change = f'UPDATE {{}}{table.name} SET "{last.name}" = {other(last)} WHERE {whose(table, NIGHT)}'
        assert site.tried("owner", change) is None
        assert site.tried("owner", f"DELETE FROM {{}}{table.name} WHERE {whose(table, NIGHT)}") is None


DDL = [
    *(f"ALTER TABLE {{}}{table.name} DISABLE TRIGGER ALL" for table in GUARDED),
    *(f"DROP TABLE {{}}{table.name} CASCADE" for table in GUARDED),
    *(f"ALTER TABLE {{}}{table.name} RENAME TO gone" for table in GUARDED),
    *(f"DROP TRIGGER guard_update ON {{}}{table.name}" for table in GUARDED),
    "CREATE OR REPLACE FUNCTION {}refuse_frozen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "ALTER FUNCTION {}refuse_frozen() RESET search_path",
    "ALTER FUNCTION {}refuse_frozen_part() RESET search_path",
    "CREATE FUNCTION {}more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SET session_replication_role = replica",
    "CREATE SCHEMA ours",
    "DROP SCHEMA millennium_staging CASCADE",
    "ALTER VIEW {}bokningsbegaran_released RENAME TO gone",
    "CREATE OR REPLACE VIEW {}bokningsbegaran_released AS SELECT * FROM {}bokningsbegaran",
    f"GRANT ALL ON {{}}batch_event TO {LOADER}; UPDATE {{}}batch_event SET actor = 'x'",
    "UPDATE {}staging_version SET version_num = '0001'",
    # A temporary table of the session does not replace the table that the guards read.
    *(
        "CREATE TEMPORARY TABLE batch AS SELECT * FROM {}batch WHERE false; SET search_path = pg_temp;"
        f" DELETE FROM {{}}{table.name}"
        for table in FIXED
    ),
]


@pytest.mark.parametrize("site", ["postgresql"], indirect=True)
def test_the_loaders_account_cannot_remove_the_guards(site: Site, attack_table: Callable[..., None]) -> None:
    fill(site.store)
    held = [statement for statement in DDL if site.tried("loader", statement) is not None]
    attack_table("guards taken away by the loader's account", tries=len(DDL), held=len(held))
    assert release.verify_released(site.store, RELEASED) > 0


@pytest.mark.parametrize("site", ["postgresql"], indirect=True)
def test_every_step_of_a_batch_works_with_the_recommended_privileges(
    site: Site, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: PostgresServer = request.getfixturevalue("postgres")
    store = StagingStore(as_loader(server, str(site.store.engine.url.database)))
    store.migrate()
    releases.awaiting(store, "first", range(1, 40))
    release.release(store, "first", "lead", None, releases.NOW)
    assert release.verify_released(store, "first") > 0
    release.withdraw(store, "first", "lead", releases.REASON, releases.NOW)
    releases.awaiting(store, "second", range(1, 40))
    release.reject(store, "second", "lead", None, releases.NOW)
    releases.awaiting(store, "third", range(1, 40))
    release.request_approval(store, "third", releases.failing(releases.Gate.UNHANDLED_SHARE), PIPELINE, releases.NOW)
    release.release(store, "third", "lead", releases.REASON, releases.NOW)
    with store.holding("recording the hand-off of", "third") as (connection, _):
        handoffs.record(connection, handed("third"))
    cells = {"batch_id": "third", "post_id": "1", "outcome": "rejected", "reason": "x"}
    moment = {"at": releases.LATER.isoformat()}
    batches.execute(site.store, schema.receipt_inbox.insert().values([{**cells, **moment}, {**cells, "at": ""}]))
    assert inbox.take(store, releases.LATER) == (1, 1)
    with store.database.writing() as connection:
        for _ in range(2):
            follow.keep_day(connection, releases.LATER.date(), follow.count(connection, releases.LATER.date()))
    batches.verified(store, NIGHT)
    with store.database.connected() as connection:
        (run,) = read_dry_runs(connection)
    ledger.note_outcomes(store.database, run, releases.LATER)
    batches.verified(store, NIGHT)
    for moment in (releases.NOW, releases.LATER):
        persons.keep(store.database, ANSWERS.empty_table(), persons.COMPARISONS.empty_table(), asked_at=moment)
        persons.remove_older(store.database, moment)
        persons.DatabaseRest(store.database).rest_until(moment)
    for checksum in ("0" * 64, "1" * 64):
        store.keep_file(NIGHT, BatchFile("plan.json", 4, checksum, "", {}))
    look(store, releases.NOW, 1)
    with site.store.engine.connect() as connection:
        counted = "SELECT max(analyze_count) FROM pg_stat_user_tables WHERE starts_with(relname, 'disposition_row_')"
        assert connection.exec_driver_sql(counted).scalar() > 0
    for batch_id in ("first", "second", "third", NIGHT):
        removed = retention.remove(
            store, store.batch(batch_id), retention.Places(UPath(tmp_path), None), reason="old", now=releases.NOW
        )
        assert removed
    assert releases.shown(store) == []


def test_rows_of_a_wave_that_waits_cannot_be_removed_by_an_entry_in_its_trail(site: Site) -> None:
    fill(site.store)
    with pytest.raises(RefusedError, match="guard"):
        retention.remove(
            site.store, site.store.batch(WAITS), retention.Places(UPath("/nowhere"), None), reason="", now=releases.NOW
        )
    assert site.store.batch(WAITS).state is BatchState.AWAITING_APPROVAL


def test_an_entry_of_the_access_log_goes_after_five_years_and_a_month_and_no_sooner(site: Site) -> None:
    fill(site.store)
    period = dt.timedelta(LEAST_LOG_DAYS)
    today = dt.datetime.now(dt.UTC)
    for account in site.accounts:
        look(site.store, today - period + dt.timedelta(minutes=5), 2)
        look(site.store, today - period - dt.timedelta(minutes=5), 3)
        for younger in ("post_id = 2", "post_id IN (2, 3)", "true"):
            refused = site.tried(account, f"DELETE FROM {{}}access_log WHERE {younger}")
            assert any(word in (refused or "") for word in ("guard: ", "P0W01")), younger
        assert site.tried(account, "DELETE FROM {}access_log WHERE post_id = 3") is None
        assert [row["post_id"] for row in batches.rows(site.store, schema.access_log)].count(3) == 0


def test_a_purge_whose_clock_is_years_ahead_removes_no_entry_that_is_young(site: Site) -> None:
    fill(site.store)
    before = batches.rows(site.store, schema.access_log)
    with pytest.raises(RefusedError, match="guard"):
        access_log.remove_older(site.store.database, dt.datetime(2300, 1, 1, tzinfo=dt.UTC), now=releases.NOW)
    assert batches.rows(site.store, schema.access_log) == before


# Changes in spite of the guards


def consistently(store: StagingStore) -> None:
    """Change a booking request together with its hash."""
    table, post = schema.bokningsbegaran, schema.released_post
    with batches.unguarded(store) as connection:
        (first,) = connection.execute(sa.select(table).where(table.c.batch_id == RELEASED).limit(1)).mappings().all()
        row = {**first, "beskrivning": "Orsak: annan"}
        form = schema.arrow_rows(table)
        row["row_hash"] = row_hashes(pa.Table.from_pylist([row], schema=form))[0].as_py()
        key = sa.and_(table.c.batch_id == RELEASED, table.c.post_id == row["post_id"])
        written = {name: value for name, value in row.items() if name in form.names}
        connection.execute(table.update().where(key).values(written))
        connection.execute(post.update().where(post.c.post_id == row["post_id"]).values(row_hash=row["row_hash"]))


IN_PLACE = {
    "UPDATE {}bokningsbegaran_row SET beskrivning = 'x' WHERE": "do not match their row_hash",
    "DELETE FROM {}bokningsbegaran_row WHERE post_id = 1 AND": "their hashes differ",
    "DELETE FROM {}released_post WHERE post_id = 1 AND": "posts that differ between the view and released_post",
    "UPDATE {}released_post SET row_hash = 'x' WHERE": "posts that differ between the view and released_post",
    "UPDATE {}disposition_row SET disposition = 'leave' WHERE": "rows of disposition",
    "UPDATE {}finding_row SET detail = 'x' WHERE": "rows of finding",
    "DELETE FROM {}finding_row WHERE": "rows of finding",
    "UPDATE {}unit_summary SET posts = posts + 1 WHERE": "rows of unit_summary",
    "UPDATE {}quality_result SET outcome = 'failed' WHERE": "rows of quality_result",
    "UPDATE {}gate_result SET measured = 9 WHERE": "rows of gate_result",
    "UPDATE {}batch_partition SET posts = posts + 1 WHERE": "rows of batch_partition",
    "UPDATE {}batch_file SET sha256 = 'x' WHERE": "rows of batch_file",
    "UPDATE {}batch_file SET about = '[]' WHERE": "rows of batch_file",
    "UPDATE {}released_change SET change = 'changed' WHERE": "rows of released_change",
    "UPDATE {}batch SET as_of = '2024-01-01' WHERE": "another opening",
    "UPDATE {}batch SET wave = '9' WHERE": "another opening",
    "UPDATE {}batch SET rules_version = 'x' WHERE": "another opening",
    "UPDATE {}batch SET posts_staged = posts_staged + 1 WHERE": "other counts",
    "UPDATE {}batch SET approved_by = 'x' WHERE": "another approval",
    "UPDATE {}batch SET released_at = '2024-01-01 00:00:00' WHERE": "another approval",
    "UPDATE {}batch_event SET actor = 'x' WHERE event = 'released' AND": "another approval",
    "DELETE FROM {}batch_event WHERE event = 'staged' AND": "entries of its audit trail are missing",
    "DELETE FROM {}batch_event WHERE event = 'awaiting_approval' AND": "has no entry that approval",
    "UPDATE {}batch_event SET details = replace(details, 'hash\": \"', 'hash\": \"0') WHERE": "their hashes differ",
}
"""Changes of the released batch, each with the message of the proof."""


def proof_of(store: StagingStore) -> str:
    """Return the message of the proof of the released batch; nothing if the proof succeeds."""
    try:
        release.verify_released(store, RELEASED)
    except (ReconciliationError, RefusedError) as error:
        return str(error)
    return ""


def test_a_change_with_the_guards_off_is_noticed(site: Site, attack_table: Callable[..., None]) -> None:
    fill(site.store)
    assert proof_of(site.store) == ""
    whole = {table.name: batches.rows(site.store, table) for table in schema.READ}
    noticed = 0
    for change, said in IN_PLACE.items():
        with batches.unguarded(site.store) as connection:
            of_rows = next((table for table in schema.ROWS_OF.values() if f"{{}}{table.name} " in change), schema.batch)
            statement = f"{change} {whose(of_rows, RELEASED)}".replace("{}", site.prefix)
            done = connection.exec_driver_sql(statement)
        assert done.rowcount > 0, change
        assert said in proof_of(site.store), change
        noticed += 1
        batches._fill(site.store, whole)
    attack_table("changes with the guards off noticed by the proof", tries=len(IN_PLACE), held=noticed)


def test_a_request_changed_with_every_hash_of_it_is_noticed(site: Site) -> None:
    fill(site.store)
    consistently(site.store)
    with pytest.raises(ReconciliationError, match="their hashes differ"):
        release.verify_released(site.store, RELEASED)


def test_an_approval_of_the_release_before_without_digests_still_verifies(site: Site) -> None:
    fill(site.store)
    table = schema.batch_event.c
    trail = site.store.events(RELEASED)
    (asked,) = [event for event in trail if event.event is EventName.AWAITING_APPROVAL]
    assert asked.details["contents"].keys() == {table.name.removesuffix("_row") for table in FIXED} - {
        "bokningsbegaran"
    }
    told = json.dumps({name: value for name, value in asked.details.items() if name != "contents"})
    here = sa.and_(table.batch_id == RELEASED, table.event_no == asked.event_no)
    batches.execute(site.store, schema.batch_event.update().where(here).values(details=told))
    assert release.verify_released(site.store, RELEASED) > 0


def test_a_batch_whose_rows_retention_removed_says_so(site: Site, tmp_path: Path) -> None:
    fill(site.store)
    places = retention.Places(UPath(tmp_path), None)
    retention.remove(site.store, site.store.batch(RELEASED), places, reason="old", now=releases.LATER)
    with pytest.raises(RefusedError, match="retention removed its rows on 2024-10-01"):
        release.verify_released(site.store, RELEASED)
