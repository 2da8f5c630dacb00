"""The page Översikt."""

import dataclasses
import datetime as dt
from typing import Final

from waitlist.access import Need
from waitlist.reports.pages.history import dry_runs
from waitlist.reports.pages.overview import Overview, read_overview
from waitlist_airflow.web.pages import Pages
from waitlist_airflow.web.red_gates import red_since
from waitlist_airflow.web.site import SiteDep

pages: Final = Pages()


@pages.page("/", api="/api/oversikt", need=Need.EVERY_UNIT, template="overview.html", nav="Översikt")
def overview(site: SiteDep) -> Overview:
    """Read how far each wave and unit has come."""
    with site.reading("reading the overview") as connection:
        read = read_overview(
            connection, site.mappings, now=dt.datetime.now(dt.UTC), approval_hours=site.settings.approval_hours
        )
        runs = dry_runs(connection)
    gates = site.measured_gates(read.latest.batch_id)
    return dataclasses.replace(read, gates=gates, red_since=red_since(site, runs, gates or ()))
