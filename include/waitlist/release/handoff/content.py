"""What a profile is given, and what it returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from waitlist.release.references import Named

Row = Mapping[str, Any]
"""A booking request: ``post_id``, ``enhet_hsa_id`` and the columns of ``request_columns``."""

UNIT: Final = "enhet_hsa_id"


@dataclass(frozen=True, slots=True)
class Content:
    """What a hand-off has besides its rows; all of it is bound to the batch."""

    post_system: str
    """The identifier system of our post ids."""
    references: Mapping[Named, str]
    """What the receiver calls places and visit types (``Mappings.references``)."""
    missing: Sequence[Named] = ()
    """What the batch's rows name and ``references`` lacks."""


@dataclass(frozen=True, slots=True)
class Handed:
    """One file of a hand-off."""

    file: str
    """Its name."""
    lines: Callable[[Sequence[Row]], bytes] | None
    """Returns the lines of some rows; None where the file cannot be written."""
    head: bytes = b""
    """What comes before the rows."""
