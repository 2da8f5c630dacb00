#!/usr/bin/env bash
# Every fault of the mapping files, of the environment's WAITLIST_MAPPINGS_DIR or of FOLDER; fails where there is one.
set -euo pipefail
source "$(dirname "$0")/env.sh"

python -m waitlist.check_mappings ${FOLDER:+"$FOLDER"}
