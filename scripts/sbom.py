"""Reduces a CycloneDX document of an environment to the packages that a lock names, and lists their licences.

    python scripts/sbom.py <environment.json> <lock> <folder>

The folder gets ``sbom.cdx.json`` and ``licences.csv``. The environment has tools for tests too; they are left out.
"""

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
_UNKNOWN = "unknown"


def locked_names(lock: str) -> set[str]:
    """Return the names of the packages that a lock names, in their canonical form."""
    return {canonical(name) for name in _LOCKED.findall(lock)}


def canonical(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def reduced(document: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """Return a CycloneDX document with the named components alone, and what depends on what among them."""
    kept = [component for component in document["components"] if canonical(component["name"]) in names]
    references = {component["bom-ref"] for component in kept}
    dependencies = [
        {"ref": entry["ref"], "dependsOn": [other for other in entry.get("dependsOn", ()) if other in references]}
        for entry in document.get("dependencies", ())
        if entry["ref"] in references
    ]
    return {**document, "components": kept, "dependencies": dependencies}


def licences_of(component: Mapping[str, Any]) -> list[str]:
    """Return the licences that a component declares: SPDX's names where it has them; never empty."""
    found = set()
    for entry in component.get("licenses", ()):
        licence = entry.get("license", {})
        text = entry.get("expression") or licence.get("id") or licence.get("name") or ""
        # Some packages put the whole text of the licence where its name belongs.
        found.add(next((line.strip() for line in text.splitlines() if line.strip()), ""))
    return sorted(found - {""}) or [_UNKNOWN]


def main(environment: str, lock: str, folder: str) -> int:
    """Write the files and print the licences, the most frequent first; return 1 where no package was found."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    names = locked_names(Path(lock).read_text(encoding="utf-8"))
    document = reduced(json.loads(Path(environment).read_text(encoding="utf-8")), names)
    (place / "sbom.cdx.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    rows = [(component["name"], component["version"], licences_of(component)) for component in document["components"]]
    with (place / "licences.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("package", "version", "licence"))
        writer.writerows((name, version, "; ".join(licences)) for name, version, licences in rows)
    sys.stdout.write(f"{len(rows)} packages, in {place}: sbom.cdx.json and licences.csv\n")
    for licence, packages in Counter(licence for _, _, licences in rows for licence in licences).most_common():
        sys.stdout.write(f"{packages:5}  {licence}\n")
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
