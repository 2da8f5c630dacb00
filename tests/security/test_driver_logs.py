"""psqlODBC writes a log to /tmp, readable by all, and would write statements and the password into it."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.pmo import AS_OF, SmallPmo, postgres_pmo, posts
from tests.support.postgres import PostgresServer

from waitlist.paths import PROJECT

READ = f"""
import datetime as dt, os, sys
from waitlist.source.pmo import PmoSource, Selection
from waitlist.settings import Settings
source, selection = PmoSource(sys.stdin.read(), Settings()), Selection(dt.date.fromisoformat("{AS_OF}"))
for partition in source.plan(selection):
    print(sum(table.num_rows for table in source.read(selection, partition)), os.getpid())
"""


@pytest.fixture(scope="module")
def pmo(postgres: PostgresServer) -> SmallPmo:
    return postgres_pmo(postgres, posts(range(1, 50)))


def logs_after_a_read(connection_string: str) -> list[Path]:
    """Read PMO in a process of its own and return the logs that it left."""
    done = subprocess.run(
        [sys.executable, "-c", READ],
        input=connection_string, text=True, capture_output=True, check=True, cwd=PROJECT / "include",
    )  # fmt: skip
    read, pid = done.stdout.split()
    assert read == "49"
    return [path for kind in ("psqlodbc", "mylog") for path in Path("/tmp").glob(f"{kind}_*{pid}.log")]


def test_a_read_leaves_no_log(pmo: SmallPmo) -> None:
    assert logs_after_a_read(pmo.odbc) == []


def test_a_requested_log_stays(pmo: SmallPmo) -> None:
    logs = logs_after_a_read(f"{pmo.odbc};CommLog=1")
    assert logs
    for log in logs:
        log.unlink()
