"""The pages of the side-by-side sample: of a batch, of a unit, of one post, and the judgements that are sent."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from urllib.parse import quote

from fastapi import Depends, HTTPException, Query, Request
from starlette.responses import RedirectResponse, Response

from waitlist.access import Need
from waitlist.release.sample.state import enlarge
from waitlist.reports.pages.sample import (
    SamplePage,
    SamplePostPage,
    SampleUnitPage,
    read_sample_page,
    read_sample_post,
    read_sample_unit,
)
from waitlist.reports.pages.unit import key_of
from waitlist.staging.access_log import Action
from waitlist.staging.sample_verdicts import FIELDS, Answer, Judged, Verdict, add, word_fault
from waitlist.swedish.words import SAMPLE_ANSWERS, SAMPLE_WORD_FAULTS
from waitlist_airflow.web.access import Reader, ReaderDep
from waitlist_airflow.web.forms import FormDep
from waitlist_airflow.web.looks import record_look
from waitlist_airflow.web.pages import NOT_KEPT, Pages, render
from waitlist_airflow.web.site import Site, SiteDep
from waitlist_airflow.web.unit import PostId

pages: Final = Pages()

_FIELD: Final = "f-"
"""How the names of the form's fields begin that have a verdict."""
_POST: Final = "/enhet/{unit}/stickprov/{batch_id}/{post}"
_SENT: Final = ("efter", "rad", "ord", *(f"{_FIELD}{name}" for name in FIELDS))
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Judging:
    """A judgement as it was sent."""

    verdicts: Mapping[str, Verdict]
    word: str | None
    after: int
    """The number of the last judgement that its writer saw."""
    row_hash: str


async def judging(sent: FormDep) -> Judging:
    """Read the form of a judgement.

    Raises:
        HTTPException: 422: our page sends no such form.
    """
    try:
        verdicts = {name: Verdict(sent[f"{_FIELD}{name}"]) for name in FIELDS if f"{_FIELD}{name}" in sent}
    except ValueError:
        raise HTTPException(422, "form") from None
    if not _NUMBER.fullmatch(sent.get("efter", "")):
        raise HTTPException(422, "form")
    word = " ".join(sent.get("ord", "").split())
    return Judging(verdicts, word or None, int(sent["efter"]), sent.get("rad", ""))


JudgingDep = Annotated[Judging, Depends(judging)]


@pages.page("/stickprov/{batch_id}", api="/api/stickprov/{batch_id}", need=Need.EVERY_UNIT, template="sample.html")
def sample(site: SiteDep, batch_id: str) -> SamplePage:
    """Read the sample of a batch."""
    with site.reading("reading a sample") as connection:
        return read_sample_page(site.store, connection, site.mappings, batch_id)


@pages.form("/stickprov/{batch_id}/utoka", page="/stickprov/{batch_id}", fields=("till",), need=Need.EVERY_UNIT)
def enlarge_sample(site: SiteDep, reader: ReaderDep, batch_id: str, sent: FormDep) -> Response:
    """Enlarge the random part to the size that the page offered, and lead back to the page."""
    if not _NUMBER.fullmatch(sent.get("till", "")):
        raise HTTPException(422, "form")
    now = dt.datetime.now(dt.UTC)
    done = enlarge(site.store, batch_id, reader.user_id, now, seen=int(sent["till"]))
    # Relative, so that it is right behind a proxy too. Where other faults have become known, the page says so.
    return RedirectResponse(f"../{quote(batch_id, safe='')}#{'utokat' if done else 'laget'}", 303, NOT_KEPT)


@pages.page(
    "/enhet/{unit}/stickprov/{batch_id}",
    api="/api/enhet/{unit}/stickprov/{batch_id}",
    need=Need.THIS_UNIT,
    template="sample_unit.html",
)
def sample_unit(
    site: SiteDep,
    reader: ReaderDep,
    *,
    unit: str,
    batch_id: str,
    klar: PostId | Literal[""] = "",
    sida: Annotated[int, Query(ge=1, lt=2**31)] = 1,
) -> SampleUnitPage:
    """Read a unit's part of a sample, without patients."""
    told = None if klar == "" else klar
    with site.reading("reading a sample") as connection:
        return read_sample_unit(
            site.store,
            connection,
            site.mappings,
            batch_id,
            key=key_of(unit),
            actor=reader.user_id,
            told=told,
            page=sida,
        )


