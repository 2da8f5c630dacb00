"""The page Regler och listor."""

from typing import Final

from waitlist.access import Need
from waitlist.reports.pages.catalogue import Catalogue, read_catalogue
from waitlist_airflow.web.pages import Pages
from waitlist_airflow.web.site import SiteDep

pages: Final = Pages()


@pages.page("/regler", api="/api/regler", need=Need.EVERY_UNIT, template="catalogue.html", nav="Regler och listor")
def catalogue(site: SiteDep) -> Catalogue:
    """Read the catalogue with the posts that each rule and list applies to now."""
    return read_catalogue(site.store, site.mappings)
