"""``python -m waitlist_airflow.audit``: checks the chains of the append-only tables, or signs their ends.

``verify`` reads alone, and prints the first row of each table that does not fit. ``sign`` makes a checkpoint with the
key or the command of the settings.
"""

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path

from waitlist.exceptions import WaitlistError
from waitlist.settings import Settings
from waitlist.staging import StagingStore
from waitlist.steps.audit import UNSIGNED, sign, summary, verify
from waitlist_airflow.connections import audit_signer, place, staging_url


def main(arguments: Sequence[str] | None = None) -> int:
    """Check or sign; return 0, or 1 with the reason: a fault, or what could not be read or signed."""
    parser = argparse.ArgumentParser(prog="python -m waitlist_airflow.audit", description=__doc__)
    parser.add_argument("act", choices=("verify", "sign"))
    parser.add_argument("--key", type=Path, help="the public key; by default WAITLIST_AUDIT_PUBLIC_KEY")
    given = parser.parse_args(arguments)
    try:
        settings = Settings.read()
        if given.act == "sign":
            store = StagingStore(
                staging_url(settings.accounts.staging_releaser),
                connections=settings.connections,
                signer=audit_signer(settings),
            )
            made = sign(store, now=dt.datetime.now(tz=dt.UTC))
            how = UNSIGNED if made.signature is None else f"signed with key {made.key_id}"
            sys.stdout.write(f"checkpoint {made.checkpoint_no}: {how}\n")
            return 0
        key = given.key or settings.audit_public_key
        hand_offs = place(settings.handoff_url, settings) if settings.handoff_url else None
        store = StagingStore(staging_url(settings.accounts.staging_dashboard), connections=settings.connections)
        found = verify(store, hand_offs, key, _tell)
    except WaitlistError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for line in summary(found, has_key=key is not None):
        _tell(line)
    return 1 if found.faults else 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
