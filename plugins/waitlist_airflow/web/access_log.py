"""The page Åtkomstlogg."""

from typing import Annotated, Final

from fastapi import Query

from waitlist.access import Need
from waitlist.reports.pages.access_log import AccessLog, read_access_log
from waitlist_airflow.web.pages import Pages
from waitlist_airflow.web.site import SiteDep

pages: Final = Pages()

PAGE_SIZE: Final = 100


@pages.page("/atkomstlogg", api="/api/atkomstlogg", need=Need.LOG, template="access_log.html", nav="Åtkomstlogg")
def access_log(site: SiteDep, sida: Annotated[int, Query(ge=1, lt=2**31)] = 1) -> AccessLog:
    """Read the log of views of persons."""
    with site.reading("reading the access log") as connection:
        return read_access_log(connection, site.mappings, page=sida, size=PAGE_SIZE)
