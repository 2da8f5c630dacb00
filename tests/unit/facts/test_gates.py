"""The limits of the gates: kept in one file, and every fault of it named at once."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from waitlist import paths
from waitlist.exceptions import MappingError
from waitlist.facts.gates import BY_SETTING, FILE, OPTIONAL, Gate, digest, load_gates
from waitlist.judge.rules import Disposition
from waitlist.release.gates import HANDLED
from waitlist.swedish.words import GATE_LABELS

LINES = {
    "critical_suites": "0",
    "accounting": "0",
    "extract_deviation": "0.125",
    "units_without_go_live": "2",
    "unhandled_share": "1",
    "dry_run_age_days": "3",
}


def written(folder: Path, lines: dict[str, str], *more: str) -> Path:
    rows = [f"{gate},{threshold},Ledningen,Därför" for gate, threshold in lines.items()]
    (folder / FILE).write_text("\n".join(["gate,threshold,owner,note", *rows, *more]), encoding="utf-8")
    return folder


def test_every_gate_has_its_limit(tmp_path: Path) -> None:
    assert dict(load_gates(written(tmp_path, LINES))) == {Gate(gate): float(limit) for gate, limit in LINES.items()}


def test_folder_without_the_file_takes_the_projects_own(tmp_path: Path) -> None:
    assert load_gates(tmp_path) == load_gates(paths.MAPPINGS)


def test_projects_own_file_lets_no_critical_fault_and_no_unplanned_unit_through() -> None:
    own = load_gates(paths.MAPPINGS)
    assert [own[gate] for gate in (Gate.CRITICAL_SUITES, Gate.ACCOUNTING, Gate.UNITS_WITHOUT_GO_LIVE)] == [0, 0, 0]
    assert GATE_LABELS.keys() == set(Gate)
    assert own.keys() == set(Gate) - OPTIONAL - BY_SETTING


def test_a_gate_that_is_off_leaves_the_digest_as_it_was_and_one_that_is_on_is_part_of_it(tmp_path: Path) -> None:
    off = load_gates(written(tmp_path, LINES))
    assert digest(off) == sha256(json.dumps({gate: float(limit) for gate, limit in LINES.items()}).encode()).hexdigest()
    on = load_gates(written(tmp_path, {**LINES, "target_refs_missing": "0"}))
    assert on[Gate.TARGET_REFS_MISSING] == 0
    assert digest(on) != digest(off)


def test_the_sample_has_no_limit_but_zero(tmp_path: Path) -> None:
    assert load_gates(written(tmp_path, {**LINES, "sample": "0"}))[Gate.SAMPLE] == 0
    with pytest.raises(MappingError, match="threshold: '3' is not 0, the only limit of sample"):
        load_gates(written(tmp_path, {**LINES, "sample": "3"}))


def test_every_fault_is_named_at_once_with_its_line(tmp_path: Path) -> None:
    faulty = {**LINES, "critical_suites": "0.5", "extract_deviation": "1.1", "unhandled_share": "5 %", "accounting": ""}
    del faulty["dry_run_age_days"]
    with pytest.raises(MappingError) as fault:
        load_gates(written(tmp_path, faulty, "extract_deviation,0.1,,", "weather,1,,", "units_without_go_live,-1,,"))
    assert str(fault.value).splitlines() == [
        f"gates at fault in {tmp_path}:",
        "  gates.csv:1: gate: 'dry_run_age_days' is missing",
        "  gates.csv:2: threshold: '0.5' is no whole number, and critical_suites counts",
        "  gates.csv:3: threshold: empty",
        "  gates.csv:4: threshold: '1.1' is above 1; a share is written as 0.05",
        "  gates.csv:6: threshold: '5 %' is no number; write it as 0.05 or 3",
        "  gates.csv:7: gate: the same as on line 4",
        f"  gates.csv:8: gate: 'weather' is not one of {', '.join(gate for gate in Gate if gate not in BY_SETTING)}",
        "  gates.csv:9: gate: the same as on line 5",
        "  gates.csv:9: threshold: '-1' is no number; write it as 0.05 or 3",
    ]


@pytest.mark.parametrize("text", ["nan", "inf", "1e3", "0,05", "٣", "1_0"])
def test_limit_is_written_in_plain_digits(tmp_path: Path, text: str) -> None:
    with pytest.raises(MappingError, match="is no number"):
        load_gates(written(tmp_path, {**LINES, "dry_run_age_days": f'"{text}"'}))


def test_file_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("gate;threshold;owner;note\n", encoding="utf-8")
    with pytest.raises(MappingError, match="separated by semicolons"):
        load_gates(tmp_path)


def test_what_is_booked_in_pmo_is_left_to_do_before_go_live_and_what_is_booked_in_millennium_is_not() -> None:
    left = set(Disposition) - HANDLED
    assert left == {
        Disposition.HANDLE_MANUALLY,
        Disposition.BOOK_IN_PMO,
        Disposition.FIX_IN_PMO,
        Disposition.PLAN_UNIT,
        Disposition.MOVE_TO_SDV_LIST,
    }
