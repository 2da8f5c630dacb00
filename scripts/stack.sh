#!/usr/bin/env bash
# stack.sh [faults [<fault> ...]]
# The compose stack with a synthetic PMO: built, started, a dry run and a wave released over its API, and taken down again.
# With faults, each service is killed and more while dry runs load (docker/stack/faults.py); all of them, or those named.
# Needs a Docker daemon and docker-compose. Where no base image can be pulled, docker/base makes stand-ins.
# KEEP=1 leaves it running; PORT= sets Airflow's port.
set -euo pipefail
source "$(dirname "$0")/env.sh"

command -v docker-compose >/dev/null || die "docker-compose is missing. On Debian: apt-get install docker.io docker-compose"
docker info >/dev/null 2>&1 || die "No Docker daemon answers. On Debian, as root: dockerd &"

folder="$ROOT/.stack"
as_of=2024-10-01
export COMPOSE_PROJECT_NAME=waitlist-stack COMPOSE_FILE=docker-compose.yaml:docker-compose.stack.yaml
trial=walk
if [[ ${1:-} == faults ]]; then
    trial=faults
    COMPOSE_FILE+=:docker-compose.faults.yaml
    shift
fi
export SECRETS_DIR="$folder/secrets" MAPPINGS_DIR="$folder/site/mappings" AIRFLOW_PORT=${PORT:-18080} PMO_PORT=15432
export AIRFLOW_PACKAGES=odbc-postgresql AIRFLOW_BASE_URL="http://127.0.0.1:$AIRFLOW_PORT"

if ! docker image inspect python:3.11-slim-bookworm >/dev/null 2>&1 && ! docker pull --quiet python:3.11-slim-bookworm; then
    say "Base images of Debian's packages, since none can be pulled"
    docker/base/build.sh
    export PYTHON_IMAGE=waitlist-base/python:3.11 POSTGRES_IMAGE=waitlist-base/postgres:15 REDIS_IMAGE=waitlist-base/redis:7
fi

down() {
    trap '' INT TERM HUP
    # The trial undoes its fault first: it reconnects what it cut off.
    [[ -z ${trying:-} ]] || { kill "$trying" 2>/dev/null && wait "$trying"; } || true
    [[ -n ${KEEP:-} ]] || docker-compose down --volumes --timeout 20
}
rm -rf "$folder"
mkdir -p "$folder"
# FAB numbers its users: the administrator is 1, and the lead comes next.
export ENV_FILE="$folder/env"
printf '%s\n' WAITLIST_PU=off WAITLIST_WITHOUT_TLS=pmo,staging WAITLIST_LEADS=2 WAITLIST_APPROVERS=2 >"$ENV_FILE"

say "1/4  Secrets, and a synthetic PMO of 2,000 posts"
mkdir -m 0700 "$SECRETS_DIR"
python -c 'import secrets; print(secrets.token_urlsafe(24), end="")' >"$SECRETS_DIR/pmo_password"
chmod 0444 "$SECRETS_DIR/pmo_password"
python - "$SECRETS_DIR" >"$folder/pmo.json" <<'PYTHON'
import json, pathlib, sys
password = (pathlib.Path(sys.argv[1]) / "pmo_password").read_text()
extra = {"driver": "PostgreSQL Unicode", "UseDeclareFetch": "1", "Fetch": "10000", "BoolsAsChar": "0"}
print(json.dumps({"conn_type": "odbc", "host": "pmo-db", "port": 5432, "schema": "pmo", "login": "pmo_reader",
                  "password": password, "extra": extra}))
PYTHON
python docker/make_secrets.py "$SECRETS_DIR" "$folder/pmo.json"
rm "$folder/pmo.json"

say "2/4  The images, and the databases"
docker-compose build airflow-init
trap down EXIT
docker-compose up --detach pmo-db metadata-db staging-db redis
PGPASSWORD=$(cat "$SECRETS_DIR/pmo_password")
export PGPASSWORD
for _ in {1..60}; do
    python -m waitlist.simulator --posts 2000 --as-of $as_of --out "$folder/site" --replace \
        --postgres "postgresql://pmo_reader@127.0.0.1:$PMO_PORT/pmo" && break
    sleep 2
done
chmod -R a+rX "$folder/site"

say "3/4  Airflow"
docker-compose up --detach

say "4/4  A dry run, and a wave"
python docker/stack/$trial.py "http://127.0.0.1:$AIRFLOW_PORT" "$SECRETS_DIR/admin_password" $as_of 2 "$@" &
trying=$!
wait "$trying"
trying=
python docker/stack/rights.py "$SECRETS_DIR"
say "The stack works."
