"""The accounts of ``sql/staging/roles.sql``, on a real server: each does its work, and nothing else."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from fastapi.testclient import TestClient
from tests.integration.staging.test_chain import KEY, signed_by
from tests.security import test_access as addresses
from tests.security import test_staging_guards as guards
from tests.support import batches, dashboards, releases, runs, worklists
from tests.support.dump import dump
from tests.support.postgres import PostgresServer
from upath import UPath

from waitlist import paths
from waitlist.exceptions import StagingError
from waitlist.judge.persons import ANSWERS
from waitlist.release import decisions as release
from waitlist.release.handoff import writing
from waitlist.release.handoff.content import Content
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.staging import (
    PIPELINE,
    BatchState,
    StagingStore,
    access_log,
    checkpoints,
    log_verdicts,
    persons,
    post_outcomes,
    retention,
    sample_sizes,
    sample_verdicts,
    schema,
)
from waitlist.staging.events import entry
from waitlist.staging.migrate import ACCOUNTS, grant
from waitlist.staging.states import EventName, PostOutcome
from waitlist.steps.backup import back_up, restore
from waitlist.steps.pipeline import Pipeline
from waitlist_airflow.web import errors

PASSWORD = "role"
WAVE = guards.RELEASED
WITH_UNITS = [post for post in range(1, 60) if post % 3 != 2]
ADDS = {
    "loader": {
        "audit_link", "batch", "batch_event", "batch_file", "batch_partition", "gate_result", "person_name",
        "person_status", "post_outcome", "quality_result", "released_change", "service_check", "service_rest",
        "unit_summary",
    },
    "releaser": {
        "access_log", "audit_checkpoint", "audit_link", "batch_event", "followed_post", "freed_post", "gate_result",
        "hand_off", "ledger_post", "person_name", "person_status", "released_post", "service_rest",
    },
    "receipts": {
        "audit_link", "batch_event", "followed_day", "freed_post", "post_answer", "receipt", "receipt_fault",
        "receipt_reason", "released_post",
    },
    "dashboard": {
        "access_log", "audit_link", "batch_event", "freed_post", "log_verdict", "post_answer", "post_outcome",
        "released_post", "sample_size", "sample_verdict", "settlement", "wave_closing",
    },
}  # fmt: skip
REMOVES = {
    "loader": {
        "batch_file", "batch_partition", "gate_result", "person_name", "person_status", "quality_result",
        "released_change", "service_check", "unit_summary",
    },
    "releaser": {
        "access_log", "batch_file", "batch_partition", "gate_result", "log_verdict", "person_name", "person_status",
        "receipt_fault", "receipt_reason", "released_change", "released_post",
    },
    "receipts": {"followed_day", "post_answer", "receipt_inbox", "released_post"},
    "dashboard": {"post_answer", "released_post"},
}  # fmt: skip
CHANGES = {"loader": {"batch", "service_rest"}, "releaser": {"service_rest"}, "receipts": set(), "dashboard": set()}
HIDDEN = {
    "loader": {"access_log", "log_verdict", "receipt_fault", "receipt_inbox", "receipt_reason"},
    "releaser": {"receipt_inbox"},
    "receipts": {
        "access_log", "audit_checkpoint", "batch_file", "batch_partition", "bokningsbegaran", "bokningsbegaran_row",
        "disposition", "disposition_row", "finding", "finding_row", "gate_result", "hand_off", "ledger_post",
        "log_verdict", "person_name", "person_status", "post_outcome", "quality_result", "released_change",
        "sample_size", "sample_verdict", "service_check", "service_rest", "unit_summary",
    },
    "dashboard": {"person_name", "receipt_fault", "receipt_inbox", "service_check", "service_rest"},
}  # fmt: skip
"""The tables that an account cannot even read."""


@dataclass(frozen=True)
class Staging:
    """A database that the owner's account has made and the administrator has given to nobody else."""

    server: PostgresServer
    database: str
    connections: dict[str, psycopg.Connection] = field(default_factory=dict)
    """Of each account that has tried a statement."""

    def url(self, account: str) -> str:
        url = self.server.libpq(self.database)
        return url.replace(f"postgres:{self.server.password}@", f"waitlist_{account}:{PASSWORD}@")

    def store(self, account: str) -> StagingStore:
        return StagingStore(self.url(account))

    def tried(self, account: str, statement: str) -> str | None:
        """Run a statement; return the state with which it was refused, None if it was not."""
        if account not in self.connections:
            self.connections[account] = psycopg.connect(self.url(account))
        try:
            self.connections[account].execute(statement)
        except psycopg.Error as error:
            return error.sqlstate
        finally:
            self.connections[account].rollback()
        return None


