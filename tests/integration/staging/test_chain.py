"""The chains of the append-only tables: what was changed by somebody who owns the database is found, and named."""

import datetime as dt
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.support import batches
from tests.support.batches import unguarded

from waitlist import paths
from waitlist.columns.dates import STOCKHOLM
from waitlist.exceptions import RefusedError, SettingsError
from waitlist.staging import StagingStore, access_log, chain, checkpoints, schema
from waitlist.staging.chain_check import Found, check
from waitlist.staging.migrate import migrate
from waitlist.staging.signing import by_command, by_file, by_key, key_id_of
from waitlist.steps.audit import summary

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
FAILING = f"sh -c 'echo {'A' * 86}== {'0' * 64}; exit 1'"
"""A command that prints what looks like a signature, and fails."""
OLD = dt.datetime(2019, 1, 1, tzinfo=dt.UTC)
NOW = batches.NOW
PERSON = "198503142380"


def pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signed_by(key: Ed25519PrivateKey) -> Any:
    return by_key(lambda: pem(key), "the test")


def entry(entry_id: str, at: dt.datetime = NOW, **other: object) -> dict[str, object]:
    """Return an entry of the access log."""
    return {
        "entry_id": entry_id, "at": at, "user_id": "reader", "action": "persons", "batch_id": "natt-1",
        "enhet_hsa_id": "", "posts": 1, "acting_for": "", "post_id": int(entry_id[1:]), "person_id": PERSON, **other,
    }  # fmt: skip


def add(store: StagingStore, *entry_ids: str, at: dt.datetime = NOW) -> None:
    with store.database.writing() as connection:
        connection.execute(schema.access_log.insert(), [entry(entry_id, at) for entry_id in entry_ids])


