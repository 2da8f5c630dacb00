"""The page Överfört."""

from typing import Annotated, Final

from fastapi import Query

from waitlist.access import Need
from waitlist.reports.pages.released import Released, read_released
from waitlist_airflow.web.pages import Pages
from waitlist_airflow.web.site import SiteDep

pages: Final = Pages()


@pages.page("/overfort", api="/api/overfort", need=Need.EVERY_UNIT, template="released.html", nav="Överfört")
def released(site: SiteDep, sida: Annotated[int, Query(ge=1, le=1_000_000)] = 1) -> Released:
    """Read the released batches, and one page of the posts that have changed since."""
    return read_released(site.store, site.mappings, sida)
