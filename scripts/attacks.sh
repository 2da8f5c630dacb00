#!/usr/bin/env bash
# Runs every attack on the product, the long ones too, and prints how many tries each made and how many the product withstood.
set -euo pipefail
source "$(dirname "$0")/env.sh"

AIRFLOW_HOME=$(mktemp -d)
export AIRFLOW_HOME
WAITLIST_ATTACK_TABLE="$AIRFLOW_HOME/attacks.jsonl"
export WAITLIST_ATTACK_TABLE
trap 'rm -rf "$AIRFLOW_HOME"' EXIT

failed=0
# Each test is named as it ends: a run of an hour that is interrupted has said what it found.
# Marked attacks are the long ones; the folders hold the short ones as well. ATTACK= selects by name, as pytest's -k does.
pytest --verbose --numprocesses 2 --dist loadfile --override-ini addopts="-ra --strict-markers --import-mode=importlib" \
    -k "${ATTACK:-}" tests/faults tests/security || failed=1
pytest --verbose --numprocesses 2 --dist loadfile -m attack -k "${ATTACK:-}" --ignore tests/faults --ignore tests/security || (($? == 5)) || failed=1
python -m tests.support.attacks "$WAITLIST_ATTACK_TABLE" || failed=1
exit "$failed"
