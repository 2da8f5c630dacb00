"""``python -m waitlist_airflow.health [--pmo]``: for a monitor, one line of JSON about staging, the nights and PMO.

With ``--pmo`` it runs where tasks run, with the loader's account; without, where pages are shown, with the dashboard's.
"""

import argparse
import datetime as dt
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from waitlist.exceptions import WaitlistError
from waitlist.settings import Account
from waitlist_airflow import runs


def main(arguments: Sequence[str] | None = None) -> int:
    """Print it; return 0 where all is well, 1 where there is a fault."""
    parser = argparse.ArgumentParser(prog="python -m waitlist_airflow.health", description=__doc__)
    parser.add_argument("--pmo", action="store_true", help="log in to PMO too")
    given = parser.parse_args(arguments)
    try:
        pipeline = runs.pipeline(Account.LOADER if given.pmo else Account.DASHBOARD)
        found = asdict(pipeline.health(now=dt.datetime.now(dt.UTC), ask_pmo=given.pmo))
    except WaitlistError as error:
        found = {"faults": [str(error)]}
    sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
