"""What tasks need, imported once by the process that LocalExecutor's workers are forked from (``docs/operations.md``).

Otherwise each task imports Great Expectations, pandas and Arrow anew, which takes longer than most of them work.
Named in Airflow's setting ``mp_forkserver_preload``, and imported by nothing else.
"""

import gc
import importlib

from waitlist.quality import quiet

quiet.quieten()
for name in (
    "adbc_driver_postgresql.dbapi",
    "airflow.dag_processing.dagbag",
    "airflow.executors.local_executor",
    "airflow.providers_manager",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "great_expectations.render.view.view",
    "waitlist.quality.engine",
    "waitlist_airflow.connections",
    "waitlist_airflow.runs",
    "waitlist_airflow.steps",
):
    importlib.import_module(name)
# As Airflow's own executor does before it forks: the children then share these pages.
gc.collect()
gc.freeze()
