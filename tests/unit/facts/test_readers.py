"""The units at which users work: every fault of the file is named at once, and the project's own names nobody."""

import shutil
from pathlib import Path

import pytest

from waitlist import paths
from waitlist.check_mappings import main
from waitlist.facts.readers import FILE, read_readers

UNIT, OTHER = "SE2120009999-TEST01", "SE2120009999-TEST02"


def written(folder: Path, *rows: str) -> Path:
    (folder / FILE).write_text("\n".join(["user_id,hsa_id,owner,note", *rows]), encoding="utf-8")
    return folder


def test_a_user_has_the_units_of_all_rows_in_their_one_form(tmp_path: Path) -> None:
    written(tmp_path, f"anna,{UNIT.lower()},Ledningen,", f"anna,\u00a0{OTHER},,", ",,,", f"Anna,{UNIT},,")
    assert read_readers(tmp_path)[0] == {"anna": {UNIT, OTHER}, "Anna": {UNIT}}


def test_the_projects_own_file_names_nobody_and_is_used_where_a_folder_has_none(tmp_path: Path) -> None:
    assert read_readers(paths.MAPPINGS) == read_readers(tmp_path) == ({}, [])


def test_every_fault_is_named_at_once_with_its_line_and_gives_no_right(tmp_path: Path) -> None:
    rows = (f"anna,{UNIT},,", f",{UNIT},,", "bo,vårdcentralen,,", f"anna,{UNIT.lower()},,", f"cia,{OTHER},,")
    found, faults = read_readers(written(tmp_path, *rows))
    assert faults == [
        "unit_readers.csv:3: user_id: empty",
        "unit_readers.csv:4: hsa_id: 'VÅRDCENTRALEN' is no HSA-id",
        "unit_readers.csv:5: user_id and hsa_id: the same as on line 2",
    ]
    assert found == {"anna": {UNIT}, "cia": {OTHER}}


def test_a_file_that_cannot_be_read_names_nobody(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(f"user_id,hsa_id,owner,note\nanna,{UNIT},,\nbo,\xe5,,\n".encode("latin-1"))
    found, faults = read_readers(tmp_path)
    assert found == {}
    assert {fault.partition(": ")[0] for fault in faults} == {"unit_readers.csv:3"}


def test_check_mappings_names_its_faults_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(paths.MAPPINGS, tmp_path, dirs_exist_ok=True)
    written(tmp_path, f",{UNIT},,")
    assert main([str(tmp_path)]) == 1
    assert "unit_readers.csv:2: user_id: empty" in capsys.readouterr().err
