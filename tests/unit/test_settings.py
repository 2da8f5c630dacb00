import pytest

from waitlist import paths
from waitlist.exceptions import SettingsError
from waitlist.settings import Settings, StraddlePolicy


def test_without_an_environment_the_defaults_are_the_domains() -> None:
    settings = Settings.read()
    assert settings.rules.cutoff_days == 28
    assert settings.rules.straddle_policy is StraddlePolicy.BOOK
    assert settings.rules.description_limit == 255
    assert not settings.rules.include_duration
    assert settings.mappings_dir == paths.MAPPINGS


def test_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAITLIST_CUTOFF_DAYS", "14")
    monkeypatch.setenv("WAITLIST_STRADDLE_POLICY", "review")
    monkeypatch.setenv("WAITLIST_PARTITION_POSTS", "1000")
    settings = Settings.read()
    assert (settings.rules.cutoff_days, settings.rules.straddle_policy) == (14, StraddlePolicy.REVIEW)
    assert settings.partition_posts == 1000


def test_every_fault_is_named_at_once_and_no_value_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
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