def made(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    empty = batches.empty_store(request, tmp_path)
    url = empty.engine.url.render_as_string(hide_password=False)
    return StagingStore(url, signer=signed_by(KEY))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    return made(request, tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    """A night, three links with entries of the access log before two checkpoints, and one after them."""
    store = made(request, tmp_path)
    batches.verified(store)
    add(store, "e1", "e2")
    add(store, "e3", "e4")
    checkpoints.make(store.database, at=NOW)
    add(store, "e5", "e6")
    checkpoints.make(store.database, at=NOW)
    add(store, "e7")
    return store


def checked(store: StagingStore, *, key: Ed25519PrivateKey | None = KEY, **manifests: Any) -> Found:
    public = None if key is None else key.public_key()
    return check(store.database, key=public, manifests=manifests, tell=lambda _: None)


def faults(store: StagingStore, **manifests: Any) -> list[str]:
    return [str(fault) for fault in checked(store, **manifests).faults]


def links(store: StagingStore, name: str = "access_log") -> list[dict[str, Any]]:
    return [row for row in batches.rows(store, schema.audit_link) if row["chain"] == name]


# What an owner of the database can do, with all that this project knows but the private key.


def run(connection: sa.Connection, *statements: str) -> None:
    prefix = "millennium_staging." if connection.dialect.name == "postgresql" else ""
    for statement in statements:
        connection.exec_driver_sql(statement.replace("{}", prefix))


def _first(connection: sa.Connection) -> checkpoints.Checkpoint:
    table = schema.audit_checkpoint
    row = connection.execute(sa.select(table).where(table.c.checkpoint_no == 1)).mappings().one()
    return checkpoints.Checkpoint(**row)


def link_again(connection: sa.Connection) -> None:
    """Compute every link of the access log again from its lines."""
    link = schema.audit_link
    here = link.c.chain == "access_log"
    previous = chain.NO_LINK
    kept = connection.execute(sa.select(link).where(here).order_by(link.c.link_no)).mappings().all()
    connection.execute(link.delete().where(here))
    for number, row in enumerate(kept, 1):
        previous = chain.link_sha256("access_log", number, row["act"], previous, row["digests"])
        connection.execute(link.insert().values({**row, "link_no": number, "link_sha256": previous}))


def without_rows_and_link(connection: sa.Connection) -> None:
    run(connection, "DELETE FROM {}access_log WHERE entry_id IN ('e3', 'e4')")
    run(connection, "DELETE FROM {}audit_link WHERE chain = 'access_log' AND link_no = 2")
    link_again(connection)


def changed_with_its_digest(connection: sa.Connection) -> None:
    run(connection, "UPDATE {}access_log SET user_id = 'other' WHERE entry_id = 'e3'")
    lines = [
        chain.line_of(schema.access_log, tuple(entry(entry_id, user_id=user).get(c.name) for c in schema.access_log.c))
        for entry_id, user in (("e3", "other"), ("e4", "reader"))
    ]
    link = schema.audit_link
    here = (link.c.chain == "access_log", link.c.link_no == 2)
    connection.execute(link.update().where(*here).values(digests="".join(f"{row.key} {row.sha256}\n" for row in lines)))
    link_again(connection)


def removed_as_retention_would(connection: sa.Connection) -> None:
    run(connection, "DELETE FROM {}access_log WHERE entry_id IN ('e3', 'e4')")
    link = schema.audit_link
    (lost,) = connection.execute(sa.select(link).where(link.c.chain == "access_log", link.c.link_no == 2)).mappings()
    connection.execute(link.insert().values({**lost, "link_no": 5, "act": "removed"}))
    link_again(connection)


def checkpoints_with(statement: Callable[[str], str], **values: object) -> Callable[[sa.Connection], None]:
    """Return what changes the first checkpoint, and then fits the second one to it."""

    def change(connection: sa.Connection) -> None:
        changed_with_its_digest(connection)
        table = schema.audit_checkpoint
        first, second = (checkpoints.Checkpoint(**row) for row in connection.execute(sa.select(table)).mappings())
        heads = {row["link_no"]: row["link_sha256"] for row in connection.execute(
            sa.select(schema.audit_link).where(schema.audit_link.c.chain == "access_log")).mappings()}  # fmt: skip
        for kept in (first, second):
            head = kept.heads["access_log"]
            text = kept.statement.replace(head.sha256, heads[head.link_no])
            if kept is second:
                text = text.replace(first.sha256, _first(connection).sha256)
            found = {"statement": statement(text), **values}
            connection.execute(table.update().where(table.c.checkpoint_no == kept.checkpoint_no).values(found))

    return change


ATTACKS: dict[str, tuple[Callable[[sa.Connection], None], str]] = {
    "a row is changed": (
        lambda c: run(c, "UPDATE {}access_log SET user_id = 'other' WHERE entry_id = 'e3'"),
        "access_log, row e3, link 2: the row is not as it was added",
    ),
    "a value is emptied": (
        lambda c: run(c, "UPDATE {}access_log SET person_id = NULL WHERE entry_id = 'e3'"),
        "access_log, row e3, link 2: the row is not as it was added",
    ),
    "an entry of the audit trail gets another actor": (
        lambda c: run(c, "UPDATE {}batch_event SET actor = 'other' WHERE event_no = 2"),
        "batch_event, row natt-1/2, link 2: the row is not as it was added",
    ),
    "a row is removed": (
        lambda c: run(c, "DELETE FROM {}access_log WHERE entry_id = 'e3'"),
        "access_log, row e3, link 2: the row is gone",
    ),
    "two rows change places": (
        lambda c: run(
            c,
            "UPDATE {}access_log SET entry_id = 'x' WHERE entry_id = 'e1'",
            "UPDATE {}access_log SET entry_id = 'e1' WHERE entry_id = 'e3'",
            "UPDATE {}access_log SET entry_id = 'e3' WHERE entry_id = 'x'",
        ),
        "access_log, row e1, link 1: the row is not as it was added",
    ),
    "a row is inserted in the past": (
        lambda c: run(
            c,
            "INSERT INTO {}access_log (entry_id, at, user_id, action, batch_id, enhet_hsa_id, posts)"
            " VALUES ('e0', '2020-01-01 00:00:00', 'x', 'persons', 'natt-1', '', 1)",
        ),
        "access_log, row e0, no link: the row is in no link",
    ),
    "the last link is removed": (
        lambda c: run(c, "DELETE FROM {}audit_link WHERE chain = 'access_log' AND link_no = 4"),
        "access_log, row e7, no link: the row is in no link",
    ),
    "the last links are removed with their rows, to before the checkpoint": (
        lambda c: run(
            c,
            "DELETE FROM {}audit_link WHERE chain = 'access_log' AND link_no >= 3",
            "DELETE FROM {}access_log WHERE entry_id IN ('e5', 'e6', 'e7')",
        ),
        "access_log, link 3: the link is gone at checkpoint 2",
    ),
    "a link in the middle is removed": (
        lambda c: run(c, "DELETE FROM {}audit_link WHERE chain = 'access_log' AND link_no = 2"),
        "access_log, row e3, no link: the row is in no link",
    ),
    "a link and its rows are removed, and the rest is linked again": (
        without_rows_and_link,
        "access_log, link 2: the link is not what it was at checkpoint 1",
    ),
    "a row is changed with its digest, and the rest is linked again": (
        changed_with_its_digest,
        "access_log, link 2: the link is not what it was at checkpoint 1",
    ),
    "rows are removed, and a link says that it was retention": (
        removed_as_retention_would,
        "access_log, link 5: 2 rows were removed without a checkpoint",
    ),
    "checkpoints are replaced, with their signatures": (
        checkpoints_with(str),
        "checkpoint 1: has a signature that is not of the key",
    ),
    "checkpoints are replaced, and unsigned": (
        checkpoints_with(str, signature=None, key_id=None),
        "checkpoint 1: none is signed with the key: make a signed one",
    ),
    "a signature is forged with another key": (
        lambda c: _forge(c, OTHER_KEY, OTHER_KEY),
        "checkpoint 1: is signed with another key",
    ),
    "a signature is forged with another key, under the key's name": (
        lambda c: _forge(c, OTHER_KEY, KEY),
        "checkpoint 1: has a signature that is not of the key",
    ),
    "the last checkpoint loses its signature": (
        lambda c: run(c, "UPDATE {}audit_checkpoint SET signature = NULL, key_id = NULL WHERE checkpoint_no = 2"),
        "checkpoint 2: is unsigned, and one before it is signed",
    ),
    "the first checkpoint is removed": (
        lambda c: run(c, "DELETE FROM {}audit_checkpoint WHERE checkpoint_no = 1"),
        "checkpoint 2: checkpoint 1 before it is gone",
    ),
    "the table is emptied": (
        lambda c: run(c, "DELETE FROM {}access_log" if c.dialect.name == "sqlite" else "TRUNCATE {}access_log"),
        "access_log, row e1, link 1: the row is gone",
    ),
    "the table is emptied, and its chain": (
        lambda c: run(c, "DELETE FROM {}access_log", "DELETE FROM {}audit_link WHERE chain = 'access_log'"),
        "access_log, link 2: the link is gone at checkpoint 1",
    ),
    "the number of a link's rows is changed": (
        lambda c: run(c, "UPDATE {}audit_link SET rows = 9 WHERE chain = 'access_log' AND link_no = 1"),
        "access_log, link 1: it has another number of rows than it says",
    ),
    "a link is given another chain": (
        lambda c: run(c, "UPDATE {}audit_link SET chain = 'other' WHERE chain = 'access_log' AND link_no = 4"),
        "access_log, row e7, no link: the row is in no link",
    ),
}


def _forge(connection: sa.Connection, key: Ed25519PrivateKey, named: Ed25519PrivateKey) -> None:
    table = schema.audit_checkpoint
    first = _first(connection)
    values = {"signature": signed_by(key)(first.statement.encode()).signature, "key_id": key_id_of(named.public_key())}
    connection.execute(table.update().where(table.c.checkpoint_no == 1).values(values))


def test_a_database_that_nobody_has_touched_fits(store: StagingStore) -> None:
    found = checked(store)
    assert found.faults == []
    assert (found.checkpoints, found.signed, found.unsigned) == (2, 2, 0)
    assert [row["rows"] for row in links(store)] == [2, 2, 2, 1]
    assert len(links(store, "batch_event")) == len(store.events("natt-1"))


def test_a_moment_of_any_zone_one_row_or_many_and_letters_of_any_kind_fit(empty: StagingStore) -> None:
    at = dt.datetime(2026, 10, 25, 2, 30, 0, 123456, STOCKHOLM)
    odd = {"user_id": 'Åsa \x1f\u2028 \\ "', "person_id": None, "acting_for": ""}
    with empty.database.writing() as connection:
        connection.execute(schema.access_log.insert(), [entry("e1", at, **odd), entry("e2", at)])
        connection.execute(schema.access_log.insert().values(entry("e3", at, **odd)))
        connection.execute(schema.access_log.insert(), [{**entry("e4", at), "posts": 2}])
    assert [row["rows"] for row in links(empty)] == [4]
    assert faults(empty) == []


@pytest.mark.parametrize("name", ATTACKS)
def test_what_its_owner_has_changed_is_found(store: StagingStore, name: str) -> None:
    attack, said = ATTACKS[name]
    with unguarded(store) as connection:
        attack(connection)
    assert said in faults(store)


def test_what_is_told_has_no_value_of_a_row(store: StagingStore) -> None:
    with unguarded(store) as connection:
        for attack in ("a row is changed", "a row is inserted in the past"):
            ATTACKS[attack][0](connection)
    lines = "\n".join([*summary(checked(store), has_key=True), *faults(store)])
    assert "e3" in lines
    assert PERSON not in lines
    assert "reader" not in lines


def test_the_first_row_that_does_not_fit_is_named_for_each_table(store: StagingStore) -> None:
    with unguarded(store) as connection:
        run(connection, "UPDATE {}access_log SET user_id = 'other' WHERE entry_id IN ('e2', 'e3', 'e6')")
        run(connection, "UPDATE {}batch_event SET actor = 'other'")
    lines = [line for line in summary(checked(store), has_key=True) if line.startswith("FAULT")]
    assert lines == [
        "FAULT: access_log, row e2, link 1: the row is not as it was added (and 2 more of this table)",
        "FAULT: batch_event, row natt-1/1, link 1: the row is not as it was added (and 2 more of this table)",
    ]


# Retention


def test_rows_whose_time_is_over_go_and_the_rest_still_fits(empty: StagingStore) -> None:
    add(empty, "e1", "e2", at=OLD)
    add(empty, "e3")
    before = links(empty)
    assert access_log.remove_older(empty.database, OLD + dt.timedelta(days=1), now=NOW) == 2
    assert links(empty)[:2] == before, "the digests of what is gone stay"
    assert [row["act"] for row in links(empty)] == ["added", "added", "removed"]
    found = checked(empty)
    assert (found.faults, found.signed) == ([], 1)


def test_rows_cannot_be_removed_without_a_checkpoint(empty: StagingStore) -> None:
    add(empty, "e1", at=OLD)
    with pytest.raises(RefusedError, match="without a checkpoint"), empty.database.writing() as connection:
        connection.execute(schema.access_log.delete())
    assert [row["entry_id"] for row in batches.rows(empty, schema.access_log)] == ["e1"]
    assert faults(empty) == []


def test_a_removal_that_was_announced_and_did_not_come_is_found(empty: StagingStore) -> None:
    add(empty, "e1", at=OLD)
    access_log.remove_older(empty.database, OLD + dt.timedelta(days=1), now=NOW)
    with unguarded(empty) as connection:
        run(connection, "DELETE FROM {}audit_link WHERE act = 'removed'")
    assert "access_log, row e1, link 1: the row is gone" in faults(empty)


def test_without_its_key_nothing_is_removed(empty: StagingStore, tmp_path: Path) -> None:
    add(empty, "e1", at=OLD)
    url = empty.engine.url.render_as_string(hide_password=False)
    keyless = StagingStore(url, signer=by_file(tmp_path / "nowhere.pem"))
    with pytest.raises(SettingsError, match="nowhere"):
        access_log.remove_older(keyless.database, OLD + dt.timedelta(days=1), now=NOW)
    assert len(batches.rows(empty, schema.access_log)) == 1


# Transactions


def test_a_connection_that_breaks_ends_with_its_own_error(tmp_path: Path) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}")
    store.migrate()
    with pytest.raises(ZeroDivisionError):
        _break(store)


def _break(store: StagingStore) -> None:
    with store.database.writing() as connection:
        connection.execute(schema.access_log.insert(), [entry("e1")])
        connection.invalidate()
        raise ZeroDivisionError


def test_what_is_rolled_back_is_in_no_link_of_a_connection_that_is_kept(tmp_path: Path) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}", pooled=True)
    store.migrate()
    _roll_back(store)
    add(store, "e2")
    assert [line.key for link in links(store) for line in chain.lines_in(link["digests"])] == ["e2"]
    assert checked(store).faults == []


