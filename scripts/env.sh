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

# Runs a program that ends with this script, however the script ends: a signal would leave it running.
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
