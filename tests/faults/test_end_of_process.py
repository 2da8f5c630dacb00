"""A process ends even if its connection is still open, as after a step that failed.

A driver's objects send to their server when they are deleted. While the interpreter ends, the thread that would end a
call without an answer can no longer start: a failed dry run stayed in the process list for ever.
"""

import subprocess
import sys

import pytest

OPEN = """
import socket
from waitlist.waiting import Watch, Watched

class Driver:
    def __init__(self):
        self.mine, self.silent = socket.socketpair()

    def {ends}(self):
        print("asks", flush=True)
        self.mine.recv(1)

driver = Driver()
watched = Watched(driver, Watch.over(driver.mine.fileno(), 60, Exception), ())
del driver
"""


@pytest.mark.parametrize("ends", ["__del__", "says_nothing"])
def test_a_connection_that_is_open_at_the_end_does_not_keep_the_process_running(ends: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPEN.format(ends=ends)], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == ("asks\n" if ends == "__del__" else "")
    assert done.stderr == ""