def test_what_is_rolled_back_is_in_no_link(empty: StagingStore) -> None:
    _roll_back(empty)
    with empty.database.writing() as connection:
        connection.execute(schema.access_log.insert(), [entry("e2")])
        inner = connection.begin_nested()
        connection.execute(schema.access_log.insert(), [entry("e3")])
        inner.rollback()
        with connection.begin_nested():
            connection.execute(schema.access_log.insert(), [entry("e4")])
    (link,) = links(empty)
    assert [line.key for line in chain.lines_in(link["digests"])] == ["e2", "e4"]
    assert faults(empty) == []


def _roll_back(store: StagingStore) -> None:
    with store.engine.connect() as connection, connection.begin() as transaction:
        connection.execute(schema.access_log.insert(), [entry("e1")])
        transaction.rollback()


def test_transactions_at_once_make_one_chain(empty: StagingStore) -> None:
    url = empty.engine.url.render_as_string(hide_password=False)
    go = threading.Barrier(6)

    def write(writer: int) -> None:
        own = StagingStore(url)
        go.wait()
        for number in range(8):
            add(own, f"e{writer * 100 + number}")

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row["link_no"] for row in links(empty)] == list(range(1, 49))
    assert faults(empty) == []


def test_a_link_that_another_transaction_has_added_cannot_be_added_beside_it(empty: StagingStore) -> None:
    add(empty, "e1")
    (link,) = links(empty)
    with pytest.raises(sa.exc.DBAPIError), empty.database.writing() as connection:
        connection.execute(schema.audit_link.insert().values(link))