@pages.page(_POST, api=f"/api{_POST}", need=Need.THIS_UNITS_PERSONS, template="sample_post.html")
def sample_post(site: SiteDep, reader: ReaderDep, unit: str, batch_id: str, post: PostId) -> SamplePostPage:
    """Read one post with its booking request, after an entry in the access log; a protected one is masked."""
    page = _read_post(site, reader, unit, batch_id, post, masked=True)
    _log(site, reader, Action.SAMPLE, page)
    return page


@pages.page(f"{_POST}/skyddad", api=f"/api{_POST}/skyddad", need=Need.THIS_UNITS_PROTECTED, template="sample_post.html")
def sample_protected(site: SiteDep, reader: ReaderDep, unit: str, batch_id: str, post: PostId) -> SamplePostPage:
    """Read the same of a protected identity, for staff of the post's own unit."""
    page = _read_post(site, reader, unit, batch_id, post, masked=False)
    _log(site, reader, Action.PROTECTED, page)
    return page


@pages.form(f"{_POST}/bedom", page="/enhet/{unit}/stickprov/{batch_id}", fields=_SENT, need=Need.THIS_UNIT)
def judge(
    request: Request, site: SiteDep, reader: ReaderDep, *, unit: str, batch_id: str, post: PostId, judging: JudgingDep
) -> Response:
    """Keep a judgement of a post, and lead back to the unit's part of the sample."""
    key = key_of(unit)
    page = _read_post(site, reader, unit, batch_id, post, masked=False)
    need = Need.THIS_UNITS_PROTECTED if page.post.protected else Need.THIS_UNITS_PERSONS
    if not reader.rights.allow(need, key):
        raise HTTPException(403, need.value)
    missing = [name for name in FIELDS if name not in judging.verdicts]
    fault = word_fault(judging.verdicts, judging.word)
    if page.batch.stage is None:
        told, status = SAMPLE_ANSWERS[Answer.CLOSED], 409
    elif missing:
        told, status = SAMPLE_ANSWERS["incomplete"], 422
    elif fault is not None:
        told, status = SAMPLE_WORD_FAULTS[fault], 422
    elif judging.row_hash != page.row_hash:
        told, status = SAMPLE_ANSWERS[Answer.OVERTAKEN], 409
    else:
        answer = add(
            site.store,
            Judged(
                post_id=post,
                row_hash=page.row_hash,
                stage=page.batch.stage,
                verdict_no=judging.after + 1,
                verdicts=judging.verdicts,
                at=dt.datetime.now(dt.UTC),
                actor=reader.user_id,
                batch_id=batch_id,
                unit=key,
                word=judging.word,
            ),
        )
        if answer is Answer.KEPT:
            # Relative, so that it is right behind a proxy too.
            return RedirectResponse(f"../../{quote(batch_id, safe='')}?klar={post}#poster", 303, NOT_KEPT)
        told, status = SAMPLE_ANSWERS[answer], 403 if answer is Answer.CORRECTED else 409
    # The answer shows no patient: the reader opens the post again for that.
    return render(request, "sample_answer.html", status=status, page=page.without_patient(), told=told)


def _read_post(site: Site, reader: Reader, unit: str, batch_id: str, post: int, *, masked: bool) -> SamplePostPage:
    with site.reading("reading a post of a sample") as connection:
        return read_sample_post(
            site.store,
            connection,
            site.mappings,
            batch_id,
            key=key_of(unit),
            post_id=post,
            actor=reader.user_id,
            masked=masked,
        )


def _log(site: Site, reader: Reader, action: Action, page: SamplePostPage) -> None:
    """Write an entry in the access log for the patient whose booking request is shown."""
    shown = {page.post.post_id: page.person_id} if page.fields else {}
    record_look(site, reader, action, page.batch, unit=page.key, patients=shown)
