"""The pages Sök and Poster: from what a reader looks for, or from a figure, to the units and their posts."""

from typing import Annotated, Final, Literal

from fastapi import HTTPException, Query, Request
from starlette.responses import Response

from waitlist.access import Need
from waitlist.judge.rules import RULES, Disposition
from waitlist.reports.pages.find import Found, find
from waitlist.reports.pages.spread import ANY, Spread, Wanted, read_spread
from waitlist_airflow.web.access import Reader, ReaderDep
from waitlist_airflow.web.forms import FormDep
from waitlist_airflow.web.pages import Pages, render
from waitlist_airflow.web.site import Site, SiteDep

pages: Final = Pages()

_LONGEST: Final = 200


@pages.page("/sok", api="/api/sok", need=Need.A_UNIT, template="find.html")
def nothing_asked(site: SiteDep, reader: ReaderDep) -> Found:
    """Return the page before anything is looked for: an address never has what is looked for."""
    return _find(site, reader, "")


@pages.form("/sok", page="/sok", fields=("q",), need=Need.A_UNIT)
def search(request: Request, site: SiteDep, reader: ReaderDep, sent: FormDep) -> Response:
    """Look for what the form has; nothing is changed and nothing of it is logged."""
    text = sent.get("q", "")
    if len(text) > _LONGEST:
        raise HTTPException(422, "form")
    found = _find(site, reader, text)
    return render(request, "find.html", faults=site.mapping_faults, page=found, asked=text)


@pages.page("/poster", api="/api/poster", need=Need.EVERY_UNIT, template="spread.html")
def spread(
    site: SiteDep,
    *,
    beslut: Disposition | Literal[""] = "",
    regel: Annotated[str, Query(max_length=64)] = "",
    lista: Annotated[str, Query(max_length=500)] = "",
    vag: Annotated[str, Query(max_length=_LONGEST)] = ANY,
    kvar: Literal["", "ja"] = "",
    korning: Annotated[str, Query(max_length=_LONGEST)] = "",
) -> Spread:
    """Read how posts are spread over the units."""
    if regel and regel not in RULES:
        raise HTTPException(422)
    wanted = Wanted(beslut or None, regel or None, lista or None, bool(kvar), vag or None)
    with site.reading("reading how posts are spread") as connection:
        return read_spread(connection, site.mappings, wanted, korning or None)


def _find(site: Site, reader: Reader, text: str) -> Found:
    with site.reading("looking for units and posts") as connection:
        rights = reader.rights
        return find(connection, site.mappings, text, rights.sees, everywhere=rights.allow(Need.EVERY_UNIT))