# Rows of before


def test_rows_from_before_come_in_under_a_first_link(tmp_path: Path) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'before.sqlite'}")
    _rows_of_before(store)
    store.migrate()
    assert [(row["act"], row["rows"]) for row in links(store)] == [("before", 2)]
    assert faults(store) == []
    with unguarded(store) as connection:
        # As a process of the release before adds it: it knows no links.
        run(
            connection,
            "INSERT INTO {}access_log (entry_id, at, user_id, action, batch_id, enhet_hsa_id, posts)"
            " VALUES ('e3', '2024-10-02 00:00:00', 'x', 'persons', 'natt-1', '', 1)",
        )
    late = "access_log, row e3, no link: the row is in no link"
    assert faults(store) == [late]
    with unguarded(store) as connection:
        run(connection, "UPDATE {}access_log SET user_id = 'other' WHERE entry_id = 'e2'")
    assert faults(store) == [late, "access_log, row e2, link 1: the row is not as it was added"]


def test_rows_from_before_come_in_on_postgresql(postgres: Any) -> None:
    store = StagingStore(postgres.libpq(postgres.create_database()))
    _rows_of_before(store)
    store.migrate()
    assert [(row["act"], row["rows"]) for row in links(store)] == [("before", 2)]
    add(store, "e3")
    assert faults(store) == []


