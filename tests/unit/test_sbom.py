"""``make sbom``: what runs, and no tool that only tests need."""

import csv
import json
import runpy
from pathlib import Path

import pytest

from waitlist import paths

SBOM = runpy.run_path(str(paths.PROJECT / "scripts" / "sbom.py"))
LOCK = "flask-appbuilder==5.2 \\\n    --hash=sha256:0\nPyYAML==7.0 ; python_version < '3.12' \\\n# pytest==9\n"
COMPONENTS = [
    {"bom-ref": "a", "name": "Flask_AppBuilder", "version": "5.2", "licenses": [{"license": {"id": "BSD-3-Clause"}}]},
    {"bom-ref": "b", "name": "pyyaml", "version": "7.0", "licenses": [{"license": {"name": "MIT License\n\nText"}}]},
    {"bom-ref": "c", "name": "pytest", "version": "9", "licenses": [{"expression": "MIT"}]},
]
DEPENDENCIES = [{"ref": "a", "dependsOn": ["b", "c"]}, {"ref": "b"}, {"ref": "c", "dependsOn": ["b"]}]


def test_the_packages_of_the_lock_are_kept_however_their_names_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment, lock = tmp_path / "environment.json", tmp_path / "requirements.txt"
    environment.write_text(json.dumps({"components": COMPONENTS, "dependencies": DEPENDENCIES}), encoding="utf-8")
    lock.write_text(LOCK, encoding="utf-8")
    assert SBOM["main"](str(environment), str(lock), str(tmp_path / "out")) == 0
    document = json.loads((tmp_path / "out" / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert [component["bom-ref"] for component in document["components"]] == ["a", "b"]
    assert document["dependencies"] == [{"ref": "a", "dependsOn": ["b"]}, {"ref": "b", "dependsOn": []}]
    with (tmp_path / "out" / "licences.csv").open(encoding="utf-8", newline="") as file:
        assert [row["licence"] for row in csv.DictReader(file)] == ["BSD-3-Clause", "MIT License"]
    assert capsys.readouterr().out.startswith("2 packages")


def test_a_package_without_a_licence_is_said_to_have_none_known() -> None:
    assert SBOM["licences_of"]({"name": "x"}) == ["unknown"]
    assert SBOM["licences_of"]({"licenses": [{"license": {"name": " "}}]}) == ["unknown"]
