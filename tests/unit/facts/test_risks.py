"""The register of risks: every control can be looked up, and every fault of the file is named at once."""

import csv
import shutil
from pathlib import Path

import pytest

from waitlist import paths
from waitlist.check_mappings import main
from waitlist.facts.gates import Gate
from waitlist.facts.risks import FILE, ControlKind, read_risks
from waitlist.judge.rules import RULES, Severity
from waitlist.reports.risks import read_register

HEADER = "risk,fara,orsak,kontroller,kvar,owner,note"


def written(folder: Path, *rows: str) -> Path:
    (folder / FILE).write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return folder


def test_the_projects_own_register_has_no_fault_and_names_tests_that_exist(tmp_path: Path) -> None:
    risks, faults = read_register(paths.MAPPINGS)
    assert (read_register(tmp_path), faults) == ((risks, []), [])
    tests = {control.name for risk in risks for control in risk.kontroller if control.kind is ControlKind.TEST}
    assert {name for name in tests if not (paths.PROJECT / name).is_file()} == set()
    assert len(tests) > 5


def test_every_gate_and_every_rule_that_keeps_a_post_back_controls_a_risk() -> None:
    risks, _ = read_register(paths.MAPPINGS)
    named = {(control.kind, control.name) for risk in risks for control in risk.kontroller}
    wanted = {(ControlKind.GATE, gate.value) for gate in Gate}
    wanted |= {(ControlKind.RULE, code.value) for code, rule in RULES.items() if rule.severity is Severity.BLOCKS}
    assert wanted - named == NO_RISK


NO_RISK = {
    # No patient waits.
    (ControlKind.RULE, "NOT_WAITING"),
}


def test_every_fault_is_named_at_once_with_its_line(tmp_path: Path) -> None:
    rows = (
        "R01,Fara,Orsak,gate:accounting rule:ID_INVALID suite:dates test:tests/x.py,låg,Ledningen,",
        "R01,,Orsak,gate:none accounting,stor,Ledningen,",
        "R03,Fara,,,hög,,",
    )
    risks, faults = read_register(written(tmp_path, *rows))
    assert [risk.risk for risk in risks] == ["R01"]
    assert faults == [
        "risks.csv:3: risk: the same as on line 2",
        "risks.csv:3: fara: empty",
        "risks.csv:3: kontroller: there is no gate 'none'",
        "risks.csv:3: kontroller: 'accounting' is none of gate:, rule:, suite: and test: with a name after it",
        "risks.csv:3: kvar: 'stor' is not one of låg, medel, hög",
        "risks.csv:4: orsak: empty",
        "risks.csv:4: kontroller: empty",
        "risks.csv:4: owner: empty",
    ]


def test_a_kind_without_a_list_takes_any_name(tmp_path: Path) -> None:
    (risk,), faults = read_risks(written(tmp_path, "R01,Fara,Orsak,rule:MINE,låg,Ledningen,"), {})
    assert ([control.name for control in risk.kontroller], faults) == (["MINE"], [])


def test_check_mappings_names_its_faults_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(paths.MAPPINGS, tmp_path, dirs_exist_ok=True)
    written(tmp_path, "R01,Fara,Orsak,rule:NONE,låg,Ledningen,")
    assert main([str(tmp_path)]) == 1
    assert "risks.csv:2: kontroller: there is no rule 'NONE'" in capsys.readouterr().err


def test_no_hazard_is_written_twice() -> None:
    with (paths.MAPPINGS / FILE).open(encoding="utf-8", newline="") as file:
        hazards = [row["fara"] for row in csv.DictReader(file)]
    assert len(hazards) == len(set(hazards))