@pytest.fixture(scope="module")
def made_by_owner(postgres: PostgresServer) -> Staging:
    made = Staging(postgres, postgres.create_database())
    for _ in range(2):
        make_roles(made)
    with psycopg.connect(postgres.libpq(made.database), autocommit=True) as administrator:
        for account in ("waitlist_owner", *ACCOUNTS):
            administrator.execute(f"ALTER ROLE {account} LOGIN PASSWORD '{PASSWORD}'")
    owner = made.store("owner")
    owner.migrate()
    for _ in range(2):
        grant(owner.database)
    owner.engine.dispose()
    return made


@pytest.fixture
def staging(made_by_owner: Staging) -> Iterator[Staging]:
    server = made_by_owner.server
    copy = Staging(server, server.copy_database(made_by_owner.database))
    # The rights in a database are not copied with it.
    make_roles(copy)
    yield copy
    for connection in copy.connections.values():
        connection.close()


def make_roles(staging: Staging) -> None:
    with psycopg.connect(staging.server.libpq(staging.database), autocommit=True) as administrator:
        administrator.execute((paths.SQL / "staging" / "roles.sql").read_text(encoding="utf-8"))


def test_the_owner_migrates_and_owns_everything(staging: Staging) -> None:
    with psycopg.connect(staging.url("owner")) as connection:
        owners = connection.execute(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class"
            " WHERE relnamespace = 'millennium_staging'::regnamespace"
        ).fetchall()
    assert owners == [("waitlist_owner",)]


def test_the_owner_backs_up_and_restores(staging: Staging, tmp_path: Path) -> None:
    owner = staging.store("owner")
    batches.verified(staging.store("loader"))
    before = dump(owner)
    back_up(owner, UPath(tmp_path / "snapshots"), tmp_path / "backup", made_at=runs.NOW, tell=print)
    with psycopg.connect(staging.url("owner"), autocommit=True) as connection:
        connection.execute("DROP SCHEMA millennium_staging CASCADE")
    owner.engine.dispose()
    restore(owner, UPath(tmp_path / "snapshots"), tmp_path / "backup", tell=print)
    assert dump(owner) == before


def test_the_loader_takes_every_step_of_a_night_and_of_a_wave_up_to_its_question(
    staging: Staging, tmp_path: Path
) -> None:
    steps = made_steps(staging, "loader", tmp_path)
    batch_id = runs.dry_run(steps, runs.request())
    steps.note_outcomes(steps.opened(batch_id), now=runs.NOW)
    steps.mark_failed(runs.request("other"), failed=["extract"], now=runs.NOW)
    assert steps.conclude(runs.request(), now=runs.NOW) == "verified"
    steps.nights(now=runs.NOW)
    store = staging.store("loader")
    keep_persons(store)
    releases.awaiting(store, WAVE, releases.POSTS)
    release.release(staging.store("releaser"), WAVE, "lead", None, releases.LATER)
    assert steps.decided(WAVE) is BatchState.RELEASED
    with store.database.connected() as connection:
        assert guards.closings.is_awaited(connection)


def made_steps(staging: Staging, account: str, folder: Path) -> Pipeline:
    generate(Order(150, seed=3, as_of=runs.AS_OF), folder, sqlite=folder / "pmo.sqlite")
    pmo = f"Driver={{SQLite3}};Database={folder / 'pmo.sqlite'}"
    return runs.pipeline(folder, pmo=pmo, staging=staging.url(account), mappings=folder / MAPPINGS, partition_posts=100)


