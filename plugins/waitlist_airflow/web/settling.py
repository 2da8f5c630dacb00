"""What leads decide about single posts of a released batch, and the page Återlämning with its files."""

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Final, Literal
from urllib.parse import quote, urlencode

from fastapi import HTTPException, Query
from starlette.responses import RedirectResponse, Response

from waitlist.access import Need
from waitlist.exceptions import ReasonError, RefusedError
from waitlist.release.receipts import settling
from waitlist.release.receipts.settling import Decided
from waitlist.reports.backout import make_files
from waitlist.reports.pages.backout import BackOutPage, read_backout_page
from waitlist.staging.access_log import Action, record
from waitlist_airflow.web.access import ReaderDep, only_leads
from waitlist_airflow.web.forms import FormDep
from waitlist_airflow.web.pages import NOT_KEPT, Pages
from waitlist_airflow.web.site import SiteDep

pages: Final = Pages()

_TYPES: Final = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv; charset=utf-8",
}


@pages.form(
    "/korningar/{batch_id}/svar",
    page="/korningar/{batch_id}",
    fields=("post", "ordet", "horda", "skal"),
    need=Need.EVERY_UNIT,
    may=[only_leads],
)
def settle(site: SiteDep, reader: ReaderDep, batch_id: str, sent: FormDep) -> Response:
    """Keep which word about a post counts, and lead back to the batch."""
    counts, heard = sent.get("ordet", ""), _number(sent.get("horda", ""))
    decided = _decided(batch_id, sent, reader.login)
    return _kept(batch_id, lambda: settling.settle(site.store, decided, counts=counts, heard=heard))


@pages.form(
    "/korningar/{batch_id}/frislapp",
    page="/korningar/{batch_id}",
    fields=("post", "skal"),
    need=Need.EVERY_UNIT,
    may=[only_leads],
)
def free(site: SiteDep, reader: ReaderDep, batch_id: str, sent: FormDep) -> Response:
    """Free a rejected post, and lead back to the batch."""
    decided = _decided(batch_id, sent, reader.login)
    return _kept(batch_id, lambda: settling.free(site.store, decided))


@pages.page(
    "/korningar/{batch_id}/aterlamning",
    api="/api/korningar/{batch_id}/aterlamning",
    need=Need.EVERY_UNIT,
    template="backout.html",
)
def backout(site: SiteDep, batch_id: str, sida: Annotated[int, Query(ge=1, le=1_000_000)] = 1) -> BackOutPage:
    """Read what must return of a batch that a receiver may have."""
    return read_backout_page(site.store, batch_id, site.mappings.name_of, sida)


@pages.file("/korningar/{batch_id}/aterlamning/{kind}", need=Need.EVERY_PERSON)
def backout_file(site: SiteDep, reader: ReaderDep, batch_id: str, kind: Literal["xlsx", "csv"]) -> Response:
    """Make a file of what must return, write an entry for each patient in the access log, and send the file."""
    read_backout_page(site.store, batch_id, site.mappings.name_of, 1)
    _, made = make_files(site.store, site.store.batch(batch_id), site.mappings.name_of)
    for unit, patients in made.patients.items():
        record(
            site.store,
            at=dt.datetime.now(dt.UTC),
            user_id=reader.login,
            acting_for=unit if unit in reader.rights.own_units else "",
            action=Action.BACK_OUT,
            batch_id=batch_id,
            unit=unit,
            patients=dict(patients),
        )
    headers = {**NOT_KEPT, "Content-Disposition": f'attachment; filename="{made.name}.{kind}"'}
    return Response(made.workbook if kind == "xlsx" else made.csv, media_type=_TYPES[kind], headers=headers)


def _decided(batch_id: str, sent: FormDep, actor: str) -> Decided:
    reason = " ".join(sent.get("skal", "").split())
    return Decided(batch_id, _number(sent.get("post", "")), actor, reason, dt.datetime.now(dt.UTC))


def _number(text: str) -> int:
    if not text.isascii() or not text.removeprefix("-").isdecimal() or len(text) > 19:
        raise HTTPException(422, "form")
    return int(text)


def _kept(batch_id: str, decide: Callable[[], object]) -> Response:
    """Decide, and lead back to the page of the batch, which says why where nothing was changed."""
    fault: dict[str, str] = {}
    try:
        decide()
    except ReasonError:
        fault = {"fel": "reason"}
    except RefusedError:
        fault = {"fel": "refused"}
    # Relative, so that it is right behind a proxy too.
    query = f"?{urlencode(fault)}" if fault else ""
    return RedirectResponse(f"../{quote(batch_id, safe='')}{query}#svar", 303, NOT_KEPT)
