"""``python -m waitlist_airflow.dry_run``: runs the dry-run DAG synchronously, on the environment's connections.

It does the same as ``airflow dags test waitlist_dry_run``, with one difference: with an as-of date the run always has
the same id. So a second run replaces the batch instead of adding another.
"""

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from typing import Final

from airflow.sdk import DAG, DagRunState, TaskInstanceState
from airflow.utils.cli import get_bagged_dag

from waitlist.columns.dates import STOCKHOLM
from waitlist_airflow.runs import CONCLUDE

DAG_ID: Final = "waitlist_dry_run"
NIGHTLY: Final = dt.time(4, tzinfo=STOCKHOLM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the DAG; return 0 when the run succeeded, 1 when it failed."""
    parser = argparse.ArgumentParser(prog="python -m waitlist_airflow.dry_run", description="Run the dry run.")
    parser.add_argument("--as-of", type=dt.date.fromisoformat, metavar="YYYY-MM-DD", help="default: today")
    return run(load(), parser.parse_args(arguments).as_of)


def load() -> DAG:
    """Return the DAG; load it once for many runs."""
    return get_bagged_dag(bundle_names=None, dag_id=DAG_ID)


def run(dag: DAG, as_of: dt.date | None) -> int:
    """Run the DAG as of a date, None for today; return 0 when the run succeeded, 1 when it failed."""
    moment = dt.datetime.now(dt.UTC) if as_of is None else dt.datetime.combine(as_of, NIGHTLY)
    conf = {} if as_of is None else {"as_of": as_of.isoformat()}
    done = dag.test(run_after=moment, logical_date=moment, run_conf=conf)
    if done.state == DagRunState.SUCCESS:
        return 0
    every = {task.task_id for task in done.get_task_instances(state=[TaskInstanceState.FAILED])}
    # ``conclude`` fails whenever another task does.
    failed = sorted(every - {CONCLUDE} or every)
    hint = "its error is above" if len(failed) == 1 else "their errors are above"
    sys.stderr.write(f"The dry run failed in {', '.join(failed)}: {hint}, and docs/errors.md says what to do.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
