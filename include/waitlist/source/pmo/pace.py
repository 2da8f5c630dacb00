"""How fast PMO is read, and at what hours: PMO is a clinical system in use.

Both limits are checked between chunks, so a read ends with the chunk that was being read when the window closed.
"""

import datetime as dt
import time
from collections.abc import Callable

from waitlist.columns.dates import STOCKHOLM
from waitlist.exceptions import WindowClosedError


def _now() -> dt.datetime:
    return dt.datetime.now(STOCKHOLM)


class Pace:
    """The speed and the hours at which one reader reads.

    Args:
        window: hours of the day in which PMO may be read, such as ``22:00-06:00``, in Stockholm's time; None for all.
        posts_per_second: the most posts that a reader reads per second; None for no limit.
        now: returns the current time, aware.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        window: str | None,
        posts_per_second: int | None,
        *,
        now: Callable[[], dt.datetime] = _now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._window = window
        self._posts_per_second = posts_per_second
        self._now = now
        self._sleep = sleep
        self._begun = now()
        self._posts = 0

    def begin(self) -> None:
        """Start a read.

        Raises:
            WindowClosedError: PMO may not be read at this hour.
        """
        self._begun, self._posts = self._now(), 0
        self._check()

    def took(self, posts: int) -> None:
        """Count posts that were read, and wait until the next may be read.

        Raises:
            WindowClosedError: the window has closed meanwhile.
        """
        self._posts += posts
        if self._posts_per_second is not None:
            ahead = self._posts / self._posts_per_second - (self._now() - self._begun).total_seconds()
            if ahead > 0:
                self._sleep(ahead)
        self._check()

    def _check(self) -> None:
        if self._window is None:
            return
        opens, closes = map(dt.time.fromisoformat, self._window.split("-"))
        at = self._now().astimezone(STOCKHOLM).time()
        is_open = opens <= at < closes if opens < closes else at >= opens or at < closes
        if not is_open:
            after = (
                f"closed after {self._posts} posts of this part, of which nothing is kept"
                if self._posts
                else "is closed"
            )
            raise WindowClosedError(
                f"PMO may be read {self._window} (WAITLIST_PMO_READ_WINDOW), and the window {after}: "
                "clear this step when it is open again"
            )
