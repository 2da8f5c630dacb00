"""Reads the form of a request; nothing that is in it comes into an address, a log or an error."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request

_MOST_BYTES: Final = 8_000


async def read_form(request: Request, *, most_bytes: int = _MOST_BYTES, most_fields: int = 10) -> Mapping[str, str]:
    """Return the fields of a form, without those that are empty.

    Raises:
        HTTPException: 422: the form is longer than any of our own pages sends, or is no text.
    """
    size = request.headers.get("Content-Length", "")
    if not size.isdigit() or int(size) > most_bytes:
        raise HTTPException(422)
    try:
        form = dict(parse_qsl((await request.body()).decode(), errors="strict", max_num_fields=most_fields))
    except ValueError:
        raise HTTPException(422) from None
    if any("\0" in value for value in form.values()):
        raise HTTPException(422)
    return form
