#!/usr/bin/env bash
# Brings the staging schema up to date, on the environment's connection: for the account that owns the tables.
set -euo pipefail
source "$(dirname "$0")/env.sh"

python -m waitlist_airflow.migrate
