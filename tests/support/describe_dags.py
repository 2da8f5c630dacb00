"""Print as JSON the DAGs in the files of a folder, as Airflow reads them."""

import json
import sys

from airflow.dag_processing.dagbag import DagBag

bag = DagBag(sys.argv[1])
dags = {
    dag.dag_id: {
        "doc": dag.doc_md,
        "tags": sorted(dag.tags),
        "catchup": dag.catchup,
        "schedule": repr(dag.schedule),
        "tells": bool(dag.on_failure_callback),
        "longest_hours": dag.dagrun_timeout and dag.dagrun_timeout.total_seconds() / 3600,
        "tasks": {
            task.task_id: {
                "owner": task.owner,
                "retries": task.retries,
                "asks_a_human": hasattr(task, "response_timeout"),
                "ends": bool(getattr(task, "response_timeout", None) or task.execution_timeout),
            }
            for task in dag.tasks
        },
        "params": {name: dag.params.get_param(name).schema.get("description_md") for name in dag.params},
    }
    for dag in bag.dags.values()
}
print("DAGS" + json.dumps({"errors": bag.import_errors, "dags": dags}))
