#!/usr/bin/env bash
# Makes the machine and .venv ready. Whatever is in place is left alone, and then no network is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"
source scripts/install.sh

die() { printf '%s\n' "$*" >&2; exit 1; }

supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'
python=
for candidate in "${PYTHON:-python3}" python3.12 python3.11; do
    if "$candidate" -c "$supported" 2>/dev/null; then
        python=$candidate
        break
    fi
done
[[ -n $python ]] || die "Python 3.11 or 3.12 is needed: install python3.12, or name one: make setup PYTHON=/path/to/python3.12"

missing=()
libraries=$(ldconfig -p 2>/dev/null || true)
drivers=$(odbcinst -q -d 2>/dev/null || true)
[[ $libraries == *libodbc.so.2* ]] && command -v odbcinst >/dev/null || missing+=(unixodbc odbcinst)
[[ $drivers == *"[SQLite3]"* ]] || missing+=(libsqliteodbc)
[[ $drivers == *"[PostgreSQL Unicode]"* ]] || missing+=(odbc-postgresql)
compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
command -v chromium >/dev/null || missing+=(chromium)
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    missing+=("$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")

install_packages "${missing[@]}"

! has_lock .venv requirements-dev.txt || exit 0

if ! .venv/bin/python -c "$supported" 2>/dev/null; then
    echo "Creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi
if ! .venv/bin/uv --version >/dev/null 2>&1; then
    echo "Installing uv into .venv"
    uv_lock=$(mktemp)
    trap 'rm -f "$uv_lock"' EXIT
    # The lock's own entry for uv, with its hashes.
    awk '/^uv==/ { inside = 1 } inside { print; if (!/\\$/) exit }' requirements-dev.txt >"$uv_lock"
    .venv/bin/python -m pip install --quiet --require-hashes --requirement "$uv_lock"
fi
install_lock .venv requirements-dev.txt
