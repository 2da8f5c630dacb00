"""Command lines, which everybody on the machine can read: none takes a password, and each has another way for it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import batches
from tests.support.postgres import PostgresServer

from waitlist.demo import main as demo
from waitlist.paths import PROJECT
from waitlist.reports import diff
from waitlist.reports.readiness import main as readiness_main
from waitlist.reports.worklist.__main__ import main as worklist
from waitlist.simulator.__main__ import main as simulator
from waitlist.staging import StagingStore

SECRET = "h3mligt"
WITH_PASSWORD = (
    f"postgresql://waitlist:{SECRET}@db.example.invalid/staging",
    f"postgresql://db.example.invalid/staging?password={SECRET}",
)
COMMANDS = {
    "readiness": (readiness_main, []),
    "diff": (diff.main, ["A", "B"]),
    "worklist": (worklist, ["--snapshots", "file:///tmp/x"]),
    "demo": (demo, ["--pmo", "Driver={SQLite3};Database=x", "--out", "x"]),
}


@pytest.fixture(autouse=True)
def no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAITLIST_STAGING_URL", raising=False)


@pytest.mark.parametrize("url", WITH_PASSWORD)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_password_on_the_command_line_is_refused_with_where_it_belongs(
    command: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main, others = COMMANDS[command]
    with pytest.raises(SystemExit) as ended:
        main(["--staging", url, *others])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "every user of this machine can read the password there: put the URL into WAITLIST_STAGING_URL" in said
    assert SECRET not in said


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_a_database_says_how_to_name_one(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main, others = COMMANDS[command]
    with pytest.raises(SystemExit) as ended:
        main(others)
    assert ended.value.code == 2
    assert "no staging database: set WAITLIST_STAGING_URL" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["Driver={x};Pwd=h3mligt", "Driver={x}; PASSWORD = h3mligt;Uid=a"])
def test_an_odbc_connection_string_has_no_password_either(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        demo(["--pmo", text, "--staging", "sqlite:///x", "--out", "x"])
    said = capsys.readouterr().err
    assert "name a data source of odbc.ini that has it" in said
    assert SECRET not in said


@pytest.mark.parametrize("url", WITH_PASSWORD)
def test_the_simulator_takes_a_password_from_the_environment(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        simulator(["--postgres", url])
    said = capsys.readouterr().err
    assert "put it into PGPASSWORD" in said
    assert SECRET not in said


def test_an_invalid_url_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        readiness_main(["--staging", f"waitlist:{SECRET}@db"])
    said = capsys.readouterr().err
    assert "this is no database URL" in said
    assert SECRET not in said


def test_while_a_command_works_no_process_shows_the_password(postgres: PostgresServer) -> None:
    url = postgres.libpq(postgres.create_database())
    store = StagingStore(url)
    store.migrate()
    batches.put_verified(store)
    code = (
        "import pathlib, runpy, sys, waitlist.staging.store as s\n"
        "seen = []\n"
        "def look(self, *_, before=s.StagingStore.batch):\n"
        "    seen.extend(p.read_bytes() for p in pathlib.Path('/proc').glob('[0-9]*/cmdline') if p.exists())\n"
        "    return before(self, *_)\n"
        "s.StagingStore.batch = look\n"
        "from waitlist.reports.readiness import main\n"
        "code = main([])\n"
        "assert seen\n"
        "secret = sys.stdin.read().encode()\n"
        "print(len(secret) > 20, sum(secret in line for line in seen))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"WAITLIST_STAGING_URL": url, "PYTHONPATH": str(PROJECT / "include")},
        input=postgres.password, text=True, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "True 0"


def test_no_script_puts_a_secret_variable_on_a_command_line() -> None:
    shown = re.compile(r"""--(password|staging|postgres|pmo|dsn)[ =]["']?\$\{?\w*(PASS|PWD|SECRET|TOKEN|_URL|CONN)""")
    scripts = [*Path(PROJECT / "scripts").rglob("*"), *Path(PROJECT / "docker").rglob("*"), PROJECT / "Makefile"]
    found = [
        f"{path.relative_to(PROJECT)}:{number}"
        for path in scripts
        if path.is_file() and path.suffix != ".pyc"
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if shown.search(line)
    ]
    assert found == []
