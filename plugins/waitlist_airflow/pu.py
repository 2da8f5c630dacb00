"""How the tasks run that ask the person service: in a pool of their own, and with a pause after a failure.

Only where ``WAITLIST_PU`` is ``required``: otherwise a deployment needs no such pool.
"""

import datetime as dt
from typing import Any, Final

POOL: Final = "pu"
"""Of four slots, since at most four calls may be under way over all DAGs. Setup makes it: without it no task starts."""

ASKING: Final[dict[str, Any]] = {
    "pool": POOL,
    # Nobody may ask within five minutes of a call that failed.
    "retry_delay": dt.timedelta(minutes=6),
    # The first night asks about everybody: at the producer's pace 250,000 persons take 85 minutes. What was answered is
    # kept, so that a retry goes on.
    "execution_timeout": dt.timedelta(hours=6),
}
