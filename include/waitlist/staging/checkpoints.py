"""Checkpoints: the ends of all chains at a moment, in one statement that is signed where the deployment has a key.

An owner of the database can write every chain again. A signature binds the ends: with the public key alone, anybody
can prove that what was there then is there now. A checkpoint has the SHA-256 of the one before, and is made before
rows are removed, with what will be removed; for each batch that is handed off, in its manifest; every night where the
deployment has a key; and on request.
Without a key it is made too, and says that it is unsigned.
"""

import datetime as dt
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from waitlist.staging import chain, schema
from waitlist.staging.chain import runner
from waitlist.staging.database import Database, refusals_named
from waitlist.staging.signing import Signer

log = logging.getLogger(__name__)

FORMAT: Final = 1
REMOVAL: Final = "removal"
"""Why a checkpoint is made: rows are removed."""
HAND_OFF: Final = "hand_off"
NIGHT: Final = "night"
ASKED: Final = "asked"

_CHAIN: Final = "checkpoints"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A row of ``audit_checkpoint``."""

    checkpoint_no: int
    batch_id: str | None
    statement: str
    """What is signed, as JSON."""
    signature: str | None
    """Ed25519 over the statement in UTF-8, in base64; None for an unsigned one."""
    key_id: str | None
    """The SHA-256 of the public key."""

    @property
    def at(self) -> dt.datetime:
        """The moment, aware."""
        return dt.datetime.fromisoformat(json.loads(self.statement)["at"])

    @property
    def heads(self) -> dict[str, chain.Head]:
        """The end of each chain."""
        heads = json.loads(self.statement)["heads"]
        return {name: chain.Head(head["link"], head["sha256"]) for name, head in heads.items()}

    @property
    def sha256(self) -> str:
        """What the next checkpoint has of this one."""
        return chain.digest_of("\x1f".join((self.statement, self.signature or "", self.key_id or "")))

    def told(self) -> dict[str, Any]:
        """Return it as a manifest has it."""
        return {
            "checkpoint": self.checkpoint_no,
            "signed": self.signature is not None,
            "statement": self.statement,
            "signature": self.signature,
            "key_id": self.key_id,
        }


def latest(connection: sa.Connection) -> Checkpoint | None:
    """Return the last checkpoint: the ends of the chains, their moment and signature; None before the first."""
    return _read(connection, sa.true())


def of_batch(connection: sa.Connection, batch_id: str) -> Checkpoint | None:
    """Return the checkpoint that a batch's manifest has."""
    return _read(connection, schema.audit_checkpoint.c.batch_id == batch_id)


def make(database: Database, *, at: dt.datetime, why: str = ASKED) -> Checkpoint:
    """Make a checkpoint, signed where the database has a signer.

    Args:
        database: the staging database.
        at: the moment, aware.
        why: the reason, as the statement has it.

    Raises:
        SettingsError: it could not be signed. None is made then.
        StagingError: the database refused.
    """
    with refusals_named("making a checkpoint"), database.writing() as connection:
        return _make(connection, database.signer, at=at, why=why)


def for_hand_off(database: Database, batch_id: str, *, at: dt.datetime) -> Checkpoint | None:
    """Return the checkpoint of a batch's manifest, made at the first call and kept with the batch.

    Args:
        database: the staging database.
        batch_id: the batch.
        at: the moment, aware.

    Returns:
        None for a batch that an earlier release has handed off: its manifest stays as it is.

    Raises:
        SettingsError: it could not be signed. None is made then.
        StagingError: the database refused.
    """
    handed = schema.hand_off.c
    with refusals_named("making a checkpoint"), database.writing() as connection:
        _take_turns(connection)
        kept = of_batch(connection, batch_id)
        if kept is not None:
            return kept
        if connection.scalar(sa.select(handed.batch_id).where(handed.batch_id == batch_id).limit(1)) is not None:
            return None
        return _make(connection, database.signer, at=at, why=HAND_OFF, batch_id=batch_id)


def announce_removals(database: Database, connection: sa.Connection, *, at: dt.datetime) -> None:
    """Make a checkpoint that names what the transaction has removed from chained tables; without such rows none.

    Without it the transaction cannot commit. Nobody sees the removal before the checkpoint.

    Args:
        database: the staging database.
        connection: in the transaction that removes the rows.
        at: the moment, aware.

    Raises:
        SettingsError: it could not be signed.
    """
    pending = chain.pending_of(connection)
    removed = pending.removed()
    if removed:
        _make(connection, database.signer, at=at, why=REMOVAL, removed=removed)
        pending.announced = removed


def _make(
    connection: sa.Connection,
    signer: Signer | None,
    *,
    at: dt.datetime,
    why: str,
    batch_id: str | None = None,
    removed: Mapping[str, tuple[int, str]] | None = None,
) -> Checkpoint:
    run = runner(connection)
    _take_turns(connection)
    before = latest(connection)
    names = sorted({table.name for table in schema.CHAINED} | set(before.heads if before else ()))
    heads = {name: chain.head_of(run, name) for name in names}
    told: dict[str, Any] = {
        "format": FORMAT,
        "checkpoint": 1 if before is None else before.checkpoint_no + 1,
        "at": at.astimezone(dt.UTC).isoformat(),
        "why": why,
        "previous": None if before is None else before.sha256,
        "heads": {name: {"link": head.link_no, "sha256": head.sha256} for name, head in heads.items()},
    }
    if batch_id is not None:
        told["batch_id"] = batch_id
    if removed:
        told["removed"] = {name: {"rows": rows, "sha256": sha256} for name, (rows, sha256) in removed.items()}
    statement = json.dumps(told, ensure_ascii=False, sort_keys=True)
    signed = None
    if signer is None:
        log.warning("checkpoint %d is UNSIGNED: this deployment has no WAITLIST_AUDIT_KEY", told["checkpoint"])
    else:
        signed = signer(statement.encode())
    made = Checkpoint(told["checkpoint"], batch_id, statement, *(signed or (None, None)))
    values = {name: getattr(made, name) for name in ("checkpoint_no", "batch_id", "statement", "signature", "key_id")}
    connection.execute(schema.audit_checkpoint.insert().values(values))
    return made


def _read(connection: sa.Connection, which: sa.ColumnElement[bool]) -> Checkpoint | None:
    table = schema.audit_checkpoint
    query = sa.select(table).where(which).order_by(table.c.checkpoint_no.desc()).limit(1)
    found = connection.execute(query).mappings().one_or_none()
    return None if found is None else Checkpoint(**found)


def _take_turns(connection: sa.Connection) -> None:
    chain.take_turns(runner(connection), connection.dialect.name, _CHAIN)
