#!/usr/bin/env bash
# Every check that needs no test run. All of them run, so that all faults show at once.
set -euo pipefail
source "$(dirname "$0")/env.sh"

failed=()
check() {
    printf '==> %s\n' "$*"
    "$@" || failed+=("$1")
}

compose_config() {
    local filled
    filled=$(mktemp)
    sed -E 's/^([A-Z_]+)=$/\1=lint/' .env.example >"$filled"
    "$@" --env-file "$filled" config --quiet
    local status=$?
    rm -f "$filled"
    return "$status"
}

# The longest check runs beside the others.
calls=$(mktemp)
mypy --config-file mypy-tests.ini --cache-dir .mypy_cache/tests >"$calls" 2>&1 &
calls_pid=$!

check ruff check .
check ruff format --check .
check mypy
check lint-imports --no-logo
check python scripts/check_english.py
check sqlfluff lint --disable-progress-bar sql
if command -v docker-compose >/dev/null; then
    check compose_config docker-compose
elif docker compose version >/dev/null 2>&1; then
    check compose_config docker compose
else
    echo "==> docker-compose is not installed: docker-compose.yaml is not checked"
fi

printf '==> mypy --config-file mypy-tests.ini\n'
wait "$calls_pid" || failed+=(mypy-tests)
cat "$calls"
rm -f "$calls"

((${#failed[@]} == 0)) || die "lint failed: ${failed[*]}"
