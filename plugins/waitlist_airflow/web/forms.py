"""The forms of the pages: the one way in which a browser sends something.

A browser sends its cookie with a form of another site too. So a form has the token of its session, and the origin that
the browser names is ours. Nothing that is in a form comes into an address, a log or an error.
"""

from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import parse_qsl, quote

from fastapi import Depends, HTTPException, Request
from fastapi.routing import APIRoute

from waitlist_airflow.web.access import ReaderDep, is_from_our_page, needed_by

CODE: Final = "kod"
"""The field with the token of the session."""
_MOST_BYTES: Final = 8_000
_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"


class OurForm:
    """A dependency that reads the form of a request; it refuses one from elsewhere, and one that is no form of ours."""

    def __init__(self, page: str, fields: frozenset[str]) -> None:
        self._page: Final = page
        self._fields: Final = fields | {CODE}

    async def __call__(self, request: Request, reader: ReaderDep) -> None:
        """Keep the fields of the form for ``FormDep``.

        Raises:
            HTTPException: 422: it cannot be read; 403: it comes from elsewhere.
        """
        named = {name: quote(str(value), safe="") for name, value in request.path_params.items()}
        # Where an answer that refuses the form leads to.
        request.state.form_page = self._page.format(**named).removeprefix("/")
        sent = await _read(request, self._fields)
        if not is_from_our_page(request, reader, sent.get(CODE, "")):
            raise HTTPException(403, "foreign")
        request.state.form = {name: value for name, value in sent.items() if name != CODE}


def is_checked(route: object) -> bool:
    """Tell whether a route only reads, or takes forms of our pages alone."""
    return isinstance(route, APIRoute) and (route.methods <= {"GET", "HEAD"} or len(needed_by(route, OurForm)) == 1)


async def _sent(request: Request) -> Mapping[str, str]:
    form: Mapping[str, str] = request.state.form
    return form


FormDep = Annotated[Mapping[str, str], Depends(_sent)]
"""The fields of the form of an address that ``Pages.form`` has registered."""


async def _read(request: Request, fields: frozenset[str]) -> Mapping[str, str]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise HTTPException(422, "form")
    if not body:
        return {}
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != _MEDIA_TYPE:
        raise HTTPException(422, "form")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=len(fields),
        )
    except ValueError:
        raise HTTPException(422, "form") from None
    sent = dict(pairs)
    if len(sent) != len(pairs) or not fields.issuperset(sent) or any("\0" in value for value in sent.values()):
        raise HTTPException(422, "form")
    return sent
