# Sourced by every script: the one place for the environment that the project's commands share.
# shellcheck shell=bash
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT" || exit 1

export PATH="$ROOT/.venv/bin:$PATH"
export PYTHONPATH="$ROOT/include:$ROOT/plugins"
export PYTHONUTF8=1
# Freed memory is used again at once: the peak is lower, and fewer pages are requested from the system.
export ARROW_DEFAULT_MEMORY_POOL=system
export MALLOC_MMAP_THRESHOLD_=67108864
export MALLOC_TRIM_THRESHOLD_=134217728
# Airflow starts many processes; each would compile all its imports again.
unset PYTHONDONTWRITEBYTECODE

export AIRFLOW_HOME="${AIRFLOW_HOME:-$ROOT/.demo/airflow}"
export AIRFLOW__CORE__DAGS_FOLDER="$ROOT/dags"
export AIRFLOW__CORE__PLUGINS_FOLDER="$ROOT/plugins"
export AIRFLOW__CORE__LOAD_EXAMPLES=False
# No usage is reported to anybody outside.
export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False
export GX_ANALYTICS_ENABLED=false

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# Runs a program that ends with this script, however the script ends: a signal would leave it running. In the background it
# would be bound to the subshell of this function: write `setpriv --pdeathsig TERM program &` there.
bound() { setpriv --pdeathsig TERM "$@"; }

# Points everything at a demo's folder: an Airflow, a synthetic PMO and a staging database of its own.
demo_site() {
    export AIRFLOW_HOME="$1/airflow"
    # Airflow's parts and a command beside them write to one file. By default SQLite waits five seconds for its lock, which a
    # busy machine exceeds, and refuses at once a transaction that has read before another one wrote.
    export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="sqlite:///$AIRFLOW_HOME/airflow.db?timeout=120&isolation_level=IMMEDIATE"
    export AIRFLOW_CONN_PMO="{\"conn_type\": \"odbc\", \"extra\": {\"driver\": \"SQLite3\", \"Database\": \"$1/pmo.sqlite\", \"StepAPI\": \"1\"}}"
    export AIRFLOW_CONN_MILLENNIUM_STAGING="{\"conn_type\": \"sqlite\", \"host\": \"$1/staging.sqlite\"}"
    export WAITLIST_MAPPINGS_DIR="$1/mappings"
    export WAITLIST_SNAPSHOT_URL="file://$1/snapshots"
    export WAITLIST_DATA_DOCS_DIR="$1/data_docs"
    export WAITLIST_HANDOFF_URL="file://$1/handoffs"
    export WAITLIST_RECEIPTS_URL="file://$1/receipts"
    # A key that the pipeline itself may read is for demos alone: see docs/operations.md.
    export WAITLIST_AUDIT_KEY="$1/audit/key.pem"
    export WAITLIST_AUDIT_PUBLIC_KEY="$1/audit/key.pub.pem"
    export WAITLIST_WORKLISTS_DIR="$1/worklists"
}

# Points a command at a demo where the environment names no system: at that of `make up`, else at that of `make demo`.
demo_if_nothing_is_set() {
    [[ $AIRFLOW_HOME == "$ROOT/.demo/airflow" && -z ${!WAITLIST_@}${!AIRFLOW_CONN_@} ]] || return 0
    local folder
    for folder in "$ROOT/.demo/up" "$ROOT/.demo"; do
        if [[ -e $folder/staging.sqlite ]]; then
            echo "on the demo's data in ${folder#"$ROOT"/}: no connection is set"
            demo_site "$folder"
            export WAITLIST_ACTOR=demo # the name in the demo's access log
            return 0
        fi
    done
}

# Fills a demo's folder: demo_pmo FOLDER POSTS AS_OF [simulator's options]. A pilot has been released.
demo_pmo() {
    local folder=$1 posts=$2 as_of=$3
    shift 3
    bound python -m waitlist.simulator --posts "$posts" --seed 1 --as-of "$as_of" --sqlite "$folder/pmo.sqlite" --out "$folder" "$@"
    bound python -m waitlist.demo --pmo "Driver={SQLite3};Database=$folder/pmo.sqlite;StepAPI=1" \
        --staging "sqlite:///$folder/staging.sqlite" --out "$folder"
}

