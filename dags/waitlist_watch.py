"""### Watch over the nightly dry runs.

The nightly dry run sends a message when it fails. It cannot send one when it does not run: when it is paused, waits
for another run, or has no worker. This DAG checks that from outside.

1. `watch_nights` reads when a dry run over every unit was last verified, or when the first one began. When that is
   more than 26 hours ago, it sends the leads one message for each outage. It fails, without a message of its own, when
   the database cannot be read; the message about an outage is sent nevertheless.

**Schedule** every hour, no catch-up, unpaused from the start. Silent before the first dry run, and after the last
go-live. **Reads** connection
`millennium_staging`, `units.csv`. **Writes** the Airflow variable `waitlist_watch`: the moment of the last night, and
whether the message was sent. **Rerun** clear the task: no message is repeated. **When it fails** see `docs/errors.md`.
"""

import datetime as dt

from airflow.sdk import dag

from waitlist.swedish.steps import DAG_LABELS
from waitlist_airflow import steps


@dag(
    dag_display_name=DAG_LABELS["waitlist_watch"],
    schedule="17 * * * *",
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    dagrun_timeout=dt.timedelta(minutes=50),
    tags=["waitlist", "dry-run"],
    doc_md=__doc__,
    default_args={
        "owner": "migreringsledningen",
        "retries": 1,
        "retry_delay": dt.timedelta(minutes=5),
        "execution_timeout": dt.timedelta(minutes=15),
    },
)
def waitlist_watch() -> None:
    """Wire the one step."""
    steps.watch_nights()


waitlist_watch()
