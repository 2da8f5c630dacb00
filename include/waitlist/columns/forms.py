"""The one form in which HSA-ids and contact forms are compared, wherever they come from.

A text gets it once, where it is read: a post's where PMO is read, a key where its mapping file is read. Whatever comes
after compares as it stands.
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
"""The form of each column that has one, in posts and in mapping files."""


def formed(column: pa.StringArray, form: Form) -> pa.StringArray:
    """Bring a column of posts to its form.

    Args:
        column: texts, shape (n,).
        form: of each text.

    Returns:
        texts, shape (n,); null where nothing is left of a text.
    """
    encoded = column.dictionary_encode()
    written = encoded.dictionary.to_pylist()
    wanted = [form(text) or None for text in written]
    return column if wanted == written else pc.take(pa.array(wanted, pa.string()), encoded.indices)
