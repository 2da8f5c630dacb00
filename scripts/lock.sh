#!/usr/bin/env bash
# Regenerates the locks: a package keeps its locked version as long as pyproject.toml allows it.
# To take newer versions, delete the three files first.
set -euo pipefail
source "$(dirname "$0")/env.sh"
source scripts/install.sh

# Universal: one file for every supported Python, x86-64 and arm64. The lowest is named: uv would leave out what is older
# than the Python that it runs on. Without the index's address: see docs/decisions.
compile() {
    echo "==> $1"
    uv pip compile --quiet --universal --python-version "3.$lowest_python" --generate-hashes --no-emit-index-url \
        --no-annotate "${@:2}" pyproject.toml --output-file "$1" >/dev/null
}

compile requirements.txt
compile requirements-dev.txt --group dev --constraint requirements.txt
compile docker/airflow/requirements.txt --group docker --constraint requirements.txt
