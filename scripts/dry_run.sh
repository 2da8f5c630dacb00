#!/usr/bin/env bash
# The dry-run DAG, synchronously, on the connections and settings of the environment; fails when the run fails.
# `dry_run.sh check` only says what is missing, in a second. LOG names the log; by default it is in AIRFLOW_HOME.
set -euo pipefail
source "$(dirname "$0")/env.sh"

as_of=${AS_OF:-}
if [[ -n $as_of ]]; then
    [[ $as_of =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] && date -d "$as_of" >/dev/null 2>&1 ||
        die "AS_OF: «$as_of» is not a date; write it as YYYY-MM-DD"
fi

# Whether Airflow may have a connection elsewhere than in the environment. Airflow itself would take ten seconds to say.
may_have() {
    [[ -z ${AIRFLOW__SECRETS__BACKEND:-}${!AIRFLOW__DATABASE__SQL_ALCHEMY_CONN@} ]] || return 0
    python3 - "$AIRFLOW_HOME" "$1" <<'PYTHON'
import configparser, pathlib, sqlite3, sys

home, name = pathlib.Path(sys.argv[1]), sys.argv[2]
settings = configparser.ConfigParser(interpolation=None, strict=False)
settings.read(home / "airflow.cfg", encoding="utf-8")
database = {name: settings.get("database", name, fallback="") for name in ("sql_alchemy_conn", "sql_alchemy_conn_cmd")}
here = f"sqlite:///{home / 'airflow.db'}"
if settings.get("secrets", "backend", fallback="") or database["sql_alchemy_conn_cmd"]:
    sys.exit(0)
if database["sql_alchemy_conn"] not in {"", here}:
    sys.exit(0)
try:
    known = sqlite3.connect(f"file:{home / 'airflow.db'}?mode=ro", uri=True)
    sys.exit(known.execute("SELECT 1 FROM connection WHERE conn_id = ?", (name,)).fetchone() is None)
except sqlite3.Error:
    sys.exit(1)
PYTHON
}

missing=()
for connection in pmo millennium_staging; do
    name=AIRFLOW_CONN_${connection^^}
    [[ -n ${!name:-} ]] || may_have "$connection" || missing+=("$name")
done
((${#missing[@]} == 0)) ||
    die "set ${missing[0]}${missing[1]:+ and ${missing[1]}} (docs/settings.md#connections has examples); make demo needs none"
[[ ${1:-} != check ]] || exit 0

for connection in AIRFLOW_CONN_PMO AIRFLOW_CONN_MILLENNIUM_STAGING; do
    [[ -n ${!connection:-} ]] || echo "$connection is not set: Airflow's own connection of that name is used"
done

migrate_airflow
log=${LOG:-$AIRFLOW_HOME/dry_run.log}
setpriv --pdeathsig TERM python -m waitlist_airflow.dry_run ${as_of:+--as-of "$as_of"} >"$log" 2>&1 &
show_steps "$!" "$log" || { tail -n 40 "$log" >&2; die "the dry run failed: see $log"; }
echo "     done; its log: $log"
