"""Imports the tasks' libraries once, in the process that LocalExecutor's workers are forked from.

Otherwise each task would import Great Expectations, pandas and Arrow itself, which takes longer than most tasks work.
Airflow's setting ``mp_forkserver_preload`` names this module (``docs/operations.md``); nothing else imports it.
"""

import gc
import importlib

from waitlist.quality import quiet
from waitlist_airflow import lineage_guard

quiet.quieten()
_LINEAGE = ("airflow.providers.openlineage.plugins.listener", "waitlist_airflow.lineage")
for name in (
    "adbc_driver_postgresql.dbapi",
    "airflow.dag_processing.dagbag",
    "airflow.executors.local_executor",
    "airflow.providers_manager",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "great_expectations.render.view.view",
    "waitlist.quality.engine",
    "waitlist.steps.pipeline",
    "waitlist_airflow.connections",
    "waitlist_airflow.runs",
    "waitlist_airflow.steps",
    *(_LINEAGE if lineage_guard.close() else ()),
):
    importlib.import_module(name)
# Airflow's own executor does this too before it forks: the children then share these memory pages.
gc.collect()
gc.freeze()
