#!/usr/bin/env bash
# What must return of a batch that a receiver may have loaded, from the environment's connection.
set -euo pipefail
source "$(dirname "$0")/env.sh"
demo_if_nothing_is_set

[[ -n ${BATCH:-} && -n ${OUT:-} ]] ||
    die "name a released batch and a folder: make back-out BATCH=<id> OUT=<folder>, with UNIT=, REPLACE=1"
read -ra units <<<"${UNIT:-}"
python -m waitlist_airflow.backout --batch "$BATCH" --out "$OUT" "${units[@]/#/--unit=}" ${REPLACE:+--replace}
