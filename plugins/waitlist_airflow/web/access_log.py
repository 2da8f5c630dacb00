"""The page Åtkomstlogg."""

from typing import Annotated, Final, Literal

from fastapi import Query

from waitlist.access import Need
from waitlist.reports.pages.access_log import AccessLog, read_access_log
from waitlist_airflow.web.pages import Pages
from waitlist_airflow.web.site import SiteDep
from waitlist_airflow.web.unit import PostId

pages: Final = Pages()

PAGE_SIZE: Final = 100


@pages.page("/atkomstlogg", api="/api/atkomstlogg", need=Need.LOG, template="access_log.html", nav="Åtkomstlogg")
def access_log(
    site: SiteDep, sida: Annotated[int, Query(ge=1, lt=2**31)] = 1, post: PostId | Literal[""] = ""
) -> AccessLog:
    """Read the log of views of persons, or only what is about one post's patient."""
    with site.reading("reading the access log") as connection:
        chosen = None if post == "" else post
        return read_access_log(connection, site.mappings, page=sida, size=PAGE_SIZE, same_patient_as=chosen)
