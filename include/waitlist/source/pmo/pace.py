"""PMO is a live clinical system: how fast it is read, and at what hours.

Both are asked between chunks, so a read ends with the chunk that was under way when its window closed.
"""

import datetime as dt
import time
from collections.abc import Callable

from waitlist.columns.dates import STOCKHOLM
from waitlist.exceptions import WindowClosedError


def _now() -> dt.datetime:
    return dt.datetime.now(STOCKHOLM)


class Pace:
    """One reader's pace.

    Args:
        window: hours of the day in which PMO may be read, ``22:00-06:00`` in Stockholm's time; None for all.
        posts_per_second: posts that a reader takes at most; None for as many as come.
        now: the moment, aware.
        sleep: waits for some seconds.
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
        """Begin to read.

        Raises:
            WindowClosedError: not at this hour.
        """
        self._begun, self._posts = self._now(), 0
        self._check()

    def took(self, posts: int) -> None:
        """Say that some posts more were read; returns when the next ones may be.

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
