#!/usr/bin/env bash
# Regenerates the locks: what is locked stays at its version while pyproject.toml allows it.
# To take newer versions, delete the three files first.
set -euo pipefail
source "$(dirname "$0")/env.sh"

# Universal: one file for Python 3.11 and 3.12, x86-64 and arm64. Without the index's address: see docs/decisions.
compile() {
    echo "==> $1"
    uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate "${@:2}" \
        pyproject.toml --output-file "$1" >/dev/null
}

compile requirements.txt
compile requirements-dev.txt --group dev --constraint requirements.txt
compile docker/airflow/requirements.txt --group docker --constraint requirements.txt
