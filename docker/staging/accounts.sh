#!/usr/bin/env bash
# At the first start of the staging database: makes the accounts of sql/staging/roles.sql, with passwords from secrets.
set -euo pipefail

PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
export PGPASSWORD
run=(psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB")
"${run[@]}" --file /staging/roles.sql
for account in owner loader releaser receipts dashboard; do
    # psql reads the file: a command line is for everybody in the container to read.
    "${run[@]}" --set account="waitlist_$account" <<SQL
\set password \`cat /run/secrets/staging_${account}_password\`
ALTER ROLE :"account" LOGIN PASSWORD :'password';
SQL
done
