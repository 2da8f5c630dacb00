"""### Weekly removal of personal data whose retention period is over.

It removes the snapshots, work lists and rows of posts (booking requests, dispositions, findings, changes after release)
of old batches. Counts, results of expectations and gates, the audit trail and the list of released posts stay.

1. `remove_expired` counts the age of each batch from its last event. A dry run is kept for `keep_days`, a migration
   that no receiver has for `WAITLIST_KEEP_MIGRATION_DAYS`. A released one is kept until its receipts are complete, and
   for `WAITLIST_KEEP_RELEASED_DAYS` from its release on. The latest verified dry run, the latest one over every unit,
   and a batch that awaits approval are always kept.
   An entry `purged` in `batch_event` has the counts of what was removed. Entries of the access log go after
   `WAITLIST_KEEP_LOG_DAYS`, five years and a month or more, whatever becomes of their batch.

**Schedule** Sundays 05:00 Europe/Stockholm, no catch-up. Ages are counted up to the run's own date, never beyond today.
**Reads and writes** connection `millennium_staging`, the snapshot folder, `WAITLIST_WORKLISTS_DIR`. **Rerun** clear the
task, as often as you like: it continues where it stopped, and removes nothing twice. **Try first** the param
`only_tell` removes nothing and logs what would be removed. **When it fails** see `docs/errors.md`.
"""

import datetime as dt
from typing import Final

from airflow.sdk import CronDataIntervalTimetable, Param, dag

from waitlist.swedish.steps import DAG_LABELS
from waitlist_airflow import notify, steps

PARAMS: Final = {
    "keep_days": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=3653,
        title="Dagar",
        description_md="Så många dagar behålls en torrkörnings uppgifter. Tomt: som inställningen WAITLIST_KEEP_DAYS.",
    ),
    "only_tell": Param(
        default=False,
        type="boolean",
        title="Visa bara",
        description_md="Ta inte bort något, utan visa i loggen vad som skulle tas bort.",
    ),
}


@dag(
    dag_display_name=DAG_LABELS["waitlist_retention"],
    schedule=CronDataIntervalTimetable("0 5 * * 0", timezone="Europe/Stockholm"),
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=dt.timedelta(hours=20),
    params=PARAMS,
    tags=["waitlist", "retention"],
    on_failure_callback=notify.RunFailed(),
    doc_md=__doc__,
    default_args={
        "owner": "migreringsledningen",
        "retries": 2,
        "retry_delay": dt.timedelta(minutes=5),
        "execution_timeout": dt.timedelta(hours=4),
    },
)
def waitlist_retention() -> None:
    """Wire the one step."""
    steps.remove_expired()


waitlist_retention()