def _rows_of_before(store: StagingStore) -> None:
    migrate(store.database, "0018")
    with store.database.writing() as connection:
        connection.execute(schema.access_log.insert(), [entry("e1"), entry("e2", OLD, person_id=None)])
        batches.unchained(connection)


# Keys


def test_without_a_key_it_is_said_that_nothing_is_signed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}")
    store.migrate()
    add(store, "e1")
    assert any("UNSIGNED: there is no checkpoint" in line for line in summary(checked(store, key=None), has_key=False))
    kept = checkpoints.make(store.database, at=NOW)
    assert "checkpoint 1 is UNSIGNED" in caplog.text
    assert (kept.signature, kept.told()["signed"]) == (None, False)
    assert "UNSIGNED: 1 of 1 checkpoints: no key was set" in summary(checked(store, key=None), has_key=False)


def test_signatures_that_nobody_can_check_are_said_to_be_unchecked(store: StagingStore) -> None:
    lines = summary(checked(store, key=None), has_key=False)
    assert any(line.startswith("UNCHECKED: the signatures of 2 checkpoints") for line in lines)


def test_a_key_that_others_may_read_signs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(KEY))
    file.chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        by_file(file)(b"x")
    file.chmod(0o600)
    assert by_file(file)(b"x").key_id == key_id_of(KEY.public_key())


