"""What the national person service has said of the persons of a batch (chapter 8), as the rules read it.

The answers are kept with the batch, so that every rerun judges by the same ones. No name is among them: a
surname was compared with PMO's name while the answer was at hand, and the posts with another name are all that is kept.
"""

from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from waitlist.schema import PostIds

ANSWERS: Final = pa.schema(
    [
        pa.field("person_id", pa.string(), nullable=False),
        pa.field("found", pa.bool_(), nullable=False),
        pa.field("protected_person", pa.bool_(), nullable=False),
        pa.field("protected_record", pa.bool_(), nullable=False),
        pa.field("test_person", pa.bool_(), nullable=False),
        pa.field("is_primary", pa.bool_(), nullable=False),
        pa.field("deregistered", pa.bool_(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("found_dead", pa.bool_(), nullable=False),
    ]
)
"""One row a person: the twelve digits, and the flags and the reason as ``source.pu.status`` explains them."""

DECEASED: Final = "AV"
EMIGRATED: Final = "UV"
OLD_NUMBER: Final = "GN"


@dataclass(frozen=True, slots=True)
class Persons:
    """The answers that a batch is judged by.

    Attributes:
        answers: of ``ANSWERS``, each person once; a person without an answer is not among them.
        other_name: sorted ids of the posts whose name in PMO has no word of the surname or middle name.
    """

    answers: pa.Table = field(repr=False)
    other_name: PostIds = field(repr=False)