def keep_persons(store: StagingStore) -> None:
    for moment in (releases.NOW, releases.LATER):
        persons.keep(store.database, ANSWERS.empty_table(), persons.COMPARISONS.empty_table(), asked_at=moment)
        persons.DatabaseRest(store.database).rest_until(moment)


def test_the_releaser_decides_hands_off_and_removes_what_is_old(staging: Staging, tmp_path: Path) -> None:
    loader, store = staging.store("loader"), staging.store("releaser")
    for batch_id in ("first", "third"):
        releases.awaiting(loader, batch_id, WITH_UNITS, wave=batch_id)
        release.release(store, batch_id, "lead", None, releases.LATER)
        assert release.verify_released(store, batch_id) > 0
        if batch_id == "first":
            release.keep(store, batch_id, "lead", None, releases.LATER, asked_by="run")
            release.withdraw(store, batch_id, "lead", releases.REASON, releases.LATER)
    releases.awaiting(loader, "second", range(60, 90))
    release.reject(store, "second", "lead", None, releases.LATER)
    references = {("plats", "Vårdcentralen Demo"): "1", ("besokstyp", "SDV Pv Ssk Återbesök (diabetes)"): "urn:oid:1|d"}
    content = Content("urn:waitlist:post", references)
    writing.hand_off(store, UPath(tmp_path / "out"), "third", content, releases.LATER)
    release.withdraw(store, "third", "lead", releases.REASON, releases.LATER, loaded=True)
    keep_persons(store)
    for batch_id in ("first", "second", "third"):
        batch, places = store.batch(batch_id), retention.Places(UPath(tmp_path), None)
        assert retention.remove(store, batch, places, reason="old", now=releases.LATER)
    long_ago = dt.datetime(2015, 1, 1, tzinfo=dt.UTC)
    assert access_log.remove_older(store.database, long_ago, now=releases.LATER) == 0
    persons.remove_older(store.database, releases.LATER)
    checkpoints.make(store.database, at=releases.LATER)


def test_the_releaser_signs_the_chains_and_proves_the_releases_of_a_night(staging: Staging, tmp_path: Path) -> None:
    releases.awaiting(staging.store("loader"), WAVE, releases.POSTS)
    release.release(staging.store("releaser"), WAVE, "lead", None, releases.LATER)
    steps = runs.pipeline(
        tmp_path, pmo="", staging=staging.url("releaser"), mappings=paths.MAPPINGS, signer=signed_by(KEY)
    )
    assert steps.verify_releases(now=releases.LATER)["batches"] == 1
    (made,) = batches.rows(staging.store("releaser"), schema.audit_checkpoint)
    assert made["signature"] is not None


def test_retention_runs_as_the_releaser(staging: Staging, tmp_path: Path) -> None:
    batches.verified(staging.store("loader"))
    batches.verified(staging.store("loader"), "natt-2")
    steps = Pipeline(runs.Settings(), snapshots=UPath(tmp_path), pmo=str, staging=lambda: staging.url("releaser"))
    late = dt.datetime(2034, 1, 1, tzinfo=dt.UTC)
    assert steps.remove_expired(late.date(), keep_days=None, only_tell=False, now=late)["batches"] == 1


def test_the_writer_of_receipts_takes_what_receivers_say(staging: Staging, tmp_path: Path) -> None:
    with_wave(staging)
    folder = tmp_path / "receipts"
    folder.mkdir()
    first, second = releases.migrating(releases.POSTS)[:2]
    inbox = schema.receipt_inbox.insert().values(
        batch_id=WAVE, post_id=str(first), outcome="rejected", reason="x", at=releases.LATER.isoformat()
    )
    with staging.store("owner").engine.begin() as connection:
        connection.execute(inbox)
    header = "batch_id,post_id,outcome,at,millennium_id,reason,booked_for"
    said = f"{header}\n{WAVE},{second},accepted,{releases.LATER.isoformat()},m1,,\n"
    (folder / "a.csv").write_text(said, encoding="utf-8")
    (folder / "b.csv").write_text(f"{header}\n{WAVE},none,accepted,,,,\n", encoding="utf-8")
    steps = Pipeline(
        runs.Settings(), snapshots=UPath(tmp_path), pmo=str, staging=lambda: staging.url("receipts"),
        receipts=UPath(folder),
    )  # fmt: skip
    told = steps.take_receipts(print, now=releases.LATER)
    assert (told["files"], told["files_refused"], told["inbox_rows"]) == (1, 1, 1)
    for _ in range(2):
        assert steps.watch_receipts(print, now=releases.LATER)["open"] > 0


