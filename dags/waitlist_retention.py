"""### Weekly removal of personal data whose time is up.

Snapshots, work lists and row detail (booking requests, dispositions, findings, changes after release) of batches that
have aged are removed. Counts, expectations, gates, the audit trail and the list of released posts stay.

1. `remove_expired` judges each batch by the last thing that happened to it: a dry run is kept for `keep_days`, a
   migration, released or not, for `WAITLIST_KEEP_MIGRATION_DAYS`, a released one counted from its release. Always kept
   are the latest verified dry run, the latest over every unit, and a batch that awaits its approval.
   What is removed stands in `batch_event` as `purged`, with counts.

**Schedule** Sundays 05:00 Europe/Stockholm, no catch-up. Ages are counted to the run's own date, never beyond today.
**Reads and writes** connection `millennium_staging`, the snapshot folder, `WAITLIST_WORKLISTS_DIR`. **Rerun** clear the
task, as often as you like: it goes on where it was stopped, and finds nothing twice. **Look first** the param
`only_tell` removes nothing and says in the log what would be. **When it fails** see `docs/errors.md`.
"""

import datetime as dt
from typing import Final

from airflow.sdk import CronDataIntervalTimetable, Param, dag

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
