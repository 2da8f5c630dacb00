"""The demo's history: a pilot whose posts were released and handed off a month earlier, by the pipeline's own steps.

    python -m waitlist.demo --pmo CONNECTION-STRING --staging URL --out FOLDER

So the demo's dry run finds posts that are already in Millennium, as every dry run after the first wave does. A new key
that signs the audit trails is written where the settings name a file for it that is not there.
"""

import argparse
import csv
import datetime as dt
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from upath import UPath

from waitlist import paths
from waitlist.command_line import add_staging, odbc_without_password, staging_url
from waitlist.deployment import Facts
from waitlist.judge.assess import Assessment, assess
from waitlist.judge.posts import RuleContext
from waitlist.release import gates
from waitlist.release.decisions import release, request_approval, verify_released
from waitlist.release.handoff.content import Content
from waitlist.release.handoff.writing import hand_off
from waitlist.release.references import missing_references
from waitlist.settings import RuleSettings, Settings
from waitlist.simulator import MAPPINGS, RELEASED
from waitlist.source.pmo import PmoSource, Selection
from waitlist.staging import PIPELINE, StagingStore
from waitlist.staging.reconcile import PartitionEvidence, reconcile
from waitlist.staging.signing import by_file

BATCH: Final = "migration-pilot"
AS_OF: Final = dt.date(2024, 9, 1)
APPROVER: Final = "Demoledningen"
REASON: Final = "Pilot före den första torrkörningen: ingen svit är körd, och det finns inget att jämföra med."
RELEASED_AT: Final = dt.datetime(2024, 9, 1, 18, 0, tzinfo=dt.UTC)


def release_pilot(source: PmoSource, store: StagingStore, folder: Path) -> int:
    """Stage, reconcile, approve and release the posts that the simulator chose for the pilot.

    Args:
        source: the synthetic PMO.
        store: a staging database at the current revision, without the pilot.
        folder: the folder to which the simulator wrote its mapping files and its list of posts.

    Returns:
        the number of posts released.
    """
    with (folder / RELEASED).open(encoding="utf-8") as file:
        chosen = pa.array([int(row["post_id"]) for row in csv.DictReader(file)], pa.int64())
    settings = Settings(mappings_dir=folder / MAPPINGS, expectations_dir=paths.EXPECTATIONS, rules=RuleSettings())
    facts = Facts.read(settings)
    context = RuleContext(AS_OF, facts.mappings, facts.rules)
    selection = Selection(AS_OF)

    def chunks() -> Iterator[Assessment]:
        for partition in source.plan(selection):
            for table in source.read(selection, partition):
                yield assess(table.filter(pc.is_in(table.column("post_id"), chosen)), context)

    origin = {"dag_id": "waitlist_migration", "run_id": "pilot", "wave": "pilot", "rules_version": facts.version}
    store.open_batch(BATCH, kind="migration", as_of=AS_OF, started_at=RELEASED_AT, facts=facts.digests, **origin)
    store.stage_partition(BATCH, None, None, chunks())
    store.mark_staged(BATCH)
    evidence = [PartitionEvidence(None, None, len(chosen))]
    reconcile(store, BATCH, source_posts=len(chosen), evidence=evidence, now=RELEASED_AT)
    store.mark_verified(BATCH, RELEASED_AT)
    suites = facts.suites.values()
    measured = gates.evaluate(store, BATCH, facts.limits, mappings=facts.mappings, suites=suites)
    request_approval(store, BATCH, measured, PIPELINE, RELEASED_AT)
    release(store, BATCH, APPROVER, REASON, RELEASED_AT)
    return verify_released(store, BATCH)


def hand_off_pilot(store: StagingStore, settings: Settings, folder: UPath) -> None:
    """Write the pilot for its receiver, as its release did.

    Args:
        store: the staging database, with the pilot released.
        settings: the demo's settings.
        folder: the folder of hand-offs.
    """
    references = Facts.read(settings).mappings.references
    content = Content(settings.rules.post_system, references, missing_references(store, BATCH, references))
    hand_off(store, folder, BATCH, content, RELEASED_AT)


def make_key(file: Path) -> None:
    """Write a new private key, for its owner alone, and the public one beside it; a key that is there stays."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as private:
        private.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    file.with_suffix(".pub.pem").write_bytes(public)


def main(arguments: Sequence[str] | None = None) -> None:
    """Release the pilot with the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m waitlist.demo", description="Release the demo's pilot.")
    parser.add_argument("--pmo", required=True, metavar="CONNECTION-STRING", type=odbc_without_password)
    add_staging(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="what the simulator wrote")
    given = parser.parse_args(arguments)
    settings = Settings.read()
    signer = None
    if settings.audit_key is not None:
        key = Path(settings.audit_key)
        make_key(key)
        signer = by_file(key)
    store = StagingStore(staging_url(parser, given), connections=settings.connections, signer=signer)
    store.migrate()
    posts = release_pilot(PmoSource(given.pmo, settings), store, given.out)
    if settings.handoff_url is not None:
        hand_off_pilot(store, settings, UPath(settings.handoff_url))
    print(f"{posts} posts of the pilot were released on {RELEASED_AT:%Y-%m-%d}")  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
