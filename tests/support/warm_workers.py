"""Imported once by the process that the scheduler's workers are forked from; else every task imports all of it anew."""

import gc
import importlib

from waitlist.quality import quiet

quiet.quieten()
for name in (
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
