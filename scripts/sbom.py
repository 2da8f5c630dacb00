"""Reduces a CycloneDX document of an environment to the packages that a lock names, and lists their licences.

    python scripts/sbom.py <environment.json> <lock> <folder>

The folder gets ``sbom.cdx.json`` and ``licences.csv``. The environment has tools for tests too; they are left out. A
package that nobody may hand on with this project is a fault: ``is_allowed`` says which licences those are.
"""

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
_UNKNOWN = "unknown"
# Licences that ask more of a region that runs or changes this project than a notice, or that do not say what they ask.
_FORBIDDEN = re.compile(
    r"\bAGPL|\bAffero|(?<![A-Z])GPL|General Public License|\bSSPL|Server Side Public|\bBUSL|Business Source"
    r"|Commons Clause|\bElastic|NonCommercial|-NC\b|Proprietary|^unknown$",
    re.IGNORECASE,
)
_LESSER = re.compile(r"LGPL|Lesser General Public License", re.IGNORECASE)
CHOSEN = {
    # They list licences of which one may be chosen, and a list does not say so.
    "pyphen": "Mozilla Public License 1.1",
    "text-unidecode": "Artistic License",
    # CycloneDX knows no such name.
    "protobuf": "3-Clause BSD License",
}
"""The licence that is taken, by the package's canonical name; what the package declares was read."""
UNDECLARED = {"openlineage-sql": "Apache-2.0"}
"""The licence that a package's sources say, where the package itself declares none."""


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


def is_allowed(name: str, licences: Collection[str]) -> bool:
    """Return whether this project may be handed on with a package of these licences, all of which apply.

    Of "A OR B" one is enough. LGPL is allowed: nothing is linked into a package or changed in it.
    """
    known = {**CHOSEN, **UNDECLARED} if list(licences) == [_UNKNOWN] else CHOSEN
    chosen = known.get(canonical(name))
    told = licences if chosen is None else [chosen]
    return all(any(_is_free(one) for one in re.split(r"\s+OR\s+", licence.strip("()"))) for licence in told)


def _is_free(licence: str) -> bool:
    return not _FORBIDDEN.search(_LESSER.sub("", licence))


def main(environment: str, lock: str, folder: str) -> int:
    """Write the files and print the licences, the most frequent first.

    Returns:
        1 where no package was found, or one with a licence that is not allowed.
    """
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
    refused = [
        f"{name} {version}: {'; '.join(licences)}" for name, version, licences in rows if not is_allowed(name, licences)
    ]
    if refused:
        sys.stderr.write("licences that this project may not be handed on with:\n" + "\n".join(refused) + "\n")
    return 1 if refused or not rows else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
