"""The page Översikt."""

from typing import Final

from waitlist.dashboard.overview import Overview, read_overview
from waitlist_airflow.dashboard.pages import Pages
from waitlist_airflow.dashboard.site import SiteDep

pages: Final = Pages()


@pages.page("/", api="/api/oversikt", template="overview.html", nav="Översikt")
def overview(site: SiteDep) -> Overview:
    """Read how far each wave and unit has come."""
    with site.reading("reading the overview"):
        return read_overview(site.store, site.mappings)
