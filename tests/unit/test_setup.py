"""The Python that `make setup` takes, and the environments that it accepts as ready."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from waitlist.paths import PROJECT

OLD = '#!/bin/sh\n[ "$1" = --version ] || exit 1\necho Python 3.10.12\n'


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def old_python(tmp_path) -> Path:
    """A program that reports to be Python 3.10, and runs nothing."""
    python = tmp_path / "python3"
    python.write_text(OLD)
    python.chmod(0o755)
    return python


class TestPython:
    def test_one_that_is_named_and_too_old_is_refused_and_no_other_taken(self, old_python):
        setup = run("scripts/setup.sh", PYTHON=str(old_python))
        assert setup.returncode == 1
        assert f"Python 3.11 to 3.14 is needed, and {old_python} is Python 3.10.12." in setup.stderr

    def test_one_that_is_named_and_not_there_is_refused(self, tmp_path):
        setup = run("scripts/setup.sh", PYTHON=str(tmp_path / "python3"))
        assert setup.returncode == 1
        assert "is no Python." in setup.stderr


class TestEnvironment:
    @pytest.fixture
    def has_lock(self, tmp_path):
        """Asks whether an environment of this Python, with packages of the one that is named, holds a lock."""
        lock = tmp_path / "requirements.txt"
        lock.write_text("numpy==2.5.5\n")

        def ask(packages_of: str) -> bool:
            venv = tmp_path / packages_of
            (venv / "bin").mkdir(parents=True)
            (venv / "bin" / "python").symlink_to(sys.executable)
            (venv / "lib" / packages_of / "site-packages").mkdir(parents=True)
            ready = 'source scripts/install.sh; cksum <"$2" >"$1/ready"; has_lock "$1" "$2"'
            return run("bash", "-c", ready, "bash", venv, lock).returncode == 0

        return ask

    def test_is_ready_with_the_packages_of_its_own_python(self, has_lock):
        assert has_lock(f"python3.{sys.version_info.minor}")

    def test_is_not_ready_after_an_upgrade_of_the_system_to_another_python(self, has_lock):
        assert not has_lock("python3.10")


def test_the_pythons_are_those_of_the_project():
    told = run("bash", "-c", 'source scripts/install.sh; echo ">=3.$lowest_python,<3.$((highest_python + 1))"').stdout
    project = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    assert told.strip() == re.search(r'^requires-python = "(.*)"', project, re.MULTILINE)[1]
