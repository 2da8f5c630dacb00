"""The independent parts of a post, each with a consequence that is known beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Life(IntEnum):
    """When the post was registered and closed, relative to the as-of date."""

    OPEN = 0
    CLOSED_LATER = 1
    PILOT = 2
    """Registered before the earlier pilot batch."""
    LAST_SECOND = 3
    """Registered at 23:59:59 of the as-of date."""
    CLOSED_AT_MOMENT = 4
    """Closed at 00:00:00 of the day after: still there."""
    CLOSED = 5
    CLOSED_LAST_SECOND = 6
    REGISTERED_LATER = 7
    REGISTERED_AT_MOMENT = 8


EXTRACTED: Final = (Life.OPEN, Life.CLOSED_LATER, Life.PILOT, Life.LAST_SECOND, Life.CLOSED_AT_MOMENT)


class Name(IntEnum):
    """The patient's name."""

    TRUE = 0
    MISSING = 1
    CONTROL_ONLY = 2
    WITH_CONTROL = 3


class Dates(IntEnum):
    """The booking window, relative to the as-of date, the unit's go-live and its cutoff (go-live + 28 days)."""

    LATE = 0
    LATE_FIRST_DAY = 1
    """From the day after the cutoff."""
    LATE_ONE_DAY = 2
    WITHIN = 3
    """To a day from go-live to the cutoff."""
    WITHIN_LAST_DAY = 4
    """To the cutoff itself."""
    TODAY = 5
    """To the as-of date, so it has not expired: before go-live, or within the cutoff at a unit that is live."""
    STRADDLING = 6
    STRADDLING_EDGE = 7
    """From the cutoff to the day after."""
    EXPIRED = 8
    EXPIRED_YESTERDAY = 9
    NO_FROM = 10
    NO_FORE = 11
    NEITHER = 12
    NO_FROM_EXPIRED = 13
    INVERTED = 14
    INVERTED_EXPIRED = 15
    BEFORE_GO_LIVE = 16
    """To a day from the as-of date to go-live; within the cutoff at a unit that is live."""
    BEFORE_GO_LIVE_LAST_DAY = 17
    """To the day before go-live."""
    WITHIN_FIRST_DAY = 18
    """To go-live itself."""


class Category(IntEnum):
    """The kind of list that the post is on."""

    SDV = 0
    BASE = 1
    UNKNOWN = 2
    LOCAL = 3
    """Also unknown: a category of the unit's own."""


class Spelling(IntEnum):
    """The spelling of a known category; all of these still match."""

    EXACT = 0
    OUTER_SPACE = 1
    LOWER_CASE = 2
    UPPER_CASE = 3
    DOUBLE_SPACE = 4
    NO_BREAK_SPACE = 5
    DECOMPOSED = 6
    NO_SPACE = 7
    """No space before the parenthesis."""
    ALIAS = 8
    """``Bvc`` for ``Bhv``, ``Psy`` for ``Psyk``."""


class Contact(IntEnum):
    """The contact form, compared with the list's name."""

    FITTING = 0
    OTHER = 1
    """Another form of the contract."""
    UNKNOWN = 2


class Text(IntEnum):
    """Orsak and Planerade åtgärder."""

    BOTH = 0
    REASON = 1
    PLAN = 2
    EMPTY = 3
    LONG = 4
    HUGE = 5
    """Longer than a bulk reader's buffer."""
    WIDE = 6
    """Long only by white space, which is folded."""
    EMOJI = 7
    """Long only in bytes."""


class Control(IntEnum):
    """The text that contains a control character."""

    NONE = 0
    REASON = 1
    PLAN = 2
    CLINICIAN = 3


class Branch(IntEnum):
    """The place of the visit, and whether Orsak or Planerade åtgärder names it."""

    NONE = 0
    IN_REASON = 1
    IN_PLAN = 2
    OTHER_CASE = 3
    DECOMPOSED = 4
    ACROSS_LINES = 5
    NOT_NAMED = 6
    ONLY_CLINICIAN = 7
    IN_PART = 8


class Stamp(IntEnum):
    """The form of a booking date."""

    DATE = 0
    MIDNIGHT = 1
    AFTERNOON = 2
    ISO = 3


class Anchor(IntEnum):
    """The day from which a window that was set by hand is counted."""

    NONE = 0
    CUTOFF = 1
    AS_OF = 2


@dataclass
class Components:
    """The parts of a chunk of posts; arrays of shape (n,), each a kind of the class of its name.

    A ``list_``, ``base`` or ``form`` of -1 is chosen by the person's age, the unit and chance. A post with a ``group``
    of -1 is not planted to share its person with another post of the chunk.
    """

    unit: Numbers
    pool: Numbers
    scenario: Numbers
    life: Numbers
    identity: Numbers
    name: Numbers
    dates: Numbers
    stamp: Numbers
    anchor: Numbers
    first: Numbers
    """The first day of a window that was set by hand, in days from the anchor."""
    last: Numbers
    category: Numbers
    spelling: Numbers
    list_: Numbers
    base: Numbers
    contact: Numbers
    form: Numbers
    text: Numbers
    control: Numbers
    branch: Numbers
    attachments: Numbers
    group: Numbers
    waiting: Mask
    first_visit: Mask
    outside: Mask
    """Whether the list is of another care area than the unit's."""
    wrong_age: Mask
    own_row: Mask
    """Whether the patient has a row only for this post."""
    protected: Mask
    """Whether that row has a protected identity."""
    duplicate: Mask
    released: Mask

    @classmethod
    def clean(cls, count: int) -> "Components":
        """Return posts that migrate when they get a unit."""
        return cls(**{name: np.full(count, value) for name, value in _CLEAN.items()})

    def plant(self, place: int, parts: Mapping[str, int | str]) -> None:
        """Replace the post at an index by a clean one with the given parts; its unit stays."""
        for name, value in (_CLEAN | dict(parts)).items():
            if name != "unit":
                getattr(self, name)[place] = value

    def is_any(self, name: str, *kinds: int) -> Mask:
        """Tell which posts have one of the kinds in a part."""
        return np.isin(getattr(self, name), kinds)


_UNSET: Final = ("scenario", "list_", "base", "form", "group")
_CLEAN: Final[dict[str, Any]] = {
    field.name: field.name == "waiting" if field.type == Mask else -1 if field.name in _UNSET else 0
    for field in fields(Components)
}
