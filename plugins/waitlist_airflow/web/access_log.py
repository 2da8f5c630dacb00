"""The pages Åtkomstlogg and Månadens stickprov, an extract for one patient, and the verdicts."""

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastapi import Depends, HTTPException, Query, Request
from starlette.responses import RedirectResponse, Response

from waitlist.access import Need
from waitlist.columns.dates import day_in_stockholm
from waitlist.reports.pages.access_log import AccessLog, read_access_log, read_extract
from waitlist.reports.pages.log_sample import LogSample, read_log_sample
from waitlist.staging import log_verdicts
from waitlist.staging.access_log import numbers_of
from waitlist.staging.log_verdicts import LONGEST_WORD, Judged, Verdict
from waitlist_airflow.web.access import ReaderDep
from waitlist_airflow.web.forms import FormDep
from waitlist_airflow.web.pages import Pages, render
from waitlist_airflow.web.site import Site, SiteDep
from waitlist_airflow.web.unit import PostId

pages: Final = Pages()

PAGE_SIZE: Final = 100
EXTRACT: Final = 2_000
"""The most entries of an extract by number, which has one page: an address of a second page would need the number."""
MOST_VERDICTS: Final = 1_000
"""The most verdicts about one entry."""


@dataclass(frozen=True, slots=True)
class Judging:
    """A verdict as it was sent."""

    month: str
    entry_id: str
    verdict: Verdict
    word: str
    after: int
    """How many verdicts about the entry its writer saw."""


async def judging(month: str, entry_id: str, sent: FormDep) -> Judging:
    """Read the form of a verdict.

    Raises:
        HTTPException: 422: our page sends no such form.
    """
    try:
        verdict, after = Verdict(sent.get("bedomning", "")), int(sent.get("efter", ""))
    except ValueError:
        raise HTTPException(422, "form") from None
    word = " ".join(sent.get("ord", "").split())
    if not 0 <= after < MOST_VERDICTS or len(word) > LONGEST_WORD:
        raise HTTPException(422, "form")
    return Judging(month, entry_id, verdict, word, after)


JudgingDep = Annotated[Judging, Depends(judging)]


@pages.page("/atkomstlogg", api="/api/atkomstlogg", need=Need.LOG, template="access_log.html", nav="Åtkomstlogg")
def access_log(
    site: SiteDep, sida: Annotated[int, Query(ge=1, lt=2**31)] = 1, post: PostId | Literal[""] = ""
) -> AccessLog:
    """Read the log of views of persons, or only what is about one post's patient."""
    with site.reading("reading the access log") as connection:
        chosen = None if post == "" else post
        return read_access_log(connection, site.mappings, page=sida, size=PAGE_SIZE, same_patient_as=chosen)


@pages.form("/atkomstlogg/utdrag", page="/atkomstlogg", fields=("nummer",), need=Need.LOG)
def extract(request: Request, site: SiteDep, sent: FormDep) -> Response:
    """Read the entries about the patient whose number is in the form; it changes nothing, and no answer repeats it."""
    (person_id,) = numbers_of([sent.get("nummer", "").strip()], day_in_stockholm(dt.datetime.now(dt.UTC)))
    with site.reading("reading the access log") as connection:
        if person_id is None:
            page = read_access_log(connection, site.mappings, page=1, size=PAGE_SIZE)
        else:
            page = read_extract(connection, site.mappings, person_id, EXTRACT)
    bad = person_id is None
    status = 422 if bad else 200
    return render(request, "access_log.html", status=status, faults=site.mapping_faults, page=page, bad_number=bad)


@pages.page("/atkomstlogg/stickprov", api="/api/atkomstlogg/stickprov", need=Need.LOG, template="log_sample.html")
def sample(site: SiteDep, manad: Annotated[str, Query(max_length=7)] = "") -> LogSample:
    """Read the sample of a month, by default of the last one that is over."""
    return _read_sample(site, manad)


@pages.form(
    "/atkomstlogg/stickprov/{month}/{entry_id}",
    page="/atkomstlogg/stickprov",
    fields=("bedomning", "efter", "ord"),
    need=Need.LOG,
)
def judge(request: Request, site: SiteDep, reader: ReaderDep, judging: JudgingDep) -> Response:
    """Keep a verdict about an entry of a month's sample, and lead back to it."""
    page = _read_sample(site, judging.month)
    judged_entry = next((entry for entry in page.entries if entry.entry_id == judging.entry_id), None)
    if judged_entry is None:
        raise HTTPException(404, "no_sample")
    fault, status = "", 200
    if judged_entry.is_of(reader.login):
        fault, status = "own", 403
    elif not judging.word and judging.verdict is not Verdict.IN_ORDER:
        fault, status = "word", 422
    else:
        now = dt.datetime.now(dt.UTC)
        judged = Judged(judging.entry_id, judging.after + 1, now, reader.login, judging.verdict, judging.word)
        if not log_verdicts.add(site.store.database, judged):
            fault, status = "overtaken", 409
            page = _read_sample(site, judging.month)
    if fault:
        told = {"entry_id": judging.entry_id, "fault": fault}
        return render(request, "log_sample.html", status=status, faults=site.mapping_faults, page=page, told=told)
    # Relative, so that it is right behind a proxy too.
    return RedirectResponse(f"../../stickprov?manad={judging.month}#rad-{judging.entry_id}", 303)


def _read_sample(site: Site, month: str) -> LogSample:
    """Read the sample of a month; an empty text is the last one that is over.

    Raises:
        HTTPException: 404: no month, or one that is not over.
    """
    now = dt.datetime.now(dt.UTC)
    latest = log_verdicts.month_before(now)
    if not log_verdicts.is_over(month or latest, now):
        raise HTTPException(404, "no_sample")
    with site.reading("reading the sample of the access log") as connection:
        return read_log_sample(connection, site.mappings, month or latest, latest)
