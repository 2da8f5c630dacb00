"""### Release of one wave.

Reads, checks, stages and reconciles the posts of one wave by the same steps as the nightly dry run, measures the
gates, asks a person, and releases exactly the rows that were approved: from then on RevenueCycle's load reads them.

1. `open_batch` ... `verify`: as in `waitlist_dry_run`, for the units of the wave. Where `WAITLIST_PU` is `required`,
   `check_persons` asks the person service about everybody, and fails without an answer.
2. `request_approval` measures the gates (`gates.csv`) and fixes the batch's rows.
3. `approve` waits for one of the approvers (`WAITLIST_APPROVERS`) under *Required Actions*: counts by unit, gates,
   what has changed since the latest dry run. A gate that failed is overridden only with a written reason. The same
   step carries out the answer: it releases all rows or none, in one transaction, or closes the batch as rejected.
   Before that it asks the person service again about everybody whose answer is older than a day.
4. `release` confirms from the database what was decided, and skips what follows after a rejection.
5. `verify_released` proves that the view shows what was approved; `report` logs each unit's readiness.
6. `hand_off` writes the released rows for their receiver (`docs/hand-off.md`); it is skipped where
   `WAITLIST_HANDOFF_URL` is not set.
7. `mark_failed` runs only when a step has failed.
8. `conclude` ends every run: it fails unless somebody has decided, in any state of the other steps.

**Schedule** none: trigger it by hand, for one wave. **Reads** connection `pmo`, the mapping files, `expectations/`.
**Writes** connection `millennium_staging`, the snapshot folder, Data Docs, the folder of hand-offs. **Rerun** clear any
task before approval is asked for. After that the batch is fixed: clear `approve` with what follows to ask again, or to
finish. A released batch is never run again; `waitlist_withdrawal` withdraws it. **When it fails** see `docs/errors.md`.
"""

import datetime as dt
from typing import Final

from airflow.sdk import Param, chain, dag

from waitlist.swedish.steps import DAG_LABELS
from waitlist_airflow import approval, notify, steps, wiring

KIND: Final = "migration"

PARAMS: Final = {
    "wave": Param(
        type="string", minLength=1, title="Våg", description_md="Vågen som ska driftsättas, som den heter i units.csv."
    ),
    "as_of": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Per datum",
        description_md="Datum som väntelistorna läses och bedöms per. Tomt: dagens datum.",
    ),
    "units": Param(
        [],
        type="array",
        items={"type": "string", "minLength": 1},
        title="Enheter",
        description_md="Bara dessa av vågens enheter, som HSA-id. Tomt: alla enheter i vågen.",
    ),
}


@dag(
    dag_display_name=DAG_LABELS["waitlist_migration"],
    schedule=None,
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    dagrun_timeout=approval.longest_run(dt.timedelta(hours=24)),
    params=PARAMS,
    tags=["waitlist", "migration"],
    on_failure_callback=notify.RunFailed(KIND),
    on_success_callback=notify.RunEnded(KIND),
    doc_md=__doc__,
    default_args={
        "owner": "migreringsledningen",
        "retries": 2,
        "retry_delay": dt.timedelta(seconds=30),
        "execution_timeout": dt.timedelta(hours=2),
    },
)
def waitlist_migration() -> None:
    """Wire the steps in their order."""
    night = wiring.prepare(KIND)
    asked, decided = steps.request_approval(KIND), approval.ask_for_approval(KIND)
    released, verified, handed = steps.release(KIND), steps.verify_released(KIND), steps.hand_off(KIND)
    chain(night["verify"], asked, decided, released, verified, [steps.report(KIND), handed])
    wiring.end(KIND, [*night.values(), asked, decided, released, verified, handed])


waitlist_migration()
