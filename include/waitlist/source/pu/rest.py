"""The moment before which nobody asks the service.

The national architecture forbids a call within five minutes of one that failed (RIV-TA, rule 22), by any process.
So the moment is kept where every process sees it, and each call reads it first.
"""

import datetime as dt
import os
from pathlib import Path
from typing import Final, Protocol

from waitlist.exceptions import PersonServiceSetupError, reason_of

REST: Final = dt.timedelta(minutes=5)


class Rest(Protocol):
    """Keeps the moment; what every process sees, whatever fails or is tried again."""

    def until(self) -> dt.datetime | None:
        """Return the moment, aware of its time zone; None where nothing has failed yet."""

    def rest_until(self, moment: dt.datetime) -> None:
        """Keep a moment, unless a later one is kept already."""


class MemoryRest:
    """Keeps the moment for one process alone."""

    def __init__(self) -> None:
        self._until: dt.datetime | None = None

    def until(self) -> dt.datetime | None:
        """Return the moment."""
        return self._until

    def rest_until(self, moment: dt.datetime) -> None:
        """Keep a moment, unless a later one is kept already."""
        self._until = max(self._until or moment, moment)


class FileRest:
    """Keeps the moment in a file, for the processes of one machine that are started by hand."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def until(self) -> dt.datetime | None:
        """Return the moment.

        Raises:
            PersonServiceSetupError: the file cannot be read, or holds something else.
        """
        try:
            return dt.datetime.fromisoformat(self._path.read_text(encoding="ascii")).astimezone(dt.UTC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._fault(reason_of(error)) from None
        except ValueError:
            raise self._fault("it holds no moment") from None

    def rest_until(self, moment: dt.datetime) -> None:
        """Keep a moment, unless a later one is kept already.

        Raises:
            PersonServiceSetupError: the file cannot be written.
        """
        aside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(max(self.until() or moment, moment).astimezone(dt.UTC).isoformat(), encoding="ascii")
            aside.replace(self._path)
        except OSError as error:
            raise self._fault(reason_of(error)) from None

    @staticmethod
    def _fault(reason: str) -> PersonServiceSetupError:
        return PersonServiceSetupError(f"the file that says when the person service may be asked again: {reason}")
