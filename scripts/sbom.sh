#!/usr/bin/env bash
# Lists what runs: a CycloneDX document of the locked packages, and their licences. AUDIT=1 asks for known weaknesses too.
set -euo pipefail
source "$(dirname "$0")/env.sh"

folder=${OUT:-.sbom}
environment=$(mktemp)
trap 'rm -f "$environment"' EXIT
echo "==> cyclonedx-py environment"
cyclonedx-py environment --output-reproducible --of JSON --output-file "$environment" "$(command -v python)"
python scripts/sbom.py "$environment" requirements.txt "$folder"

[[ -n ${AUDIT:-} ]] || exit 0
# Not in the lock: it is of use only where its database is within reach.
echo "==> pip-audit"
found=$(mktemp)
trap 'rm -f "$environment" "$found"' EXIT
uv tool run pip-audit==2.10.1 --requirement requirements.txt --no-deps --disable-pip >"$found" || status=$?
cat "$found"
if grep -q "could not be audited" "$found"; then
    die "The database of weaknesses does not answer for these packages, so nothing is known of them."
fi
exit "${status:-0}"
