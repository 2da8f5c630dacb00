"""### Withdrawal of a released wave.

For a wave that was released by mistake. Where no receiver can have it, all its posts are free: a later wave may release
them again. Where it was handed off, where the receiver has said a word about it, or with the param `loaded`, it is
withdrawn after the load. Then a post is free when the receiver confirms that it was cancelled or rejected, at once or
by a later receipt (`make back-out` writes what must return). The audit trail keeps the name of the person that withdrew
it, the moment and the reason.

1. `describe_release` checks whether the batch is released.
2. `decide` waits for one of the approvers (`WAITLIST_APPROVERS`), who must write a reason. The same step carries out
   the answer: it removes the batch from the view and frees the posts that no receiver has, in one transaction, or
   records that it is kept.
3. `withdraw` confirms from the database that the batch is withdrawn.
4. `take_back_hand_off` removes the batch's files from `WAITLIST_HANDOFF_URL`, so that no receiver loads them.
5. `conclude` ends every run: it fails unless somebody has decided, in any state of the other steps.

**Schedule** none: trigger it by hand, for one batch. **Reads and writes** connection `millennium_staging`. **Removes
from** `WAITLIST_HANDOFF_URL`.
**Rerun** clear any task: a repeated withdrawal changes nothing. **When it fails** see `docs/errors.md`.
"""

import datetime as dt

from airflow.sdk import Param, chain, dag

from waitlist.swedish.steps import DAG_LABELS
from waitlist_airflow import approval, notify, steps, wiring


@dag(
    dag_display_name=DAG_LABELS["waitlist_withdrawal"],
    schedule=None,
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    dagrun_timeout=approval.longest_run(dt.timedelta(hours=6)),
    params={
        "batch_id": Param(
            type="string", minLength=1, title="Körning", description_md="Batch-id för den överförda körningen."
        ),
        "loaded": Param(
            default=False,
            type="boolean",
            title="Inläst",
            description_md="Millennium har läst in körningen. Har den lämnats över som filer räknas den alltid som "
            "inläst.",
        ),
    },
    tags=["waitlist", "migration"],
    on_failure_callback=notify.RunFailed(),
    on_success_callback=notify.WithdrawalEnded(),
    doc_md=__doc__,
    default_args={
        "owner": "migreringsledningen",
        "retries": 2,
        "retry_delay": dt.timedelta(seconds=30),
        "execution_timeout": dt.timedelta(hours=1),
    },
)
def waitlist_withdrawal() -> None:
    """Wire the steps in their order."""
    decided = approval.ask_for_withdrawal()
    every = [steps.describe_release(), decided, steps.withdraw(), steps.take_back_hand_off()]
    chain(*every)
    wiring.conclude(every, steps.conclude_withdrawal.override(task_id="conclude")())


waitlist_withdrawal()
