"""Checking and signing the chains of the append-only tables, for a command."""

import datetime as dt
from pathlib import Path

import sqlalchemy as sa
from upath import UPath

from waitlist.release.handoff.writing import read_audit
from waitlist.staging import StagingStore, checkpoints, schema
from waitlist.staging.chain_check import Found, Tell, check
from waitlist.staging.database import refusals_named
from waitlist.staging.signing import read_public_key

UNSIGNED = "UNSIGNED"
"""The word with which every line about an unsigned checkpoint begins."""


def verify(store: StagingStore, hand_offs: UPath | None, public_key: Path | None, tell: Tell) -> Found:
    """Check the chains, the checkpoints, and the manifests of hand-offs that are still there.

    Args:
        store: the staging database.
        hand_offs: the folder of the hand-offs; None: no manifest is read.
        public_key: the file of the public key; None: signatures are not checked.
        tell: receives a line for each table.

    Raises:
        SettingsError: the public key cannot be read.
        HandOffError: a manifest cannot be read.
        StagingError: the database cannot be read, or its schema is not that of this release.
    """
    key = None if public_key is None else read_public_key(public_key)
    manifests = {}
    with refusals_named("listing the hand-offs"), store.database.connected() as connection:
        batches = list(connection.scalars(sa.select(schema.hand_off.c.batch_id).distinct()))
    for batch_id in batches if hand_offs is not None else ():
        assert hand_offs is not None  # noqa: S101 - tells the type checker
        told = read_audit(hand_offs, batch_id)
        if told is not None:
            manifests[batch_id] = told
    return check(store.database, key=key, manifests=manifests, tell=tell)


def sign(store: StagingStore, *, now: dt.datetime) -> checkpoints.Checkpoint:
    """Make a checkpoint now.

    Raises:
        SettingsError: it could not be signed.
        StagingError: the database refused.
    """
    return checkpoints.make(store.database, at=now)


def summary(found: Found, *, has_key: bool) -> list[str]:
    """Return what the check found, line by line: the first fault of each table, and how many more there are."""
    lines = [
        f"{found.rows:,} rows, {found.links:,} links, {found.checkpoints:,} checkpoints, {found.manifests:,} manifests"
    ]
    if not found.checkpoints:
        lines.append(f"{UNSIGNED}: there is no checkpoint: an owner of the database could have written all of it again")
    elif found.unsigned:
        lines.append(f"{UNSIGNED}: {found.unsigned:,} of {found.checkpoints:,} checkpoints: no key was set")
    if has_key:
        lines.append(f"{found.signed:,} checkpoints are signed with the key")
    elif found.checkpoints > found.unsigned:
        lines.append(f"UNCHECKED: the signatures of {found.checkpoints - found.unsigned:,} checkpoints: name the key")
    told = set[str]()
    for fault in found.faults:
        if fault.table not in told:
            told.add(fault.table)
            more = sum(other.table == fault.table for other in found.faults) - 1
            lines.append(f"FAULT: {fault}" + (f" (and {more:,} more of this table)" if more else ""))
    lines.append("Something does not fit." if found.faults else "Everything fits.")
    return lines
