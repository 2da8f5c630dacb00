#!/usr/bin/env bash
# Throughput and memory, side by side with baselines, on databases and an Airflow of its own.
set -euo pipefail
source "$(dirname "$0")/env.sh"

for name in ${!WAITLIST_@} ${!AIRFLOW_CONN_@}; do unset "$name"; done
read -ra sizes <<<"${SIZES:-}"
read -ra databases <<<"${DATABASES:-}"
read -ra what <<<"${WHAT:-}"
export PYTHONPATH="$ROOT:$PYTHONPATH"
if [[ ${WHAT:-} == persons ]]; then
    exec python -m benchmarks.persons ${sizes:+--persons "${sizes[0]}"}
fi
if [[ ${WHAT:-} == history ]]; then
    exec python -m benchmarks.history ${sizes:+--posts "${sizes[0]}"} ${NIGHTS:+--nights "$NIGHTS"} ${KEEP:+--keep "$KEEP"}
fi
# In the script's place: a signal that is sent to the script alone has to reach what ends the work.
exec python -m benchmarks ${sizes:+--sizes "${sizes[@]}"} \
    ${databases:+--databases "${databases[@]}"} ${what:+--what "${what[@]}"} ${RUNS:+--runs "$RUNS"}
