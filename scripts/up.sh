#!/usr/bin/env bash
# Airflow with the dashboard, on demo data with a history of 30 nights, in .demo/up/ alone. FRESH=1 makes the data again.
# PU=off asks no person service; data of the other kind are made again.
# SITE= names another folder in .demo/: `make pictures` has one of its own.
set -euo pipefail
for name in ${!WAITLIST_@} ${!AIRFLOW_@}; do unset "$name"; done
source "$(dirname "$0")/env.sh"

site=${SITE:-up}
up="$ROOT/.demo/$site"
as_of=2024-10-01 # fixed: the official test numbers for children end with 2024
demo_site "$up"
require_pu
export WAITLIST_LEADS=lead
export WAITLIST_APPROVERS=approver
export WAITLIST_LOG_READERS=lead
unit="Vårdcentralen Strandvägen" # where the user of that name works

passwords="$AIRFLOW_HOME/passwords.json"
export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS="lead:op,approver:op,strandvagen:viewer"
export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE="$passwords"
export AIRFLOW__CORE__EXECUTOR=LocalExecutor
export AIRFLOW__CORE__PARALLELISM=2
export AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL=1 # how soon a worker notices that its task has ended
export AIRFLOW__API__WORKERS=1
export AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES=1

make_data() {
    rm -rf "$up"
    mkdir -p "$AIRFLOW_HOME"
    say "1/4  A synthetic PMO: 6,000 posts, 30 units, three waves, and a pilot that was released a month ago"
    demo_pmo "$up" 6000 $as_of
    ask_persons
    say "2/4  Airflow's own database"
    migrate_airflow
    say "3/4  30 nights of dry runs, in which the units put their posts in order (2-3 minutes, once)"
    bound python scripts/demo_history.py "$up" $as_of 30
    printf '%s\n' "$PU" >"$up/ready"
}

ask_persons() { [[ $PU == off ]] || demo_person_service "$up" $as_of; }

# Gives each user a password, and the one of the unit a row in unit_readers.csv; what is there stays.
make_users() {
    python - "$passwords" "$WAITLIST_MAPPINGS_DIR" "$unit" <<'PYTHON'
import csv, json, pathlib, secrets, sys
passwords, mappings = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
known = json.loads(passwords.read_text()) if passwords.exists() else {}
users = ("lead", "approver", "strandvagen")
passwords.write_text(json.dumps({user: known.get(user) or secrets.token_urlsafe(9) for user in users}))
readers = mappings / "unit_readers.csv"
if not readers.exists() or "strandvagen" not in readers.read_text(encoding="utf-8"):
    with (mappings / "units.csv").open(encoding="utf-8") as file:
        unit = next(row["hsa_id"] for row in csv.DictReader(file) if row["enhet"] == sys.argv[3])
    readers.write_text(f"user_id,hsa_id,owner,note\nstrandvagen,{unit},Migreringsledningen,\n", encoding="utf-8")
PYTHON
}

password() { python -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$passwords" "$1"; }

sessions=()
start() {
    # Only this script has the lock, and the lock ends with it.
    # A component with its whole tree, tasks included, runs in a session of its own; it also ends if this script is killed.
    setsid setpriv --pdeathsig TERM airflow "$@" >"$AIRFLOW_HOME/$1.log" 2>&1 9>&- &
    sessions+=("$!")
}

stop() {
    trap - EXIT INT TERM
    local session
    for session in "${sessions[@]}"; do pkill -TERM -s "$session" || true; done
    stop_person_service
    [[ -z ${receiver:-} ]] || kill "$receiver" 2>/dev/null || true
    for _ in {1..50}; do
        [[ -n $(for session in "${sessions[@]}"; do pgrep -s "$session" || true; done) ]] || return 0
        sleep 0.1
    done
    for session in "${sessions[@]}"; do pkill -KILL -s "$session" || true; done
}

mkdir -p "$up"
exec 9>"$up.lock"
flock --nonblock 9 || die "a demo runs already in .demo/$site: end it first"
if [[ -z ${FRESH:-} && -e $up/ready && $(<"$up/ready") == "$PU" ]]; then ask_persons; else make_data; fi
make_users

port=$(python - "${PORT:-8080}" <<'PYTHON'
import socket, sys
for port in range(int(sys.argv[1]), 65536):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(port)
        break
PYTHON
)
url="http://127.0.0.1:$port"
# The three belong together: a task finds its way back by the last.
export AIRFLOW__API__HOST=127.0.0.1
export AIRFLOW__API__PORT=$port
export AIRFLOW__API__BASE_URL=$url
export AIRFLOW__CORE__EXECUTION_API_SERVER_URL=$url/execution/
AIRFLOW__API_AUTH__JWT_SECRET=$(python -c 'import secrets; print(secrets.token_hex(32))')
export AIRFLOW__API_AUTH__JWT_SECRET

say "4/4  Airflow (less than a minute)"
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
start api-server
start dag-processor
start scheduler --skip-serve-logs
# Answers what is released from now on; its days last a minute.
setpriv --pdeathsig TERM python -m waitlist.simulator.receiver "$up/handoffs" "$up/receipts" >"$AIRFLOW_HOME/receiver.log" 2>&1 9>&- &
receiver=$!
# In the background, so that a signal need not wait for it.
setpriv --pdeathsig TERM python scripts/demo_ready.py "$url" "$passwords" "$up" "${sessions[@]}" &
wait "$!" || {
    for name in api-server dag-processor scheduler; do tail -n 20 "$AIRFLOW_HOME/$name.log" >&2; done
    die "Airflow did not start: see $AIRFLOW_HOME/*.log"
}
cat <<TEXT

  $url/
    lead         $(password lead)   leads the migration: every unit without patients, and the access log
    approver     $(password approver)   releases waves
    strandvagen  $(password strandvagen)   works at $unit: that unit alone, with its patients
  Log in, then choose Migrering in the menu, or go straight to $url/migrering/
  Ctrl-C ends it. The data stay in .demo/$site; make up FRESH=1 makes them again.

Four things to try
  1. Wave 1 waits for an answer: as approver, in Airflow under Required Actions, answer Godkänn, first without a reason.
  2. As strandvagen, choose Visa personer in Migrering; as lead, see under Åtkomstlogg that it was done.
  3. The receiver's stand-in answers what you release, a day each minute: in Airflow, trigger waitlist_receipts, then look at
     the wave under Överfört. The pilot's posts have their answers already.
  4. Release wave 2: as lead, in Airflow, trigger waitlist_migration with wave 2 and the date $as_of. As of today every unit
     of the demo is live, and nothing is left to release.
  docs/first-hour.md has more, and how the commands of docs/runbook.md are run beside this demo.

TEXT
wait -n || true
die "a part of Airflow, or the person service's stand-in, has ended: see $AIRFLOW_HOME/*.log"
