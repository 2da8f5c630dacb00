"""### Take a released wave back.

For a wave that was released by mistake and that RevenueCycle has not loaded yet. Its posts are free again for a later
wave; the audit trail keeps who took it back, when and why.

1. `describe_release` tells what the batch released.
2. `decide` waits for one of the approvers (`WAITLIST_APPROVERS`), who must write why.
3. `withdraw` empties the view of the batch and frees its posts, in one transaction.

**Schedule** none: trigger it by hand, for one batch. **Reads and writes** connection `millennium_staging`.
**Rerun** clear any task: a withdrawal that is repeated changes nothing. **When it fails** see `docs/operations.md`.
"""

import datetime as dt
from typing import Final

from airflow.sdk import Param, chain, dag

from waitlist_airflow import approval, notify, steps

BATCH: Final = "{{ params.batch_id }}"


@dag(
    schedule=None,
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    params={
        "batch_id": Param(
            type="string", minLength=1, title="Körning", description_md="Batch-id för den överförda körningen."
        )
    },
    tags=["waitlist", "migration"],
    on_failure_callback=notify.RunFailed(),
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
    described = steps.describe_release(BATCH)
    answer = approval.ask(
        "decide",
        subject="Ska körningen återtas från Millennium?",
        body="{{ ti.xcom_pull(task_ids='describe_release')['summary'] }}",
        options=(approval.WITHDRAW, approval.KEEP),
        asks_from="Krävs: skriv varför, minst tio tecken och inga patientuppgifter.",
        told="{{ ti.xcom_pull(task_ids='describe_release')['told'] }}",
    )
    chain(described, answer, steps.withdraw(BATCH, answer.output))


waitlist_withdrawal()
