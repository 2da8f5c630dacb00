"""A process whose connection is still open when it ends, as after a step that failed, ends all the same.

Driver's objects talk to their server as they go. The thread that ends a call which gets no answer cannot start any more
while the interpreter ends: a failed dry run stayed in the process list for ever.
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
def test_a_connection_that_is_open_at_the_end_keeps_no_process(ends: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPEN.format(ends=ends)], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == ("asks\n" if ends == "__del__" else "")
    assert done.stderr == ""
