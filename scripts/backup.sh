#!/usr/bin/env bash
# Backs up the staging database and the files of its batches, or restores them: backup.sh back-up|restore.
set -euo pipefail
source "$(dirname "$0")/env.sh"

case $1 in
    back-up) python -m waitlist_airflow.backup back-up "${OUT:?name a new folder: make backup OUT=<folder>}" ;;
    restore) python -m waitlist_airflow.backup restore "${FROM:?name a backup: make restore FROM=<folder>}" ;;
esac