def test_what_a_receiver_says_after_a_back_out_frees_posts_and_holds_them_again(
    staging: Staging, tmp_path: Path
) -> None:
    with_wave(staging)
    release.withdraw(staging.store("releaser"), WAVE, "lead", releases.REASON, releases.LATER, loaded=True)
    folder = tmp_path / "receipts"
    folder.mkdir()
    post = releases.migrating(releases.POSTS)[0]
    steps = Pipeline(
        runs.Settings(), snapshots=UPath(tmp_path), pmo=str, staging=lambda: staging.url("receipts"),
        receipts=UPath(folder),
    )  # fmt: skip
    for number, outcome in enumerate(("cancelled", "booked")):
        at, booked = releases.LATER + dt.timedelta(hours=number), "2025-03-03" if outcome == "booked" else ""
        said = f"batch_id,post_id,outcome,at,millennium_id,reason,booked_for\n{WAVE},{post},{outcome},"
        said += f"{at.isoformat()},m1,,{booked}\n"
        (folder / f"{number}.csv").write_text(said, encoding="utf-8")
        assert steps.take_receipts(print, now=at)["receipts"] == 1
    freed = batches.rows(staging.store("owner"), schema.freed_post)
    assert [row["freed"] for row in freed] == [True, False]


def with_wave(staging: Staging) -> None:
    releases.awaiting(staging.store("loader"), WAVE, releases.POSTS)
    release.release(staging.store("releaser"), WAVE, "lead", None, releases.LATER)


def filled(staging: Staging) -> None:
    """Fill every table, as an administrator: a released wave, one that waits, and a night."""
    guards.fill(StagingStore(staging.server.libpq(staging.database)))


