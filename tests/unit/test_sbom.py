"""``make sbom``: what runs, and no tool that only tests need."""

import csv
import importlib.metadata
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


def declared(name: str) -> list[str]:
    """Return the licences that an installed package declares: its expression, else its classifiers, else its text."""
    about = importlib.metadata.metadata(name)
    expressions = about.get_all("License-Expression") or []
    classifiers = [line for line in about.get_all("Classifier") or () if line.startswith("License ::")]
    told = expressions or [line.rpartition("::")[2].strip() for line in classifiers]
    text = "".join(about.get_all("License") or []).strip().splitlines()
    return [licence for licence in told if licence != "OSI Approved"] or text[:1] or ["unknown"]


def test_no_package_that_runs_has_a_forbidden_licence() -> None:
    installed = {SBOM["canonical"](found.name) for found in importlib.metadata.distributions()}
    names = SBOM["locked_names"]((paths.PROJECT / "requirements.txt").read_text(encoding="utf-8")) & installed
    assert len(names) > 150
    licences = {name: declared(name) for name in sorted(names)}
    assert {name: told for name, told in licences.items() if not SBOM["is_allowed"](name, told)} == {}
    assert [name for name, taken in SBOM["CHOSEN"].items() if taken.split()[0] not in " ".join(licences[name])] == []
    assert {name: licences[name] for name in SBOM["UNDECLARED"]} == {key: ["unknown"] for key in SBOM["UNDECLARED"]}


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True), ("LGPL-3.0-only", True), ("GNU Library or Lesser General Public License (LGPL)", True),
        ("Apache-2.0 OR GPL-2.0-only", True), ("BSD-3-Clause AND GPL-3.0-or-later", False), ("GPL-3.0-only", False),
        ("GNU General Public License v3 (GPLv3)", False), ("AGPL-3.0", False),
        ("GNU Affero General Public License v3", False),
        ("SSPL-1.0", False), ("BUSL-1.1", False), ("Elastic-2.0", False), ("CC-BY-NC-4.0", False),
        ("Other/Proprietary License", False), ("unknown", False),
    ],
)  # fmt: skip
def test_which_licences_are_allowed(licence: str, allowed: bool) -> None:
    assert SBOM["is_allowed"]("x", [licence]) is allowed
    assert SBOM["is_allowed"]("x", ["MIT", licence]) is allowed


@pytest.mark.parametrize(
    ("name", "licence", "allowed"),
    [
        ("protobuf", "unknown", True), ("openlineage_sql", "unknown", True), ("openlineage-sql", "GPL-3.0-only", False),
        ("another", "unknown", False),
    ],
)  # fmt: skip
def test_a_licence_that_nothing_declares_is_one_that_was_read(name: str, licence: str, allowed: bool) -> None:
    assert SBOM["is_allowed"](name, [licence]) is allowed


def test_make_sbom_fails_on_a_package_with_a_forbidden_licence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    component = {"bom-ref": "a", "name": "Flask_AppBuilder", "version": "5.2", "licenses": [{"expression": "AGPL-3.0"}]}
    (tmp_path / "environment.json").write_text(json.dumps({"components": [component]}), encoding="utf-8")
    (tmp_path / "requirements.txt").write_text(LOCK, encoding="utf-8")
    place = str(tmp_path / "out")
    assert SBOM["main"](str(tmp_path / "environment.json"), str(tmp_path / "requirements.txt"), place) == 1
    assert "Flask_AppBuilder 5.2: AGPL-3.0" in capsys.readouterr().err
