"""What Airflow is told of an error: whether a retry is worth its while, and no value."""

import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest

from waitlist import exceptions


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        yield importlib.import_module("waitlist_airflow.guard")


def said_of(guard: ModuleType, error: Exception) -> Exception:
    @guard.guarded
    def step() -> None:
        raise error

    with pytest.raises(Exception) as said:  # noqa: PT011 - which one is what is asked
        step()
    assert said.value.__suppress_context__
    return said.value


@pytest.mark.parametrize("kind", [exceptions.SourceError, exceptions.SnapshotError, exceptions.StagingError])
def test_what_may_pass_is_tried_again(guard: ModuleType, kind: type[Exception]) -> None:
    said = said_of(guard, kind("part 7"))
    assert not isinstance(said, guard.AirflowFailException)
    assert str(said) == f"{kind.__name__}: part 7"


@pytest.mark.parametrize(
    "kind",
    [
        exceptions.SettingsError,
        exceptions.MappingError,
        exceptions.SourceRefusedError,
        exceptions.SchemaDriftError,
        exceptions.SuiteError,
        exceptions.ContractBrokenError,
        exceptions.RefusedError,
        exceptions.ReconciliationError,
    ],
)
def test_what_would_fail_again_fails_at_once(guard: ModuleType, kind: type[Exception]) -> None:
    said = said_of(guard, kind("batch 7"))
    assert isinstance(said, guard.AirflowFailException)
    assert str(said) == f"{kind.__name__}: batch 7"


@pytest.mark.parametrize("kind", [OSError, ConnectionResetError, TimeoutError, MemoryError])
def test_what_goes_wrong_beside_the_work_is_tried_again_without_its_words(guard: ModuleType, kind: type) -> None:
    said = said_of(guard, kind("Tolvan Tolvansson"))
    assert not isinstance(said, guard.AirflowFailException)
    assert "Tolvan" not in str(said)
    assert f"builtins.{kind.__name__} at" in str(said)


@pytest.mark.parametrize("kind", [TypeError, KeyError, ValueError, RecursionError, OverflowError, AssertionError])
def test_an_error_in_the_work_itself_fails_at_once_without_its_words(guard: ModuleType, kind: type) -> None:
    said = said_of(guard, kind("Tolvan Tolvansson"))
    assert isinstance(said, guard.AirflowFailException)
    assert "Tolvan" not in str(said)
    assert f"builtins.{kind.__name__} at" in str(said)
