#!/usr/bin/env bash
# Makes the cluster, its user and its database at the first start, and runs the scripts of /docker-entrypoint-initdb.d;
# then serves.
set -euo pipefail

if [[ ! -s $PGDATA/PG_VERSION ]]; then
    initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    if [[ $POSTGRES_DB != postgres ]]; then
        echo "CREATE DATABASE \"$POSTGRES_DB\"" | postgres --single -D "$PGDATA" postgres >/dev/null
    fi
    scripts=(/docker-entrypoint-initdb.d/*.sh)
    if [[ -e ${scripts[0]} ]]; then
        # Nobody else reaches it until they are done.
        pg_ctl start --wait --silent --log=/tmp/first-start.log --options="-c listen_addresses='' -k /tmp"
        for script in "${scripts[@]}"; do PGHOST=/tmp bash "$script"; done
        pg_ctl stop --wait --silent --mode=fast
    fi
fi
exec "$@" -c listen_addresses='*' -k /tmp
