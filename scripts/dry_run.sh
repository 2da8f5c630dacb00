#!/usr/bin/env bash
# The dry-run DAG, synchronously, on the connections and settings of the environment; fails when the run fails.
set -euo pipefail
source "$(dirname "$0")/env.sh"

as_of=${AS_OF:-}
conf='{}'
if [[ -n $as_of ]]; then
    [[ $as_of =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] && python -c 'import datetime, sys; datetime.date.fromisoformat(sys.argv[1])' "$as_of" 2>/dev/null ||
        die "AS_OF: «$as_of» is not a date; write it as YYYY-MM-DD"
    conf="{\"as_of\": \"$as_of\"}"
fi
for connection in AIRFLOW_CONN_PMO AIRFLOW_CONN_MILLENNIUM_STAGING; do
    [[ -n ${!connection:-} ]] || echo "$connection is not set: Airflow's own connection of that name is used"
done

migrate_airflow
airflow dags test waitlist_dry_run --conf "$conf"
