"""### Nightly dry run of the waitlist migration.

Reads every waitlist post from PMO as of a date, checks it, gives it exactly one disposition, stages the booking
requests that could be migrated and proves that everything adds up. Nothing is released to Millennium.

1. `open_batch` fixes the run's as-of date, units and version of the rules. After the last go-live it skips the run,
   once no released post is open and none that a wave left behind lacks an outcome.
2. `plan_extract` counts PMO's posts and divides them into partitions by `post_id`.
3. `extract` (one task for each partition) reads a partition over ODBC into a Parquet snapshot.
4. `check_contract` stops the run when the extract breaks its contract.
5. `find_duplicates` looks for patients with two posts on the same list, in the whole batch. At the same time
   `check_persons` (one task for each partition) asks the person service about everybody who waits; it goes on
   without an answer. There is no such step where `WAITLIST_PU` is `off`.
6. `assess` (one task for each partition) gives findings and dispositions, and replaces the partition in staging.
   `find_changes` finds released posts that have since been changed or closed in PMO, for staff to correct by hand.
7. `check_snapshot` runs the other suites on the snapshot, once the person service was asked; they decide the outcome
   that is shown. At the same time `reconcile` reads the staged rows back, compares source, snapshot and staging, and
   runs the suite on booking requests over the same rows.
8. `verify` comes after all of these: only then does the batch count for readers.
9. `report` logs each unit's readiness; `watch_gates` measures the gates and sends the leads a message when one has
   turned red; `note_outcomes` writes which of the posts that a wave left behind were released later or closed in PMO;
   `mark_failed` runs only when a step has failed, and closes the batch as failed.
10. `conclude` ends every run: it fails unless the batch is verified, in any state of the other steps.
11. `verify_releases` runs beside all of these, also after the last go-live. It proves that the released rows are
   still exactly what was approved.
12. `watch_receipts` runs beside them too. It stores how many released posts are open and late, and sends the leads a
   message about those that the receiver has not answered, or has accepted and not booked in time.

**Schedule** 04:00 Europe/Stockholm, no catch-up. **Reads** connection `pmo`, the mapping files, `expectations/`.
**Writes** connection `millennium_staging`, the snapshot folder, Data Docs. **Rerun** clear any task, or the whole
run: a batch replaces itself and nobody else's rows. **Backfill** `airflow backfill create --dag-id waitlist_dry_run`
re-creates past days, as far as PMO keeps history. **Replay** the param `reuse_snapshot` names a batch whose snapshot
is read instead, under today's mapping files. **When it fails** see `docs/errors.md`.
"""

import datetime as dt
from typing import Final

from airflow.sdk import CronDataIntervalTimetable, Param, chain, dag

from waitlist.swedish.steps import DAG_LABELS
from waitlist_airflow import notify, steps, wiring

KIND: Final = "dry_run"

PARAMS: Final = {
    "as_of": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Per datum",
        description_md="Datum som väntelistorna läses och bedöms per. Tomt: körningens eget datum.",
    ),
    "waves": Param(
        [],
        type="array",
        items={"type": "string", "minLength": 1},
        title="Vågor",
        description_md="Bara enheterna i dessa vågor. Tomt: alla enheter.",
    ),
    "units": Param(
        [],
        type="array",
        items={"type": "string", "minLength": 1},
        title="Enheter",
        description_md="Bara enheterna med dessa HSA-id. Tomt: alla enheter.",
    ),
    "reuse_snapshot": Param(
        None,
        type=["null", "string"],
        title="Återanvänd avläsning",
        description_md="Batch-id vars avläsning bedöms på nytt i stället för att PMO läses. Det räknas inte som den "
        "senaste torrkörningen. Tomt: PMO läses.",
    ),
}


@dag(
    dag_display_name=DAG_LABELS["waitlist_dry_run"],
    # Not between 02:00 and 03:00, which summer time skips; a plain cron string would give an empty interval.
    schedule=CronDataIntervalTimetable("0 4 * * *", timezone="Europe/Stockholm"),
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    # So a run that is stuck, or has a future date, does not delay the next night.
    dagrun_timeout=dt.timedelta(hours=20),
    params=PARAMS,
    tags=["waitlist", "dry-run"],
    on_failure_callback=notify.RunFailed(),
    on_success_callback=notify.RunEnded(KIND),
    doc_md=__doc__,
    default_args={
        "owner": "migreringsledningen",
        "retries": 2,
        "retry_delay": dt.timedelta(seconds=30),
        "execution_timeout": dt.timedelta(hours=2),
    },
)
def waitlist_dry_run() -> None:
    """Wire the steps in their order."""
    night = wiring.prepare(KIND)
    chain(night["verify"], [steps.report(KIND), steps.watch_gates(KIND), steps.note_outcomes(KIND)])
    wiring.end(KIND, night.values())
    steps.verify_releases()
    steps.watch_receipts()


waitlist_dry_run()
