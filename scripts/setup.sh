#!/usr/bin/env bash
# Makes the machine and .venv ready. Everything that is installed already stays, and then no network is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"
source scripts/install.sh

die() { printf '%s\n' "$*" >&2; exit 1; }

is_supported() {
    "$1" -c "import sys; sys.exit(not (3, $lowest_python) <= sys.version_info[:2] <= (3, $highest_python))" 2>/dev/null
}

refuse_python() {
    die "Python 3.$lowest_python to 3.$highest_python is needed, and $1 is $("$1" --version 2>/dev/null || echo "no Python").
Install one of them, or name one: make setup PYTHON=/path/to/python3.$highest_python"
}

candidates=(python3)
for ((minor = highest_python; minor >= lowest_python; minor--)); do candidates+=("python3.$minor"); done
[[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
python=
for candidate in "${candidates[@]}"; do
    if is_supported "$candidate"; then
        python=$candidate
        break
    fi
done

missing=()
if [[ -n $python ]]; then
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        missing+=("$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
elif [[ -z ${PYTHON:-} ]] && ! command -v python3 >/dev/null; then
    python=python3
    missing+=(python3 python3-venv)
else
    refuse_python "${candidates[0]}"
fi
libraries=$(ldconfig -p 2>/dev/null || true)
drivers=$(odbcinst -q -d 2>/dev/null || true)
[[ $libraries == *libodbc.so.2* ]] && command -v odbcinst >/dev/null || missing+=(unixodbc odbcinst)
[[ $drivers == *"[SQLite3]"* ]] || missing+=(libsqliteodbc)
[[ $drivers == *"[PostgreSQL Unicode]"* ]] || missing+=(odbc-postgresql)
compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
[[ $libraries == *libpangoft2-1.0.so.0* ]] || missing+=(libpangoft2-1.0-0)
[[ $libraries == *libharfbuzz-subset.so.0* ]] || missing+=(libharfbuzz-subset0)
command -v chromium >/dev/null || missing+=(chromium)

install_packages "${missing[@]}"
is_supported "$python" || refuse_python "$python"

! has_lock .venv requirements-dev.txt || exit 0

if ! is_supported .venv/bin/python || ! is_whole .venv; then
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
