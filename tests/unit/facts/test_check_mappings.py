"""``make check-mappings``: what a run would refuse, at a terminal."""

import shutil
from pathlib import Path

import pytest

from waitlist import check_mappings, paths
from waitlist.deployment import Facts
from waitlist.exceptions import MappingError
from waitlist.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(paths.MAPPINGS, tmp_path / "mappings"))


def test_every_fault_is_printed_and_a_run_refuses_by_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    units, gates = folder / "units.csv", folder / "gates.csv"
    units.write_bytes(units.read_bytes().replace(b",", b";") + "SE2120009999-A;Ö;Pv;2025-13-05".encode("cp1252"))
    gates.write_text(gates.read_text("utf-8").replace("accounting,0", "accounting,noll"), "utf-8")
    columns = len(units.read_text("utf-8", "replace").splitlines()[0].split(";"))
    assert check_mappings.main([str(folder)]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"at fault in {folder}:"
    assert told[1:4] == [
        "units.csv:1: separated by semicolons where commas are wanted",
        "units.csv:2: not UTF-8",
        f"units.csv:2: 4 fields where the header has {columns}",
    ]
    assert [line for line in told[4:] if not line.startswith("gates.csv:")] == []
    assert len(told) == 5
    with pytest.raises(MappingError) as refused:
        Facts.read(Settings(mappings_dir=folder))
    assert [line.strip() for line in str(refused.value).splitlines()[1:]] == told[1:]


def test_files_without_a_fault_are_said_to_be_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_mappings.main([str(folder)]) == 0
    assert capsys.readouterr().out == f"no fault in the mapping files of {folder}: 0 units\n"


def test_the_folder_of_the_settings_is_checked_where_none_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WAITLIST_MAPPINGS_DIR", str(folder))
    (folder / "units.csv").unlink()
    assert check_mappings.main([]) == 1
    assert "units.csv:1: the file is missing" in capsys.readouterr().err
