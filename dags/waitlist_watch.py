"""### Tells when no night comes.

The nightly dry run tells when it fails. It cannot tell when it does not run: paused, stuck behind another run, or
without a worker. This looks from beside it.

1. `watch_nights` looks when a dry run over every unit was last verified, or when the first one began. When that is more
   than 26 hours ago, the leads are told, once for each outage. It fails, without a message of its own, when it cannot
   look; an outage is then told all the same.

**Schedule** every hour, no catch-up, unpaused from the start. Silent before the first dry run, and after the last
go-live. **Reads** connection
`millennium_staging`, `units.csv`. **Writes** the Airflow variable `waitlist_watch`: since when, and whether it was
told. **Rerun** clear the task: what has been told is not told again. **When it fails** see `docs/errors.md`.
"""

import datetime as dt

from airflow.sdk import dag

from waitlist_airflow import steps


@dag(
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