def test_every_page_is_shown_and_every_form_taken_with_the_dashboards_account(
    staging: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, users in dashboards.RIGHTS.items():
        monkeypatch.setenv(name, users)
    monkeypatch.setattr(errors, "get_auth_manager", SimpleAuthManager)
    monkeypatch.setattr(dashboards.Site, "unit_readers", addresses.READERS)
    site = worklists.site(tmp_path, url=staging.url("owner"))
    site.stage({"kategori": "Diabetesmottagning"}, {"sekretess": True, "kategori": "Diabetesmottagning"})
    with_wave(staging)
    reading = dataclasses.replace(site, store=staging.store("dashboard"))
    made, by_owner = dashboards.over(reading), dashboards.over(site)
    walked = sorted({address.path for address in addresses.addresses(made)})
    walked += sorted(path.replace(worklists.BATCH, WAVE) for path in walked if worklists.BATCH in path)
    answers = {}
    for path in walked:
        for user in ("lead", "staff"):
            asked = [
                TestClient(app, raise_server_exceptions=False).get(path, headers={"Authorization": f"Bearer {user}"})
                for app in (made, by_owner)
            ]
            answers[path, user] = [answer.status_code for answer in asked]
    assert {where: statuses for where, statuses in answers.items() if statuses[0] != statuses[1]} == {}
    assert sum(statuses[0] == 200 for statuses in answers.values()) > 40, answers
    use_forms(staging)


def use_forms(staging: Staging) -> None:
    store, receipts = staging.store("dashboard"), staging.store("receipts")
    with receipts.database.writing() as connection:
        guards.receipts.keep(connection, [guards.rejected(WAVE)], releases.LATER)
    said = guards.settling.Decided(WAVE, guards.rejected(WAVE).post_id, "lead", releases.REASON, releases.LATER)
    guards.settling.free(store, said)
    word = guards.words.Word(
        "1" * 64, guards.words.Outcome.BOOKED, releases.LATER + dt.timedelta(1), "m1", dt.date(2025, 3, 3)
    )
    with receipts.database.writing() as connection:
        guards.receipts.keep(connection, [guards.Receipt(WAVE, said.post_id, word, None)], releases.LATER)
    guards.settling.settle(store, said, counts="0" * 64, heard=2)
    outcome = post_outcomes.Entry(1, 1, "", WAVE, releases.NOW, "nurse", PostOutcome.BOOKED_PMO)
    post_outcomes.record(store.database, outcome, key="a request")
    right = dict.fromkeys(sample_verdicts.FIELDS, sample_verdicts.Verdict.RIGHT)
    judged = sample_verdicts.Judged(1, "0" * 64, sample_verdicts.Stage.AFTER, 1, right, releases.NOW, "lead", WAVE, "")
    assert sample_verdicts.add(store, judged) is sample_verdicts.Answer.KEPT
    with store.database.writing() as connection:
        sample_sizes.add_enlarged(connection, sample_sizes.Enlarged(WAVE, 1, 200, 1, 0, releases.NOW, "lead"))
    verdict = log_verdicts.Judged("a" * 32, 1, releases.NOW, "lead", log_verdicts.Verdict.UNCLEAR, "x")
    assert log_verdicts.add(store.database, verdict)
    guards.look(store, releases.NOW, 1)
    guards.closings.close(
        store.database, WAVE, "lead", releases.REASON, releases.LATER, late_from=releases.LATER.date(), is_lead=True
    )


@pytest.mark.parametrize("account", sorted(ADDS))
def test_an_account_has_these_rights_and_no_others(staging: Staging, account: str) -> None:
    rights = {"INSERT": ADDS, "DELETE": REMOVES, "UPDATE": CHANGES}
    found: dict[str, set[str]] = {}
    with psycopg.connect(staging.url(account)) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class"
            " WHERE relnamespace = 'millennium_staging'::regnamespace"
            " AND relkind IN ('r', 'v', 'p') AND NOT relispartition"
        ).fetchall()
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
            query = "SELECT has_table_privilege('millennium_staging.' || %s, %s)"
            found[right] = {
                name for (name,) in tables if connection.execute(query, (name, right)).fetchone() == (True,)
            }
    names = {name for (name,) in tables}
    assert {table.name for table in schema.METADATA.sorted_tables} <= names
    assert {right: found[right] for right in rights} == {right: of[account] for right, of in rights.items()}
    assert (found["TRUNCATE"], found["REFERENCES"], found["TRIGGER"]) == (set(), set(), set())
    assert names - found["SELECT"] - {"bokningsbegaran_released", "readable_batch"} == HIDDEN[account]


@pytest.mark.parametrize("account", sorted(ADDS))
def test_what_is_not_an_accounts_own_is_refused(
    staging: Staging, account: str, attack_table: Callable[..., None]
) -> None:
    filled(staging)
    shown = released_rows(staging)
    said: dict[str, str | None] = {}
    for table in schema.METADATA.sorted_tables:
        name, column = f"{table.schema}.{table.name}", next(iter(table.columns)).name
        tried = {
            f"SELECT * FROM {name}": table.name not in HIDDEN[account],
            f"INSERT INTO {name} SELECT * FROM {name} WHERE false": table.name in ADDS[account],
            f"DELETE FROM {name} WHERE false": table.name in REMOVES[account],
            f'UPDATE {name} SET "{column}" = "{column}" WHERE false': table.name in CHANGES[account],
            f"TRUNCATE {name}": False,
        }
        if table.name in HIDDEN[account] and table.name in REMOVES[account] | ADDS[account]:
            tried = {statement: may for statement, may in tried.items() if not may}
        for statement, may in tried.items():
            said[statement] = staging.tried(account, statement)
            # The guards refuse every statement that would change an append-only table, also one without rows.
            assert (said[statement] in {None, "P0W01"}) if may else (said[statement] == "42501"), statement
    refused = [
        "ALTER TABLE millennium_staging.batch_event DISABLE TRIGGER ALL",
        "CREATE TABLE millennium_staging.more (a int)",
        "CREATE TEMPORARY TABLE batch (a int)",
        "CREATE SCHEMA ours",
        "DROP VIEW millennium_staging.bokningsbegaran_released",
        "DROP FUNCTION millennium_staging.guard_entry() CASCADE",
        "SET session_replication_role = replica",
        "SET ROLE waitlist_owner",
    ]
    said |= {statement: staging.tried(account, statement) for statement in refused}
    assert {statement: said[statement] for statement in refused if said[statement] != "42501"} == {}
    assert released_rows(staging) == shown
    attack_table(f"rights of others tried by waitlist_{account}", tries=len(said), held=len(said))


