"""Checks whether an address can be read at all, before it is used."""

import unicodedata
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

UNREADABLE: Final = ("/olaslig-adress", "/api/olaslig-adress")
"""The addresses that replace one that cannot be read: for a reader, and for a program."""
_LONGEST: Final = 8_000
"""The most bytes of a path with its query; a filter on a list name of 500 letters needs 6,000."""


def is_readable(scope: Scope) -> bool:
    """Tell whether an address is a text that a database and a file name can contain.

    That is UTF-8 without overlong forms and unpaired surrogates, without NUL, and without control characters in its
    path. A category in PMO may contain a tab, so a query may too.
    """
    path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    query: bytes = scope["query_string"]
    if len(path) + len(query) > _LONGEST:
        return False
    try:
        names, values = (unquote_to_bytes(part).decode("utf-8") for part in (path, query))
    except UnicodeDecodeError:
        return False
    return "\0" not in values and not any(unicodedata.category(letter) == "Cc" for letter in names)


def instead_of(scope: Scope) -> Scope:
    """Return the request with one of ``UNREADABLE`` as its address; the usual checks of access follow."""
    root = scope.get("root_path", "")
    path = root + UNREADABLE[scope["path"].startswith(f"{root}/api/")]
    return {**scope, "path": path, "raw_path": path.encode(), "query_string": b""}
