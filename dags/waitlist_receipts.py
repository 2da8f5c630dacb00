"""### Receipts: what the receiver says of released posts.

A receiver writes files to `WAITLIST_RECEIPTS_URL`, or inserts rows into the table `receipt_inbox`. Each row is one word
about a post: accepted, rejected, booked or cancelled (`docs/hand-off.md`).

1. `take_receipts` takes each file whole, or refuses it whole, and then each row of the inbox. A file that was taken
   goes to `done/`. A file with a fault goes to `refused/`, with every fault and its line in a file beside it. A faulty
   row goes to the table `receipt_fault`. The leads get a message about what was refused.

**Schedule** every hour, no catch-up. **Reads** `WAITLIST_RECEIPTS_URL`, `receipt_columns.csv`. **Reads and writes**
connection `millennium_staging`. **Rerun** clear the task, as often as you like: a row that is known changes nothing.
**When it fails** see `docs/errors.md`.
"""

import datetime as dt

from airflow.sdk import dag

from waitlist.swedish.steps import DAG_LABELS
from waitlist_airflow import notify, steps


@dag(
    dag_display_name=DAG_LABELS["waitlist_receipts"],
    schedule="37 * * * *",
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=dt.timedelta(minutes=55),
    tags=["waitlist", "migration"],
    on_failure_callback=notify.RunFailed(),
    doc_md=__doc__,
    default_args={
        "owner": "migreringsledningen",
        "retries": 2,
        "retry_delay": dt.timedelta(minutes=1),
        "execution_timeout": dt.timedelta(minutes=45),
    },
)
def waitlist_receipts() -> None:
    """Wire the one step."""
    steps.take_receipts()


waitlist_receipts()
