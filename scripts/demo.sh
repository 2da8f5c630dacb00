#!/usr/bin/env bash
# One whole dry run on a synthetic PMO, in .demo/ alone: whatever the environment says of other systems is set aside.
set -euo pipefail
source "$(dirname "$0")/env.sh"

demo="$ROOT/.demo"
as_of=2024-10-01 # fixed: the official test numbers for children end with 2024

for name in ${!WAITLIST_@}; do unset "$name"; done
export AIRFLOW_HOME="$demo/airflow"
export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="sqlite:///$AIRFLOW_HOME/airflow.db"
export AIRFLOW_CONN_PMO="{\"conn_type\": \"odbc\", \"extra\": {\"driver\": \"SQLite3\", \"Database\": \"$demo/pmo.sqlite\", \"StepAPI\": \"1\"}}"
export AIRFLOW_CONN_MILLENNIUM_STAGING="{\"conn_type\": \"sqlite\", \"host\": \"$demo/staging.sqlite\"}"
export WAITLIST_SNAPSHOT_URL="file://$demo/snapshots"
export WAITLIST_DATA_DOCS_DIR="$demo/data_docs"

mkdir -p "$demo"
say "1/4  A synthetic PMO: 20,000 posts, 30 units, three waves"
python -m waitlist.simulator --posts 20000 --seed 1 --sqlite "$demo/pmo.sqlite" --out "$demo"
say "2/4  Airflow's own database"
migrate_airflow
say "3/4  The dry run as of $as_of"
AS_OF=$as_of scripts/dry_run.sh
say "4/4  Readiness"
python -m waitlist.readiness
cat <<EOF

Where to look next
  .demo/staging.sqlite        the staging schema: batch, disposition, finding, bokningsbegaran, ...
  .demo/data_docs/index.html  what Great Expectations found, for engineers
  .demo/                      the synthetic PMO and the truth that was planted in it
  docs/                       rules, settings, operations, the data contract
EOF
