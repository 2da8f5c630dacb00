#!/usr/bin/env bash
# The dry-run DAG, synchronously, on the connections and settings of the environment; fails when the run fails.
set -euo pipefail
source "$(dirname "$0")/env.sh"

as_of=${AS_OF:-}
if [[ -n $as_of ]]; then
    [[ $as_of =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] && date -d "$as_of" >/dev/null 2>&1 ||
        die "AS_OF: «$as_of» is not a date; write it as YYYY-MM-DD"
fi
for connection in AIRFLOW_CONN_PMO AIRFLOW_CONN_MILLENNIUM_STAGING; do
    [[ -n ${!connection:-} ]] || echo "$connection is not set: Airflow's own connection of that name is used"
done

migrate_airflow
python -m waitlist_airflow.dry_run ${as_of:+--as-of "$as_of"}
