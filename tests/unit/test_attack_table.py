"""The table of attacks: it fails when a try got through, so that no such attack can pass."""

from contextlib import suppress
from pathlib import Path

import pytest
from tests.support import attacks


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(attacks.FILE, str(tmp_path / "attacks.jsonl"))
    return tmp_path / "attacks.jsonl"


def test_an_attack_that_the_product_withstood_is_recorded(file: Path) -> None:
    attacks.record("forged answer", tries=7, held=7)
    attacks.record("a part of another batch", tries=2, held=2)
    assert attacks.read(file) == [
        attacks.Attack("a part of another batch", 2, 2, 0, 0),
        attacks.Attack("forged answer", 7, 7, 0, 0),
    ]


@pytest.mark.parametrize(("tries", "held", "hung"), [(7, 6, 0), (7, 6, 1), (0, 0, 0)])
def test_an_attack_that_got_through_or_was_never_made_fails(tries: int, held: int, hung: int, file: Path) -> None:
    with pytest.raises(AssertionError, match="forged answer"):
        attacks.record("forged answer", tries=tries, held=held, hung=hung)
    assert len(attacks.read(file)) == 1


@pytest.mark.parametrize(
    ("lines", "status"),
    [([], 1), ([(7, 7, 0)], 0), ([(7, 6, 0)], 1), ([(7, 6, 1)], 1)],
)
def test_the_printed_table_fails_when_it_is_empty_or_a_try_got_through(
    lines: list[tuple[int, int, int]], status: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tries, held, hung in lines:
        with suppress(AssertionError):
            attacks.record("forged answer", tries=tries, held=held, hung=hung)
    monkeypatch.setattr("sys.argv", ["attacks", str(file)])
    assert attacks.main() == status
