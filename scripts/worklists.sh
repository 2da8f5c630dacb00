#!/usr/bin/env bash
# The work lists of a batch, one workbook a unit, from the environment's connection and snapshots.
set -euo pipefail
source "$(dirname "$0")/env.sh"
demo_if_nothing_is_set

[[ -n ${OUT:-} || -n ${WAITLIST_WORKLISTS_DIR:-} ]] ||
    die "name a folder of its own: make worklists OUT=<folder>, with BATCH=, UNIT=, CSV=1, ARCHIVE=1, REPLACE=1
or set WAITLIST_WORKLISTS_DIR, in which each batch's lists get a folder of their own"
read -ra units <<<"${UNIT:-}"
python -m waitlist_airflow.worklist ${OUT:+--out "$OUT"} ${BATCH:+--batch "$BATCH"} "${units[@]/#/--unit=}" \
    ${CSV:+--csv} ${ARCHIVE:+--archive} ${REPLACE:+--replace}
