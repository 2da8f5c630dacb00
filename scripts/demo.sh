#!/usr/bin/env bash
# One whole dry run on a synthetic PMO, in .demo/ alone. All settings of the environment for other systems are ignored.
# PU=off asks no person service.
set -euo pipefail
source "$(dirname "$0")/env.sh"

demo="$ROOT/.demo"
as_of=2024-10-01 # fixed: the official test numbers for children end with 2024

for name in ${!WAITLIST_@} ${!AIRFLOW_CONN_@}; do unset "$name"; done
demo_site "$demo"
require_pu

mkdir -p "$demo"
# The same table every time: the rows that an earlier demo staged and released are removed.
rm -rf "$demo"/staging.sqlite* "$demo/snapshots" "$demo/data_docs" "$demo/handoffs" "$demo/receipts"

say "1/4  A synthetic PMO: 20,000 posts, 30 units, three waves, and a pilot that was released a month ago"
demo_pmo "$demo" 20000 $as_of --replace
say "2/4  Airflow's own database"
migrate_airflow
[[ $PU == off ]] || demo_person_service "$demo" $as_of
say "3/4  The dry run as of $as_of (about half a minute; its log: .demo/dry_run.log)"
AS_OF=$as_of LOG="$demo/dry_run.log" scripts/dry_run.sh
stop_person_service
say "4/4  Readiness"
python -m waitlist.reports.readiness --staging "sqlite:///$demo/staging.sqlite" --mappings "$demo/mappings"
cat <<TEXT

Where to look next
  .demo/staging.sqlite        the staging schema: batch, disposition, finding, bokningsbegaran, ...
  .demo/data_docs/*/index.html  what the expectation suites found, for engineers
  .demo/truth.parquet         what was planted in the synthetic PMO, post by post, with the person service and without
  .demo/people.parquet        what the person service's stand-in says of each patient
  docs/                       rules, settings, operations, the data contract

Three things to try
  1. make worklists: the work list of each unit, as its staff get it, in .demo/worklists
  2. Break a row of .demo/mappings/units.csv, then make check-mappings FOLDER=.demo/mappings: each fault with file and line
  3. make up: the same with a dashboard, after 30 nights, and a wave that waits for your answer
TEXT
