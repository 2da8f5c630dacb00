"""The exception that Airflow gets for an error: whether a retry makes sense, and no value."""

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


def raised_for(guard: ModuleType, error: Exception) -> Exception:
    @guard.guarded
    def step() -> None:
        raise error

    with pytest.raises(Exception) as said:  # noqa: PT011 - the test looks at the type
        step()
    assert said.value.__suppress_context__
    return said.value


@pytest.mark.parametrize(
    "kind", [exceptions.SourceError, exceptions.SnapshotError, exceptions.StagingError, exceptions.PersonServiceError]
)
def test_an_error_that_may_pass_is_retried(guard: ModuleType, kind: type[Exception]) -> None:
    said = raised_for(guard, kind("part 7"))
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
        exceptions.PersonServiceSetupError,
        exceptions.RefusedError,
        exceptions.ReconciliationError,
    ],
)
def test_an_error_that_would_happen_again_fails_at_once(guard: ModuleType, kind: type[Exception]) -> None:
    said = raised_for(guard, kind("batch 7"))
    assert isinstance(said, guard.AirflowFailException)
    assert str(said) == f"{kind.__name__}: batch 7"


@pytest.mark.parametrize("kind", [OSError, ConnectionResetError, TimeoutError, MemoryError])
def test_an_error_of_the_system_is_retried_without_its_text(guard: ModuleType, kind: type) -> None:
    said = raised_for(guard, kind("Tolvan Tolvansson"))
    assert not isinstance(said, guard.AirflowFailException)
    assert "Tolvan" not in str(said)
    assert f"builtins.{kind.__name__} at" in str(said)


@pytest.mark.parametrize("kind", [TypeError, KeyError, ValueError, RecursionError, OverflowError, AssertionError])
def test_an_error_of_the_code_fails_at_once_without_its_text(guard: ModuleType, kind: type) -> None:
    said = raised_for(guard, kind("Tolvan Tolvansson"))
    assert isinstance(said, guard.AirflowFailException)
    assert "Tolvan" not in str(said)
    assert f"builtins.{kind.__name__} at" in str(said)
