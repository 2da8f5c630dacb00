#!/usr/bin/env bash
# Lint, types and rings, then every test, on an Airflow home of its own.
set -euo pipefail
source "$(dirname "$0")/env.sh"

scripts/lint.sh

AIRFLOW_HOME=$(mktemp -d)
export AIRFLOW_HOME
trap 'rm -rf "$AIRFLOW_HOME"' EXIT

echo "==> pytest"
# A file's tests stay in one process: they share its servers and its DAG runs. Tests that start an Airflow mostly wait, so one
# process more than cores is kept busy, and tests/conftest.py spreads their files among the others.
pytest --numprocesses "$(($(nproc) + 1))" --dist loadfile --no-loadscope-reorder
