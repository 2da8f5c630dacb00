#!/usr/bin/env bash
# One-shot: brings Airflow's database up to date and creates the first administrator.
set -euo pipefail

airflow db migrate
if airflow users list --output plain | awk '{ print $2 }' | grep -qx "$AIRFLOW_ADMIN_USER"; then
    echo "user $AIRFLOW_ADMIN_USER exists"
else
    airflow users create --role Admin --username "$AIRFLOW_ADMIN_USER" --password "$AIRFLOW_ADMIN_PASSWORD" \
        --firstname Waitlist --lastname Administrator --email "$AIRFLOW_ADMIN_EMAIL"
fi
