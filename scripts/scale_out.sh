#!/usr/bin/env bash
# The dry run on two Celery workers with Redis and an object store, beside the LocalExecutor; fails when they differ.
set -euo pipefail
source "$(dirname "$0")/env.sh"
source scripts/install.sh
PATH="$PATH:/usr/sbin:/sbin"

for name in ${!WAITLIST_@} ${!AIRFLOW_@} ${!AWS_@}; do [[ $name == AIRFLOW_HOME ]] || unset "$name"; done

command -v redis-server >/dev/null || install_packages redis-server
# An environment of its own, made from the image's lock: the workers have the same packages as the image.
venv=.venv-scale-out
lock=docker/airflow/requirements.txt
if ! has_lock "$venv" "$lock"; then
    .venv/bin/uv venv --quiet --clear --python .venv/bin/python "$venv"
    install_lock "$venv" "$lock"
fi

exec env PATH="$ROOT/$venv/bin:$PATH" PYTHONPATH="$ROOT:$PYTHONPATH" \
    "$venv/bin/python" -m benchmarks.scale_out ${POSTS:+--posts "$POSTS"} ${PARTITION:+--partition "$PARTITION"} \
    ${KILL_IN:+--kill-in "$KILL_IN"}
