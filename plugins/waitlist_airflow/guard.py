"""The error text of a failed task: enough to act on, and no personal data.

An error that this project raises itself has no personal data, so its text is shown. The text of any other error may
quote a value (drivers and pandas do), so only its type and place are shown.
"""

import functools
import traceback
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from waitlist import exceptions
from waitlist_airflow.runs import connections_kept

P = ParamSpec("P")
R = TypeVar("R")

_WORTH_A_RETRY = (
    exceptions.SourceError,
    exceptions.SnapshotError,
    exceptions.StagingError,
    exceptions.HandOffError,
    exceptions.PersonServiceError,
    exceptions.ReceiptError,
)
_NEVER_CURED = (
    exceptions.SourceRefusedError,
    exceptions.SchemaDriftError,
    exceptions.WindowClosedError,
    exceptions.PersonServiceSetupError,
    exceptions.RefusedError,
    exceptions.OutdatedFileError,
)

# Errors of files, sockets and memory may pass. After any other error a retry would fail for the same reason.
_PASSING = (OSError, MemoryError, EOFError)


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Make a task fail without a value in its log, and without a retry where that would fail for the same reason.

    The task keeps its connections to the staging database until it ends.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with connections_kept():
                return function(*args, **kwargs)
        except AirflowException:
            raise
        except exceptions.WaitlistError as error:
            transient = isinstance(error, _WORTH_A_RETRY) and not isinstance(error, _NEVER_CURED)
            raise (AirflowException if transient else AirflowFailException)(_with_type(error)) from None
        except Exception as error:  # noqa: BLE001 - the text of no error may reach the log
            raise (AirflowException if isinstance(error, _PASSING) else AirflowFailException)(where(error)) from None

    return run


def _with_type(error: exceptions.WaitlistError) -> str:
    return f"{type(error).__name__}: {error}"


def where(error: Exception) -> str:
    """Return an error's type and place, without its text."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " <- ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return (
        f"unexpected {type(error).__module__}.{type(error).__qualname__} at {places} "
        "(its text is withheld: it may quote a patient's data)"
    )
