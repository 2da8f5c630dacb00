#!/usr/bin/env bash
# Every check that needs no test run. All of them run, so that all faults show at once.
set -euo pipefail
source "$(dirname "$0")/env.sh"

failed=()
check() {
    printf '==> %s\n' "$*"
    "$@" || failed+=("$1")
}

# Alone, and with each of the files that add to it.
compose_config() {
    local file status=0
    for file in docker-compose.yaml docker-compose.*.yaml; do
        ENV_FILE="$ROOT/.env.example" MSSQL_SA_PASSWORD=lint PMO_READER_PASSWORD=lint \
            "$@" --env-file .env.example -f docker-compose.yaml -f "$file" config --quiet || status=1
    done
    return "$status"
}

# What looks like a key or a token, and outside the tests, which have servers to log in to, also what looks like a password.
# A line that may has "pragma: allowlist secret". High entropy alone says nothing here: locks, digests and numbers have it.
detect_secrets() {
    local status=0 hook=(detect-secrets-hook --disable-plugin HexHighEntropyString --disable-plugin Base64HighEntropyString)
    # The name of a secret, or of its file, is no secret.
    hook+=(--exclude-lines '/run/secrets/|LocalFilesystemBackend|[sS]ecretName: "?waitlist-')
    git ls-files -z -- . ':!*requirements*.txt' ':!tests' | xargs -0 "${hook[@]}" || status=1
    git ls-files -z -- tests ':!tests/*/data' |
        xargs -0 "${hook[@]}" --disable-plugin KeywordDetector --disable-plugin BasicAuthDetector || status=1
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
check detect_secrets
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
