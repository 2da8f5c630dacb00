"""What watches a connection must not hold the process itself."""

import subprocess
import sys

_ENDS = """
import socket
from waitlist.waiting import Watch, Watched
here, there = socket.socketpair()
class Kept: pass
kept = Kept()
kept.itself = kept
kept.watched = Watched(object(), Watch.over(here.fileno(), 60, RuntimeError), ())
"""


def test_a_process_ends_whose_last_error_keeps_a_connection() -> None:
    """In a cycle of references, as a traceback makes them, it goes when no thread can start any more."""
    done = subprocess.run([sys.executable, "-c", _ENDS], timeout=30, check=True, capture_output=True)

    assert done.stderr == b""
