"""The canonical form of HSA-ids and contact forms, from PMO and from the mapping files.

A text is normalised once, when it is read: a post's text when PMO is read, a key when its mapping file is read. Later
code compares the texts without changing them.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

Form = Callable[[str], str]

_OUTER: Final = " \t\u00a0\u2007\u202f"


def hsa_id(text: str) -> str:
    """Return an HSA-id without outer spaces, no-break spaces and tabs, in upper case."""
    return text.strip(_OUTER).upper()


def contact_form(text: str) -> str:
    """Return a contact form without outer spaces, no-break spaces and tabs, case-folded."""
    return text.strip(_OUTER).casefold()


FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {"enhet_hsa_id": hsa_id, "hsa_id": hsa_id, "kontaktform": contact_form}
)
"""The function that normalises each such column, in posts and in mapping files."""


def formed(column: pa.StringArray, form: Form) -> pa.StringArray:
    """Normalise a column of posts.

    Args:
        column: texts, shape (n,).
        form: returns the canonical form of a text.

    Returns:
        texts, shape (n,); null where the canonical form is empty.
    """
    encoded = column.dictionary_encode()
    written = encoded.dictionary.to_pylist()
    wanted = [form(text) or None for text in written]
    return column if wanted == written else pc.take(pa.array(wanted, pa.string()), encoded.indices)
