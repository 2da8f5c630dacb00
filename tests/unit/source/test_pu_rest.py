"""The moment before which nobody asks."""

import datetime as dt
from pathlib import Path

import pytest

from waitlist.exceptions import PersonServiceSetupError
from waitlist.source.pu.rest import FileRest, MemoryRest, Rest

NOON = dt.datetime(2024, 10, 1, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture(params=["memory", "file"])
def rest(request: pytest.FixtureRequest, tmp_path: Path) -> Rest:
    return MemoryRest() if request.param == "memory" else FileRest(tmp_path / "made" / "rest")


def test_nothing_is_kept_at_first(rest: Rest) -> None:
    assert rest.until() is None


def test_the_latest_moment_is_kept(rest: Rest) -> None:
    rest.rest_until(NOON)
    rest.rest_until(NOON - MINUTE)
    assert rest.until() == NOON
    rest.rest_until(NOON + MINUTE)
    assert rest.until() == NOON + MINUTE


def test_another_process_sees_the_file(tmp_path: Path) -> None:
    FileRest(tmp_path / "rest").rest_until(NOON.astimezone(dt.timezone(2 * 60 * MINUTE)))
    assert FileRest(tmp_path / "rest").until() == NOON
    assert [path.name for path in tmp_path.iterdir()] == ["rest"]


@pytest.mark.parametrize("content", ["soon", "", "2024-10-01 å"])
def test_a_file_that_holds_no_moment_stops(tmp_path: Path, content: str) -> None:
    (tmp_path / "rest").write_text(content, encoding="utf-8")
    with pytest.raises(PersonServiceSetupError, match="it holds no moment"):
        FileRest(tmp_path / "rest").until()


def test_a_file_that_cannot_be_read_or_written_stops(tmp_path: Path) -> None:
    (tmp_path / "rest").mkdir()
    with pytest.raises(PersonServiceSetupError, match="Is a directory"):
        FileRest(tmp_path / "rest").until()
    with pytest.raises(PersonServiceSetupError, match="Is a directory"):
        FileRest(tmp_path / "rest").rest_until(NOON)
