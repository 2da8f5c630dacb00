#!/usr/bin/env bash
# How two batches of the same posts differ; POSTS=1 names the posts as well.
set -euo pipefail
source "$(dirname "$0")/env.sh"

[[ -n ${A:-} && -n ${B:-} ]] || die "name two batches: make diff A=<batch> B=<batch>, with POSTS=1 for the post ids"
python -m waitlist_airflow.diff "$A" "$B" ${POSTS:+--posts}
