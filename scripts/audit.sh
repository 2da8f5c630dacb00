#!/usr/bin/env bash
# Checks the chains of the append-only tables, or signs their ends: audit.sh verify|sign. KEY= names the public key.
set -euo pipefail
source "$(dirname "$0")/env.sh"
demo_if_nothing_is_set

case $1 in
    verify) python -m waitlist_airflow.audit verify ${KEY:+--key "$KEY"} ;;
    sign) python -m waitlist_airflow.audit sign ;;
esac
