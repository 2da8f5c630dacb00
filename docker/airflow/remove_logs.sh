#!/usr/bin/env bash
# Removes the logs of tasks and services that nothing has written to for LOG_DAYS days, once a day: Airflow keeps them.
#     remove_logs.sh [once]
set -euo pipefail

folder=${LOG_FOLDER:-/opt/waitlist/logs}
days=${LOG_DAYS:-30}
[[ $days =~ ^[1-9][0-9]{0,3}$ ]] || { echo "LOG_DAYS is no number of days: $days" >&2; exit 1; }
while :; do
    files=$(find "$folder" -xdev -type f -name '*.log' -mtime "+$((days - 1))" -print -delete | wc -l)
    find "$folder" -xdev -mindepth 1 -type d -empty -mtime +0 -delete
    echo "$files logs of more than $days days removed"
    [[ ${1:-} != once ]] || exit 0
    sleep 86400
done