# Takes PU= of the command line: a demo asks the person service's stand-in, unless it is off.
require_pu() {
    PU=${PU:-required}
    [[ $PU == required || $PU == off ]] || die "PU: «$PU» is neither required nor off"
}

# Starts the stand-in for the national person service beside a demo, on a free port and with new certificates, and lets the
# runs ask it: demo_person_service FOLDER DAY. It answers as of DAY, until FOLDER/pu/day says another.
demo_person_service() {
    local folder=$1 pu="$1/pu" extra
    mkdir -p "$pu"
    [[ -s $pu/name_key ]] || (umask 077 && python -c 'import secrets; print(secrets.token_hex(32))' >"$pu/name_key")
    printf '%s\n' "$2" >"$pu/day"
    : >"$pu/address"
    # No file descriptor of a lock is handed on.
    setpriv --pdeathsig TERM python -m waitlist.simulator.person_service --people "$folder/people.parquet" --day "$pu/day" \
        --out "$pu/certificates" >"$pu/address" 2>"$pu/person_service.log" 9>&- &
    person_service=$!
    until (($(wc -l <"$pu/address") >= 5)); do
        kill -0 "$person_service" 2>/dev/null || { cat "$pu/person_service.log" >&2; die "the person service did not start"; }
        sleep 0.1
    done
    # shellcheck source=/dev/null
    source "$pu/address" # these variables, and DECEASED_TEST_PERSON
    extra="\"certificate\": \"$WAITLIST_PU_CERTIFICATE\", \"key\": \"$WAITLIST_PU_KEY\", \"authorities\": \"$WAITLIST_PU_AUTHORITIES\""
    export AIRFLOW_CONN_PU="{\"conn_type\": \"http\", \"host\": \"$WAITLIST_PU_URL\", \"extra\": {$extra}}"
    export WAITLIST_PU=required WAITLIST_PU_ASK_PAST=true WAITLIST_PU_TEST_PERSONS=allow
    WAITLIST_PU_NAME_KEY=$(<"$pu/name_key")
    export WAITLIST_PU_NAME_KEY
    # A run may rely on the service once somebody has seen it report a death.
    bound python -m waitlist.source.pu --check "$DECEASED_TEST_PERSON" --staging "sqlite:///$folder/staging.sqlite" >"$pu/check.log" 2>&1 ||
        { cat "$pu/check.log" >&2; die "the check of the person service failed"; }
}

# Ends the stand-in and waits for it; it ends with the script in any case.
stop_person_service() {
    [[ -n ${person_service:-} ]] || return 0
    kill -TERM "$person_service" 2>/dev/null || true
    wait "$person_service" 2>/dev/null || true
}

# Airflow's own database of this environment; an existing one is brought up to date.
migrate_airflow() {
    mkdir -p "$AIRFLOW_HOME"
    bound airflow db migrate >"$AIRFLOW_HOME/migrate.log" 2>&1 || { cat "$AIRFLOW_HOME/migrate.log" >&2; die "airflow db migrate failed"; }
    [[ ${WAITLIST_PU:-off} == required ]] || return 0
    # At most four calls of the person service are under way at once, over all DAGs.
    bound airflow pools set pu 4 "Calls of the person service" >>"$AIRFLOW_HOME/migrate.log" 2>&1 ||
        { cat "$AIRFLOW_HOME/migrate.log" >&2; die "airflow pools set failed"; }
}

# Prints which task a dry run in the background has reached, from its log; ends as the run ends.
show_steps() {
    local pid=$1 log=$2 shown="" step
    while kill -0 "$pid" 2>/dev/null; do
        step=$(grep -o 'starting task_id=[a-z_]*' "$log" 2>/dev/null | tail -n 1 || true)
        if [[ -n $step && $step != "$shown" ]]; then
            printf '     %s\n' "${step#*=}"
            shown=$step
        fi
        sleep 0.5
    done
    wait "$pid"
}
