"""What a profile is given, and what it returns."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from waitlist.release.references import Named

Row = Mapping[str, Any]
"""A booking request: ``post_id``, ``enhet_hsa_id``, ``protected_by`` and the columns of ``request_columns``."""

UNIT: Final = "enhet_hsa_id"
PROTECTED_BY: Final = "protected_by"
"""What the finding ``PROTECTED_IDENTITY`` says of who protects the identity: ``PMO``, ``PU`` or both."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a hand-off has besides its rows; all of it is bound to the batch."""

    post_system: str
    """The identifier system of our post ids."""
    references: Mapping[Named, str]
    """What the receiver calls places and visit types (``Mappings.references``)."""
    missing: Sequence[Named] = ()
    """What the batch's rows name and ``references`` lacks."""
    marked: Collection[str] = frozenset()
    """Persons with the person service's sekretessmarkering, by number."""
    recorded: Collection[str] = frozenset()
    """Persons with the person service's skyddad folkbokföring, by number."""


@dataclass(frozen=True, slots=True)
class Handed:
    """One file of a hand-off."""

    file: str
    """Its name."""
    lines: Callable[[Sequence[Row]], bytes] | None
    """Returns the lines of some rows; None where the file cannot be written."""
    head: bytes = b""
    """What comes before the rows."""
