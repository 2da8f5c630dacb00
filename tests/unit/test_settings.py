from decimal import Decimal
from typing import get_args

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from waitlist import paths
from waitlist.exceptions import SettingsError
from waitlist.settings import (
    LEAST_LOG_DAYS,
    ConnectionSettings,
    PersonServiceSettings,
    RuleSettings,
    Settings,
    StraddlePolicy,
)


def test_without_an_environment_the_defaults_are_the_domains() -> None:
    settings = Settings.read()
    assert settings.rules.cutoff_days == 28
    assert settings.rules.straddle_policy is StraddlePolicy.BOOK
    assert settings.rules.description_limit == 255
    assert not settings.rules.include_duration
    assert settings.mappings_dir == paths.MAPPINGS


def test_the_environment_overrides_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAITLIST_CUTOFF_DAYS", "14")
    monkeypatch.setenv("WAITLIST_STRADDLE_POLICY", "review")
    monkeypatch.setenv("WAITLIST_PARTITION_POSTS", "1000")
    settings = Settings.read()
    assert (settings.rules.cutoff_days, settings.rules.straddle_policy) == (14, StraddlePolicy.REVIEW)
    assert settings.partition_posts == 1000


@pytest.mark.parametrize("share", ["0", "-0.02", "0.51", "2", "0.00002", "NaN", "Infinity", "2 %", "0,02"])
def test_a_share_of_faults_is_between_nothing_and_a_half(monkeypatch: pytest.MonkeyPatch, share: str) -> None:
    assert Settings.read().rules.sample_faults == Decimal("0.02")
    monkeypatch.setenv("WAITLIST_SAMPLE_FAULTS", "0.05")
    assert Settings.read().rules.sample_faults == Decimal("0.05")
    monkeypatch.setenv("WAITLIST_SAMPLE_FAULTS", share)
    with pytest.raises(SettingsError, match="WAITLIST_SAMPLE_FAULTS"):
        Settings.read()


def test_every_fault_is_named_at_once_without_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAITLIST_CUTOFF_DAYS", "-987654")
    monkeypatch.setenv("WAITLIST_STRADDLE_POLICY", "hemligt")
    monkeypatch.setenv("WAITLIST_CHUNK_POSTS", "0")
    with pytest.raises(SettingsError) as error:
        Settings.read()
    said = str(error.value)
    assert all(name in said for name in ("CUTOFF_DAYS", "STRADDLE_POLICY", "CHUNK_POSTS"))
    assert said.count("CUTOFF_DAYS") == 1
    assert "987654" not in said
    assert "hemligt" not in said


def test_limits_of_connections_are_named_with_the_other_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAITLIST_ANSWER_SECONDS", "0")
    monkeypatch.setenv("WAITLIST_CHUNK_POSTS", "0")
    with pytest.raises(SettingsError) as error:
        Settings.read()
    assert all(name in str(error.value) for name in ("WAITLIST_ANSWER_SECONDS", "WAITLIST_CHUNK_POSTS"))


def test_the_access_log_is_not_kept_for_less_than_the_law_requires(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.read().keep_log_days == LEAST_LOG_DAYS == 1858
    monkeypatch.setenv("WAITLIST_KEEP_LOG_DAYS", "1857")
    with pytest.raises(SettingsError, match=r"WAITLIST_KEEP_LOG_DAYS: .*five years and a month by law, 1858 days"):
        Settings.read()


def numeric(settings: type[BaseSettings]) -> dict[str, FieldInfo]:
    """Return the settings that take a number, with or without "empty"."""
    numbers = {int, float}
    return {
        name: field
        for name, field in settings.model_fields.items()
        if numbers & {field.annotation, *get_args(field.annotation)}
    }


BOUNDED = [
    pytest.param(settings, name, field, id=name)
    for settings in (Settings, RuleSettings, ConnectionSettings, PersonServiceSettings)
    for name, field in numeric(settings).items()
]


@pytest.mark.parametrize(("settings", "name", "field"), BOUNDED)
def test_every_number_has_an_upper_and_a_lower_bound(settings: type[BaseSettings], name: str, field: FieldInfo) -> None:
    bounds = {type(bound) for bound in field.metadata}
    assert bounds & {Ge, Gt}, f"{name} has no lower bound"
    assert bounds & {Le, Lt}, f"{name} has no upper bound"


@pytest.mark.parametrize("value", ["-1", "9" * 30, "1e400", "abc", "", "NaN"])
@pytest.mark.parametrize(("settings", "name", "field"), BOUNDED)
def test_a_number_out_of_bounds_is_named(
    settings: type[BaseSettings], name: str, field: FieldInfo, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"WAITLIST_{name.upper()}", value)
    with pytest.raises(SettingsError, match=f"WAITLIST_{name.upper()}"):
        Settings.read()


def test_a_text_where_settings_have_variables_of_their_own_is_a_fault_of_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAITLIST_RULES", "{broken")
    with pytest.raises(SettingsError, match="WAITLIST_RULES"):
        Settings.read()


def test_while_a_dag_file_is_parsed_a_fault_gives_the_defaults_and_nobody_may_approve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAITLIST_APPROVERS", "lead")
    monkeypatch.setenv("WAITLIST_PMO_READERS", "3")
    assert (Settings.read_or_defaults().approver_ids, Settings.read_or_defaults().pmo_readers) == (("lead",), 3)
    monkeypatch.setenv("WAITLIST_APPROVAL_HOURS", "9" * 30)
    monkeypatch.setenv("WAITLIST_CUTOFF_DAYS", "abc")
    settings = Settings.read_or_defaults()
    assert (settings.approver_ids, settings.pmo_readers, settings.approval_hours) == ((), 2, 72)
    assert (settings.rules.cutoff_days, settings.connections) == (28, ConnectionSettings.model_construct())
