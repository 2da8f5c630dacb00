#!/usr/bin/env bash
# Writes the tables in docs/ that the code declares.
set -euo pipefail
source "$(dirname "$0")/env.sh"

python scripts/rule_docs.py
