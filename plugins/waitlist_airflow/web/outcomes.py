"""What a unit's staff say of a post: the calls that change something.

A call is a form. It has a key, so that it counts once, and the number of the post's last entry that its writer saw.
"""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import Depends, HTTPException, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from waitlist.access import Need
from waitlist.reports.pages.unit import key_of, read_post
from waitlist.reports.pages.unit_posts import Post
from waitlist.staging.post_outcomes import BY_PEOPLE, Entry, Overtaken, WordFault, record, word_fault
from waitlist.staging.states import PostOutcome
from waitlist.swedish.words import WORD_FAULTS
from waitlist_airflow.web.access import ReaderDep
from waitlist_airflow.web.forms import FormDep
from waitlist_airflow.web.pages import NOT_KEPT, Pages, render, to_plain, wants_json
from waitlist_airflow.web.site import SiteDep

pages: Final = Pages()

_SAID: Final = frozenset({*BY_PEOPLE, PostOutcome.CHECKED, PostOutcome.UNDONE})
_KEY: Final = re.compile(r"[0-9A-Za-z-]{16,80}")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Statement:
    """A form as it was sent."""

    post_id: int
    outcome: PostOutcome
    word: str | None
    after: int
    """The number of the post's last entry that its writer saw."""
    undoes: int | None
    key: str
    persons: bool
    """Whether the page with persons is shown again."""
    anchor: str
    """The post to which the page is scrolled then; empty for the list's beginning."""
    query: str
    """The filter and the order of the page."""


async def statement(request: Request, sent: FormDep) -> Statement:
    """Read a form of the unit's page.

    Raises:
        HTTPException: 422: our page sends no such form.
    """
    try:
        outcome = PostOutcome(sent.get("utfall", ""))
    except ValueError:
        raise HTTPException(422, "form") from None
    undoes = _number(sent.get("angrar"))
    key = sent.get("nyckel", "")
    if outcome not in _SAID or (undoes is not None) != (outcome is PostOutcome.UNDONE) or not _KEY.fullmatch(key):
        raise HTTPException(422, "form")
    post_id, after = _number(sent.get("post")), _number(sent.get("efter"))
    if post_id is None or after is None:
        raise HTTPException(422, "form")
    word = " ".join(sent.get("ord", "").split())
    anchor = _number(sent.get("ankare"))
    return Statement(
        post_id, outcome, word or None, after, undoes, key, sent.get("vy") == "personer",
        "" if anchor is None else str(anchor), request.url.query,
    )  # fmt: skip


StatementDep = Annotated[Statement, Depends(statement)]


@pages.form(
    "/enhet/{unit}/utfall",
    page="/enhet/{unit}",
    fields=("post", "utfall", "ord", "efter", "angrar", "nyckel", "vy", "ankare"),
    need=Need.THIS_UNIT,
    api="/api/enhet/{unit}/utfall",
)
def say(request: Request, site: SiteDep, reader: ReaderDep, unit: str, said: StatementDep) -> Response:
    """Keep what became of a post of the unit, and lead back to the page."""
    key = key_of(unit)
    with site.reading("reading a unit's post") as connection:
        batch_id, post = read_post(connection, site.mappings, key, said.post_id)
    if post is None:
        raise HTTPException(404, "no_post")
    fault = word_fault(said.outcome, said.word)
    if fault is not None:
        return _answer(request, post, said, fault)
    entry = Entry(
        post_id=post.post_id,
        entry_no=said.after + 1,
        unit=key,
        batch_id=batch_id,
        at=dt.datetime.now(dt.UTC),
        actor=reader.user_id,
        outcome=said.outcome,
        undoes=said.undoes,
        word=said.word,
        about=post.about,
    )
    allowed = said.outcome is PostOutcome.UNDONE or said.outcome.value in post.may
    kept = record(site.store.database, entry, key=said.key, is_allowed=allowed, since=post.said_since)
    if isinstance(kept, Overtaken):
        return _answer(request, post, said, kept)
    if wants_json(request):
        return JSONResponse(to_plain(kept.entry), headers=NOT_KEPT)
    return RedirectResponse(_back(unit, said), 303, NOT_KEPT)


def _number(text: str | None) -> int | None:
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise HTTPException(422, "form")
    return int(text)


def _answer(request: Request, post: Post, said: Statement, told: WordFault | Overtaken) -> Response:
    """Return the page that says why nothing was kept, and how to go on."""
    overtaken = isinstance(told, Overtaken)
    status = 409 if overtaken else 422
    entries = told.entries if isinstance(told, Overtaken) else ()
    if wants_json(request):
        error = "overtaken" if overtaken else f"word_{told}"
        content = {"status": status, "error": error, "entries": to_plain(entries)}
        return JSONResponse(content, status, headers=NOT_KEPT)
    unit = request.path_params["unit"]
    values = {"unit": unit, "unit_key": key_of(unit), "post": post, "said": said, "entries": entries}
    fault = None if isinstance(told, Overtaken) else WORD_FAULTS[told]
    return render(request, "outcome.html", status=status, fault=fault, **values)


def _back(unit: str, said: Statement) -> str:
    """Return the address of the page that the form was on; it is relative, since the host's name is the request's."""
    kept = [pair for pair in parse_qsl(said.query) if pair[0] != "klar"]
    query = urlencode([*kept, ("klar", str(said.post_id))])
    page = "personer" if said.persons else f"../{quote(unit, safe='')}"
    return f"{page}?{query}#{f'post-{said.anchor}' if said.anchor else 'poster'}"
