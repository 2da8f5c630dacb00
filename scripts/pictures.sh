#!/usr/bin/env bash
# The documents' pictures of the dashboard, docs/images/*.png, from the tests' browser and new demo data in .demo/pictures.
set -euo pipefail
source "$(dirname "$0")/env.sh"

log="$ROOT/.demo/pictures.log"
mkdir -p "$ROOT/.demo"
say "1/2  The demo's Airflow on new data (what it prints: .demo/pictures.log)"
SITE=pictures FRESH=1 PORT=8180 setpriv --pdeathsig TERM scripts/up.sh >"$log" 2>&1 &
demo=$!
trap 'kill "$demo" 2>/dev/null || true; wait "$demo" || true' EXIT
until grep -q 'Log in, then' "$log"; do
    kill -0 "$demo" 2>/dev/null || { tail -n 40 "$log" >&2; die "the demo did not start: see .demo/pictures.log"; }
    sleep 1
done
url=$(grep -o 'http://127.0.0.1:[0-9]*' "$log" | head -n 1)
say "2/2  The pictures"
PYTHONPATH="$PYTHONPATH:$ROOT" bound python scripts/pictures.py "$url" "$ROOT/.demo/pictures/airflow/passwords.json" docs/images