def released_rows(staging: Staging) -> list[tuple[Any, ...]]:
    with psycopg.connect(staging.url("owner")) as connection:
        query = "SELECT * FROM millennium_staging.bokningsbegaran_released ORDER BY post_id"
        return connection.execute(query).fetchall()


def entries(store: StagingStore, event: str) -> str | None:
    """Write an entry of the audit trail past the store's rules; return why it was refused."""
    try:
        with store.database.writing() as connection:
            connection.execute(entry(WAVE, EventName(event), at=releases.LATER, actor=PIPELINE))
    except sa.exc.DBAPIError as error:
        return str(error.orig.sqlstate)  # type: ignore[union-attr]
    return None


WRITES = {
    "loader": {"open", "staged", "verified", "failed", "awaiting_approval"},
    "releaser": {
        "released", "override", "rejected", "withdrawn", "withdrawn_after_load", "kept", "purged", "freed",
        "held_again",
    },
    "receipts": {"freed", "held_again"},
    "dashboard": {"freed", "held_again"},
}  # fmt: skip
"""The entries of the audit trail that an account may write."""


@pytest.mark.parametrize("account", sorted(WRITES))
def test_an_account_writes_the_entries_of_its_own_work_and_changes_no_decided_batch(
    staging: Staging, account: str
) -> None:
    filled(staging)
    shown = released_rows(staging)
    store = staging.store(account)
    said = {event.value: entries(store, event.value) for event in EventName}
    assert {event for event, why in said.items() if why is None} == WRITES[account]
    assert {why for event, why in said.items() if event not in WRITES[account]} == {"P0W01"}
    change = "UPDATE millennium_staging.batch SET {} WHERE batch_id = '{}'"
    others = {"P0W01", "42501"}
    for batch_id in (WAVE, guards.WAITS, guards.NIGHT):
        if account != "loader":
            assert staging.tried(account, change.format("finished_at = started_at", batch_id)) in others
        if account not in {"loader", "releaser"}:
            assert staging.tried(account, change.format("state = 'withdrawn'", batch_id)) in others
    if account == "loader":
        assert staging.tried(account, change.format("state = 'withdrawn'", WAVE)) == "P0W01"
        assert staging.tried(account, change.format("state = 'released'", guards.WAITS)) == "P0W01"
    row = f"SELECT millennium_staging.create_part('{WAVE}', 1, NULL)"
    assert staging.tried(account, row) == ("P0W01" if account == "loader" else "42501")
    assert released_rows(staging) == shown


def test_the_loader_cannot_release_withdraw_purge_or_hand_off(staging: Staging, tmp_path: Path) -> None:
    filled(staging)
    shown, store = released_rows(staging), staging.store("loader")
    attempts: list[Callable[[], object]] = [
        lambda: release.release(store, guards.WAITS, "lead", None, releases.LATER),
        lambda: release.reject(store, guards.WAITS, "lead", None, releases.LATER),
        lambda: release.withdraw(store, WAVE, "lead", releases.REASON, releases.LATER, loaded=True),
        lambda: retention.remove(
            store, store.batch(WAVE), retention.Places(UPath(tmp_path), None), reason="x", now=releases.LATER
        ),
        lambda: access_log.record_hand_off(store, WAVE, written="0" * 64, at=releases.LATER, approved_by="lead"),
        lambda: store_hand_off(store),
    ]
    for attempt in attempts:
        with pytest.raises(StagingError):
            attempt()
    assert released_rows(staging) == shown
    assert store.batch(guards.WAITS).state is BatchState.AWAITING_APPROVAL
    assert store.batch(WAVE).state is BatchState.RELEASED


