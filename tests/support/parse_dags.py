"""Print as JSON what the DAG files and the plugin file import and how long they take, once Airflow is imported.

Usage: python parse_dags.py FILE...
"""

import importlib
import importlib.util
import json
import sys
import time
from pathlib import Path

AIRFLOW = ("airflow.dag_processing.dagbag", "airflow.plugins_manager", "airflow.sdk")
for name in AIRFLOW:
    importlib.import_module(name)

before = set(sys.modules)
begun = time.process_time()
parsed = []
for number, path in enumerate(map(Path, sys.argv[1:])):
    spec = importlib.util.spec_from_file_location(f"parsed_{number}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parsed.append((path.stem, module))
told = {"seconds": time.process_time() - begun, "modules": sorted(set(sys.modules) - before)}
dags = [getattr(module, name)() for name, module in parsed if hasattr(module, name)]
after = {
    dag.dag_id: {task.task_id: sorted(task.get_flat_relative_ids(upstream=True)) for task in dag.tasks} for dag in dags
}
ends = {
    dag.dag_id: {task.task_id: task.trigger_rule for task in dag.teardowns if task.on_failure_fail_dagrun}
    for dag in dags
}
readers = {dag.dag_id: dag.get_task("extract").max_active_tis_per_dag for dag in dags if dag.has_task("extract")}
asking = {
    dag.dag_id: {
        name: [dag.get_task(name).pool, dag.get_task(name).retry_delay.total_seconds()]
        for name in ("approve", "check_persons")
        if dag.has_task(name)
    }
    for dag in dags
}
asking = {dag_id: tasks for dag_id, tasks in asking.items() if tasks}
labels = {
    dag.dag_id: {"dag": dag.dag_display_name} | {task.task_id: task.task_display_name for task in dag.tasks}
    for dag in dags
}
told |= {"labels": labels}
print("PARSED" + json.dumps(told | {"readers": readers, "asking": asking, "after": after, "ends": ends}))
