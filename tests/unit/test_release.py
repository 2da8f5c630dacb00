"""`make release`: what it refuses, and what it commits."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from waitlist.paths import PROJECT

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n\n## [1.9.0] - 2026-01-02\n\n- The first.\n"
PERSON = {"NAME": "A tester", "EMAIL": "tester@example.invalid"}


class Clone:
    """A repository with a version, a changelog and the script."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scripts").mkdir()
        shutil.copy(PROJECT / "scripts" / "release.sh", folder / "scripts")
        (folder / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.9.0"\n')
        (folder / "CHANGELOG.md").write_text(CHANGELOG)
        (folder / "README.md").write_text("# x\n\n**Version 1.9.0**\n")
        (folder / "include" / "waitlist").mkdir(parents=True)
        (folder / "include" / "waitlist" / "__init__.py").write_text('"""A package."""\n\n__version__ = "1.9.0"\n')
        self.git("init", "--quiet")
        self.commit()

    def git(self, *command: str) -> str:
        return self.run("git", *command).stdout.strip()

    def commit(self) -> None:
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "A change")

    def release(self, version: str, date: str = "2026-11-28") -> subprocess.CompletedProcess[str]:
        return self.run("scripts/release.sh", VERSION=version, DATE=date)

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        persons = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in PERSON.items()}
        alone = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        environment = {**os.environ, **persons, **alone, **variables}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=command[0] == "git"
        )


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_a_release_dates_the_changelog_sets_the_version_commits_and_tags(clone: Clone) -> None:
    assert clone.release("1.10.0").returncode == 0
    dated = "## [Unreleased]\n\n## [1.10.0] - 2026-11-28\n\n### Added\n\n- A thing.\n"
    assert (clone.folder / "CHANGELOG.md").read_text() == CHANGELOG.replace(
        "## [Unreleased]\n\n### Added\n\n- A thing.\n", dated
    )
    assert 'version = "1.10.0"' in (clone.folder / "pyproject.toml").read_text()
    assert (clone.folder / "README.md").read_text() == "# x\n\n**Version 1.10.0**\n"
    assert clone.git("status", "--porcelain") == ""
    assert clone.git("log", "-1", "--format=%s") == "Release 1.10.0"
    assert clone.git("describe", "--exact-match") == "v1.10.0"


@pytest.mark.parametrize(
    ("version", "date", "said"),
    [
        ("1.9.0", "2026-11-28", "1.9.0 is no later than the present version, 1.9.0"),
        ("1.8.10", "2026-11-28", "1.8.10 is no later than the present version, 1.9.0"),
        ("1.10", "2026-11-28", "name a version of three numbers"),
        ("v2.0.0", "2026-11-28", "name a version of three numbers"),
        ("2.0.0", "2026-02-30", "DATE=2026-02-30 is no date"),
        ("2.0.0", "tomorrow", "DATE=tomorrow is no date"),
    ],
)
def test_a_version_or_a_date_that_cannot_be_is_refused(clone: Clone, version: str, date: str, said: str) -> None:
    before = clone.git("rev-parse", "HEAD")
    refused = clone.release(version, date)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert (clone.git("rev-parse", "HEAD"), clone.git("status", "--porcelain")) == (before, "")


def test_changes_that_are_not_committed_are_refused(clone: Clone) -> None:
    (clone.folder / "new.txt").write_text("x")
    refused = clone.release("2.0.0")
    assert refused.returncode == 1
    assert "not committed" in refused.stderr


def test_nothing_to_release_is_refused(clone: Clone) -> None:
    assert clone.release("2.0.0").returncode == 0
    refused = clone.release("2.0.1")
    assert refused.returncode == 1
    assert "nothing to release" in refused.stderr