def test_no_function_and_no_partition_lets_an_account_touch_rows_that_are_decided(staging: Staging) -> None:
    filled(staging)
    shown = released_rows(staging)
    with psycopg.connect(staging.url("owner")) as owner:
        of_wave = "SELECT batch_no FROM millennium_staging.batch WHERE batch_id = %s"
        ((number,),) = owner.execute(of_wave, [WAVE]).fetchall()
        leaves = owner.execute("SELECT relname FROM pg_class WHERE relname ~ %s", [f"_row_{number}_[0-9]+$"]).fetchall()
    assert len(leaves) >= 3
    may = {
        ("loader", "create_part"), ("loader", "attach_part"), ("loader", "key_part"), ("releaser", "drop_parts"),
    }  # fmt: skip
    calls = {
        "create_part": f"create_part('{WAVE}', NULL, NULL)",
        "attach_part": f"attach_part('{WAVE}', 1, NULL, NULL)",
        "key_part": f"key_part('{WAVE}', 1)",
        "drop_parts": f"drop_parts('{WAVE}')",
        "new_part": f"new_part({number}, 900000, 900001)",
        "make_leaf": f"make_leaf('disposition_row', {number}, 1, NULL, NULL)",
        "attach_leaf": f"attach_leaf('disposition_row', '{leaves[0][0]}', {number}, NULL, NULL)",
        "cut_leaf": f"cut_leaf('disposition_row', {number}, '{leaves[0][0]}', 1, 2, 1, 2)",
        "require_changeable": f"require_changeable('{WAVE}', FALSE)",
        "hold_rows": "hold_rows()",
    }
    for account in (name.removeprefix("waitlist_") for name in ACCOUNTS):
        for name, call in calls.items():
            refused = staging.tried(account, f"SELECT millennium_staging.{call}")
            if (account, name) not in may:
                assert refused == "42501", (account, name)
            elif name == "key_part":
                assert refused is not None
            else:
                assert refused == "P0W01", (account, name)
        for (leaf,) in leaves:
            for statement in ("DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {}", "ALTER TABLE {} ADD COLUMN x text"):
                told = staging.tried(account, statement.format(f"millennium_staging.{leaf}"))
                assert told == "42501", (account, statement)
    assert released_rows(staging) == shown


def test_the_loader_cannot_write_into_a_part_that_it_has_attached(staging: Staging) -> None:
    loader = staging.store("loader")
    batches.open_batch(loader)
    loader.stage_partition("natt-1", None, None, batches.chunks(range(1, 20)))
    with psycopg.connect(staging.url("owner")) as owner:
        leaves = owner.execute("SELECT relname FROM pg_class WHERE relname ~ '_row_[0-9]+_[0-9]+$'").fetchall()
    assert len(leaves) == 3
    for (leaf,) in leaves:
        assert staging.tried("loader", f"INSERT INTO millennium_staging.{leaf} DEFAULT VALUES") == "42501", leaf


def store_hand_off(store: StagingStore) -> None:
    with store.holding("recording the hand-off of", WAVE) as (connection, _):
        guards.handoffs.record(connection, dataclasses.replace(guards.handed(WAVE), manifest_sha256="1" * 64))


def test_all_accounts_together_may_do_what_the_one_account_may(staging: Staging, postgres: PostgresServer) -> None:
    one = (paths.SQL / "staging" / "grant_loader.postgresql.sql").read_text(encoding="utf-8")
    with psycopg.connect(postgres.libpq(staging.database), autocommit=True) as administrator:
        administrator.execute("DROP ROLE IF EXISTS waitlist_one")
        administrator.execute("CREATE ROLE waitlist_one")
        administrator.execute(one.replace("waitlist_loader", "waitlist_one"))
        rights = {
            right: {
                table.name for table in schema.METADATA.sorted_tables
                if administrator.execute(
                    "SELECT has_table_privilege('waitlist_one', %s, %s)", (f"{table.schema}.{table.name}", right)
                ).fetchone() == (True,)
            }
            for right in ("INSERT", "DELETE", "UPDATE")
        }  # fmt: skip
        administrator.execute("DROP OWNED BY waitlist_one")
        administrator.execute("DROP ROLE waitlist_one")
    for right, of in (("INSERT", ADDS), ("DELETE", REMOVES), ("UPDATE", CHANGES)):
        assert rights[right] == set().union(*of.values()), right
