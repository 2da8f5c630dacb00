"""Run a DAG several times in one process and without retries, and print as JSON how each run ended.

``python run_dags.py FOLDER DAG RUNS``: ``RUNS`` is a JSON list of ``{"environment": ..., "conf": ...}``, where a
run's environment comes on top of that of the run before.
"""

import json
import os
import sys
import time

from airflow.dag_processing.dagbag import DagBag

folder, dag_id, runs = sys.argv[1:]
dag = DagBag(folder).dags[dag_id]
for task in dag.tasks:
    task.retries = 0
for number, run in enumerate(json.loads(runs), start=1):
    os.environ.update(run["environment"])
    print(f"RUN {number}", flush=True)
    begun = time.monotonic()
    done = dag.test(run_conf=run["conf"])
    failed = sorted({one.task_id for one in done.get_task_instances() if str(one.state) == "failed"})
    ended = {"state": str(done.state), "failed": failed, "seconds": time.monotonic() - begun}
    print(f"ENDED{json.dumps(ended)}", flush=True)
