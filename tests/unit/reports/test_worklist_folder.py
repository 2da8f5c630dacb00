"""The folder of work lists: for its owner alone, never half filled, and without other files."""

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from xlsxwriter.exceptions import FileCreateError

from waitlist.exceptions import WorkListError
from waitlist.reports.worklist.folder import OutFolder, file_name, is_work_list, open_new

AS_OF = dt.date(2024, 10, 1)
A, B = "SE2120009999-TEST01", "SE2120009999-TEST02"


def fill(folder: OutFolder, *names: str, text: str = "ny") -> None:
    with folder.filling() as aside:
        for name in names:
            with open_new(aside / name) as file:
                file.write(text.encode())


def lists(path: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in path.iterdir()}


def name(unit: str, as_of: dt.date = AS_OF, suffix: str = "xlsx") -> str:
    return file_name(unit, as_of, suffix)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ut" / "listor"


def out(path: Path, *units: str, replace: bool = False) -> OutFolder:
    return OutFolder(path, units=units or None, replace=replace)


# Names


def test_name_has_unit_and_day() -> None:
    assert name(A) == "arbetslista-SE2120009999-TEST01-2024-10-01.xlsx"
    assert name("", suffix="csv") == "arbetslista-okand-enhet-2024-10-01.csv"


def test_name_never_leads_out_of_the_folder() -> None:
    assert name("../a/Å b") == "arbetslista-___a___b-2024-10-01.xlsx"


def test_work_list_is_recognised_by_its_name() -> None:
    assert all(map(is_work_list, (name(A), name(""), name(A, suffix="csv"))))
    assert not any(map(is_work_list, ("arbetslista.xlsx", "x-" + name(A), name(A) + ".bak", f"~${name(A)}")))


# Creation


def test_folder_is_made_for_its_owner_alone(path: Path) -> None:
    fill(out(path), name(A))
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / name(A)).stat().st_mode & 0o777 == 0o600


def test_an_open_folder_is_closed(path: Path) -> None:
    path.mkdir(parents=True, mode=0o755)
    fill(out(path), name(A))
    assert path.stat().st_mode & 0o777 == 0o700


def test_temporary_files_go_and_work_lists_stay(path: Path) -> None:
    fill(out(path), name(A), "rows-000.arrow", "tmp123")
    assert list(lists(path)) == [name(A)]


# Refusals


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_an_entry_that_is_not_a_file_never_stops_the_lists_half_way(path: Path, make: Callable[[Path], None]) -> None:
    path.mkdir(parents=True)
    make(path / name(B))
    with pytest.raises(WorkListError, match="has 1 other files"):
        fill(out(path, replace=True), name(A), name(B))
    assert [file.name for file in path.iterdir()] == [name(B)]


def test_other_files_are_never_mixed_with_patients_data(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "brev.docx").touch()
    for replace in (False, True):
        with pytest.raises(WorkListError, match="has 1 other files: work lists need a folder of their own"):
            fill(out(path, replace=replace), name(A))
    assert list(lists(path)) == ["brev.docx"]
    assert path.stat().st_mode & 0o777 != 0o700


def test_earlier_lists_are_not_overwritten_unasked(path: Path) -> None:
    fill(out(path), name(A), text="gammal")
    with pytest.raises(WorkListError, match="has 1 earlier work lists of these units: --replace replaces them"):
        fill(out(path), name(A))
    assert lists(path) == {name(A): "gammal"}


def test_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fil").touch()
    assert out(tmp_path / "fil").faults() == [f"{tmp_path / 'fil'} cannot be written to: Not a directory"]


# Replacing


def test_replacing_leaves_no_stale_list_of_another_day(path: Path) -> None:
    fill(out(path), name(A, dt.date(2024, 9, 1)), name(B, dt.date(2024, 9, 1)), text="gammal")
    fill(out(path, replace=True), name(A))
    assert lists(path) == {name(A): "ny"}


def test_one_unit_is_added_and_replaced_beside_the_others(path: Path) -> None:
    fill(out(path), name(A), text="gammal")
    fill(out(path, B), name(B))
    fill(out(path, A, replace=True), name(A))
    assert lists(path) == {name(A): "ny", name(B): "ny"}


# Failure


def test_failure_changes_nothing(path: Path) -> None:
    fill(out(path), name(A), text="gammal")

    def broken() -> None:
        with out(path, replace=True).filling() as aside:
            (aside / name(A)).write_text("halv")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the test's own
        broken()
    assert lists(path) == {name(A): "gammal"}


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device", "/hemligt/9001012384"), FileCreateError("9001012384")]
)
def test_full_disk_is_reported_without_the_systems_text(path: Path, error: Exception) -> None:
    def full() -> None:
        with out(path).filling():
            raise error

    with pytest.raises(WorkListError, match="cannot be written to") as caught:
        full()
    assert "asa.oberg" not in str(caught.value)
    assert list(path.iterdir()) == []


def test_what_a_killed_attempt_left_is_removed(path: Path) -> None:
    killed = path / f".arbetslistor-{'0' * 32}"
    killed.mkdir(parents=True)
    (killed / "rows-000.arrow").touch()
    fill(out(path), name(A))
    assert list(lists(path)) == [name(A)]