@pytest.mark.parametrize("content", [b"", b"no key", PUBLIC])
def test_what_is_no_private_key_is_refused(content: bytes) -> None:
    with pytest.raises(SettingsError, match="no private Ed25519 key"):
        by_key(lambda: content, "the test")(b"x")


def test_a_command_signs_under_another_account(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(KEY))
    file.chmod(0o600)
    store = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}", signer=by_command(_command(file)))
    store.migrate()
    checkpoints.make(store.database, at=NOW)
    assert checked(store).signed == 1


@pytest.mark.parametrize("command", ["/nowhere/at/all", FAILING, "true", "echo one two", "'"])
def test_a_command_that_does_not_sign_stops_the_checkpoint(tmp_path: Path, command: str) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}", signer=by_command(command))
    store.migrate()
    with pytest.raises(SettingsError, match="WAITLIST_AUDIT_SIGNER"):
        checkpoints.make(store.database, at=NOW)
    assert batches.rows(store, schema.audit_checkpoint) == []


def _command(file: Path) -> str:
    return f"{sys.executable} -m waitlist.staging.signing {file}"


# Manifests


def test_a_checkpoint_that_was_removed_is_missed_by_its_manifest(store: StagingStore) -> None:
    kept = checkpoints.for_hand_off(store.database, "natt-1", at=NOW)
    assert kept is not None
    assert checkpoints.for_hand_off(store.database, "natt-1", at=NOW + dt.timedelta(days=9)) == kept
    told = {"natt-1": kept.told()}
    assert faults(store, **told) == []
    with unguarded(store) as connection:
        run(connection, "DELETE FROM {}audit_checkpoint WHERE checkpoint_no = 3")
        run(connection, "DELETE FROM {}audit_link WHERE chain = 'access_log' AND link_no = 4")
        run(connection, "DELETE FROM {}access_log WHERE entry_id = 'e7'")
    assert faults(store) == [], "what is after the last signature can be cut off"
    assert faults(store, **told) == [
        "access_log, link 4: the link is gone at checkpoint 3",
        "checkpoint 3: it is not what the manifest of batch natt-1 has",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"signature": "A" * 86 + "=="}, "checkpoint 3: in the manifest of batch natt-1 it has a signature"),
        ({"statement": "{}"}, "checkpoint 3: the manifest of batch natt-1 has no statement of its own"),
        ({"checkpoint": 2}, "checkpoint 2: the manifest of batch natt-1 has no statement of its own"),
    ],
)
def test_a_manifest_that_was_changed_is_found(store: StagingStore, change: dict[str, Any], said: str) -> None:
    kept = checkpoints.for_hand_off(store.database, "natt-1", at=NOW)
    assert kept is not None
    assert any(fault.startswith(said) for fault in faults(store, **{"natt-1": {**kept.told(), **change}}))


def test_a_manifest_without_its_part_is_found(store: StagingStore) -> None:
    assert faults(store, **{"natt-1": {}}) == ["checkpoint 0: the manifest of batch natt-1 has no statement of its own"]


def test_every_table_that_the_loader_may_only_add_to_is_chained() -> None:
    grants = (paths.SQL / "staging" / "grant_loader.postgresql.sql").read_text(encoding="utf-8")
    added_to = grants.partition("GRANT INSERT ON\n")[2].partition("TO waitlist_loader")[0]
    names = {name.strip(" ,\n").rpartition(".")[2] for name in added_to.splitlines() if name.strip()}
    # What is followed follows from released rows and from what the run read.
    not_chained = {"audit_checkpoint", "audit_link", "followed_post", "ledger_post"}
    assert names - not_chained <= {table.name for table in schema.CHAINED}
